//! What a run is like: all of it follows from its seed.

use crate::{
    Backend, Retention,
    disk::sim::{Faults, Random},
};
use forebay_record::LaneId;
use std::time::Duration;

/// A run before it starts.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) backend: Backend,
    pub(super) lanes: Vec<LaneId>,
    pub(super) segment_least: u64,
    pub(super) segment_most: u64,
    pub(super) group_bytes_max: usize,
    pub(super) retention: Retention,
    pub(super) unclaimed: Retention,
    /// While the run goes on.
    pub(super) faults: Faults,
    pub(super) operations: usize,
    /// How long events are, mostly.
    pub(super) event_bytes: usize,
}

/// What happens next in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Append,
    Heartbeat,
    Roll,
    /// The preparer has its turn.
    Prepare,
    /// Housekeeping has its turn: unused ends, indexes, retention.
    KeepHouse,
    /// The scrub has its turn.
    Scrub,
    /// A reader goes on a little.
    Follow,
    /// A reader starts anywhere.
    Jump,
    /// The disk runs full, or space returns.
    Full,
    /// One of the next flushes fails.
    FailFlush,
    /// Hours go by.
    Wait,
    /// Somebody sets the clock.
    SetClock,
    /// Closed in order, and opened again.
    Reopen,
    /// Killed, or the power goes; and opened again.
    Crash,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Plan {
        let mut random = Random::of(seed, 1);
        let mut lanes = vec![LaneId(0)];
        if random.coin() {
            lanes.push(LaneId(1));
        }
        if random.below(3) == 0 {
            lanes.push(LaneId::UNCLAIMED);
        }
        let faults = faults(&mut random);
        if faults.misdirected_writes > 0 && lanes.len() < 2 {
            // What strays lands among the like.
            lanes.push(LaneId(1));
        }
        let least = random.pick(&[16, 16, 24, 32, 64]) << 10;
        let ring = Retention { age: None, bytes: Some(random.pick(&[96, 160]) << 10) };
        let retention = match random.below(4) {
            0 => Retention { age: None, bytes: Some(random.pick(&[64, 128, 256]) << 10) },
            1 => Retention { age: Some(Duration::from_secs(random.pick(&[1, 60, 3600]))), bytes: None },
            _ => Retention::default(),
        };
        Plan {
            seed,
            backend: if random.coin() { Backend::Mapped } else { Backend::Pwrite },
            lanes,
            segment_least: least,
            segment_most: least * random.pick(&[1, 2, 4]),
            group_bytes_max: random.pick(&[8, 16, 64]) << 10,
            retention,
            unclaimed: if random.coin() { ring } else { Retention::default() },
            faults,
            operations: random.within(8, 28),
            event_bytes: random.pick(&[20, 60, 60, 200, 200, 700, 1500]),
        }
    }

    /// Does this disk break its word?
    pub(super) fn is_damaging(&self) -> bool {
        self.faults.damage()
    }

    /// The next thing to happen.
    pub(super) fn operation(random: &mut Random) -> Operation {
        match random.below(40) {
            0..18 => Operation::Append,
            18..20 => Operation::Heartbeat,
            20 | 21 => Operation::Roll,
            22 | 23 => Operation::Prepare,
            24..27 => Operation::KeepHouse,
            27 => Operation::Scrub,
            28 | 29 => Operation::Follow,
            30 => Operation::Jump,
            31 => Operation::Full,
            32 | 33 => Operation::FailFlush,
            34 => Operation::Wait,
            35 => Operation::SetClock,
            36 => Operation::Reopen,
            _ => Operation::Crash,
        }
    }
}

/// Three in four disks are honest; of those some only crash, some fail now and then, some fail often.
fn faults(random: &mut Random) -> Faults {
    let honest = Faults {
        slow_flushes: random.pick(&[0, 100]),
        evictions: random.pick(&[0, 50]),
        garbled_pages: random.pick(&[0, 32, 256]),
        ..Faults::default()
    };
    match random.below(8) {
        0..2 => honest,
        2 => Faults { failing_flushes: 30, ..honest },
        3 => Faults { failing_flushes: 200, ..honest },
        4 => Faults { failing_calls: 10, failing_flushes: 10, ..honest },
        5 => Faults { failing_calls: 80, ..honest },
        6 => Faults { flips: random.pick(&[5, 40]), unreadable: random.pick(&[0, 20]), ..honest },
        _ => Faults {
            lost_writes: random.pick(&[0, 15, 60]),
            misdirected_writes: random.pick(&[15, 60, 200]),
            ..honest
        },
    }
}
