//! The accounting, the refusals and the unknown tokens as they are kept.

use std::collections::BTreeMap;

use crate::common::{NOW_MS, brought, open, options, store};
use forebay_control::{ClosedBooks, Control, Keep, NewAccount, StatsFilter};
use forebay_record::{Endpoint, LaneId, Position, ProjectId, Seq};
use forebay_route::{
    Counts, Credential, Kind, Ledger, LedgerLimits, Owner, Reason, Refusal, Row, Rule, UnknownToken, Uses,
};
use proptest::prelude::*;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn project(id: u64) -> Owner {
    Owner::Project(ProjectId::new(id).unwrap())
}

fn row(minute: u64, owner: Owner, kind: Kind, events: u64, bytes: u64) -> Row {
    Row { minute_ms: minute * MINUTE, owner, kind, events, bytes }
}

#[test]
fn rows_of_one_minute_add_up_and_the_answer_balances() {
    let (dir, control) = store();
    control.host().create_project(&brought(1, "t")).unwrap();
    let rows = [
        row(7, project(1), Kind::Received, 5, 50),
        row(7, project(1), Kind::Stored, 3, 30),
        row(7, project(1), Kind::Rejected(Reason::EventMissing), 1, 0),
        row(7, Owner::Unclaimed, Kind::Received, 2, 20),
        row(7, Owner::Unclaimed, Kind::Stored, 2, 20),
    ];
    control.record_accounting(&rows, &[]).unwrap();
    let open_books = control.stats(&StatsFilter::default()).unwrap();
    assert!(!open_books.totals.balances());
    assert_eq!(open_books.totals.in_flight(), 1);
    let later =
        [row(7, project(1), Kind::Dropped(Rule::Ignored), 1, 0), row(8, Owner::Nobody, Kind::Received, 1, 9)];
    control.record_accounting(&later, &[]).unwrap();
    control
        .record_accounting(&[row(8, Owner::Nobody, Kind::Rejected(Reason::Malformed), 1, 0)], &[])
        .unwrap();

    let stats = open(dir.path()).stats(&StatsFilter { minutes_max: 10, ..StatsFilter::default() }).unwrap();
    assert!(stats.totals.balances());
    assert_eq!((stats.totals.received, stats.totals.received_bytes, stats.totals.stored), (8, 79, 5));
    let owners: Vec<_> =
        stats.owners.iter().map(|o| (o.owner, o.name.as_deref(), o.counts.received)).collect();
    assert_eq!(
        owners,
        [(Owner::Nobody, None, 1), (Owner::Unclaimed, None, 2), (project(1), Some("project 1"), 5)]
    );
    let minutes: Vec<_> =
        stats.minutes.iter().map(|m| (m.minute_ms / MINUTE, m.owner, m.counts.received)).collect();
    assert_eq!(minutes, [(7, Owner::Unclaimed, 2), (7, project(1), 5), (8, Owner::Nobody, 1)]);
}

#[test]
fn an_answer_covers_what_was_asked_for() {
    let (_dir, control) = store();
    for minute in 1..=5 {
        control
            .record_accounting(&[row(minute, project(minute % 2 + 1), Kind::Received, minute, 0)], &[])
            .unwrap();
    }
    let cases = [
        (StatsFilter::default(), 15, 0),
        (StatsFilter { from_ms: Some(3 * MINUTE + 59_999), ..StatsFilter::default() }, 12, 0),
        (StatsFilter { to_ms: Some(3 * MINUTE), ..StatsFilter::default() }, 6, 0),
        (StatsFilter { owners: vec![project(1)], ..StatsFilter::default() }, 6, 0),
        (
            StatsFilter { owners: vec![project(1), project(2)], minutes_max: 2, ..StatsFilter::default() },
            15,
            2,
        ),
        (StatsFilter { owners: vec![project(9)], minutes_max: 2, ..StatsFilter::default() }, 0, 0),
    ];
    for (filter, received, minutes) in cases {
        let stats = control.stats(&filter).unwrap();
        assert_eq!((stats.totals.received, stats.minutes.len()), (received, minutes), "{filter:?}");
    }
}

const KEEP: Keep = Keep { minutes_days: 2, accounting_days: 90, accounting_rows: 1000, audit_days: 1 };

const KEEP_ALL: Keep = Keep { accounting_rows: 1_000_000, ..KEEP };

