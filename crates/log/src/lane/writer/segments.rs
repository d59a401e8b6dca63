//! How a writer comes to its segments, and leaves them: begin, seal, roll, close.

use super::{Active, ClosedSegment, SEAL_BYTES, Writer, info};
use crate::{age::stamps, commit::SegmentFile, index::IndexBuilder, layout, segment::Prepared};
use forebay_record::{
    FrameKind, Predecessor, SEGMENT_HEADER_BYTES, SealSummary, SegmentHeader, SegmentId, align_group,
    frame_bytes,
};
use std::{io, sync::Arc};

/// At most such a part of a segment is left unused so that its seal can go with its last group.
const UNUSED_PART: u64 = 16;

/// Why a frame cannot be written now.
pub(super) enum NoRoom {
    /// There is no segment for it, and none will be there soon.
    NoSegment(Arc<str>),
    /// There was one, and the disk did not let it begin.
    Failed(Arc<str>),
}

impl Writer {
    /// Makes sure that a frame of so many bytes can be written: rolls if it must.
    pub(super) fn make_room(&mut self, frame_bytes: usize) -> Result<(), NoRoom> {
        let group = align_group(frame_bytes) as u64;
        if self.active.as_ref().is_some_and(|active| active.room() >= group) {
            return Ok(());
        }
        let least = SEGMENT_HEADER_BYTES as u64 + group + SEAL_BYTES;
        // Before the seal: without a segment to go on in, the old one stays as it is and still takes what
        // fits.
        let prepared = self.fresh(least).map_err(NoRoom::NoSegment)?;
        self.seal();
        self.begin(prepared).map_err(NoRoom::Failed)
    }

    /// A segment to go on in.
    pub(super) fn fresh(&mut self, least: u64) -> Result<Prepared, Arc<str>> {
        self.next.take_if(|next| next.bytes() >= least).map_or_else(|| self.source.take(least), Ok)
    }

    /// Whether the segment had better end behind a group of `bytes`: another one like it would not fit, and the one to go
    /// on in is there, and is put aside.
    pub(super) fn is_last(&mut self, bytes: u64) -> bool {
        let Some(active) = &self.active else { return false };
        let left = active.room().saturating_sub(bytes);
        let least = SEGMENT_HEADER_BYTES as u64 + bytes + SEAL_BYTES;
        if left >= bytes.min(active.header.capacity / UNUSED_PART) {
            return false;
        }
        if self.next.is_none() && self.source.is_ready(least) {
            self.next = self.source.take(least).ok();
        }
        self.next.is_some()
    }

    /// After the last group of a segment: begins the next one, while nobody waits for it.
    ///
    /// # Errors
    /// Why it cannot be; the next commit tries again.
    pub(crate) fn advance(&mut self) -> Result<(), Arc<str>> {
        match self.next.take_if(|_| self.active.is_none()) {
            Some(next) => self.begin(next),
            None => Ok(()),
        }
    }

    /// Begins a segment, on trial until something in it is durable or it is adopted.
    pub(super) fn begin(&mut self, prepared: Prepared) -> Result<(), Arc<str>> {
        self.clear_remains().and_then(|()| self.activate(prepared)).map_err(|e| self.begun_in_vain(&e))
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
            salt: mutant!(SaltReused: 7, else (self.config.salt)()),
            created_at_ms: (self.config.clock)(),
            predecessor: self.tip.predecessor,
            prev_crc: self.tip.next.prev_crc,
            capacity: prepared.bytes(),
        };
        let path = layout::segment_path(&self.config.dir, header.id);
        let file = prepared.activate(&path, &header.encode()[..])?;
        let summary =
            SealSummary { frames: 0, records: 0, received_first_ms: 0, received_last_ms: 0, content_crc: 0 };
        let (tail, index) = (SEGMENT_HEADER_BYTES as u64, Some(Box::new(IndexBuilder::new(&header))));
        self.active = Some(Active { header, file, tail, summary, index, on_trial: true });
        Ok(())
    }

    /// The active segment is one of the lane's from now on, also if nothing should ever be stored in it.
    pub(super) fn adopt(&mut self) {
        if let Some(active) = &mut self.active
            && std::mem::take(&mut active.on_trial)
        {
            self.tip.predecessor = Predecessor::Whole(active.header.id);
            self.lane.segments.lock().push(info(&active.header));
        }
    }

    /// Ends the active segment, if there is one, with a seal.
    pub(super) fn seal(&mut self) {
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

    /// Nothing more is written to the active segment; gives back its file.
    pub(super) fn close_active(&mut self, sealed: bool) -> Option<SegmentFile> {
        let active = self.active.take()?;
        let last_ms = active.summary.received_last_ms.max(active.header.created_at_ms);
        self.lane.segments.update(active.header.id, |info| info.last_ms = Some(last_ms));
        self.sink.closed(ClosedSegment {
            lane: self.lane.id,
            id: active.header.id,
            end: active.tail,
            sealed,
            index: active.index.filter(|_| sealed),
        });
        Some(active.file)
    }

    /// Seals the active segment and goes on in a new one, so that retention can remove the old one.
    ///
    /// # Errors
    /// Why there is no new one; the old one then goes on.
    pub(crate) fn roll(&mut self) -> Result<(), Arc<str>> {
        if let Some(reason) = self.failing() {
            return Err(Arc::clone(reason));
        }
        let nothing = match &self.active {
            Some(active) => {
                // An empty one is as good as another, unless nobody can tell from it how late it was.
                let now = (self.config.clock)();
                active.summary.records == 0 && stamps::is_plausible(active.header.created_at_ms, now)
            }
            // After a start the newest segment is one of an earlier process: it is to go on being replaced.
            None => self.tip.segment == SegmentId(0),
        };
        if nothing {
            return Ok(());
        }
        let prepared = self.fresh(0)?;
        self.seal();
        self.begin(prepared)?;
        // It says where the lane stands when all before it have gone.
        self.adopt();
        Ok(())
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
