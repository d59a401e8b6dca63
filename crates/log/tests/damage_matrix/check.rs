//! Runs what a store is asked for on a damaged one, and compares with the model.

use crate::{
    model::{Damaged, Head, Lost, Verdict},
    opening::config,
    packed::{self, Image},
    start::{self, Start},
    truth::{Lane, Truth},
};
use forebay_log::{
    Filter, GapReason, LaneReport, Log, RepairChoice, RepairStep, Step, Store, VerifyReport, repair, verify,
};
use forebay_record::{LaneId, Seq};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashSet},
    ops::Range,
    path::Path,
};
use tempfile::TempDir;

/// A whole store and what else the model must know of.
pub(crate) struct Matrix {
    pub(crate) truth: Truth,
    /// Headers that are whole and of another store.
    pub(crate) strangers: Vec<Vec<u8>>,
    home: TempDir,
    /// What has been repaired already.
    repaired: RefCell<HashSet<String>>,
    cases: Cell<usize>,
}

/// What a reader gave: records by sequence, and gaps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) records: BTreeMap<u64, Vec<u8>>,
    pub(crate) gaps: Vec<(Range<u64>, GapReason)>,
}

/// Something that is not as the model says.
pub(crate) type Wrong = String;

impl Matrix {
    pub(crate) fn new(truth: Truth, others: &[(&'static str, Image)]) -> Matrix {
        // In memory where there is such a folder: thousands of small files are written.
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let headers =
            others.iter().flat_map(|(_, image)| image.iter().filter(|(path, _)| path.ends_with(".seg")));
        let strangers = headers.map(|(_, bytes)| bytes[..4096].to_vec()).collect();
        Matrix {
            truth,
            strangers,
            home: home.expect("a folder"),
            repaired: RefCell::default(),
            cases: Cell::default(),
        }
    }

    fn lane<'a>(&'a self, lane: &'a Lane, image: &'a Image, strangers: &'a [Vec<u8>]) -> Damaged<'a> {
        Damaged { truth: &self.truth, lane, image, strangers }
    }

    /// Headers of this store's other segments are strangers too.
    fn strangers_of(&self, lane: &Lane, segment: Option<u64>) -> Vec<Vec<u8>> {
        let mut strangers = self.strangers.clone();
        for other in &self.truth.lanes {
            for known in &other.segments {
                if other.id != lane.id || Some(known.id) != segment {
                    strangers.extend(known.headers.iter().map(|(bytes, _)| bytes.clone()));
                }
            }
        }
        strangers
    }

    /// Checks everything that is said and done about one damaged store.
    pub(crate) fn check(&self, image: &Image) -> Result<(), Wrong> {
        let strangers: Vec<Vec<Vec<u8>>> =
            self.truth.lanes.iter().map(|lane| self.strangers_of(lane, None)).collect();
        let lanes = self
            .truth
            .lanes
            .iter()
            .zip(&strangers)
            .map(|(lane, strangers)| self.lane(lane, image, strangers));
        let lanes: Vec<Damaged<'_>> = lanes.collect();
        if image.get("store") != self.truth.image.get("store") {
            return self.store_file(image);
        }
        self.told(image, &lanes).map_err(|wrong| format!("verify and readers: {wrong}"))?;
        // A start costs twice as much and a repair four times: one for all the damage that the model cannot tell
        // apart, and a start for each eighth of the rest too.
        let alike: Vec<_> =
            lanes.iter().map(|lane| (lane.verdict(), lane.file_mark(), lane.heads())).collect();
        let is_new = self.repaired.borrow_mut().insert(format!("{alike:?}"));
        self.cases.set(self.cases.get() + 1);
        if is_new || self.cases.get().is_multiple_of(8) {
            self.started(image, &lanes).map_err(|wrong| format!("start: {wrong}"))?;
        }
        if is_new {
            self.repaired(image, &lanes).map_err(|wrong| format!("repair: {wrong}"))?;
        }
        Ok(())
    }

    fn put(&self, image: &Image) -> Result<TempDir, Wrong> {
        let dir = tempfile::tempdir_in(self.home.path()).map_err(|e| e.to_string())?;
        packed::write(image, dir.path()).map_err(|e| e.to_string())?;
        Ok(dir)
    }

    /// Without its name a store is not touched: not by a reader, not by a start, not by a repair.
    fn store_file(&self, image: &Image) -> Result<(), Wrong> {
        let dir = self.put(image)?;
        let dir = dir.path();
        let name = |bytes: Option<&Vec<u8>>| {
            let text = String::from_utf8_lossy(bytes.map_or(&[], Vec::as_slice)).trim_end().to_lowercase();
            text.strip_prefix("forebay 1 ").map(str::to_owned)
        };
        if name(image.get("store")) == name(self.truth.image.get("store"))
            && image.get("store").is_some_and(|text| text.starts_with(b"forebay 1 "))
        {
            return equal("the same name", verified(dir)?.is_clean(), true);
        }
        let refused = [
            ("verify", verify(dir, &mut |_| {}).err().map(|e| e.to_string())),
            ("repair", repair(dir, RepairChoice::AcceptLoss).err().map(|e| e.to_string())),
            ("start", Log::open(config(dir)).err().map(|e| e.to_string())),
        ];
        for (what, said) in refused {
            let said = said.ok_or_else(|| format!("{what} was not refused"))?;
            let file = dir.join("store").display().to_string();
            equal(&format!("{what} names the file: {said}"), said.contains(&file), true)?;
        }
        unchanged(dir, image)
    }

    fn told(&self, image: &Image, lanes: &[Damaged<'_>]) -> Result<(), Wrong> {
        let dir = self.put(image)?;
        let report = verified(dir.path())?;
        for lane in lanes {
            let said = said_of(&report, lane.lane, dir.path())?;
            same(&lane.lane.folder, said, sorted(lane.verdict()))?;
            let mark = lane.readers_mark();
            let read = read(dir.path(), lane.lane.id)?;
            read.is_complete(mark.map_or(0, |mark| mark.seq))?;
            read.has(&lane.served(mark.as_ref()))?;
            self.filtered(dir.path(), lane)?;
        }
        unchanged(dir.path(), image)
    }

    /// A reader of one project, by the indexes there are.
    fn filtered(&self, dir: &Path, lane: &Damaged<'_>) -> Result<(), Wrong> {
        let mark = lane.readers_mark();
        let frames = lane.lane.segments.iter().flat_map(|segment| &segment.frames);
        let mut projects: Vec<u64> =
            frames.map(|frame| frame.project).filter(|&project| project > 0).collect();
        projects.sort_unstable();
        projects.dedup();
        for project in projects {
            let filter = Filter {
                routes: forebay_record::ProjectId::new(project)
                    .map(|id| vec![forebay_log::RouteKey::Project(id)]),
                ..Filter::all()
            };
            let read = read_of(dir, lane.lane.id, filter)?;
            let wanted = |seq: &u64| {
                let frames = lane.lane.segments.iter().flat_map(|segment| &segment.frames);
                frames.filter(|f| f.project == project).any(|f| (f.seq..f.seq_after).contains(seq))
            };
            let served: BTreeMap<_, _> =
                lane.served(mark.as_ref()).into_iter().filter(|(seq, _)| wanted(seq)).collect();
            // An index that does not agree with its segment, of which verification tells, may hide what stands.
            let agrees = lane.verdict().indexes.is_empty();
            let has = if agrees { read.has(&served) } else { read.has_nothing_but(&served) };
            has.map_err(|wrong| format!("project {project}: {wrong}"))?;
            // What is not served is in a gap, if it was the project's.
            let end = mark.map_or(0, |mark| mark.seq);
            let told = |seq: u64| read.gaps.iter().any(|(gap, _)| gap.contains(&seq));
            let got = |seq: &u64| read.records.contains_key(seq);
            let hidden: Vec<u64> = (0..end).filter(|seq| wanted(seq) && !got(seq) && !told(*seq)).collect();
            equal(&format!("project {project}: not told of"), hidden, Vec::new())?;
        }
        Ok(())
    }

    fn started(&self, image: &Image, lanes: &[Damaged<'_>]) -> Result<(), Wrong> {
        let dir = self.put(image)?;
        let dir = dir.path();
        let opened = Log::open(config(dir));
        if lanes.iter().any(|lane| lane.files().into_iter().any(|id| lane.head(id) == Head::Stranger)) {
            let refused = opened.err().ok_or("a strange segment was let in")?;
            equal(&format!("says what to do: {refused}"), refused.to_string().contains("move it out"), true)?;
            return unchanged(dir, image);
        }
        let (log, recovery) = opened.map_err(|e| format!("{e}: {:?}", std::error::Error::source(&e)))?;
        let mut ends = Vec::new();
        let starts: Vec<Start<'_>> = lanes.iter().map(start::of).collect();
        for (lane, start) in lanes.iter().zip(&starts) {
            let said =
                recovery.lanes.iter().find(|l| l.lane == LaneId(lane.lane.id)).ok_or("a lane is gone")?;
            start.check(lane, said, dir)?;
            ends.push(said.next_seq.0);
        }
        log.close().map_err(|e| e.to_string())?;
        let after = packed::read(dir).map_err(|e| e.to_string())?;
        for ((lane, start), end) in lanes.iter().zip(&starts).zip(ends) {
            start.check_files(lane, image, &after)?;
            let read = read(dir, lane.lane.id)?;
            read.is_complete(end)?;
            read.has(&start.served).map_err(|wrong| format!("read after it: {wrong}"))?;
        }
        Ok(())
    }

    fn repaired(&self, image: &Image, lanes: &[Damaged<'_>]) -> Result<(), Wrong> {
        let dir = self.put(image)?;
        let dir = dir.path();
        let before: Vec<Read> = lanes.iter().map(|lane| read_stopped(dir, lane)).collect::<Result<_, _>>()?;
        let found = verified(dir)?;
        let dry = repair(dir, RepairChoice::DryRun).map_err(|e| e.to_string())?;
        unchanged(dir, image).map_err(|wrong| format!("a dry run: {wrong}"))?;
        let done = repair(dir, RepairChoice::AcceptLoss).map_err(|e| e.to_string())?;
        equal("done as said before", &done.actions, &dry.actions)?;
        equal("something to do", done.actions.is_empty(), found.is_clean())?;
        equal("records given up", done.records_lost(), found.records_lost())?;
        if done.actions.iter().any(|action| action.step == RepairStep::Nothing) {
            // A segment that nothing is known of: the next start goes on behind it, and then it can be repaired.
            equal("said not to be clean", verified(dir)?.is_clean(), false)?;
            if lanes.iter().any(|lane| lane.heads().iter().any(|(_, head)| *head == Head::Stranger)) {
                return Ok(()); // To be moved out by hand.
            }
            Log::open(config(dir)).map_err(|e| e.to_string())?.0.close().map_err(|e| e.to_string())?;
            repair(dir, RepairChoice::AcceptLoss).map_err(|e| e.to_string())?;
            return equal("clean after start and repair", verified(dir)?.is_clean(), true);
        }
        let after = verified(dir)?;
        equal(&format!("clean afterwards: {after:?} {done:?}"), after.is_clean(), true)?;
        let again = repair(dir, RepairChoice::AcceptLoss).map_err(|e| e.to_string())?;
        equal("nothing left to do", again.actions, Vec::new())?;
        for (lane, before) in lanes.iter().zip(&before) {
            let now = read(dir, lane.lane.id)?;
            equal("records after it", &now.records, &before.records)?;
            let damaged = now.gaps.iter().any(|(_, reason)| *reason == GapReason::Damage);
            equal(&format!("only accepted gaps: {:?}", now.gaps), damaged, false)?;
            let of = said_of(&after, lane.lane, dir)?;
            let told: u64 = of.losses.iter().map(|(_, _, seqs)| seqs.end - seqs.start).sum();
            let lost = |reason| {
                now.gaps.iter().filter(|(_, r)| *r == reason).map(|(gap, _)| gap.end - gap.start).sum::<u64>()
            };
            equal("losses told", told, lost(GapReason::Loss))?;
        }
        let (log, recovery) = Log::open(config(dir)).map_err(|e| e.to_string())?;
        log.close().map_err(|e| e.to_string())?;
        equal("damage at the next start", recovery.lanes.iter().all(|l| l.damage.is_empty()), true)?;
        let started = verified(dir)?;
        equal(&format!("clean after a start: {started:?}"), started.is_clean(), true)
    }
}

fn verified(dir: &Path) -> Result<VerifyReport, Wrong> {
    verify(dir, &mut |_| {}).map_err(|e| e.to_string())
}

/// What verification says of a lane, in the model's words.
fn said_of(report: &VerifyReport, lane: &Lane, dir: &Path) -> Result<Verdict, Wrong> {
    let of: &LaneReport =
        report.lanes.iter().find(|l| l.lane == LaneId(lane.id)).ok_or("a lane is not reported on")?;
    let name = |path: &Path| {
        path.strip_prefix(dir).map_or_else(|_| path.display().to_string(), |p| p.display().to_string())
    };
    let mut verdict = Verdict { next_seq: of.next_seq, ..Verdict::default() };
    for damage in &of.damage {
        let (file, bytes) = (name(&damage.file), damage.bytes.clone());
        equal("records lost", damage.records_lost, damage.seqs.end.saturating_sub(damage.seqs.start))?;
        if damage.what.starts_with("the seal") {
            verdict.seals.push(file);
        } else if damage.what == "bytes between frames are not zero" {
            verdict.padding.push((file, bytes));
        } else {
            verdict.damage.push(Lost { file, bytes, lsns: damage.lsns.clone(), seqs: damage.seqs.clone() });
        }
    }
    verdict.seals.dedup();
    verdict.indexes = of.index_problems.iter().map(|problem| name(&problem.file)).collect();
    verdict.losses = of.losses.iter().map(|l| (name(&l.file), l.bytes.clone(), l.seqs.clone())).collect();
    verdict.tail = of.torn_tail.as_ref().map(|t| (name(&t.file), t.bytes.clone(), t.frames, t.records));
    Ok(sorted(verdict))
}

fn same(lane: &str, said: Verdict, expected: Verdict) -> Result<(), Wrong> {
    equal(&format!("{lane} damage"), said.damage, expected.damage)?;
    equal(&format!("{lane} padding"), said.padding, expected.padding)?;
    equal(&format!("{lane} seals"), said.seals, expected.seals)?;
    equal(&format!("{lane} indexes"), said.indexes, expected.indexes)?;
    equal(&format!("{lane} accepted losses"), said.losses, expected.losses)?;
    equal(&format!("{lane} tail"), said.tail, expected.tail)?;
    equal(&format!("{lane} next sequence"), said.next_seq, expected.next_seq)
}

fn sorted(mut verdict: Verdict) -> Verdict {
    verdict.damage.sort_by_key(|lost| (lost.file.clone(), lost.bytes.start));
    verdict
}

pub(crate) fn read(dir: &Path, lane: u16) -> Result<Read, Wrong> {
    read_of(dir, lane, Filter::all())
}

/// As a reader reads before a repair: the stopped store's end may be known better than its watermark file says.
fn read_stopped(dir: &Path, lane: &Damaged<'_>) -> Result<Read, Wrong> {
    let mut read = read(dir, lane.lane.id)?;
    let served = lane.served(lane.stopped_mark().as_ref());
    read.records.extend(served.into_iter().map(|(seq, json)| (seq, json.to_vec())));
    Ok(read)
}

fn read_of(dir: &Path, lane: u16, filter: Filter) -> Result<Read, Wrong> {
    let store = Store::open(dir).map_err(|e| e.to_string())?;
    let mut cursor = store.cursor(LaneId(lane), Seq(0), filter).map_err(|e| e.to_string())?;
    let mut read = Read::default();
    let mut next = 0;
    while let Some(step) = cursor.next().map_err(|e| e.to_string())? {
        let from = match &step {
            Step::Frame(frame) => frame.records().next().map_or(next, |record| record.seq.0),
            Step::Gap(gap) => gap.from.0,
        };
        equal(&format!("order: {step:?} behind {next}"), from >= next, true)?;
        match step {
            Step::Frame(frame) => {
                for record in frame.records() {
                    read.records.insert(record.seq.0, record.json.to_vec());
                    next = record.seq.0 + 1;
                }
            }
            Step::Gap(gap) => {
                read.gaps.push((gap.from.0..gap.to.0, gap.reason));
                next = gap.to.0;
            }
        }
    }
    Ok(read)
}

impl Read {
    /// Every sequence up to `end` once: in a record or in a gap.
    fn is_complete(&self, end: u64) -> Result<(), Wrong> {
        let mut seqs: Vec<u64> = self.records.keys().copied().collect();
        seqs.extend(self.gaps.iter().flat_map(|(gap, _)| gap.clone()));
        seqs.sort_unstable();
        let is_dense = seqs.iter().copied().eq(0..end);
        let Read { records, gaps } = self;
        let got = || format!("each of 0..{end} once: got {:?} and {gaps:?}", records.keys());
        if is_dense { Ok(()) } else { Err(got()) }
    }

    fn has_nothing_but(&self, served: &BTreeMap<u64, &[u8]>) -> Result<(), Wrong> {
        let other = self.records.iter().find(|(seq, json)| served.get(seq) != Some(&json.as_slice()));
        equal("a record that must not be", other, None)
    }

    /// These records and no others, to the byte.
    fn has(&self, served: &BTreeMap<u64, &[u8]>) -> Result<(), Wrong> {
        let got: BTreeMap<u64, &[u8]> =
            self.records.iter().map(|(seq, json)| (*seq, json.as_slice())).collect();
        if got == *served {
            return Ok(());
        }
        let missing: Vec<_> = served.keys().filter(|seq| !got.contains_key(seq)).collect();
        let other: Vec<_> = got.iter().filter(|(seq, json)| served.get(seq) != Some(json)).collect();
        Err(format!("records: {missing:?} are not served; {other:?} must not be; gaps: {:?}", self.gaps))
    }
}

/// Is the directory as it was? A lock may have been taken.
fn unchanged(dir: &Path, image: &Image) -> Result<(), Wrong> {
    let now = packed::read(dir).map_err(|e| e.to_string())?;
    let changed: Vec<_> = now
        .iter()
        .filter(|(path, bytes)| image.get(*path) != Some(bytes))
        .map(|(path, _)| path)
        .chain(image.keys().filter(|path| !now.contains_key(*path)))
        .collect();
    equal("files changed", changed, Vec::new())
}

pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), Wrong> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}
