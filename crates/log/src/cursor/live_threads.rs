//! Readers in threads on the machine's own disk, while a lane is rolled, sealed, expired, damaged, repaired,
//! killed and cut: each record exactly once or in an explicit gap, and no SIGBUS, which would end the test.
//!
//! Records are numbered as they are sent, and all that is sent is stored, so a record's number is its sequence.

use crate::{
    Backend, Filter, Gap, GapReason, Log, LogConfig, RepairChoice, Retention, RouteKey, Step, Store,
    Submitter,
    disk::{RealDisk, sim::Random},
    lane::rig::{NOW_MS, Rig, append},
    layout, repair,
    sample::flip,
    verify,
};
use forebay_record::{LaneId, ProjectId, Seq};
use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

const LANE: LaneId = LaneId(0);
/// One more than there are of them: numbers modulo this are the records' projects.
const PROJECTS: u64 = 4;

/// What readers and the one who writes share.
#[derive(Default)]
struct Shared {
    /// Records acknowledged.
    acked: AtomicU64,
    /// Records that the disk damaged.
    harmed: Mutex<BTreeSet<u64>>,
    /// Nothing is written any more.
    done: AtomicBool,
}

/// What a reader was given.
#[derive(Default)]
struct Seen {
    given: u64,
    gaps: Vec<Gap>,
    /// Records that were not as they were sent.
    altered: Vec<u64>,
}

fn event(n: u64) -> String {
    format!("{n}:{}", "x".repeat(usize::try_from(n * 37 % 3000).unwrap()))
}

fn project(n: u64) -> u64 {
    1 + n / 8 % (PROJECTS - 1)
}

fn filter(project: Option<u64>) -> Filter {
    let routes = project.map(|p| vec![RouteKey::Project(ProjectId::new(p).unwrap())]);
    Filter { routes, ..Filter::all() }
}

/// Reads from random places until nothing is written any more; each time to where the lane is durable, and the
/// last time to its end.
fn reader(store: &Store, shared: &Shared, seed: u64) -> Seen {
    let mut random = Random::of(seed, 3);
    let mut seen = Seen::default();
    loop {
        let last = shared.done.load(Ordering::Acquire);
        let acked = shared.acked.load(Ordering::Acquire);
        let from = random.below(usize::try_from(acked + 1).unwrap()) as u64;
        let mine = random.coin().then(|| 1 + random.below(3) as u64);
        let mut cursor = store.cursor(LANE, Seq(from), filter(mine)).unwrap();
        let mut next = from;
        let passes = |next: u64, to: u64| {
            let missed = (next..to).find(|&n| mine.is_none_or(|mine| project(n) == mine));
            assert_eq!(missed, None, "from {from}, project {mine:?}: neither given nor said to be gone");
        };
        // Now and then it stays for long, so that things happen under it.
        let mut patience = if random.chance(200) { 200 } else { 1 };
        loop {
            match cursor.next().unwrap() {
                Some(Step::Gap(gap)) => {
                    assert!(gap.from.0 >= next && gap.to > gap.from, "{gap:?} at {next}");
                    passes(next, gap.from.0);
                    next = gap.to.0;
                    seen.gaps.push(gap);
                }
                Some(Step::Frame(frame)) => {
                    // Held while things go on: it stays readable.
                    if random.chance(10) {
                        thread::yield_now();
                    }
                    for record in frame.records() {
                        assert!(record.seq.0 >= next, "{} again", record.seq.0);
                        passes(next, record.seq.0);
                        // A frame is checked when it is handed out: a bit that turns under the reader's hands is seen.
                        if record.json != event(record.seq.0).as_bytes() {
                            seen.altered.push(record.seq.0);
                        }
                        next = record.seq.0 + 1;
                        seen.given += 1;
                    }
                }
                None => {
                    passes(next, acked);
                    patience -= 1;
                    if patience == 0 || last {
                        break;
                    }
                    thread::yield_now();
                }
            }
        }
        if last {
            return seen;
        }
    }
}

/// Tells the readers that there will be no more, also when the test fails: it would wait for them for ever.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Readers in as many threads as `seeds` says, half of them through a store of their own, beside `write`.
fn beside_readers(dir: &Path, write: impl FnOnce(&Shared)) {
    let shared = Shared::default();
    let store = Store::open(dir).unwrap();
    let seen: Vec<Seen> = thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|seed| {
                let own = if seed % 2 == 0 { store.clone() } else { Store::open(dir).unwrap() };
                let shared = &shared;
                scope.spawn(move || reader(&own, shared, seed))
            })
            .collect();
        let done = Done(&shared.done);
        write(&shared);
        drop(done);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    let given: u64 = seen.iter().map(|seen| seen.given).sum();
    let gaps: Vec<&Gap> = seen.iter().flat_map(|seen| &seen.gaps).collect();
    assert!(given > 0 && !gaps.is_empty(), "{given} records, {gaps:?}: nothing happened under the readers");
    let harmed = shared.harmed.lock().unwrap();
    for gap in gaps.iter().filter(|gap| gap.reason != GapReason::Retention) {
        let lost = (gap.from.0..gap.to.0).all(|seq| harmed.contains(&seq));
        assert!(lost, "{gap:?}, and harmed was {harmed:?}");
    }
    for seq in seen.iter().flat_map(|seen| &seen.altered) {
        assert!(harmed.contains(seq), "record {seq} was not given as it was sent, and harmed was {harmed:?}");
    }
}

