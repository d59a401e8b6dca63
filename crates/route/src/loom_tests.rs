//! Every interleaving of the hand-offs this crate makes by its own atomics.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p forebay-route --lib --release loom`, with a target directory of
//! its own. Each model is also run with one thing wrong, and must then fail: `the_model_of_…_notices_…`.

mod registry;

use std::sync::Arc;

use loom::thread;

use crate::{
    Admission, AdmissionLimits, Kind, Owner, Reason, ShedScope,
    gauge::Gauge,
    sync::wrong,
    tally::{Inbox, Tally},
};

/// Explores a model and says how far.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let explored = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&explored);
    loom::model(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    println!("{} interleavings", explored.load(std::sync::atomic::Ordering::Relaxed));
}

fn gauge() {
    explore(|| {
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
fn a_gauge_never_passes_its_limit_and_ends_at_zero() {
    gauge();
}

/// Two requests: the server has room for both, but not for both to grow.
fn permits() {
    explore(|| {
        let limits = AdmissionLimits { server_bytes: 12, lane_bytes: 0, project_bytes: 0 };
        let admission = Admission::new(limits, 1);
        let request = {
            let admission = Arc::clone(&admission);
            move || {
                let Ok(mut permit) = admission.admit(4) else { panic!("there is room for two of 4 bytes") };
                if permit.grow(3).is_ok() {
                    assert!(admission.bytes_in_flight() <= limits.server_bytes);
                    permit.shrink_to(5);
                }
            }
        };
        let other = thread::spawn(request.clone());
        request();
        other.join().unwrap();
        assert_eq!(admission.bytes_in_flight(), 0);
    });
}

/// Two requests of the same project: its lane and its own budget have room for one.
fn routes() {
    explore(|| {
        let limits = AdmissionLimits { server_bytes: 0, lane_bytes: 7, project_bytes: 5 };
        let admission = Admission::new(limits, 1);
        let project = registry::project_in_lane_0();
        let request = {
            let (admission, project) = (Arc::clone(&admission), Arc::clone(&project));
            move || match admission.admit_route(Some(&project), 4) {
                Ok(_held) => assert_eq!(project.bytes_in_flight(), 4),
                // The other one gives back the lane's share first.
                Err(shed) => assert!(
                    [ShedScope::Lane(project.lane), ShedScope::Project(project.id)].contains(&shed.scope)
                ),
            }
        };
        let other = thread::spawn(request.clone());
        request();
        other.join().unwrap();
        let left = (project.bytes_in_flight(), admission.lane_bytes_in_flight(project.lane));
        assert_eq!(left, (0, 0));
    });
}

#[test]
fn permits_never_pass_a_limit_and_give_back_all_they_hold() {
    permits();
    routes();
}

#[test]
fn the_models_of_admission_notice_what_is_wrong() {
    wrong::is_caught("reserving in one step", gauge);
    wrong::is_caught("growing in one step", permits);
    wrong::is_caught("reserving in one step", routes);
    wrong::is_caught("giving back the lane's share", routes);
}

fn collected() {
    explore(|| {
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
fn a_collector_misses_no_change_of_a_tally() {
    collected();
}

fn let_in() {
    explore(|| {
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
fn what_was_counted_before_a_collector_is_let_in_is_collected_whoever_marked_the_tally() {
    let_in();
}

/// Who looks on from outside sees no event settled before it came.
fn looked_on() {
    explore(|| {
        let tally = Tally::new(Owner::Nobody, Arc::new(Inbox::default()));
        let sender = {
            let tally = Arc::clone(&tally);
            thread::spawn(move || tally.receive(1, 10).hand_over(1).stored(1, 10))
        };
        let counts = tally.counts();
        assert!(counts.stored <= counts.received, "{counts:?}");
        sender.join().unwrap();
    });
}

#[test]
fn no_event_appears_settled_before_it_came() {
    looked_on();
}

#[test]
fn the_models_of_tallies_notice_what_is_wrong() {
    wrong::is_caught("unmark", collected);
    wrong::is_caught("asking for the mark", collected);
    wrong::is_caught("count", looked_on);
    wrong::is_caught("counts", looked_on);
    wrong::is_caught("marking under the lock", let_in);
}

#[test]
fn events_settled_by_two_threads_are_settled_once() {
    explore(|| {
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
