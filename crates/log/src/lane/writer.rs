//! What a lane's writer does: groups, commits, rolls, heartbeats, and what follows a failed flush.
//!
//! Plain calls, no threads and no waiting of its own: [`super::thread`] drives it in a server, tests drive
//! it step by step on a simulated disk.
//!
//! # Invariants
//! * `durable` only moves after a flush that covers it returned `Ok`; nothing counts as stored before.
//! * After a failed flush nothing more is written to that segment. What it did not take goes, with the same
//!   lsns and sequences, to a fresh segment whose header says where the failed one ends, or fails.
//! * A segment always has room for its seal.

use super::{
    Job, Lane,
    group::{Chain, GroupEncoder, Part, plan},
};
use crate::{
    commit::{CommitBackend, SegmentFile},
    config::Clock,
    layout,
    segment::{Prepared, SegmentInfo},
    watermark::WatermarkFile,
};
use forebay_record::{
    FRAME_HEADER_BYTES, FrameKind, GROUP_ALIGN, LaneId, Lsn, Predecessor, SEGMENT_HEADER_BYTES, SealSummary,
    SegmentHeader, SegmentId, StoreId, Watermark, align_group, crc32c, frame_bytes,
};
use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Where a writer gets its segments from.
pub(crate) trait SegmentSource: Send {
    /// A prepared segment of at least `least` bytes; may wait for one that is being made.
    ///
    /// # Errors
    /// Why there is none and will be none soon: a full disk.
    fn take(&mut self, least: u64) -> Result<Prepared, Arc<str>>;
}

/// Hears of segments that the writer is done with.
pub(crate) trait SegmentSink: Send {
    /// Nothing will be written to this segment any more; its frames end at `end`.
    fn closed(&mut self, closed: ClosedSegment);
}

/// A segment that the writer is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClosedSegment {
    pub(crate) lane: LaneId,
    pub(crate) id: SegmentId,
    /// Where its frames end: a whole number of groups.
    pub(crate) end: u64,
    /// It ends with a seal: an index can be made of it.
    pub(crate) sealed: bool,
}

/// What does not change while a writer lives.
pub(crate) struct WriterConfig {
    pub(crate) store: StoreId,
    /// The lane's folder.
    pub(crate) dir: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) group_bytes_max: usize,
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
}

