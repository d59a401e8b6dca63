//! How long a lane waits before it asks a failing disk again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
/// Each try costs a segment, so not more often for long; a disk that is well again is seen within this.
const LONGEST: Duration = Duration::from_secs(8);

/// The pauses between tries: each twice the one before, up to eight seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: FIRST }
    }
}

impl Backoff {
    /// How long to wait now.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_stays_bad_is_asked_ever_more_seldom_but_never_forgotten() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..7).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    }
}
