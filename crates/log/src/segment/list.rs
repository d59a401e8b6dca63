//! A lane's segments as the writing process knows them, for retention and for counting.

use crate::counters::LaneStats;
use forebay_record::{Lsn, SegmentId, Seq};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A segment on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    pub(crate) id: SegmentId,
    pub(crate) base_lsn: Lsn,
    pub(crate) base_seq: Seq,
    pub(crate) created_at_ms: u64,
    /// No record in it was received later than this; `None` while it is written.
    pub(crate) last_ms: Option<u64>,
    /// Length of the file.
    pub(crate) bytes: u64,
}

/// A lane's segments, oldest first. Changes once a roll, not once a commit.
#[derive(Debug, Default)]
pub(crate) struct SegmentList {
    list: Mutex<Vec<SegmentInfo>>,
}

impl SegmentList {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<SegmentInfo>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of one segment, if it is still there.
    pub(crate) fn update(&self, id: SegmentId, change: impl FnOnce(&mut SegmentInfo)) {
        if let Some(info) = self.lock().iter_mut().find(|info| info.id == id) {
            change(info);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.lock().iter().map(|info| info.bytes).sum()
    }

    pub(crate) fn fill(&self, stats: &mut LaneStats) {
        let list = self.lock();
        stats.segments = list.len() as u64;
        stats.bytes_on_disk = list.iter().map(|info| info.bytes).sum();
        stats.oldest_ms = list.first().map(|info| info.created_at_ms);
    }
}
