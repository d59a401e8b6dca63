//! The segment that a cursor is in, and where in it.

use super::Touched;
use crate::{
    Filter, Frame, Gap, GapReason, ReadError, Step,
    index::{Posting, Waypoint},
    lane_view::Successor,
    origin::of_another_version,
    segment::{
        map::SegmentMap,
        window::{Source as _, Trouble, Windows},
    },
    track::{Find, Found, Goal, Place, Track, check_payload},
    watermark::{Durable, Limit},
};
use forebay_record::{
    FRAME_HEADER_BYTES, FrameHeader, FrameKind, LaneId, Lsn, Payload, Seed, SegmentId, Seq,
};
use std::{fmt, io, ops::Range, path::Path, sync::Arc};

pub(super) struct Here {
    lane: LaneId,
    bytes: Windows,
    place: Place,
    goal: Goal,
    /// Nothing is written here any more.
    complete: bool,
    /// The frames to visit, where an index said which; else all are walked.
    postings: Option<Postings>,
}

/// Frames that begin no farther apart than this are fetched together.
const CLOSE: usize = 16 << 10;
/// At most so much at a time.
const TOGETHER: usize = 1 << 20;

#[derive(Debug)]
struct Postings {
    all: Vec<Posting>,
    /// The next one to visit.
    at: usize,
}

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Here")
            .field("segment", &self.id())
            .field("place", &self.place)
            .field("goal", &self.goal)
            .finish_non_exhaustive()
    }
}

impl Here {
    /// At the start of a segment. Nothing can be read until one of the methods below has said how far.
    pub(super) fn new(lane: LaneId, map: Arc<SegmentMap>, goal: Goal) -> Here {
        let place = Place::first(map.header());
        Here { lane, bytes: Windows::new(map), place, goal, complete: false, postings: None }
    }

