//! Checking every byte of a store, live or stopped.
//!
//! Damage below the watermark is acknowledged data and reported with its exact place and loss. What lies
//! behind the watermark of a stopped lane (a torn tail) was never acknowledged and is no damage: the next
//! start cuts it. A live store is checked up to its watermarks as they stand when each lane's turn comes.

#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;

use crate::{
    ReadError, Store, StoreIdError,
    disk::{Disk, RealDisk},
    index::{Index, IndexError},
    lane_view::{LaneView, SegmentFlaw},
    store_id::is_locked,
    survey::{self, Hole, Part, Surveyed},
    track::Goal,
};
use forebay_record::{LaneId, SegmentId, Watermark};
use serde::{Serialize, Serializer};
use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How far a verification has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The lane at hand.
    pub lane: LaneId,
    /// The segment at hand.
    pub segment: SegmentId,
    /// Bytes done, in the whole store.
    pub bytes_done: u64,
    /// Bytes there are, as far as can be told.
    pub bytes_total: u64,
}

/// Why a store cannot be verified or repaired at all.
#[derive(Debug)]
pub enum VerifyError {
    /// There is no store, or one of another version.
    Store(StoreIdError),
    /// A file cannot be read.
    Read(ReadError),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Store(e) => e.fmt(f),
            VerifyError::Read(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            VerifyError::Store(e) => e.source(),
            VerifyError::Read(e) => e.source(),
        }
    }
}

impl From<StoreIdError> for VerifyError {
    fn from(e: StoreIdError) -> VerifyError {
        VerifyError::Store(e)
    }
}

impl From<ReadError> for VerifyError {
    fn from(e: ReadError) -> VerifyError {
        VerifyError::Read(e)
    }
}

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// A server had the store open.
    pub live: bool,
    /// Lane by lane.
    pub lanes: Vec<LaneReport>,
}

/// What a verification found in a lane.
#[derive(Clone, Debug, Serialize)]
pub struct LaneReport {
    /// Which.
    #[serde(serialize_with = "as_text")]
    pub lane: LaneId,
    /// Segments that count.
    pub segments: u64,
    /// Bytes checked.
    pub bytes: u64,
    /// Frames with records, all of them right.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// The sequence after the newest durable record.
    pub next_seq: u64,
    /// What is wrong.
    pub damage: Vec<DamageReport>,
    /// What was lost before and accepted.
    pub losses: Vec<LossReport>,
    /// What a crash left behind the durable end.
    pub torn_tail: Option<TornTail>,
    /// Indexes that agree with their segments.
    pub indexes: u64,
    /// Ended segments without an index: they are read more slowly.
    pub indexes_missing: u64,
    /// Indexes that cannot be used: they are ignored, and `repair` makes them anew.
    pub index_problems: Vec<IndexProblem>,
    /// Segments that the lane went around: their flush failed before anything in them counted.
    pub unused_segments: Vec<PathBuf>,
}

/// Something that is wrong with acknowledged data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamageReport {
    /// The segment's file; of several that are missing, where the first would be.
    pub file: PathBuf,
    /// Where in it.
    pub bytes: Range<u64>,
    /// The frames that cannot be read, by lsn.
    pub lsns: Range<u64>,
    /// The records in them, by sequence.
    pub seqs: Range<u64>,
    /// How many that are.
    pub records_lost: u64,
    /// What is wrong.
    pub what: String,
}

/// Records that an operator gave up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LossReport {
    /// The segment's file.
    pub file: PathBuf,
    /// Where in it.
    pub bytes: Range<u64>,
    /// Which records.
    pub seqs: Range<u64>,
}

/// What a crash left behind the durable end of a stopped lane. Nothing in it was acknowledged; the next
/// start cuts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TornTail {
    /// The segment's file.
    pub file: PathBuf,
    /// From the durable end to the last byte that is not zero.
    pub bytes: Range<u64>,
    /// Whole frames at its start.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
}

/// An index that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexProblem {
    /// The index's file.
    pub file: PathBuf,
    /// What is wrong.
    pub what: String,
}

impl VerifyReport {
    /// Is every acknowledged record there and every index right?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lanes.iter().all(|lane| lane.damage.is_empty() && lane.index_problems.is_empty())
    }

    /// Acknowledged records that cannot be read.
    #[must_use]
    pub fn records_lost(&self) -> u64 {
        self.damage().map(|(_, damage)| damage.records_lost).sum()
    }

    /// Everything that is wrong.
    pub fn damage(&self) -> impl Iterator<Item = (LaneId, &DamageReport)> {
        self.lanes.iter().flat_map(|lane| lane.damage.iter().map(|damage| (lane.lane, damage)))
    }
}

