//! The calls of `/api/app`, as programs make them: by a service account, and by a browser's session.

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
    eventually("the account is known", || {
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
fn a_service_account_reads_as_far_as_its_role_reaches() {
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
    let list = Request::get("/api/app/organizations/1/service-accounts").basic(&reader, "s3cret");
    let list = results(&forebay.send(&list), 200);
    let names: Vec<_> = list.as_array().expect("a list").iter().map(|one| one.str("username")).collect();
    assert_eq!(names, ["reader"], "an account sees itself, and those of projects that it is an admin of");
}

/// The API as a service account that is an admin of the organisation uses it, in each of the forms that clients send.
#[test]
fn a_service_account_manages_others_and_makes_projects_by_calls() {
    let (forebay, project) = with_owner();
    let args = ["service-account", "create", "--username", "terraform", "--secret", "s3cret"];
    forebay.cli(&[&args[..], &["--organisation-role", "admin"]].concat());
    let base64 = |path: &str| Request::new("POST", path).basic("terraform", "s3cret");
    let plain = |path: &str| Request::new("POST", path).header("Authorization", "Basic terraform:s3cret");
    eventually("the account is known", || {
        forebay.send(&Request::get("/api/app/me").header("Authorization", "Basic terraform:s3cret")).status
            == 200
    });
    let base = "/api/app/organizations/1/service-accounts";
    let both_forms =
        [(plain as fn(&str) -> Request, "plain", base.to_owned()), (base64, "base64", format!("{base}/"))];
    for (request, name, path) in both_forms {
        let body =
            format!(r#"{{"username":"made-{name}","projects":[{{"id":{},"role":"analyst"}}]}}"#, project.id);
        let made = results(&forebay.send(&request(&path).body(body)), 201);
        assert_eq!((made.str("creator"), made.str("token").len()), ("service account terraform", 32));
    }
    // A browser that keeps name and secret does not lend them to another site.
    for (header, value) in [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")] {
        let lent = base64(base).header(header, value).body(r#"{"username":"made-elsewhere"}"#);
        forebay.send(&lent).expect_status(403);
    }
    let made = results(
        &forebay.send(
            &base64("/api/app/organizations/1/create-project")
                .body(r#"{"project_name":"Made","cluster_id":1,"timezone_id":404}"#),
        ),
        200,
    );
    let id = made.u64("id");
    let list = results(&forebay.send(&Request::get(base).basic("terraform", "s3cret")), 200);
    let account =
        list.as_array().expect("a list").iter().find(|one| one.str("username") == "made-plain").cloned();
    let account = account.expect("it is there").u64("id");
    let add = format!(r#"{{"projects":[{{"id":{id},"role":"admin"}}],"service_account_ids":[{account}]}}"#);
    forebay.send(&plain(&format!("{base}/add-to-project/")).body(add)).expect_status(200);
    let above = format!(r#"{{"projects":[{{"id":{id},"role":"owner"}}],"service_account_ids":[{account}]}}"#);
    forebay.send(&plain(&format!("{base}/add-to-project")).body(above)).expect_status(403);
    let remove = format!(r#"{{"projects":[{{"id":{id},"service_account_ids":[{account}]}}]}}"#);
    forebay.send(&base64(&format!("{base}/remove-from-project")).body(remove)).expect_status(200);
    let delete = Request::new("DELETE", &format!("{base}/{account}/")).basic("terraform", "s3cret");
    assert_eq!(forebay.send(&delete).expect_status(200).json().str("status"), "ok");
    forebay.send(&delete).expect_status(404);
    let audit = Request::get("/api/app/organizations/1/audit?action=service_account.deleted");
    let audit = results(&forebay.send(&audit.basic("terraform", "s3cret")), 200);
    let entries = audit.get("entries").and_then(Json::as_array).expect("entries");
    assert_eq!(entries[0].str("actor"), "service_account:terraform", "{audit}");
}

#[test]
fn key_and_secret_are_told_to_an_owner_among_service_accounts_and_to_no_other() {
    let (forebay, project) = with_owner();
    let owner = account(&forebay, project.id, "owner", "owner");
    let admin = account(&forebay, project.id, "admin", "admin");
    for path in ["/settings/project/{}/metadata", "/api/app/projects/{}/metadata/"] {
        let path = path.replace("{}", &project.id.to_string());
        let as_owner = results(&forebay.send(&Request::get(&path).basic(&owner, "s3cret")), 200);
        assert_eq!(as_owner.str("secret"), project.api_secret);
        assert_eq!((as_owner.str("api_key"), as_owner.str("token")), (&*project.api_key, &*project.token));
        assert_eq!((as_owner.str("timezone_name"), as_owner.str("name")), ("UTC", "Shop"));
        let as_admin = forebay.send(&Request::get(&path).basic(&admin, "s3cret"));
        assert_eq!(results(&as_admin, 200).str("token"), project.token);
        assert!(
            !as_admin.text().contains(&project.api_secret) && !as_admin.text().contains(&project.api_key)
        );
    }
    let revealed = forebay.cli(&["audit", "list", "--action", "project.secret_revealed", "--json"]).stdout;
    let revealed = String::from_utf8_lossy(&revealed);
    assert_eq!(revealed.matches("service_account:owner").count(), 2, "each time is in the audit: {revealed}");
}

#[test]
fn a_service_account_exports_and_imports_as_far_as_its_role_and_scopes_reach() {
    let (forebay, project) = with_owner();
    let (export, import) = (
        format!("/api/2.0/export?from_date=2020-01-01&to_date=2020-01-02&project_id={}", project.id),
        format!("/import?strict=1&project_id={}", project.id),
    );
    let event = r#"[{"event":"e","properties":{"time":1600000000,"distinct_id":"d","$insert_id":"i"}}]"#;
    for (name, role, scopes, reads, writes) in [
        ("consumer", "consumer", "none", 401, 401),
        ("analyst", "analyst", "none", 200, 401),
        ("admin", "admin", "none", 200, 200),
        ("exporter", "admin", "export", 200, 401),
        ("importer", "admin", "import", 401, 200),
        ("eraser", "owner", "gdpr,engage-read", 401, 401),
    ] {
        account(&forebay, project.id, name, role);
        forebay.cli(&["service-account", "narrow", name, scopes]);
        eventually("what it may is in force", || {
            let reading = forebay.send(&Request::get(&export).basic(name, "s3cret")).status;
            let writing = forebay.send(&Request::post(&import, event).basic(name, "s3cret")).status;
            (reading, writing) == (reads, writes)
        });
    }
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
    eventually("the account is known", || {
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
    eventually("the account is gone", || {
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
    for wrong in ["", "0", "07", "%2B7", "+7", "x", "9223372036854775808"] {
        owner.get(&format!("/api/app/organizations/1/audit?before={wrong}")).expect_status(400);
    }
    owner.get("/api/app/organizations/1/audit?before=7").expect_status(200);
}
