//! The console, the calls and the command line do the same things: every route that changes something names its
//! command, and the command is there.

use std::collections::BTreeSet;

use forebay_console::{ROUTES, Verb};
use forebay_tests::{Forebay, Json, cli};

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
