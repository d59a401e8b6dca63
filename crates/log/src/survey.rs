//! Looking at every byte of a lane below its watermark: what verification reports and repair works from.
//!
//! A survey goes over the lane's segments as they follow each other and hands out, part by part, what it
//! found in each, and the holes where segments are missing or unreadable.

use crate::{
    index::IndexBuilder,
    lane_view::{LaneView, SegmentFlaw},
    origin::of_another_version,
    read_error::ReadError,
    segment::{
        map::SegmentMap,
        window::{Copies, Source, Trouble, Windows},
    },
    survivors::last_used,
    track::{Extent, Find, Found, Goal, Place, Track, as_checked},
    watermark::Durable,
};
use forebay_record::{
    FRAME_HEADER_BYTES, FrameKind, Lsn, SEGMENT_HEADER_BYTES, SealSummary, SegmentHeader, SegmentId, Seq,
    crc32c,
};
use std::{io, ops::Range, sync::Arc};

/// One part of a lane, in order.
#[derive(Debug)]
pub(crate) enum Part {
    Segment(Box<Surveyed>),
    Hole(Box<Hole>),
    /// A readable segment that the lane went around: put to use and never counted.
    Orphan(SegmentId),
}

/// What stands in a segment.
#[derive(Debug)]
pub(crate) struct Surveyed {
    pub(crate) id: SegmentId,
    pub(crate) map: Arc<SegmentMap>,
    /// The bytes that count.
    pub(crate) limit: usize,
    pub(crate) frames: u64,
    pub(crate) records: u64,
    pub(crate) extents: Vec<Extent>,
    /// Bytes between frames that should be zero.
    pub(crate) padding: Vec<Range<usize>>,
    /// What earlier repairs accepted: bytes and sequences.
    pub(crate) losses: Vec<(Range<usize>, Range<u64>)>,
    /// What else is wrong, of which nothing is lost.
    pub(crate) faults: Vec<String>,
    /// Its seal does not agree with it.
    pub(crate) missealed: bool,
    /// Later segments exist, so this one has ended.
    pub(crate) complete: bool,
    /// Where its durable bytes end, if the watermark says so.
    pub(crate) durable_end: Option<u64>,
    /// What must follow it, where that is known.
    pub(crate) goal: Option<Goal>,
    /// Its index as it should be, if no frame is damaged.
    pub(crate) index: IndexBuilder,
    pub(crate) end: Place,
}

impl Surveyed {
    /// Nothing in it has to be written anew.
    pub(crate) fn is_whole(&self) -> bool {
        self.extents.is_empty() && self.padding.is_empty() && !self.missealed
    }
}

/// Frames that lay in segments that are gone or cannot be read.
#[derive(Debug)]
pub(crate) struct Hole {
    /// The segment before it.
    pub(crate) before: Option<SegmentId>,
    /// The first that may have stood there.
    pub(crate) first: SegmentId,
    /// The files that stand there, and why they cannot be read.
    pub(crate) files: Vec<(SegmentId, SegmentFlaw)>,
    /// Where the part before it ends.
    pub(crate) from: Place,
    /// There is no part before it and these are not the lane's first segments: how much it held is not
    /// known, and `from` is where it ends.
    pub(crate) unknown: bool,
    /// What follows: the next segment, or the watermark.
    pub(crate) to: Goal,
    /// The next segment's header.
    pub(crate) next: Option<SegmentHeader>,
}

impl Hole {
    pub(crate) fn lsns(&self) -> Range<u64> {
        self.from.lsn.0..self.to.lsn.0
    }

    pub(crate) fn seqs(&self) -> Range<u64> {
        self.from.seq.0..self.to.seq.0
    }
}

/// In front of a lane's first frame.
const LANE_START: Place = Place { position: SEGMENT_HEADER_BYTES, lsn: Lsn(1), seq: Seq(0), prev_crc: 0 };

/// Bytes between two calls of a progress function.
const PROGRESS_BYTES: usize = 4 << 20;