    pub(super) fn id(&self) -> SegmentId {
        self.bytes.map().header().id
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The watermark, which is in this segment, has moved.
    pub(super) fn extend(&mut self, mark: &Durable, dir: &Path) -> Result<(), ReadError> {
        let Some(limit) = mark.limit(self.id()) else { return Ok(()) };
        self.goal = Goal::of_watermark(mark);
        mutant!(ReaderPastTheWatermark, {
            self.goal = Goal { lsn: Lsn(u64::MAX), seq: Seq(u64::MAX), exact: false, ..self.goal };
        });
        self.bytes.extend(limit, true).map_err(ReadError::of("read the length of a segment in", dir))
    }

    /// The watermark has moved past this segment; `seen` is where it ends if only so much of it is sure.
    pub(super) fn complete(
        &mut self,
        mark: &Durable,
        successor: Option<&Successor>,
        seen: Option<u64>,
        dir: &Path,
    ) -> Result<(), ReadError> {
        let Some(limit) = mark.limit(self.id()) else { return Ok(()) };
        let limit = seen.map_or(limit, |end| limit.at_most(end));
        let open = Goal { lsn: Lsn(u64::MAX), seq: Seq(u64::MAX), prev_crc: 0, exact: false };
        self.complete_at(limit, successor.map_or(open, |s| s.goal), successor.and_then(|s| s.failed_end), dir)
    }

    /// As [`Here::complete`], where the goal is known better.
    pub(super) fn complete_at(
        &mut self,
        limit: Limit,
        goal: Goal,
        failed_end: Option<u64>,
        dir: &Path,
    ) -> Result<(), ReadError> {
        self.goal = goal;
        let limit = failed_end.map_or(limit, |end| limit.at_most(end));
        // Where the last frame is not known the walk runs into bytes that may be cut off at this moment.
        let extended = self.bytes.extend(limit, goal.exact);
        extended.map_err(ReadError::of("read the length of a segment in", dir))?;
        self.complete = true;
        // Nobody writes here any more, so reading ahead does no harm. Out of a cold cache it gave 0.45 GB/s,
        // as the kernel's default did, where page by page gave 0.05 (a shared machine with two cores).
        self.bytes.map().expect_sequential();
        Ok(())
    }

    /// Visits these frames only.
    pub(super) fn follow(&mut self, postings: Vec<Posting>) {
        self.postings = Some(Postings { all: postings, at: 0 });
    }

    /// Starts in the middle.
    pub(super) fn start_at(&mut self, waypoint: &Waypoint) {
        if let Ok(position) = usize::try_from(waypoint.position)
            && position < self.bytes.end()
        {
            let Waypoint { lsn, seq, prev_crc, .. } = *waypoint;
            self.place = Place { position, lsn, seq, prev_crc };
        }
    }

    /// The next step in this segment; `None` at its end, or at the watermark's.
    ///
    /// # Errors
    /// When the file cannot be read and it is not because of damage; asking again tries again.
    pub(super) fn next(
        &mut self,
        filter: &Filter,
        next: &mut Seq,
        touched: &mut Touched,
    ) -> io::Result<Option<Step>> {
        match self.postings.take() {
            None => self.walk(filter, next, touched),
            Some(mut postings) => {
                let step = self.visit(&mut postings, filter, next, touched);
                if let Ok(None) = step {
                    *next = (*next).max(self.goal.seq);
                }
                self.postings = Some(postings);
                step
            }
        }
    }

    fn walk(&mut self, filter: &Filter, next: &mut Seq, touched: &mut Touched) -> io::Result<Option<Step>> {
        let first = *next;
        let wanted = |header: &FrameHeader| {
            mutant!(ReaderTrustsPayloads, {
                return false;
            });
            header.kind.holds_records()
                && header.first_seq.plus(header.event_count) > first
                && filter.wants_header(header)
        };
        loop {
            let before = self.place;
            let salt = self.bytes.map().header().salt;
            let mut track = Track { bytes: &mut self.bytes, salt, place: self.place, goal: Some(self.goal) };
            let find = track.next(&wanted)?;
            self.place = track.place;
            match find {
                Find::End => return Ok(None),
                Find::Damage(extent) if extent.flaw.is_of_another_version() => {
                    self.place = before;
                    let position = extent.bytes.start;
                    return Err(of_another_version(format!("at byte {position}, {}", extent.flaw)));
                }
                Find::Damage(extent) => {
                    let Range { start, end } = extent.seqs;
                    let gap = self.gap(Seq(start), Seq(end), GapReason::Damage, next);
                    if gap.is_some() {
                        return Ok(gap);
                    }
                }
                Find::Frame(found) => {
                    touched.frames += 1;
                    match self.deliver(
                        &found,
                        filter,
                        next,
                        touched,
                        mutant!(ReaderTrustsPayloads: true, else wanted(&found.header)),
                    ) {
                        Ok(Some(step)) => return Ok(Some(step)),
                        Ok(None) => {}
                        Err(e) => {
                            self.place = before;
                            return Err(e);
                        }
                    }
                }
            }
        }
    }

    fn visit(
        &mut self,
        postings: &mut Postings,
        filter: &Filter,
        next: &mut Seq,
        touched: &mut Touched,
    ) -> io::Result<Option<Step>> {
        while let Some(posting) = postings.all.get(postings.at) {
            let end = posting.seq.plus(posting.records);
            if end > *next {
                touched.frames += 1;
                self.expect(&postings.all[postings.at..]);
                let step = match self.read(posting)? {
                    Some(found) => self.deliver(&found, filter, next, touched, true)?,
                    None => self.gap(posting.seq, end, GapReason::Damage, next),
                };
                postings.at += 1;
                if step.is_some() {
                    return Ok(step);
                }
            } else {
                postings.at += 1;
            }
        }
        Ok(None)
    }

    /// Has the frames of postings that lie close together fetched at once: bytes between them cost less than another
    /// call to the system.
    fn expect(&mut self, postings: &[Posting]) {
        let place = |posting: &Posting| usize::try_from(posting.position).unwrap_or(usize::MAX);
        let Some(first) = postings.first().map(place) else { return };
        if self.bytes.holds(first..first.saturating_add(FRAME_HEADER_BYTES)) {
            return self.bytes.expect(first, first);
        }
        let (mut end, mut last) = (first, first);
        for next in postings.iter().skip(1).map(place) {
            if next - last > CLOSE || next - first > TOGETHER {
                break;
            }
            // Up to the next one, so that the one before is whole.
            (end, last) = (next, next);
        }
        self.bytes.expect(first, end);
    }

    /// The frame that a posting names, checked; `None` if it is damaged.
    fn read(&mut self, posting: &Posting) -> io::Result<Option<Found>> {
        let Ok(position) = usize::try_from(posting.position) else { return Ok(None) };
        let seed = Seed { salt: self.bytes.map().header().salt, position: posting.position };
        let room = self.bytes.end().saturating_sub(position);
        let head = readable(self.bytes.get(position..position.saturating_add(FRAME_HEADER_BYTES)))?;
        let Some(encoded) = head.and_then(|head| head.first_chunk::<FRAME_HEADER_BYTES>()) else {
            return Ok(None);
        };
        let Ok(header) = FrameHeader::decode_within(encoded, room, seed) else { return Ok(None) };
        let found = Found { position, header, chain_crc: FrameHeader::chain_crc(encoded) };
        let same = header.first_seq == posting.seq
            && header.event_count == posting.records
            && header.kind as u32 == posting.kind;
        if !same {
            return Ok(None);
        }
        let frame = readable(self.bytes.get(found.bytes()))?;
        Ok(frame.and_then(|frame| check_payload(&header, frame).ok()).map(|()| found))
    }

    /// Hands out a frame whose payload was checked if it is `wanted`.
    fn deliver(
        &mut self,
        found: &Found,
        filter: &Filter,
        next: &mut Seq,
        touched: &mut Touched,
        wanted: bool,
    ) -> io::Result<Option<Step>> {
        let header = &found.header;
        let end = header.first_seq.plus(header.event_count);
        if !header.kind.holds_records() || end <= *next {
            return Ok(None);
        }
        let from = header.first_seq.max(*next);
        if header.kind == FrameKind::Loss {
            return Ok(self.gap(from, end, GapReason::Loss, next));
        }
        if !wanted {
            *next = end;
            return Ok(None);
        }
        // It was just checked, so it is in the window.
        let window = self.bytes.hold(&found.bytes()).ok_or_else(|| io::Error::other("a frame was lost"))?;
        *next = end;
        touched.payload_bytes += u64::from(header.stored_len);
        let payload = window.get(found.bytes()).and_then(|frame| frame.get(FRAME_HEADER_BYTES..));
        let Ok(payload) = Payload::parse(payload.unwrap_or_default(), header.event_count) else {
            return Ok(None);
        };
        if !filter.wants_payload(header, &payload) {
            return Ok(None);
        }
        // Fits: the frame has 2³² records at most.
        let skip = u32::try_from(from.0 - header.first_seq.0).unwrap_or(u32::MAX);
        Ok(Some(Step::Frame(Frame::new(self.id(), window, *found, skip))))
    }

    /// What of `from..to` was not had yet; `None` where no record is missing, as of a lost seal.
    fn gap(&self, from: Seq, to: Seq, reason: GapReason, next: &mut Seq) -> Option<Step> {
        let from = from.max(*next);
        *next = (*next).max(to);
        mutant!(GapKeptSilent, {
            return None;
        });
        (from < to).then_some(Step::Gap(Gap { lane: self.lane, from, to, reason }))
    }
}

/// Bytes, or nothing where the disk cannot read them.
fn readable(bytes: Result<&[u8], Trouble<io::Error>>) -> io::Result<Option<&[u8]>> {
    match bytes {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Trouble::Unreadable) => Ok(None),
        Err(Trouble::Failed(e)) => Err(e),
    }
}
