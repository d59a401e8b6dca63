//! Every interleaving of lanes that resolve and a core that waits.

use super::{Bell, Verdict, Verdicts};
use crate::sync::wrong;
use loom::{
    model::Builder,
    thread::{self, Thread},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Wake, Waker},
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

fn stored(n: u64) -> Verdict {
    Verdict::Stored { first_seq: 10 * n, last_lsn: n + 1 }
}

/// A core waits until all of these lanes' tickets are resolved, and checks each verdict as it comes.
fn check(lanes: Vec<Vec<Verdict>>, closes: bool) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    let explored = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&explored);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let bell = Arc::new(Bell::default());
        let rings: Vec<_> = lanes.iter().map(|_| Arc::new(Verdicts::new(2))).collect();
        for (ring, verdicts) in rings.iter().zip(lanes.clone()) {
            let (ring, bell) = (Arc::clone(ring), Arc::clone(&bell));
            thread::spawn(move || {
                for (ticket, verdict) in (0..).zip(verdicts) {
                    ring.write(ticket, verdict);
                    ring.publish(ticket + 1);
                    bell.ring();
                }
                if closes {
                    ring.close();
                    bell.ring();
                }
            });
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut drained = vec![0; rings.len()];
        let mut closed = vec![!closes; rings.len()];
        loop {
            bell.attend(&waker, || {
                for (lane, ring) in rings.iter().enumerate() {
                    closed[lane] |= ring.is_closed();
                    let resolved = ring.resolved();
                    for ticket in drained[lane]..resolved {
                        assert_eq!(ring.read(ticket), lanes[lane][usize::try_from(ticket).unwrap()]);
                    }
                    drained[lane] = resolved;
                    if closes && closed[lane] {
                        assert_eq!(resolved, lanes[lane].len() as u64, "closing comes after all verdicts");
                    }
                }
            });
            let all = drained.iter().zip(&lanes).all(|(n, lane)| *n == lane.len() as u64);
            if all && closed.iter().all(|c| *c) {
                return;
            }
            // A wake-up that is lost leaves this parked for ever, which loom reports.
            thread::park();
        }
    });
    println!("{} interleavings", explored.load(Ordering::Relaxed));
}

#[test]
fn no_wake_up_is_lost_and_each_verdict_is_whole() {
    check(vec![vec![stored(1), Verdict::Failed]], false);
    check(vec![vec![stored(1)], vec![stored(2)]], false);
}

#[test]
fn a_lane_that_ends_is_noticed_after_its_last_verdict() {
    check(vec![vec![stored(1)]], true);
    check(vec![vec![], vec![stored(1)]], true);
}

#[test]
fn the_models_of_the_hand_over_notice_what_is_wrong() {
    for place in ["publish", "resolved", "ring", "attend", "asking after listening"] {
        wrong::is_caught(place, || check(vec![vec![stored(1), stored(2)]], false));
    }
    for place in ["close", "is closed"] {
        // A lane that ends at once makes the core look at the other one without being told to.
        wrong::is_caught(place, || check(vec![vec![], vec![stored(1)]], true));
    }
}
