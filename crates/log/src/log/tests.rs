//! The log as a whole, with its threads, on a real disk.

use crate::{
    Append, Backend, Committed, Filter, Log, LogConfig, Outcome, Refusal, Retention, Step, StoreError,
    Submitter,
};
use bytes::Bytes;
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId, Seq};
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tempfile::TempDir;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// Runs `future` beside the submitter's pump, as a core's runtime would.
fn block_on<T>(submitter: &Submitter, future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let (mut future, mut pump) = (pin!(future), pin!(submitter.pump()));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(pump.as_mut().poll(&mut cx).is_pending(), "a pump never ends");
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        assert!(Instant::now() < deadline, "nothing came within a minute");
        thread::park_timeout(Duration::from_secs(1));
    }
}

fn config(dir: &TempDir) -> LogConfig {
    LogConfig {
        segment_bytes_min: 1 << 20,
        segment_bytes_max: 4 << 20,
        lanes: 1,
        ..LogConfig::new(dir.path())
    }
}

/// An append of these events.
fn append(project: Option<u64>, events: &[&str]) -> Append {
    let mut text = String::new();
    let mut entries = Vec::new();
    for event in events {
        text.push(','); // What stands between events is not stored.
        let offset = u32::try_from(text.len()).unwrap();
        entries.push(DirectoryEntry {
            offset,
            len: u32::try_from(event.len()).unwrap(),
            ..Default::default()
        });
        text.push_str(event);
    }
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: project.map(|id| ProjectId::new(id).unwrap()),
        token: Bytes::from_static(b"token"),
        meta: Bytes::new(),
        received_at_ms: 1_700_000_000_000,
        client_ip: None,
        text: Bytes::from(text),
        events: entries,
        outcome: None,
    }
}

fn store(submitter: &Submitter, project: u64, events: &[&str]) -> Result<Committed, StoreError> {
    let pending = submitter.submit(LaneId(0), append(Some(project), events)).expect("taken in");
    block_on(submitter, pending)
}

/// All events of a lane, in order; the sequences must be dense.
fn read(log: &Log, lane: LaneId) -> Vec<String> {
    let mut cursor = log.store().unwrap().cursor(lane, Seq(0), Filter::default()).unwrap();
    let mut events = Vec::new();
    while let Some(step) = cursor.next().unwrap() {
        let Step::Frame(frame) = step else { panic!("a gap: {step:?}") };
        for record in frame.records() {
            assert_eq!(record.seq.0, events.len() as u64);
            events.push(String::from_utf8(record.json.to_vec()).unwrap());
        }
    }
    events
}

#[test]
fn what_was_committed_is_read_back_in_order_also_after_reopening_with_either_backend() {
    for backend in [Backend::Pwrite, Backend::Mapped] {
        let dir = TempDir::new().unwrap();
        let config = LogConfig { backend, ..config(&dir) };
        let (log, recovery) = Log::open(config.clone()).unwrap();
        assert_eq!(recovery.lanes.len(), 1);
        let submitter = log.submitter();
        let first = store(&submitter, 7, &["a", "b"]).unwrap();
        assert_eq!((first.lane(), first.first_seq(), first.last_lsn().0), (LaneId(0), Seq(0), 1));
        let second = store(&submitter, 8, &["c"]).unwrap();
        assert_eq!((second.first_seq(), second.last_lsn().0), (Seq(2), 2));
        assert_eq!(read(&log, LaneId(0)), ["a", "b", "c"]);
        drop(submitter);
        log.close().unwrap();

        let (log, recovery) = Log::open(config).unwrap();
        let lane = &recovery.lanes[0];
        assert_eq!((lane.next_seq, lane.cut.clone(), lane.scanned_bytes), (Seq(3), None, 0), "{backend}");
        let submitter = log.submitter();
        // The seal took lsn 3.
        let third = store(&submitter, 7, &["d"]).unwrap();
        assert_eq!((third.first_seq(), third.last_lsn().0), (Seq(3), 4));
        assert_eq!(read(&log, LaneId(0)), ["a", "b", "c", "d"]);
    }
}
