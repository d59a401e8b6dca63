//! The two copies of a watermark as memory that one process writes while others read it.
//!
//! The writer stores word by word, and a reader takes what it finds: old words, new ones, or some of each, which the
//! checksum of a copy tells apart. Written over any kind of words, so that loom's can stand in for the map of a file.
//!
//! # Invariants
//! * Who believes a copy sees all that its writer did before publishing it.
//! * What a reader believes never goes back.

use crate::sync::{Ordering, fence, leaves_out};
use forebay_record::Watermark;
use std::sync::atomic::AtomicU64;

/// How often both copies are read before the watermark counts as lost: the writer may be filling one while
/// the other is read, and the other way round.
pub(super) const TRIES: usize = if cfg!(loom) { 1 } else { 4 };

/// A word that others may load at any moment.
pub(crate) trait Word {
    /// Stores it, by a Relaxed atomic store.
    fn put(&self, value: u64);
}

impl Word for AtomicU64 {
    fn put(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }
}

/// Stores `words` one by one. Who reads all of them sees what was done before.
pub(crate) fn publish<W: Word>(to: &[W], words: &[[u8; 8]]) {
    if !leaves_out("the writer's fence") {
        // Release: pairs with the fence in `newest`.
        fence(Ordering::Release);
    }
    for (to, word) in to.iter().zip(words) {
        to.put(u64::from_ne_bytes(*word));
    }
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
