//! A clock that does not follow a jump ahead before the jump has stood for a day.
//!
//! It goes by the system's clock for as long as that goes with the machine's own monotonic one, forgiving some
//! tolerance a day. A larger step ahead may be right (the machine was off for a month, the time had never been
//! set) or wrong; expiring is the one thing that cannot be undone, so it waits. A step back is followed at once:
//! that only keeps things for longer.

use std::time::Duration;

/// How long a jump ahead must stand before it is believed.
pub(crate) const STAND: Duration = Duration::from_secs(24 * 3600);
/// Small steps are nothing to wait for, however short the retention.
const TOLERANCE_LEAST: Duration = Duration::from_secs(3600);

/// How far the clock may get ahead within a day, where the shortest retention is `age`: what it would then take
/// too early is at most an eighth of what is kept.
pub(crate) fn tolerance(age: Duration) -> Duration {
    (age / 8).max(TOLERANCE_LEAST)
}

/// What is written down for the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Believed {
    pub(crate) now_ms: u64,
    /// What a clock that is not believed says, and for how many milliseconds it has stood.
    pub(crate) suspect: Option<(u64, u64)>,
}

/// The clock that ages are judged by. Times of the system's clock are milliseconds since the epoch, others count
/// from the start of the process.
#[derive(Clone, Debug)]
pub(crate) struct AgeClock {
    tolerance_ms: u64,
    /// What time it was when it was last looked at, and that moment.
    now_ms: u64,
    at_ms: u64,
    /// At most a day ago: what is believed is never further from here than the time passed and the tolerance.
    anchor_ms: u64,
    anchored_ms: u64,
    suspect: Option<Suspect>,
}

