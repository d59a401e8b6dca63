//! What a writer does when the disk fails, and how it finds that it no longer does.
//!
//! A segment whose flush failed is final: nobody knows what of it is on disk, and a later flush that says
//! "fine" says nothing about pages that the kernel has given up. What it did not take goes to a fresh one. If
//! that fails too, the lane is *failing*: its thread refuses what comes and asks the disk again now and then
//! by [`Writer::probe`].
//!
//! # Invariants
//! * A segment in which nothing is durable leaves with the failure that ended it, so none pile up.
//! * The watermark says which segments were begun in vain, and where the one before them ends: frames whose
//!   senders were refused do not come back when a killed process is started again.
//! * Before the next segment is begun, none of that is there any more: the failed one is cut where it ends, those begun
//!   in vain are removed, both durably. So no reader depends on the next one's header for it.

use super::Writer;
use crate::{commit::SegmentFile, fault::Explained, layout};
use forebay_record::{FRAME_HEADER_BYTES, FrameKind, GROUP_ALIGN, Lsn, Predecessor, Watermark, align_group};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a failed flush has left: frames that do not count, whole as they may look.
pub(super) enum Remains {
    /// Behind this place of a segment.
    Behind { file: SegmentFile, end: u64 },
    /// In a segment of which nothing counts.
    All(PathBuf),
}

impl Writer {
    /// Why nothing can be made durable now; `None` when the last try went well or there is a segment to try.
    pub(crate) fn failing(&self) -> Option<&Arc<str>> {
        self.failure.as_ref().filter(|_| self.active.is_none())
    }

    /// Something was made durable.
    pub(super) fn works(&mut self) {
        if self.failure.take().is_some() {
            self.lane.counters.failing_since_ms.set(0);
        }
    }

    fn failed(&mut self, what: &str, error: &io::Error) -> Arc<str> {
        let reason: Arc<str> = Arc::from(format!("{what}: {}", Explained(error)));
        let counters = &self.lane.counters;
        counters.failed_flushes.add(1);
        if self.failure.is_none() {
            counters.failing_since_ms.set((self.config.clock)());
        }
        self.failure = Some(Arc::clone(&reason));
        reason
    }

    /// The active segment's flush failed: nothing more is written there.
    pub(super) fn fence(&mut self, error: &io::Error) -> Arc<str> {
        let reason = self.failed("a flush failed", error);
        let Some(active) = self.active.take_if(|active| active.on_trial) else {
            self.end_active(error);
            return reason;
        };
        tracing::warn!(
            lane = %self.lane.id, segment = active.header.id.0, %error,
            "the first flush of a fresh segment failed: it is removed"
        );
        // Now, as it takes room. Until it is gone for good readers go around it: the lane's next segment follows the
        // one before.
        let path = layout::segment_path(&self.config.dir, active.header.id);
        if let Err(error) = self.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a segment that failed");
            self.remains.push(Remains::All(path));
        }
        self.begun_in_vain_through();
        self.source.spoilt();
        reason
    }

    /// The active segment ends where its durable frames do.
    fn end_active(&mut self, error: &io::Error) {
        let Some(active) = &self.active else { return };
        let (id, end) = (active.header.id, active.tail);
        tracing::error!(
            lane = %self.lane.id, segment = id.0, end, %error,
            "a flush failed: the segment ends here, its unstored frames go to a fresh one"
        );
        self.tip.predecessor =
            mutant!(FailedEndNowhere: Predecessor::Whole(id), else Predecessor::Failed { id, end });
        self.watermark.publish(Watermark {
            count: 0,
            durable_lsn: Lsn(self.tip.next.lsn.0 - 1),
            next_seq: self.tip.next.seq,
            segment: id,
            end,
            chain_crc: self.tip.next.prev_crc,
            failed_through: id,
        });
        if let Some(file) = self.close_active(false) {
            self.remains.push(Remains::Behind { file, end });
        }
    }

    /// Clears what failed flushes have left. The names are made durable with the next segment's own.
    ///
    /// # Errors
    /// As the disk says; what is left then is cleared the next time.
    pub(super) fn clear_remains(&mut self) -> io::Result<()> {
        while let Some(remains) = self.remains.last() {
            match remains {
                Remains::Behind { file, end } => {
                    // What the failed flush was of is gone with the cut: this one speaks of the length.
                    let cut = || file.file.set_len(*end).and_then(|()| file.file.flush());
                    mutant!(FailedEndNotCut: Ok(()), else mutant!(FailedEndNowhere: Ok(()), else cut()))?;
                }
                Remains::All(path) => self.remove(path)?,
            }
            self.remains.pop();
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.config.disk.remove(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// A fresh segment could not be begun.
    pub(super) fn begun_in_vain(&mut self, error: &io::Error) -> Arc<str> {
        tracing::warn!(lane = %self.lane.id, segment = self.tip.segment.0, %error, "cannot begin a segment");
        self.begun_in_vain_through();
        self.source.spoilt();
        self.failed("cannot begin a segment", error)
    }

    /// Says that nothing counts of the segments behind the newest durable frame's, up to the last one tried.
    fn begun_in_vain_through(&mut self) {
        if let Some(mark) = self.watermark.newest().filter(|mark| mark.durable_lsn > Lsn(0)) {
            self.watermark.publish(Watermark { failed_through: self.tip.segment, ..mark });
        }
    }

    /// The disk failed and there is no segment: tries whether a fresh one can be begun and something be made
    /// durable in it.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn probe(&mut self) -> Result<(), Arc<str>> {
        if self.active.is_some() {
            return Ok(());
        }
        let prepared = self.fresh(0)?;
        self.begin(prepared)?;
        self.beat().map_err(|e| self.fence(&e))
    }

    fn beat(&mut self) -> io::Result<()> {
        let now = (self.config.clock)();
        self.write(align_group(FRAME_HEADER_BYTES), |encoder| {
            encoder.internal(FrameKind::Heartbeat, &[], now);
        })
    }

    /// Is something durable that nothing proves yet? Then a heartbeat is due once the lane has been idle.
    pub(crate) fn wants_heartbeat(&self) -> bool {
        (self.unproven && self.active.is_some()) || self.watermark.is_behind()
    }

    /// The lane is idle: proves its newest group, once, and gives back memory.
    pub(crate) fn heartbeat(&mut self) {
        self.backend.rest();
        self.watermark.catch_up();
        if !self.unproven || self.active.is_none() {
            return;
        }
        // Tried once here and, if that fails, once in a fresh segment, whose header proves as much.
        self.unproven = false;
        if self.active.as_ref().is_some_and(|active| active.room() < GROUP_ALIGN as u64) {
            self.seal();
            return;
        }
        if let Err(e) = self.beat() {
            self.fence(&e);
            if let Err(reason) = self.probe() {
                tracing::warn!(lane = %self.lane.id, %reason, "the newest group is not proven yet");
            }
        }
        // Now and then is enough: the frames prove the same.
        if let Err(error) = self.watermark.flush() {
            tracing::warn!(lane = %self.lane.id, %error, "cannot flush the watermark file");
        }
    }
}
