//! Projects and service accounts: what is taken, what is refused and with which words, what others see.

use std::fs;

use crate::common::{NOW_MS, brought, host_proof, named, open, options, store};
use forebay_control::{
    AccountError, Control, Grace, NewAccount, NewProject, PeopleError, Poll, ProjectChange, ProjectError,
    Snapshot,
};
use forebay_record::ProjectId;
use forebay_route::{Change, ClientAddress, IdMerge};

fn id(id: u64) -> ProjectId {
    ProjectId::new(id).unwrap()
}

#[test]
fn what_is_brought_along_is_taken_as_it_is() {
    let (_dir, control) = store();
    let tokens = ["Tok-3_With.Odd~Chars", "0123456789abcdef0123456789abcdef", "é", "a:b", &"x".repeat(256)];
    for (number, token) in (1..).zip(tokens) {
        let created = control.host().create_project(&brought(number, token)).unwrap();
        assert_eq!((created.id, &*created.token), (number, token));
        assert_eq!(
            (created.api_key, created.api_secret),
            (format!("key-of-{number}"), format!("secret-of-{number}"))
        );
        assert_eq!(control.host().project(number).unwrap().project.token, token);
        assert_eq!(control.project_of_token(token).unwrap(), ProjectId::new(number));
    }
    let largest = (1 << 53) - 1;
    assert_eq!(control.host().create_project(&brought(largest, "last")).unwrap().id, largest);
}