impl fmt::Display for DamageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DamageReport { file, bytes, seqs, records_lost, what, .. } = self;
        write!(f, "{} bytes {}..{}: {what}; ", file.display(), bytes.start, bytes.end)?;
        match records_lost {
            0 => f.write_str("no event lost"),
            n => write!(f, "{n} events lost (sequence {}..{})", seqs.start, seqs.end),
        }
    }
}

pub(crate) fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Checks every byte of the store in `dir` that counts, and tells `progress` how far it is.
///
/// # Errors
/// When there is no store, or a file cannot be read. Damage is not an error: it is in the report.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, VerifyError> {
    // Before the lock: a folder without a store is said to be one.
    Store::open(dir)?;
    let live = is_locked(dir).map_err(ReadError::of("look at the lock of", dir))?;
    verify_on(&(Arc::new(RealDisk) as Arc<dyn Disk>), dir, live, progress)
}

/// As [`verify`], on another disk than the machine's own. `live`: somebody writes the store.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    live: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport, VerifyError> {
    let store = Store::open_on(Arc::clone(disk), dir)?;
    let lanes = store.lanes()?;
    let mut done = 0;
    let mut views: Vec<LaneView> = lanes.into_iter().map(|lane| store.view(lane)).collect();
    let mut total = 0;
    for view in &mut views {
        total += used_bytes(view)?;
    }
    let mut reports = Vec::with_capacity(views.len());
    for view in &mut views {
        let lane = view.lane;
        let mut ran = |segment, bytes| {
            done += bytes;
            progress(Progress { lane, segment, bytes_done: done, bytes_total: total.max(done) });
        };
        reports.push(verify_lane(view, live, &mut ran)?);
    }
    Ok(VerifyReport { live, lanes: reports })
}

fn verify_lane(
    view: &mut LaneView,
    live: bool,
    ran: &mut dyn FnMut(SegmentId, u64),
) -> Result<LaneReport, ReadError> {
    let mark = if live { view.watermark()? } else { survey::stopped_watermark(view)? };
    let mut report = LaneReport {
        lane: view.lane,
        segments: 0,
        bytes: 0,
        frames: 0,
        records: 0,
        next_seq: mark.map_or(0, |mark| mark.next_seq.0),
        damage: Vec::new(),
        losses: Vec::new(),
        torn_tail: None,
        indexes: 0,
        indexes_missing: 0,
        index_problems: Vec::new(),
        unused_segments: Vec::new(),
    };
    if !live {
        report.damage.extend(strangers(view, mark.map(|mark| mark.segment))?);
    }
    let Some(mark) = mark else { return Ok(report) };
    survey::survey(view, &mark, ran, &mut |view, part| {
        match part {
            Part::Orphan(id) => report.unused_segments.push(view.segment_path(id)),
            Part::Hole(hole) => report.damage.extend(hole_damage(view, &hole, &mark)),
            Part::Segment(segment) => report.add(view, &segment, live)?,
        }
        Ok(())
    })?;
    Ok(report)
}

/// Files behind the newest segment that is proven: of another store, lane or name, with which no server starts; or
/// with a header that cannot be read, so that nothing says what they held.
pub(crate) fn strangers(
    view: &mut LaneView,
    newest: Option<SegmentId>,
) -> Result<Vec<DamageReport>, ReadError> {
    let mut found = Vec::new();
    for id in view.segments()?.into_iter().filter(|&id| newest.is_none_or(|newest| id > newest)) {
        if let Some(Err(flaw)) = view.header(id)? {
            let file = view.segment_path(id);
            let bytes = 0..view.disk().len(&file).unwrap_or(0);
            let what = match flaw {
                SegmentFlaw::Foreign(_) => format!("{flaw}; move it out of this data directory"),
                flaw => format!(
                    "{flaw}; what it held is not known: start the server once, which goes on behind any number that \
                     may have been given out, then repair"
                ),
            };
            found.push(DamageReport { file, bytes, lsns: 0..0, seqs: 0..0, records_lost: 0, what });
        }
    }
    Ok(found)
}

