//! The books against a plain model: every event received is one other thing, and no row is lost.

use std::{collections::BTreeMap, sync::Arc};

use forebay_record::{Endpoint, ProjectId};
use forebay_route::{
    Counts, Credential, HandedOver, Kind, Ledger, LedgerLimits, Mac, Owner, Reason, Received, Row, Rule, Uses,
};
use proptest::prelude::*;

const MINUTE: u64 = 60_000;

fn project(id: u64) -> Owner {
    Owner::Project(ProjectId::new(id).unwrap())
}

fn ledger() -> Arc<Ledger> {
    Ledger::new(LedgerLimits { refusals_per_owner: 3, refusals_total: 5, unknown_tokens: 4, rows: 50 })
}

#[test]
fn every_verdict_is_counted_once_and_the_books_balance() {
    let ledger = ledger();
    let mut received = ledger.tally(project(1)).receive(10, 1000);
    assert_eq!(ledger.totals(0).in_flight(), 10);
    received.reject(Reason::EventMissing, 2);
    received.drop_by_rule(Rule::Ignored, 1);
    let handed = received.hand_over(4);
    received.reject_rest(Reason::Overloaded);
    handed.stored(3, 300);
    assert_eq!(ledger.totals(0).in_flight(), 1);
    handed.failed(1);
    drop(handed);

    let counts = ledger.totals(0);
    assert!(counts.balances());
    assert_eq!((counts.received, counts.received_bytes), (10, 1000));
    assert_eq!((counts.stored, counts.stored_bytes), (3, 300));
    let rejected = [(Reason::EventMissing, 2), (Reason::Overloaded, 3), (Reason::StoreFailed, 1)];
    assert_eq!(counts.rejected, BTreeMap::from(rejected));
    assert_eq!(counts.dropped, BTreeMap::from([(Rule::Ignored, 1)]));
    assert_eq!(ledger.owners(0), [(project(1), counts)]);
}

#[test]
fn a_lost_verdict_shows_as_unaccounted() {
    type Leak = fn(Received);
    let leaks: [(&str, Leak, u64); 5] = [
        ("a request that forgets", |received| drop(received), 5),
        ("a rejected part", |mut received| received.reject(Reason::Empty, 2), 3),
        ("a log that forgets", |mut received| drop(received.hand_over(5)), 5),
        ("a log that settles too few", |mut received| received.hand_over(5).stored(4, 1), 1),
        (
            "a log that settles twice",
            |mut received| {
                let handed = received.hand_over(5);
                handed.stored(5, 1);
                handed.failed(2);
            },
            2,
        ),
    ];
    for (what, leak, lost) in leaks {
        let ledger = ledger();
        leak(ledger.nobody().receive(5, 50));
        assert_eq!(ledger.unaccounted(0), lost, "{what}");
        assert!(!ledger.totals(0).balances(), "{what}");
        assert_eq!(ledger.totals(0).in_flight(), 0, "{what}");
    }
}

#[test]
fn rows_carry_the_minute_they_were_counted_in_and_come_back_when_put_back() {
    let ledger = ledger();
    ledger.tally(project(1)).receive(1, 10).hand_over(1).stored(1, 10);
    let first = ledger.drain_minute(5 * MINUTE + 123);
    ledger.unclaimed().receive(2, 20).reject_rest(Reason::UnknownToken);
    let row =
        |minute, owner, kind, events, bytes| Row { minute_ms: minute * MINUTE, owner, kind, events, bytes };
    assert_eq!(first, [row(5, project(1), Kind::Received, 1, 10), row(5, project(1), Kind::Stored, 1, 10)]);
    ledger.put_back(first);
    let all = ledger.drain_minute(6 * MINUTE);
    assert_eq!(
        all,
        [
            row(5, project(1), Kind::Received, 1, 10),
            row(5, project(1), Kind::Stored, 1, 10),
            row(6, Owner::Unclaimed, Kind::Received, 2, 20),
            row(6, Owner::Unclaimed, Kind::Rejected(Reason::UnknownToken), 2, 0),
        ]
    );
    assert_eq!(ledger.drain_minute(7 * MINUTE), []);
}

#[test]
fn a_drain_has_all_that_was_counted_when_its_hold_began() {
    let ledger = ledger();
    let tally = ledger.tally(project(1));
    let handed = tally.receive(5, 50).hand_over(5);
    handed.stored(1, 10);
    let hold = || {
        // Too late for the first look, in time for the hold.
        handed.stored(2, 20);
        ledger.nobody().receive(1, 0).reject_rest(Reason::Empty);
    };
    let rows = ledger.drain_minute_holding(0, hold);
    let of = |rows: &[Row], owner, kind| -> u64 {
        rows.iter().filter(|row| (row.owner, row.kind) == (owner, kind)).map(|row| row.events).sum()
    };
    assert_eq!(of(&rows, project(1), Kind::Received), 5);
    assert_eq!(of(&rows, project(1), Kind::Stored), 3);
    assert_eq!(of(&rows, Owner::Nobody, Kind::Rejected(Reason::Empty)), 1);
    handed.stored(2, 20);
    assert_eq!(of(&ledger.drain_minute(0), project(1), Kind::Stored), 2);
    assert!(ledger.totals(0).balances());
}

