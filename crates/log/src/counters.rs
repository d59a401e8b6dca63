//! What the log counts, for `/metrics`, and whether it can store, for health checks.

use crate::recovery::LaneRecovery;
use forebay_record::{LaneId, Lsn, Seq};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper bounds of the group-size histogram's buckets, in bytes; one more bucket is for larger ones.
pub const GROUP_BYTES_BOUNDS: [u64; 7] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];
/// Upper bounds of the flush-time histogram's buckets, in microseconds; one more bucket is for longer ones.
pub const FLUSH_TIME_BOUNDS_US: [u64; 10] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000];

/// Can each lane store now?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Every open lane.
    pub lanes: Vec<LaneHealth>,
}

/// Can a lane store now?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneHealth {
    /// Which.
    pub lane: LaneId,
    /// Why it cannot; `None` when it can.
    pub unable: Option<Arc<str>>,
}

impl Health {
    /// Can every lane store?
    #[must_use]
    pub fn is_able(&self) -> bool {
        self.lanes.iter().all(|lane| lane.unable.is_none())
    }
}

/// What the log has counted since it was opened, and what stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Every open lane, the unclaimed one last.
    pub lanes: Vec<LaneStats>,
    /// How far the clock is ahead of the time that retention by age goes by, in milliseconds: it jumped, and has
    /// not stood for a day. 0 while it is believed.
    pub clock_ahead_ms: u64,
}

/// What one lane has counted since it was opened, and what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStats {
    /// Which.
    pub lane: LaneId,
    /// Frames committed.
    pub frames: u64,
    /// Records committed.
    pub events: u64,
    /// Payload bytes committed.
    pub payload_bytes: u64,
    /// Bytes given to the disk by commits: frames with headers and padding.
    pub device_bytes: u64,
    /// Bytes given to the disk by preparing segments.
    pub prepared_bytes: u64,
    /// Flushes that returned `Ok`, each one commit.
    pub flushes: u64,
    /// Flushes that failed: of groups, and of what begins a segment.
    pub failed_flushes: u64,
    /// Since when nothing could be made durable, in milliseconds since the epoch; `None` while it can.
    pub failing_since_ms: Option<u64>,
    /// Events whose append failed.
    pub failed_events: u64,
    /// Commits by bytes: see [`GROUP_BYTES_BOUNDS`].
    pub group_bytes: [u64; GROUP_BYTES_BOUNDS.len() + 1],
    /// Commits by flush time: see [`FLUSH_TIME_BOUNDS_US`].
    pub flush_time: [u64; FLUSH_TIME_BOUNDS_US.len() + 1],
    /// All flush times together, in microseconds.
    pub flush_time_sum_us: u64,
    /// Bytes waiting or being committed.
    pub queue_bytes: u64,
    /// The newest durable frame.
    pub durable_lsn: Lsn,
    /// The sequence after the newest durable record.
    pub next_seq: Seq,
    /// Segments.
    pub segments: u64,
    /// Their bytes on disk, prepared ones not counted.
    pub bytes_on_disk: u64,
    /// When the oldest segment was put to use; `None` if there is none.
    pub oldest_ms: Option<u64>,
    /// Damaged ranges known of.
    pub damaged_ranges: u64,
    /// Records in them.
    pub damaged_events: u64,
    /// Torn tails cut at the last start.
    pub cut_tails: u64,
    /// Bytes in them.
    pub cut_bytes: u64,
    /// Segments removed by retention.
    pub expired_segments: u64,
    /// Frames with records in them.
    pub expired_frames: u64,
    /// Records in them: for the unclaimed lane, what its ring dropped.
    pub expired_events: u64,
}

