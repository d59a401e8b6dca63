//! The description of the calls, made from the list that dispatches them and the types that they take and tell: it
//! cannot promise what is not there.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    answer::Answer,
    api::schema::Schemas,
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
    let mut schemas = Schemas::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES.iter().filter(|route| route.face == Face::Call) {
        paths
            .entry(route.path)
            .or_default()
            .insert(route.verb.as_str().to_ascii_lowercase(), operation(route, &mut schemas));
    }
    let [mut named, told] = schemas.named();
    named.extend(told);
    named.insert("Done".into(), envelope(None));
    named.insert(
        "Error".into(),
        json!({
            "type": "object", "required": ["status", "error"], "additionalProperties": false,
            "properties": {
                "status": { "const": "error" },
                "error": { "type": "string", "description": "What is wrong and what to do, in a sentence or two" },
            },
        }),
    );
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Forebay",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE") },
            "description": "Organisations, projects, people, service accounts. Each path is answered with and without \
                            slash at the end, and redirects nowhere. Sending events and exporting them have paths of \
                            their own.",
        },
        "servers": [{ "url": url }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "service_account": {
                    "type": "http", "scheme": "basic",
                    "description": "A service account's username and secret; `Basic username:secret` in plain is taken, \
                                    too. One that is narrowed to scopes may ask who it is, and nothing else here.",
                },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "forebay-session",
                    "description": "What signing in sets (over an encrypted connection `__Host-forebay-session`), where \
                                    the console is served; calls that change something need the header X-CSRF-Token, \
                                    too, with the `csrf_token` that signing in told.",
                },
            },
            "schemas": named,
        },
    })
}

/// The schema of an answer that went well.
fn envelope(results: Option<&Value>) -> Value {
    let mut properties = json!({ "status": { "const": "ok" } });
    let mut required = vec!["status"];
    if let Some(results) = results {
        properties["results"] = results.clone();
        required.push("results");
    }
    json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let number = json!({ "type": "integer", "minimum": 1, "maximum": i64::MAX });
    let in_path =
        route.names().map(|name| json!({ "name": name, "in": "path", "required": true, "schema": number }));
    let in_query = route.query.iter().map(|parameter| {
        let schema = if parameter.is_number { number.clone() } else { json!({ "type": "string" }) };
        json!({ "name": parameter.name, "in": "query", "description": parameter.about, "schema": schema })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let of = |what: &str, schema: Value| json!({ "description": what, "content": { "application/json": { "schema": schema } } });
    let mut responses = Map::new();
    let told = match route.tells {
        Some(tells) => envelope(Some(&schemas.told(tells))),
        None if route.describes_itself() => json!({ "type": "object" }),
        None => json!({ "$ref": "#/components/schemas/Done" }),
    };
    let (status, what) = if route.makes { ("201", "made") } else { ("200", "done") };
    responses.insert(status.into(), of(what, told));
    let mut refuse = |status: &str, what: &str| {
        responses.insert(status.to_owned(), of(what, json!({ "$ref": "#/components/schemas/Error" })));
    };
    let needs = match route.needs {
        Needs::Nobody => "nothing".to_owned(),
        Needs::Somebody => "a person who is signed in, or a service account".to_owned(),
        Needs::Person => "a person who is signed in".to_owned(),
        Needs::Organisation(role) => format!("the role {role} in the organisation"),
        Needs::Project(role) => format!("the role {role} in the project"),
        Needs::Operator => "an owner of the organisation that the server was set up with".to_owned(),
    };
    if route.needs != Needs::Nobody {
        refuse("401", "not known");
    }
    if route.needs != Needs::Nobody || route.verb != Verb::Get {
        refuse("403", "the role does not reach, a second factor is missing, or the form token is");
        refuse("404", "not there, or not to be known of");
    }
    if route.verb != Verb::Get || !route.query.is_empty() {
        refuse("400", "what was sent cannot be");
    }
    if route.verb != Verb::Get {
        refuse("408", "it did not arrive whole");
        refuse("409", "it does not go together with what there is");
        refuse("413", "longer than 64 KiB");
        refuse("429", "too many attempts with a wrong password; Retry-After says until when");
    }
    refuse("503", "busy; Retry-After says until when");
    let mut operation = json!({
        "operationId": operation_id(route), "summary": route.about, "description": format!("Needs {needs}."),
        "parameters": parameters, "responses": responses,
    });
    if let Some(takes) = route.takes {
        let schema = schemas.taken(takes);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation["security"] = match route.needs {
        Needs::Nobody => json!([]),
        Needs::Person => json!([{ "session": [] }]),
        _ => json!([{ "service_account": [] }, { "session": [] }]),
    };
    operation
}

/// What programs call it: the method, and the words of its path.
fn operation_id(route: &Route) -> String {
    let words =
        route.path.split(['/', '-', '.', '{', '}']).filter(|word| !matches!(*word, "" | "api" | "app"));
    let path = words.map(str::to_owned).collect::<Vec<_>>().join("_");
    format!("{}_{path}", route.verb.as_str().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, operations)| {
            let operations = operations.as_object().unwrap().iter();
            operations.map(move |(verb, operation)| (verb.clone(), path.clone(), operation.clone()))
        });
        operations.collect()
    }

    #[test]
    fn every_call_is_described_and_nothing_else() {
        let document = describe("http://localhost:8080");
        let mut ids = BTreeSet::new();
        let described = operations(&document);
        for (verb, path, operation) in &described {
            let route = ROUTES
                .iter()
                .find(|route| route.path == path && route.verb.as_str().eq_ignore_ascii_case(verb));
            assert_eq!(route.map(|route| route.face), Some(Face::Call), "{verb} {path}");
            assert!(ids.insert(operation["operationId"].to_string()), "{verb} {path} is named as another");
        }
        assert_eq!(described.len(), ROUTES.iter().filter(|route| route.face == Face::Call).count());
    }

    #[test]
    fn whatever_the_description_refers_to_is_in_it() {
        let document = describe("http://localhost:8080");
        let named = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        let mut referred = 0;
        for part in text.split("\"$ref\":\"").skip(1) {
            let name = part.split('"').next().unwrap().strip_prefix("#/components/schemas/").expect(part);
            assert!(named.contains_key(name), "{name}");
            referred += 1;
        }
        assert!(referred > 100, "{referred}");
    }

    #[test]
    fn a_call_that_tells_something_says_what_and_one_that_takes_something_too() {
        for route in ROUTES.iter().filter(|route| route.face == Face::Call) {
            if route.verb == Verb::Get {
                assert!(route.tells.is_some() || route.describes_itself(), "{}", route.path);
                assert!(route.takes.is_none(), "{}", route.path);
            }
            assert!(!route.makes || route.verb == Verb::Post && route.tells.is_some(), "{}", route.path);
        }
    }
}
