//! What a walk needs to know of its request.

use crate::{Dialect, Limits};

/// One text, and the rules for its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) dialect: Dialect,
    pub(crate) limits: Limits,
    pub(crate) now_ms: u64,
    pub(crate) use_ip: bool,
    /// The text is valid UTF-8; false only under strict rules, which do not repair.
    pub(crate) valid_utf8: bool,
    /// Where the text was changed when it was repaired, ascending.
    pub(crate) changes: &'a [u32],
}

impl Job<'_> {
    /// Does a backslash occur anywhere in the text?
    pub(super) fn has_escapes(&self) -> bool {
        memchr::memchr(b'\\', self.text).is_some()
    }

    /// Was this part of the text repaired?
    pub(super) fn was_repaired(&self, range: &std::ops::Range<usize>) -> bool {
        let first = self.changes.partition_point(|&at| (at as usize) < range.start);
        self.changes.get(first).is_some_and(|&at| (at as usize) < range.end)
    }
}
