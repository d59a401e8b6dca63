//! Following the frames of one segment's bytes, through damage.
//!
//! A [`Track`] checks what binds a frame to its place (header checksum, lsn, sequence, chain) and, where the
//! caller wants the payload, its checksum and layout: once. What fails a check becomes an [`Extent`]: the
//! exact bytes, frames and records that are lost, so that whoever reads goes on behind it.
//!
//! # Invariants
//! * Positions, lsns and sequences only rise: no record is ever found twice.
//! * Where the [`Goal`] is known, no byte behind the last frame before it is looked at.

use crate::index::{Index, Summary};
use forebay_record::{
    CheckedFrame, Damage, FRAME_HEADER_BYTES, FrameError, FrameHeader, FrameKind, LossSummary, Lsn, Payload,
    PayloadError, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, Seq, Watermark, resync,
};
use std::{fmt, ops::Range};

/// What is wrong with an extent of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The bytes are not the frame that belongs there.
    Frame(Damage),
    /// The frame's checksums are right, but its payload cannot be read.
    Payload(PayloadError),
    /// Nothing is there, but the lane's next frames say that there was.
    Missing,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Frame(damage) => damage.fmt(f),
            Flaw::Payload(e) => e.fmt(f),
            Flaw::Missing => f.write_str("no frame where there was one: the bytes are gone"),
        }
    }
}

/// Where a reader stands between two frames, and what the next one must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: usize,
    pub(crate) lsn: Lsn,
    pub(crate) seq: Seq,
    pub(crate) prev_crc: u32,
}

impl Place {
    /// In front of a segment's first frame.
    pub(crate) fn first(header: &SegmentHeader) -> Place {
        Place {
            position: SEGMENT_HEADER_BYTES,
            lsn: header.base_lsn,
            seq: header.base_seq,
            prev_crc: header.prev_crc,
        }
    }
}

/// What must follow the segment's last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) lsn: Lsn,
    pub(crate) seq: Seq,
    pub(crate) prev_crc: u32,
    /// It follows directly. If not, whole segments between are unreadable or gone, and the goal is only a
    /// bound.
    pub(crate) exact: bool,
}

impl Goal {
    /// As the watermark says, for the segment it names.
    pub(crate) fn of_watermark(mark: &Watermark) -> Goal {
        Goal { lsn: mark.durable_lsn.next(), seq: mark.next_seq, prev_crc: mark.chain_crc, exact: true }
    }

    /// As an index of the whole segment says.
    pub(crate) fn of_index(index: &Index) -> Goal {
        let Summary { next_lsn, next_seq, next_prev_crc, .. } = index.summary;
        Goal { lsn: next_lsn, seq: next_seq, prev_crc: next_prev_crc, exact: true }
    }

    /// As a later segment says.
    pub(crate) fn of_successor(header: &SegmentHeader, exact: bool) -> Goal {
        Goal { lsn: header.base_lsn, seq: header.base_seq, prev_crc: header.prev_crc, exact }
    }
}

/// A frame in its place. Its payload was checked if the caller asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) position: usize,
    pub(crate) header: FrameHeader,
    pub(crate) chain_crc: u32,
}

impl Found {
    /// Where the frame's own bytes end; padding may follow.
    pub(crate) fn end(&self) -> usize {
        self.position + FRAME_HEADER_BYTES + self.header.stored_len as usize
    }

    /// The payload in the segment's bytes.
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.position + FRAME_HEADER_BYTES..self.end()).unwrap_or_default()
    }
}

/// Lost bytes, frames and records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) bytes: Range<usize>,
    pub(crate) lsns: Range<u64>,
    pub(crate) seqs: Range<u64>,
    /// `prev_crc` of the first frame lost, and of the frame behind them.
    pub(crate) prev_crc: u32,
    pub(crate) next_prev_crc: u32,
    pub(crate) flaw: Flaw,
}

