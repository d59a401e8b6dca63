//! What each life of the server is to be like.
//!
//! # Invariants
//! * The first [`LIVES_MIN`] lives have each kind of trouble once: a short soak leaves nothing out.
//! * Backends take turns.

use std::time::Duration;

use super::Options;
use crate::{Random, Setup};

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGTERM under load.
    Term,
    /// `kill -9` under load.
    Kill,
}

/// What happens in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The clock is set so many seconds from the true time.
    Jump(i64),
    /// The disk is filled, and stays so for that long after the first 503.
    FillDisk(Duration),
}

/// One life.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// `direct` or `mapped`.
    pub backend: &'static str,
    /// Lanes.
    pub lanes: u64,
    /// Segment sizes.
    pub segments: (u64, u64),
    /// `retention.bytes_max`, 0 for none.
    pub keep_bytes: u64,
    /// `retention.age_days`, 0 for none.
    pub keep_days: u64,
    /// How long.
    pub length: Duration,
    /// What happens, and when.
    pub acts: Vec<(Duration, Act)>,
    /// How it ends.
    pub end: End,
    /// Ended while the disk is full.
    pub dies_full: bool,
}

/// However short the soak, so many lives come to their end.
pub(crate) const LIVES_MIN: u64 = 3;

const DAY_S: i64 = 86_400;
const MIB: u64 = 1 << 20;

impl Life {
    /// The life after `nth` others.
    pub(crate) fn plan(nth: u64, options: &Options, random: &mut Random) -> Life {
        let short = options.length < Duration::from_secs(300);
        let length = match random.within(0, 99) {
            _ if short => random.ms(4_000, 8_000),
            0..65 => random.ms(10_000, 60_000),
            65..92 => random.ms(60_000, 240_000),
            _ => random.ms(400_000, 800_000),
        };
        // Of a disk of 512 MiB: 38 to 102 MiB of events, and up to 80 MiB prepared for them.
        let tenth = options.disk_mib * MIB / 10;
        // Without a limit now and then, never twice in a row nor for long: the disk is to be full only on purpose.
        let unlimited = nth % 4 == 3 && length < Duration::from_secs(120);
        let few = [tenth * 3 / 4, tenth, tenth * 2];
        let keep_bytes = if unlimited {
            0
        } else if short {
            4 * MIB
        } else {
            random.pick(&few)
        };
        let mut acts = Vec::new();
        let minutes = length.as_secs() / 60;
        for _ in 0..random.within(0, 1 + minutes / 2) {
            acts.push((part(length, random), Act::Jump(jump(random))));
        }
        for _ in 0..minutes / 3 + u64::from(random.chance(25, 100)) {
            acts.push((part(length, random), Act::FillDisk(random.ms(1_000, 8_000))));
        }
        let mut life = Life {
            backend: ["direct", "mapped"][usize::from(nth % 2 == 1)],
            lanes: random.within(1, 4),
            segments: (
                random.pick(&[MIB, 2 * MIB]),
                if short { 2 * MIB } else { random.pick(&[2 * MIB, 4 * MIB, 8 * MIB]) },
            ),
            keep_bytes,
            keep_days: random.pick(&[0, 0, 1, 2]),
            length,
            acts,
            end: if random.chance(50, 100) { End::Kill } else { End::Term },
            dies_full: random.chance(25, 100),
        };
        let fill = vec![(length / 3, Act::FillDisk(Duration::from_secs(1)))];
        match nth {
            0 => {
                life.acts = vec![(length / 3, Act::Jump(3 * DAY_S)), (length / 2, Act::Jump(-DAY_S))];
                (life.keep_days, life.end) = (1, End::Kill);
            }
            1 => (life.acts, life.end, life.dies_full) = (fill, End::Term, false),
            2 => (life.acts, life.end, life.dies_full) = (fill, End::Kill, true),
            _ => {}
        }
        life.acts.sort_by_key(|(at, _)| *at);
        life
    }

    /// The server of this life.
    pub(crate) fn setup(&self, setup: Setup) -> Setup {
        let set = |setup: Setup, key: &str, value: u64| setup.arg("--set").arg(format!("{key}={value}"));
        let setup = setup.arg("--set").arg(format!("log.backend={}", self.backend));
        [
            ("log.lanes", self.lanes),
            ("log.segment_bytes_min", self.segments.0),
            ("log.segment_bytes_max", self.segments.1),
            ("retention.bytes_max", self.keep_bytes),
            ("retention.age_days", self.keep_days),
            ("unclaimed.bytes_max", 8 * MIB),
        ]
        .into_iter()
        .fold(setup, |setup, (key, value)| set(setup, key, value))
    }
}

fn part(length: Duration, random: &mut Random) -> Duration {
    length.mul_f64(random.within(10, 90) as f64 / 100.0)
}

/// Mostly small, as time servers and leap seconds make them; sometimes days, as bad batteries do.
fn jump(random: &mut Random) -> i64 {
    let most = random.pick(&[2, 60, 3_600, DAY_S, 5 * DAY_S]);
    let seconds = random.within(0, 2 * u64::try_from(most).expect("positive"));
    i64::try_from(seconds).expect("small") - most
}
