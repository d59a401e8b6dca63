//! The segment that a cursor is in, and where in it.

use super::Touched;
use crate::{
    Filter, Frame, Gap, GapReason, ReadError, Step,
    index::{Posting, Waypoint},
    lane_view::Successor,
    segment::map::SegmentMap,
    survivors::survivor,
    track::{Extent, Find, Found, Goal, Place, Track, check_payload},
};
use forebay_record::{
    FRAME_HEADER_BYTES, FrameHeader, FrameKind, LaneId, Lsn, Payload, Seed, SegmentId, Seq, Watermark,
};
use std::{path::Path, sync::Arc, vec};

#[derive(Debug)]
pub(super) struct Here {
    lane: LaneId,
    map: Arc<SegmentMap>,
    place: Place,
    goal: Goal,
    /// Bytes that may be touched.
    limit: usize,
    /// Nothing is written here any more.
    complete: bool,
    /// The frames to visit, where an index said which; else all are walked.
    postings: Option<vec::IntoIter<Posting>>,
}

impl Here {
    /// At the start of a segment. Nothing may be touched until one of the methods below has said how far.
    pub(super) fn new(lane: LaneId, map: Arc<SegmentMap>, goal: Goal) -> Here {
        let place = Place::first(map.header());
        Here { lane, map, place, goal, limit: 0, complete: false, postings: None }
    }

