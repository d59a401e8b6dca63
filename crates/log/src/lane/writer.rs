//! What a lane's writer does: groups, commits, rolls, heartbeats, and what follows a failed flush.
//!
//! Plain calls, no threads and no waiting of its own: [`super::thread`] drives it in a server, tests drive
//! it step by step on a simulated disk.
//!
//! # Invariants
//! * `durable` only moves after a flush that covers it returned `Ok`; nothing counts as stored before.
//! * After a failed flush nothing more is written to that segment. What it did not take goes, with the same
//!   lsns and sequences, to a fresh segment whose header says where the failed one ends, or fails. The fresh one is
//!   begun when the failed one durably ends there itself.
//! * A segment always has room for its seal.
//! * While the disk fails, one batch or one probe costs at most two fresh segments, and leaves none behind.

#[cfg(test)]
pub(crate) mod ending_tests;
mod segments;
#[cfg(test)]
mod tests;
mod trouble;

use super::{
    Job, Lane,
    group::{Chain, GroupEncoder, Part, plan},
};
use crate::{
    append::Append,
    commit::{CommitBackend, SegmentFile},
    config::Clock,
    disk::Disk,
    index::IndexBuilder,
    segment::{Prepared, SegmentInfo},
    watermark::WatermarkFile,
};
use forebay_record::{
    GROUP_ALIGN, LaneId, Lsn, Predecessor, SealSummary, SegmentHeader, SegmentId, StoreId, Watermark,
    align_group, crc32c, frame_bytes,
};
use segments::NoRoom;
use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use trouble::Remains;

/// Where a writer gets its segments from.
pub(crate) trait SegmentSource: Send {
    /// A prepared segment of at least `least` bytes; may wait for one that is being made.
    ///
    /// # Errors
    /// Why there is none and will be none soon: a full disk.
    fn take(&mut self, least: u64) -> Result<Prepared, Arc<str>>;

    /// Whether [`take`](SegmentSource::take) would give one at once.
    fn is_ready(&self, least: u64) -> bool;

    /// The last one was of no use, since the disk fails: the next ones had better be small.
    fn spoilt(&mut self) {}
}

/// Hears of segments that the writer is done with.
pub(crate) trait SegmentSink: Send {
    /// Nothing will be written to this segment any more; its frames end at `end`.
    fn closed(&mut self, closed: ClosedSegment);
}

/// A segment that the writer is done with.
#[derive(Clone, Debug)]
pub(crate) struct ClosedSegment {
    pub(crate) lane: LaneId,
    pub(crate) id: SegmentId,
    /// Where its frames end: a whole number of groups.
    pub(crate) end: u64,
    /// It ends with a seal: an index can be made of it.
    pub(crate) sealed: bool,
    /// What an index says of it, if the writer has kept that: else the segment has to be read.
    pub(crate) index: Option<Box<IndexBuilder>>,
}

/// What does not change while a writer lives.
pub(crate) struct WriterConfig {
    pub(crate) store: StoreId,
    pub(crate) disk: Arc<dyn Disk>,
    /// The lane's folder.
    pub(crate) dir: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) group_bytes_max: usize,
    /// Of a segment with more frames than this nothing is kept for its index.
    pub(crate) index_frames_max: usize,
    pub(crate) flush_delay: Duration,
    /// A new random number for each segment.
    pub(crate) salt: Box<dyn FnMut() -> u64 + Send>,
}

/// Where a lane's frames go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    /// What the next frame carries.
    pub(crate) next: Chain,
    /// The newest segment there is, or was.
    pub(crate) segment: SegmentId,
    /// What the next segment's header says about the one before.
    pub(crate) predecessor: Predecessor,
}

/// The one writer of a lane.
pub(crate) struct Writer {
    config: WriterConfig,
    lane: Arc<Lane>,
    backend: Box<dyn CommitBackend>,
    source: Box<dyn SegmentSource>,
    sink: Box<dyn SegmentSink>,
    watermark: WatermarkFile,
    /// `None` until the first commit after opening or after a failed flush.
    active: Option<Active>,
    tip: Tip,
    /// Something is durable that no frame behind it proves yet.
    unproven: bool,
    /// Why the last try to make something durable failed; `None` once one did not.
    failure: Option<Arc<str>>,
    /// What failed flushes have left, to be cleared before the next segment is begun.
    remains: Vec<Remains>,
    /// Where the lane goes on: taken when the one before was sealed.
    next: Option<Prepared>,
    /// Reused by every commit.
    parts: Vec<Part>,
}

