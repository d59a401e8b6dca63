//! A reader of one lane: follows it, and resumes at any record.
//!
//! The cursor walks the frames of a segment in its map, checks each that it hands out once, and goes on to
//! the next segment where the lane did. Where records cannot be had it says so with a [`Gap`] and goes on
//! behind them. In a sealed segment with an index, a filter decides which frames are touched at all.
//!
//! # Invariants
//! * Every record from where the cursor started is handed out once, or stands in exactly one gap, or was not
//!   wanted by the filter. Sequences only rise.
//! * No byte behind the durable watermark, as last read, is touched.

mod here;
#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod live_threads;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unreadable_tests;

use crate::{
    Filter, Gap, GapReason, ReadError, Step,
    index::Index,
    lane_view::{HeaderState, LaneView, Successor},
    track::Goal,
    watermark::Durable,
};
use forebay_record::{Position, Predecessor, SegmentId, Seq};
use here::Here;
use std::{io, sync::Arc};

/// What a cursor has looked at so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Segments mapped.
    pub segments: u64,
    /// Segments left out because their index says that nothing wanted is in them.
    pub segments_skipped: u64,
    /// Frames whose header was read.
    pub frames: u64,
    /// Payload bytes that were checked.
    pub payload_bytes: u64,
}

/// Reads one lane in order. See the module.
#[derive(Debug)]
pub struct Cursor {
    view: LaneView,
    filter: Filter,
    /// The next record to hand out.
    next: Seq,
    mark: Option<Durable>,
    here: Option<Here>,
    /// The last segment that was read to its end.
    after: Option<SegmentId>,
    /// The lane's segments as listed last: taken anew where it no longer says what comes next.
    listed: Vec<SegmentId>,
    touched: Touched,
}

/// How often a lane's listing is taken anew because a segment went away between listing and opening it.
const RELIST_MAX: usize = 16;

enum Opened {
    Here,
    Gap(Gap),
    /// Nothing to open yet.
    Nothing,
    /// Nothing in it is wanted.
    Skipped,
    /// The segment went away since it was listed.
    Again,
}

impl Cursor {
    pub(crate) fn new(view: LaneView, from: Seq, filter: Filter) -> Result<Cursor, ReadError> {
        let mut cursor = Cursor {
            view,
            filter,
            next: from,
            mark: None,
            here: None,
            after: None,
            listed: Vec::new(),
            touched: Touched::default(),
        };
        cursor.mark = cursor.view.watermark()?;
        Ok(cursor)
    }

    /// The next frame or gap. `None` means that the cursor has caught up with what is durable now: ask again
    /// later to follow.
    ///
    /// # Errors
    /// When a file cannot be read. Asking again tries again; nothing is skipped.
    #[expect(clippy::should_implement_trait, reason = "it goes on after None, and reports errors in between")]
    pub fn next(&mut self) -> Result<Option<Step>, ReadError> {
        let mut relists = 0;
        loop {
            if let Some(here) = &mut self.here {
                let step = here.next(&self.filter, &mut self.next, &mut self.touched);
                let read = step.map_err(|e| ReadError::of("read", &self.view.segment_path(here.id()))(e));
                if let Some(step) = read? {
                    return Ok(Some(step));
                }
                if here.is_complete() {
                    self.after = Some(here.id());
                    self.here = None;
                } else if !self.catch_up()? {
                    return Ok(None);
                }
                continue;
            }
            let opened = self.open_next()?;
            if matches!(opened, Opened::Again) {
                self.listed.clear();
            }
            match opened {
                Opened::Here | Opened::Skipped => relists = 0,
                Opened::Gap(gap) => return Ok(Some(Step::Gap(gap))),
                Opened::Nothing => return Ok(None),
                Opened::Again if relists == RELIST_MAX => {
                    let source = io::Error::other("segments go away faster than they can be opened");
                    return Err(ReadError { what: "follow", path: self.view.dir.clone(), source });
                }
                Opened::Again => relists += 1,
            }
        }
    }