#[test]
fn what_is_left_out_is_chosen_and_is_never_the_same_twice() {
    let (_dir, control) = store();
    let created: Vec<_> = (0..20).map(|_| control.host().create_project(&named("p")).unwrap()).collect();
    let mut seen = std::collections::HashSet::new();
    for project in &created {
        assert!((1_000_000..10_000_000).contains(&project.id));
        for credential in [&project.token, &project.api_key, &project.api_secret] {
            assert!(credential.len() == 32 && credential.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(seen.insert(credential.clone()));
        }
    }
}

#[test]
fn what_breaks_a_rule_is_refused_with_value_and_remedy_and_changes_nothing() {
    let (_dir, control) = store();
    control.host().create_project(&NewProject { name: "Shop".to_owned(), ..brought(5, "taken") }).unwrap();
    let new = |change: fn(&mut NewProject)| {
        let mut new = brought(6, "free");
        change(&mut new);
        new
    };
    let cases: [(NewProject, &str); 12] = [
        (new(|p| p.id = Some(0)), "project id 0 is not between 1 and 9007199254740991 (2^53 - 1)"),
        (new(|p| p.id = Some(1 << 53)), "project id 9007199254740992 is not between"),
        (new(|p| p.id = Some(u64::MAX)), "project id 18446744073709551615 is not between"),
        (new(|p| p.id = Some(5)), "project 5 exists already, its name is \"Shop\"; leave the id out"),
        (new(|p| p.token = Some("taken".into())), "token \"taken\" belongs to project 5 (\"Shop\")"),
        (new(|p| p.token = Some(String::new())), "token \"\" is not 1 to 256 bytes"),
        (new(|p| p.token = Some("a b".into())), "token \"a b\" is not"),
        (new(|p| p.token = Some("x".repeat(257))), "is not 1 to 256 bytes"),
        (new(|p| p.api_key = Some("key-of-5".into())), "the API key given belongs to project 5 (\"Shop\")"),
        (new(|p| p.api_secret = Some("secret-of-5".into())), "the API secret given belongs to project 5"),
        (new(|p| p.api_secret = Some("a:b".into())), "the API secret given is not 1 to 256 bytes"),
        (new(|p| p.name = "a\nb".into()), "project name \"a\\nb\" is not 1 to 255 bytes"),
    ];
    let before = control.snapshot().unwrap();
    for (new, expected) in cases {
        let error = control.host().create_project(&new).unwrap_err().to_string();
        assert!(error.starts_with(expected) || error.contains(expected), "{error}\nwanted: {expected}");
        assert!(!error.contains("secret-of-5") && !error.contains("key-of-5"), "{error}");
    }
    assert_eq!(control.snapshot().unwrap(), before);
}

#[test]
fn a_project_that_is_not_there_is_an_error_that_says_how_to_see_them() {
    let (_dir, control) = store();
    let proof = host_proof(&control);
    let expected = "there is no project 9; `forebay project list` shows those there are";
    for error in [
        control.host().project(9).unwrap_err(),
        control.host().rename_project(9, "x").unwrap_err(),
        control.host().disable_project(9).unwrap_err(),
        control.host().reset_credentials(9, Grace::None, &proof).unwrap_err(),
        control.host().add_token(9, "x").unwrap_err(),
        control.host().remove_token(9, "x").unwrap_err(),
    ] {
        assert_eq!(error.to_string(), expected);
    }
    for number in [0, 1 << 53, u64::MAX] {
        assert!(
            matches!(control.host().project(number), Err(PeopleError::ProjectNotFound { .. })),
            "{number}"
        );
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, PeopleError>, says: &str) {
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn settings_change_one_by_one_and_the_audit_tells() {
    let (_dir, control) = store();
    control.host().create_project(&brought(1, "t")).unwrap();
    assert_eq!(control.host().rename_project(1, "New name").unwrap().name, "New name");
    assert!(!control.host().disable_project(1).unwrap().accepts_events);
    assert!(control.host().enable_project(1).unwrap().accepts_events);
    let change = ProjectChange {
        client_address: Some(ClientAddress::Mask),
        allowed_origins: Some(vec!["https://shop.example".to_owned()]),
        timezone: Some("Europe/Berlin".to_owned()),
        id_merge: Some(IdMerge::Simplified),
        retention_days: Some(Some(30)),
        ..ProjectChange::default()
    };
    let changed = control.host().change_project(1, &change).unwrap();
    assert_eq!(
        (changed.client_address, changed.id_merge, changed.retention_days),
        ("mask", "simplified", Some(30))
    );
    assert_eq!(control.host().project(1).unwrap().project, changed);
    let nothing = ProjectChange { retention_days: Some(Some(0)), ..ProjectChange::default() };
    refused(control.host().change_project(1, &nothing), "a retention of 0 days keeps nothing");
    for zone in ["", "Europe", "Europe/Atlantis", "../../etc/passwd"] {
        let zone = ProjectChange { timezone: Some(zone.to_owned()), ..ProjectChange::default() };
        refused(control.host().change_project(1, &zone), "there is no time zone");
    }
    for origin in ["shop.example", "https://", "https://shop.example/cart", "https://a b", "null", "*"] {
        let origin =
            ProjectChange { allowed_origins: Some(vec![origin.to_owned()]), ..ProjectChange::default() };
        refused(
            control.host().change_project(1, &origin),
            "is no origin; one looks like https://example.com",
        );
    }

    let audit = control.audit_entries(100).unwrap();
    let told: Vec<_> =
        audit.iter().rev().map(|entry| (&*entry.action, &*entry.subject, &*entry.detail)).collect();
    assert_eq!(
        told,
        [
            ("organisation.created", "1", "name \"default\""),
            ("project.created", "1", "name \"project 1\", token t"),
            ("project.changed", "1", "name \"project 1\" -> \"New name\""),
            ("project.changed", "1", "accepts_events true -> false"),
            ("project.changed", "1", "accepts_events false -> true"),
            (
                "project.changed",
                "1",
                "client_address \"keep\" -> \"mask\", allowed_origins [] -> [\"https://shop.example\"], timezone \"UTC\" -> \"Europe/Berlin\", id_merge \"original\" -> \"simplified\", retention_days None -> Some(30)"
            ),
        ]
    );
    assert!(audit.iter().all(|entry| entry.actor == "a test" && entry.at_ms == NOW_MS));
}

#[test]
fn a_project_has_several_tokens_and_keeps_the_last() {
    let (_dir, control) = store();
    control.host().create_project(&brought(1, "first")).unwrap();
    control.host().create_project(&brought(2, "other")).unwrap();
    let with_two = control.host().add_token(1, "second").unwrap();
    assert_eq!(control.host().add_token(1, "second").unwrap(), with_two, "once is enough");
    assert_eq!(with_two.tokens.iter().map(|token| &*token.token).collect::<Vec<_>>(), ["first", "second"]);
    assert!(matches!(
        control.host().add_token(1, "other"),
        Err(PeopleError::Project(ProjectError::TokenTaken { .. }))
    ));
    assert!(matches!(
        control.host().remove_token(1, "other"),
        Err(PeopleError::Project(ProjectError::TokenUnknown { .. }))
    ));
    assert_eq!(control.host().remove_token(1, "first").unwrap().token, "second");
    assert!(matches!(
        control.host().remove_token(1, "second"),
        Err(PeopleError::Project(ProjectError::LastToken { .. }))
    ));
}

#[test]
fn the_first_start_makes_one_project_and_later_ones_none() {
    let (dir, control) = store();
    let first = control.ensure_first_project().unwrap().unwrap();
    assert_eq!(first.name, "default");
    assert_eq!(open(dir.path()).ensure_first_project().unwrap(), None);
    assert_eq!(control.host().projects().unwrap().len(), 1);
}

#[test]
fn service_accounts_are_created_listed_and_deleted() {
    let (_dir, control) = store();
    for number in 1..=3 {
        control.host().create_project(&brought(number, &format!("t{number}"))).unwrap();
    }
    let new = |username: &str, projects: &[u64]| NewAccount {
        username: Some(username.to_owned()),
        secret: Some("sa-Secret+/=1: x".to_owned()),
        projects: projects.iter().map(|&id| id.into()).collect(),
        expires_at_ms: Some(NOW_MS + 1),
        ..NewAccount::default()
    };
    let created = control
        .host()
        .create_service_account(&new("collector.1a2b3c.mp-service-account", &[3, 1, 3]))
        .unwrap();
    assert_eq!((&*created.secret, &*created.projects), ("sa-Secret+/=1: x", &[1.into(), 3.into()][..]));
    let chosen = control
        .host()
        .create_service_account(&NewAccount { projects: vec![2.into()], ..NewAccount::default() })
        .unwrap();
    assert!(chosen.username.ends_with(".forebay-service-account") && chosen.secret.len() == 32);

    let names = |project| -> Vec<String> {
        control
            .host()
            .list_service_accounts(project)
            .unwrap()
            .into_iter()
            .map(|account| account.username)
            .collect()
    };
    assert_eq!(names(None), [&*created.username, &*chosen.username]);
    assert_eq!(names(Some(id(3))), [&*created.username]);
    let snapshot = control.snapshot().unwrap();
    let account = snapshot.accounts.iter().find(|account| *account.username == *created.username).unwrap();
    assert!(account.accepts(&control.mac(b"sa-Secret+/=1: x"), NOW_MS));
    assert!(!account.accepts(&control.mac(b"sa-Secret+/=1: x"), NOW_MS + 1), "expired");

    let cases: [(NewAccount, &str); 6] = [
        (new(&created.username, &[1]), "exists already; choose another name"),
        (new("a:b", &[1]), "user name \"a:b\" is not 1 to 256 bytes"),
        (
            NewAccount { scopes: Some(vec![]), ..new("none", &[1]) },
            "would be narrowed to nothing; name a scope",
        ),
        (new("wrong", &[1, 99]), "there is no project 99; `forebay project list`"),
        (
            NewAccount { expires_at_ms: Some(NOW_MS), ..new("late", &[1]) },
            "expired already, at 2025-10-09T08:53:20Z",
        ),
        (
            NewAccount { secret: Some(String::new()), ..new("empty", &[1]) },
            "the secret given for \"empty\" is not",
        ),
    ];
    for (new, expected) in cases {
        let error = control.host().create_service_account(&new).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(control.host().list_service_accounts(None).unwrap().len(), 2, "nothing half made");

    control.host().delete_service_account(&created.username).unwrap();
    assert_eq!(names(None), [chosen.username]);
    let gone = control.host().delete_service_account(&created.username);
    assert!(matches!(gone, Err(PeopleError::Account(AccountError::NotFound { .. }))));
}

#[test]
fn a_running_server_sees_what_another_process_changes() {
    let (dir, server) = store();
    server.host().create_project(&brought(1, "one")).unwrap();
    let (snapshot, mut watch) = server.watch().unwrap();
    assert_eq!(snapshot.projects.len(), 1);
    assert_eq!(watch.poll().unwrap(), Poll::Nothing);

    let cli = Control::open_existing_with(dir.path(), options(NOW_MS)).unwrap();
    let version = server.data_version().unwrap();
    cli.host().create_project(&brought(2, "two")).unwrap();
    assert_ne!(server.data_version().unwrap(), version);
    cli.host().rename_project(1, "renamed").unwrap();
    cli.host().rename_project(1, "renamed again").unwrap();
    cli.host()
        .create_service_account(&NewAccount {
            projects: vec![2.into()],
            username: Some("etl".into()),
            ..NewAccount::default()
        })
        .unwrap();
    cli.host().delete_service_account("etl").unwrap();
    let Poll::Changes(changes) = watch.poll().unwrap() else { panic!("changes") };
    let now = cli.snapshot().unwrap();
    assert_eq!(
        changes,
        [
            Change::Project(now.projects[0].clone()),
            Change::Project(now.projects[1].clone()),
            Change::ServiceAccountRemoved("etl".into()),
        ]
    );
    assert_eq!(&*now.projects[0].name, "renamed again");
    assert_eq!(watch.poll().unwrap(), Poll::Nothing);

    server.host().disable_project(2).unwrap();
    assert!(
        matches!(watch.poll().unwrap(), Poll::Changes(changes) if changes.len() == 1),
        "its own changes too"
    );
    server.record_accounting(&[], &[]).unwrap();
    assert_eq!(watch.poll().unwrap(), Poll::Nothing);
}

#[test]
fn a_server_that_missed_too_much_reads_everything_again() {
    let (dir, server) = store();
    server.host().create_project(&brought(1, "one")).unwrap();
    let (Snapshot { last_change, .. }, mut watch) = server.watch().unwrap();
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    server.host().rename_project(1, "b").unwrap();
    server.host().rename_project(1, "c").unwrap();
    db.execute("DELETE FROM changes WHERE id <= ?1", [last_change + 1]).unwrap();
    let Poll::Everything(everything) = watch.poll().unwrap() else { panic!("everything") };
    assert_eq!(&*everything.projects[0].name, "c");
    server.host().rename_project(1, "d").unwrap();
    assert!(matches!(watch.poll().unwrap(), Poll::Changes(_)));
}

#[test]
fn processes_that_open_and_change_at_once_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let dir = dir.path();
            scope.spawn(move || {
                let control = open(dir);
                for number in 0..5 {
                    let id = 1 + worker * 100 + number;
                    control.host().create_project(&brought(id, &format!("t{id}"))).unwrap();
                }
            });
        }
    });
    assert_eq!(open(dir.path()).host().projects().unwrap().len(), 20);
}

