//! Signing in and out.

use askama::Template;
use forebay_control::{CodeSent, PeopleError, SignIn, SignedIn};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    half::Half,
    refusal::Refusal,
    session::Cookie,
    visit::Visit,
};

const HOME: &str = "/console/projects";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    next: &'a str,
    email: &'a str,
    awaits_setup: bool,
}

#[derive(Template)]
#[template(path = "sign_in_code.html")]
struct CodePage<'a> {
    frame: Frame,
    half: &'a str,
    /// Where a code was sent to, if it is sent.
    sent: Option<CodeSent>,
}

/// `/` and `/console`: to the projects, or to what comes before.
pub(crate) fn home(_: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(Answer::see_other(HOME))
}

/// Asks for address and password.
pub(crate) fn sign_in_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    if visit.signed.is_some() {
        return Ok(Answer::see_other(HOME));
    }
    let next = next_of(visit);
    let page = SignInPage {
        frame: visit.frame("Sign in", Place::Outside),
        next: &next,
        email: visit.form.text("email"),
        awaits_setup: visit.control().awaits_setup()?,
    };
    Ok(visit.page(&page))
}

/// Takes them.
pub(crate) fn sign_in(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (email, password) = (visit.form.text("email"), visit.form.raw("password"));
    let next = next_of(visit);
    match visit.control().sign_in(&attempt(visit, email, password, None)) {
        Ok(signed_in) => Ok(enter(visit, &signed_in, &next)),
        Err(error @ (PeopleError::CodeMissing | PeopleError::CodeSent(_))) => {
            let sent = if let PeopleError::CodeSent(sent) = error { Some(sent) } else { None };
            let half = Half {
                email: email.to_owned(),
                password: password.to_owned(),
                sent: sent.clone(),
                next,
                cookie: visit.cookie.clone(),
            };
            let word = visit.site.halves.keep(half, visit.now_ms())?;
            Ok(code_page(visit, &word, sent))
        }
        Err(error) => visit.again(error.into(), sign_in_page),
    }
}

/// Takes the code that a sign-in was waiting for.
pub(crate) fn code(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let word = visit.form.text("half");
    let Some(half) = visit.site.halves.get(word, &visit.cookie, visit.now_ms()) else {
        return too_late(visit);
    };
    let code = visit.form.text("code");
    match visit.control().sign_in(&attempt(visit, &half.email, &half.password, Some(code))) {
        Ok(signed_in) => {
            visit.site.halves.forget(word);
            Ok(enter(visit, &signed_in, &half.next))
        }
        Err(PeopleError::CodeWrong) => visit.again(PeopleError::CodeWrong.into(), |visit| {
            let word = visit.form.text("half");
            let half = visit.site.halves.get(word, &visit.cookie, visit.now_ms());
            Ok(code_page(visit, word, half.and_then(|half| half.sent)))
        }),
        Err(error) => visit.again(error.into(), sign_in_page),
    }
}

/// Sends another code, for a sign-in that waits for one.
pub(crate) fn resend(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let word = visit.form.text("half");
    let Some(half) = visit.site.halves.get(word, &visit.cookie, visit.now_ms()) else {
        return too_late(visit);
    };
    match visit.control().sign_in(&attempt(visit, &half.email, &half.password, None)) {
        Err(PeopleError::CodeSent(sent)) => Ok(code_page(visit, word, Some(sent))),
        // The second factor was ended meanwhile.
        Ok(signed_in) => {
            visit.site.halves.forget(word);
            Ok(enter(visit, &signed_in, &half.next))
        }
        // It is another by now: from the beginning.
        Err(PeopleError::CodeMissing) => too_late(visit),
        Err(error) => visit.again(error.into(), sign_in_page),
    }
}

fn too_late(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let refusal = Refusal::Invalid("that took longer than five minutes; start again".to_owned());
    visit.again(refusal, sign_in_page)
}

/// Ends the session.
pub(crate) fn sign_out(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    visit.control().end_session(&visit.who()?.secret)?;
    let answer = visit.done("/console/sign-in", "signed-out");
    Ok(answer.and_cookie(&Cookie::Session.clear(visit.is_secure)))
}

fn code_page(visit: &Visit<'_>, half: &str, sent: Option<CodeSent>) -> Answer {
    visit.page(&CodePage { frame: visit.frame("Your second factor", Place::Outside), half, sent })
}

fn attempt<'v>(visit: &'v Visit<'_>, email: &'v str, password: &'v str, code: Option<&'v str>) -> SignIn<'v> {
    let (address, user_agent, device) = (visit.client, visit.user_agent(), visit.device());
    SignIn { email, password, code, address, user_agent, device }
}

/// Sets the session's cookie and that of a browser that is known, and goes on.
fn enter(visit: &Visit<'_>, signed_in: &SignedIn, next: &str) -> Answer {
    let answer = Answer::see_other(next);
    let answer = answer.and_cookie(&Cookie::Session.set(&signed_in.secret, visit.is_secure));
    let answer = answer.and_cookie(&Cookie::Browser.set(&signed_in.device, visit.is_secure));
    answer.and_cookie(&Cookie::Visit.clear(visit.is_secure))
}

/// Signs somebody in whose password has just been set.
pub(crate) fn enter_as(
    visit: &Visit<'_>,
    email: &str,
    password: &str,
    next: &str,
) -> Result<Answer, Refusal> {
    let signed_in = visit.control().sign_in(&attempt(visit, email, password, None))?;
    Ok(enter(visit, &signed_in, next))
}

/// Where to go after signing in: a page of the console and nowhere else.
fn next_of(visit: &Visit<'_>) -> String {
    let next = visit.form.given("next").or_else(|| visit.query.given("next")).unwrap_or(HOME);
    let is_ours = next == "/console" || next.starts_with("/console/");
    let is_plain = next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && !next.contains("//");
    if is_ours && is_plain && !next.starts_with("/console/sign-") { next.to_owned() } else { HOME.to_owned() }
}