/// The counters behind [`LaneStats`]: written by the lane's writer and by housekeeping, read by anyone.
///
/// All loads and stores are Relaxed: each counter is a number of its own, and nothing is ordered by it.
#[derive(Debug, Default)]
pub(crate) struct LaneCounters {
    pub(crate) frames: Counter,
    pub(crate) events: Counter,
    pub(crate) payload_bytes: Counter,
    pub(crate) device_bytes: Counter,
    pub(crate) prepared_bytes: Counter,
    pub(crate) flushes: Counter,
    pub(crate) failed_flushes: Counter,
    /// 0: the last one was well.
    pub(crate) failing_since_ms: Counter,
    pub(crate) failed_events: Counter,
    group_bytes: [Counter; GROUP_BYTES_BOUNDS.len() + 1],
    flush_time: [Counter; FLUSH_TIME_BOUNDS_US.len() + 1],
    flush_time_sum_us: Counter,
    pub(crate) durable_lsn: Counter,
    pub(crate) next_seq: Counter,
    pub(crate) damaged_ranges: Counter,
    pub(crate) damaged_events: Counter,
    pub(crate) cut_tails: Counter,
    pub(crate) cut_bytes: Counter,
    pub(crate) expired_segments: Counter,
    pub(crate) expired_frames: Counter,
    pub(crate) expired_events: Counter,
}

/// One number that anyone may read at any time.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn bucket(bounds: &[u64], value: u64) -> usize {
    bounds.partition_point(|&bound| bound < value)
}

impl LaneCounters {
    /// A commit of `bytes` took `flush` to become durable.
    pub(crate) fn committed(&self, bytes: u64, flush: Duration) {
        let us = u64::try_from(flush.as_micros()).unwrap_or(u64::MAX);
        self.device_bytes.add(bytes);
        self.flushes.add(1);
        self.group_bytes[bucket(&GROUP_BYTES_BOUNDS, bytes)].add(1);
        self.flush_time[bucket(&FLUSH_TIME_BOUNDS_US, us)].add(1);
        self.flush_time_sum_us.add(us);
    }

    /// What recovery found.
    pub(crate) fn recovered(&self, found: &LaneRecovery) {
        self.durable_lsn.set(found.durable_lsn.0);
        self.next_seq.set(found.next_seq.0);
        self.damaged_ranges.add(found.damage.len() as u64);
        self.damaged_events.add(found.damage.iter().map(crate::DamagedRange::events).sum());
        if let Some(cut) = &found.cut {
            self.cut_tails.add(1);
            self.cut_bytes.add(cut.bytes);
        }
    }

    /// All but what stands in the segment list and the queue.
    pub(crate) fn stats(&self, lane: LaneId) -> LaneStats {
        LaneStats {
            lane,
            frames: self.frames.now(),
            events: self.events.now(),
            payload_bytes: self.payload_bytes.now(),
            device_bytes: self.device_bytes.now(),
            prepared_bytes: self.prepared_bytes.now(),
            flushes: self.flushes.now(),
            failed_flushes: self.failed_flushes.now(),
            failing_since_ms: Some(self.failing_since_ms.now()).filter(|&since| since > 0),
            failed_events: self.failed_events.now(),
            group_bytes: self.group_bytes.each_ref().map(Counter::now),
            flush_time: self.flush_time.each_ref().map(Counter::now),
            flush_time_sum_us: self.flush_time_sum_us.now(),
            queue_bytes: 0,
            durable_lsn: Lsn(self.durable_lsn.now()),
            next_seq: Seq(self.next_seq.now()),
            segments: 0,
            bytes_on_disk: 0,
            oldest_ms: None,
            damaged_ranges: self.damaged_ranges.now(),
            damaged_events: self.damaged_events.now(),
            cut_tails: self.cut_tails.now(),
            cut_bytes: self.cut_bytes.now(),
            expired_segments: self.expired_segments.now(),
            expired_frames: self.expired_frames.now(),
            expired_events: self.expired_events.now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_counts_below_it_and_one_above_all_bounds_in_the_last_bucket() {
        let counters = LaneCounters::default();
        for (bytes, us) in [(4096, 50), (4097, 51), (1 << 30, 2_000_000)] {
            counters.committed(bytes, Duration::from_micros(us));
        }
        let stats = counters.stats(LaneId(0));
        assert_eq!((stats.group_bytes[0], stats.group_bytes[1], stats.group_bytes[7]), (1, 1, 1));
        assert_eq!((stats.flush_time[0], stats.flush_time[1], stats.flush_time[10]), (1, 1, 1));
        assert_eq!((stats.flushes, stats.flush_time_sum_us), (3, 2_000_101));
    }
}
