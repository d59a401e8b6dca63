//! Every interleaving of the hand-offs this crate makes by its own atomics.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p forebay-route --lib --release loom`, with a target directory of
//! its own.

use std::sync::Arc;

use loom::thread;

use crate::{
    Kind, Owner, Reason,
    gauge::Gauge,
    tally::{Inbox, Tally},
};

#[test]
fn a_gauge_never_passes_its_limit_and_ends_at_zero() {
    loom::model(|| {
        let gauge = Arc::new(Gauge::new());
        let work = |gauge: &Gauge, bytes| {
            if gauge.reserve(bytes, 10).is_ok() {
                assert!(gauge.value() <= 10);
                gauge.release(bytes);
            }
        };
        let other = {
            let gauge = Arc::clone(&gauge);
            thread::spawn(move || [6, 5].into_iter().for_each(|bytes| work(&gauge, bytes)))
        };
        work(&gauge, 5);
        other.join().unwrap();
        assert_eq!(gauge.value(), 0);
    });
}

#[test]
fn a_collector_misses_no_change_of_a_tally() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::default());
        let tally = Tally::new(Owner::Nobody, Arc::clone(&inbox));
        let sender = {
            let tally = Arc::clone(&tally);
            thread::spawn(move || tally.receive(1, 10).reject_rest(Reason::Empty))
        };
        // Counts only grow, so what was last seen of the tally stands for the sum of all drains.
        let mut last = tally.counts();
        let mut collect = || {
            for tally in inbox.take() {
                tally.unmark();
                let counts = tally.counts();
                assert!(counts.since(&last).all(|(_, events, _)| events <= 1));
                last = counts;
            }
        };
        collect();
        sender.join().unwrap();
        collect();
        assert_eq!(last, tally.counts());
        assert_eq!(
            last.iter().map(|(kind, ..)| kind).collect::<Vec<_>>(),
            [Kind::Received, Kind::Rejected(Reason::Empty)]
        );
        assert!(last.balances());
    });
}

#[test]
fn what_was_counted_before_a_collector_is_let_in_is_collected_whoever_marked_the_tally() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::default());
        let tally = Tally::new(Owner::Nobody, Arc::clone(&inbox));
        let handed = tally.receive(1, 0).hand_over(1);
        for tally in inbox.take() {
            tally.unmark();
        }
        // A core marks the tally while a lane settles, and then lets the collector in.
        let core = {
            let tally = Arc::clone(&tally);
            thread::spawn(move || tally.receive(1, 0))
        };
        let lane = thread::spawn(move || {
            handed.stored(1, 0);
            handed
        });
        let handed = lane.join().unwrap();
        let collected = inbox.take().iter().map(|tally| tally.counts().stored).sum::<u64>();
        assert_eq!(collected, 1);
        core.join().unwrap().reject_rest(Reason::Empty);
        drop(handed);
    });
}

#[test]
fn events_settled_by_two_threads_are_settled_once() {
    loom::model(|| {
        let tally = Tally::new(Owner::Nobody, Arc::new(Inbox::default()));
        let handed = Arc::new(tally.receive(3, 0).hand_over(3));
        let other = {
            let handed = Arc::clone(&handed);
            thread::spawn(move || handed.stored(2, 0))
        };
        handed.failed(1);
        other.join().unwrap();
        drop(handed);
        assert!(tally.counts().balances());
    });
}