    pub(super) fn id(&self) -> SegmentId {
        self.map.header().id
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The watermark, which is in this segment, has moved.
    pub(super) fn extend(&mut self, mark: &Watermark, dir: &Path) -> Result<(), ReadError> {
        self.goal = Goal::of_watermark(mark);
        self.limit = usize::try_from(mark.end).unwrap_or(usize::MAX).min(self.file_len(dir)?);
        Ok(())
    }

    /// The watermark has moved past this segment.
    pub(super) fn complete(&mut self, successor: Option<&Successor>, dir: &Path) -> Result<(), ReadError> {
        let open = Goal { lsn: Lsn(u64::MAX), seq: Seq(u64::MAX), prev_crc: 0, exact: false };
        self.complete_at(successor.map_or(open, |s| s.goal), successor.and_then(|s| s.failed_end), dir)
    }

    /// As [`Here::complete`], where the goal is known better.
    pub(super) fn complete_at(
        &mut self,
        goal: Goal,
        failed_end: Option<u64>,
        dir: &Path,
    ) -> Result<(), ReadError> {
        let end = failed_end.map_or(usize::MAX, |end| usize::try_from(end).unwrap_or(usize::MAX));
        self.goal = goal;
        self.limit = end.min(self.file_len(dir)?);
        self.complete = true;
        // Nobody writes here any more, so reading ahead does no harm. Out of a cold cache it gave 0.45 GB/s,
        // as the kernel's default did, where page by page gave 0.05 (a shared machine with two cores).
        self.map.expect_sequential();
        Ok(())
    }

    fn file_len(&self, dir: &Path) -> Result<usize, ReadError> {
        self.map.file_len().map_err(ReadError::of("read the length of a segment in", dir))
    }

    /// Visits these frames only.
    pub(super) fn follow(&mut self, postings: Vec<Posting>) {
        self.postings = Some(postings.into_iter());
    }

    /// Starts in the middle.
    pub(super) fn start_at(&mut self, waypoint: &Waypoint) {
        if let Ok(position) = usize::try_from(waypoint.position)
            && position < self.limit
        {
            let Waypoint { lsn, seq, prev_crc, .. } = *waypoint;
            self.place = Place { position, lsn, seq, prev_crc };
        }
    }

    /// The next step in this segment; `None` at its end, or at the watermark's.
    pub(super) fn next(&mut self, filter: &Filter, next: &mut Seq, touched: &mut Touched) -> Option<Step> {
        match self.postings.take() {
            None => self.walk(filter, next, touched),
            Some(mut postings) => {
                let step = self.visit(&mut postings, filter, next, touched);
                if step.is_none() {
                    *next = (*next).max(self.goal.seq);
                }
                self.postings = Some(postings);
                step
            }
        }
    }

    fn walk(&mut self, filter: &Filter, next: &mut Seq, touched: &mut Touched) -> Option<Step> {
        let map = Arc::clone(&self.map);
        let mut track = Track {
            bytes: map.bytes(self.limit),
            salt: map.header().salt,
            place: self.place,
            goal: Some(self.goal),
        };
        let first = *next;
        let wanted = |header: &FrameHeader| {
            header.kind.holds_records()
                && header.first_seq.plus(header.event_count) > first
                && filter.wants_header(header)
        };
        loop {
            let find = match self.complete {
                // The unused bytes behind the last frame may be given back while we look.
                true => track.next_among(&wanted, &|from, least| survivor(&map, self.limit, from, least)),
                false => track.next(&wanted),
            };
            self.place = track.place;
            match find {
                Find::End => return None,
                Find::Damage(extent) => {
                    if let Some(gap) = self.gap(&extent, next) {
                        return Some(Step::Gap(gap));
                    }
                }
                Find::Frame(found) => {
                    touched.frames += 1;
                    if let Some(step) = self.deliver(&found, filter, next, touched, wanted(&found.header)) {
                        return Some(step);
                    }
                }
            }
        }
    }

    fn visit(
        &self,
        postings: &mut vec::IntoIter<Posting>,
        filter: &Filter,
        next: &mut Seq,
        touched: &mut Touched,
    ) -> Option<Step> {
        for posting in postings {
            let end = posting.seq.plus(posting.records);
            if end <= *next {
                continue;
            }
            touched.frames += 1;
            match self.read(&posting) {
                Some(found) => {
                    if let Some(step) = self.deliver(&found, filter, next, touched, true) {
                        return Some(step);
                    }
                }
                None => {
                    let from = posting.seq.max(*next);
                    *next = end;
                    return Some(Step::Gap(Gap {
                        lane: self.lane,
                        from,
                        to: end,
                        reason: GapReason::Damage,
                    }));
                }
            }
        }
        None
    }

    /// The frame that a posting names, checked; `None` if it is damaged.
    fn read(&self, posting: &Posting) -> Option<Found> {
        let position = usize::try_from(posting.position).ok()?;
        let rest = self.map.bytes(self.limit).get(position..)?;
        let seed = Seed { salt: self.map.header().salt, position: posting.position };
        let header = FrameHeader::decode(rest, seed).ok()?;
        let same = header.first_seq == posting.seq
            && header.event_count == posting.records
            && header.kind as u32 == posting.kind;
        if !same || check_payload(&header, rest).is_err() {
            return None;
        }
        let chain_crc = FrameHeader::chain_crc(rest.first_chunk::<FRAME_HEADER_BYTES>()?);
        Some(Found { position, header, chain_crc })
    }

    /// Hands out a frame whose payload was checked if it is `wanted`.
    fn deliver(
        &self,
        found: &Found,
        filter: &Filter,
        next: &mut Seq,
        touched: &mut Touched,
        wanted: bool,
    ) -> Option<Step> {
        let header = &found.header;
        let end = header.first_seq.plus(header.event_count);
        if !header.kind.holds_records() || end <= *next {
            return None;
        }
        let from = header.first_seq.max(*next);
        *next = end;
        if header.kind == FrameKind::Loss {
            return Some(Step::Gap(Gap { lane: self.lane, from, to: end, reason: GapReason::Loss }));
        }
        if !wanted {
            return None;
        }
        touched.payload_bytes += u64::from(header.stored_len);
        let payload = found.payload(self.map.bytes(self.limit));
        let payload = Payload::parse(payload, header.event_count).ok()?;
        if !filter.wants_payload(header, &payload) {
            return None;
        }
        // Fits: the frame has 2³² records at most.
        let skip = u32::try_from(from.0 - header.first_seq.0).unwrap_or(u32::MAX);
        Some(Step::Frame(Frame::new(Arc::clone(&self.map), *found, skip)))
    }

    fn gap(&self, extent: &Extent, next: &mut Seq) -> Option<Gap> {
        let (from, to) = (Seq(extent.seqs.start).max(*next), Seq(extent.seqs.end));
        *next = (*next).max(to);
        (from < to).then_some(Gap { lane: self.lane, from, to, reason: GapReason::Damage })
    }
}