/// The segment being written.
struct Active {
    header: SegmentHeader,
    file: SegmentFile,
    /// Where the next group goes.
    tail: u64,
    /// Of what lies in front of `tail`.
    summary: SealSummary,
    /// Likewise, and of the group being written: if that fails, the segment ends and gets no index from here. `None`
    /// once there were too many frames.
    index: Option<Box<IndexBuilder>>,
    /// Nothing in it is durable yet, and the lane stands without it: if its first flush fails it is as if it
    /// had never been.
    on_trial: bool,
}

/// Room that a seal takes: one group.
const SEAL_BYTES: u64 = GROUP_ALIGN as u64;
const _: () = assert!(frame_bytes(SealSummary::BYTES) <= GROUP_ALIGN);
/// Failures within one batch, of flushes or of fresh segments, before its appends fail.
const ATTEMPTS: usize = 2;

impl Active {
    /// Bytes left for groups.
    fn room(&self) -> u64 {
        self.header.capacity.saturating_sub(self.tail + SEAL_BYTES)
    }
}

impl Writer {
    pub(crate) fn new(
        config: WriterConfig,
        lane: Arc<Lane>,
        backend: Box<dyn CommitBackend>,
        source: Box<dyn SegmentSource>,
        sink: Box<dyn SegmentSink>,
        watermark: WatermarkFile,
        tip: Tip,
    ) -> Writer {
        Writer {
            config,
            lane,
            backend,
            source,
            sink,
            watermark,
            active: None,
            tip,
            unproven: false,
            failure: None,
            remains: Vec::new(),
            next: None,
            parts: Vec::new(),
        }
    }

    /// Stores the batch. Afterwards each job's progress says what is durable; those that are not all stored
    /// have failed.
    ///
    /// # Errors
    /// Why some failed.
    pub(crate) fn commit(&mut self, jobs: &mut [Job]) -> Result<(), Arc<str>> {
        let mut parts = std::mem::take(&mut self.parts);
        plan(jobs, &mut parts);
        let result = self.commit_parts(jobs, &parts);
        parts.clear();
        self.parts = parts;
        if result.is_err() {
            let failed = |job: &Job| job.append().events.len() - job.progress.events;
            self.lane.counters.failed_events.add(jobs.iter().map(failed).sum::<usize>() as u64);
        }
        result
    }

    fn commit_parts(&mut self, jobs: &mut [Job], parts: &[Part]) -> Result<(), Arc<str>> {
        let mut rest = parts;
        let mut attempts = 0;
        let mut result = Ok(());
        while let Some(first) = rest.first() {
            match self.make_room(first.frame_bytes()) {
                Ok(()) => {}
                Err(NoRoom::NoSegment(reason)) => {
                    // This append fails as a whole; a smaller one may still find room.
                    let behind = rest.iter().position(|part| part.job != first.job);
                    rest = &rest[behind.unwrap_or(rest.len())..];
                    result = Err(reason);
                    continue;
                }
                Err(NoRoom::Failed(reason)) => {
                    attempts += 1;
                    if attempts >= ATTEMPTS {
                        return Err(reason);
                    }
                    continue;
                }
            }
            let room = self.active.as_ref().map_or(0, Active::room);
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(self.config.group_bytes_max);
            let mut bytes = first.frame_bytes();
            let fits = rest[1..].iter().take_while(|part| {
                bytes += part.frame_bytes();
                align_group(bytes) <= room
            });
            let (group, behind) = rest.split_at(1 + fits.count());
            match self.write_group(jobs, group) {
                Ok(()) => {
                    rest = behind;
                    attempts = 0;
                }
                Err(e) => {
                    attempts += 1;
                    mutant!(FailedSegmentWrittenOn, {
                        continue;
                    });
                    let reason = self.fence(&e);
                    if attempts >= ATTEMPTS {
                        mutant!(FailureAcknowledged, {
                            group.iter().for_each(|p| jobs[p.job].progress.events = p.events.end);
                            (rest, attempts) = (behind, 0);
                            continue;
                        });
                        return Err(reason);
                    }
                }
            }
        }
        result
    }

