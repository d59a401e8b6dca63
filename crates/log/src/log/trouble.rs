//! What holds when something goes wrong beside the disk: a thread panics, a close meets an opening.

use super::tests::{block_on, config, store, wait_until};
use crate::{
    Append, DirLock, Filter, GapReason, LockError, Log, LogConfig, Outcome, Refusal, Retention, Step,
    disk::{Disk as _, Faults, SimDisk},
    lane::{
        ability::Obstacle,
        rig::{NOW_MS, append, readable},
    },
    layout,
};
use forebay_record::{LaneId, Seq};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;

struct Panics;

impl Outcome for Panics {
    fn stored(&self, _events: u32, _bytes: u64) {
        panic!("as a test wants it");
    }

    fn failed(&self, _events: u32) {}
}

#[test]
fn a_lane_whose_thread_panicked_fails_who_waits_and_stays_unable() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(config(&dir)).unwrap();
    let submitter = log.submitter();
    let append_that_panics = Append { outcome: Some(Arc::new(Panics)), ..append(Some(7), &["a"]) };
    let pending = submitter.submit(LaneId(0), append_that_panics).unwrap();
    assert!(block_on(&submitter, pending).is_err());
    assert!(!log.health().is_able());
    // What the preparer says when it has made a segment.
    log.inner.lanes[0].ability.clear(Obstacle::NoSegment);
    assert!(!log.health().is_able(), "no segment brings a writer back");
    let refused = submitter.submit(LaneId(0), append(Some(7), &["b"])).unwrap_err();
    assert!(matches!(refused.reason, Refusal::Unable(_)), "{:?}", refused.reason);
    drop(submitter);
    assert!(log.close().is_err());
}

#[test]
fn a_close_that_meets_the_opening_of_the_unclaimed_lane_ends() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(config(&dir)).unwrap();
    // Its thread runs, and nobody can find it yet.
    let lane = log.inner.open_unclaimed();
    let closing = thread::spawn(move || log.close());
    wait_until("closed", || closing.is_finished());
    assert!(closing.join().unwrap().is_ok());
    assert!(lane.is_closing());
}

#[test]
fn a_panic_in_housekeeping_neither_ends_it_nor_lets_another_process_in() {
    let dir = TempDir::new().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let clock = move || {
        let housekeeping = thread::current().name() == Some("housekeeping");
        assert!(!housekeeping || count.fetch_add(1, Ordering::Relaxed) > 0, "as a test wants it");
        NOW_MS
    };
    let (log, _) = Log::open(LogConfig { clock: Arc::new(clock), ..config(&dir) }).unwrap();
    let submitter = log.submitter();
    let event = "x".repeat(300_000);
    for _ in 0..12 {
        store(&submitter, 7, &[&event]);
    }
    // Asked once for each closed segment and set of lanes; the first time ended badly.
    wait_until("asked again", || asked.load(Ordering::Relaxed) > 1);
    assert!(matches!(DirLock::take(dir.path()), Err(LockError::Held { .. })));
    drop(submitter);
    log.close().unwrap();
    DirLock::take(dir.path()).expect("let go at the end");
}

#[test]
fn an_old_segment_of_an_idle_lane_goes_also_after_a_start_and_reads_as_retention() {
    let dir = TempDir::new().unwrap();
    let now = Arc::new(AtomicU64::new(NOW_MS));
    let clock = Arc::clone(&now);
    let config = LogConfig {
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        retention: Retention { age: Some(Duration::from_secs(60)), bytes: None },
        ..config(&dir)
    };
    let (log, _) = Log::open(config.clone()).unwrap();
    store(&log.submitter(), 7, &["old"]);
    log.close().unwrap();
    now.store(NOW_MS + 61_000, Ordering::Relaxed);
    let (log, _) = Log::open(config).unwrap();
    wait_until("expired", || {
        log.run_retention();
        log.stats().lanes[0].expired_segments == 1
    });
    let mut cursor = log.store().unwrap().cursor(LaneId(0), Seq(0), Filter::default()).unwrap();
    let Some(Step::Gap(gap)) = cursor.next().unwrap() else { panic!("no gap") };
    assert_eq!((gap.to, gap.reason), (Seq(1), GapReason::Retention));
    assert_eq!(store(&log.submitter(), 7, &["new"]).0, Seq(1));
    assert!(matches!(cursor.next().unwrap(), Some(Step::Frame(_))));
}

#[test]
fn a_disk_that_makes_nothing_durable_turns_health_red_costs_no_files_and_heals_by_itself() {
    let dir = TempDir::new().unwrap();
    let disk = SimDisk::new(1);
    let (log, _) = Log::open_on(Arc::new(disk.clone()), config(&dir), false).unwrap();
    let submitter = log.submitter();
    store(&submitter, 7, &["before"]);
    disk.set_faults(Faults { failing_flushes: 1024, ..Faults::default() });
    let pending = submitter.submit(LaneId(0), append(Some(7), &["refused"])).expect("taken in");
    assert!(block_on(&submitter, pending).is_err());
    wait_until("red", || !log.health().is_able());
    let refused = submitter.submit(LaneId(0), append(Some(7), &["refused"])).unwrap_err();
    let Refusal::Unable(reason) = refused.reason else { panic!("{:?}", refused.reason) };
    assert!(["disk", "quota"].iter().any(|word| reason.contains(word)), "{reason}");
    let lane = log.stats().lanes[0].clone();
    assert_eq!((lane.failed_events, lane.failing_since_ms), (1, Some(NOW_MS)), "{lane:?}");
    // Its segments, what may be prepared, and the watermark: however long it goes on.
    let files = disk.list(&layout::lane_dir(dir.path(), LaneId(0))).unwrap();
    assert!(files.len() <= 6, "{files:?}");
    disk.set_faults(Faults::default());
    wait_until("green", || log.health().is_able());
    assert_eq!(log.stats().lanes[0].failing_since_ms, None);
    store(&submitter, 7, &["after"]);
    drop(submitter);
    log.close().unwrap();
    let events = readable(&disk, dir.path());
    assert_eq!(events, ["before", "after"].map(|event| Some(event.to_owned())));
}
