//! The calls of `/api/app`, as programs make them: by a service account, and by a browser's session.

use std::time::Duration;

use forebay_tests::console::{Visitor, enter};
use forebay_tests::{Answer, Forebay, Json, Project, Request, eventually};

const OWNER: &str = "ada@example.com";

fn with_owner() -> (Forebay, Project) {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    enter(&forebay, OWNER, "Ada");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", OWNER]);
    (forebay, project)
}

/// Makes a service account of the project in a role, known to the server.
fn account(forebay: &Forebay, project: u64, name: &str, role: &str) -> String {
    let with_role = format!("{project}={role}");
    let args = ["service-account", "create", "--username", name, "--secret", "s3cret", "--json", "--project"];
    forebay.cli(&[&args[..], &[with_role.as_str()]].concat());
    eventually(Duration::from_secs(10), "the account is known", || {
        forebay.send(&Request::get("/api/app/me").basic(name, "s3cret")).status == 200
    });
    name.to_owned()
}

/// The results of an answer in the envelope.
#[track_caller]
fn results(answer: &Answer, status: u16) -> Json {
    let document = answer.expect_status(status).json();
    assert_eq!(document.str("status"), "ok", "{document}");
    document.get("results").expect("results").clone()
}

#[test]
fn a_service_account_finds_out_that_it_is_good_and_for_what() {
    let (forebay, project) = with_owner();
    let name = account(&forebay, project.id, "reader", "analyst");
    for path in ["/api/app/me", "/api/app/me/", "/api/app/me?include_workspace_users=false"] {
        let me = results(&forebay.send(&Request::get(path).basic(&name, "s3cret")), 200);
        assert_eq!(me.str("user_name"), "reader");
        let there = me.get("projects").and_then(|all| all.get(&project.id.to_string())).expect("its project");
        assert_eq!((there.str("name"), there.u64("organization_id")), ("Shop", 1));
        assert_eq!(
            me.get("organizations").and_then(|all| all.get("1")).expect("its organisation").u64("id"),
            1
        );
        assert!(me.get("workspaces").and_then(Json::as_object).is_some_and(|all| all.is_empty()));
    }
    for request in [
        Request::get("/api/app/me"),
        Request::get("/api/app/me").basic(&name, "wrong"),
        Request::get("/api/app/me").basic("nobody", "s3cret"),
        Request::get("/api/app/me").basic(&project.token, ""),
        Request::get("/api/app/me").header("Authorization", "Bearer x"),
    ] {
        let answer = forebay.send(&request);
        assert_eq!(answer.expect_status(401).json().str("status"), "error");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")));
    }
}