/// Surveys a lane up to `mark`. `ran` is told how many bytes have been looked at since it was last told.
pub(crate) fn survey(
    view: &mut LaneView,
    mark: &Durable,
    ran: &mut dyn FnMut(SegmentId, u64),
    each: &mut dyn FnMut(&mut LaneView, Part) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut ids = view.segments()?;
    // The newest segment stays whatever retention removes: without any, they were taken away.
    let none_left = ids.is_empty() && mark.durable_lsn > Lsn(0);
    ids.truncate(ids.partition_point(|&id| id <= mark.segment));
    let mut before: Option<(SegmentId, Place)> = None;
    let mut at = 0;
    loop {
        let successor = match before {
            Some((id, _)) => view.successor(&ids, id, mark.segment)?.map(|s| s.id),
            None => first_readable(view, &ids)?,
        };
        // What stands between this part and the next.
        let until = successor.map_or(ids.len(), |id| ids.partition_point(|&other| other < id));
        // Read after the listing: what retention took since then lies below it.
        let floor = if before.is_none() { view.floor()? } else { None };
        let (mut files, mut orphans) = (Vec::new(), Vec::new());
        let kept = |id: &&SegmentId| floor.is_none_or(|floor| **id >= floor.segment);
        for &id in ids.get(at..until).unwrap_or_default().iter().filter(kept) {
            match view.header(id)? {
                Some(Err(flaw)) => files.push((id, flaw)),
                Some(Ok(_)) => orphans.push(id),
                None => {}
            }
        }
        for id in orphans {
            each(view, Part::Orphan(id))?;
        }
        let header = match successor {
            Some(id) => view.header(id)?.and_then(Result::ok),
            None => None,
        };
        let to = header.map_or(Goal::of_watermark(mark), |header| Goal::of_successor(&header, true));
        let from = before.map(|(_, place)| place);
        // Retention may have been at work since the listing: what it took is no hole.
        let taken = match successor {
            Some(id) => floor.is_none() && view.is_oldest(id)?,
            None => false,
        };
        let start = from.or(floor.map(|floor| floor.place()));
        let missing = !files.is_empty() || none_left || start.is_some_and(|start| start.lsn < to.lsn);
        if missing && !taken {
            let at_start = files.first().is_some_and(|(id, _)| *id == SegmentId(1));
            let known = start.or(at_start.then_some(LANE_START));
            // If there is nothing else to go on from, a loss of one frame without records keeps the place.
            let frames = u64::from(header.is_none());
            let lsn = Lsn(to.lsn.0.saturating_sub(frames));
            let hole = Hole {
                before: before.map(|(id, _)| id),
                first: before
                    .map_or(floor.map_or(SegmentId(1), |f| f.segment), |(id, _)| SegmentId(id.0 + 1)),
                files,
                from: known.unwrap_or(Place { lsn, seq: to.seq, ..LANE_START }),
                unknown: known.is_none(),
                to,
                next: header,
            };
            each(view, Part::Hole(Box::new(hole)))?;
        }
        let Some(id) = successor else { return Ok(()) };
        at = until + 1;
        let end = match view.map(id) {
            // Retention took it, and so all before it, while we looked elsewhere.
            Err(e) if e.source.kind() == io::ErrorKind::NotFound => {
                ids.drain(..at);
                (at, before) = (0, None);
                continue;
            }
            map => match map? {
                Err(_) => continue,
                Ok(map) => {
                    let mut part = survey_segment(view, &ids, mark, map, ran)?;
                    if let Some(from) = from.filter(|from| from.lsn == to.lsn)
                        && from.prev_crc != to.prev_crc
                    {
                        part.faults.push(format!(
                            "it follows checksum {:#010x}, the frame before it has {:#010x}",
                            to.prev_crc, from.prev_crc
                        ));
                    }
                    let end = part.end;
                    each(view, Part::Segment(Box::new(part)))?;
                    end
                }
            },
        };
        before = Some((id, end));
    }
}

