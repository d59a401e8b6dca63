//! Reading closed segments once after opening, slowly, to find damage before a reader does.
//!
//! Opening a lane reads only its last segment. What the disk damaged in older ones would otherwise show
//! only to whoever reads them, perhaps months later; so the writing process looks through them once, a few
//! MiB at a time, and counts what it finds for `/metrics`.

use crate::{
    disk::{Disk, DiskView},
    lane::Lane,
    layout,
    segment::SegmentInfo,
    track::{Find, Goal, Place, Track},
};
use forebay_record::{SEGMENT_HEADER_BYTES, SegmentHeader};
use std::{collections::VecDeque, io, path::Path, sync::Arc};

/// Bytes looked at in one step.
const STEP: usize = 4 << 20;

/// The segments still to be looked at.
#[derive(Default)]
pub(crate) struct Scrub {
    queue: VecDeque<(Arc<Lane>, SegmentInfo, SegmentInfo)>,
    open: Option<Open>,
}

struct Open {
    lane: Arc<Lane>,
    info: SegmentInfo,
    view: Box<dyn DiskView>,
    header: SegmentHeader,
    place: Place,
    goal: Goal,
}

impl Scrub {
    /// All segments of a lane but the last, which recovery has read or which is being written.
    pub(crate) fn add(&mut self, lane: Arc<Lane>) {
        let list = lane.segments.lock().clone();
        for pair in list.windows(2) {
            self.queue.push_back((Arc::clone(&lane), pair[0], pair[1]));
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.open.is_none() && self.queue.is_empty()
    }

    /// Looks at a few MiB more.
    pub(crate) fn step(&mut self, disk: &dyn Disk, dir: &Path) {
        if self.open.is_none()
            && let Some((lane, info, next)) = self.queue.pop_front()
        {
            match open(disk, dir, Arc::clone(&lane), info, next) {
                Ok(open) => self.open = open,
                // Retention was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(lane = %lane.id, segment = info.id.0, %error, "cannot look through a segment");
                }
            }
        }
        if let Some(mut open) = self.open.take()
            && !open.step()
        {
            self.open = Some(open);
        }
    }
}

fn open(
    disk: &dyn Disk,
    dir: &Path,
    lane: Arc<Lane>,
    info: SegmentInfo,
    next: SegmentInfo,
) -> io::Result<Option<Open>> {
    let dir = layout::lane_dir(dir, lane.id);
    let view = disk.open(&layout::segment_path(&dir, info.id))?.view()?;
    let mut block = vec![0; SEGMENT_HEADER_BYTES];
    disk.open(&layout::segment_path(&dir, next.id))?.read_at(&mut block, 0)?;
    // Unreadable headers were reported when the lane was opened.
    let (Ok(header), Ok(successor)) = (SegmentHeader::decode(view.bytes()), SegmentHeader::decode(&block))
    else {
        return Ok(None);
    };
    let (place, goal) = (Place::first(&header), Goal::of_successor(&successor, true));
    Ok(Some(Open { lane, info, view, header, place, goal }))
}

impl Open {
    /// Says whether it is through.
    fn step(&mut self) -> bool {
        let (bytes, salt) = (self.view.bytes(), self.header.salt);
        let mut track = Track { bytes, salt, place: self.place, goal: Some(self.goal) };
        let until = self.place.position + STEP;
        while track.place.position < until {
            match track.next(&|_| true) {
                Find::Frame(_) => {}
                Find::Damage(extent) => {
                    let events = extent.seqs.end - extent.seqs.start;
                    self.lane.counters.damaged_ranges.add(1);
                    self.lane.counters.damaged_events.add(events);
                    tracing::error!(
                        lane = %self.lane.id, segment = self.info.id.0, from = extent.bytes.start,
                        to = extent.bytes.end, events, what = %extent.flaw,
                        "acknowledged data is damaged: it is kept as it is and read around; see `forebay log verify`"
                    );
                }
                Find::End => return true,
            }
        }
        self.place = track.place;
        false
    }
}