#[test]
fn rows_that_cannot_be_persisted_stay_bounded_and_lose_no_event() {
    let ledger = ledger();
    for minute in 0..1000 {
        ledger.tally(project(1 + minute % 3)).receive(1, 7).reject_rest(Reason::Malformed);
        let rows = ledger.drain_minute(minute * MINUTE);
        assert!(rows.len() <= 50, "minute {minute}: {} rows", rows.len());
        ledger.put_back(rows);
    }
    let mut sums: BTreeMap<(Owner, Kind), u64> = BTreeMap::new();
    for row in ledger.drain_minute(1000 * MINUTE) {
        *sums.entry((row.owner, row.kind)).or_default() += row.events;
    }
    let received: u64 = sums.iter().filter(|((_, kind), _)| *kind == Kind::Received).map(|(_, n)| n).sum();
    assert_eq!(received, 1000);
}

#[test]
fn refusals_are_bounded_per_owner_and_in_all_and_the_newest_stay() {
    let ledger = ledger();
    let refuse = |owner, events| {
        ledger.refused(owner, Endpoint::Track, Reason::Empty, "data, missing or empty", events, b"x", 1);
    };
    for events in 1..=4 {
        refuse(project(1), events);
    }
    let events = |owner| ledger.refusals_of(owner).iter().map(|refusal| refusal.events).collect::<Vec<_>>();
    assert_eq!(events(project(1)), [4, 3, 2], "three per owner, newest first");
    for events in 5..=7 {
        refuse(project(2), events);
    }
    assert_eq!(events(project(1)), [4, 3], "five in all: the oldest went");
    assert_eq!(events(project(2)), [7, 6, 5]);
    for events in 8..=10 {
        refuse(Owner::Nobody, events);
    }
    assert_eq!(events(project(1)), []);
    let numbers: Vec<u64> = ledger.refusals_since(0).iter().map(|refusal| refusal.number).collect();
    assert_eq!(numbers, [6, 7, 8, 9, 10]);
    assert_eq!(ledger.refusals_since(9).len(), 2);
    assert_eq!(ledger.refusals_since(11), []);
}

#[test]
fn unknown_tokens_seen_often_stay_in_a_list_that_is_bounded() {
    let ledger = ledger();
    for round in 0..100_u64 {
        ledger.unknown_token(b"often", 2, round);
        ledger.unknown_token(format!("once-{round}").as_bytes(), 1, round);
        ledger.unknown_token(&[b'x'; 5000], 1, round);
    }
    let top = ledger.unknown_tokens(10);
    assert_eq!(top.len(), 4);
    let often = top.iter().find(|unknown| &*unknown.token == b"often").unwrap();
    assert_eq!((often.events, often.first_seen_ms, often.last_seen_ms), (200, 0, 99));
    assert!(top.iter().all(|unknown| unknown.token.len() <= 256));
}

#[test]
fn unknown_tokens_are_drained_once_and_come_back_when_put_back() {
    let ledger = ledger();
    let seen = |ledger: &Ledger| {
        let mut drained = ledger.drain_unknown_tokens();
        drained.sort_by(|a, b| a.token.cmp(&b.token));
        drained
    };
    let events =
        |drained: &[forebay_route::UnknownToken]| drained.iter().map(|u| u.events).collect::<Vec<_>>();
    ledger.unknown_token(b"a", 5, 1);
    ledger.unknown_token(b"b", 1, 1);
    assert_eq!(events(&seen(&ledger)), [5, 1]);
    ledger.unknown_token(b"a", 2, 2);
    let drained = seen(&ledger);
    assert_eq!(events(&drained), [2]);
    ledger.put_back_unknown_tokens(&drained);
    ledger.unknown_token(b"a", 1, 3);
    assert_eq!(events(&seen(&ledger)), [3]);
    assert_eq!(ledger.unknown_tokens(1)[0].events, 8, "the list itself is not drained");
}

#[test]
fn the_last_use_of_a_credential_is_kept_until_drained() {
    let ledger = ledger();
    let secret = Credential::ApiSecret(Mac([1; 32]));
    ledger.used(secret.clone(), 5);
    ledger.used(secret.clone(), 9);
    ledger.used(secret.clone(), 7);
    let used = ledger.drain_used();
    assert_eq!(used, [(secret, Uses { count: 3, last_ms: 9 })]);
    assert_eq!(ledger.drain_used(), []);
    ledger.put_back_used(used.clone());
    assert_eq!(ledger.drain_used(), used);
}

#[test]
fn a_tally_of_a_project_without_refusals_is_small() {
    // There may be a million projects, and counters for each reason would take 250 bytes more.
    assert!(size_of::<forebay_route::Tally>() <= 96, "{}", size_of::<forebay_route::Tally>());
}

