//! Whether a lane can store, and if not, why.
//!
//! Several things can stand in a lane's way at once, each put there and taken away by whoever sees it. The
//! lane is able again when the last one is gone, so that, say, a segment made on a disk whose flushes fail
//! does not open the door.

use forebay_record::LaneId;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// What stands in a lane's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// It has not been opened yet.
    Opening,
    /// There is no segment to go on in: a full disk.
    NoSegment,
    /// What is written cannot be made durable.
    Flush,
    /// Its thread panicked: for good.
    Dead,
}

const OBSTACLES: usize = Obstacle::Dead as usize + 1;

#[derive(Debug)]
pub(crate) struct Ability {
    lane: LaneId,
    /// Something is in the way: the reasons say what.
    unable: AtomicBool,
    reasons: Mutex<Reasons>,
}

#[derive(Debug, Default)]
struct Reasons {
    /// By obstacle.
    standing: [Option<Arc<str>>; OBSTACLES],
    /// Why something could not be stored, the last time it could not.
    last: Option<Arc<str>>,
}

impl Ability {
    pub(crate) fn new(lane: LaneId) -> Ability {
        Ability { lane, unable: AtomicBool::new(false), reasons: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Reasons> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the lane cannot store now; `None` when it can, which costs one load.
    pub(crate) fn unable(&self) -> Option<Arc<str>> {
        // Relaxed: a hint to turn appends away early; the writer decides.
        if !self.unable.load(Ordering::Relaxed) {
            return None;
        }
        // What lasts longest first.
        self.lock().standing.iter().rev().flatten().next().cloned()
    }

    /// Why something could not be stored, the last time it could not.
    pub(crate) fn last_reason(&self) -> Option<Arc<str>> {
        self.lock().last.clone()
    }

    /// Something could not be stored; the lane may be able all the same.
    pub(crate) fn note(&self, reason: &Arc<str>) {
        self.lock().last = Some(Arc::clone(reason));
    }

    /// Turns appends away at the door until the obstacle is taken away.
    pub(crate) fn set(&self, obstacle: Obstacle, reason: &Arc<str>) {
        let mut reasons = self.lock();
        reasons.last = Some(Arc::clone(reason));
        reasons.standing[obstacle as usize] = Some(Arc::clone(reason));
        if !self.unable.swap(true, Ordering::Relaxed) {
            tracing::warn!(lane = %self.lane, %reason, "cannot store: answering 503");
        }
    }

    /// Takes an obstacle away.
    pub(crate) fn clear(&self, obstacle: Obstacle) {
        let mut reasons = self.lock();
        reasons.standing[obstacle as usize] = None;
        if reasons.standing.iter().all(Option::is_none) && self.unable.swap(false, Ordering::Relaxed) {
            tracing::info!(lane = %self.lane, "able to store again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_able_again_when_the_last_obstacle_is_gone() {
        let ability = Ability::new(LaneId(0));
        let (full, failing): (Arc<str>, Arc<str>) = (Arc::from("full"), Arc::from("failing"));
        assert_eq!(ability.unable(), None);
        ability.set(Obstacle::NoSegment, &full);
        ability.set(Obstacle::Flush, &failing);
        assert_eq!(ability.unable(), Some(Arc::clone(&failing)));
        ability.clear(Obstacle::NoSegment);
        assert_eq!(ability.unable(), Some(Arc::clone(&failing)), "a segment alone makes nothing durable");
        ability.clear(Obstacle::Flush);
        assert_eq!(ability.unable(), None);
        assert_eq!(ability.last_reason(), Some(failing));
        ability.note(&full);
        assert_eq!((ability.unable(), ability.last_reason()), (None, Some(full)));
    }
}
