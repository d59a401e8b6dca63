//! Carrying a registry to another node.

use crate::common::{NOW_MS, brought, host_proof, named, store};
use forebay_control::{
    AccountProject, Control, Grace, ImportReport, NewAccount, NewProject, ProjectChange, ProjectRole,
    RegistryDocument, Scope,
};
use forebay_route::{ClientAddress, IdMerge};

/// A node with two projects, one of them with everything set, and two accounts.
fn node() -> (tempfile::TempDir, Control) {
    let (dir, control) = store();
    control
        .host()
        .create_project(&NewProject { id_merge: IdMerge::Simplified, ..brought(11, "first") })
        .unwrap();
    control.host().add_token(11, "second").unwrap();
    let change = ProjectChange {
        accepts_events: Some(false),
        client_address: Some(ClientAddress::Mask),
        timezone: Some("Asia/Tokyo".to_owned()),
        retention_days: Some(Some(9)),
        ..ProjectChange::default()
    };
    control.host().change_project(11, &change).unwrap();
    control.host().create_project(&brought(12, "other")).unwrap();
    for (username, projects) in [
        ("both", vec![11.into(), AccountProject { id: 12, role: ProjectRole::Analyst }]),
        ("one", vec![12.into()]),
    ] {
        let account = NewAccount {
            username: Some(username.to_owned()),
            secret: Some(format!("secret of {username}")),
            projects,
            expires_at_ms: Some(NOW_MS + 5),
            scopes: (username == "one").then(|| vec![Scope::Export, Scope::Import]),
            ..NewAccount::default()
        };
        control.host().create_service_account(&account).unwrap();
    }
    (dir, control)
}

/// A document that went through a file.
fn carried(document: &RegistryDocument) -> RegistryDocument {
    RegistryDocument::parse(serde_json::to_string_pretty(document).unwrap().as_bytes()).unwrap()
}

#[test]
fn a_registry_arrives_as_it_left() {
    let (_dir, from) = node();
    let (_other, to) = store();
    let document = carried(&from.export(&[]).unwrap());
    assert!(document.warning.contains("in plain"));
    let created =
        ImportReport { projects_created: 2, service_accounts_created: 2, ..ImportReport::default() };
    assert_eq!(to.import(&document).unwrap(), created);

    let (mut there, here) = (from.snapshot().unwrap(), to.snapshot().unwrap());
    // The digests differ, as each node has a key of its own; the credentials behind them do not.
    for project in &mut there.projects {
        let number = project.id;
        project.api_key_mac = Some(to.mac(format!("key-of-{number}").as_bytes()));
        project.api_secret_mac = Some(to.mac(format!("secret-of-{number}").as_bytes()));
    }
    for account in &mut there.accounts {
        account.secret_mac = to.mac(format!("secret of {}", account.username).as_bytes());
    }
    assert_eq!(here.projects, there.projects);
    assert_eq!(here.accounts, there.accounts);
    assert_eq!(carried(&to.export(&[]).unwrap()), document, "and could go on");
}

#[test]
fn a_second_import_changes_nothing_and_a_later_one_what_changed() {
    let (_dir, from) = node();
    let (_other, to) = store();
    to.import(&from.export(&[]).unwrap()).unwrap();
    let before = to.snapshot().unwrap();
    let unchanged =
        ImportReport { projects_unchanged: 2, service_accounts_unchanged: 2, ..ImportReport::default() };
    assert_eq!(to.import(&from.export(&[]).unwrap()).unwrap(), unchanged);
    assert_eq!(to.snapshot().unwrap(), before, "not even a number of a change");

    from.host().rename_project(12, "renamed").unwrap();
    let secret = from.host().reset_credentials(11, Grace::None, &host_proof(&from)).unwrap().api_secret;
    from.host().remove_token(11, "first").unwrap();
    from.host().add_token(11, "third").unwrap();
    let report = to.import(&from.export(&[]).unwrap()).unwrap();
    assert_eq!((report.projects_changed, report.service_accounts_unchanged), (2, 2));
    let projects = to.host().projects().unwrap();
    assert_eq!(
        projects[0].project.tokens.iter().map(|token| &*token.token).collect::<Vec<_>>(),
        ["second", "third"]
    );
    assert_eq!(projects[1].project.name, "renamed");
    assert_eq!(to.snapshot().unwrap().projects[0].api_secret_mac, Some(to.mac(secret.as_bytes())));
}

