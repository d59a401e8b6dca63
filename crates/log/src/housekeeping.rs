//! What happens to segments behind the writer's back: indexes, unused ends and, in [`retention`](crate::retention),
//! their removal.
//!
//! On a thread of its own, so that neither a commit nor a preparation waits for it. Nothing here is needed
//! for anything to be durable or readable: whatever fails is logged and left.

use crate::{
    age::{Ages, Uptime},
    config::{Clock, Retention},
    disk::Disk,
    index::{self, Index},
    lane::{
        Lane,
        writer::{ClosedSegment, SegmentSink},
    },
    layout,
    retention::Retired,
    scrub::Scrub,
    segment::SegmentInfo,
    track::Goal,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use forebay_record::{LaneId, Predecessor, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Segments in the queue may keep so many indexes in memory: those of others are made from their files.
const INDEXES_QUEUED: usize = 4;
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
    fn closed(&mut self, mut closed: ClosedSegment) {
        if self.0.len() >= INDEXES_QUEUED {
            closed.index = None;
        }
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
    /// Lanes that nobody writes any more.
    pub(crate) retired: Mutex<Vec<Retired>>,
    pub(crate) ages: Mutex<Ages>,
    /// Held by whoever raises a lane's floor and removes what lies below it.
    pub(crate) floors: Mutex<()>,
    /// The log is closing: what can be left to the next start is.
    pub(crate) closing: AtomicBool,
}

impl Housekeeper {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        clock: Clock,
        uptime: Uptime,
        retention: Retention,
        unclaimed: Retention,
    ) -> Housekeeper {
        let ages = Mutex::new(Ages::new(uptime, &[retention, unclaimed]));
        let (lanes, retired) = (Mutex::default(), Mutex::default());
        let closing = AtomicBool::new(false);
        let floors = Mutex::default();
        Housekeeper { disk, dir, clock, retention, unclaimed, lanes, retired, ages, floors, closing }
    }

    pub(crate) fn lanes(&self) -> Vec<Arc<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn lane_dir(&self, lane: LaneId) -> PathBuf {
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
                    self.adopt_floor(&lane);
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
    pub(crate) fn finish(&self, closed: ClosedSegment) {
        let dir = self.lane_dir(closed.lane);
        let path = layout::segment_path(&dir, closed.id);
        if let Err(error) = self
            .disk
            .open(&path)
            .and_then(|file| file.set_len(mutant!(TrimmedShort: closed.end - 4096, else closed.end)))
        {
            tracing::warn!(path = %path.display(), %error, "cannot give back a segment's unused end");
        } else if let Some(lane) = self.lanes().iter().find(|lane| lane.id == closed.lane) {
            lane.segments.update(closed.id, |info| info.bytes = closed.end);
        }
        // What the writer has kept says what the file would: it is of frames whose flush returned. Should the disk lose
        // some of them since, their checksums tell whoever reads them, as they do behind any index.
        if let Some(encoded) = closed.index.and_then(|index| index.encode()) {
            let path = layout::index_path(&dir, closed.id);
            if let Err(error) = index::write(&*self.disk, &path, &encoded) {
                tracing::warn!(path = %path.display(), %error, "no index: reading the segment takes longer");
            }
        } else if closed.sealed {
            self.make_index(&dir, closed.id, None);
        }
    }

    /// Does what an earlier process did not come to: makes indexes, gives back unused ends, and removes indexes
    /// without a segment.
    pub(crate) fn catch_up(&self, lane: &Lane) {
        let dir = self.lane_dir(lane.id);
        let Ok(names) = self.disk.list(&dir) else { return };
        let segments: Vec<_> = lane.segments.lock().iter().filter(|i| i.last_ms.is_some()).copied().collect();
        let indexed: Vec<_> = names.iter().filter_map(|name| layout::index_of_name(name)).collect();
        for id in indexed.iter().filter(|id| segments.iter().all(|info| info.id != **id)) {
            let _ = self.disk.remove(&layout::index_path(&dir, *id));
        }
        for (i, info) in segments.iter().enumerate() {
            // Relaxed: a hint. A large store without indexes must not hold up a stop.
            if self.closing.load(Ordering::Relaxed) {
                return;
            }
            let next = segments.get(i + 1).map(|next| next.id);
            if !indexed.contains(&info.id) {
                self.make_index(&dir, info.id, next);
            }
            if let Some(next) = next
                && let Err(error) = self.trim(lane, &dir, info, next)
            {
                tracing::warn!(segment = info.id.0, dir = %dir.display(), %error, "cannot give back an unused end");
            }
        }
    }

    /// Gives back the unused end of a segment whose process was killed before it came to that. Nothing is cut
    /// from a damaged one.
    fn trim(&self, lane: &Lane, dir: &Path, info: &SegmentInfo, next: SegmentId) -> io::Result<()> {
        let file = self.disk.open(&layout::segment_path(dir, info.id))?;
        let Some(header) = self.header(dir, info.id)?.filter(|header| info.bytes == header.capacity) else {
            return Ok(());
        };
        let end = match self.header(dir, next)?.map(|next| next.predecessor) {
            Some(Predecessor::Failed { id, end }) if id == info.id => end,
            _ => match Index::open(&*self.disk, &layout::index_path(dir, info.id), &header) {
                Ok(index) => index.summary.end,
                Err(_) => return Ok(()),
            },
        };
        if (SEGMENT_HEADER_BYTES as u64..info.bytes).contains(&end) {
            file.set_len(end)?;
            lane.segments.update(info.id, |info| info.bytes = end);
        }
        Ok(())
    }

    /// A segment's header; `None` if it cannot be read.
    fn header(&self, dir: &Path, id: SegmentId) -> io::Result<Option<SegmentHeader>> {
        let mut block = vec![0; SEGMENT_HEADER_BYTES];
        let read = self.disk.open(&layout::segment_path(dir, id))?.read_at(&mut block, 0)?;
        Ok(SegmentHeader::decode(&block[..read]).ok())
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
            Some(next) => match self.header(dir, next)? {
                Some(successor) => Some(Goal::of_successor(&successor, true)),
                None => return Ok(()),
            },
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
}
