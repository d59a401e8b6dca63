//! The two copies of a watermark as memory that one process writes while others read it.
//!
//! The memory is the system's cache of the file. The writer's bytes get there in any order, and a reader takes what it
//! finds: old words, new ones, or some of each, which the checksum of a copy tells apart. Written over any way to store
//! them, so that loom's words can stand in for the cache.
//!
//! # Invariants
//! * Who believes a copy sees all that its writer did before publishing it.
//! * What a reader believes never goes back.

use crate::sync::{Ordering, fence, leaves_out};
use forebay_record::Watermark;

/// How often both copies are read before the watermark counts as lost: the writer may be filling one while
/// the other is read, and the other way round.
pub(super) const TRIES: usize = if cfg!(loom) { 1 } else { 4 };

/// Lets `store` store a copy. Who reads all of it sees what was done before.
pub(super) fn publish<T>(store: impl FnOnce() -> T) -> T {
    if !leaves_out("the writer's fence") {
        // Release: pairs with the fence in `newest`.
        fence(Ordering::Release);
    }
    store()
}

/// The newest of what is `known` and what both copies say.
pub(crate) fn newest(
    known: Option<Watermark>,
    copies: impl Fn() -> [Option<Watermark>; 2],
) -> Option<Watermark> {
    let mut newest = None;
    for _ in 0..TRIES {
        let [a, b] = copies();
        newest = Watermark::newer(a, b);
        if newest.is_some() {
            break;
        }
    }
    if !leaves_out("the reader's fence") {
        // Acquire: pairs with the fence in `publish`: what a copy speaks of is read after the copy.
        fence(Ordering::Acquire);
    }
    if leaves_out("never going back") { newest } else { Watermark::newer(newest, known) }
}

#[cfg(all(test, loom))]
mod loom_tests;
