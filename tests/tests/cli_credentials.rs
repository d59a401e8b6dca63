//! The life of credentials on the command line, in force in a running server.

use std::time::{Duration, Instant};

use forebay_tests::{Forebay, Json, Project, Request};

/// What the command line changes is in force within a second; a machine under load is given ten.
fn in_force(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "{what}: not after ten seconds");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn reads(forebay: &Forebay, secret: &str) -> bool {
    let path = "/api/2.0/export?from_date=2000-01-01&to_date=2000-01-01";
    forebay.send(&Request::get(path).basic(secret, "")).status == 200
}

fn id(project: &Project) -> String {
    project.id.to_string()
}

#[test]
fn key_and_secret_are_reset_with_time_to_follow_which_can_be_cut_short() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let shown = forebay.cli(&["project", "reveal-secret", &id(&project), "--json"]).json();
    assert_eq!(shown.str("api_secret"), project.api_secret);
    let reset = forebay.cli(&["project", "reset-secret", &id(&project), "--grace", "24h", "--json"]).json();
    in_force("the new secret reads", || reads(&forebay, reset.str("api_secret")));
    assert!(reads(&forebay, &project.api_secret), "the old one still does");
    in_force("its use is told", || {
        let shown = forebay.cli(&["project", "show", &id(&project), "--json"]).json();
        let former = shown.get("former_credentials").and_then(Json::as_array).expect("a list");
        former.iter().any(|former| former.str("kind") == "api_secret" && former.u64("uses") >= 1)
    });
    forebay.cli(&["project", "end-grace", &id(&project)]);
    in_force("the old one ends", || !reads(&forebay, &project.api_secret));
    assert!(reads(&forebay, reset.str("api_secret")));
    forebay
        .try_cli(&["project", "reset-secret", &id(&project), "--grace", "2h"])
        .failure(&["there are 0, 1h, 24h, 7d"]);
}

#[test]
fn a_deleted_project_is_silent_and_can_be_had_back() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let json = forebay.cli(&["project", "delete", &id(&project), "--json"]).json();
    assert!(json.u64("purged_at_ms") > json.u64("deleted_at_ms"));
    in_force("its secret reads nothing", || !reads(&forebay, &project.api_secret));
    forebay.try_cli(&["project", "show", &id(&project)]).failure(&["there is no project"]);
    assert!(forebay.cli(&["project", "deleted", "1"]).text().contains("Shop"));
    forebay.cli(&["project", "undelete", &id(&project)]);
    in_force("it reads again", || reads(&forebay, &project.api_secret));
}

#[test]
fn tokens_are_counted_one_by_one_and_retired() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    forebay.cli(&["project", "add-token", &id(&project), "shipped"]);
    let event = r#"{"event":"a","properties":{"token":"shipped","distinct_id":"u"}}"#;
    in_force("each token has its count", || {
        forebay.send(&Request::post("/track", event)).expect(200, "1");
        let shown = forebay.cli(&["project", "show", &id(&project), "--json"]).json();
        let tokens = shown.get("tokens").and_then(Json::as_array).expect("tokens");
        tokens[0].u64("events") == 0 && tokens[1].u64("events") > 0
    });
    forebay.cli(&["project", "retire-token", &id(&project), "shipped"]);
    forebay
        .try_cli(&["project", "retire-token", &id(&project), &project.token])
        .failure(&["has no other token that stays"]);
    in_force("it sends to nobody", || {
        forebay.send(&Request::post("/track", event)).expect(200, "1");
        forebay
            .records()
            .iter()
            .any(|r| r.str("token") == "shipped" && r.get("project_id") == Some(&Json::Null))
    });
    forebay
        .try_cli(&["project", "create", "--token", "shipped"])
        .failure(&["token \"shipped\" belongs to project"]);
}

#[test]
fn a_service_account_is_rotated_and_a_gdpr_token_made_and_ended() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let create = ["service-account", "create", "--username", "etl", "--json", "--project"];
    let of_project = format!("{}=analyst", project.id);
    let made = forebay.cli(&[&create[..], &[&of_project]].concat()).json();
    let rotated = forebay.cli(&["service-account", "rotate", "etl", "--json"]).json();
    let reads = |secret: &str| {
        let path =
            format!("/api/2.0/export?from_date=2000-01-01&to_date=2000-01-01&project_id={}", project.id);
        forebay.send(&Request::get(&path).basic("etl", secret)).status == 200
    };
    in_force("the new one reads", || reads(rotated.str("secret")));
    assert!(reads(made.str("secret")), "and so does the one before");
    forebay.cli(&["service-account", "rotate", "etl", "--grace", "0"]);
    in_force("neither does now", || !reads(made.str("secret")) && !reads(rotated.str("secret")));
    assert!(forebay.cli(&["service-account", "list"]).text().contains("(analyst)"));
    let third = forebay.cli(&["service-account", "rotate", "etl", "--grace", "0", "--json"]).json();
    let imports = || {
        let path = format!("/import?project_id={}", project.id);
        let event =
            r#"[{"event":"a","properties":{"time":1700000000,"distinct_id":"u","$insert_id":"abc-1"}}]"#;
        forebay.send(&Request::post(&path, event).basic("etl", third.str("secret"))).status
    };
    in_force("an analyst only reads", || reads(third.str("secret")));
    assert_eq!(imports(), 401);
    forebay.cli(&["service-account", "add-to-project", "etl", &format!("{}=admin", project.id)]);
    in_force("an admin imports", || imports() == 200);
    forebay.cli(&["service-account", "remove-from-project", "etl", &id(&project)]);
    forebay
        .try_cli(&["service-account", "remove-from-project", "etl", &id(&project)])
        .failure(&["has no role in project"]);

    let person = ["person", "create", "--email", "zoe@example.com", "--name", "Zoë", "--no-password"];
    forebay.cli(&person);
    let reset = ["gdpr-token", "reset", "zoe@example.com", "--json"];
    forebay.try_cli(&reset).failure(&["a GDPR token is for owners and admins of a project"]);
    forebay.cli(&["organisation", "set-role", "1", "zoe@example.com", "owner"]);
    assert_eq!(forebay.cli(&reset).json().str("token").len(), 32);
    assert!(forebay.cli(&["gdpr-token", "show", "zoe@example.com"]).text().contains("used    0 times"));
    forebay.cli(&["gdpr-token", "end", "zoe@example.com"]);
    assert!(forebay.cli(&["gdpr-token", "show", "zoe@example.com"]).text().contains("has none"));
}
