//! Opening a store: the key beside it, older and newer versions, damage.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use crate::common::{brought, named, open, store};
use forebay_control::{Control, Keyring, OpenError, StoreError};

#[test]
fn a_store_that_is_not_there_is_made_or_missed() {
    let dir = tempfile::tempdir().unwrap();
    let error = Control::open_existing(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Missing { .. }));
    assert!(error.to_string().contains("is --data-dir right?"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "asking made nothing");
    let below = dir.path().join("made/as/needed");
    open(&below);
    assert!(Control::open_existing(&below).is_ok());
}

#[test]
fn the_key_and_the_store_are_for_their_owner_alone() {
    let (dir, _control) = store();
    for file in ["control.db", "control.db-wal", "keys/server.key"] {
        let mode = fs::metadata(dir.path().join(file)).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{file} {mode:o}");
    }
    assert_eq!(fs::read_dir(dir.path().join("keys")).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn a_key_that_is_missing_open_short_or_wrong_is_refused() {
    let other = store();
    type Spoil = fn(&std::path::Path, &std::path::Path);
    let cases: [(Spoil, &str); 5] = [
        (|key, _| fs::remove_file(key).unwrap(), "server.key is missing, and control.db holds credentials"),
        (|key, _| chmod(key, 0o640), "may be read by others than its owner (mode 0640); `chmod 600` it"),
        (|key, _| chmod(key, 0o604), "(mode 0604)"),
        (|key, _| fs::write(key, b"short").unwrap(), "is 5 bytes long, a key is 32"),
        (
            |key, other| {
                fs::copy(other, key).unwrap();
            },
            "is not the key that the credentials in",
        ),
    ];
    for (spoil, expected) in cases {
        let (dir, control) = store();
        control.host().create_project(&named("p")).unwrap();
        drop(control);
        let key = Keyring::path(dir.path());
        spoil(&key, &Keyring::path(other.0.path()));
        let error = Control::open(dir.path()).err().expect(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!key.exists() || fs::metadata(&key).unwrap().len() <= 32, "nothing was replaced");
    }
}

fn chmod(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_same_key_recognises_the_same_credential_after_a_restart() {
    let (dir, control) = store();
    let mac = control.mac(b"credential");
    assert_eq!(open(dir.path()).mac(b"credential"), mac);
    assert_ne!(control.mac(b"Credential"), mac);
    assert_ne!(store().1.mac(b"credential"), mac, "under another key");
}

/// What each version changed, from the first on.
const MIGRATIONS: [&str; 20] = [
    include_str!("../../src/schema/1_projects.sql"),
    include_str!("../../src/schema/2_accounting.sql"),
    include_str!("../../src/schema/3_lookup_tables.sql"),
    include_str!("../../src/schema/4_counted.sql"),
    include_str!("../../src/schema/5_people.sql"),
    include_str!("../../src/schema/6_two_factor.sql"),
    include_str!("../../src/schema/7_invitations.sql"),
    include_str!("../../src/schema/8_credentials.sql"),
    include_str!("../../src/schema/9_personal.sql"),
    include_str!("../../src/schema/10_service_accounts.sql"),
    include_str!("../../src/schema/11_outbox.sql"),
    include_str!("../../src/schema/12_phone.sql"),
    include_str!("../../src/schema/13_callers.sql"),
    include_str!("../../src/schema/14_outreach.sql"),
    include_str!("../../src/schema/15_outbox_numbers.sql"),
    include_str!("../../src/schema/16_browsers.sql"),
    include_str!("../../src/schema/17_pages.sql"),
    include_str!("../../src/schema/18_forgiven.sql"),
    include_str!("../../src/schema/19_numbers.sql"),
    include_str!("../../src/schema/20_made_for.sql"),
];

#[test]
fn an_older_store_is_brought_up_to_date_and_keeps_its_data() {
    for version in 1..=MIGRATIONS.len() {
        let (dir, control) = store();
        control.host().create_project(&brought(7, "kept")).unwrap();
        let before = control.snapshot().unwrap();
        drop(control);
        // As that version made it, with what was in it then.
        let (path, new) = (Control::path(dir.path()), dir.path().join("new.db"));
        fs::rename(&path, &new).unwrap();
        let db = rusqlite::Connection::open(&path).unwrap();
        db.pragma_update(None, "foreign_keys", false).unwrap();
        MIGRATIONS[..version].iter().for_each(|sql| db.execute_batch(sql).unwrap());
        db.execute("ATTACH ?1 AS new", [new.to_str().unwrap()]).unwrap();
        for table in ["meta", "organisations", "projects", "tokens", "changes", "audit"] {
            // What both have: the rest is as that version had it by default.
            let sql = format!(
                "SELECT group_concat(name) FROM pragma_table_info('{table}', 'main') \
                 WHERE name IN (SELECT name FROM pragma_table_info('{table}', 'new'))"
            );
            let columns: String = db.query_row(&sql, [], |row| row.get(0)).unwrap();
            let sql =
                format!("INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}");
            db.execute_batch(&sql).unwrap();
        }
        if version < 5 {
            db.execute("INSERT INTO organisation_owners VALUES (1, 'command line', 0)", []).unwrap();
        }
        let has_rows = (2..17).contains(&version);
        if has_rows {
            let kinds = "(0, 7, 'received', '', 5, 50), (0, 7, 'stored', '', 5, 50), \
                         (60000, -1, 'received', '', 1, 9), (60000, -1, 'rejected', 'empty', 1, 0)";
            db.execute_batch(&format!("INSERT INTO accounting VALUES {kinds}")).unwrap();
        }
        db.pragma_update(None, "user_version", version).unwrap();
        drop(db);

        let control = open(dir.path());
        assert_eq!(control.snapshot().unwrap(), before, "from version {version}");
        let filter = forebay_control::StatsFilter { minutes_max: 9, ..Default::default() };
        let stats = control.stats(&filter).unwrap();
        let received: Vec<_> =
            stats.owners.iter().map(|of| (of.counts.received, of.counts.received_bytes)).collect();
        if has_rows {
            assert_eq!(received, [(1, 9), (5, 50)], "from version {version}");
            assert!(stats.totals.balances() && stats.minutes.len() == 1, "{stats:?}");
            assert_eq!(
                control.host().project(7).unwrap().project.tokens[0].events,
                0,
                "noted when they came"
            );
        }
        control.rejects(None, 1).unwrap();
        control.counted().unwrap();
        control.list_lookup_tables(before.projects[0].id).unwrap();
        assert_eq!(control.host().verify_audit(&[]).unwrap().damage, [], "from version {version}");
        assert_eq!(control.host().organisation(1).unwrap().members, [], "in the hands of the host");
    }
}

#[test]
fn service_accounts_of_an_older_store_count_for_the_person_behind_them() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    let (before, since) = MIGRATIONS.split_at(19);
    before.iter().for_each(|sql| db.execute_batch(sql).unwrap());
    db.execute_batch(
        "INSERT INTO organisations (id, name, created_at_ms) VALUES (1, 'Ours', 0);
         INSERT INTO people (id, email, email_key, name, created_at_ms, created_by)
             VALUES (3, 'ada@example.com', 'ada@example.com', 'Ada', 0, 'command line');",
    )
    .unwrap();
    let made_by = [
        ("hers", "person:3"),
        ("its", "service_account:hers"),
        ("next", "service_account:its"),
        ("gone", "person:4"),
        ("host", "command line"),
        ("self", "service_account:self"),
    ];
    for (name, maker) in made_by {
        let sql = "INSERT INTO service_accounts (organisation_id, username, secret_mac, secret_sha256_sealed, \
                   created_at_ms, created_by) VALUES (1, ?1, zeroblob(32), x'', 0, ?2)";
        db.execute(sql, [name, maker]).unwrap();
    }
    db.execute_batch(since[0]).unwrap();
    let made_for = |name: &str| -> Option<i64> {
        let sql = "SELECT made_for FROM service_accounts WHERE username = ?1";
        db.query_row(sql, [name], |row| row.get(0)).unwrap()
    };
    let expected = [Some(3), Some(3), Some(3), None, None, None];
    assert_eq!(made_by.map(|(name, _)| made_for(name)), expected);
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let (dir, control) = store();
    drop(control);
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let error = Control::open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("has version 99, this program knows versions up to 20"), "{error}");
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_file_that_is_no_store_is_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(Control::path(dir.path()), b"not a database, but long enough to look like one".repeat(100))
        .unwrap();
    let error = Control::open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Store(StoreError::Damaged { .. })), "{error:?}");
}

#[test]
fn a_store_held_by_another_process_says_so_and_a_full_one_too() {
    let (dir, control) = store();
    control.host().create_project(&brought(1, "t")).unwrap();
    drop(control);
    let quick =
        forebay_control::Options { busy_timeout: std::time::Duration::ZERO, ..crate::common::options(0) };
    let control = Control::open_with(dir.path(), quick).unwrap();
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = control.host().rename_project(1, "x").unwrap_err();
    assert!(error.to_string().contains("is held by another process; try again"), "{error}");
    db.execute_batch("ROLLBACK").unwrap();
    assert_eq!(control.host().project(1).unwrap().project.name, "project 1");
    control.host().rename_project(1, "x").unwrap();
}
