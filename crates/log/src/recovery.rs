//! Opening a lane: which of its bytes count, and where it goes on.
//!
//! W is the newest frame that is proven to have been durable: by the `durable_lsn` of any valid frame, by
//! the watermark file, or by a later segment's header. What cannot be read and lies behind W was never
//! acknowledged: it is copied aside, counted and cut. What cannot be read and lies at or below W was: it is
//! never cut, but reported and served around. Either way the lane goes on in a new segment.
//!
//! # Invariants
//! * A byte at or below W is never changed.
//! * What is kept is flushed before the watermark tells any reader of it.
//! * What nothing proves is never written in place: it goes to a fresh segment.
//! * Recovering again, also after a crash in the middle, comes to the same end.
//! * Only the last segment is read; the others' headers say what recovery needs of them.

mod carry;
mod lane;
mod tail;

pub(crate) use lane::{RecoveredLane, recover};

use crate::scrub::DAMAGE_LINES_MAX;
use forebay_record::{LaneId, Lsn, SegmentId, Seq};
use std::{ops::Range, path::PathBuf, time::Duration};

/// What opening a log found, lane by lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Every lane that exists.
    pub lanes: Vec<LaneRecovery>,
    /// How long it took.
    pub took: Duration,
}

/// What recovery found in a lane and did about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRecovery {
    /// Which.
    pub lane: LaneId,
    /// The newest frame that counts.
    pub durable_lsn: Lsn,
    /// The sequence after the newest record that counts.
    pub next_seq: Seq,
    /// Segments that the lane has now, one with frames that were carried over among them.
    pub segments: usize,
    /// Bytes read to find the end of the lane.
    pub scanned_bytes: u64,
    /// The torn tail that was cut, if there was one: never acknowledged.
    pub cut: Option<Cut>,
    /// Acknowledged data that the disk damaged: left as it is, reported, served around.
    pub damage: Vec<DamagedRange>,
}

impl LaneRecovery {
    fn log_damage(&self) {
        let lane = self.lane;
        for damage in self.damage.iter().take(DAMAGE_LINES_MAX) {
            tracing::error!(
                %lane, segment = damage.segment.0, from = damage.bytes.start, to = damage.bytes.end,
                events = damage.events(), what = damage.what,
                "acknowledged data is damaged: it is kept as it is and read around; see `forebay log verify`"
            );
        }
        if let more @ 1.. = self.damage.len().saturating_sub(DAMAGE_LINES_MAX) {
            tracing::error!(
                %lane, more, "acknowledged data is damaged in more places: `forebay log verify` names all"
            );
        }
    }
}

/// A torn tail that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment it was cut from.
    pub segment: SegmentId,
    /// Where it started.
    pub position: u64,
    /// How many bytes up to the last that was not zero.
    pub bytes: u64,
    /// The copy; `None` if none could be made (a full disk).
    pub copy: Option<PathBuf>,
}

/// Acknowledged data that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// The segment.
    pub segment: SegmentId,
    /// The bytes, up to where valid frames go on or to the segment's end.
    pub bytes: Range<u64>,
    /// The frames.
    pub lsn: Range<Lsn>,
    /// The records.
    pub seq: Range<Seq>,
    /// What is wrong at its start.
    pub what: String,
}

impl DamagedRange {
    /// How many records it held.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.seq.end.0.saturating_sub(self.seq.start.0)
    }
}