/// What a track comes to.
#[derive(Clone, Debug)]
pub(crate) enum Find {
    Frame(Found),
    Damage(Extent),
    /// The goal, the seal, or the end of what was written.
    End,
}

/// Which payloads are checked.
pub(crate) type Want<'w> = &'w dyn Fn(&FrameHeader) -> bool;

/// Finds the next frame behind a position, with at least this lsn, that stands whole.
pub(crate) type Survivors<'s> = &'s dyn Fn(usize, Lsn) -> Option<(usize, FrameHeader)>;

/// The frames of one segment from a place on.
#[derive(Clone, Debug)]
pub(crate) struct Track<'a> {
    /// The segment from its first byte, cut where reading must stop.
    pub(crate) bytes: &'a [u8],
    pub(crate) salt: u64,
    pub(crate) place: Place,
    pub(crate) goal: Option<Goal>,
}

enum Stop {
    Nothing,
    /// A frame in its place whose payload is damaged: the one behind it is known.
    Spoilt(Box<Found>, Flaw),
    Unknown(Damage),
}

impl<'a> Track<'a> {
    /// The next frame, or what stands in its way. `want` says whose payload is to be checked.
    pub(crate) fn next(&mut self, want: Want<'_>) -> Find {
        let (bytes, salt) = (self.bytes, self.salt);
        self.next_among(want, &|from, least| {
            let frame = resync(bytes, salt, from as u64, least)?;
            Some((usize::try_from(frame.position).ok()?, frame.header))
        })
    }

    /// As [`Track::next`], where looking through all of `bytes` for what survived damage is not allowed:
    /// `survivors` does that.
    pub(crate) fn next_among(&mut self, want: Want<'_>, survivors: Survivors<'_>) -> Find {
        if self.goal.is_some_and(|goal| self.place.lsn >= goal.lsn) {
            return Find::End;
        }
        match self.look(want) {
            Ok((found, after)) => {
                self.place = after;
                if found.header.kind == FrameKind::Seal {
                    // Nothing follows in this segment, whatever lies there.
                    let Place { lsn, seq, prev_crc, .. } = after;
                    self.goal = Some(Goal { lsn, seq, prev_crc, exact: true });
                }
                Find::Frame(found)
            }
            Err(Stop::Spoilt(found, flaw)) => {
                let before = self.place;
                self.place = after(before, &found, None);
                Find::Damage(self.extent(before, flaw))
            }
            Err(Stop::Nothing) => self.recover(Flaw::Missing, survivors),
            Err(Stop::Unknown(damage)) => self.recover(Flaw::Frame(damage), survivors),
        }
    }

    fn look(&self, want: Want<'_>) -> Result<(Found, Place), Stop> {
        let Place { position, lsn, seq, prev_crc } = self.place;
        let rest = self.bytes.get(position..).filter(|rest| !rest.is_empty()).ok_or(Stop::Nothing)?;
        let header =
            FrameHeader::decode(rest, Seed { salt: self.salt, position: position as u64 }).map_err(|e| {
                match e {
                    FrameError::Zero => Stop::Nothing,
                    e => Stop::Unknown(Damage::Frame(e)),
                }
            })?;
        let encoded = rest.first_chunk().ok_or(Stop::Nothing)?;
        let found = Found { position, header, chain_crc: FrameHeader::chain_crc(encoded) };
        if header.lsn != lsn {
            return Err(Stop::Unknown(Damage::Lsn { expected: lsn, found: header.lsn }));
        }
        if header.first_seq != seq {
            return Err(Stop::Unknown(Damage::Sequence { expected: seq, found: header.first_seq }));
        }
        if header.prev_crc != prev_crc {
            return Err(Stop::Unknown(Damage::Chain { expected: prev_crc, found: header.prev_crc }));
        }
        let loss = match header.kind {
            // What a loss stands for is in its payload: without it the place behind is unknown.
            FrameKind::Loss => Some(loss(&header, rest).map_err(|e| Stop::Unknown(Damage::Frame(e)))?),
            _ => None,
        };
        if loss.is_none() && want(&header) {
            check_payload(&header, rest).map_err(|flaw| Stop::Spoilt(Box::new(found), flaw))?;
        }
        Ok((found, after(self.place, &found, loss)))
    }

