//! Reading closed segments once after opening, slowly, to find damage before a reader does.
//!
//! Opening a lane reads its last segment, and not even that if it ended in order. What the disk damaged in
//! the others would otherwise show only to whoever reads them, perhaps months later; so the writing process
//! looks through them once, a few MiB at a time, and counts what it finds for `/metrics`.

use crate::{
    disk::Disk,
    lane::Lane,
    layout,
    origin::of_another_version,
    segment::{
        map::{SegmentMap, SegmentMapError, read_header},
        window::Windows,
    },
    track::{Find, Goal, Place, Track},
    watermark::Limit,
};
use forebay_record::SegmentId;
use std::{collections::VecDeque, io, path::Path, sync::Arc};

/// Bytes looked at in one step.
const STEP: usize = 4 << 20;
/// So many damaged places get a line of the log each, and of more there is only the number: a disk that fails whole
/// must not fill the log.
pub(crate) const DAMAGE_LINES_MAX: usize = 20;

/// The segments still to be looked at.
#[derive(Default)]
pub(crate) struct Scrub {
    queue: VecDeque<(Arc<Lane>, SegmentId)>,
    open: Option<Open>,
    /// Damaged places found.
    damaged: usize,
}

struct Open {
    lane: Arc<Lane>,
    id: SegmentId,
    bytes: Windows,
    salt: u64,
    place: Place,
    goal: Option<Goal>,
}

impl Scrub {
    /// The segments of a lane that opening it has not read.
    pub(crate) fn add(&mut self, lane: &Arc<Lane>, unread: &[SegmentId]) {
        self.queue.extend(unread.iter().map(|&id| (Arc::clone(lane), id)));
    }

    pub(crate) fn is_done(&self) -> bool {
        self.open.is_none() && self.queue.is_empty()
    }

    /// Looks at a few MiB more.
    pub(crate) fn step(&mut self, disk: &dyn Disk, dir: &Path) {
        if self.open.is_none()
            && let Some((lane, id)) = self.queue.pop_front()
        {
            match open(disk, dir, Arc::clone(&lane), id) {
                Ok(open) => self.open = open,
                // Retention was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(error) => gave_up(&lane, id, &error),
            }
        }
        if let Some(mut open) = self.open.take() {
            match open.step(&mut self.damaged) {
                Ok(false) => self.open = Some(open),
                Ok(true) => {}
                Err(error) => gave_up(&open.lane, open.id, &error),
            }
        }
    }
}

fn gave_up(lane: &Lane, id: SegmentId, error: &io::Error) {
    tracing::warn!(lane = %lane.id, segment = id.0, %error, "cannot look through a segment");
}

fn open(disk: &dyn Disk, dir: &Path, lane: Arc<Lane>, id: SegmentId) -> io::Result<Option<Open>> {
    let dir = layout::lane_dir(dir, lane.id);
    let map = match SegmentMap::open(disk, &layout::segment_path(&dir, id)) {
        Ok(map) => map,
        Err(SegmentMapError::Io(e)) => return Err(e),
        // Unreadable headers were reported when the lane was opened.
        Err(_) => return Ok(None),
    };
    // Where nothing follows yet, the seal says where the segment ends: without one it would have been read.
    let (limit, next) = {
        let segments = lane.segments.lock();
        let limit = segments.iter().find(|info| info.id == id).and_then(Limit::of_closed);
        (limit, segments.iter().map(|info| info.id).find(|&next| next > id))
    };
    // Retention was faster.
    let Some(limit) = limit else { return Ok(None) };
    let goal = match next {
        Some(next) => {
            match disk.open_read(&layout::segment_path(&dir, next)).map(|file| read_header(&*file))? {
                Ok(successor) => Some(Goal::of_successor(&successor, true)),
                Err(SegmentMapError::Io(e)) => return Err(e),
                Err(_) => return Ok(None),
            }
        }
        None => None,
    };
    let (salt, place) = (map.header().salt, Place::first(map.header()));
    map.expect_sequential();
    let mut bytes = Windows::new(Arc::new(map));
    // Its unused end was given back when it was closed, or when the lane was opened.
    bytes.extend(limit, true)?;
    Ok(Some(Open { lane, id, bytes, salt, place, goal }))
}

impl Open {
    /// Says whether it is through.
    fn step(&mut self, damaged: &mut usize) -> io::Result<bool> {
        let mut track = Track { bytes: &mut self.bytes, salt: self.salt, place: self.place, goal: self.goal };
        let until = self.place.position + STEP;
        while track.place.position < until {
            match track.next(&|_| true)? {
                Find::Frame(_) => {}
                Find::Damage(extent) if extent.flaw.is_of_another_version() => {
                    return Err(of_another_version(format!(
                        "at byte {}, {}",
                        extent.bytes.start, extent.flaw
                    )));
                }
                Find::Damage(extent) => {
                    let events = extent.seqs.end - extent.seqs.start;
                    self.lane.counters.damaged_ranges.add(1);
                    self.lane.counters.damaged_events.add(events);
                    *damaged += 1;
                    if *damaged <= DAMAGE_LINES_MAX {
                        tracing::error!(
                            lane = %self.lane.id, segment = self.id.0, from = extent.bytes.start,
                            to = extent.bytes.end, events, what = %extent.flaw,
                            "acknowledged data is damaged: it is kept as it is and read around; see `forebay log verify`"
                        );
                    } else if *damaged == DAMAGE_LINES_MAX + 1 {
                        tracing::error!(
                            "acknowledged data is damaged in more places: from here on they are only counted; \
                             `forebay log verify` names all"
                        );
                    }
                }
                Find::End => return Ok(true),
            }
        }
        (self.place, self.goal) = (track.place, track.goal);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Log, LogConfig,
        lane::rig::{NOW_MS, append},
        layout,
    };
    use forebay_record::{LaneId, SegmentId};
    use std::{
        fs,
        sync::Arc,
        thread,
        time::{Duration, Instant},
    };

    #[test]
    fn damage_in_the_newest_segment_shows_also_when_opening_did_not_read_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = LogConfig { clock: Arc::new(|| NOW_MS), lanes: 1, ..LogConfig::new(dir.path()) };
        let (log, _) = Log::open(config.clone()).expect("a log");
        drop(log.submitter().submit(LaneId(0), append(Some(7), &["needle", "hay"])).expect("taken in"));
        drop(log.submitter().submit(LaneId(0), append(Some(7), &["more hay"])).expect("taken in"));
        log.close().expect("closed in order");

        let path = layout::segment_path(&layout::lane_dir(dir.path(), LaneId(0)), SegmentId(1));
        let mut bytes = fs::read(&path).expect("a segment");
        let at = bytes.windows(6).position(|w| w == b"needle").expect("what was stored");
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("written");

        let (log, recovery) = Log::open(config).expect("a damaged log serves the rest");
        assert_eq!(recovery.lanes[0].scanned_bytes, 0);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let lane = &log.stats().lanes[0];
            if (lane.damaged_ranges, lane.damaged_events) == (1, 2) {
                break;
            }
            assert!(Instant::now() < deadline, "never found: {lane:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