#[derive(Clone, Debug)]
enum Operation {
    Receive { owner: u64, events: u32 },
    Reject { at: usize, reason: usize, events: u32 },
    Ignore { at: usize, events: u32 },
    HandOver { at: usize, events: u32 },
    Stored { at: usize, events: u32 },
    Failed { at: usize, events: u32 },
    Drain { persisted: bool },
    Minute,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (at, events) = (0..6_usize, 0..5_u32);
    prop_oneof![
        3 => (0..4_u64, 0..20_u32).prop_map(|(owner, events)| Operation::Receive { owner, events }),
        2 => (at.clone(), 0..Reason::ALL.len(), events.clone())
            .prop_map(|(at, reason, events)| Operation::Reject { at, reason, events }),
        1 => (at.clone(), events.clone()).prop_map(|(at, events)| Operation::Ignore { at, events }),
        2 => (at.clone(), events.clone()).prop_map(|(at, events)| Operation::HandOver { at, events }),
        2 => (at.clone(), events.clone()).prop_map(|(at, events)| Operation::Stored { at, events }),
        1 => (at, events).prop_map(|(at, events)| Operation::Failed { at, events }),
        1 => any::<bool>().prop_map(|persisted| Operation::Drain { persisted }),
        1 => Just(Operation::Minute),
    ]
}

proptest! {
    #[test]
    fn it_counts_like_a_plain_list(operations in prop::collection::vec(operation(), 1..120)) {
        let ledger = ledger();
        let owner_of = |number: u64| if number == 0 { Owner::Nobody } else { project(number) };
        let mut model: BTreeMap<Owner, Counts> = BTreeMap::new();
        let mut persisted: BTreeMap<Owner, Counts> = BTreeMap::new();
        let mut open: Vec<Received> = Vec::new();
        let mut in_flight: Vec<(Owner, HandedOver)> = Vec::new();
        let mut now_ms = 0;
        for operation in operations {
            match operation {
                Operation::Receive { owner, events } => {
                    let owner = owner_of(owner);
                    open.push(ledger.tally(owner).receive(events, u64::from(events) * 3));
                    model.entry(owner).or_default().add(Kind::Received, events.into(), u64::from(events) * 3);
                }
                Operation::Reject { at, reason, events } => if let Some(received) = open.get_mut(at) {
                    let events = events.min(received.left());
                    received.reject(Reason::ALL[reason], events);
                    model.entry(received.owner()).or_default().add(Kind::Rejected(Reason::ALL[reason]), events.into(), 0);
                },
                Operation::Ignore { at, events } => if let Some(received) = open.get_mut(at) {
                    let events = events.min(received.left());
                    received.drop_by_rule(Rule::Ignored, events);
                    model.entry(received.owner()).or_default().add(Kind::Dropped(Rule::Ignored), events.into(), 0);
                },
                Operation::HandOver { at, events } => if let Some(received) = open.get_mut(at) {
                    let events = events.min(received.left());
                    in_flight.push((received.owner(), received.hand_over(events)));
                },
                Operation::Stored { at, events } => if let Some((owner, handed)) = in_flight.get(at) {
                    let events = events.min(handed.left());
                    handed.stored(events, u64::from(events) * 2);
                    model.entry(*owner).or_default().add(Kind::Stored, events.into(), u64::from(events) * 2);
                },
                Operation::Failed { at, events } => if let Some((owner, handed)) = in_flight.get(at) {
                    let events = events.min(handed.left());
                    handed.failed(events);
                    model.entry(*owner).or_default().add(Kind::Rejected(Reason::StoreFailed), events.into(), 0);
                },
                Operation::Drain { persisted: true } => for row in ledger.drain_minute(now_ms) {
                    persisted.entry(row.owner).or_default().add(row.kind, row.events, row.bytes);
                },
                Operation::Drain { persisted: false } => {
                    let rows = ledger.drain_minute(now_ms);
                    ledger.put_back(rows);
                }
                Operation::Minute => now_ms += MINUTE,
            }
            let waiting: u64 = open.iter().map(|received| u64::from(received.left())).sum::<u64>()
                + in_flight.iter().map(|(_, handed)| u64::from(handed.left())).sum::<u64>();
            let totals = ledger.totals(now_ms);
            prop_assert_eq!(totals.in_flight(), waiting);
            prop_assert_eq!(totals.unaccounted, 0);
        }
        for mut received in open {
            let rest = received.left();
            model.entry(received.owner()).or_default().add(Kind::Rejected(Reason::Interrupted), rest.into(), 0);
            received.reject(Reason::Interrupted, rest);
        }
        for (owner, handed) in in_flight {
            let rest = handed.left();
            model.entry(owner).or_default().add(Kind::Stored, rest.into(), 0);
            handed.stored(rest, 0);
        }
        for row in ledger.drain_minute(now_ms) {
            persisted.entry(row.owner).or_default().add(row.kind, row.events, row.bytes);
        }
        model.retain(|_, counts| *counts != Counts::default());
        prop_assert_eq!(&persisted, &model, "what was persisted is what happened");
        prop_assert!(ledger.totals(now_ms).balances());
        let owners: BTreeMap<Owner, Counts> =
            ledger.owners(now_ms).into_iter().filter(|(_, counts)| *counts != Counts::default()).collect();
        prop_assert_eq!(owners, model);
    }
}
