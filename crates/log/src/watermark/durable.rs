//! What a reader may look at, as types: no byte of a segment is handed out without a [`Limit`], and only what
//! proves durability makes one.

use crate::segment::SegmentInfo;
use forebay_record::{SegmentId, Watermark};
use std::ops::Deref;

/// How far a lane is durable. Only the lane's watermark file, and frames that prove it, make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durable(Watermark);

impl Durable {
    /// As the watermark file says, or as frames prove.
    pub(super) fn told(mark: Watermark) -> Durable {
        Durable(mark)
    }

    /// How far a segment of the lane may be looked at: the one that the watermark is in up to its end, those
    /// before it as long as they are, later ones not at all.
    pub(crate) fn limit(&self, id: SegmentId) -> Option<Limit> {
        let bytes = match id.cmp(&self.0.segment) {
            std::cmp::Ordering::Less => usize::MAX,
            std::cmp::Ordering::Equal if mutant!(ReaderPastTheWatermark: true, else false) => usize::MAX,
            std::cmp::Ordering::Equal => usize::try_from(self.0.end).unwrap_or(usize::MAX),
            std::cmp::Ordering::Greater => return None,
        };
        Some(Limit { segment: id, bytes })
    }
}

impl Deref for Durable {
    type Target = Watermark;

    fn deref(&self) -> &Watermark {
        &self.0
    }
}

/// Up to where the bytes of one segment may be looked at: they are durable and never change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    segment: SegmentId,
    bytes: usize,
}

impl Limit {
    /// Of a segment that this process no longer writes; `None` if it does.
    pub(crate) fn of_closed(info: &SegmentInfo) -> Option<Limit> {
        info.last_ms.map(|_| Limit { segment: info.id, bytes: usize::MAX })
    }

    /// Nothing yet.
    pub(crate) fn nothing(segment: SegmentId) -> Limit {
        Limit { segment, bytes: 0 }
    }

    /// The segment it is of.
    #[must_use]
    pub fn segment(self) -> SegmentId {
        self.segment
    }

    /// The first byte that must not be looked at.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.bytes
    }

    /// This one, or `end` if that comes before.
    #[must_use]
    pub(crate) fn at_most(self, end: u64) -> Limit {
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        Limit { bytes: self.bytes.min(end), ..self }
    }
}