fn first_readable(view: &mut LaneView, ids: &[SegmentId]) -> Result<Option<SegmentId>, ReadError> {
    for &id in ids {
        if let Some(Ok(_)) = view.header(id)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn survey_segment(
    view: &mut LaneView,
    ids: &[SegmentId],
    mark: &Durable,
    map: SegmentMap,
    ran: &mut dyn FnMut(SegmentId, u64),
) -> Result<Surveyed, ReadError> {
    let id = map.header().id;
    let complete = id < mark.segment;
    let successor = if complete { view.successor(ids, id, mark.segment)? } else { None };
    let end = if complete { successor.and_then(|s| s.failed_end).unwrap_or(u64::MAX) } else { mark.end };
    let goal = if complete { successor.map(|s| s.goal) } else { Some(Goal::of_watermark(mark)) };
    if complete {
        map.expect_sequential();
    }
    let path = view.segment_path(id);
    let failed = ReadError::of("read", &path);
    let mut checks = Checks::new(map.header());
    let map = Arc::new(map);
    let mut bytes = Windows::new(Arc::clone(&map));
    if let Some(limit) = mark.limit(id) {
        let steady = goal.is_some_and(|goal| goal.exact);
        bytes.extend(limit.at_most(end), steady).map_err(&failed)?;
    }
    let limit = bytes.end();
    let mut track = Track { bytes, salt: map.header().salt, place: Place::first(map.header()), goal };
    let (mut extents, mut told) = (Vec::new(), 0);
    loop {
        match track.next(&|_| true).map_err(&failed)? {
            Find::Frame(found) => {
                let after = track.place;
                checks.frame(&found, &after, &mut track.bytes).map_err(&failed)?;
            }
            Find::Damage(extent) if extent.flaw.is_of_another_version() => {
                // Nothing is known of what it holds, and so nothing may be given up.
                let what = format!("at byte {}, {}", extent.bytes.start, extent.flaw);
                return Err(ReadError::of("read", &view.segment_path(id))(of_another_version(what)));
            }
            Find::Damage(extent) => {
                checks.summed = None;
                extents.push(extent);
            }
            Find::End => break,
        }
        let position = track.place.position;
        if position - told >= PROGRESS_BYTES {
            ran(id, (position - told) as u64);
            told = position;
        }
    }
    ran(id, track.place.position.saturating_sub(told) as u64);
    let Checks { frames, records, padding, losses, faults, missealed, index, .. } = checks;
    let end = track.place;
    let durable_end = (!complete && mark.end != u64::MAX).then_some(mark.end);
    Ok(Surveyed {
        id,
        map,
        limit,
        frames,
        records,
        extents,
        padding,
        losses,
        faults,
        missealed,
        complete,
        durable_end,
        goal,
        index,
        end,
    })
}

/// What a survey keeps count of within a segment.
struct Checks {
    frames: u64,
    records: u64,
    padding: Vec<Range<usize>>,
    losses: Vec<(Range<usize>, Range<u64>)>,
    faults: Vec<String>,
    missealed: bool,
    index: IndexBuilder,
    /// CRC of the frames so far and where they end; `None` behind damage, or in a rewritten segment, whose
    /// seal is kept as it was.
    summed: Option<(u32, usize)>,
    received: Option<(u64, u64)>,
}

impl Checks {
    fn new(header: &SegmentHeader) -> Checks {
        Checks {
            frames: 0,
            records: 0,
            padding: Vec::new(),
            losses: Vec::new(),
            faults: Vec::new(),
            missealed: false,
            index: IndexBuilder::new(header),
            summed: (header.generation == 0).then_some((0, SEGMENT_HEADER_BYTES)),
            received: None,
        }
    }

    fn frame(
        &mut self,
        found: &Found,
        after: &Place,
        bytes: &mut impl Source<Error = io::Error>,
    ) -> io::Result<()> {
        let header = &found.header;
        let padding = found.end()..after.position.min(bytes.end()).max(found.end());
        let clean = match bytes.get(padding.clone()) {
            Ok(padding) => padding.iter().all(|&b| b == 0),
            Err(Trouble::Unreadable) => false,
            Err(Trouble::Failed(e)) => return Err(e),
        };
        if !clean {
            self.padding.push(padding);
        }
        // Checked by the walk a moment ago.
        let frame = match bytes.get(found.bytes()) {
            Ok(frame) => frame,
            Err(Trouble::Unreadable) => return Err(io::Error::other("a frame that was just read is gone")),
            Err(Trouble::Failed(e)) => return Err(e),
        };
        let payload = frame.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        self.index.add(&as_checked(found, payload));
        match header.kind {
            FrameKind::Loss => {
                let seqs = header.first_seq.0..header.first_seq.plus(header.event_count).0;
                self.losses.push((found.position..after.position, seqs));
            }
            FrameKind::Seal => self.seal(payload),
            FrameKind::Heartbeat => {}
            FrameKind::Records | FrameKind::Replay | FrameKind::Lookup => {
                self.frames += 1;
                self.records += u64::from(header.event_count);
                let at = header.received_at_ms;
                let (least, greatest) = self.received.unwrap_or((at, at));
                self.received = Some((least.min(at), greatest.max(at)));
            }
        }
        if let Some((crc, from)) = self.summed {
            let to = after.position.min(bytes.end()).max(from);
            self.summed = match bytes.get(from..to) {
                Ok(more) => Some((crc32c(crc, more), to)),
                Err(Trouble::Unreadable) => None,
                Err(Trouble::Failed(e)) => return Err(e),
            };
        }
        Ok(())
    }

    fn seal(&mut self, payload: &[u8]) {
        let Some((crc, _)) = self.summed else { return };
        let Some(seal) = SealSummary::decode(payload) else {
            self.missealed = true;
            return self.faults.push("the seal's summary cannot be read".to_owned());
        };
        let (first, last) = self.received.unwrap_or((0, 0));
        let facts = [
            ("content checksum", u64::from(seal.content_crc), u64::from(crc)),
            ("number of frames", seal.frames, self.frames),
            ("number of records", seal.records, self.records),
            ("first receive time", seal.received_first_ms, first),
            ("last receive time", seal.received_last_ms, last),
        ];
        for (what, sealed, found) in facts {
            if sealed != found {
                self.missealed = true;
                self.faults.push(format!("the seal's {what} is {sealed}, the segment's is {found}"));
            }
        }
    }
}

/// The watermark to hold a stopped lane to: its file's, or what the frames prove if that is more (the file is
/// not flushed with every commit).
pub(crate) fn stopped_watermark(view: &mut LaneView) -> Result<Option<Durable>, ReadError> {
    let (file, proven) = (view.watermark()?, Durable::proven(view)?);
    Ok(file.into_iter().chain(proven).max_by_key(|mark| (mark.durable_lsn, mark.count)))
}

/// What lies behind the durable end of a stopped lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) position: usize,
    /// Up to the last byte that is not zero.
    pub(crate) bytes: usize,
    /// Whole frames in it, and their records.
    pub(crate) frames: u64,
    pub(crate) records: u64,
}

/// Looks behind the end of the newest segment of a stopped lane: what a crash left there, none of it
/// acknowledged.
pub(crate) fn tail(segment: &Surveyed) -> io::Result<Option<Tail>> {
    // Copies: a server that starts right now cuts these bytes off.
    let (file, position) = (segment.map.file(), segment.limit);
    let Some(end) = last_used(file, position..segment.map.file_len()?)? else { return Ok(None) };
    let (bytes, place) = (Copies::of(file)?, Place { position, ..segment.end });
    let mut track = Track { bytes, salt: segment.map.header().salt, place, goal: None };
    let (mut frames, mut records) = (0, 0);
    while let Find::Frame(found) = track.next(&|_| true)? {
        frames += 1;
        records += if found.header.kind.holds_records() { u64::from(found.header.event_count) } else { 0 };
    }
    Ok(Some(Tail { position, bytes: end - position, frames, records }))
}
