//! Readers at random places of a lane that is rolled, sealed, cut, expired, damaged, repaired and reopened
//! under them, step by step against a plain list: each record exactly once or in an explicit gap.
//!
//! The readers live through it all, some through a `Store` opened at the start, some through a new one. While
//! the writer, retention, a repair or a start is at work, others look at the lane between any two of its steps
//! on disk.

use super::Cursor;
use crate::{
    Backend, Filter, GapReason, RepairChoice, RouteKey, Step, Store,
    disk::{
        Disk, SimDisk,
        sim::{Fault, Random},
    },
    floor::Floor,
    index,
    lane::rig::{Rig, append},
    layout, repair_on,
    segment::map::read_header,
    verify_on,
};
use forebay_record::{LaneId, ProjectId, SegmentId, Seq, WatermarkSeed};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering},
};

const LANE: LaneId = LaneId(0);
const PROJECTS: u64 = 3;

/// The plain list.
#[derive(Default)]
struct Model {
    /// Acknowledged records by sequence: whose, and what.
    acked: Vec<(u64, String)>,
    /// Sent, and not acknowledged yet.
    pending: BTreeSet<String>,
    /// Records below this one may be gone: retention took their segments.
    expired: u64,
    /// Records that the disk damaged.
    harmed: BTreeSet<u64>,
}

impl Model {
    /// May a reader get this gap?
    fn allows(&self, from: u64, to: u64, reason: GapReason) -> bool {
        let lost = |seq| self.harmed.contains(&seq);
        match reason {
            // What was lost and then expired is either.
            GapReason::Retention => (from..to).all(|seq| seq < self.expired),
            GapReason::Damage | GapReason::Loss => (from..to).all(lost),
        }
    }
}

/// One reader, and what it has still to be given.
struct Reader {
    what: String,
    cursor: Cursor,
    project: Option<u64>,
    next: u64,
}

impl Reader {
    fn open(store: &Store, random: &mut Random, records: usize, what: &str) -> Reader {
        let from = random.below(records + 2) as u64;
        let project = random.coin().then(|| 1 + random.below(3) as u64);
        let routes = project.map(|p| vec![RouteKey::Project(ProjectId::new(p).unwrap())]);
        let filter = Filter { routes, ..Filter::all() };
        let what = format!("a reader {what} from {from}, project {project:?}");
        Reader { what, cursor: store.cursor(LANE, Seq(from), filter).unwrap(), project, next: from }
    }

    /// Records up to `to` were passed over: none of them was this reader's.
    fn passes(&mut self, to: u64, model: &Model) {
        let mine =
            |seq: &u64| self.project.is_none_or(|p| model.acked[usize::try_from(*seq).unwrap()].0 == p);
        let missed: Vec<u64> = (self.next..to.min(model.acked.len() as u64)).filter(mine).collect();
        assert!(
            missed.is_empty(),
            "{}: {missed:?} were neither given nor said to be gone: {:?}",
            self.what,
            self.cursor
        );
        self.next = self.next.max(to);
    }

    /// Takes up to `steps` steps; all there is if that is `None`.
    fn read(&mut self, steps: Option<usize>, model: &Model) {
        for _ in 0..steps.unwrap_or(usize::MAX) {
            match self.cursor.next().unwrap_or_else(|e| panic!("{}: {e}: {:?}", self.what, e.source)) {
                Some(Step::Gap(gap)) => {
                    assert!(gap.from.0 >= self.next && gap.to > gap.from, "{}: {gap:?}", self.what);
                    self.passes(gap.from.0, model);
                    let allowed = model.allows(gap.from.0, gap.to.0, gap.reason);
                    assert!(
                        allowed,
                        "{}: {gap:?}, expired {}, harmed {:?}",
                        self.what, model.expired, model.harmed
                    );
                    self.next = gap.to.0;
                }
                Some(Step::Frame(frame)) => {
                    for record in frame.records() {
                        assert!(record.seq.0 >= self.next, "{}: {} again", self.what, record.seq.0);
                        self.passes(record.seq.0, model);
                        let text = String::from_utf8(record.json.to_vec()).unwrap();
                        match model.acked.get(usize::try_from(record.seq.0).unwrap()) {
                            Some((_, acked)) => assert_eq!(&text, acked, "{}", self.what),
                            None => assert!(model.pending.contains(&text), "{}: never sent", self.what),
                        }
                        self.next = record.seq.0 + 1;
                    }
                }
                None => {
                    self.passes(model.acked.len() as u64, model);
                    return;
                }
            }
        }
    }
}