#[test]
fn no_credential_stands_in_any_file_in_plain() {
    let (dir, control) = store();
    let new = NewProject {
        api_key: Some("PLAIN-api-key".to_owned()),
        api_secret: Some("PLAIN-api-secret".to_owned()),
        ..named("p")
    };
    let created = control.host().create_project(&new).unwrap();
    let account = NewAccount {
        username: Some("etl".to_owned()),
        secret: Some("PLAIN-account-secret".to_owned()),
        projects: vec![created.id.into()],
        ..NewAccount::default()
    };
    control.host().create_service_account(&account).unwrap();
    control.export(&[]).unwrap();
    let reset = control.host().reset_credentials(created.id, Grace::Day, &host_proof(&control)).unwrap();
    let mut checked = 0;
    for file in ["control.db", "control.db-wal"] {
        let Ok(bytes) = fs::read(dir.path().join(file)) else { continue };
        checked += bytes.len();
        for plain in ["PLAIN", &reset.api_secret] {
            assert!(
                !bytes.windows(plain.len()).any(|window| window == plain.as_bytes()),
                "{plain} in {file}"
            );
        }
        // The search itself finds what is there.
        assert!(file == "control.db" || bytes.windows(3).any(|window| window == b"etl"));
    }
    assert!(checked > 10_000);
}
