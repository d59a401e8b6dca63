//! The calls of `/api/app`, and `/settings/project/{id}/metadata`: JSON in the envelope that Mixpanel's clients know,
//! `{"status":"ok","results":…}` or `{"status":"error","error":"…"}`, each with and without slash at the end.
//!
//! Where clients of Mixpanel know a call, its names and shapes are theirs; the others tell the store's own types, which
//! the command line prints with `--json`, too. What a call takes and tells is a type here, and its description is made
//! of that type: see [`openapi`].

pub(crate) mod accounts;
pub(crate) mod entry;
pub(crate) mod keys;
pub(crate) mod me;
pub(crate) mod members;
pub(crate) mod openapi;
pub(crate) mod organisations;
pub(crate) mod own;
pub(crate) mod projects;
pub(crate) mod schema;
pub(crate) mod traffic;

use forebay_control::PasswordProof;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::{answer::Answer, refusal::Refusal, visit::Visit, when};

/// Whether a path is a call's.
pub(crate) fn is_call(path: &str) -> bool {
    path == "/api/app" || path.starts_with("/api/app/") || path.starts_with("/settings/project/")
}

/// An answer with results.
pub(crate) fn ok(results: &impl Serialize) -> Answer {
    Answer::json(StatusCode::OK, &json!({ "status": "ok", "results": results }))
}

/// What was made.
pub(crate) fn created(results: &impl Serialize) -> Answer {
    Answer::json(StatusCode::CREATED, &json!({ "status": "ok", "results": results }))
}

/// Done, and nothing to say.
pub(crate) fn done() -> Answer {
    Answer::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// The document that a call brought.
pub(crate) fn document<T: serde::de::DeserializeOwned>(visit: &Visit<'_>) -> Result<T, Refusal> {
    // Else a list of the fields' values would be taken for them.
    if !visit.body.trim_ascii_start().starts_with(b"{") {
        return Err(Refusal::Invalid("the body is not as it should be: give a JSON object".to_owned()));
    }
    serde_json::from_slice(visit.body)
        .map_err(|error| Refusal::Invalid(format!("the body is not as it should be: {error}")))
}

/// A moment that a document names.
pub(crate) fn moment(what: &str, text: &str) -> Result<u64, Refusal> {
    when::parse_rfc3339(text).ok_or_else(|| {
        Refusal::Invalid(format!("{what} is {text:?}: give a time such as 2030-01-31T00:00:00Z"))
    })
}

/// What sensitive acts ask for: of a person the password that the call brought; a service account's secret came with it.
pub(crate) fn proof(visit: &Visit<'_>, password: Option<&str>) -> Result<PasswordProof, Refusal> {
    Ok(visit.acting()?.prove_password(password.unwrap_or_default())?)
}

/// A body that holds the password of who asks. A service account leaves it out.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PasswordGiven")]
pub(crate) struct Password {
    /// The password of the person who asks; a service account leaves it out.
    pub(crate) password: Option<String>,
}

/// Why there are none.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let text = match refusal {
        Refusal::Unknown => {
            "Unauthorized: send HTTP Basic with a service account's username and secret".to_owned()
        }
        refusal => refusal.text(),
    };
    let answer = Answer::json(refusal.status(), &json!({ "status": "error", "error": text }));
    match refusal {
        Refusal::Unknown => answer.and_ask_for_credentials(),
        _ => answer,
    }
}
