//! Walking the frames of a segment, checking everything that binds them.
//!
//! Recovery, verification and the fuzzers walk the same way: header, payload, chain, lsn and sequence. A
//! walk stops at the first thing that is not right and says what and where; [`resync`] then looks for
//! what survives behind it.

use crate::{
    FRAME_ALIGN, FRAME_HEADER_BYTES, FrameError, FrameHeader, FrameKind, LossSummary, Lsn,
    SEGMENT_HEADER_BYTES, Seed, SegmentHeader, Seq,
};
use std::fmt;

/// A frame that passed every check.
#[derive(Clone, Copy, Debug)]
pub struct CheckedFrame<'a> {
    /// Of its first byte in the segment.
    pub position: u64,
    /// Its header.
    pub header: FrameHeader,
    /// Its payload, checksum verified.
    pub payload: &'a [u8],
    /// [`FrameHeader::chain_crc`] of it.
    pub chain_crc: u32,
}

impl CheckedFrame<'_> {
    /// The lsn and the `prev_crc` of the lane's next frame. A loss frame stands for several.
    #[must_use]
    pub fn followed_by(&self) -> (Lsn, u32) {
        match self.header.kind {
            FrameKind::Loss => LossSummary::decode(self.payload).map(|loss| {
                (Lsn(self.header.lsn.0.saturating_add(loss.frames)), loss.next_prev_crc)
            }),
            _ => None,
        }
        .unwrap_or((self.header.lsn.next(), self.chain_crc))
    }
}

/// What is wrong at the place where a walk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The bytes are no frame of this segment.
    Frame(FrameError),
    /// A frame, but not the next of its lane.
    Lsn {
        /// The number it should have.
        expected: Lsn,
        /// The number it has.
        found: Lsn,
    },
    /// Its records do not follow the ones before.
    Sequence {
        /// The sequence it should start with.
        expected: Seq,
        /// The one it has.
        found: Seq,
    },
    /// It does not name the frame before it.
    Chain {
        /// The checksum it should name.
        expected: u32,
        /// The one it names.
        found: u32,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Frame(e) => e.fmt(f),
            Damage::Lsn { expected, found } => {
                write!(f, "frame {} where frame {} belongs", found.0, expected.0)
            }
            Damage::Sequence { expected, found } => {
                write!(f, "frame starts with record {} where record {} belongs", found.0, expected.0)
            }
            Damage::Chain { expected, found } => {
                write!(f, "frame follows checksum {found:#010x}, the frame before it has {expected:#010x}")
            }
        }
    }
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the limit it was given.
    Limit,
    /// Behind a seal frame: nothing follows in this segment.
    Sealed,
    /// At bytes that are all zero: nothing more was written.
    Clean,
    /// At something that is not the next frame.
    Damaged(Damage),
}

/// An iterator over the frames of one segment. After `None`, [`Walk::end`] says why.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    salt: u64,
    position: usize,
    lsn: Lsn,
    seq: Seq,
    prev_crc: u32,
    end: Option<End>,
}

impl<'a> Walk<'a> {
    /// Walks `segment` (the file's bytes from its first, cut at the limit to look at) from its first
    /// frame.
    #[must_use]
    pub fn new(segment: &'a [u8], header: &SegmentHeader) -> Walk<'a> {
        Walk::resume(
            segment,
            header.salt,
            SEGMENT_HEADER_BYTES,
            header.base_lsn,
            header.base_seq,
            header.prev_crc,
        )
    }

    /// Walks from a frame boundary in the middle, where `lsn`, `seq` and `prev_crc` are what the frame
    /// there must carry.
    #[must_use]
    pub fn resume(
        segment: &'a [u8],
        salt: u64,
        position: usize,
        lsn: Lsn,
        seq: Seq,
        prev_crc: u32,
    ) -> Walk<'a> {
        Walk { bytes: segment, salt, position, lsn, seq, prev_crc, end: None }
    }

    /// Where the next frame starts, or where the walk ended.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position as u64
    }

    /// The lsn of the next frame.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.lsn
    }

    /// The sequence of the next record.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.seq
    }

    /// What the next frame must carry as `prev_crc`.
    #[must_use]
    pub fn prev_crc(&self) -> u32 {
        self.prev_crc
    }

    /// Why the walk ended; `None` while it goes on.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    fn step(&mut self) -> Result<CheckedFrame<'a>, End> {
        let rest = self.bytes.get(self.position..).filter(|r| !r.is_empty()).ok_or(End::Limit)?;
        let seed = Seed { salt: self.salt, position: self.position as u64 };
        let damaged = |e| End::Damaged(Damage::Frame(e));
        let header = FrameHeader::decode(rest, seed).map_err(|e| match e {
            FrameError::Zero => End::Clean,
            e => damaged(e),
        })?;
        let payload = header.payload(rest).map_err(damaged)?;
        if header.lsn != self.lsn {
            return Err(End::Damaged(Damage::Lsn { expected: self.lsn, found: header.lsn }));
        }
        if header.first_seq != self.seq {
            return Err(End::Damaged(Damage::Sequence { expected: self.seq, found: header.first_seq }));
        }
        if header.prev_crc != self.prev_crc {
            return Err(End::Damaged(Damage::Chain { expected: self.prev_crc, found: header.prev_crc }));
        }
        if header.kind == FrameKind::Loss && LossSummary::decode(payload).is_none() {
            let unknown = FrameError::Unknown { field: "loss payload length", value: header.stored_len.into() };
            return Err(damaged(unknown));
        }
        let encoded = rest.first_chunk::<FRAME_HEADER_BYTES>().ok_or(End::Limit)?;
        Ok(CheckedFrame {
            position: self.position as u64,
            header,
            payload,
            chain_crc: FrameHeader::chain_crc(encoded),
        })
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = CheckedFrame<'a>;

    fn next(&mut self) -> Option<CheckedFrame<'a>> {
        if self.end.is_some() {
            return None;
        }
        match self.step() {
            Ok(frame) => {
                self.position += frame.header.extent(self.position);
                if frame.header.kind.holds_records() {
                    self.seq = frame.header.first_seq.plus(frame.header.event_count);
                }
                (self.lsn, self.prev_crc) = frame.followed_by();
                if frame.header.kind == FrameKind::Seal {
                    self.end = Some(End::Sealed);
                }
                Some(frame)
            }
            Err(end) => {
                self.end = Some(end);
                None
            }
        }
    }
}

/// The next place after `position` where a frame of this segment with an lsn of at least `least`
/// validates, header and payload: what survives behind damage.
///
/// It looks at every frame boundary, not only at the groups': one bad frame costs none of its neighbours.
/// Event bytes that look like a frame do not validate, because a sender cannot know the segment's salt.
#[must_use]
pub fn resync(segment: &[u8], salt: u64, position: u64, least: Lsn) -> Option<CheckedFrame<'_>> {
    let mut at = usize::try_from(position).ok()?.checked_add(1)?.next_multiple_of(FRAME_ALIGN);
    while let Some(rest) = segment.get(at..).filter(|rest| rest.len() >= FRAME_HEADER_BYTES) {
        if let Ok(header) = FrameHeader::decode(rest, Seed { salt, position: at as u64 })
            && header.lsn >= least
            && let Ok(payload) = header.payload(rest)
            && let Some(encoded) = rest.first_chunk::<FRAME_HEADER_BYTES>()
        {
            let chain_crc = FrameHeader::chain_crc(encoded);
            return Some(CheckedFrame { position: at as u64, header, payload, chain_crc });
        }
        at += FRAME_ALIGN;
    }
    None
}
