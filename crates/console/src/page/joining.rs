//! How people come in: the first by the link that the server printed, others by an invitation.
//!
//! Both links hold a code that counts once. It stands in the address because it is a link; the pages say `no-referrer`,
//! and pass it on in their forms.

use askama::Template;
use forebay_control::{Invitation, NewPerson, OrganisationRole, PeopleError};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    page::entry::enter_as,
    refusal::{Refusal, a},
    visit::{Visit, encoded},
};

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage<'a> {
    frame: Frame,
    code: &'a str,
    organisation: &'a str,
    name: &'a str,
    email: &'a str,
}

/// Asks the first person who they are.
pub(crate) fn setup_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let code = code_of(visit);
    if let Err(error) = visit.control().check_setup_code(code) {
        return Err(gone(
            error,
            "this link was used, or is older than a day, or a newer one was printed; \
            `forebay owner setup-link` on the host prints another while nobody is set up",
        ));
    }
    let page = SetupPage {
        frame: visit.frame("Set up this server", Place::Outside),
        code,
        organisation: visit.form.text("organisation"),
        name: visit.form.text("name"),
        email: visit.form.text("email"),
    };
    Ok(visit.page(&page))
}

/// Enters them, as the owner of the first organisation.
pub(crate) fn set_up(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let new = NewPerson {
        email: visit.form.text("email").to_owned(),
        name: visit.form.text("name").to_owned(),
        password: Some(visit.form.raw("password").to_owned()),
    };
    let done = repeated(visit)
        .and_then(|()| Ok(visit.control().set_up(code_of(visit), &new, visit.form.given("organisation"))?));
    match done {
        Ok(_) => {
            let password = visit.form.raw("password");
            enter_as(visit, &new.email, password, "/console/projects?said=welcome")
        }
        Err(refusal) => visit.again(refusal, setup_page),
    }
}

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage<'a> {
    frame: Frame,
    code: &'a str,
    open: &'a Invitation,
    role: String,
    ends: Moment,
    /// The address under which the browser is signed in.
    signed_in: Option<&'a str>,
    next: String,
    name: &'a str,
}

/// Says what an invitation is for.
pub(crate) fn invitation_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let code = code_of(visit);
    let open = visit.control().invitation(code).map_err(|error| {
        gone(error, "this invitation was used, taken back, or has ended; ask whoever invited you for another")
    })?;
    let role = match open.project_role {
        Some(role) if open.role == OrganisationRole::Member => {
            format!("{} of a project", a(role.as_str()))
        }
        _ => a(open.role.as_str()),
    };
    let page = InvitationPage {
        frame: visit.frame("You are invited", Place::Outside),
        code,
        role,
        ends: Moment(open.expires_at_ms),
        signed_in: visit.signed.as_ref().map(|signed| signed.person.email.as_str()),
        next: encoded(&format!("/console/invitation?code={code}")),
        name: visit.form.text("name"),
        open: &open,
    };
    Ok(visit.page(&page))
}

/// Takes an invitation: as whoever is signed in, or as somebody new.
pub(crate) fn accept(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let code = code_of(visit);
    if visit.signed.is_some() {
        return match visit.acting()?.accept_invitation(code) {
            Ok(_) => Ok(visit.done("/console/projects", "joined")),
            Err(error) => visit.again(error.into(), invitation_page),
        };
    }
    if let Err(refusal) = repeated(visit) {
        return visit.again(refusal, invitation_page);
    }
    let password = visit.form.raw("password");
    match visit.control().accept_invitation(code, visit.form.text("name"), password) {
        Ok(person) => enter_as(visit, &person.email, password, "/console/projects?said=joined"),
        // There is no invitation any more to be shown again.
        Err(error @ PeopleError::InvitationSpent) => Err(error.into()),
        Err(error) => visit.again(error.into(), invitation_page),
    }
}

fn code_of<'v>(visit: &'v Visit<'_>) -> &'v str {
    visit.form.given("code").or_else(|| visit.query.given("code")).unwrap_or_default()
}

/// A new password is typed twice.
pub(crate) fn repeated(visit: &Visit<'_>) -> Result<(), Refusal> {
    if visit.form.raw("password") == visit.form.raw("again") {
        Ok(())
    } else {
        Err(Refusal::Invalid("the two passwords are not the same; type the new one twice".to_owned()))
    }
}

/// A link that is of no use: said in words for who holds it, unless it is our failure.
fn gone(error: PeopleError, words: &str) -> Refusal {
    match Refusal::from(error) {
        Refusal::Failed(why) => Refusal::Failed(why),
        _ => Refusal::Invalid(words.to_owned()),
    }
}
