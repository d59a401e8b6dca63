//! What the log costs: from the hand-over to the wake-up, and on the way back.
//!
//! The lane's thread is counted with the one that hands over: what is counted is the process. The flush itself is
//! the kernel's, and not in here.

use crate::{Benchmark, Counter, events};
use forebay_log::{Append, Filter, Log, LogConfig, Step, Store, Submitter, layout};
use forebay_record::{LaneId, Payload, SegmentHeader, Seq, Walk};
use std::{
    fs,
    hint::black_box,
    io,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Runtime, task::LocalSet};

pub(crate) const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "log/commit/1", unit: "append", run: |c, temp| commit(c, temp, 1, 400) },
    Benchmark { name: "log/commit/50", unit: "append", run: |c, temp| commit(c, temp, 50, 100) },
    Benchmark { name: "log/gathered/64", unit: "append", run: gathered },
    Benchmark { name: "log/walk", unit: "frame", run: walk },
    Benchmark { name: "log/read", unit: "frame", run: read },
    Benchmark { name: "log/recover", unit: "frame", run: recover },
];

const LANE: LaneId = LaneId(0);
/// What reading, walking and recovery go over.
const FRAMES: usize = 2000;

/// A directory that is gone when this is dropped.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(temp: &Path, name: &str) -> Directory {
        let path = temp.join(format!("forebay-instructions-{name}-{}", process::id()));
        fs::create_dir_all(&path).expect("making a directory");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left behind costs space and harms nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One lane that has nothing else to do: no heartbeat comes in between, and the first segment holds everything.
pub(crate) fn config(dir: &Path) -> LogConfig {
    LogConfig {
        lanes: 1,
        heartbeat: Duration::from_secs(3600),
        clock: Arc::new(|| events::NOW_MS),
        ..LogConfig::new(dir)
    }
}

/// What hands over to the log and waits, as one core of the server does.
struct Core {
    runtime: Runtime,
    tasks: LocalSet,
    submitter: Submitter,
}

impl Core {
    fn of(log: &Log) -> Core {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (tasks, submitter) = (LocalSet::new(), log.submitter());
        tasks.spawn_local(submitter.pump());
        Core { runtime, tasks, submitter }
    }

    /// Hands over `append` so many times at once, and waits until all are durable.
    fn commit(&self, append: &Append, times: usize) {
        self.tasks.block_on(&self.runtime, async {
            let submit = |_| self.submitter.submit(LANE, append.clone()).expect("room in the queue");
            let waiting: Vec<_> = (0..times).map(submit).collect();
            for pending in waiting {
                let _committed = pending.await.expect("stored");
            }
        });
    }
}

/// One append at a time, each waiting for its own flush.
fn commit(counter: &Counter, temp: &Path, events: usize, repetitions: u64) {
    let dir = Directory::new(temp, "commit");
    let (log, _) = Log::open(config(&dir.0)).expect("opening");
    let (core, append) = (Core::of(&log), events::append(events));
    counter.count_at_rest(repetitions, 1, || core.commit(&append, 1));
    drop(core);
    log.close().expect("closing");
}

/// Many that wait together: the first is flushed alone, and slowly, so that the others make up one group.
fn gathered(counter: &Counter, temp: &Path) {
    const WAITING: usize = 64;
    let dir = Directory::new(temp, "gathered");
    let slow = LogConfig { flush_delay: Duration::from_millis(50), ..config(&dir.0) };
    let (log, _) = Log::open(slow).expect("opening");
    let (core, append) = (Core::of(&log), events::append(1));
    counter.count_at_rest(20, WAITING as u64, || core.commit(&append, WAITING));
    drop(core);
    log.close().expect("closing");
}

/// A log of `FRAMES` frames of one event each, many to a group.
fn filled(dir: &Path) -> Log {
    let (log, _) = Log::open(config(dir)).expect("opening");
    let (core, append) = (Core::of(&log), events::append(1));
    (0..FRAMES / 50).for_each(|_| core.commit(&append, 50));
    log
}

/// Every frame of a segment checked, as recovery, readers and `log verify` do it.
fn walk(counter: &Counter, temp: &Path) {
    let dir = Directory::new(temp, "walk");
    filled(&dir.0).close().expect("closing");
    let lane = layout::lane_dir(&dir.0, LANE);
    let first = *layout::segments(&lane).expect("a lane").first().expect("a segment");
    let segment = fs::read(layout::segment_path(&lane, first)).expect("a segment");
    let header = SegmentHeader::decode(&segment).expect("a segment's header");
    counter.count(2, FRAMES as u64, || {
        let mut events = 0;
        for frame in Walk::new(&segment, &header) {
            if frame.header.kind.holds_records() {
                let payload = Payload::parse(frame.payload, frame.header.event_count).expect("well formed");
                events += payload.events().len();
            }
        }
        assert_eq!(events, FRAMES, "events found");
    });
}

/// Every event read back through a cursor.
fn read(counter: &Counter, temp: &Path) {
    let dir = Directory::new(temp, "read");
    filled(&dir.0).close().expect("closing");
    let store = Store::open(&dir.0).expect("opening");
    counter.count(2, FRAMES as u64, || {
        let mut cursor = store.cursor(LANE, Seq(0), Filter::all()).expect("a cursor");
        let mut events = 0;
        while let Some(step) = cursor.next().expect("readable") {
            let Step::Frame(frame) = step else { panic!("a gap") };
            for record in frame.records() {
                black_box(record.json);
                events += 1;
            }
        }
        assert_eq!(events, FRAMES, "events found");
    });
}

/// Opening what a kill leaves behind, and what the log then does by itself: an index, segments for what will come.
fn recover(counter: &Counter, temp: &Path) {
    let (dir, killed) = (Directory::new(temp, "recover"), Directory::new(temp, "killed"));
    let log = filled(&dir.0);
    copy(&dir.0, &killed.0).expect("copying");
    log.close().expect("closing");
    let mut opened = None;
    counter.count_cold(1, FRAMES as u64, || {
        opened = Some(Log::open(config(&killed.0)).expect("opening"));
        counter.rest();
    });
    let (log, recovery) = opened.expect("it ran");
    assert!(recovery.lanes[0].scanned_bytes > 700 * FRAMES as u64, "{recovery:?}");
    log.close().expect("closing");
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