fn rows_kept(dir: &std::path::Path) -> u64 {
    let db = rusqlite::Connection::open(Control::path(dir)).unwrap();
    db.query_row("SELECT coalesce(sum(rows), 0) FROM accounting", [], |row| row.get(0)).unwrap()
}

#[test]
fn minutes_become_hours_and_then_a_sum_and_the_totals_stay() {
    let (dir, control) = store();
    let now = NOW_MS / MINUTE;
    let day = DAY / MINUTE;
    // Two minutes of one hour each, in four ages; none is the first of its hour.
    for age in [200 * day, 100 * day, 3 * day, 0] {
        for minute in [now - age, now - age + 1] {
            assert!(minute % 60 != 0 && minute % 60 != 59);
            control.record_accounting(&[row(minute, project(1), Kind::Received, 1, 2)], &[]).unwrap();
            control.record_accounting(&[row(minute, project(1), Kind::Stored, 1, 2)], &[]).unwrap();
        }
    }
    let before = control.stats(&StatsFilter::default()).unwrap();
    assert_eq!(before.totals.received, 8);
    for accounting_days in [150, 90, 90] {
        control.prune(Keep { accounting_days, ..KEEP }).unwrap();
        assert_eq!(control.stats(&StatsFilter::default()).unwrap(), before);
    }
    let minutes = control.stats(&StatsFilter { minutes_max: 100, ..StatsFilter::default() }).unwrap().minutes;
    let minutes: Vec<_> = minutes.iter().map(|m| (m.minute_ms / MINUTE, m.counts.received)).collect();
    let hour = now - 3 * day - now % 60;
    assert_eq!(minutes, [(hour, 2), (now, 1), (now + 1, 1)]);
    assert_eq!(rows_kept(dir.path()), 8, "the sum, one hour and two minutes, of two kinds each");
}

#[test]
fn the_accounting_stays_bounded_however_many_projects_are_busy() {
    let (dir, control) = store();
    let now = NOW_MS / MINUTE;
    for minute in 0..30 {
        let rows: Vec<Row> =
            (1..=50).map(|id| row(now - 30 + minute, project(id), Kind::Received, 1, 0)).collect();
        control.record_accounting(&rows, &[]).unwrap();
        control.prune(KEEP).unwrap();
        assert!(rows_kept(dir.path()) <= 1000);
    }
    let stats = control.stats(&StatsFilter { minutes_max: 100, ..StatsFilter::default() }).unwrap();
    assert_eq!(stats.totals.received, 1500);
    assert!(stats.minutes.len() >= 500, "the newest are still there: {}", stats.minutes.len());
}

