//! What a soak counted, as a line each minute and as a summary.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::World;
use super::ledger::Sums;

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts that all parts add to.
        #[derive(Default)]
        pub(crate) struct Tally {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
            /// Times from start to ready, in milliseconds: the longest, and all together.
            pub(crate) starts_ms: Mutex<Vec<u64>>,
        }

        impl Tally {
            fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

tally! {
    /// Requests sent by senders.
    requests,
    /// Of those, answered with success.
    successes,
    /// Of those, answered with 503 and `Retry-After`.
    unavailable,
    /// Of those, without an answer.
    broken,
    /// Connections that were not made.
    unconnected,
    /// Slow, rude and broken clients.
    nuisances,
    /// Lives that were started.
    lives,
    /// Of those, with mapped commits.
    mapped_lives,
    /// Starts that ended for want of a single free block, and were tried again with room.
    starts_without_room,
    /// Lives ended by SIGTERM.
    terms,
    /// Lives ended by `kill -9`.
    kills,
    /// Lives killed or stopped while the disk was full.
    ends_on_full_disk,
    /// Times the disk was filled until a 503 came.
    full_disks,
    /// The longest from room to the first success, in milliseconds.
    healed_ms_max,
    /// Times the clock was set.
    jumps,
    /// Events that retention took: where the lanes begin.
    expired_events,
    /// Reads that went on where the last left off.
    reads,
    /// Exports of a day of a project.
    exports,
    /// Events in them.
    exported,
    /// Checks of every byte of the live log.
    verifies,
    /// Readings of the metrics.
    metrics,
    /// Resident bytes of the server now.
    resident_now,
    /// The most.
    resident_max,
    /// The most anonymous bytes.
    anon_max,
    /// The most that anonymous bytes grew in a life, after its first minute.
    growth_max,
    /// The most open files.
    files_max,
    /// Events that the books miss, as a server said: see `docs/operating.md`.
    unbooked,
    /// Events in the log at the end, read one by one.
    readable_at_end,
}

/// A soak in figures.
#[derive(Clone, Debug)]
pub struct Summary {
    seed: u64,
    elapsed: Duration,
    sums: Sums,
    counts: Vec<(&'static str, u64)>,
    starts_ms: Vec<u64>,
    gaps: [(&'static str, usize, u64); 2],
    ledger_bytes: u64,
}

impl Summary {
    pub(super) fn of(world: &World, seed: u64, elapsed: Duration) -> Summary {
        let track = |track: &Mutex<super::Track>| {
            let track = track.lock().unwrap_or_else(PoisonError::into_inner);
            (track.gaps(), track.missed())
        };
        let (followed, resumed) = (track(&world.followed), track(&world.resumed));
        let starts = world.tally.starts_ms.lock().unwrap_or_else(PoisonError::into_inner);
        Summary {
            seed,
            elapsed,
            sums: world.ledger.sums(),
            counts: world.tally.counts(),
            starts_ms: starts.clone(),
            gaps: [("follower", followed.0, followed.1), ("resumer", resumed.0, resumed.1)],
            ledger_bytes: world.ledger.bytes(),
        }
    }

    /// What was counted under that name.
    ///
    /// # Panics
    /// If nothing is.
    pub fn count(&self, name: &str) -> u64 {
        let found = self.counts.iter().find(|(n, _)| *n == name);
        found.unwrap_or_else(|| panic!("nothing is counted as {name}")).1
    }

    /// Events acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.sums.acknowledged
    }

    /// All figures, in order.
    fn figures(&self) -> Vec<(String, u64)> {
        let mut starts = self.starts_ms.clone();
        starts.sort_unstable();
        let mut figures = vec![
            ("seed".to_owned(), self.seed),
            ("elapsed_s".to_owned(), self.elapsed.as_secs()),
            ("events_sent".to_owned(), self.sums.sent),
            ("events_acknowledged".to_owned(), self.sums.acknowledged),
            ("events_refused".to_owned(), self.sums.refused),
            ("events_followed".to_owned(), self.sums.followed.iter().sum()),
            ("events_resumed".to_owned(), self.sums.resumed),
            ("ready_ms_median".to_owned(), starts.get(starts.len() / 2).copied().unwrap_or(0)),
            ("ready_ms_max".to_owned(), starts.last().copied().unwrap_or(0)),
            ("ledger_bytes".to_owned(), self.ledger_bytes),
        ];
        for (reader, gaps, missed) in self.gaps {
            figures.push((format!("{reader}_gaps"), gaps as u64));
            figures.push((format!("{reader}_events_in_gaps"), missed));
        }
        figures.extend(self.counts.iter().map(|(name, n)| ((*name).to_owned(), *n)));
        figures
    }

    /// As one JSON object.
    pub fn json(&self) -> String {
        let members: Vec<_> = self.figures().iter().map(|(name, n)| format!("\"{name}\":{n}")).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The line of a minute.
    pub(super) fn line(&self) -> String {
        let n = |name: &str| self.count(name);
        format!(
            "{:>4} min  {} requests, {} events acknowledged, {} times 503, {} broken; {} lives ({} SIGTERM, {} kill -9), \
             {} full disks, {} clock jumps; retention took {} events; {} reads, {} exports, {} verifies; \
             resident {} MiB (max {}), {} files at most, ready in {} ms at most",
            self.elapsed.as_secs() / 60,
            n("requests"),
            self.sums.acknowledged,
            n("unavailable"),
            n("broken"),
            n("lives"),
            n("terms"),
            n("kills"),
            n("full_disks"),
            n("jumps"),
            n("expired_events"),
            n("reads"),
            n("exports"),
            n("verifies"),
            n("resident_now") >> 20,
            n("resident_max") >> 20,
            n("files_max"),
            self.starts_ms.iter().max().copied().unwrap_or(0),
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, n) in self.figures() {
            writeln!(f, "  {:<28} {n}", name.replace('_', " "))?;
        }
        Ok(())
    }
}
