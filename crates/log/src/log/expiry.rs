//! What goes and what stays when clocks jump, lanes retire and processes are killed.

use super::tests::{block_on, config, copy_dir, store, wait_until};
use crate::{
    Clock, Filter, Gap, GapReason, Log, LogConfig, Retention, Step, Submitter,
    lane::rig::{NOW_MS, append},
    layout,
};
use forebay_record::{LaneId, Seq};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

const MINUTE: u64 = 60_000;
const YEAR: u64 = 365 * 24 * 60 * MINUTE;

/// A clock that tests set.
#[derive(Clone)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn at(ms: u64) -> Hand {
        Hand(Arc::new(AtomicU64::new(ms)))
    }

    fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Arc::new(move || now.load(Ordering::Relaxed))
    }
}

/// Half an hour is kept.
fn half_an_hour(dir: &TempDir, hand: &Hand) -> LogConfig {
    let retention = Retention { age: Some(Duration::from_secs(1800)), bytes: None };
    LogConfig { clock: hand.clock(), retention, ..config(dir) }
}

fn expired(log: &Log) -> u64 {
    log.stats().lanes.iter().map(|lane| lane.expired_events).sum()
}

fn wait_until_expired(log: &Log, events: u64) {
    wait_until("expired", || {
        log.run_retention();
        expired(log) == events
    });
}

/// An append whose request came in then.
fn store_at(submitter: &Submitter, lane: u16, at_ms: u64, event: &str) -> Seq {
    let append = crate::Append { received_at_ms: at_ms, ..append(Some(7), &[event]) };
    let pending = submitter.submit(LaneId(lane), append).expect("taken in");
    block_on(submitter, pending).expect("stored").first_seq()
}

#[test]
fn a_clock_a_year_ahead_expires_nothing_also_across_a_start_and_all_is_well_when_it_is_put_right() {
    let dir = TempDir::new().unwrap();
    let hand = Hand::at(NOW_MS);
    let config = half_an_hour(&dir, &hand);
    let (log, _) = Log::open(config.clone()).unwrap();
    store(&log.submitter(), 7, &["kept"]);
    log.run_retention();
    hand.set(NOW_MS + YEAR);
    log.run_retention();
    assert!(log.stats().clock_ahead_ms > YEAR - MINUTE);
    log.close().unwrap();
    for _ in 0..2 {
        let (log, _) = Log::open(config.clone()).unwrap();
        store_at(&log.submitter(), 0, NOW_MS + YEAR, "in the wrong year");
        log.run_retention();
        assert!(log.stats().clock_ahead_ms > YEAR - MINUTE, "a start is no way around the wait");
        assert_eq!(expired(&log), 0);
        log.close().unwrap();
    }
    // Put right: nothing of it stays longer than it should, whatever its stamps say.
    hand.set(NOW_MS + MINUTE);
    let (log, _) = Log::open(config).unwrap();
    log.run_retention();
    assert_eq!((log.stats().clock_ahead_ms, expired(&log)), (0, 0));
    // The newest says that it is of next year: it is replaced by one that does not.
    wait_until("replaced", || {
        log.run_retention();
        log.stats().lanes[0].segments == 4
    });
    hand.set(NOW_MS + 40 * MINUTE);
    wait_until_expired(&log, 3);
}

#[test]
fn a_segment_that_was_closed_in_order_is_as_old_as_its_newest_record_also_after_a_start() {
    let dir = TempDir::new().unwrap();
    let hand = Hand::at(NOW_MS);
    let config = half_an_hour(&dir, &hand);
    let (log, _) = Log::open(config.clone()).unwrap();
    store(&log.submitter(), 7, &["early"]);
    hand.set(NOW_MS + 20 * MINUTE);
    store_at(&log.submitter(), 0, NOW_MS + 20 * MINUTE, "late");
    log.close().unwrap();
    hand.set(NOW_MS + 31 * MINUTE);
    let (log, _) = Log::open(config).unwrap();
    store_at(&log.submitter(), 0, NOW_MS + 31 * MINUTE, "later");
    log.run_retention();
    assert_eq!((log.stats().lanes[0].segments, expired(&log)), (2, 0));
    hand.set(NOW_MS + 51 * MINUTE);
    wait_until_expired(&log, 2);
}

