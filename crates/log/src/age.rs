//! How old a segment is, when clocks cannot be trusted.
//!
//! Retention by age compares stamps in segments with the clock, and either may be wrong: a clock that jumps a
//! year ahead would expire everything at once, and stamps that such a clock left behind would keep segments for
//! a year too long. So the time that ages are judged by is [`clock`]'s, which believes a large jump ahead only
//! once it has stood for a day, and the stamps are judged by their neighbours ([`stamps`]): lanes are in order,
//! whatever the clock said.
//!
//! # Invariants
//! * A clock that is wrong for less than a day costs at most what an eighth of the retention age holds.
//! * No stamp keeps a segment longer than segments behind it that are old enough, whatever it says.

pub(crate) mod clock;
mod kept;
pub(crate) mod stamps;

use crate::{config::Retention, disk::Disk};
use clock::AgeClock;
use std::{
    fmt,
    path::Path,
    time::{Duration, Instant},
};

/// How long a process has run; passed in, so that tests own the time.
pub(crate) type Uptime = Box<dyn Fn() -> Duration + Send + Sync>;

/// The machine's own monotonic clock.
pub(crate) fn system_uptime() -> Uptime {
    let started = Instant::now();
    Box::new(move || started.elapsed())
}

/// Between two times that what is believed is written down.
const KEPT_EVERY: Duration = Duration::from_secs(600);

/// The clock of retention by age, kept across starts.
pub(crate) struct Ages {
    uptime: Uptime,
    /// `None` where nothing is kept by age.
    tolerance: Option<Duration>,
    /// `None` until first asked.
    clock: Option<AgeClock>,
    /// When it was last written down, and whether it was believed then.
    kept: Option<(Duration, bool)>,
    ahead_ms: u64,
}

impl fmt::Debug for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ages").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Ages {
    pub(crate) fn new(uptime: Uptime, rules: &[Retention]) -> Ages {
        let least = rules.iter().filter_map(|rule| rule.age).min();
        Ages { uptime, tolerance: least.map(clock::tolerance), clock: None, kept: None, ahead_ms: 0 }
    }

    /// How far the clock is ahead of what is believed, in milliseconds; 0 while it is believed.
    pub(crate) fn ahead_ms(&self) -> u64 {
        self.ahead_ms
    }

    /// The time to judge ages by, where the system's clock says `wall_ms`. `newest_ms` is the newest stamp there
    /// is, for a store that has not written down what it believed.
    pub(crate) fn now_ms(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        wall_ms: u64,
        newest_ms: impl FnOnce() -> Option<u64>,
    ) -> u64 {
        let Some(tolerance) = self.tolerance else { return wall_ms };
        let up = (self.uptime)();
        let clock = self.clock.get_or_insert_with(|| match kept::read(disk, dir) {
            Some(believed) => AgeClock::resumed(tolerance, believed, up),
            None => AgeClock::new(tolerance, newest_ms().unwrap_or(wall_ms), up),
        });
        let before = clock.ahead_ms();
        let now = clock.look(wall_ms, up);
        self.ahead_ms = clock.ahead_ms();
        match (before, self.ahead_ms) {
            (0, ahead) if ahead > 0 => tracing::warn!(
                clock_ms = wall_ms,
                believed_ms = now,
                ahead_s = ahead / 1000,
                "the clock is far ahead of where it was: retention by age goes by the old time until the new one \
                 has stood for a day; set the clock right if it is wrong"
            ),
            (before, 0) if before > 0 => {
                tracing::info!(clock_ms = wall_ms, "retention by age goes by the clock again");
            }
            _ => {}
        }
        let believed = self.ahead_ms == 0;
        let due = self.kept.is_none_or(|(at, was)| was != believed || up.saturating_sub(at) >= KEPT_EVERY);
        if due {
            self.kept = Some((up, believed));
            // A help only: without it the newest stamp in the log says how late it was.
            if let Err(error) = kept::write(disk, dir, &clock.believed()) {
                tracing::debug!(%error, "cannot write down what time is believed");
            }
        }
        now
    }
}