    /// The next record that the cursor will hand out or pass over.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { lane: self.view.lane, seq: self.next }
    }

    /// What the cursor has looked at so far.
    #[must_use]
    pub fn touched(&self) -> Touched {
        self.touched
    }

    /// Reads the watermark; is there more than before for the segment at hand?
    fn catch_up(&mut self) -> Result<bool, ReadError> {
        let Some(here) = &mut self.here else { return Ok(false) };
        let Some(mark) = self.view.watermark()? else { return Ok(false) };
        let newer = self.mark.is_none_or(|old| mark.durable_lsn > old.durable_lsn);
        if !newer || mark.segment < here.id() {
            return Ok(false);
        }
        let id = here.id();
        if mark.segment == id {
            here.extend(&mark, &self.view.dir)?;
            self.mark = Some(mark);
            return Ok(true);
        }
        let ids = self.view.segments()?;
        let successor = self.view.successor(&ids, id, mark.segment)?;
        // Retention took it and the one that says where it ends: a failed flush may have left behind that what
        // never counted. Sure is what was seen of it; the rest is gone like what follows.
        let taken = !ids.contains(&id) && successor.as_ref().is_none_or(|s| !s.goal.exact);
        let seen = self.mark.filter(|old| taken && old.segment == id).map(|old| old.end);
        here.complete(&mark, successor.as_ref(), seen, &self.view.dir)?;
        self.mark = Some(mark);
        Ok(true)
    }

    /// Opens the segment in which `self.next` lies, or says why there is none.
    fn open_next(&mut self) -> Result<Opened, ReadError> {
        let newer = self.view.watermark()?;
        let Some(mark) = newer else { return Ok(Opened::Nothing) };
        self.mark = Some(mark);
        if self.after.is_some_and(|after| mark.segment <= after) {
            return Ok(Opened::Nothing);
        }
        let ids = match std::mem::take(&mut self.listed) {
            ids if self.leads_on(&ids, mark.segment)? => ids,
            _ => self.view.segments()?,
        };
        let opened = self.open_of(&ids, mark);
        self.listed = ids;
        opened
    }

    /// Does an older listing say for sure what follows the last segment that was read, and where that ends? Names go
    /// from the front of a lane and come at its back: in between, where each segment names the one before, a new
    /// listing would say the same. Without this a reader of a thousand segments lists a thousand names a thousand times.
    fn leads_on(&mut self, ids: &[SegmentId], newest: SegmentId) -> Result<bool, ReadError> {
        let Some(after) = self.after else { return Ok(false) };
        let from = ids.partition_point(|&id| id <= after);
        let &[next, behind, ..] = ids.get(from..).unwrap_or_default() else { return Ok(false) };
        if behind > newest {
            return Ok(false);
        }
        let follows = |header: Option<HeaderState>, id| match header {
            Some(Ok(header)) if header.predecessor == Predecessor::Whole(id) => Some(header.base_seq),
            _ => None,
        };
        Ok(follows(self.view.header(next)?, after) == Some(self.next)
            && follows(self.view.header(behind)?, next).is_some())
    }

    /// As [`Cursor::open_next`], of these segments.
    fn open_of(&mut self, ids: &[SegmentId], mark: Durable) -> Result<Opened, ReadError> {
        let chosen = match self.after {
            Some(after) => self.view.successor(ids, after, mark.segment)?.map(|s| s.id),
            None => self.first(ids, mark.segment)?,
        };
        let Some(id) = chosen else {
            if self.view.segments()? != *ids {
                // Retention has been at work since the listing, or the lane went on.
                return Ok(Opened::Again);
            }
            // Up to the watermark there is no segment that can be read. When there is none at all and a later
            // one was begun, the lane rolled on, idle, and retention took the rest.
            let reason = match ids.first() {
                Some(&first) if first > mark.segment => GapReason::Retention,
                _ => GapReason::Damage,
            };
            let gap = self.missing(mark.next_seq, reason)?;
            if self.next >= mark.next_seq {
                self.after = Some(mark.segment);
            }
            return Ok(gap.map_or(Opened::Skipped, Opened::Gap));
        };
        let Some(Ok(header)) = self.view.header(id)? else { return Ok(Opened::Again) };
        if header.base_seq > self.next {
            // Retention takes the oldest segments; one that is missing between others is damage. It may have
            // been at work since the listing.
            let first = ids.first() == Some(&id) || self.view.is_oldest(id)?;
            let reason = if first { GapReason::Retention } else { GapReason::Damage };
            if let Some(gap) = self.missing(header.base_seq, reason)? {
                return Ok(Opened::Gap(gap));
            }
        }
        let index = Index::open(&**self.view.disk(), &self.view.index_path(id), &header).ok();
        let durable = Goal::of_watermark(&mark);
        // A segment that has an index has ended, also if nothing follows it yet.
        if id == mark.segment && index.as_ref().is_none_or(|index| Goal::of_index(index) != durable) {
            return self.open(id, durable, &mark, true, None);
        }
        let successor = self.view.successor(ids, id, mark.segment)?;
        if successor.as_ref().is_none_or(|s| !s.goal.exact) && self.view.segments()? != *ids {
            // The one that says where it ends may have gone since the listing.
            return Ok(Opened::Again);
        }
        let goal = match (successor, &index) {
            (Some(Successor { goal, .. }), _) if goal.exact => goal,
            // The index was made of the whole segment: it knows what its neighbours do not.
            (_, Some(index)) => Goal::of_index(index),
            (Some(Successor { goal, .. }), None) => goal,
            (None, None) => Goal { exact: false, ..durable },
        };
        let index = index.filter(|index| Goal::of_index(index) == goal);
        if let Some(index) = &index
            && self.filter.selects()
            && !index.is_mostly_wanted(&self.filter)
            && let Ok(mut postings) = index.postings(&self.filter)
        {
            postings.retain(|p| p.seq.plus(p.records) > self.next);
            if postings.is_empty() {
                self.touched.segments_skipped += 1;
                self.next = self.next.max(goal.seq);
                self.after = Some(id);
                return Ok(Opened::Skipped);
            }
            let opened = self.open(id, goal, &mark, false, successor.as_ref())?;
            if let (Some(here), Opened::Here) = (&mut self.here, &opened) {
                here.follow(postings);
            }
            return Ok(opened);
        }
        let opened = self.open(id, goal, &mark, false, successor.as_ref())?;
        if let (Some(here), Some(waypoint)) = (&mut self.here, index.and_then(|i| i.waypoint(self.next))) {
            here.start_at(&waypoint);
        }
        Ok(opened)
    }

    /// The segment to start with: the last one that begins at or before `self.next`, else the first.
    fn first(&mut self, ids: &[SegmentId], newest: SegmentId) -> Result<Option<SegmentId>, ReadError> {
        let ids = &ids[..ids.partition_point(|&id| id <= newest)];
        let (mut low, mut high) = (0, ids.len());
        // Headers that cannot be read count as early; the walk back below passes over them.
        while low < high {
            let middle = low.midpoint(high);
            match self.view.header(ids[middle])? {
                Some(Ok(header)) if header.base_seq > self.next => high = middle,
                _ => low = middle + 1,
            }
        }
        for &id in ids[..low].iter().rev() {
            if let Some(Ok(header)) = self.view.header(id)?
                && header.base_seq <= self.next
            {
                return Ok(Some(id));
            }
        }
        for &id in ids {
            if let Some(Ok(_)) = self.view.header(id)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn open(
        &mut self,
        id: SegmentId,
        goal: Goal,
        mark: &Durable,
        live: bool,
        successor: Option<&Successor>,
    ) -> Result<Opened, ReadError> {
        // One that the watermark has not reached is not for readers.
        let Some(limit) = mark.limit(id) else { return Ok(Opened::Nothing) };
        let map = match self.view.map(id) {
            Ok(Ok(map)) => Arc::new(map),
            Err(e) if e.source.kind() != io::ErrorKind::NotFound => return Err(e),
            Err(_) | Ok(Err(_)) => {
                self.view.forget(id);
                return Ok(Opened::Again);
            }
        };
        self.touched.segments += 1;
        let mut here = Here::new(self.view.lane, map, goal);
        if live {
            here.extend(mark, &self.view.dir)?;
        } else {
            here.complete_at(limit, goal, successor.and_then(|s| s.failed_end), &self.view.dir)?;
        }
        self.here = Some(here);
        Ok(Opened::Here)
    }

    /// Records up to `to` are not there: below the lane's floor by rule, behind it they should be. Where the floor
    /// is not known they are missing for the reason that is likely.
    fn missing(&mut self, to: Seq, likely: GapReason) -> Result<Option<Gap>, ReadError> {
        // Read now: retention raises it before it removes anything.
        Ok(match self.view.floor()? {
            Some(floor) if self.next < floor.seq => self.gap_to(to.min(floor.seq), GapReason::Retention),
            Some(_) => self.gap_to(to, GapReason::Damage),
            None => self.gap_to(to, likely),
        })
    }

    fn gap_to(&mut self, to: Seq, reason: GapReason) -> Option<Gap> {
        let from = self.next;
        self.next = self.next.max(to);
        (from < to).then_some(Gap { lane: self.view.lane, from, to, reason })
    }
}
