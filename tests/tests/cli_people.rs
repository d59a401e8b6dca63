//! People and organisations on the command line, beside a running server.

use std::fs;

use forebay_tests::{Forebay, Json};

/// A file with a password, and its path as an argument.
fn password(forebay: &Forebay, name: &str, text: &str) -> String {
    let path = forebay.data_dir().join(name);
    fs::write(&path, text).expect("a file in the data directory");
    path.to_str().expect("UTF-8").to_owned()
}

fn members(shown: &Json) -> Vec<(String, String)> {
    let members = shown.get("members").and_then(Json::as_array).expect("members");
    members.iter().map(|m| (m.str("email").to_owned(), m.str("role").to_owned())).collect()
}

#[test]
fn an_organisation_in_the_hands_of_the_host_gets_people_and_keeps_an_owner() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let shown = forebay.cli(&["organisation", "show", "1"]).text();
    assert!(shown.contains("nobody belongs to it yet: forebay person create"), "{shown}");
    let file = password(&forebay, "password", "correct horse battery\n");
    let zoe = ["person", "create", "--email", "zoe@example.com", "--name", "Zoë", "--organisation", "1"];
    let zoe =
        forebay.cli(&[&zoe[..], &["--role", "owner", "--password-file", &file, "--json"]].concat()).json();
    assert_eq!(zoe.get("has_password"), Some(&Json::Bool(true)));
    let ann = ["person", "create", "--email", "ann@example.com", "--name", "Ann", "--no-password"];
    forebay.cli(&ann);
    forebay.cli(&["organisation", "set-project-role", &project.id.to_string(), "Ann@Example.com", "analyst"]);
    let shown = forebay.cli(&["person", "show", "ann@example.com"]).text();
    assert!(shown.contains("none: cannot sign in") && shown.contains("(Shop, analyst)"), "{shown}");

    // The last owner stays, whichever way is tried.
    for refused in [
        &["organisation", "remove", "1", "zoe@example.com"][..],
        &["organisation", "set-role", "1", "zoe@example.com", "member"],
        &["person", "delete", "zoe@example.com"],
    ] {
        forebay.try_cli(refused).failure(&[
            "zoe@example.com is the only owner of organisation 1",
            "make another member an owner first",
        ]);
    }
    forebay.cli(&["person", "delete", "zoe@example.com", "--hand-over", "1=ann@example.com"]);
    let shown = forebay.cli(&["organisation", "show", "1", "--json"]).json();
    assert_eq!(members(&shown), [("ann@example.com".to_owned(), "owner".to_owned())]);
    assert_eq!(shown.u64("projects"), 2, "projects stay: the first one, and Shop");

    // A locked-out organisation: its owner is gone to the hills.
    forebay.cli(&["person", "create", "--email", "new@example.com", "--name", "New", "--no-password"]);
    let granted = ["owner", "grant", "--organisation", "1", "--email", "new@example.com", "--json"];
    assert_eq!(members(&forebay.cli(&granted).json()).len(), 2);
    let noted =
        forebay.cli(&["audit", "list", "--action", "organisation.role_changed", "-n", "1", "--json"]).json();
    assert_eq!((noted.str("actor"), noted.str("subject")), ("command line", "1"), "{noted}");
    let required = forebay.cli(&["organisation", "require-two-factor", "1"]).text();
    assert!(required.contains("second factor required"), "{required}");
    assert!(!forebay.cli(&["organisation", "require-two-factor", "1", "--off"]).text().contains("required"));
    forebay.try_cli(&["person", "end-two-factor", "new@example.com"]).failure(&["there is no second factor"]);
    forebay.cli(&["organisation", "rename", "1", "Acme"]);
    assert!(forebay.cli(&["organisation", "list"]).text().contains("Acme"));
}

#[test]
fn what_is_refused_about_people_is_explained_and_no_password_shows() {
    let forebay = Forebay::start();
    let file = password(&forebay, "weak", "hunter2\n");
    let create = ["person", "create", "--email", "zoe@example.com", "--name", "Zoë"];
    let with = |more: &[&str]| forebay.try_cli(&[&create[..], more].concat());
    let weak = with(&["--password-file", &file])
        .failure(&["the password is too short; take at least 10 characters"]);
    assert!(!weak.stderr.contains("hunter2"), "{}", weak.stderr);
    with(&["--password-file", "/no/such/file"]).failure(&["cannot read the password from /no/such/file"]);
    with(&["--no-password", "--organisation", "7"]).failure(&["there is no organisation 7"]);
    with(&["--no-password", "--organisation", "1", "--role", "boss"])
        .failure(&["there are member, admin, owner"]);
    forebay
        .try_cli(&["person", "show", "zoe@example.com"])
        .failure(&["there is no person \"zoe@example.com\""]);
    with(&["--no-password"]).success();
    with(&["--no-password"]).failure(&["another person has the address zoe@example.com"]);
    forebay.try_cli(&["person", "change", "zoe@example.com"]).failure(&["give --name or --new-email"]);
    let change = ["person", "change", "zoe@example.com", "--new-email", "not an address"];
    forebay.try_cli(&change).failure(&["\"not an address\" is no e-mail address"]);
    forebay
        .try_cli(&["person", "delete", "zoe@example.com", "--hand-over", "1"])
        .failure(&["it is written ORGANISATION=EMAIL"]);
    let other = ["organisation", "set-project-role", "99", "zoe@example.com", "admin"];
    forebay.try_cli(&other).failure(&["there is no project 99"]);
}

