//! One's second factor: setting it up with a picture to scan, its recovery codes, ending it.
//!
//! # Invariants
//! * Secret and codes stand in the answer to the form that made them, and on no page that can be opened again.

use askama::Template;
use forebay_control::{Acting, PasswordProof, PeopleError, PersonId};
use qrcode::{Color, EcLevel, QrCode};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    page::confirm::PASSWORD,
    refusal::Refusal,
    visit::Visit,
};

const PATH: &str = "/console/me/second-factor";

#[derive(Template)]
#[template(path = "second_factor.html")]
struct FactorPage {
    frame: Frame,
    since: Option<Moment>,
    codes_left: u64,
    /// The phone that it is, by its last digits.
    phone: Option<String>,
    /// Whether this server sends text messages.
    sends_texts: bool,
    number: String,
}

/// Whether there is one.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let factor = visit.acting()?.two_factor(visit.who_id())?;
    let page = FactorPage {
        frame: visit.frame("Second factor", Place::Me("second-factor")),
        since: factor.since_ms.map(Moment),
        codes_left: factor.recovery_codes,
        phone: factor.phone.as_deref().map(last_digits),
        sends_texts: visit.control().channels()?.text,
        number: visit.form.text("number").to_owned(),
    };
    Ok(visit.page(&page))
}

#[derive(Template)]
#[template(path = "second_factor_begin.html")]
struct BeginPage {
    frame: Frame,
    secret: String,
    url: String,
    /// Modules of the picture, as one path of SVG, and how many there are to a side.
    picture: Option<(String, usize)>,
}

/// Does something that takes the password, with what the form holds of it; where that fails, the page is shown again.
fn with_password<'v, T>(
    visit: &Visit<'v>,
    act: impl FnOnce(&Acting<'v>, PersonId, &PasswordProof) -> Result<T, PeopleError>,
    done: impl FnOnce(T) -> Result<Answer, Refusal>,
) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let tried = acting
        .prove_password(visit.form.raw(PASSWORD))
        .and_then(|proof| act(&acting, visit.who_id(), &proof));
    match tried {
        Ok(what) => done(what),
        Err(error) => visit.again(error.into(), page),
    }
}

/// Makes a secret and shows it. It can be begun again as often as need be.
pub(crate) fn begin(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    with_password(visit, Acting::begin_two_factor, |enrolment| {
        Ok(visit.page(&BeginPage {
            frame: visit.frame("Set up a second factor", Place::Me("second-factor")),
            picture: picture(&enrolment.url),
            secret: grouped(&enrolment.secret),
            url: enrolment.url,
        }))
    })
}

/// Sends a code to the phone that is to be it.
pub(crate) fn begin_phone(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let number = visit.form.text("number").to_owned();
    with_password(
        visit,
        |acting, id, proof| acting.begin_phone(id, &number, proof),
        |sent| Ok(confirm_page(visit, Some(sent.to))),
    )
}

/// Sends another code to it.
pub(crate) fn resend(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    match visit.acting()?.resend_phone_code(visit.who_id()) {
        Ok(sent) => Ok(confirm_page(visit, Some(sent.to))),
        Err(error @ PeopleError::CodeTooSoon { .. }) => visit.again(error.into(), confirm_again),
        Err(error) => visit.again(error.into(), page),
    }
}

#[derive(Template)]
#[template(path = "second_factor_confirm.html")]
struct ConfirmPage {
    frame: Frame,
    /// The phone that a code was sent to.
    phone: Option<String>,
}

fn confirm_page(visit: &Visit<'_>, phone: Option<String>) -> Answer {
    let frame = visit.frame("Set up a second factor", Place::Me("second-factor"));
    visit.page(&ConfirmPage { frame, phone })
}

fn confirm_again(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let phone = visit.acting()?.two_factor(visit.who_id())?.phone;
    Ok(confirm_page(visit, phone.as_deref().map(last_digits)))
}

/// A number as it is shown to whoever looks over a shoulder.
fn last_digits(number: &str) -> String {
    let last = number.char_indices().rev().nth(2).map_or(number, |(at, _)| &number[at..]);
    format!("the phone that ends in {last}")
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct CodesPage {
    frame: Frame,
    codes: Vec<String>,
}

/// Takes a first code, and shows the recovery codes.
pub(crate) fn confirm(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    match visit.acting()?.confirm_two_factor(visit.who_id(), visit.form.text("code")) {
        Ok(codes) => Ok(codes_page(visit, codes)),
        Err(PeopleError::CodeWrong) => visit.again(PeopleError::CodeWrong.into(), confirm_again),
        Err(error) => visit.again(error.into(), page),
    }
}

/// Other recovery codes in the place of those there are.
pub(crate) fn renew_codes(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    with_password(visit, Acting::renew_recovery_codes, |codes| Ok(codes_page(visit, codes)))
}

/// Ends it.
pub(crate) fn end(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    with_password(visit, Acting::end_two_factor, |()| Ok(visit.done(PATH, "second-factor-off")))
}

fn codes_page(visit: &Visit<'_>, codes: Vec<String>) -> Answer {
    let frame = visit.frame("Your recovery codes", Place::Me("second-factor"));
    visit.page(&CodesPage { frame, codes })
}

/// Four characters at a time, for typing.
fn grouped(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    chars.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(" ")
}

/// The picture to scan. None for what does not fit into one; the secret can be typed then.
fn picture(url: &str) -> Option<(String, usize)> {
    let code = QrCode::with_error_correction_level(url, EcLevel::M).ok()?;
    let width = code.width();
    let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == Color::Dark);
    // A quiet zone of four modules all around belongs to it.
    let path: String =
        dark.map(|(at, _)| format!("M{} {}h1v1h-1z", at % width + 4, at / width + 4)).collect();
    Some((path, width + 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_drawn_of_numbers_only_and_the_secret_can_be_typed() {
        let (path, side) = picture("otpauth://totp/Forebay:a%40b?secret=ABCD&issuer=Forebay").unwrap();
        assert!(side > 8 + 20 && path.starts_with("M4 4h1v1h-1z"), "{side} {path}");
        assert!(path.chars().all(|c| c.is_ascii_digit() || " Mhvz-".contains(c)));
        assert_eq!(picture(&"x".repeat(10_000)), None);
        assert_eq!(grouped("ABCDEFGHIJ"), "ABCD EFGH IJ");
    }
}
