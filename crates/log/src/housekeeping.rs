//! What happens to segments behind the writer's back: indexes, unused ends, retention.
//!
//! On a thread of its own, so that neither a commit nor a preparation waits for it. Nothing here is needed
//! for anything to be durable or readable: whatever fails is logged and left.

use crate::{
    config::{Clock, Retention},
    disk::Disk,
    index,
    lane::{
        Lane, Message,
        writer::{ClosedSegment, SegmentSink},
    },
    layout,
    scrub::Scrub,
    segment::SegmentInfo,
    track::Goal,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use forebay_record::{LaneId, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two looks at the retention rules.
const RETENTION_EVERY: Duration = Duration::from_secs(5);
/// Between two steps of the scrub: with its step of 4 MiB, at most 80 MB/s.
const SCRUB_EVERY: Duration = Duration::from_millis(50);

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Task {
    /// A writer is done with a segment.
    Closed(ClosedSegment),
    /// A lane was opened: look for what an earlier process left undone, and through the segments that
    /// opening it has not read.
    Opened { lane: Arc<Lane>, unread: Vec<SegmentId> },
    /// End.
    Close,
}

/// A writer's end of the thread's queue.
#[derive(Debug)]
pub(crate) struct Sink(pub(crate) Sender<Task>);

impl SegmentSink for Sink {
    fn closed(&mut self, closed: ClosedSegment) {
        // Never waits: the queue is unbounded, and gets one entry a segment.
        let _ = self.0.send(Task::Closed(closed));
    }
}

/// Looks after closed segments.
pub(crate) struct Housekeeper {
    pub(crate) disk: Arc<dyn Disk>,
    /// The data directory.
    pub(crate) dir: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) retention: Retention,
    pub(crate) unclaimed: Retention,
    /// Every open lane.
    pub(crate) lanes: Mutex<Vec<Arc<Lane>>>,
}

impl Housekeeper {
    fn lanes(&self) -> Vec<Arc<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lane_dir(&self, lane: LaneId) -> PathBuf {
        layout::lane_dir(&self.dir, lane)
    }

    /// The thread. It keeps the directory's lock, and so goes on for as long as the log is open, whatever
    /// happens in it.
    pub(crate) fn run(&self, tasks: &Receiver<Task>) {
        // What is shared holds one whole fact at a time, so a panic leaves nothing half done. The task that led
        // to it was taken: it does not come back.
        while catch_unwind(AssertUnwindSafe(|| self.work(tasks))).is_err() {
            tracing::error!("housekeeping panicked and goes on: see the message before this one");
        }
    }

    fn work(&self, tasks: &Receiver<Task>) {
        let mut scrub = Scrub::default();
        let mut looked = Instant::now();
        let keeps_for_ever = self.retention == Retention::default() && self.unclaimed == Retention::default();
        loop {
            let wait = match (scrub.is_done(), keeps_for_ever) {
                (false, _) => Some(SCRUB_EVERY),
                (true, false) => Some(RETENTION_EVERY),
                (true, true) => None,
            };
            let task = match wait {
                Some(wait) => tasks.recv_timeout(wait),
                None => tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match task {
                Ok(Task::Closed(closed)) => {
                    self.finish(closed);
                    self.expire();
                }
                Ok(Task::Opened { lane, unread }) => {
                    self.catch_up(&lane);
                    scrub.add(&lane, &unread);
                }
                Ok(Task::Close) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => scrub.step(&*self.disk, &self.dir),
            }
            if looked.elapsed() >= RETENTION_EVERY {
                looked = Instant::now();
                self.expire();
            }
        }
    }

    /// Gives back the unused end of a closed segment and makes its index.
    fn finish(&self, closed: ClosedSegment) {
        let dir = self.lane_dir(closed.lane);
        let path = layout::segment_path(&dir, closed.id);
        if let Err(error) = self.disk.open(&path).and_then(|file| file.set_len(closed.end)) {
            tracing::warn!(path = %path.display(), %error, "cannot give back a segment's unused end");
        } else if let Some(lane) = self.lanes().iter().find(|lane| lane.id == closed.lane) {
            lane.segments.update(closed.id, |info| info.bytes = closed.end);
        }
        if closed.sealed {
            self.make_index(&dir, closed.id, None);
        }
    }

    /// Makes the indexes that an earlier process did not come to, and removes those without a segment.
    fn catch_up(&self, lane: &Lane) {
        let dir = self.lane_dir(lane.id);
        let Ok(names) = self.disk.list(&dir) else { return };
        let segments: Vec<_> = lane.segments.lock().iter().filter(|i| i.last_ms.is_some()).copied().collect();
        let indexed: Vec<_> = names.iter().filter_map(|name| layout::index_of_name(name)).collect();
        for id in indexed.iter().filter(|id| segments.iter().all(|info| info.id != **id)) {
            let _ = self.disk.remove(&layout::index_path(&dir, *id));
        }
        for (i, info) in segments.iter().enumerate().filter(|(_, info)| !indexed.contains(&info.id)) {
            self.make_index(&dir, info.id, segments.get(i + 1).map(|next| next.id));
        }
    }

    /// Makes a closed segment's index; `next` is the segment behind it, which says where it ends.
    fn make_index(&self, dir: &Path, id: SegmentId, next: Option<SegmentId>) {
        if let Err(error) = self.write_index(dir, id, next) {
            tracing::warn!(segment = id.0, dir = %dir.display(), %error, "no index: reading it takes longer");
        }
    }

    fn write_index(&self, dir: &Path, id: SegmentId, next: Option<SegmentId>) -> io::Result<()> {
        let file = self.disk.open(&layout::segment_path(dir, id))?;
        let view = file.view()?;
        let bytes = view.bytes();
        let Ok(header) = SegmentHeader::decode(bytes) else { return Ok(()) };
        let goal = match next {
            Some(next) => {
                let mut block = vec![0; SEGMENT_HEADER_BYTES];
                self.disk.open(&layout::segment_path(dir, next))?.read_at(&mut block, 0)?;
                let Ok(successor) = SegmentHeader::decode(&block) else { return Ok(()) };
                Some(Goal::of_successor(&successor, true))
            }
            None => None,
        };
        if bytes.len() == SEGMENT_HEADER_BYTES {
            return Ok(());
        }
        // A damaged segment gets none: it is walked, so that readers hear of the gap.
        let Some(encoded) = index::build(bytes, &header, goal).and_then(|built| built.encode()) else {
            return Ok(());
        };
        let path = layout::index_path(dir, id);
        index::write(&*self.disk, &path, &encoded)
    }

    /// Removes what the retention rules say may go.
    pub(crate) fn expire(&self) {
        let (unclaimed, claimed): (Vec<_>, Vec<_>) =
            self.lanes().into_iter().partition(|lane| lane.id == LaneId::UNCLAIMED);
        self.expire_together(&claimed, self.retention);
        self.expire_together(&unclaimed, self.unclaimed);
    }

    fn expire_together(&self, lanes: &[Arc<Lane>], retention: Retention) {
        let now = (self.clock)();
        if let Some(age) = retention.age {
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            let before = now.saturating_sub(age);
            for lane in lanes {
                while let Some(oldest) = removable(lane)
                    && oldest.last_ms.is_some_and(|last| last < before)
                {
                    if !self.remove(lane, oldest) {
                        break;
                    }
                }
                // The newest is never removed, as it says where the lane stands: an old one is replaced.
                let newest = lane.segments.lock().last().copied();
                if newest.is_some_and(|newest| newest.created_at_ms < before) {
                    let _ = lane.sender.try_send(Message::Roll);
                }
            }
        }
        if let Some(most) = retention.bytes {
            while lanes.iter().map(|lane| lane.segments.bytes()).sum::<u64>() > most {
                let oldest = lanes
                    .iter()
                    .filter_map(|lane| Some((lane, removable(lane)?)))
                    .min_by_key(|(_, info)| info.created_at_ms);
                let Some((lane, oldest)) = oldest else { break };
                if !self.remove(lane, oldest) {
                    break;
                }
            }
        }
    }

    /// Removes a lane's oldest segment.
    fn remove(&self, lane: &Lane, info: SegmentInfo) -> bool {
        let dir = self.lane_dir(lane.id);
        let path = layout::segment_path(&dir, info.id);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove an expired segment");
                return false;
            }
            _ => {}
        }
        // An index without a segment is harmless, and removed at the next start.
        let _ = self.disk.remove(&layout::index_path(&dir, info.id));
        if let Err(error) = self.disk.sync_dir(&dir) {
            tracing::warn!(dir = %dir.display(), %error, "cannot sync a folder");
        }
        let mut list = lane.segments.lock();
        let before = list.len();
        list.retain(|other| other.id != info.id);
        // Whoever asks at the same time may have removed it, and counted it.
        if list.len() < before
            && let Some(next) = list.first()
        {
            let counters = &lane.counters;
            counters.expired_segments.add(1);
            counters.expired_frames.add(next.base_lsn.0.saturating_sub(info.base_lsn.0));
            counters.expired_events.add(next.base_seq.0.saturating_sub(info.base_seq.0));
        }
        true
    }
}

/// A lane's oldest segment, unless it is also its newest.
fn removable(lane: &Lane) -> Option<SegmentInfo> {
    let list = lane.segments.lock();
    list.first().copied().filter(|first| list.len() > 1 && first.last_ms.is_some())
}