/// A lane, its model and its readers.
struct World {
    disk: SimDisk,
    dir: PathBuf,
    rig: Option<Rig>,
    model: Arc<Mutex<Model>>,
    random: Random,
    /// Opened at the start and used to the end.
    old: Store,
    readers: Vec<Reader>,
    sent: usize,
    finished: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let disk = SimDisk::new(seed);
        let (dir, model) = (PathBuf::from("/store"), Arc::<Mutex<Model>>::default());
        let mut random = Random::of(seed, 1);
        let backend = random.pick(&[Backend::Mapped, Backend::Pwrite]);
        let rig = open(&disk, &dir, backend, &mut random);
        let old = Store::open_on(Arc::new(disk.clone()), &dir).unwrap();
        let mut world = World {
            disk,
            dir,
            rig: Some(rig),
            model,
            random,
            old,
            readers: Vec::new(),
            sent: 0,
            finished: 0,
        };
        Floor::FIRST.put(&world.disk, &world.lane_dir(), world.seed()).unwrap();
        world.look_between_steps(seed);
        world
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    /// Readers of their own look at the lane before a part of all steps on disk.
    fn look_between_steps(&mut self, seed: u64) {
        let (dir, model) = (self.dir.clone(), Arc::clone(&self.model));
        let mut random = Random::of(seed, 2);
        self.disk.watch(move |moment| {
            if !random.chance(60) {
                return;
            }
            let Ok(store) = Store::open_on(Arc::new(moment.quiet()), &dir) else { return };
            let model = model.lock().unwrap();
            let mut reader = Reader::open(&store, &mut random, model.acked.len(), "between two steps");
            reader.read(None, &model);
        });
    }

    fn lane_dir(&self) -> PathBuf {
        layout::lane_dir(&self.dir, LANE)
    }

    fn seed(&self) -> WatermarkSeed {
        WatermarkSeed { store: self.old.id(), lane: LANE }
    }

    fn segment(&self, id: SegmentId) -> PathBuf {
        layout::segment_path(&self.lane_dir(), id)
    }

    fn step(&mut self) {
        let op = self.random.below(20);
        match op {
            0..=6 => self.append(),
            7 => self.rig.as_mut().unwrap().writer.heartbeat(),
            8..=9 => self.rig.as_mut().unwrap().writer.roll().unwrap(),
            10 => {
                let ahead = 1 + self.random.below(3) as u64;
                self.disk.fail_flush(self.disk.flushes() + ahead);
                self.append();
                self.disk.heal();
                self.rig.as_mut().unwrap().writer.probe().unwrap();
            }
            11..=12 => self.finish(),
            13..=14 => self.expire(),
            15 => self.restart(),
            16 => self.harm(),
            _ => self.meet_reader(),
        }
        let mut readers = std::mem::take(&mut self.readers);
        let model = Arc::clone(&self.model);
        for reader in &mut readers {
            match self.random.below(4) {
                0 => {}
                1 => reader.read(None, &model.lock().unwrap()),
                _ => reader.read(Some(1 + self.random.below(4)), &model.lock().unwrap()),
            }
        }
        self.readers = readers;
    }

    fn append(&mut self) {
        let (mut batch, mut events) = (Vec::new(), Vec::new());
        for _ in 0..=self.random.below(3) {
            let project = 1 + self.random.below(usize::try_from(PROJECTS).unwrap()) as u64;
            let mut own = Vec::new();
            for _ in 0..=self.random.below(3) {
                self.sent += 1;
                let len = self.random.pick(&[1, 80, 700, 5000]);
                own.push(format!("{}:{}", self.sent, "x".repeat(len)));
            }
            batch.push(append(Some(project), &own));
            events.push((project, own));
        }
        self.model().pending.extend(events.iter().flat_map(|(_, own)| own.clone()));
        let stored = self.rig.as_mut().unwrap().commit(batch);
        let mut model = self.model();
        for ((stored, first, _), (project, own)) in stored.into_iter().zip(events) {
            for (seq, text) in (first.0..).zip(own.into_iter().take(stored)) {
                assert_eq!(seq, model.acked.len() as u64, "sequences are dense");
                model.acked.push((project, text));
            }
        }
        model.pending.clear();
    }

    /// What housekeeping does with closed segments: gives back the unused end, makes the index.
    fn finish(&mut self) {
        let closed = self.rig.as_ref().unwrap().closed.0.lock().unwrap().clone();
        for closed in closed.into_iter().skip(std::mem::replace(&mut self.finished, usize::MAX)) {
            let path = self.segment(closed.id);
            let Ok(file) = self.disk.open(&path) else { continue };
            file.set_len(closed.end).unwrap();
            let bytes = file.view().unwrap();
            if closed.sealed
                && let Ok(header) = read_header(&*file)
                && let Some(built) = index::build(bytes.bytes(), &header, None)
            {
                let kept = closed.index.and_then(|kept| kept.encode());
                assert_eq!(kept, built.encode(), "what the writer kept is what the file says");
                let path = layout::index_path(&self.lane_dir(), closed.id);
                index::write(&self.disk, &path, &built.encode().unwrap()).unwrap();
            }
        }
        self.finished = self.rig.as_ref().unwrap().closed.0.lock().unwrap().len();
    }

    /// Retention takes the oldest segments, never the newest.
    fn expire(&mut self) {
        let ids = layout::segments_on(&self.disk, &self.lane_dir()).unwrap();
        let most = self.random.below(3);
        for pair in ids.windows(2).take(most) {
            let next = self.disk.open(&self.segment(pair[1])).unwrap();
            let Ok(header) = read_header(&*next) else { return };
            let expired = self.model().expired.max(header.base_seq.0);
            self.model().expired = expired;
            let floor = Floor { segment: pair[1], lsn: header.base_lsn, seq: header.base_seq };
            floor.put(&self.disk, &self.lane_dir(), self.seed()).unwrap();
            self.disk.remove(&self.segment(pair[0])).unwrap();
            let _ = self.disk.remove(&layout::index_path(&self.lane_dir(), pair[0]));
            self.disk.sync_dir(&self.lane_dir()).unwrap();
        }
    }

