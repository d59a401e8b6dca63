//! Calls by which people come in: setting up, signing in and out, taking an invitation.
//!
//! # Invariants
//! * They are answered where people sign in, and nowhere else.
//! * A session's cookie is set by them as by the pages, and its form token is told.

use forebay_control::{NewPerson, Person, SignIn, SignedIn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::Answer,
    api::{document, done, ok},
    refusal::Refusal,
    session::{self, Cookie},
    visit::Visit,
};

/// Who signs in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SignIn")]
pub(crate) struct Credentials {
    email: String,
    password: String,
    /// Of the second factor, or a recovery code; for whom has one.
    code: Option<String>,
}

/// A session just begun: its cookie comes along.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SignedIn")]
pub(crate) struct Session {
    person: Person,
    /// What calls that change something send as `X-CSRF-Token`, beside the cookie.
    csrf_token: String,
}

/// Demands that the call came where people sign in; elsewhere no cookie counts, and it is as if the call were not there.
fn here(visit: &Visit<'_>) -> Result<(), Refusal> {
    if visit.is_admin { Ok(()) } else { Err(Refusal::NotFound) }
}

/// Signs in.
pub(crate) fn sign_in(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    here(visit)?;
    let asked: Credentials = document(visit)?;
    enter(visit, &asked.email, &asked.password, asked.code.as_deref())
}

fn enter(visit: &Visit<'_>, email: &str, password: &str, code: Option<&str>) -> Result<Answer, Refusal> {
    let (address, user_agent, device) = (visit.client, visit.user_agent(), visit.device());
    let SignedIn { session, secret, device } =
        visit.control().sign_in(&SignIn { email, password, code, address, user_agent, device })?;
    let answer = ok(&Session {
        person: visit.control().acting(session.person).person(session.person)?,
        csrf_token: session::csrf(visit.control(), &secret),
    });
    let answer = answer.and_cookie(&Cookie::Session.set(&secret, visit.is_secure));
    Ok(answer.and_cookie(&Cookie::Browser.set(&device, visit.is_secure)))
}

/// Ends the session.
pub(crate) fn sign_out(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    visit.control().end_session(&visit.who()?.secret)?;
    Ok(done().and_cookie(&Cookie::Session.clear(visit.is_secure)))
}

/// Who sets the server up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUp {
    /// Of the link that the server printed.
    code: String,
    name: String,
    email: String,
    password: String,
    /// What the first organisation is to be called.
    organization: Option<String>,
}

/// Enters the first person, as the owner of the first organisation, and signs them in.
pub(crate) fn set_up(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    here(visit)?;
    let asked: SetUp = document(visit)?;
    let new = NewPerson { email: asked.email, name: asked.name, password: Some(asked.password.clone()) };
    visit.control().set_up(&asked.code, &new, asked.organization.as_deref())?;
    enter(visit, &new.email, &asked.password, None)
}

/// The code of an invitation.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InvitationCode")]
pub(crate) struct Code {
    code: String,
}

/// Says what an invitation is for. Not by GET: no code stands in an address that is written down.
pub(crate) fn invitation(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    here(visit)?;
    let asked: Code = document(visit)?;
    Ok(ok(&visit.control().invitation(&asked.code)?))
}

/// Who takes an invitation.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcceptInvitation")]
pub(crate) struct Accept {
    code: String,
    /// Of somebody new here.
    name: Option<String>,
    /// The same.
    password: Option<String>,
}

/// Takes an invitation: as whoever is signed in, or as somebody new, who is signed in by it.
pub(crate) fn accept(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    here(visit)?;
    let asked: Accept = document(visit)?;
    if visit.signed.is_some() {
        visit.acting()?.accept_invitation(&asked.code)?;
        return Ok(ok(&Session {
            person: visit.acting()?.person(visit.who_id())?,
            csrf_token: session::csrf(visit.control(), &visit.cookie),
        }));
    }
    let (Some(name), Some(password)) = (asked.name, asked.password) else {
        return Err(Refusal::Invalid("give name and password, or sign in first".to_owned()));
    };
    let person = visit.control().accept_invitation(&asked.code, &name, &password)?;
    enter(visit, &person.email, &password, None)
}