    /// Goes on behind damage whose end is not known.
    fn recover(&mut self, flaw: Flaw, survivors: Survivors<'_>) -> Find {
        let before = self.place;
        let bound =
            self.goal.unwrap_or(Goal { lsn: Lsn(u64::MAX), seq: Seq(u64::MAX), prev_crc: 0, exact: false });
        let mut from = before.position;
        while let Some((position, frame)) = survivors(from, before.lsn.next()) {
            from = position;
            if frame.lsn < bound.lsn && (before.seq..=bound.seq).contains(&frame.first_seq) {
                let (lsn, seq, prev_crc) = (frame.lsn, frame.first_seq, frame.prev_crc);
                self.place = Place { position, lsn, seq, prev_crc };
                return Find::Damage(self.extent(before, flaw));
            }
        }
        if !bound.exact {
            // Nothing says that there was more here; what lies between the segments is the caller's.
            return match flaw {
                Flaw::Missing => Find::End,
                flaw => {
                    self.place.position = self.bytes.len();
                    let extent = self.extent(before, flaw);
                    self.goal = Some(Goal { lsn: before.lsn, ..bound });
                    Find::Damage(extent)
                }
            };
        }
        self.place =
            Place { position: self.bytes.len(), lsn: bound.lsn, seq: bound.seq, prev_crc: bound.prev_crc };
        Find::Damage(self.extent(before, flaw))
    }

    fn extent(&self, before: Place, flaw: Flaw) -> Extent {
        Extent {
            // What was cut off a file may begin behind its end.
            bytes: before.position..self.place.position.max(before.position),
            lsns: before.lsn.0..self.place.lsn.0,
            seqs: before.seq.0..self.place.seq.0,
            prev_crc: before.prev_crc,
            next_prev_crc: self.place.prev_crc,
            flaw,
        }
    }
}

fn after(place: Place, found: &Found, loss: Option<LossSummary>) -> Place {
    let header = &found.header;
    let seq = if header.kind.holds_records() { header.first_seq.plus(header.event_count) } else { place.seq };
    let (lsn, prev_crc) = match loss {
        Some(loss) => (Lsn(header.lsn.0.saturating_add(loss.frames)), loss.next_prev_crc),
        None => (header.lsn.next(), found.chain_crc),
    };
    Place { position: place.position.saturating_add(header.extent(place.position)), lsn, seq, prev_crc }
}

fn loss(header: &FrameHeader, frame: &[u8]) -> Result<LossSummary, FrameError> {
    let payload = header.payload(frame)?;
    let unknown = FrameError::Unknown { field: "loss payload length", value: header.stored_len.into() };
    LossSummary::decode(payload).ok_or(unknown)
}

/// Checks a frame's payload: checksum and, where it holds records, layout.
pub(crate) fn check_payload(header: &FrameHeader, frame: &[u8]) -> Result<(), Flaw> {
    let payload = header.payload(frame).map_err(|e| Flaw::Frame(Damage::Frame(e)))?;
    if header.kind.holds_records() && header.kind != FrameKind::Loss {
        Payload::parse(payload, header.event_count).map_err(Flaw::Payload)?;
    }
    Ok(())
}

/// A found frame as record's walk would give it, its payload not checked again.
pub(crate) fn as_checked<'a>(found: &Found, bytes: &'a [u8]) -> CheckedFrame<'a> {
    CheckedFrame {
        position: found.position as u64,
        header: found.header,
        payload: found.payload(bytes),
        chain_crc: found.chain_crc,
    }
}
