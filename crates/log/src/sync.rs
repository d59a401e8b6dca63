//! The atomics and locks of what loom checks: the standard ones, or loom's under `--cfg loom`.
//!
//! A model proves something only if it fails when the code is wrong. So places named in the code can be made wrong,
//! in the models' own tests and nowhere else: an ordering weakened ([`order`]), a step left out ([`leaves_out`]).

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

#[cfg(all(test, loom))]
pub(crate) use wrong::{leaves_out, order};

/// The ordering, as written.
#[cfg(not(all(test, loom)))]
#[inline]
pub(crate) const fn order(_place: &str, written: Ordering) -> Ordering {
    written
}

/// Never.
#[cfg(not(all(test, loom)))]
#[inline]
pub(crate) const fn leaves_out(_place: &str) -> bool {
    false
}

/// The place that is wrong while a model runs that must notice.
#[cfg(all(test, loom))]
pub(crate) mod wrong {
    use super::Ordering;
    use std::{
        cell::Cell,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    thread_local! {
        // Of the test's thread: loom runs all threads of a model on it.
        static PLACE: Cell<&'static str> = const { Cell::new("") };
    }

    pub(crate) fn order(place: &str, written: Ordering) -> Ordering {
        if PLACE.get() == place { Ordering::Relaxed } else { written }
    }

    pub(crate) fn leaves_out(place: &str) -> bool {
        PLACE.get() == place
    }

    /// Runs a model with this place wrong: some interleaving must fail.
    #[track_caller]
    pub(crate) fn is_caught(place: &'static str, model: impl FnOnce()) {
        PLACE.set(place);
        let caught = catch_unwind(AssertUnwindSafe(model));
        PLACE.set("");
        assert!(caught.is_err(), "{place:?} can be wrong and the model does not notice");
    }
}