#[test]
fn a_part_carries_the_projects_named_and_accounts_that_need_no_other() {
    let (_dir, from) = node();
    let document = from.export(&[12]).unwrap();
    assert_eq!(document.projects.iter().map(|project| project.id).collect::<Vec<_>>(), [12]);
    assert_eq!(document.service_accounts.iter().map(|a| &*a.username).collect::<Vec<_>>(), ["one"]);
    assert!(from.export(&[12, 99]).unwrap_err().to_string().contains("there is no project 99"));
    let audit = from.audit_entries(1).unwrap();
    assert_eq!((&*audit[0].action, &*audit[0].subject), ("project.exported", "12"));
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    let (_dir, from) = node();
    let document = serde_json::to_value(from.export(&[]).unwrap()).unwrap();
    type Spoil = fn(&mut serde_json::Value);
    let cases: [(Spoil, &str); 9] = [
        (
            |d| d["projects"][1]["id"] = 5.into(),
            "project 5 is \"here\" here and another project, \"project 12\"",
        ),
        (
            |d| d["projects"][1]["tokens"][0] = "taken".into(),
            "token \"taken\" belongs to project 5 (\"here\")",
        ),
        (|d| d["projects"][1]["tokens"] = serde_json::json!([]), "project 12 has no other token"),
        (|d| d["projects"][1]["api_key"] = "key-of-5".into(), "the API key given belongs to project 5"),
        (|d| d["projects"][1]["retention_days"] = 0.into(), "a retention of 0 days"),
        (|d| d["service_accounts"][0]["secret_sha256"] = "ab".into(), "is not 64 hexadecimal digits"),
        (|d| d["service_accounts"][0]["projects"][0] = 99.into(), "there is no project 99"),
        (|d| d["forebay_registry"] = 2.into(), "the document has version 2"),
        (|d| d["colour"] = "red".into(), "is not a registry as `forebay project export` writes it"),
    ];
    for (spoil, expected) in cases {
        let (_other, to) = store();
        to.host().create_project(&NewProject { name: "here".to_owned(), ..brought(5, "taken") }).unwrap();
        let before = to.snapshot().unwrap();
        let mut spoiled = document.clone();
        spoil(&mut spoiled);
        let parsed = RegistryDocument::parse(spoiled.to_string().as_bytes());
        let error = parsed.and_then(|document| to.import(&document)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}\nwanted: {expected}");
        assert_eq!(to.snapshot().unwrap(), before, "{expected}");
    }
}

#[test]
fn a_document_written_by_hand_needs_only_id_name_and_tokens() {
    let (_dir, control) = store();
    let json = br#"{"forebay_registry": 1, "projects": [{"id": 3, "name": "By hand", "tokens": ["t"]}]}"#;
    let document = RegistryDocument::parse(json).unwrap();
    assert_eq!(control.import(&document).unwrap().projects_created, 1);
    assert_eq!(
        control.import(&document).unwrap().projects_unchanged,
        1,
        "its token tells that it is the same"
    );
    let project = control.host().project(3).unwrap().project;
    assert!(project.accepts_events && project.client_address == "keep");
    control.host().create_project(&named("another")).unwrap();
}

#[test]
fn a_debug_line_of_a_document_holds_no_credential() {
    let (_dir, from) = node();
    let document = from.export(&[]).unwrap();
    let line = format!("{document:?}");
    assert!(!line.contains("secret-of") && !line.contains("key-of") && !line.contains("sha256"), "{line}");
}
