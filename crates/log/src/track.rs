//! Following the frames of one segment's bytes, through damage.
//!
//! A [`Track`] checks what binds a frame to its place (header checksum, lsn, sequence, chain) and, where the
//! caller wants the payload, its checksum and layout: once. What fails a check becomes an [`Extent`]: the
//! exact bytes, frames and records that are lost, so that whoever reads goes on behind it.
//!
//! # Invariants
//! * Positions, lsns and sequences only rise: no record is ever found twice.
//! * Where the [`Goal`] is known, no byte behind the last frame before it is looked at.

use crate::{
    index::{Index, Summary},
    segment::window::{Source, Trouble},
};
use forebay_record::{
    CheckedFrame, Damage, FRAME_HEADER_BYTES, FrameError, FrameHeader, FrameKind, LossSummary, Lsn, Payload,
    PayloadError, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, Seq, Watermark,
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
    /// The disk cannot read the bytes.
    Unreadable,
}

impl Flaw {
    /// Is it no damage, but a whole frame that only another version can read?
    #[must_use]
    pub fn is_of_another_version(&self) -> bool {
        matches!(self, Flaw::Frame(Damage::Frame(FrameError::Unknown { .. })))
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Frame(damage) => damage.fmt(f),
            Flaw::Payload(e) => e.fmt(f),
            Flaw::Missing => f.write_str("no frame where there was one: the bytes are gone"),
            Flaw::Unreadable => f.write_str("the disk cannot read these bytes"),
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

    /// Its own bytes in the segment.
    pub(crate) fn bytes(&self) -> Range<usize> {
        self.position..self.end()
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

/// The frames of one segment from a place on.
#[derive(Clone, Debug)]
pub(crate) struct Track<S> {
    /// The segment from its first byte, up to where reading must stop.
    pub(crate) bytes: S,
    pub(crate) salt: u64,
    pub(crate) place: Place,
    pub(crate) goal: Option<Goal>,
}

enum Stop {
    Nothing,
    /// A frame in its place whose payload is damaged: the one behind it is known.
    Spoilt(Box<Found>, Flaw),
    Unknown(Flaw),
}

impl<S: Source> Track<S> {
    /// The next frame, or what stands in its way. `want` says whose payload is to be checked.
    ///
    /// # Errors
    /// When bytes cannot be had and it is not because of damage; asking again tries again.
    pub(crate) fn next(&mut self, want: Want<'_>) -> Result<Find, S::Error> {
        if self.goal.is_some_and(|goal| self.place.lsn >= goal.lsn) {
            return Ok(Find::End);
        }
        match self.look(want)? {
            Ok((found, after)) => {
                self.place = after;
                if found.header.kind == FrameKind::Seal {
                    // Nothing follows in this segment, whatever lies there.
                    let Place { lsn, seq, prev_crc, .. } = after;
                    self.goal = Some(Goal { lsn, seq, prev_crc, exact: true });
                }
                Ok(Find::Frame(found))
            }
            Err(Stop::Spoilt(found, flaw)) => {
                let before = self.place;
                self.place = after(before, &found, None);
                Ok(Find::Damage(self.extent(before, flaw)))
            }
            Err(Stop::Nothing) => self.recover(Flaw::Missing),
            Err(Stop::Unknown(flaw)) => self.recover(flaw),
        }
    }

    /// The payload of a frame that was found.
    pub(crate) fn payload(&mut self, found: &Found) -> Result<&[u8], Trouble<S::Error>> {
        Ok(self.bytes.get(found.bytes())?.get(FRAME_HEADER_BYTES..).unwrap_or_default())
    }

    fn look(&mut self, want: Want<'_>) -> Result<Result<(Found, Place), Stop>, S::Error> {
        match self.check(want) {
            Ok(found) => Ok(Ok(found)),
            Err(Trouble::Unreadable) => Ok(Err(Stop::Unknown(Flaw::Unreadable))),
            Err(Trouble::Failed(Failure::Stop(stop))) => Ok(Err(stop)),
            Err(Trouble::Failed(Failure::Read(e))) => Err(e),
        }
    }

    fn check(&mut self, want: Want<'_>) -> Result<(Found, Place), Trouble<Failure<S::Error>>> {
        let stop = |stop| Trouble::Failed(Failure::Stop(stop));
        let unknown = |damage| stop(Stop::Unknown(Flaw::Frame(damage)));
        let read = |trouble| match trouble {
            Trouble::Unreadable => Trouble::Unreadable,
            Trouble::Failed(e) => Trouble::Failed(Failure::Read(e)),
        };
        let Place { position, lsn, seq, prev_crc } = self.place;
        let head = self.bytes.get(position..position.saturating_add(FRAME_HEADER_BYTES)).map_err(read)?;
        let Some(encoded) = head.first_chunk::<FRAME_HEADER_BYTES>().copied() else {
            return Err(if head.is_empty() { stop(Stop::Nothing) } else { unknown(short()) });
        };
        let room = self.bytes.end() - position;
        let seed = Seed { salt: self.salt, position: position as u64 };
        let header = FrameHeader::decode_within(&encoded, room, seed).map_err(|e| match e {
            FrameError::Zero => stop(Stop::Nothing),
            e => unknown(Damage::Frame(e)),
        })?;
        let found = Found { position, header, chain_crc: FrameHeader::chain_crc(&encoded) };
        if header.lsn != lsn {
            return Err(unknown(Damage::Lsn { expected: lsn, found: header.lsn }));
        }
        if header.first_seq != seq {
            return Err(unknown(Damage::Sequence { expected: seq, found: header.first_seq }));
        }
        if header.prev_crc != prev_crc {
            return Err(unknown(Damage::Chain { expected: prev_crc, found: header.prev_crc }));
        }
        let mut after_loss = None;
        if header.kind == FrameKind::Loss {
            // What a loss stands for is in its payload: without it the place behind is unknown.
            let frame = self.bytes.get(found.bytes()).map_err(read)?;
            after_loss = Some(loss(&header, frame).map_err(|e| unknown(Damage::Frame(e)))?);
        } else if want(&header) {
            let flaw = match self.bytes.get(found.bytes()) {
                Ok(frame) => check_payload(&header, frame).err(),
                Err(Trouble::Unreadable) => Some(Flaw::Unreadable),
                Err(Trouble::Failed(e)) => return Err(Trouble::Failed(Failure::Read(e))),
            };
            if let Some(flaw) = flaw {
                return Err(stop(Stop::Spoilt(Box::new(found), flaw)));
            }
        }
        Ok((found, after(self.place, &found, after_loss)))
    }

    /// Goes on behind damage whose end is not known.
    fn recover(&mut self, flaw: Flaw) -> Result<Find, S::Error> {
        let before = self.place;
        let bound =
            self.goal.unwrap_or(Goal { lsn: Lsn(u64::MAX), seq: Seq(u64::MAX), prev_crc: 0, exact: false });
        let mut from = mutant!(ReaderStopsAtDamage: self.bytes.end(), else before.position);
        while let Some((position, frame)) = self.bytes.survivor(self.salt, from, before.lsn.next())? {
            from = position;
            if frame.lsn < bound.lsn && (before.seq..=bound.seq).contains(&frame.first_seq) {
                let (lsn, seq, prev_crc) = (frame.lsn, frame.first_seq, frame.prev_crc);
                self.place = Place { position, lsn, seq, prev_crc };
                return Ok(Find::Damage(self.extent(before, flaw)));
            }
        }
        let end = self.bytes.end();
        if !bound.exact {
            // Nothing says that there was more here; what lies between the segments is the caller's.
            return Ok(match flaw {
                Flaw::Missing => Find::End,
                flaw => {
                    self.place.position = end;
                    let extent = self.extent(before, flaw);
                    self.goal = Some(Goal { lsn: before.lsn, ..bound });
                    Find::Damage(extent)
                }
            });
        }
        self.place = Place { position: end, lsn: bound.lsn, seq: bound.seq, prev_crc: bound.prev_crc };
        Ok(Find::Damage(self.extent(before, flaw)))
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

/// Why a frame could not be had.
enum Failure<E> {
    Stop(Stop),
    Read(E),
}

fn short() -> Damage {
    Damage::Frame(FrameError::Short)
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
pub(crate) fn as_checked<'a>(found: &Found, payload: &'a [u8]) -> CheckedFrame<'a> {
    CheckedFrame {
        position: found.position as u64,
        header: found.header,
        payload,
        chain_crc: found.chain_crc,
    }
}