#[test]
fn a_clock_that_was_never_set_makes_nothing_old() {
    let dir = TempDir::new().unwrap();
    let hand = Hand::at(5 * MINUTE);
    let (log, _) = Log::open(half_an_hour(&dir, &hand)).unwrap();
    store_at(&log.submitter(), 0, 5 * MINUTE, "in 1970");
    hand.set(NOW_MS);
    log.run_retention();
    assert_eq!(expired(&log), 0, "it has jumped by 50 years");
}

#[test]
fn lanes_that_are_no_longer_written_are_read_expire_whole_and_go_on_when_they_are_written_again() {
    let dir = TempDir::new().unwrap();
    let hand = Hand::at(NOW_MS);
    let three = LogConfig { lanes: 3, ..half_an_hour(&dir, &hand) };
    let one = LogConfig { lanes: 1, ..three.clone() };
    let (log, _) = Log::open(three.clone()).unwrap();
    let submitter = log.submitter();
    for lane in 0..3 {
        store_at(&submitter, lane, NOW_MS, "of three lanes");
    }
    drop(submitter);
    log.close().unwrap();

    let (log, recovery) = Log::open(one.clone()).unwrap();
    assert_eq!(recovery.lanes.len(), 3);
    assert_eq!(log.health().lanes.len(), 1);
    let count = |log: &Log, lane| {
        let mut cursor = log.store().unwrap().cursor(LaneId(lane), Seq(0), Filter::default()).unwrap();
        let mut frames = 0;
        while let Some(step) = cursor.next().unwrap() {
            frames += usize::from(matches!(step, Step::Frame(_)));
        }
        frames
    };
    assert_eq!([0, 1, 2].map(|lane| count(&log, lane)), [1, 1, 1]);
    log.run_retention();
    hand.set(NOW_MS + 40 * MINUTE);
    wait_until_expired(&log, 3);
    assert_eq!([0, 1, 2].map(|lane| count(&log, lane)), [0, 0, 0]);
    for lane in [0, 1, 2].map(LaneId) {
        let mut cursor = log.store().unwrap().cursor(lane, Seq(0), Filter::default()).unwrap();
        let step = cursor.next().unwrap();
        let Some(Step::Gap(gap)) = step else { panic!("nothing follows, and no gap says so: {step:?}") };
        assert_eq!(gap, Gap { lane, from: Seq(0), to: Seq(1), reason: GapReason::Retention });
        assert!(cursor.next().unwrap().is_none());
    }
    let segments = || log.stats().lanes.iter().map(|lane| lane.segments).collect::<Vec<_>>();
    assert_eq!(segments(), [1, 1, 1], "each says where it stands");
    log.run_retention();
    assert_eq!(segments(), [1, 1, 1], "once");
    log.close().unwrap();

    for config in [one, three] {
        let (log, recovery) = Log::open(config).unwrap();
        assert!(recovery.lanes.iter().all(|lane| lane.damage.is_empty() && lane.next_seq == Seq(1)));
        if log.lanes() == 3 {
            assert_eq!(store_at(&log.submitter(), 2, NOW_MS, "again"), Seq(1));
        }
        log.close().unwrap();
    }
}

#[test]
fn what_a_kill_at_a_roll_left_untrimmed_is_given_back_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(config(&dir)).unwrap();
    let submitter = log.submitter();
    let event = "x".repeat(300_000);
    for _ in 0..6 {
        store(&submitter, 7, &[&event]);
    }
    wait_until("trimmed", || log.stats().lanes[0].bytes_on_disk % (1 << 20) != 0);
    // As a kill would have left it: whole, and without its index.
    let killed = TempDir::new().unwrap();
    copy_dir(dir.path(), killed.path());
    let lane = layout::lane_dir(killed.path(), LaneId(0));
    let first = layout::segments(&lane).unwrap()[0];
    let path = layout::segment_path(&lane, first);
    let trimmed = fs::metadata(&path).unwrap().len();
    assert!(trimmed < 1 << 20);
    for with_index in [true, false] {
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
        if !with_index {
            fs::remove_file(layout::index_path(&lane, first)).unwrap();
        }
        let (log, _) = Log::open(LogConfig { dir: killed.path().to_owned(), ..config(&dir) }).unwrap();
        wait_until("trimmed", || fs::metadata(&path).unwrap().len() == trimmed);
        wait_until("indexed", || layout::index_path(&lane, first).exists());
        log.close().unwrap();
    }
}
