//! Accepting the loss of what is damaged, so that a store reads whole again.
//!
//! Sealed bytes are never edited in place. A segment with a damaged extent is written anew beside itself, as
//! its next generation: every byte as it was, but for a loss frame in the extent's place, exactly as long.
//! So each surviving frame keeps its position, lsn and sequence and is the same to the byte; the chain goes
//! on because the loss frame says what follows it ([`LossSummary`](forebay_record::LossSummary)); readers meet the loss as a gap. The new
//! file is flushed, renamed over the old one, and the folder synced: a crash leaves the one or the other.
//! The seal is kept as it was, so its content checksum speaks of generation 0 and is not checked in later
//! ones. Segments that are missing or unreadable as a whole are replaced by one that holds a loss frame and
//! nothing else.
//!
//! # Invariants
//! * No byte is given up without a copy in the lane's `quarantine` folder, made durable first.
//! * A readable record is never touched.
//! * Only a stopped store is repaired: the data directory's lock is held throughout.

#[cfg(test)]
mod crash_tests;
mod rewrite;
#[cfg(test)]
mod tests;

use crate::{
    DirLock, IndexError, LockError, ReadError, Store, VerifyError,
    disk::{Disk, RealDisk},
    index,
    lane_view::LaneView,
    layout,
    survey::{self, Hole, Part, Surveyed},
    verify::{self, as_text, index_state},
};
use forebay_record::LaneId;
use rewrite::Rewrite;
use serde::Serialize;
use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What to do about what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairChoice {
    /// Say what would be done, and change nothing.
    DryRun,
    /// Give up what cannot be read, keep copies of its bytes, make indexes anew.
    AcceptLoss,
}

/// What a repair did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct RepairReport {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Step by step.
    pub actions: Vec<RepairAction>,
}

impl RepairReport {
    /// Records given up.
    #[must_use]
    pub fn records_lost(&self) -> u64 {
        self.actions.iter().map(|action| action.records_lost).sum()
    }
}

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepairAction {
    /// In which lane.
    #[serde(serialize_with = "as_text")]
    pub lane: LaneId,
    /// The file that it changes.
    pub file: PathBuf,
    /// What it does.
    pub step: RepairStep,
    /// What was found.
    pub found: String,
    /// Records that are given up.
    pub records_lost: u64,
    /// Where the replaced bytes are kept.
    pub kept: Option<PathBuf>,
}

/// What a step of a repair does to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairStep {
    /// A loss frame stands in the place of damaged frames.
    Replace {
        /// Where.
        bytes: Range<u64>,
        /// Which records.
        seqs: Range<u64>,
    },
    /// Bytes between frames are zero again.
    Clear {
        /// Where.
        bytes: Range<u64>,
    },
    /// A segment of one loss frame stands in the place of segments that are missing or unreadable.
    Fill {
        /// Which records.
        seqs: Range<u64>,
    },
    /// The file was moved away: nothing says what was in it.
    SetAside,
    /// The segment is written anew as its next generation, of which the seal does not speak; nothing in it changes.
    Reseal,
    /// The index was made anew.
    Index,
    /// Nothing: this cannot be repaired.
    Nothing,
}

impl fmt::Display for RepairAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RepairAction { file, found, records_lost, kept, .. } = self;
        write!(f, "{}: {found}; ", file.display())?;
        match &self.step {
            RepairStep::Replace { bytes, seqs } => write!(
                f,
                "bytes {}..{} become a loss frame: {records_lost} events given up (sequence {}..{})",
                bytes.start, bytes.end, seqs.start, seqs.end
            ),
            RepairStep::Clear { bytes } => write!(f, "bytes {}..{} become zero", bytes.start, bytes.end),
            RepairStep::Fill { seqs } => write!(
                f,
                "a segment with a loss frame takes its place: {records_lost} events given up (sequence {}..{})",
                seqs.start, seqs.end
            ),
            RepairStep::SetAside => f.write_str("moved away"),
            RepairStep::Reseal => {
                f.write_str("every frame is right: written anew as the next generation, nothing given up")
            }
            RepairStep::Index => f.write_str("the index is made anew"),
            RepairStep::Nothing => f.write_str("cannot be repaired"),
        }?;
        match kept {
            Some(kept) => write!(f, "; the bytes are kept in {}", kept.display()),
            None => Ok(()),
        }
    }
}

/// Why a repair stopped. What it had done by then stays done, and is sound; run it again.
#[derive(Debug)]
pub enum RepairError {
    /// The store is in use.
    Lock(LockError),
    /// The store cannot be read.
    Verify(VerifyError),
    /// A file cannot be written.
    Write {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl RepairError {
    fn write<'p>(what: &'static str, path: &'p Path) -> impl Fn(io::Error) -> RepairError + 'p {
        move |source| RepairError::Write { what, path: path.to_owned(), source }
    }
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RepairError::Lock(e) => e.fmt(f),
            RepairError::Verify(e) => e.fmt(f),
            RepairError::Write { what, path, .. } => write!(f, "cannot {what} {}", path.display()),
        }
    }
}