    /// The writer ends, in order or killed with a group half written, and another one begins.
    fn restart(&mut self) {
        if self.random.coin() {
            self.finish();
        }
        let mut rig = self.rig.take().unwrap();
        if self.random.coin() {
            rig.writer.close().unwrap();
        } else {
            drop(rig);
            self.tear();
        }
        self.start();
    }

    fn start(&mut self) {
        self.finished = 0;
        let backend = self.random.pick(&[Backend::Mapped, Backend::Pwrite]);
        let rig = open(&self.disk, &self.dir, backend, &mut self.random);
        let mut model = self.model.lock().unwrap();
        // Behind an unreadable newest segment the lane goes on with numbers that nobody can have been given.
        for seq in model.acked.len() as u64..rig.recovered.next_seq.0 {
            model.acked.push((0, String::new()));
            model.harmed.insert(seq);
        }
        drop(model);
        self.rig = Some(rig);
    }

    /// Leaves something behind the end of the newest segment that nobody was told of.
    fn tear(&mut self) {
        let ids = layout::segments_on(&self.disk, &self.lane_dir()).unwrap();
        let Some(&newest) = ids.last() else { return };
        let file = self.disk.open(&self.segment(newest)).unwrap();
        let bytes = file.view().unwrap().bytes().to_vec();
        let end = bytes.iter().rposition(|&b| b != 0).unwrap_or(0) + 1;
        let end = end.next_multiple_of(4096);
        // A group of an earlier place: whole frames that do not belong here, and half of it.
        let torn = bytes[4096.min(bytes.len())..].iter().take(3000).copied().collect::<Vec<_>>();
        if end + torn.len() <= bytes.len() {
            file.write_at(&torn, end as u64).unwrap();
        }
    }

    /// The stopped store is damaged; mostly it is repaired, while readers have it open.
    fn harm(&mut self) {
        let ids = layout::segments_on(&self.disk, &self.lane_dir()).unwrap();
        if ids.is_empty() {
            return;
        }
        self.rig.as_mut().unwrap().writer.close().unwrap();
        self.finish();
        self.rig = None;
        let id = self.random.pick(&ids);
        let path = self.segment(id);
        let bytes = self.disk.open(&path).unwrap().view().unwrap().bytes().to_vec();
        let used = bytes.iter().rposition(|&b| b != 0).unwrap_or(0) + 1;
        let at = self.random.below(used);
        match self.random.below(5) {
            0 | 1 => self.disk.flip(&path, at, 1 << self.random.below(8)),
            2 | 3 => self.disk.spoil(&path, at),
            _ => self.disk.remove(&path).unwrap(),
        }
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let report = verify_on(&disk, &self.dir, false, &mut |_| {}).unwrap();
        for (_, damage) in report.damage() {
            self.model().harmed.extend(damage.seqs.clone());
        }
        for _ in 0..self.random.below(3) {
            self.meet_reader();
        }
        if self.random.chance(700) {
            repair_on(&disk, &self.dir, RepairChoice::AcceptLoss).unwrap();
            let report = verify_on(&disk, &self.dir, false, &mut |_| {}).unwrap();
            assert!(report.is_clean(), "{report:?}");
        }
        self.start();
    }

    fn meet_reader(&mut self) {
        let records = self.model().acked.len();
        let new = Store::open_on(Arc::new(self.disk.clone()), &self.dir).unwrap();
        let (store, what) = if self.random.coin() { (&self.old, "of old") } else { (&new, "anew") };
        let reader = Reader::open(store, &mut self.random, records, what);
        if self.readers.len() < 12 {
            self.readers.push(reader);
        } else {
            let at = self.random.below(self.readers.len());
            let gone = std::mem::replace(&mut self.readers[at], reader);
            drop(gone);
        }
    }
}

fn open(disk: &SimDisk, dir: &Path, backend: Backend, random: &mut Random) -> Rig {
    let rig = Rig::open(disk, dir, backend).unwrap();
    rig.segment_bytes.store(random.pick(&[24, 40, 64]) << 10, Ordering::Relaxed);
    rig
}

fn run(seed: u64, steps: usize) -> u64 {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    let model = Arc::clone(&world.model);
    for reader in &mut world.readers {
        reader.read(None, &model.lock().unwrap());
    }
    world.disk.unwatch();
    world.disk.struck().of(Fault::FailedRead)
}

#[test]
fn readers_get_each_record_once_or_a_gap_whatever_is_done_to_the_lane_under_them() {
    let mut unreadable = 0;
    for seed in 0..24 {
        println!("seed {seed}");
        unreadable += run(seed, 120);
    }
    assert!(unreadable > 0, "no reader ever met a sector that cannot be read");
}
