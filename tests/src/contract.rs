//! Whether an answer of `/api/app` is as the server describes it: asked of every one that a test sees.
//!
//! # Invariants
//! * The description is the server's own, `/api/app/openapi.json`, and the judge of schemas is not of its making.

use std::net::SocketAddr;
use std::sync::OnceLock;

use serde_json::Value;

use crate::wire::{Answer, Request, exchange};

/// The description of one server is that of all: it is the same program.
static DESCRIPTION: OnceLock<Value> = OnceLock::new();

/// The description that a server gives of its calls.
///
/// # Panics
/// If it gives none.
pub fn description(addr: SocketAddr) -> &'static Value {
    DESCRIPTION.get_or_init(|| {
        let request = Request::get("/api/app/openapi.json").close();
        let answer = exchange(addr, &request.bytes()).expect("an answer");
        serde_json::from_slice(&answer.expect_status(200).body).expect("JSON")
    })
}

/// Insists that an answer of a call is described: its status, and its body. Other answers are none of this module's.
///
/// # Panics
/// With what is wrong.
#[track_caller]
pub fn check(addr: SocketAddr, method: &str, target: &str, answer: &Answer) {
    let path = target.split('?').next().unwrap_or_default().trim_end_matches('/');
    let is_call = path.starts_with("/api/app/") || path.starts_with("/settings/project/");
    if !is_call || path == "/api/app/openapi.json" || method == "HEAD" {
        return;
    }
    let document = description(addr);
    let what = || format!("{method} {path}: {} {}", answer.status, answer.text());
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", what()));
    let schema = match operation(document, method, path) {
        Some(operation) => {
            let response = &operation["responses"][answer.status.to_string()];
            assert!(response.is_object(), "this status is not described: {}", what());
            response["content"]["application/json"]["schema"].clone()
        }
        // What no call is for is refused as calls are.
        None => serde_json::json!({ "$ref": "#/components/schemas/Error" }),
    };
    let mut whole = schema;
    whole["components"] = document["components"].clone();
    let judge = jsonschema::validator_for(&whole).unwrap_or_else(|e| panic!("{e}: {}", what()));
    let wrong: Vec<_> =
        judge.iter_errors(&body).map(|e| format!("{} at {:?}", e, e.instance_path().to_string())).collect();
    assert!(wrong.is_empty(), "{}: {}", wrong.join("; "), what());
}

/// The operation that a path means; one that is written as it is goes before one with names in it.
fn operation<'d>(document: &'d Value, method: &str, path: &str) -> Option<&'d Value> {
    let matching = document["paths"].as_object()?.iter().filter(|(pattern, _)| matches(pattern, path));
    let (_, operations) = matching.min_by_key(|(pattern, _)| pattern.matches('{').count())?;
    let operation = &operations[method.to_ascii_lowercase()];
    operation.is_object().then_some(operation)
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_the_operation_that_is_written_as_it_is() {
        let document = serde_json::json!({ "paths": {
            "/a/{id}": { "get": { "operationId": "by id" } },
            "/a/all": { "get": { "operationId": "all" } },
        }});
        let id = |path| operation(&document, "GET", path).map(|found| found["operationId"].clone());
        assert_eq!(id("/a/all"), Some("all".into()));
        assert_eq!(id("/a/7"), Some("by id".into()));
        assert_eq!((id("/a"), id("/a/7/b")), (None, None));
        assert_eq!(operation(&document, "POST", "/a/7"), None);
    }
}