/// Pages kept, of those that were booked and of those that were merged.
fn pages_kept(dir: &std::path::Path) -> (u64, u64) {
    let db = rusqlite::Connection::open(Control::path(dir)).unwrap();
    let sql = "SELECT coalesce(sum(booked), 0), coalesce(sum(NOT booked), 0) FROM accounting";
    db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn a_booking_is_a_few_pages_however_many_projects_it_is_of() {
    let (dir, control) = store();
    let kinds = [Kind::Received, Kind::Stored];
    for minute in [7, 7, 7, 8] {
        let rows: Vec<Row> =
            (1..=5000).flat_map(|id| kinds.map(|kind| row(minute, project(id * 7), kind, 2, 1500))).collect();
        control.record_accounting(&rows, &[]).unwrap();
    }
    assert_eq!(pages_kept(dir.path()), (4, 0));
    let filter = StatsFilter { minutes_max: 9, ..StatsFilter::default() };
    let before = control.stats(&filter).unwrap();
    assert_eq!((before.totals.received, before.totals.stored_bytes), (40_000, 30_000_000));
    assert_eq!((before.owners.len(), before.minutes.len()), (5000, 10_000));
    control.merge_accounting(KEEP_ALL).unwrap();
    assert_eq!(pages_kept(dir.path()), (1, 1), "the minute that is over; the newest goes on");
    assert_eq!(control.stats(&filter).unwrap(), before);
    let one = StatsFilter { owners: vec![project(7 * 4321)], ..filter };
    let of_one: Vec<_> = control.stats(&one).unwrap().minutes.iter().map(|m| m.counts.received).collect();
    assert_eq!(of_one, [6, 2]);
}

#[test]
fn a_page_that_was_damaged_is_told_and_not_guessed_at() {
    let (dir, control) = store();
    control.record_accounting(&[row(7, project(1), Kind::Received, 1, 9)], &[]).unwrap();
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    db.execute("UPDATE accounting SET page = substr(page, 1, length(page) - 1)", []).unwrap();
    let error = control.stats(&StatsFilter::default()).unwrap_err().to_string();
    assert!(error.contains("of minute 420000 ms, has an end within a number"), "{error}");
}

#[test]
fn a_process_that_died_leaves_no_event_in_flight_for_ever() {
    let (_dir, control) = store();
    control
        .record_accounting(
            &[
                row(1, project(1), Kind::Received, 10, 0),
                row(1, project(1), Kind::Stored, 7, 0),
                row(1, Owner::Nobody, Kind::Received, 2, 0),
                row(1, Owner::Nobody, Kind::Rejected(Reason::Malformed), 2, 0),
            ],
            &[],
        )
        .unwrap();
    let closed = control.close_books(&[], &[]).unwrap();
    assert_eq!(closed, ClosedBooks { stored: 0, interrupted: 3 });
    let totals = control.stats(&StatsFilter::default()).unwrap().totals;
    assert!(totals.balances());
    assert_eq!(totals.rejected.get(&Reason::Interrupted), Some(&3));
    assert_eq!(control.close_books(&[], &[]).unwrap(), ClosedBooks::default());
}

fn at(lane: u16, seq: u64) -> Position {
    Position { lane: LaneId(lane), seq: Seq(seq) }
}

#[test]
fn what_the_log_holds_beyond_the_accounting_is_stored_and_the_rest_in_flight_interrupted() {
    let (_dir, control) = store();
    let left = [
        row(1, project(1), Kind::Received, 10, 100),
        row(1, project(1), Kind::Stored, 4, 40),
        row(1, project(2), Kind::Received, 5, 50),
    ];
    control.record_accounting(&left, &[at(0, 4)]).unwrap();
    // Of project 1 more was stored than was known to have come in; of 2 less; of 3 nothing was known.
    let stored = [
        row(1, project(1), Kind::Stored, 4, 40),
        row(2, project(1), Kind::Stored, 4, 48),
        row(2, project(2), Kind::Stored, 3, 30),
        row(2, project(3), Kind::Stored, 1, 9),
    ];
    let closed = control.close_books(&stored, &[at(0, 16), at(1, 0)]).unwrap();
    assert_eq!(closed, ClosedBooks { stored: 12, interrupted: 2 });
    assert_eq!(control.counted().unwrap(), [at(0, 16), at(1, 0)]);
    let stats = control.stats(&StatsFilter { minutes_max: 9, ..StatsFilter::default() }).unwrap();
    let of = |counts: &Counts| (counts.received, counts.received_bytes, counts.stored, counts.stored_bytes);
    let owners: Vec<_> = stats.owners.iter().map(|stats| of(&stats.counts)).collect();
    assert_eq!(owners, [(12, 124, 12, 128), (5, 50, 3, 30), (1, 9, 1, 9)]);
    assert!(stats.owners.iter().all(|stats| stats.counts.balances()), "{:?}", stats.owners);
    let second = stats.minutes.iter().find(|m| (m.minute_ms, m.owner) == (2 * MINUTE, project(1))).unwrap();
    assert_eq!(of(&second.counts), (2, 24, 4, 48), "two of the four were known to have come in");
}

#[test]
fn positions_are_recorded_with_their_rows_or_not_at_all() {
    let (dir, control) = store();
    assert_eq!(control.counted().unwrap(), []);
    let rows = [row(1, project(1), Kind::Received, 3, 0), row(1, project(1), Kind::Stored, 3, 0)];
    let unclaimed = Position { lane: LaneId::UNCLAIMED, seq: Seq(9) };
    control.record_accounting(&rows, &[at(0, 3), unclaimed]).unwrap();
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    for change in ["INSERT ON accounting", "UPDATE ON counted"] {
        db.execute_batch(&format!(
            "CREATE TRIGGER full BEFORE {change} BEGIN SELECT RAISE(ABORT, 'no'); END"
        ))
        .unwrap();
        control.record_accounting(&rows, &[at(0, 6), unclaimed]).unwrap_err();
        control.close_books(&rows[1..], &[at(0, 6)]).unwrap_err();
        db.execute_batch("DROP TRIGGER full").unwrap();
        assert_eq!(control.stats(&StatsFilter::default()).unwrap().totals.stored, 3);
        assert_eq!(open(dir.path()).counted().unwrap(), [at(0, 3), unclaimed]);
    }
    control.record_accounting(&rows, &[at(0, 6)]).unwrap();
    assert_eq!(control.counted().unwrap(), [at(0, 6), unclaimed]);
}

#[test]
fn what_the_ledger_drained_is_what_the_store_answers() {
    let (_dir, control) = store();
    let ledger = Ledger::new(LedgerLimits::default());
    let mut received = ledger.tally(project(1)).receive(9, 90);
    received.reject(Reason::TimeInvalid, 2);
    let handed = received.hand_over(7);
    control.record_accounting(&ledger.drain_minute(NOW_MS), &[]).unwrap();
    handed.stored(7, 70);
    // The store refuses once, and nothing is lost.
    let rows = ledger.drain_minute(NOW_MS);
    ledger.put_back(rows);
    control.record_accounting(&ledger.drain_minute(NOW_MS + MINUTE), &[]).unwrap();
    drop(received);
    let stats = control.stats(&StatsFilter::default()).unwrap();
    assert_eq!(stats.totals, ledger.totals(NOW_MS));
    assert!(stats.totals.balances());
}

#[test]
fn refusals_are_kept_across_restarts_and_bounded() {
    let (dir, control) = store();
    let refusal = |owner, events| Refusal {
        number: 0,
        at_ms: NOW_MS,
        owner,
        endpoint: Endpoint::Import,
        reason: Reason::TimeMissing,
        detail: "'properties.time' is invalid: must not be missing".into(),
        events,
        sample: "{\"event\":\"x\"}".into(),
    };
    for round in 0..3 {
        let batch: Vec<_> = (0..100).map(|at| refusal(project(1), round * 100 + at)).collect();
        control.record_refusals(&batch).unwrap();
    }
    control.record_refusals(&[refusal(Owner::Nobody, 7)]).unwrap();
    let control = {
        drop(control);
        open(dir.path())
    };
    let kept = control.rejects(Some(project(1)), 1000).unwrap();
    let events: Vec<u64> = kept.iter().map(|refusal| refusal.events).collect();
    assert_eq!(events, (200..300).rev().collect::<Vec<_>>(), "the newest hundred, newest first");
    assert_eq!((&*kept[0].endpoint, &*kept[0].reason), ("import", "time_missing"));
    let all = control.rejects(None, 2).unwrap();
    assert_eq!(all.iter().map(|refusal| refusal.owner).collect::<Vec<_>>(), [Owner::Nobody, project(1)]);
}

#[test]
fn unknown_tokens_add_up_until_a_project_claims_them() {
    let (_dir, control) = store();
    let seen = |token: &[u8], events, at_ms| UnknownToken {
        token: token.into(),
        events,
        first_seen_ms: at_ms,
        last_seen_ms: at_ms,
    };
    control.record_unknown_tokens(&[seen(b"a", 2, 10), seen(b"b", 5, 10), seen(b"\xff\0", 1, 10)]).unwrap();
    control.record_unknown_tokens(&[seen(b"a", 4, 20)]).unwrap();
    let listed = |limit| -> Vec<(Vec<u8>, u64, u64, u64)> {
        let tokens = control.unknown_tokens(limit).unwrap();
        tokens.into_iter().map(|t| (t.token, t.events, t.first_seen_ms, t.last_seen_ms)).collect()
    };
    assert_eq!(listed(2), [(b"a".to_vec(), 6, 10, 20), (b"b".to_vec(), 5, 10, 10)]);
    control.host().create_project(&brought(1, "a")).unwrap();
    control.host().add_token(1, "b").unwrap();
    control.record_unknown_tokens(&[seen(b"a", 9, 30)]).unwrap();
    assert_eq!(listed(10), [(b"\xff\0".to_vec(), 1, 10, 10)]);
}

#[test]
fn the_last_use_of_each_credential_is_shown() {
    let (_dir, control) = store();
    control.host().create_project(&brought(1, "t")).unwrap();
    let account = NewAccount {
        username: Some("etl".into()),
        secret: Some("etl-secret".into()),
        projects: vec![1.into()],
        ..NewAccount::default()
    };
    control.host().create_service_account(&account).unwrap();
    let uses = |last_ms| Uses { count: 2, last_ms };
    control
        .record_used(
            &[
                (Credential::ApiKey(control.mac(b"key-of-1")), uses(11)),
                (Credential::ApiSecret(control.mac(b"secret-of-1")), uses(12)),
                (Credential::ServiceAccount("etl".into(), control.mac(b"etl-secret")), uses(13)),
                (Credential::ServiceAccount("gone".into(), control.mac(b"etl-secret")), uses(14)),
            ],
            &[],
        )
        .unwrap();
    control.record_accounting(&[row(3, project(1), Kind::Received, 1, 1)], &[]).unwrap();
    let shown = control.host().project(1).unwrap().project;
    assert_eq!((shown.api_key_last_used_ms, shown.api_secret_last_used_ms), (Some(11), Some(12)));
    assert_eq!((shown.api_key_uses, shown.api_secret_uses), (2, 2));
    assert_eq!((shown.tokens[0].last_used_ms, shown.tokens[0].events), (Some(3 * MINUTE), 1));
    assert_eq!(control.host().list_service_accounts(None).unwrap()[0].last_used_ms, Some(13));
}

#[test]
fn a_job_that_fails_leaves_nothing_behind() {
    let (dir, control) = store();
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    db.execute_batch(
        "CREATE TRIGGER second BEFORE INSERT ON accounting WHEN NEW.minute_ms = 120000 BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .unwrap();
    let rows = [row(1, project(1), Kind::Received, 1, 0), row(2, project(1), Kind::Received, 3, 0)];
    assert!(control.record_accounting(&rows, &[]).is_err());
    assert_eq!(control.stats(&StatsFilter::default()).unwrap().totals, Counts::default());
    db.execute_batch("DROP TRIGGER second").unwrap();
    control.record_accounting(&rows, &[]).unwrap();
}

#[test]
fn a_full_store_says_so_and_heals() {
    let (dir, control) = store();
    control.host().create_project(&brought(1, "t")).unwrap();
    drop(control);
    // As full as a disk: SQLite may not add a page.
    let control = Control::open_with(dir.path(), options(NOW_MS)).unwrap();
    control.limit_pages_for_tests(Some(1)).unwrap();
    let mut refused = None;
    for minute in 0..5000 {
        if let Err(error) =
            control.record_accounting(&[row(minute, project(minute + 1), Kind::Received, 1, 1)], &[])
        {
            refused = Some((minute, error));
            break;
        }
    }
    let (minute, error) = refused.expect("a page holds fewer rows");
    assert!(error.is_full(), "{error:?}");
    assert!(error.to_string().contains("no space left to write"), "{error}");
    assert_eq!(control.stats(&StatsFilter::default()).unwrap().totals.received, minute, "it still answers");
    control.limit_pages_for_tests(None).unwrap();
    control.record_accounting(&[row(minute, project(1), Kind::Received, 1, 1)], &[]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_accounting_sums_like_a_plain_list(
        batches in prop::collection::vec(
            prop::collection::vec((0..6_u64, 0..3_u64, 0..5_usize, 0..9_u64, 0..9_u64), 0..12), 1..6),
        pruned_at in 0..6_u64,
    ) {
        let kinds = [Kind::Received, Kind::Stored, Kind::Rejected(Reason::Empty), Kind::Dropped(Rule::Ignored), Kind::Unaccounted];
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open_with(dir.path(), options(DAY + pruned_at * MINUTE)).unwrap();
        let mut model: BTreeMap<Owner, Counts> = BTreeMap::new();
        for batch in batches {
            let rows: Vec<Row> = batch
                .into_iter()
                .map(|(minute, owner, kind, events, bytes)| {
                    let owner = if owner == 0 { Owner::Unclaimed } else { project(owner) };
                    let bytes = if kind < 2 { bytes } else { 0 };
                    row(1 + minute, owner, kinds[kind], events, bytes)
                })
                .collect();
            for row in &rows {
                model.entry(row.owner).or_default().add(row.kind, row.events, row.bytes);
            }
            control.record_accounting(&rows, &[]).unwrap();
            control.merge_accounting(KEEP).unwrap();
            control.prune(Keep { minutes_days: 1, accounting_days: 1, ..KEEP }).unwrap();
        }
        model.retain(|_, counts| *counts != Counts::default());
        let owners = control.stats(&StatsFilter::default()).unwrap().owners;
        let owners: BTreeMap<Owner, Counts> = owners
            .into_iter()
            .map(|stats| (stats.owner, stats.counts))
            .filter(|(_, counts)| *counts != Counts::default())
            .collect();
        prop_assert_eq!(owners, model);
    }
}