#[test]
fn people_are_invited_by_a_code_that_is_shown_once_and_can_be_taken_back() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop").id.to_string();
    let invite = ["organisation", "invite", "1", "ann@example.com", "--project", &project];
    let invited = forebay.cli(&[&invite[..], &["--project-role", "analyst", "--json"]].concat()).json();
    let code = invited.str("code").to_owned();
    assert_eq!((code.len(), invited.str("role"), invited.str("project_role")), (32, "member", "analyst"));
    let listed = forebay.cli(&["organisation", "invitations", "1"]).text();
    assert!(listed.contains("ann@example.com") && !listed.contains(&code), "{listed}");
    let id = invited.u64("id").to_string();
    forebay.cli(&["organisation", "revoke-invitation", "1", &id]);
    forebay
        .try_cli(&["organisation", "revoke-invitation", "1", &id])
        .failure(&[&format!("there is no invitation {id}"), "`forebay organisation invitations`"]);
    forebay
        .try_cli(&["organisation", "invite", "1", "ann@example.com", "--expires", "2020-01-01"])
        .failure(&["give a time from now to 90 days ahead"]);
}

#[test]
fn the_host_prints_a_link_to_set_up_by_until_somebody_has() {
    let forebay = Forebay::start();
    let link = ["owner", "setup-link", "--json"];
    let [first, second] = [0, 1].map(|_| forebay.cli(&link).json().str("code").to_owned());
    assert_ne!(first, second);
    assert!(forebay.cli(&["owner", "setup-link"]).text().contains("open    /console/setup?code="));
    forebay.cli(&["person", "create", "--email", "zoe@example.com", "--name", "Zoë", "--no-password"]);
    forebay.try_cli(&link).failure(&["somebody has set up already", "`forebay owner grant`"]);
}

#[test]
fn a_persons_data_is_printed_erased_and_what_deletion_takes_is_told_before() {
    let forebay = Forebay::start();
    let create = ["person", "create", "--email", "zoe@example.com", "--name", "Zoë", "--no-password"];
    forebay.cli(&[&create[..], &["--organisation", "1", "--role", "owner"]].concat());
    let set = [
        "person",
        "preferences",
        "zoe@example.com",
        "--log-usage",
        "on",
        "--notice-email",
        "ops@example.com",
    ];
    let set = forebay.cli(&[&set[..], &["--json"]].concat()).json();
    assert_eq!(
        (set.get("logs_usage"), set.str("notice_email")),
        (Some(&Json::Bool(true)), "ops@example.com")
    );
    assert!(forebay.cli(&["person", "preferences", "zoe@example.com"]).text().contains("log usage       on"));
    let data = forebay.cli(&["person", "data", "zoe@example.com", "--json"]).json();
    assert_eq!(data.get("account").map(|account| account.str("email")), Some("zoe@example.com"));
    let dry = forebay.cli(&["person", "erase-data", "zoe@example.com", "--dry-run", "--json"]).json();
    let done = forebay.cli(&["person", "erase-data", "zoe@example.com", "--json"]).json();
    assert_eq!((dry.u64("audit"), dry.str("pseudonym")), (done.u64("audit"), done.str("pseudonym")));
    assert!(done.u64("audit") > 0);
    forebay.cli(&["person", "show", "zoe@example.com"]);
    let losses = forebay.cli(&["person", "delete", "zoe@example.com", "--dry-run"]).text();
    assert!(losses.contains("needs another owner first: enter or invite somebody"), "{losses}");
    forebay.cli(&["person", "show", "zoe@example.com"]);
}

#[test]
fn the_audit_is_listed_and_its_check_finds_what_was_tampered_with() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop").id.to_string();
    forebay.cli(&["project", "rename", &project, "Store"]);
    // Its events were asked for, too, by who waited for the project to be known.
    let list = ["audit", "list", "--project", &project, "--action", "project.", "--json"];
    let entries = forebay.cli(&list).lines();
    let actions: Vec<_> = entries.iter().map(|entry| entry.str("action")).collect();
    assert_eq!(actions, ["project.changed", "project.created"]);
    let last = forebay.cli(&["audit", "list", "--action", "project.", "-n", "1"]).text();
    assert!(last.contains("project.changed") && last.contains("\"Shop\" -> \"Store\""), "{last}");
    let report = forebay.cli(&["audit", "verify", "--json"]).json();
    let head = format!("{}:{}", report.u64("last"), report.str("head"));
    forebay.cli(&["project", "rename", &project, "Shop"]);
    assert!(forebay.cli(&["audit", "verify", "--expect", &head]).text().contains("nobody tampered with it"));
    let other = format!("{}:{}", report.u64("last"), "0".repeat(64));
    let found = forebay.try_cli(&["audit", "verify", "--expect", &other]);
    assert!(!found.status.success() && found.text().contains("it has another head than was noted"));
    forebay.try_cli(&["audit", "verify", "--expect", "7"]).failure(&["is not NUMBER:HEAD"]);
}
