//! For tests: one lane on a simulated disk, driven step by step, without threads.

use super::{
    Job, Lane,
    writer::{ClosedSegment, SegmentSink, SegmentSource, Writer, WriterConfig},
};
use crate::{
    Append, Backend, Filter, LaneRecovery, OpenError, Step, Store, commit,
    disk::{Disk, SimDisk},
    layout, recovery,
    segment::{Prepared, prepare},
    store_id,
};
use bytes::Bytes;
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, Lsn, ProjectId, Seq};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

/// An append of these events.
pub(crate) fn append(project: Option<u64>, events: &[impl AsRef<str>]) -> Append {
    let mut text = String::new();
    let mut entries = Vec::new();
    for event in events.iter().map(AsRef::as_ref) {
        text.push(','); // What stands between events is not stored.
        let offset = u32::try_from(text.len()).unwrap();
        let len = u32::try_from(event.len()).unwrap();
        entries.push(DirectoryEntry { offset, len, ..DirectoryEntry::default() });
        text.push_str(event);
    }
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: project.map(|id| ProjectId::new(id).unwrap()),
        token: Bytes::from_static(b"token"),
        meta: Bytes::new(),
        received_at_ms: NOW_MS,
        client_ip: None,
        text: Bytes::from(text),
        events: entries,
        outcome: None,
    }
}

/// Where a rig's segments come from: made when asked for, all of one size.
#[derive(Debug)]
struct Source {
    disk: Arc<dyn Disk>,
    backend: Backend,
    dir: PathBuf,
    bytes: Arc<AtomicU64>,
    made: u64,
}

impl SegmentSource for Source {
    fn take(&mut self, least: u64) -> Result<Prepared, Arc<str>> {
        self.made += 1;
        let path = self.dir.join(format!("prepared-{}.tmp", self.made));
        let bytes = self.bytes.load(Ordering::Relaxed).max(least.next_multiple_of(4096));
        prepare(&self.disk, self.backend, &path, bytes).map_err(|e| Arc::from(e.to_string()))
    }

    fn is_ready(&self, _: u64) -> bool {
        true
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Closed(pub(crate) Arc<Mutex<Vec<ClosedSegment>>>);

impl SegmentSink for Closed {
    fn closed(&mut self, closed: ClosedSegment) {
        self.0.lock().unwrap().push(closed);
    }
}

/// A lane with its writer.
pub(crate) struct Rig {
    pub(crate) lane: Arc<Lane>,
    pub(crate) writer: Writer,
    pub(crate) recovered: LaneRecovery,
    pub(crate) closed: Closed,
    pub(crate) segment_bytes: Arc<AtomicU64>,
}

/// Bytes of a rig's segments, unless it is told otherwise.
pub(crate) const SEGMENT: u64 = 64 << 10;

impl Rig {
    /// Opens lane 0 of the data directory `dir`, which exists on `disk` only.
    pub(crate) fn open(disk: &SimDisk, dir: &Path, backend: Backend) -> Result<Rig, OpenError> {
        Rig::open_on(Arc::new(disk.clone()), dir, backend, disk.steps())
    }

    /// As [`Rig::open`], on any disk; `salt` tells its segments from those of others.
    pub(crate) fn open_on(
        shared: Arc<dyn Disk>,
        dir: &Path,
        backend: Backend,
        mut salt: u64,
    ) -> Result<Rig, OpenError> {
        let io = |source| OpenError::Io { what: "make", path: dir.to_owned(), source };
        shared.create_dir(dir).map_err(io)?;
        let store = store_id::open_store_id(&*shared, dir).map_err(OpenError::StoreId)?;
        let lane_dir = layout::lane_dir(dir, LaneId(0));
        let recovered = recovery::recover(&*shared, store, LaneId(0), &lane_dir)?;
        let (sender, _) = crossbeam_channel::bounded(1);
        let lane = Arc::new(Lane::new(LaneId(0), sender, usize::MAX));
        lane.counters.recovered(&recovered.report);
        *lane.segments.lock() = recovered.segments;
        let config = WriterConfig {
            store,
            disk: Arc::clone(&shared),
            dir: lane_dir.clone(),
            clock: Arc::new(|| NOW_MS),
            group_bytes_max: 1 << 20,
            index_frames_max: 1 << 20,
            flush_delay: Duration::ZERO,
            salt: Box::new(move || {
                salt += 1;
                salt
            }),
        };
        let segment_bytes = Arc::new(AtomicU64::new(SEGMENT));
        let bytes = Arc::clone(&segment_bytes);
        let source = Source { disk: shared, backend, dir: lane_dir, bytes, made: 0 };
        let closed = Closed::default();
        let writer = Writer::new(
            config,
            Arc::clone(&lane),
            commit::backend(backend),
            Box::new(source),
            Box::new(closed.clone()),
            recovered.watermark,
            recovered.tip,
        );
        Ok(Rig { lane, writer, recovered: recovered.report, closed, segment_bytes })
    }

    /// Commits appends of these events as one batch; says of each how many of its events are durable, and
    /// where.
    pub(crate) fn commit(&mut self, batch: Vec<Append>) -> Vec<(usize, Seq, Lsn)> {
        let stored = self.commit_only(batch);
        // As the lane's thread does it; what comes of it shows in the next commit.
        let _ = self.writer.advance();
        stored
    }

    /// As [`Rig::commit`], of a process that comes no further: a full segment is the lane's last.
    pub(crate) fn commit_only(&mut self, batch: Vec<Append>) -> Vec<(usize, Seq, Lsn)> {
        let mut jobs: Vec<_> = batch.into_iter().map(|append| Job::new(append, 0, 0, 0)).collect();
        let result = self.writer.commit(&mut jobs);
        assert_eq!(result.is_ok(), jobs.iter().all(Job::is_stored), "{result:?}");
        jobs.iter().map(|job| (job.progress.events, job.progress.first_seq, job.progress.last_lsn)).collect()
    }

    /// Commits one append; true if all of it is durable.
    pub(crate) fn store(&mut self, events: &[&str]) -> bool {
        self.commit(vec![append(Some(7), events)])[0].0 == events.len()
    }
}

/// All events of lane 0, as the reading side sees them, by sequence; `None` stands for a record in a gap.
pub(crate) fn readable(disk: &SimDisk, dir: &Path) -> Vec<Option<String>> {
    disk.export().unwrap();
    let mut cursor = Store::open(dir).unwrap().cursor(LaneId(0), Seq(0), Filter::default()).unwrap();
    let mut events: Vec<Option<String>> = Vec::new();
    while let Some(step) = cursor.next().unwrap() {
        match step {
            Step::Gap(gap) => {
                assert_eq!(gap.from.0, events.len() as u64, "{gap:?}");
                events.resize(usize::try_from(gap.to.0).unwrap(), None);
            }
            Step::Frame(frame) => {
                for record in frame.records() {
                    assert_eq!(record.seq.0, events.len() as u64, "sequences are dense");
                    events.push(Some(String::from_utf8(record.json.to_vec()).unwrap()));
                }
            }
        }
    }
    events
}
