//! Calls about what sends to a project and what reads it: tokens, API key and secret.

use forebay_control::Grace;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Answer,
    api::{Password, document, moment, ok, proof},
    refusal::Refusal,
    visit::Visit,
};

/// A token that is to send, too.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddToken {
    /// Left out, a new one is chosen: the last of those told.
    token: Option<String>,
}

/// Lets another token send to the project.
pub(crate) fn add_token(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: AddToken = document(visit)?;
    let (acting, id) = (visit.acting()?, visit.project()?.id);
    Ok(ok(&match asked.token {
        Some(token) => acting.add_token(id, &token)?,
        None => acting.new_token(id)?,
    }))
}

/// A token that is to send until a time.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetireToken {
    token: String,
    /// Until when, such as 2030-01-31T00:00:00Z; null takes the retirement back.
    at: Option<String>,
}

/// Lets a token send until a time, and no longer.
pub(crate) fn retire_token(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: RetireToken = document(visit)?;
    let at_ms = asked.at.as_deref().map(|at| moment("at", at)).transpose()?;
    Ok(ok(&visit.acting()?.retire_token(visit.project()?.id, &asked.token, at_ms)?))
}

/// A token that is to go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveToken {
    token: String,
}

/// Stops a token, and forgets it.
pub(crate) fn remove_token(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: RemoveToken = document(visit)?;
    Ok(ok(&visit.acting()?.remove_token(visit.project()?.id, &asked.token)?))
}

/// Tells key and secret again.
pub(crate) fn reveal(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Password = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    Ok(ok(&visit.acting()?.reveal_credentials(visit.project()?.id, &proof)?))
}

/// What used key and secret of late.
pub(crate) fn callers(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.callers(visit.project()?.id)?))
}

/// How long what is replaced is taken a while longer.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(rename = "Grace")]
pub(crate) enum Follow {
    #[default]
    #[serde(rename = "0")]
    None,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
}

impl From<Follow> for Grace {
    fn from(follow: Follow) -> Grace {
        match follow {
            Follow::None => Grace::None,
            Follow::Hour => Grace::Hour,
            Follow::Day => Grace::Day,
            Follow::Week => Grace::Week,
        }
    }
}

/// How key and secret are to be reset.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResetRequest")]
pub(crate) struct Reset {
    /// How long those before are taken too.
    #[serde(default)]
    grace: Follow,
    /// The password of the person who asks; a service account leaves it out.
    password: Option<String>,
}

/// Gives the project a new key and secret, which are told.
pub(crate) fn reset(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Reset = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    Ok(ok(&visit.acting()?.reset_credentials(visit.project()?.id, asked.grace.into(), &proof)?))
}

/// Takes none but the present ones from now on.
pub(crate) fn end_former(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.end_former_credentials(visit.project()?.id)?))
}