#[test]
fn a_service_account_reads_as_far_as_its_role_reaches_and_changes_nothing() {
    let (forebay, project) = with_owner();
    let other = forebay.create_project("Other");
    let reader = account(&forebay, project.id, "reader", "analyst");
    let admin = account(&forebay, project.id, "boss", "admin");
    let path = |id: u64, rest: &str| format!("/api/app/projects/{id}{rest}");
    let metadata = format!("/settings/project/{}/metadata", project.id);
    for (path, as_reader, as_admin) in [
        (path(project.id, ""), 200, 200),
        (path(project.id, "/stats"), 200, 200),
        (path(project.id, "/service-accounts"), 403, 200),
        (metadata, 403, 200),
        (path(other.id, ""), 404, 404),
        ("/api/app/organizations/1".to_owned(), 200, 200),
        ("/api/app/organizations/2".to_owned(), 404, 404),
        ("/api/app/organizations/1/service-accounts".to_owned(), 200, 200),
    ] {
        for (name, want) in [(&reader, as_reader), (&admin, as_admin)] {
            let answer = forebay.send(&Request::get(&path).basic(name, "s3cret"));
            assert_eq!(answer.status, want, "{path} as {name}: {}", answer.text());
        }
    }
    let make =
        Request::post("/api/app/organizations/1/service-accounts", r#"{"username":"x","projects":[]}"#);
    forebay.send(&make.basic(&admin, "s3cret")).expect_status(403);
    let list = Request::get("/api/app/organizations/1/service-accounts").basic(&reader, "s3cret");
    let list = results(&forebay.send(&list), 200);
    let names: Vec<_> = list.as_array().expect("a list").iter().map(|one| one.str("username")).collect();
    assert_eq!(names, ["reader"], "an account sees itself, and those of projects that it is an admin of");
}

#[test]
fn a_session_makes_shows_shares_and_deletes_service_accounts() {
    let (forebay, project) = with_owner();
    let other = forebay.create_project("Other");
    let mut owner = Visitor::signed_in(forebay.addr(), OWNER);
    let csrf = owner.csrf();
    let base = "/api/app/organizations/1/service-accounts";
    let mut call = |method: &str, path: &str, body: &str| {
        owner.send(Request::new(method, path).header("X-CSRF-Token", &csrf).body(body))
    };
    let body = format!(
        r#"{{"username":"etl","role":"analyst","expires":"2040-01-01T00:00:00Z","projects":[{{"id":{}}}]}}"#,
        project.id
    );
    let made = results(&call("POST", &format!("{base}/"), &body), 201);
    let (id, secret) = (made.u64("id"), made.str("token").to_owned());
    assert_eq!((made.str("expires"), made.str("creator")), ("2040-01-01T00:00:00Z", "Ada"));
    eventually(Duration::from_secs(10), "the account is known", || {
        forebay.send(&Request::get("/api/app/me").basic("etl", &secret)).status == 200
    });
    let one = format!("{base}/{id}");
    let shown = results(&call("GET", &one, ""), 200);
    assert!(shown.get("token").is_none(), "the secret is told once: {shown}");
    let add =
        format!(r#"{{"projects":[{{"id":{},"role":"consumer"}}],"service_account_ids":[{id}]}}"#, other.id);
    call("POST", &format!("{base}/add-to-project"), &add).expect_status(200);
    let of_other =
        results(&call("GET", &format!("/api/app/projects/{}/service-accounts", other.id), ""), 200);
    assert_eq!(of_other.as_array().expect("a list")[0].str("role"), "consumer");
    let remove = format!(r#"{{"projects":[{{"id":{},"service_account_ids":[{id}]}}]}}"#, other.id);
    call("POST", &format!("{base}/remove-from-project"), &remove).expect_status(200);
    for (body, status) in [("", 400), ("{}", 400), ("[1", 400), (body.as_str(), 409)] {
        let answer = call("POST", base, body);
        assert_eq!(answer.expect_status(status).json().str("status"), "error", "{body}");
    }
    assert_eq!(call("DELETE", &one, "").expect_status(200).json().str("status"), "ok");
    call("DELETE", &one, "").expect_status(404);
    eventually(Duration::from_secs(10), "the account is gone", || {
        forebay.send(&Request::get("/api/app/me").basic("etl", &secret)).status == 401
    });
}

#[test]
fn a_session_makes_a_project_and_reads_what_became_of_its_events() {
    let (forebay, _) = with_owner();
    let mut owner = Visitor::signed_in(forebay.addr(), OWNER);
    let csrf = owner.csrf();
    let request =
        Request::post("/api/app/organizations/1/create-project", r#"{"project_name":"Made by a call"}"#);
    let made = results(&owner.send(request.header("X-CSRF-Token", &csrf)), 200);
    let id = made.u64("id");
    let metadata = results(&owner.get(&format!("/settings/project/{id}/metadata/")), 200);
    assert_eq!((metadata.str("name"), metadata.str("token")), ("Made by a call", made.str("token")));
    assert!(!metadata.to_string().contains(made.str("secret")), "{metadata}");
    let stats = results(&owner.get(&format!("/api/app/projects/{id}/stats")), 200);
    assert_eq!(stats.u64("received"), 0);
    let audit = results(&owner.get("/api/app/organizations/1/audit?action=project.created"), 200);
    let entries = audit.get("entries").and_then(Json::as_array).expect("entries").to_vec();
    assert!(entries.iter().any(|entry| entry.str("subject") == id.to_string()), "{audit}");
}