/// How a hole reads: one line for what is lost, on the first file, and one for each other file.
pub(crate) fn hole_damage(view: &LaneView, hole: &Hole, mark: &Watermark) -> Vec<DamageReport> {
    let (lsns, seqs) = (hole.lsns(), hole.seqs());
    let records_lost = seqs.end.saturating_sub(seqs.start);
    if hole.files.is_empty() {
        let what = match hole.next {
            Some(_) => "a segment is missing".to_owned(),
            None if hole.unknown => {
                "all segments of the lane are missing; what they held is not known".to_owned()
            }
            None if hole.before.is_none() => "all segments of the lane are missing".to_owned(),
            None => format!("the lane's newest segment, {}, is missing", mark.segment),
        };
        return vec![DamageReport {
            file: view.segment_path(hole.first),
            bytes: 0..0,
            lsns,
            seqs,
            records_lost,
            what,
        }];
    }
    let mut lost = Some((lsns, seqs, records_lost));
    let reports = hole.files.iter().map(|(id, flaw)| {
        let file = view.segment_path(*id);
        let (lsns, seqs, records_lost) = lost.take().unwrap_or((0..0, 0..0, 0));
        let bytes = 0..view.disk().len(&file).unwrap_or(0);
        let unknown = if hole.unknown { "; how many events it held is not known" } else { "" };
        DamageReport { file, bytes, lsns, seqs, records_lost, what: format!("{flaw}{unknown}") }
    });
    reports.collect()
}

pub(crate) fn range(bytes: &Range<usize>) -> Range<u64> {
    bytes.start as u64..bytes.end as u64
}

impl LaneReport {
    fn add(&mut self, view: &LaneView, segment: &Surveyed, live: bool) -> Result<(), ReadError> {
        let file = view.segment_path(segment.id);
        self.segments += 1;
        self.bytes += segment.end.position as u64;
        self.frames += segment.frames;
        self.records += segment.records;
        let damage = |bytes: &Range<usize>, lsns: Range<u64>, seqs: Range<u64>, what: String| DamageReport {
            file: file.clone(),
            bytes: range(bytes),
            lsns,
            records_lost: seqs.end.saturating_sub(seqs.start),
            seqs,
            what,
        };
        for extent in &segment.extents {
            let what = extent.flaw.to_string();
            self.damage.push(damage(&extent.bytes, extent.lsns.clone(), extent.seqs.clone(), what));
        }
        for padding in &segment.padding {
            let what = "bytes between frames are not zero".to_owned();
            self.damage.push(damage(padding, 0..0, 0..0, what));
        }
        for fault in &segment.faults {
            self.damage.push(damage(&(0..segment.end.position), 0..0, 0..0, fault.clone()));
        }
        let losses = segment.losses.iter();
        self.losses.extend(losses.map(|(bytes, seqs)| LossReport {
            file: file.clone(),
            bytes: range(bytes),
            seqs: seqs.clone(),
        }));
        if !live && !segment.complete {
            let tail = survey::tail(segment).map_err(ReadError::of("read", &file))?;
            self.torn_tail = tail.map(|tail| TornTail {
                file: file.clone(),
                bytes: tail.position as u64..(tail.position + tail.bytes) as u64,
                frames: tail.frames,
                records: tail.records,
            });
        }
        match index_state(view, segment) {
            Ok(()) => self.indexes += 1,
            Err(IndexError::Missing) => self.indexes_missing += u64::from(segment.complete),
            Err(e) => {
                let file = view.index_path(segment.id);
                self.index_problems.push(IndexProblem { file, what: e.to_string() });
            }
        }
        Ok(())
    }
}

/// Is a segment's index as it should be? One that has not ended has none.
pub(crate) fn index_state(view: &LaneView, segment: &Surveyed) -> Result<(), IndexError> {
    let path = view.index_path(segment.id);
    let index = Index::open(&**view.disk(), &path, segment.map.header())?;
    if !segment.complete && Goal::of_index(&index).lsn > segment.end.lsn {
        // Made when the segment had ended, of which a power cut left no other proof: who opens the lane next
        // finds out how far it goes.
        return Err(IndexError::Missing);
    }
    if !segment.extents.is_empty() {
        return Ok(());
    }
    let as_it_is = view.disk().open_read(&path).and_then(|file| {
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    });
    if segment.index.encode() != Some(as_it_is.map_err(IndexError::Io)?) {
        return Err(IndexError::Damaged("it does not agree with the segment"));
    }
    Ok(())
}

fn used_bytes(view: &mut LaneView) -> Result<u64, ReadError> {
    let Some(mark) = view.watermark()? else { return Ok(0) };
    let ids = view.segments()?;
    let sizes = ids.iter().map(|&id| {
        let len = || view.disk().len(&view.segment_path(id)).unwrap_or(0);
        match id {
            _ if id > mark.segment => 0,
            // Where the watermark was lost, its end is not known, and the file's is more than enough.
            _ if id == mark.segment => mark.end.min(len()),
            _ => len(),
        }
    });
    Ok(sizes.sum())
}
