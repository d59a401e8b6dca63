//! The console, the calls and the command line do the same things: every route that changes something names its
//! command, and the command is there.

use std::collections::BTreeSet;

use forebay_console::{ROUTES, Verb};
use forebay_tests::{Forebay, Json, Request, Setup, cli, eventually};

/// What people do for themselves in a browser, and nobody on the host does for them.
const OWN: [&str; 13] = [
    "/console/sign-in",
    "/console/sign-in/code",
    "/console/sign-in/resend",
    "/console/sign-out",
    "/console/setup",
    "/console/invitation",
    "/api/app/sign-in",
    "/api/app/sign-out",
    "/api/app/setup",
    "/api/app/invitation",
    "/api/app/invitation/accept",
    // Who reads the mail shows that it arrives.
    "/preferences/",
    // One's own authenticator: the host ends a second factor, and begins none.
    "/second-factor/",
];

#[test]
fn every_route_that_changes_something_names_its_command_and_that_is_there() {
    let mut commands = BTreeSet::new();
    for route in ROUTES {
        let is_own =
            OWN.iter().any(|own| route.path == *own || own.ends_with('/') && route.path.contains(own));
        match route.command {
            Some(command) => drop(commands.insert(command)),
            None => assert!(route.verb == Verb::Get || is_own, "{} has no command", route.path),
        }
    }
    assert!(commands.len() > 30, "{commands:?}");
    let dir = tempfile::tempdir().expect("a directory");
    for command in commands {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = cli::run(dir.path(), &words).success().text();
        assert!(help.contains(&format!("Usage: forebay {command}")), "{command}: {help}");
        assert!(help.contains("--json"), "{command}");
    }
}

#[test]
fn what_deletes_says_first_what_would_go_and_changes_nothing() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let id = project.id.to_string();
    let grant = format!("{id}=analyst");
    forebay.cli(&["organisation", "create", "--name", "Elsewhere"]);
    forebay.cli(&["person", "create", "--email", "ada@example.com", "--name", "Ada", "--no-password"]);
    forebay.cli(&["organisation", "set-role", "1", "ada@example.com", "member"]);
    forebay.cli(&["organisation", "set-project-role", &id, "ada@example.com", "admin"]);
    forebay.cli(&[
        "service-account",
        "create",
        "--username",
        "etl",
        "--organisation",
        "1",
        "--project",
        &grant,
    ]);
    forebay.cli(&["project", "add-token", &id, "brought"]);
    let state = || {
        let lists: [&[&str]; 4] = [
            &["project", "list", "--json"],
            &["organisation", "list", "--json"],
            &["service-account", "list", "--json"],
            &["project", "members", &id, "--json"],
        ];
        lists.map(|args| forebay.cli(args).text())
    };
    // That somebody waited for the project to be known is a use of its secret, which is booked within a second.
    eventually("the use of the secret is booked", || {
        forebay.cli(&["project", "show", &id, "--json"]).json().u64("api_secret_uses") > 0
    });
    let before = state();
    let cases: [(&[&str], &[&str]); 6] = [
        (&["project", "delete", &id], &["ada@example.com, admin", "service account etl", "token brought"]),
        (&["project", "transfer", &id, "2"], &["to organisation 2 (Elsewhere)", "service account etl"]),
        (&["project", "remove-token", &id, "brought"], &["would remove token brought", "kept unclaimed"]),
        (&["organisation", "delete", "1"], &["refused: 2 projects, 0 deleted ones and 1 service accounts"]),
        (&["organisation", "remove", "1", "ada@example.com"], &["as member", "admin in project"]),
        (&["service-account", "delete", "etl"], &["used 0 times, last never", "analyst in project"]),
    ];
    for (args, says) in cases {
        let with = |more: &'static [&'static str]| [args, more].concat();
        let text = forebay.cli(&with(&["--dry-run"])).text();
        says.iter().for_each(|part| assert!(text.contains(part), "{args:?}: {part:?} is not in {text}"));
        let told = forebay.cli(&with(&["--dry-run", "--json"])).json();
        assert_eq!(told.get("dry_run"), Some(&Json::Bool(true)), "{told}");
        assert_eq!(state(), before, "{args:?} changed something");
    }
}

/// Each kind of thing that the command line makes, shows and ends, on a directory that no server has open.
#[test]
fn the_command_line_does_the_same_with_the_server_stopped() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path().join("data");
    // A first start makes the store.
    Setup::new().data_dir(&dir).start().stop();
    let run = |args: &[&str]| cli::run(&dir, &[args, &["--json"]].concat()).success();
    let project = run(&["project", "create", "--name", "Shop"]).json();
    let id = project.u64("id").to_string();
    run(&["project", "set", &id, "--timezone", "Asia/Tokyo", "--retention-days", "30"]);
    run(&["project", "add-token", &id, "brought"]);
    run(&["project", "retire-token", &id, "brought"]);
    let reset = run(&["project", "reset-secret", &id, "--grace", "24h"]).json();
    assert_ne!(reset.str("api_secret"), project.str("api_secret"));
    run(&["person", "create", "--email", "ada@example.com", "--name", "Ada", "--no-password"]);
    let owner = run(&["owner", "grant", "--organisation", "1", "--email", "ada@example.com"]).json();
    assert_eq!(owner.get("members").and_then(Json::as_array).map(<[Json]>::len), Some(1));
    run(&["organisation", "rename", "1", "Engines"]);
    run(&["organisation", "invite", "1", "bob@example.com"]);
    assert_eq!(run(&["organisation", "invitations", "1"]).lines().len(), 1);
    run(&["person", "preferences", "ada@example.com", "--log-usage", "on"]);
    run(&["gdpr-token", "reset", "ada@example.com"]);
    assert_eq!(
        run(&["person", "data", "ada@example.com"]).json().get("account").map(|a| a.str("name")),
        Some("Ada")
    );
    run(&["service-account", "create", "--username", "etl", "--project", &id, "--scopes", "export"]);
    run(&["service-account", "rotate", "etl"]);
    run(&["service-account", "delete", "etl"]);
    assert_eq!(run(&["export", "--project", &id, "--count"]).json().u64("events"), 0);
    assert_eq!(run(&["stats", "--project", &id]).lines().len(), 1);
    run(&["project", "delete", &id]);
    run(&["project", "undelete", &id]);
    let actions: BTreeSet<_> = run(&["audit", "list", "-n", "0"])
        .lines()
        .iter()
        .map(|entry| entry.str("action").to_owned())
        .collect();
    for action in
        ["project.created", "project.secret_reset", "organisation.changed", "service_account.deleted"]
    {
        assert!(actions.contains(action), "{action} is not in {actions:?}");
    }
    run(&["audit", "verify"]);
    // A server that starts then has it all.
    let forebay = Setup::new().data_dir(&dir).start();
    let reads = Request::get("/api/2.0/export?from_date=2026-01-01&to_date=2026-01-02");
    forebay.send(&reads.basic(reset.str("api_secret"), "")).expect_status(200);
}