    /// One group with these parts: encoded, durable, published. If no other like it would fit behind it, the seal goes
    /// with it: one flush less for those who wait for the next one.
    fn write_group(&mut self, jobs: &mut [Job], group: &[Part]) -> io::Result<()> {
        let bytes = group.iter().map(Part::frame_bytes).sum();
        let bytes = mutant!(GroupsShareAPage: bytes, else align_group(bytes));
        let mut chain = self.tip.next;
        let last = mutant!(GroupsShareAPage: usize::MAX, else group.len() - 1);
        let mut summary = self.active.as_ref().ok_or(io::ErrorKind::NotConnected)?.summary;
        let records_before = summary.records;
        for part in group {
            summarise(&mut summary, part, jobs[part.job].append());
        }
        let seals = mutant!(GroupsShareAPage: false, else self.is_last(bytes as u64));
        let (seal_bytes, now) = (if seals { GROUP_ALIGN } else { 0 }, (self.config.clock)());
        self.write(bytes + seal_bytes, |encoder| {
            for (i, part) in group.iter().enumerate() {
                encoder.records(jobs[part.job].append(), part, i == last);
            }
            if seals {
                encoder.seal(summary, now);
            }
        })?;
        // Durable: from here on it counts.
        let mut payload_bytes = 0;
        for part in group {
            let job = &mut jobs[part.job];
            if part.events.start == 0 {
                job.progress.first_seq = chain.seq;
            }
            job.progress.last_lsn = chain.lsn;
            job.progress.events = part.events.end;
            chain.lsn = chain.lsn.next();
            chain.seq.0 += part.events.len() as u64;
            payload_bytes += part.payload_bytes as u64;
        }
        self.unproven = true;
        let counters = &self.lane.counters;
        counters.frames.add(group.len() as u64);
        counters.events.add(summary.records - records_before);
        counters.payload_bytes.add(payload_bytes);
        let active = &mut self.active.as_mut().expect("just written to").summary;
        *active = SealSummary { content_crc: active.content_crc, ..summary };
        if seals {
            self.close_active(true);
        }
        Ok(())
    }

    /// Writes one group of `bytes` and makes it durable; then moves on and tells the watermark.
    fn write(&mut self, bytes: usize, encode: impl Fn(&mut GroupEncoder<'_>)) -> io::Result<()> {
        let active = self.active.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let (tail, salt, next) = (active.tail, active.header.salt, self.tip.next);
        // The newest frame: nothing is written while one before it is not durable.
        let durable = Lsn(next.lsn.0 - 1);
        let mut after = next;
        let mut content_crc = active.summary.content_crc;
        let started = Instant::now();
        let mut filled = started;
        let written = self.backend.commit(&mut active.file, tail, bytes, &mut |group| {
            let encoder = GroupEncoder::new(group, tail, salt, next, durable);
            let mut encoder = encoder.indexed(active.index.as_deref_mut());
            encode(&mut encoder);
            after = encoder.finish();
            content_crc = crc32c(active.summary.content_crc, group);
            filled = Instant::now();
            mutant!(WatermarkAhead, {
                self.watermark.publish(Watermark {
                    count: 0,
                    durable_lsn: Lsn(after.lsn.0 - 1),
                    next_seq: after.seq,
                    segment: active.header.id,
                    end: tail + bytes as u64,
                    chain_crc: after.prev_crc,
                    failed_through: SegmentId(0),
                });
            });
        });
        mutant!(FailedGroupCounted, {
            self.tip.next = after;
        });
        if let Some(rest) = self.config.flush_delay.checked_sub(filled.elapsed()) {
            std::thread::sleep(rest);
        }
        written?;
        active.index.take_if(|index| index.len() > self.config.index_frames_max);
        active.tail += bytes as u64;
        active.summary.content_crc = content_crc;
        self.tip.next = after;
        self.adopt();
        self.lane.counters.committed(bytes as u64, started.elapsed());
        self.works();
        self.publish();
        Ok(())
    }

    /// Says how far the lane is durable.
    fn publish(&mut self) {
        let durable_lsn = Lsn(self.tip.next.lsn.0 - 1);
        self.lane.counters.durable_lsn.set(durable_lsn.0);
        self.lane.counters.next_seq.set(self.tip.next.seq.0);
        if let Some(active) = &self.active {
            self.watermark.publish(Watermark {
                count: 0,
                durable_lsn,
                next_seq: self.tip.next.seq,
                segment: active.header.id,
                end: active.tail,
                chain_crc: self.tip.next.prev_crc,
                failed_through: SegmentId(0),
            });
        }
    }
}

/// Counts a part of an append among what a seal tells of.
fn summarise(summary: &mut SealSummary, part: &Part, append: &Append) {
    let received = append.received_at_ms;
    if summary.records == 0 {
        summary.received_first_ms = received;
    }
    summary.frames += 1;
    summary.records += part.events.len() as u64;
    summary.received_first_ms = summary.received_first_ms.min(received);
    summary.received_last_ms = summary.received_last_ms.max(received);
}

/// What the list of segments says of one that is written.
fn info(header: &SegmentHeader) -> SegmentInfo {
    SegmentInfo {
        id: header.id,
        base_lsn: header.base_lsn,
        base_seq: header.base_seq,
        created_at_ms: header.created_at_ms,
        last_ms: None,
        bytes: header.capacity,
    }
}
