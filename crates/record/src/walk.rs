//! Walking the frames of a segment, checking everything that binds them.
//!
//! Recovery, verification and the fuzzers walk the same way: header, payload, chain, lsn and sequence. A
//! walk stops at the first thing that is not right and says what and where; [`resync`] then looks for
//! what survives behind it.

use crate::{
    FRAME_ALIGN, FRAME_HEADER_BYTES, FrameError, FrameHeader, FrameKind, LossSummary, Lsn,
    SEGMENT_HEADER_BYTES, Seed, SegmentHeader, Seq, frame::MAGIC,
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
            FrameKind::Loss => LossSummary::decode(self.payload)
                .map(|loss| (Lsn(self.header.lsn.0.saturating_add(loss.frames)), loss.next_prev_crc)),
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
            let unknown =
                FrameError::Unknown { field: "loss payload length", value: header.stored_len.into() };
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
    let mut at = usize::try_from(position).ok()?.checked_add(1)?.checked_next_multiple_of(FRAME_ALIGN)?;
    while let Some(rest) = segment.get(at..).filter(|rest| rest.len() >= FRAME_HEADER_BYTES) {
        if rest.starts_with(&MAGIC)
            && let Ok(header) = FrameHeader::decode(rest, Seed { salt, position: at as u64 })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FrameFlags,
        sample::{Built, Plan, build, frame_header, overwrite, three_frames},
    };

    /// Walks `built` and returns how many frames came and how it ended.
    fn walked(built: &Built) -> (usize, End) {
        let mut walk = Walk::new(&built.bytes, &built.header);
        let frames = walk.by_ref().count();
        (frames, walk.end().expect("it ended"))
    }

    /// Changes the header of the third frame and makes its checksum right again.
    fn with_third(change: impl FnOnce(&mut FrameHeader)) -> (usize, End) {
        let mut built = build(&three_frames(), 4096);
        let at = built.frames[2].start;
        let seed = Seed { salt: built.header.salt, position: at as u64 };
        let mut header = FrameHeader::decode(&built.bytes[at..], seed).expect("as built");
        change(&mut header);
        overwrite(&mut built.bytes, built.header.salt, at, &header);
        walked(&built)
    }

    #[test]
    fn a_walk_yields_every_frame_and_ends_clean() {
        let built = build(&three_frames(), 4096);
        let mut walk = Walk::new(&built.bytes, &built.header);
        let positions: Vec<_> = walk.by_ref().map(|f| f.position).collect();
        assert_eq!(positions, built.frames.iter().map(|r| r.start as u64).collect::<Vec<_>>());
        assert_eq!(walk.end(), Some(End::Clean));
        assert_eq!((walk.next_lsn(), walk.next_seq()), (Lsn(1004), Seq(50_004)));
        assert_eq!(walk.position(), 3 * 4096);
        assert!(walk.next().is_none(), "it stays ended");
    }

    #[test]
    fn a_walk_stops_at_its_limit() {
        let built = build(&three_frames(), 4096);
        for (limit, frames, end) in [(4096, 0, End::Limit), (8192, 2, End::Limit), (12_288, 3, End::Limit)] {
            let mut walk = Walk::new(&built.bytes[..limit], &built.header);
            assert_eq!((walk.by_ref().count(), walk.end()), (frames, Some(end)), "limit {limit}");
        }
    }

    #[test]
    fn a_walk_can_start_in_the_middle() {
        let built = build(&three_frames(), 0);
        let mut walk = Walk::new(&built.bytes, &built.header);
        walk.nth(1).expect("two frames");
        let position = usize::try_from(walk.position()).expect("small");
        let (lsn, seq, prev_crc) = (walk.next_lsn(), walk.next_seq(), walk.prev_crc());
        let resumed = Walk::resume(&built.bytes, built.header.salt, position, lsn, seq, prev_crc);
        assert_eq!(resumed.map(|f| f.header.lsn).collect::<Vec<_>>(), [Lsn(1003)]);
    }

    #[test]
    fn nothing_follows_a_seal() {
        let mut plan = three_frames();
        plan[1].kind = FrameKind::Seal;
        plan[1].event_count = 0;
        assert_eq!(walked(&build(&plan, 0)), (2, End::Sealed));
    }

    #[test]
    fn heartbeats_count_as_frames_and_not_as_records() {
        let mut plan = three_frames();
        plan.insert(2, Plan { kind: FrameKind::Heartbeat, payload: vec![], event_count: 0, group_end: true });
        let built = build(&plan, 4096);
        let mut walk = Walk::new(&built.bytes, &built.header);
        assert_eq!(walk.by_ref().count(), 4);
        assert_eq!((walk.next_lsn(), walk.next_seq()), (Lsn(1005), Seq(50_004)));
    }

    #[test]
    fn a_loss_frame_stands_for_the_frames_it_replaced() {
        let whole = build(&three_frames(), 4096);
        // The second frame is lost: what the third names as its predecessor is all that is left of it.
        let (lost, salt) = (whole.frames[1].clone(), whole.header.salt);
        let at = |position: usize| Seed { salt, position: position as u64 };
        let read =
            |position: usize| FrameHeader::decode(&whole.bytes[position..], at(position)).expect("built");
        let (second, third) = (read(lost.start), read(whole.frames[2].start));
        let mut payload = LossSummary { frames: 1, next_prev_crc: third.prev_crc }.encode().to_vec();
        payload.resize(second.stored_len as usize, 0);
        let loss = FrameHeader { kind: FrameKind::Loss, payload_crc: crate::crc32c(0, &payload), ..second };
        let mut repaired = Built { bytes: whole.bytes.clone(), frames: vec![], header: whole.header };
        overwrite(&mut repaired.bytes, salt, lost.start, &loss);
        repaired.bytes[lost.start + FRAME_HEADER_BYTES..lost.end].copy_from_slice(&payload);
        assert_eq!(walked(&repaired), (3, End::Clean));
    }

    #[test]
    fn a_loss_frame_that_names_no_frames_is_damage() {
        let mut plan = three_frames();
        plan[1] = Plan { kind: FrameKind::Loss, payload: vec![0; 16], event_count: 1, group_end: true };
        let (frames, end) = walked(&build(&plan, 4096));
        assert!(
            matches!((frames, end), (1, End::Damaged(Damage::Frame(FrameError::Unknown { .. })))),
            "{end:?}"
        );
    }

    #[test]
    fn what_binds_frames_together_is_checked_and_named() {
        let (expected, found) = (Lsn(1003), Lsn(1004));
        let lsn = with_third(|h| h.lsn = found);
        assert_eq!(lsn, (2, End::Damaged(Damage::Lsn { expected, found })));
        let (expected, found) = (Seq(50_003), Seq(50_004));
        let seq = with_third(|h| h.first_seq = found);
        assert_eq!(seq, (2, End::Damaged(Damage::Sequence { expected, found })));
        let (frames, end) = with_third(|h| h.prev_crc ^= 1);
        assert!(matches!((frames, end), (2, End::Damaged(Damage::Chain { .. }))), "{end:?}");
        assert_eq!(with_third(|_| ()), (3, End::Clean), "the overwriting itself is right");
    }

    #[test]
    fn what_survives_behind_damage_is_found() {
        let mut built = build(&three_frames(), 4096);
        let (salt, damaged) = (built.header.salt, built.frames[0].start);
        built.bytes[damaged + 50] ^= 1;
        let position = damaged as u64;
        assert_eq!(walked(&built).0, 0);
        let found = |position, least| {
            resync(&built.bytes, salt, position, Lsn(least)).map(|f| (f.position, f.header.lsn.0))
        };
        let second = built.frames[1].start as u64;
        assert_eq!(found(position, 1001), Some((second, 1002)), "the same group's next frame");
        assert_eq!(found(position, 1003), Some((8192, 1003)), "the lsn asked for");
        assert_eq!(found(second, 0), Some((8192, 1003)), "behind it, not at it");
        assert_eq!(found(position, 1004), None);
        assert_eq!(found(8192, 0), None, "behind it there is nothing");
        assert!(resync(&built.bytes, salt ^ 1, position, Lsn(0)).is_none(), "another segment's");
        for far in [u64::MAX, u64::MAX - 1, u64::MAX - 5000] {
            assert_eq!(found(far, 0), None);
        }
    }

    #[test]
    fn a_frame_longer_than_the_limit_is_damage_not_a_panic() {
        let mut built = build(&three_frames(), 0);
        let flags = FrameFlags::default();
        let header = FrameHeader { stored_len: u32::MAX, raw_len: u32::MAX, flags, ..frame_header() };
        let salt = built.header.salt;
        overwrite(&mut built.bytes, salt, 4096, &header);
        assert_eq!(walked(&built), (0, End::Damaged(Damage::Frame(FrameError::Length(u32::MAX)))));
    }
}