/// A time that is not believed yet.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    /// The system's clock when it was last looked at.
    wall_ms: u64,
    stood_ms: u64,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl AgeClock {
    /// Where the last time known is `now_ms`.
    pub(crate) fn new(tolerance: Duration, now_ms: u64, up: Duration) -> AgeClock {
        AgeClock::resumed(tolerance, Believed { now_ms, suspect: None }, up)
    }

    /// Where an earlier process ended.
    pub(crate) fn resumed(tolerance: Duration, believed: Believed, up: Duration) -> AgeClock {
        let Believed { now_ms, suspect } = believed;
        AgeClock {
            tolerance_ms: ms(tolerance),
            now_ms,
            at_ms: ms(up),
            anchor_ms: now_ms,
            anchored_ms: ms(up),
            suspect: suspect.map(|(wall_ms, stood_ms)| Suspect { wall_ms, stood_ms }),
        }
    }

    pub(crate) fn believed(&self) -> Believed {
        Believed { now_ms: self.now_ms, suspect: self.suspect.map(|s| (s.wall_ms, s.stood_ms)) }
    }

    /// How far the clock was ahead of what is believed when it was last looked at.
    pub(crate) fn ahead_ms(&self) -> u64 {
        self.suspect.map_or(0, |suspect| suspect.wall_ms.saturating_sub(self.now_ms).max(1))
    }

    /// What time it is, where the system's clock says `wall_ms`.
    pub(crate) fn look(&mut self, wall_ms: u64, up: Duration) -> u64 {
        let passed = ms(up).saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.saturating_add(passed);
        let since_anchor = self.at_ms.saturating_sub(self.anchored_ms);
        let most = self.anchor_ms.saturating_add(since_anchor).saturating_add(self.tolerance_ms);
        if wall_ms <= most {
            let back = wall_ms < self.now_ms.saturating_sub(self.tolerance_ms);
            self.suspect = None;
            self.now_ms = wall_ms;
            if back || since_anchor >= ms(STAND) {
                self.anchor();
            }
            return self.now_ms;
        }
        let suspect = match self.suspect {
            Some(Suspect { wall_ms: last, stood_ms })
                if wall_ms.abs_diff(last.saturating_add(passed)) <= self.tolerance_ms =>
            {
                Suspect { wall_ms, stood_ms: stood_ms.saturating_add(passed) }
            }
            _ => Suspect { wall_ms, stood_ms: 0 },
        };
        if suspect.stood_ms >= ms(STAND) {
            self.suspect = None;
            self.now_ms = wall_ms;
            self.anchor();
        } else {
            self.suspect = Some(suspect);
            // Time passes all the same.
            self.now_ms = self.now_ms.saturating_add(passed);
        }
        self.now_ms
    }

    fn anchor(&mut self) {
        (self.anchor_ms, self.anchored_ms) = (self.now_ms, self.at_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;
    const START: u64 = 1_700_000_000_000;

    /// `(hours of uptime, what the clock says in hours from the start, what is believed, is it held?)`
    fn check(name: &str, looks: &[(u64, i64, i64, bool)]) {
        // 30 days: it may get ahead by 3 days and 18 hours.
        let mut clock =
            AgeClock::new(tolerance(Duration::from_millis(30 * DAY)), START, Duration::from_millis(0));
        let at = |hours: i64| START.wrapping_add_signed(hours * 3_600_000);
        for &(up, wall, believed, held) in looks {
            let now = clock.look(at(wall), Duration::from_millis(up * HOUR));
            assert_eq!((now, clock.ahead_ms() > 0), (at(believed), held), "{name}: at {up} h");
        }
    }

    #[test]
    fn a_jump_ahead_is_believed_when_it_has_stood_for_a_day_and_a_step_back_at_once() {
        check("a clock that goes right", &[(0, 0, 0, false), (5, 5, 5, false), (500, 500, 500, false)]);
        check("within what is forgiven", &[(1, 80, 80, false), (2, 81, 81, false)]);
        check("a year ahead and back", &[(1, 8761, 1, true), (3, 8763, 3, true), (4, 4, 4, false)]);
        check("it stands", &[(1, 8761, 1, true), (20, 8780, 20, true), (25, 8785, 8785, false)]);
        check(
            "it wanders: the day begins again",
            &[
                (1, 8761, 1, true),
                (20, 20_000, 20, true),
                (30, 20_010, 30, true),
                (44, 20_024, 20_024, false),
            ],
        );
        check("step by step within a day", &[(1, 60, 60, false), (2, 120, 61, true), (3, 180, 62, true)]);
        check("a fast clock, day by day", &[(24, 60, 60, false), (48, 120, 120, false)]);
        check("back, and right again", &[(1, -400_000, -400_000, false), (2, 2, -399_999, true)]);
        check("back a little", &[(1, -10, -10, false), (2, 2, 2, false)]);
    }

    #[test]
    fn a_start_is_no_way_around_the_wait_and_does_not_begin_it_anew() {
        let tolerance = tolerance(Duration::from_millis(30 * DAY));
        let mut clock = AgeClock::new(tolerance, START, Duration::ZERO);
        let ahead = START + 400 * DAY;
        assert_eq!(clock.look(ahead, Duration::ZERO), START);
        for start in 1..=4 {
            // Six hours each.
            clock = AgeClock::resumed(tolerance, clock.believed(), Duration::from_secs(5));
            let now = clock.look(ahead + (start - 1) * 6 * HOUR, Duration::from_secs(5));
            assert_eq!(now, START + (start - 1) * 6 * HOUR);
            clock.look(ahead + start * 6 * HOUR, Duration::from_millis(6 * HOUR + 5000));
        }
        assert_eq!((clock.ahead_ms(), clock.believed().now_ms), (0, ahead + DAY));
    }

    #[test]
    fn extreme_values_do_no_harm() {
        for (start, wall, up) in [(0, u64::MAX, u64::MAX), (u64::MAX, 0, 0), (u64::MAX, u64::MAX, 1)] {
            let mut clock = AgeClock::new(Duration::MAX, start, Duration::from_millis(up));
            clock.look(wall, Duration::MAX);
            clock.look(0, Duration::ZERO);
            clock.look(u64::MAX, Duration::MAX);
        }
    }
}