/// Room that a seal takes: one group.
const SEAL_BYTES: u64 = GROUP_ALIGN as u64;
const _: () = assert!(frame_bytes(SealSummary::BYTES) <= GROUP_ALIGN);
/// Fresh segments tried for one batch before its appends fail.
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
        let (active, parts) = (None, Vec::new());
        Writer { config, lane, backend, source, sink, watermark, active, tip, unproven: false, parts }
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
            if let Err(reason) = self.make_room(first.frame_bytes()) {
                // This append fails as a whole; a smaller one may still find room.
                let behind = rest.iter().position(|part| part.job != first.job);
                rest = &rest[behind.unwrap_or(rest.len())..];
                result = Err(reason);
                continue;
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
                    let reason = self.fence(&e);
                    if attempts >= ATTEMPTS {
                        return Err(reason);
                    }
                }
            }
        }
        result
    }

    /// One group with these parts: encoded, durable, published.
    fn write_group(&mut self, jobs: &mut [Job], group: &[Part]) -> io::Result<()> {
        let bytes = align_group(group.iter().map(Part::frame_bytes).sum());
        let mut chain = self.tip.next;
        let last = group.len() - 1;
        self.write(bytes, |encoder| {
            for (i, part) in group.iter().enumerate() {
                encoder.records(jobs[part.job].append(), part, i == last);
            }
        })?;
        // Durable: from here on it counts.
        let mut payload_bytes = 0;
        let mut events = 0;
        let summary = &mut self.active.as_mut().expect("just written to").summary;
        for part in group {
            let job = &mut jobs[part.job];
            let received = job.append().received_at_ms;
            if part.events.start == 0 {
                job.progress.first_seq = chain.seq;
            }
            job.progress.last_lsn = chain.lsn;
            job.progress.events = part.events.end;
            chain.lsn = chain.lsn.next();
            chain.seq.0 += part.events.len() as u64;
            if summary.records == 0 {
                summary.received_first_ms = received;
            }
            summary.frames += 1;
            summary.records += part.events.len() as u64;
            summary.received_first_ms = summary.received_first_ms.min(received);
            summary.received_last_ms = summary.received_last_ms.max(received);
            payload_bytes += part.payload_bytes as u64;
            events += part.events.len() as u64;
        }
        self.unproven = true;
        let counters = &self.lane.counters;
        counters.frames.add(group.len() as u64);
        counters.events.add(events);
        counters.payload_bytes.add(payload_bytes);
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
        let written = self.backend.commit(&mut active.file, tail, bytes, &mut |group| {
            let mut encoder = GroupEncoder::new(group, tail, salt, next, durable);
            encode(&mut encoder);
            after = encoder.finish();
            content_crc = crc32c(active.summary.content_crc, group);
        });
        if !self.config.flush_delay.is_zero() {
            std::thread::sleep(self.config.flush_delay);
        }
        if let Err(e) = written {
            self.lane.counters.failed_flushes.add(1);
            return Err(e);
        }
        active.tail += bytes as u64;
        active.summary.content_crc = content_crc;
        self.tip.next = after;
        self.lane.counters.committed(bytes as u64, started.elapsed());
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
            });
        }
    }

    /// Makes sure that a frame of so many bytes can be written: rolls if it must.
    fn make_room(&mut self, frame_bytes: usize) -> Result<(), Arc<str>> {
        let group = align_group(frame_bytes) as u64;
        if self.active.as_ref().is_some_and(|active| active.room() >= group) {
            return Ok(());
        }
        let least = SEGMENT_HEADER_BYTES as u64 + group + SEAL_BYTES;
        let mut reason = None;
        for _ in 0..ATTEMPTS {
            // Before the seal: without a segment to go on in, the old one stays as it is and still takes
            // what fits.
            let prepared = self.source.take(least)?;
            self.seal();
            match self.activate(prepared) {
                Ok(()) => return Ok(()),
                Err(e) => reason = Some(self.describe("cannot start a segment", &e)),
            }
        }
        Err(reason.unwrap_or_else(|| Arc::from("no segment")))
    }

    fn activate(&mut self, prepared: Prepared) -> io::Result<()> {
        // Each try takes a number of its own: a segment that was started in vain may still be found.
        self.tip.segment = SegmentId(self.tip.segment.0 + 1);
        let header = SegmentHeader {
            store: self.config.store,
            lane: self.lane.id,
            id: self.tip.segment,
            generation: 0,
            base_lsn: self.tip.next.lsn,
            base_seq: self.tip.next.seq,
            salt: (self.config.salt)(),
            created_at_ms: (self.config.clock)(),
            predecessor: self.tip.predecessor,
            prev_crc: self.tip.next.prev_crc,
            capacity: prepared.bytes(),
        };
        let path = layout::segment_path(&self.config.dir, header.id);
        let file = prepared.activate(&path, &header.encode()[..])?;
        self.lane.segments.lock().push(SegmentInfo {
            id: header.id,
            base_lsn: header.base_lsn,
            base_seq: header.base_seq,
            created_at_ms: header.created_at_ms,
            last_ms: None,
            bytes: header.capacity,
        });
        let summary =
            SealSummary { frames: 0, records: 0, received_first_ms: 0, received_last_ms: 0, content_crc: 0 };
        self.active = Some(Active { header, file, tail: SEGMENT_HEADER_BYTES as u64, summary });
        self.tip.predecessor = Predecessor::Whole(header.id);
        Ok(())
    }

    /// Ends the active segment, if there is one, with a seal.
    fn seal(&mut self) {
        let Some(active) = &self.active else { return };
        let summary = active.summary.encode();
        let now = (self.config.clock)();
        let sealed = self.write(align_group(frame_bytes(summary.len())), |encoder| {
            encoder.internal(FrameKind::Seal, &summary, now);
        });
        match sealed {
            Ok(()) => {
                self.unproven = false;
                self.close_active(true);
            }
            // The records in it are durable all the same; it only ends without a seal.
            Err(e) => {
                self.fence(&e);
            }
        }
    }

    /// The active segment's flush failed: nothing more is written there.
    fn fence(&mut self, error: &io::Error) -> Arc<str> {
        if let Some(active) = &self.active {
            self.tip.predecessor = Predecessor::Failed { id: active.header.id, end: active.tail };
            tracing::error!(
                lane = %self.lane.id, segment = active.header.id.0, end = active.tail, %error,
                "a flush failed: the segment ends here, its unstored frames go to a fresh one"
            );
        }
        self.close_active(false);
        self.describe("a flush failed", error)
    }

    fn close_active(&mut self, sealed: bool) {
        let Some(active) = self.active.take() else { return };
        let last_ms = active.summary.received_last_ms.max(active.header.created_at_ms);
        self.lane.segments.update(active.header.id, |info| info.last_ms = Some(last_ms));
        self.sink.closed(ClosedSegment {
            lane: self.lane.id,
            id: active.header.id,
            end: active.tail,
            sealed,
        });
    }

    fn describe(&self, what: &str, error: &io::Error) -> Arc<str> {
        Arc::from(format!("{what}: {error}"))
    }

    /// Is something durable that nothing proves yet? Then a heartbeat is due once the lane has been idle.
    pub(crate) fn wants_heartbeat(&self) -> bool {
        self.unproven && self.active.is_some()
    }

    /// The lane is idle: proves its newest group, once, and gives back memory.
    pub(crate) fn heartbeat(&mut self) {
        self.backend.rest();
        if !self.wants_heartbeat() {
            return;
        }
        // Tried once: if it fails, the segment is fenced, and the next one's header proves the group.
        self.unproven = false;
        if self.active.as_ref().is_some_and(|active| active.room() < GROUP_ALIGN as u64) {
            self.seal();
            return;
        }
        let now = (self.config.clock)();
        let written = self.write(align_group(FRAME_HEADER_BYTES), |encoder| {
            encoder.internal(FrameKind::Heartbeat, &[], now);
        });
        if let Err(e) = written {
            self.fence(&e);
        }
        // Now and then is enough: the frames prove the same.
        if let Err(error) = self.watermark.flush() {
            tracing::warn!(lane = %self.lane.id, %error, "cannot flush the watermark file");
        }
    }

    /// Seals the active segment and goes on in a new one, so that retention can remove the old one.
    ///
    /// # Errors
    /// Why there is no new one; the old one then goes on.
    pub(crate) fn roll(&mut self) -> Result<(), Arc<str>> {
        let nothing = match &self.active {
            Some(active) => active.summary.records == 0,
            // After a start the newest segment is one of an earlier process: it is to go on being replaced.
            None => self.tip.segment == SegmentId(0),
        };
        if nothing {
            return Ok(());
        }
        let prepared = self.source.take(0)?;
        self.seal();
        self.activate(prepared).map_err(|e| self.describe("cannot start a segment", &e))
    }

    /// Seals what is open and makes the watermark durable.
    ///
    /// # Errors
    /// When the watermark cannot be flushed. What was stored is stored.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.seal();
        self.watermark.flush()
    }
}