fn log(dir: &Path) -> Log {
    let config = LogConfig {
        clock: Arc::new(|| NOW_MS),
        segment_bytes_min: 1 << 20,
        segment_bytes_max: 1 << 20,
        lanes: 1,
        retention: Retention { age: None, bytes: Some(5 << 20) },
        ..LogConfig::new(dir)
    };
    Log::open(config).unwrap().0
}

/// Sends records up to `to`, eight a request, and waits until all are durable.
fn send(log: &Log, submitter: &Submitter, shared: &Shared, to: u64) {
    let store = log.store().unwrap();
    for n in (shared.acked.load(Ordering::Acquire)..to).step_by(8) {
        let events: Vec<_> = (n..n + 8).map(event).collect();
        drop(submitter.submit(LANE, append(Some(project(n)), &events)).expect("room for a few"));
        while n % 128 == 0 && store.durable(LANE).unwrap().seq.0 <= n {
            thread::yield_now();
        }
        if n % 512 == 0 {
            log.run_retention();
        }
        shared.acked.store(store.durable(LANE).unwrap().seq.0, Ordering::Release);
    }
    while store.durable(LANE).unwrap().seq.0 < to {
        thread::yield_now();
    }
    shared.acked.store(to, Ordering::Release);
}

/// Damages a bit somewhere in the stopped store and repairs that, most times.
fn harm(dir: &Path, shared: &Shared, random: &mut Random) {
    let lane_dir = layout::lane_dir(dir, LANE);
    let ids = layout::segments(&lane_dir).unwrap();
    // Of the lane's first segment nobody knows how much it held.
    let path = layout::segment_path(&lane_dir, ids[1 + random.below(ids.len() - 1)]);
    let used = fs::read(&path).unwrap().iter().rposition(|&b| b != 0).unwrap();
    flip(&path, random.below(used));
    let report = verify(dir, &mut |_| {}).unwrap();
    for (_, damage) in report.damage() {
        shared.harmed.lock().unwrap().extend(damage.seqs.clone());
    }
    if random.chance(800) {
        repair(dir, RepairChoice::AcceptLoss).unwrap();
    }
}

#[test]
fn readers_live_through_rolls_seals_retention_repairs_and_restarts_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    drop(log(dir));
    beside_readers(dir, |shared| {
        let mut random = Random::of(7, 7);
        for round in 1..=6 {
            let log = log(dir);
            let submitter = log.submitter();
            send(&log, &submitter, shared, round * 1200);
            drop(submitter);
            log.close().unwrap();
            harm(dir, shared, &mut random);
        }
    });
}

#[test]
fn readers_live_through_killed_writers_and_starts_that_cut_what_nobody_was_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let open = |round: u64| {
        let backend = if round.is_multiple_of(2) { Backend::Mapped } else { Backend::Pwrite };
        Rig::open_on(Arc::new(RealDisk), dir, backend, round << 32).unwrap()
    };
    drop(open(0));
    beside_readers(dir, |shared| {
        for round in 1..=40 {
            let mut rig = open(round);
            let cut = rig.recovered.cut.is_some();
            assert_eq!(cut, round > 1, "round {round}: {:?}", rig.recovered);
            let first = shared.acked.load(Ordering::Acquire);
            for n in (first..first + 160).step_by(8) {
                let events: Vec<_> = (n..n + 8).map(event).collect();
                rig.commit(vec![append(Some(project(n)), &events)]);
                shared.acked.store(n + 8, Ordering::Release);
            }
            // Killed: half a group stands behind what is durable, and its file is as long as it was prepared.
            drop(rig);
            let lane_dir = layout::lane_dir(dir, LANE);
            let ids = layout::segments(&lane_dir).unwrap();
            let path = layout::segment_path(&lane_dir, ids[ids.len() - 1]);
            fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&[7; 3000]).unwrap();
            if ids.len() > 6 {
                // Retention.
                fs::remove_file(layout::segment_path(&lane_dir, ids[0])).unwrap();
            }
        }
    });
}
