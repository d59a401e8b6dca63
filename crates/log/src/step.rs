//! What a cursor hands out: frames, and the gaps between them.

use crate::segment::window::Window;
use crate::track::Found;
use forebay_record::{DirectoryEntry, FRAME_HEADER_BYTES, FrameHeader, LaneId, Payload, SegmentId, Seq};
use std::fmt;

/// The next thing in a lane.
#[derive(Clone, Debug)]
pub enum Step {
    /// Records.
    Frame(Frame),
    /// Records that cannot be had any more.
    Gap(Gap),
}

/// A run of sequences whose records cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The lane.
    pub lane: LaneId,
    /// The first one.
    pub from: Seq,
    /// The first one behind them.
    pub to: Seq,
    /// Why.
    pub reason: GapReason,
}

impl Gap {
    /// How many records it stands for (of all projects in the lane, where the reader has no index).
    #[must_use]
    pub fn records(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} records {}..{}: {}", self.lane, self.from.0, self.to.0, self.reason)
    }
}

/// Why records cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// They were kept as long as was asked, and are gone.
    Retention,
    /// Their bytes are damaged: `forebay log verify` says where.
    Damage,
    /// They were damaged and an operator accepted that.
    Loss,
}

impl GapReason {
    /// As it stands in `log cat` and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::Retention => "retention",
            GapReason::Damage => "damage",
            GapReason::Loss => "loss",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A frame of records, checked. It holds a part of the segment's map: cheap to clone and to send, nothing is copied,
/// and it stays readable when retention removes the file.
#[derive(Clone)]
pub struct Frame {
    segment: SegmentId,
    window: Window,
    found: Found,
    skip: u32,
}

/// One record of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its sequence.
    pub seq: Seq,
    /// Where its looked-at fields lie in `json`.
    pub entry: DirectoryEntry,
    /// Its bytes: JSON as sent, or a replay's body.
    pub json: &'a [u8],
}

impl Frame {
    /// `found` must lie in `window` and its payload have been checked; its first `skip` records are left out.
    pub(crate) fn new(segment: SegmentId, window: Window, found: Found, skip: u32) -> Frame {
        Frame { segment, window, found, skip }
    }

    /// The frame's header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.found.header
    }

    /// The segment it lies in.
    #[must_use]
    pub fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Where it lies in its segment.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.found.position as u64
    }

    /// The token that routed the records.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        self.payload().map_or(&[], |p| p.token)
    }

    /// A replay's query string; empty for other kinds.
    #[must_use]
    pub fn meta(&self) -> &[u8] {
        self.payload().map_or(&[], |p| p.meta)
    }

    /// The records that the reader has not had yet, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let skip = self.skip;
        let events = self.payload().into_iter().flat_map(move |p| p.events_from(skip as usize));
        let first = self.found.header.first_seq;
        (skip..).zip(events).map(move |(i, (entry, json))| Record { seq: first.plus(i), entry, json })
    }

    /// Leaves out the next `records` from now on: for a reader that goes on later in the middle of a frame.
    pub fn advance(&mut self, records: u32) {
        self.skip = self.skip.saturating_add(records).min(self.found.header.event_count);
    }

    /// How many records [`Frame::records`] yields.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.found.header.event_count.saturating_sub(self.skip)
    }

    fn payload(&self) -> Option<Payload<'_>> {
        let frame = self.window.get(self.found.bytes())?;
        Payload::parse(frame.get(FRAME_HEADER_BYTES..)?, self.found.header.event_count).ok()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("header", &self.found.header)
            .field("segment", &self.segment)
            .field("position", &self.found.position)
            .finish_non_exhaustive()
    }
}
