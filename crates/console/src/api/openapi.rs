//! The description of the calls, made from the list that dispatches them: it cannot promise what is not there.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    answer::Answer,
    refusal::Refusal,
    route::{Face, Needs, Route, Verb},
    table::ROUTES,
    visit::Visit,
};

/// Serves it.
pub(crate) fn serve(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(Answer::json(StatusCode::OK, &describe(&visit.origin())))
}

/// The description, for a server at `url`.
pub(crate) fn describe(url: &str) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES.iter().filter(|route| route.face == Face::Call) {
        paths
            .entry(route.path)
            .or_default()
            .insert(route.verb.as_str().to_ascii_lowercase(), operation(route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Forebay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Organisations, projects, service accounts. Each path is answered with and without slash at \
                            the end. Sending events and exporting them have paths of their own.",
        },
        "servers": [{ "url": url }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "service_account": { "type": "http", "scheme": "basic" },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "forebay-session",
                    "description": "What a browser has after signing in; calls that change something then need the \
                                    header X-CSRF-Token, too.",
                },
            },
            "schemas": {
                "Error": {
                    "type": "object", "required": ["status", "error"],
                    "properties": { "status": { "const": "error" }, "error": { "type": "string" } },
                },
                "Answer": {
                    "type": "object", "required": ["status"],
                    "properties": { "status": { "const": "ok" }, "results": {} },
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let parameters: Vec<Value> = route
        .names()
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "integer", "minimum": 1 } })
        })
        .collect();
    let answer = |what: &str, schema: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        json!({ "description": what, "content": { "application/json": { "schema": schema } } })
    };
    let mut responses = Map::new();
    responses.insert("200".into(), answer("done", "Answer"));
    if route.verb == Verb::Post {
        responses
            .insert("201".into(), answer("made; what is told once, such as a secret, is in it", "Answer"));
    }
    let mut refuse = |status: &str, what: &str| responses.insert(status.to_owned(), answer(what, "Error"));
    let needs = match route.needs {
        Needs::Nobody => "nothing".to_owned(),
        Needs::Somebody => "to be known".to_owned(),
        Needs::Person => "a person who is signed in".to_owned(),
        Needs::Organisation(role) => format!("the role {role} in the organisation"),
        Needs::Project(role) => format!("the role {role} in the project"),
        Needs::Operator => "an owner of the first organisation".to_owned(),
    };
    if route.needs != Needs::Nobody {
        refuse("401", "not known");
        refuse("403", "the role does not reach");
        refuse("404", "not there, or not to be known of");
    }
    if route.verb != Verb::Get {
        refuse("408", "it did not arrive whole");
        refuse("400", "what was sent cannot be");
        refuse("409", "it does not go together with what there is");
        refuse("413", "longer than 64 KiB");
    }
    refuse("503", "busy; Retry-After says until when");
    let mut operation = json!({
        "summary": route.about, "description": format!("Needs {needs}."), "parameters": parameters,
        "responses": responses,
    });
    if route.verb == Verb::Post {
        let schema = json!({ "type": "object" });
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    if route.needs == Needs::Nobody {
        operation["security"] = json!([]);
    } else {
        operation["security"] = json!([{ "service_account": [] }, { "session": [] }]);
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_described_and_nothing_else() {
        let document = describe("http://localhost:8080");
        let mut described = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            for verb in operations.as_object().unwrap().keys() {
                let route = ROUTES
                    .iter()
                    .find(|route| route.path == path && route.verb.as_str().eq_ignore_ascii_case(verb));
                assert_eq!(route.map(|route| route.face), Some(Face::Call), "{verb} {path}");
                described += 1;
            }
        }
        assert_eq!(described, ROUTES.iter().filter(|route| route.face == Face::Call).count());
    }
}