impl std::error::Error for RepairError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RepairError::Lock(e) => e.source(),
            RepairError::Verify(e) => e.source(),
            RepairError::Write { source, .. } => Some(source),
        }
    }
}

impl<E: Into<VerifyError>> From<E> for RepairError {
    fn from(e: E) -> RepairError {
        RepairError::Verify(e.into())
    }
}

/// Repairs the stopped store in `dir`.
///
/// # Errors
/// When the store is in use, or a file cannot be read or written.
pub fn repair(dir: &Path, choice: RepairChoice) -> Result<RepairReport, RepairError> {
    // Before the lock: a folder without a store gets no lock file.
    Store::open(dir)?;
    let _lock = DirLock::take(dir).map_err(RepairError::Lock)?;
    repair_on(&(Arc::new(RealDisk) as Arc<dyn Disk>), dir, choice)
}

/// As [`repair`], on another disk than the machine's own, which nobody else uses.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    choice: RepairChoice,
) -> Result<RepairReport, RepairError> {
    let store = Store::open_on(Arc::clone(disk), dir)?;
    let mut repair = Repair { choice, actions: Vec::new() };
    for lane in store.lanes()? {
        repair.lane(&mut store.view(lane))?;
    }
    Ok(RepairReport { dry_run: choice == RepairChoice::DryRun, actions: repair.actions })
}

/// Makes durable what an earlier repair may have been killed over: this one finds it done and lets it be.
fn settle(view: &LaneView) -> io::Result<()> {
    match view.disk().open(&layout::watermark_path(&view.dir)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        watermark => watermark?.flush()?,
    }
    view.disk().sync_dir(&view.dir)
}

struct Repair {
    choice: RepairChoice,
    actions: Vec<RepairAction>,
}

/// Something to do to a lane's segments.
enum Task {
    Rewrite(Rewrite),
    Fill(Hole),
}

impl Repair {
    fn lane(&mut self, view: &mut LaneView) -> Result<(), RepairError> {
        if self.applies() {
            settle(view).map_err(RepairError::write("sync", &view.dir))?;
        }
        let mark = survey::stopped_watermark(view)?;
        // Set aside, they would no longer say which numbers may have been given out.
        for stranger in verify::strangers(view, mark.as_ref().map(|mark| mark.segment))? {
            self.did(view.lane, stranger.file, RepairStep::Nothing, stranger.what);
        }
        let Some(mark) = mark else { return Ok(()) };
        // Segments are changed only when the lane has been surveyed whole: a survey must not meet what its
        // own repair has changed. Indexes play no part in a survey.
        let (mut tasks, mut indexes) = (Vec::new(), Ok(()));
        survey::survey(view, &mark, &mut |_, _| {}, &mut |view, part| {
            match part {
                Part::Orphan(_) => {}
                Part::Hole(hole) => tasks.push(Task::Fill(*hole)),
                Part::Segment(segment) if segment.is_whole() => {
                    if indexes.is_ok() {
                        indexes = self.whole_segment(view, &segment);
                    }
                }
                Part::Segment(segment) => {
                    self.faults(view, &segment);
                    let path = view.segment_path(segment.id);
                    tasks.push(Task::Rewrite(Rewrite::of(&segment).map_err(ReadError::of("read", &path))?));
                }
            }
            Ok(())
        })?;
        indexes?;
        for task in tasks {
            match task {
                Task::Rewrite(rewrite) => self.rewrite(view, rewrite)?,
                Task::Fill(hole) => self.fill(view, &hole, &mark)?,
            }
        }
        Ok(())
    }

    fn applies(&self) -> bool {
        self.choice == RepairChoice::AcceptLoss
    }

    fn did(&mut self, lane: LaneId, file: PathBuf, step: RepairStep, found: String) -> &mut RepairAction {
        let action = RepairAction { lane, file, step, found, records_lost: 0, kept: None };
        self.actions.push_mut(action)
    }

    fn faults(&mut self, view: &LaneView, segment: &Surveyed) {
        let path = view.segment_path(segment.id);
        if segment.missealed {
            self.did(view.lane, path, RepairStep::Reseal, segment.faults.join("; "));
            return;
        }
        for fault in &segment.faults {
            self.did(view.lane, path.clone(), RepairStep::Nothing, fault.clone());
        }
    }

    fn whole_segment(&mut self, view: &LaneView, segment: &Surveyed) -> Result<(), RepairError> {
        self.faults(view, segment);
        let Err(why) = index_state(view, segment) else { return Ok(()) };
        if matches!(why, IndexError::Missing) && !segment.complete {
            return Ok(());
        }
        let path = view.index_path(segment.id);
        if let Some(encoded) = segment.index.encode() {
            if self.applies() {
                index::write(&**view.disk(), &path, &encoded).map_err(RepairError::write("write", &path))?;
            }
            self.did(view.lane, path, RepairStep::Index, why.to_string());
        }
        Ok(())
    }
}
