//! Calls about oneself: for people, as a service account has nothing of its own.

use forebay_control::{HandOver, PersonChange, PersonId, PreferencesChange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::Answer,
    api::{Password, document, done, ok, proof},
    refusal::Refusal,
    session::Cookie,
    visit::Visit,
};

/// What is to change of oneself; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PersonChange")]
pub(crate) struct Change {
    name: Option<String>,
    /// Takes the password.
    email: Option<String>,
    password: Option<String>,
}

/// Changes name or address.
pub(crate) fn change(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Change = document(visit)?;
    let given = asked.email.as_ref().map(|_| proof(visit, asked.password.as_deref())).transpose()?;
    let change = PersonChange { name: asked.name, email: asked.email };
    Ok(ok(&visit.acting()?.change_person(visit.who_id(), &change, given.as_ref())?))
}

/// Another password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The present one.
    password: String,
    new_password: String,
}

/// Changes the password; all other sessions end.
pub(crate) fn set_password(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: NewPassword = document(visit)?;
    let (acting, signed) = (visit.acting()?, visit.who()?);
    let proof = proof(visit, Some(&asked.password))?;
    acting.set_password(signed.person.id, &asked.new_password, Some(&signed.session), &proof)?;
    Ok(done())
}

/// One's second factor.
pub(crate) fn two_factor(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.two_factor(visit.who_id())?))
}

/// Makes a secret for the authenticator, and tells it.
pub(crate) fn begin_two_factor(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Password = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    Ok(ok(&visit.acting()?.begin_two_factor(visit.who_id(), &proof)?))
}

/// A phone for codes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phone {
    /// With the code of its country, such as +4366012345678.
    number: String,
    password: Option<String>,
}

/// Sends a first code to a phone.
pub(crate) fn begin_phone(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Phone = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    Ok(ok(&visit.acting()?.begin_phone(visit.who_id(), &asked.number, &proof)?))
}

/// Sends another.
pub(crate) fn resend_phone_code(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.resend_phone_code(visit.who_id())?))
}

/// A code, of the authenticator or as it was sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GivenCode")]
pub(crate) struct Code {
    code: String,
}

/// Recovery codes: the only time they are told.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RecoveryCodes")]
pub(crate) struct Codes {
    recovery_codes: Vec<String>,
}

/// Switches it on by a first code.
pub(crate) fn confirm_two_factor(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Code = document(visit)?;
    let recovery_codes = visit.acting()?.confirm_two_factor(visit.who_id(), &asked.code)?;
    Ok(ok(&Codes { recovery_codes }))
}

/// Other recovery codes in the place of those there are.
pub(crate) fn renew_codes(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Password = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    let recovery_codes = visit.acting()?.renew_recovery_codes(visit.who_id(), &proof)?;
    Ok(ok(&Codes { recovery_codes }))
}

/// Switches it off.
pub(crate) fn end_two_factor(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Password = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    visit.acting()?.end_two_factor(visit.who_id(), &proof)?;
    Ok(done())
}

/// Where one is signed in.
pub(crate) fn sessions(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.sessions(visit.who_id())?))
}

/// How many sessions ended.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EndedSessions")]
pub(crate) struct Ended {
    ended: usize,
}

/// Ends all sessions but this one.
pub(crate) fn end_sessions(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let signed = visit.who()?;
    let ended = visit.acting()?.end_sessions(signed.person.id, Some(&signed.session))?;
    Ok(ok(&Ended { ended }))
}

/// What one set for oneself.
pub(crate) fn preferences(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.preferences(visit.who_id())?))
}

/// What is to change of it; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PreferencesChange")]
pub(crate) struct Preferences {
    /// Where notices go besides one's own address; empty: nowhere.
    notice_email: Option<String>,
    /// Whether one is told of sign-ins from a new place.
    tells_sign_ins: Option<bool>,
    remembers_views: Option<bool>,
    logs_usage: Option<bool>,
}

/// Changes it. In force at once.
pub(crate) fn set_preferences(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Preferences = document(visit)?;
    let change = PreferencesChange {
        notice_email: asked.notice_email.map(|email| (!email.is_empty()).then_some(email)),
        tells_sign_ins: asked.tells_sign_ins,
        remembers_views: asked.remembers_views,
        logs_usage: asked.logs_usage,
    };
    Ok(ok(&visit.acting()?.change_preferences(visit.who_id(), &change)?))
}

/// Has a code sent to the address for notices.
pub(crate) fn send_notice_code(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    visit.acting()?.send_notice_code(visit.who_id())?;
    Ok(done())
}

/// Takes that code.
pub(crate) fn confirm_notice_email(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Code = document(visit)?;
    visit.acting()?.confirm_notice_email(visit.who_id(), &asked.code)?;
    Ok(done())
}

/// All that is held about oneself.
pub(crate) fn data(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.personal_data(visit.who_id())?))
}

/// What an erasure would take.
pub(crate) fn erasable(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.erasable_data(visit.who_id())?))
}

/// Erases it; the account goes on.
pub(crate) fn erase(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Password = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    Ok(ok(&visit.acting()?.erase_personal_data(visit.who_id(), &proof)?))
}

/// One's GDPR token: never the token itself.
pub(crate) fn gdpr_token(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.gdpr_token(visit.who_id())?))
}

/// Another GDPR token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GdprTokenRequest")]
pub(crate) struct ResetGdpr {
    /// For so many days, at most 365.
    #[serde(default = "a_year")]
    days: u32,
    password: Option<String>,
}

fn a_year() -> u32 {
    365
}

/// Makes one, and tells it, this once; the one before ends at once.
pub(crate) fn reset_gdpr_token(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: ResetGdpr = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    Ok(ok(&visit.acting()?.reset_gdpr_token(visit.who_id(), asked.days, &proof)?))
}

/// Ends it, without another.
pub(crate) fn end_gdpr_token(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    visit.acting()?.end_gdpr_token(visit.who_id())?;
    Ok(done())
}

/// What one would lose by deleting one's account, and what stays.
pub(crate) fn losses(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.losses(visit.who_id())?))
}

/// How one's account is to be deleted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeleteAccount")]
pub(crate) struct Delete {
    password: Option<String>,
    /// The next owners of organisations that one is the only owner of.
    #[serde(default)]
    hand_over: Vec<Next>,
}

/// The next owner of an organisation.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NextOwner")]
struct Next {
    organization_id: u64,
    /// The number of a member.
    person: u64,
}

/// Deletes one's account: hand-over and deletion are one act.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Delete = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    let hand_over = asked
        .hand_over
        .iter()
        .map(|next| HandOver { organisation: next.organization_id, to: PersonId(next.person) });
    visit.acting()?.delete_person(visit.who_id(), &proof, &hand_over.collect::<Vec<_>>())?;
    let answer = done().and_cookie(&Cookie::Browser.clear(visit.is_secure));
    Ok(answer.and_cookie(&Cookie::Session.clear(visit.is_secure)))
}
