//! The calls of `/api/app`, and `/settings/project/{id}/metadata`: JSON in the envelope that Mixpanel's clients know,
//! `{"status":"ok","results":…}` or `{"status":"error","error":"…"}`, each with and without slash at the end.

pub(crate) mod accounts;
pub(crate) mod me;
pub(crate) mod openapi;
pub(crate) mod organisations;
pub(crate) mod projects;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{answer::Answer, refusal::Refusal, visit::Visit};

/// Whether a path is a call's.
pub(crate) fn is_call(path: &str) -> bool {
    path == "/api/app" || path.starts_with("/api/app/") || path.starts_with("/settings/project/")
}

/// An answer with results.
pub(crate) fn ok(results: Value) -> Answer {
    Answer::json(StatusCode::OK, &json!({ "status": "ok", "results": results }))
}

/// What was made.
pub(crate) fn created(results: Value) -> Answer {
    Answer::json(StatusCode::CREATED, &json!({ "status": "ok", "results": results }))
}

/// Done, and nothing to say.
pub(crate) fn done() -> Answer {
    Answer::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// The document that a call brought.
pub(crate) fn document<T: serde::de::DeserializeOwned>(visit: &Visit<'_>) -> Result<T, Refusal> {
    serde_json::from_slice(visit.body)
        .map_err(|error| Refusal::Invalid(format!("the body is not as it should be: {error}")))
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
