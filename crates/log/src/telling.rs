//! Keeps the telling of outcomes and the counting of them apart in time.
//!
//! Lanes tell the outcomes of a batch side by side; whoever wants to know what has been told so far holds all
//! of them up for that moment. What he counted then and the position of each lane belong together exactly,
//! also after a crash: that is what accounting is brought up to date from.
//!
//! # Invariants
//! * While a [`Hold`] lives, no outcome hears that anything is stored.
//! * A lane's position in a hold is behind every record whose outcome was told, and before every other.

use crate::{Log, lane::Lane};
use forebay_record::Position;
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Shared by all lanes: one lock, taken once a batch, and never for long.
#[derive(Debug, Default)]
pub(crate) struct Telling(RwLock<()>);

impl Telling {
    /// Held by a lane while it tells; lanes do not wait for each other.
    pub(crate) fn tell(&self) -> RwLockReadGuard<'_, ()> {
        // It guards no data: who panicked while he held it left nothing half done.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No lane tells an outcome while this lives: be quick. See [`Log::hold_outcomes`].
#[must_use = "dropped, it holds nobody up"]
pub struct Hold<'a> {
    told: Vec<Position>,
    _lock: RwLockWriteGuard<'a, ()>,
}

impl fmt::Debug for Hold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("told", &self.told).finish_non_exhaustive()
    }
}

impl Hold<'_> {
    /// For each lane there is, the record after the last one whose outcome was told as stored. All before it
    /// were told too, by this process or an earlier one; none behind it was.
    #[must_use]
    pub fn told(&self) -> &[Position] {
        &self.told
    }
}

impl Log {
    /// Waits until no lane is telling outcomes and keeps them from it: microseconds, for who waits and for who
    /// is held up. Must not be called by an outcome.
    pub fn hold_outcomes(&self) -> Hold<'_> {
        let lock = self.inner.telling.hold();
        let told = |lane: &Arc<Lane>| Position { lane: lane.id, seq: lane.told() };
        Hold { told: self.inner.all_lanes().map(told).collect(), _lock: lock }
    }
}
