//! The log as a whole, with its threads: on a real disk, or a simulated one where the disk must misbehave.

use crate::{
    Append, Backend, Filter, LockError, Log, LogConfig, OpenError, Outcome, Refusal, Retention, Step,
    Submitter,
    disk::SimDisk,
    lane::rig::{NOW_MS, append, readable},
    layout,
};
use forebay_record::{LaneId, Lsn, Seq};
use std::{
    fs,
    future::Future,
    io,
    path::Path,
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
pub(super) fn block_on<T>(submitter: &Submitter, future: impl Future<Output = T>) -> T {
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

pub(super) fn config(dir: &TempDir) -> LogConfig {
    let clock: crate::Clock = Arc::new(|| NOW_MS);
    LogConfig {
        clock,
        segment_bytes_min: 1 << 20,
        segment_bytes_max: 4 << 20,
        lanes: 1,
        ..LogConfig::new(dir.path())
    }
}

/// The first sequence and the last frame.
pub(super) fn store(submitter: &Submitter, project: u64, events: &[&str]) -> (Seq, Lsn) {
    let pending = submitter.submit(LaneId(0), append(Some(project), events)).expect("taken in");
    let committed = block_on(submitter, pending).expect("stored");
    assert_eq!(committed.lane(), LaneId(0));
    (committed.first_seq(), committed.last_lsn())
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
    for backend in [Backend::Direct, Backend::Pwrite, Backend::Mapped] {
        let dir = TempDir::new().unwrap();
        let config = LogConfig { backend, ..config(&dir) };
        let (log, recovery) = Log::open(config.clone()).unwrap();
        assert_eq!(recovery.lanes.len(), 1);
        let submitter = log.submitter();
        assert_eq!(store(&submitter, 7, &["a", "b"]), (Seq(0), Lsn(1)));
        assert_eq!(store(&submitter, 8, &["c"]), (Seq(2), Lsn(2)));
        assert_eq!(read(&log, LaneId(0)), ["a", "b", "c"]);
        drop(submitter);
        log.close().unwrap();

        let (log, recovery) = Log::open(config).unwrap();
        let lane = &recovery.lanes[0];
        assert_eq!((lane.next_seq, lane.cut.clone(), lane.scanned_bytes), (Seq(3), None, 0), "{backend}");
        let submitter = log.submitter();
        // The seal took lsn 3.
        assert_eq!(store(&submitter, 7, &["d"]), (Seq(3), Lsn(4)));
        assert_eq!(read(&log, LaneId(0)), ["a", "b", "c", "d"]);
    }
}

/// Looks again and again until `done`, for at most ten seconds.
pub(super) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_pending_resolves_only_after_the_flush_and_readers_see_nothing_before() {
    let dir = TempDir::new().unwrap();
    let config = LogConfig { flush_delay: Duration::from_millis(300), ..config(&dir) };
    let (log, _) = Log::open(config).unwrap();
    let submitter = log.submitter();
    let mut pending = pin!(submitter.submit(LaneId(0), append(Some(7), &["a"])).unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pending.as_mut().poll(&mut cx).is_pending());
    assert!(read(&log, LaneId(0)).is_empty());
    let committed = block_on(&submitter, pending).unwrap();
    assert_eq!(committed.first_seq(), Seq(0));
    assert_eq!(read(&log, LaneId(0)), ["a"]);
}

#[test]
fn dropping_a_pending_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(config(&dir)).unwrap();
    let submitter = log.submitter();
    drop(submitter.submit(LaneId(0), append(Some(7), &["dropped"])).unwrap());
    store(&submitter, 7, &["kept"]);
    assert_eq!(read(&log, LaneId(0)), ["dropped", "kept"]);
}

#[test]
fn what_a_full_queue_cannot_take_is_given_back_and_the_rest_is_stored() {
    let dir = TempDir::new().unwrap();
    let by_count = LogConfig { queue_len_max: 4, ..config(&dir) };
    let other = TempDir::new().unwrap();
    let by_bytes = LogConfig { queue_bytes_max: 64 << 10, ..config(&other) };
    let event = "x".repeat(10_000);
    for config in [by_count, by_bytes] {
        let (log, _) = Log::open(LogConfig { flush_delay: Duration::from_millis(200), ..config }).unwrap();
        let submitter = log.submitter();
        let mut pending = Vec::new();
        let refused = loop {
            assert!(pending.len() < 20, "never refused");
            match submitter.submit(LaneId(0), append(Some(7), &[&event])) {
                Ok(one) => pending.push(one),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.reason, Refusal::Full);
        assert_eq!(refused.append.events.len(), 1);
        let stored = pending.len();
        for one in pending {
            assert!(block_on(&submitter, one).is_ok());
        }
        assert_eq!(read(&log, LaneId(0)).len(), stored);
        assert_eq!(log.stats().lanes[0].queue_bytes, 0);
    }
}

#[test]
fn a_full_disk_turns_appends_away_and_heals_by_itself() {
    let dir = TempDir::new().unwrap();
    let disk = SimDisk::new(1);
    disk.set_capacity(12 << 20);
    let (log, _) = Log::open_on(Arc::new(disk.clone()), config(&dir), false).unwrap();
    let submitter = log.submitter();
    let event = "x".repeat(200_000);
    let mut stored = 0;
    let deadline = Instant::now() + Duration::from_secs(30);
    let unable = loop {
        assert!(Instant::now() < deadline, "never full");
        match submitter.submit(LaneId(0), append(Some(7), &[&event])) {
            Ok(pending) => stored += usize::from(block_on(&submitter, pending).is_ok()),
            Err(refused) => break refused.reason,
        }
    };
    let Refusal::Unable(reason) = unable else { panic!("{unable:?}") };
    assert!(reason.contains("full"), "{reason}");
    assert!(!log.health().is_able());
    // All but the reserve and what was too small for another segment was used.
    assert!(stored > 35, "{stored}");
    disk.set_capacity(64 << 20);
    wait_until("able again", || log.health().is_able());
    store(&submitter, 7, &["after"]);
    drop(submitter);
    log.close().unwrap();
    let read = readable(&disk, dir.path());
    assert_eq!(read.len(), stored + 1);
    assert_eq!(read.last(), Some(&Some("after".to_owned())));
}

#[derive(Default)]
struct Tally {
    stored: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    calls: AtomicU64,
}

impl Outcome for Tally {
    fn stored(&self, events: u32, bytes: u64) {
        self.stored.fetch_add(events.into(), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, events: u32) {
        self.failed.fetch_add(events.into(), Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_outcome_is_told_once_also_of_an_append_that_is_split_and_never_of_one_given_back() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(config(&dir)).unwrap();
    let submitter = log.submitter();
    let tally = Arc::new(Tally::default());
    let large = "l".repeat(3 << 20);
    for events in [vec!["a", "bc"], vec![&large, &large, &large]] {
        let outcome: Arc<dyn Outcome> = tally.clone();
        let append = Append { outcome: Some(outcome), ..append(Some(7), &events) };
        let pending = submitter.submit(LaneId(0), append).unwrap();
        assert!(block_on(&submitter, pending).is_ok());
    }
    let outcome: Arc<dyn Outcome> = tally.clone();
    let wrong = Append { outcome: Some(outcome), ..append(None, &["for no project"]) };
    let refused = submitter.submit(LaneId(0), wrong).unwrap_err();
    assert!(matches!(refused.reason, Refusal::Malformed(_)));
    drop(refused);
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    assert_eq!((count(&tally.stored), count(&tally.failed), count(&tally.calls)), (5, 0, 2));
    assert_eq!(count(&tally.bytes), 3 + 3 * large.len() as u64);
}

#[test]
fn the_unclaimed_lane_opens_on_first_use_and_its_ring_drops_the_oldest_and_counts_them() {
    let dir = TempDir::new().unwrap();
    let unclaimed = Retention { age: None, bytes: Some(6 << 20) };
    let (log, _) = Log::open(LogConfig { unclaimed, ..config(&dir) }).unwrap();
    assert!(!layout::lane_dir(dir.path(), LaneId::UNCLAIMED).exists());
    let submitter = log.submitter();
    let event = "u".repeat(300_000);
    for _ in 0..40 {
        let pending = submitter.submit(LaneId::UNCLAIMED, append(None, &[&event])).unwrap();
        assert_eq!(block_on(&submitter, pending).unwrap().lane(), LaneId::UNCLAIMED);
    }
    log.run_retention();
    let stats = log.stats();
    let ring = stats.lanes.last().unwrap();
    assert_eq!(ring.lane, LaneId::UNCLAIMED);
    assert!(ring.bytes_on_disk <= 6 << 20, "{}", ring.bytes_on_disk);
    assert!(ring.expired_events > 15 && ring.expired_segments > 3, "{ring:?}");
    let mut cursor = log.store().unwrap().cursor(LaneId::UNCLAIMED, Seq(0), Filter::default()).unwrap();
    let Some(Step::Gap(gap)) = cursor.next().unwrap() else { panic!("no gap") };
    assert_eq!(gap.to.0, ring.expired_events);
    drop(submitter);
    log.close().unwrap();
    // It exists now: it is opened at once.
    let (log, recovery) = Log::open(config(&dir)).unwrap();
    assert_eq!(recovery.lanes.len(), 2);
    assert_eq!(log.stats().lanes[1].next_seq, Seq(40));
}

#[test]
fn segments_whose_newest_record_is_too_old_go_and_sequences_go_on() {
    let dir = TempDir::new().unwrap();
    let now = Arc::new(AtomicU64::new(NOW_MS));
    let clock = Arc::clone(&now);
    let config = LogConfig {
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        retention: Retention { age: Some(Duration::from_secs(60)), bytes: None },
        ..config(&dir)
    };
    let (log, _) = Log::open(config.clone()).unwrap();
    let submitter = log.submitter();
    store(&submitter, 7, &["old"]);
    log.run_retention();
    assert_eq!(log.stats().lanes[0].expired_segments, 0);
    now.store(NOW_MS + 61_000, Ordering::Relaxed);
    // The segment being written is rolled first, since the newest is never removed.
    wait_until("expired", || {
        log.run_retention();
        log.stats().lanes[0].expired_segments == 1
    });
    assert_eq!(log.stats().lanes[0].expired_events, 1);
    assert_eq!(store(&submitter, 7, &["new"]).0, Seq(1));
    drop(submitter);
    log.close().unwrap();
    let (log, recovery) = Log::open(config).unwrap();
    assert_eq!(recovery.lanes[0].next_seq, Seq(2));
    let mut cursor = log.store().unwrap().cursor(LaneId(0), Seq(0), Filter::default()).unwrap();
    let first = cursor.next().unwrap();
    assert!(matches!(&first, Some(Step::Gap(gap)) if gap.to == Seq(1)), "{first:?}");
}

#[test]
fn an_idle_lane_beats_once_and_then_sleeps() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(LogConfig { heartbeat: Duration::from_millis(30), ..config(&dir) }).unwrap();
    let submitter = log.submitter();
    store(&submitter, 7, &["a"]);
    wait_until("heartbeat", || log.stats().lanes[0].durable_lsn.0 == 2);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(log.stats().lanes[0].durable_lsn.0, 2);
}

#[test]
fn a_closed_log_refuses_and_an_open_one_cannot_be_opened_twice() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(config(&dir)).unwrap();
    let second = Log::open(config(&dir)).unwrap_err();
    assert!(matches!(&second, OpenError::Lock(LockError::Held { .. })), "{second}");
    let submitter = log.submitter();
    let last = submitter.submit(LaneId(0), append(Some(7), &["last"])).unwrap();
    log.close().unwrap();
    assert!(block_on(&submitter, last).is_ok(), "what was taken in is stored");
    let refused = submitter.submit(LaneId(0), append(Some(7), &["late"])).unwrap_err();
    assert_eq!(refused.reason, Refusal::Closed);
    let (log, _) = Log::open(config(&dir)).unwrap();
    assert_eq!(read(&log, LaneId(0)), ["last"]);
}

/// As a killed process leaves it: every file as it is now. The log goes on meanwhile, and what it renames between the
/// listing and the copying would be in neither: then it is copied again.
pub(super) fn copy_dir(from: &Path, to: &Path) {
    wait_until("copied whole", || {
        fs::remove_dir_all(to).unwrap();
        match try_copy_dir(from, to) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            copied => copied.map(|()| true).unwrap(),
        }
    });
}

fn try_copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            try_copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn many_cores_get_their_own_answers_and_a_killed_process_loses_nothing_acknowledged() {
    let dir = TempDir::new().unwrap();
    let killed = TempDir::new().unwrap();
    let config = LogConfig { lanes: 2, ..config(&dir) };
    let (log, _) = Log::open(config.clone()).unwrap();
    let acked: Vec<(LaneId, u64, String)> = thread::scope(|scope| {
        let cores: Vec<_> = (0..4u16)
            .map(|core| {
                let log = log.clone();
                scope.spawn(move || {
                    let submitter = log.submitter();
                    let mut acked = Vec::new();
                    for round in 0..50 {
                        let pending: Vec<_> = (0..10u16)
                            .map(|i| {
                                let event =
                                    format!("{core}:{round}:{i}:{}", "x".repeat(usize::from(i) * 300));
                                let lane = LaneId((core + i) % 2);
                                let append = append(Some(7), &[&event]);
                                (lane, event, submitter.submit(lane, append).unwrap())
                            })
                            .collect();
                        for (lane, event, one) in pending {
                            let committed = block_on(&submitter, one).unwrap();
                            acked.push((lane, committed.first_seq().0, event));
                        }
                    }
                    acked
                })
            })
            .collect();
        cores.into_iter().flat_map(|core| core.join().unwrap()).collect()
    });
    assert_eq!(acked.len(), 2000);
    copy_dir(dir.path(), killed.path());
    for (dir, log) in [(&dir, Some(log)), (&killed, None)] {
        drop(log);
        let config = LogConfig { dir: dir.path().to_owned(), ..config.clone() };
        let (log, recovery) = Log::open(config).unwrap();
        assert!(recovery.lanes.iter().all(|lane| lane.damage.is_empty() && lane.cut.is_none()));
        let lanes = [read(&log, LaneId(0)), read(&log, LaneId(1))];
        assert_eq!(lanes[0].len() + lanes[1].len(), acked.len());
        for (lane, seq, event) in &acked {
            assert_eq!(lanes[usize::from(lane.0)][usize::try_from(*seq).unwrap()], *event);
        }
    }
}

#[test]
fn a_core_that_leaves_makes_room_for_another() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(config(&dir)).unwrap();
    for _ in 0..20 {
        let submitter = log.submitter();
        assert!(format!("{submitter:?}").contains("core: 0"), "{submitter:?}");
        store(&submitter, 7, &["a"]);
    }
    assert_eq!(read(&log, LaneId(0)).len(), 20);
}

/// Adds up what it hears.
#[derive(Default)]
struct Heard(AtomicU64);

impl Outcome for Heard {
    fn stored(&self, events: u32, _bytes: u64) {
        // Slow, so that batches are told in parts while others look.
        thread::yield_now();
        self.0.fetch_add(events.into(), Ordering::Relaxed);
    }

    fn failed(&self, _events: u32) {}
}

#[test]
fn a_hold_finds_each_lane_exactly_where_its_outcomes_have_been_told() {
    let dir = TempDir::new().unwrap();
    let config = LogConfig { lanes: 2, ..config(&dir) };
    let heard: Arc<[Heard; 3]> = Arc::default();
    let slot = |lane: LaneId| if lane == LaneId::UNCLAIMED { 2 } else { usize::from(lane.0) };
    for round in 1..=2_u64 {
        let (log, _) = Log::open(config.clone()).unwrap();
        let seen = || {
            let hold = log.hold_outcomes();
            for at in hold.told() {
                assert_eq!(heard[slot(at.lane)].0.load(Ordering::Relaxed), at.seq.0, "{at:?}");
            }
            hold.told().iter().map(|at| at.seq.0).sum::<u64>()
        };
        let before = seen();
        let sent = thread::scope(|scope| {
            let send = || {
                let submitter = log.submitter();
                for i in 0..600_u64 {
                    let lane = [LaneId(0), LaneId(1), LaneId::UNCLAIMED][usize::try_from(i % 3).unwrap()];
                    let project = (lane != LaneId::UNCLAIMED).then_some(7);
                    let outcome: Arc<dyn Outcome> = Arc::new(Forward(Arc::clone(&heard), slot(lane)));
                    let append = Append { outcome: Some(outcome), ..append(project, &["a", "b"]) };
                    let pending = submitter.submit(lane, append).expect("taken in");
                    if i % 50 == 49 {
                        drop(block_on(&submitter, pending).expect("stored"));
                    }
                }
                1200_u64
            };
            let senders = [scope.spawn(send), scope.spawn(send)];
            while senders.iter().any(|sender| !sender.is_finished()) {
                seen();
                thread::yield_now();
            }
            senders.into_iter().map(|sender| sender.join().unwrap()).sum::<u64>()
        });
        let closer = log.clone();
        closer.close().unwrap();
        assert_eq!(seen(), before + sent, "round {round}: also when the log has been closed");
    }
}

struct Forward(Arc<[Heard; 3]>, usize);

impl Outcome for Forward {
    fn stored(&self, events: u32, bytes: u64) {
        self.0[self.1].stored(events, bytes);
    }

    fn failed(&self, _events: u32) {}
}
