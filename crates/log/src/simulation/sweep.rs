//! A crash at every step of a run, and at the steps of the recovery that follows.
//!
//! A run is watched: before each of its steps the machine is copied, and the copy goes down there. What comes of
//! it is found out at once, on the copy: recovery, the checks, crashes in the middle of that recovery, some more
//! work, one more crash. The run itself goes on undisturbed, so that one run is a sweep over all its steps.

use super::{
    check,
    plan::Plan,
    run::{Ledgers, Run, new_disk},
};
use crate::disk::{
    Crash, SimDisk,
    sim::{Faults, Random, Struck},
};
use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Of so many crash points one has its recovery crashed at every step; at the others a step or two are drawn.
const DEEP: usize = 24;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) crashes: u64,
    /// Of them in the middle of a recovery.
    pub(crate) in_recovery: u64,
    pub(crate) events: u64,
    pub(crate) acked: u64,
    pub(crate) refused: u64,
    pub(crate) struck: Struck,
}

impl Tally {
    pub(crate) fn merge(&mut self, other: &Tally) {
        self.seeds += other.seeds;
        self.crashes += other.crashes;
        self.in_recovery += other.in_recovery;
        self.events += other.events;
        self.acked += other.acked;
        self.refused += other.refused;
        self.struck.merge(&other.struck);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { seeds, crashes, in_recovery, events, acked, refused, struck } = self;
        writeln!(f, "{seeds} seeds, {crashes} crashes, {in_recovery} of them in the middle of a recovery")?;
        writeln!(f, "{events} events sent, {acked} acknowledged; {refused} damaged stores refused")?;
        write!(f, "{struck}")
    }
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) seed: u64,
    /// Crashes survived before it, in this seed.
    pub(crate) crashes: u64,
    pub(crate) what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { seed, crashes, what } = self;
        writeln!(f, "seed {seed}, after {crashes} crashes: {what}")?;
        write!(f, "replay it: cargo xtask simulate --seed {seed}")
    }
}

/// Runs the seed and lets it crash at each of its steps.
///
/// # Errors
/// The first promise that was broken.
pub(crate) fn sweep(seed: u64) -> Result<Tally, Broken> {
    sweep_of(Plan::new(seed))
}

/// As [`sweep`], of a run that was made for a purpose.
///
/// # Errors
/// The first promise that was broken.
pub(crate) fn sweep_of(plan: Plan) -> Result<Tally, Broken> {
    let (seed, plan) = (plan.seed, Arc::new(plan));
    let sweep = Arc::new(Sweep {
        ledgers: Ledgers::new(&plan),
        plan,
        crashes: AtomicU64::new(0),
        state: Mutex::default(),
        over: AtomicBool::new(false),
    });
    let ran = catch_unwind(AssertUnwindSafe(|| sweep.run()));
    let result = ran.unwrap_or_else(|panic| Err(format!("panicked: {}", message(&*panic))));
    let mut state = sweep.state.lock().unwrap_or_else(PoisonError::into_inner);
    let broken = state.broken.take().or(result.err()).filter(|what| !check::is_refusal(what));
    let mut tally = state.tally;
    tally.seeds = 1;
    tally.crashes = sweep.crashes.load(Ordering::Relaxed);
    for ledger in sweep.ledgers.lock().iter() {
        tally.events += ledger.sent.len() as u64;
        tally.acked += ledger.acked.len() as u64;
    }
    match broken {
        Some(what) => Err(Broken { seed, crashes: tally.crashes, what }),
        None => Ok(tally),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

struct Sweep {
    plan: Arc<Plan>,
    ledgers: Ledgers,
    crashes: AtomicU64,
    state: Mutex<State>,
    /// Something was broken: the rest of the run is not looked at.
    over: AtomicBool,
}

#[derive(Default)]
struct State {
    tally: Tally,
    broken: Option<String>,
}

impl Sweep {
    fn run(self: &Arc<Sweep>) -> Result<(), String> {
        let disk = new_disk(&self.plan);
        let sweep = Arc::clone(self);
        disk.watch(move |at| sweep.crash_here(&at));
        let mut run = Run::new(Arc::clone(&self.plan), disk.clone(), self.ledgers.clone(), 3);
        disk.set_faults(self.plan.faults);
        let result = run.start().and_then(|()| {
            run.resume();
            run.go_on(self.plan.operations)
        });
        disk.unwatch();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).tally.struck.merge(&disk.take_struck());
        result
    }

    fn crash_here(&self, at: &SimDisk) {
        if self.over.load(Ordering::Relaxed) {
            return;
        }
        let step = at.steps() + 1;
        let result = self.crash(at, step);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tally.struck.merge(&at.take_struck());
        match result {
            Ok(()) => {}
            Err(what) if check::is_refusal(&what) => state.tally.refused += 1,
            Err(what) => {
                self.over.store(true, Ordering::Relaxed);
                state.broken.get_or_insert(format!("crash at step {step}: {what}"));
            }
        }
    }

    /// The machine goes down here.
    fn crash(&self, at: &SimDisk, step: u64) -> Result<(), String> {
        let mut random = Random::of(self.plan.seed, step << 8);
        at.reseed(random.next());
        let ledgers = self.ledgers.fork();
        check::show_now(&self.plan, at, &ledgers)?;
        let crash = self.count(&mut random);
        at.reboot(crash);
        if crash == Crash::Kill {
            check::killed(&self.plan, at, &ledgers)?;
        }
        let proven = check::proven(&self.plan, at);
        let inner = Arc::new(Inner {
            plan: Arc::clone(&self.plan),
            ledgers: ledgers.fork(),
            broken: Mutex::default(),
            crashes: AtomicU64::new(0),
            every: random.below(DEEP) == 0,
            proven: proven.clone(),
            struck: Mutex::default(),
        });
        let watching = Arc::clone(&inner);
        let mut drawn = random.clone();
        at.watch(move |at| {
            if watching.every || drawn.below(6) == 0 {
                watching.crash_here(&at, drawn.next());
            }
        });
        let mut run = Run::new(Arc::clone(&self.plan), at.clone(), ledgers, step << 8 | 1);
        let started = run.start();
        at.unwatch();
        self.crashes.fetch_add(inner.crashes.load(Ordering::Relaxed), Ordering::Relaxed);
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.tally.in_recovery += inner.crashes.load(Ordering::Relaxed);
            state.tally.struck.merge(&inner.struck.lock().unwrap_or_else(PoisonError::into_inner));
        }
        if let Some(what) = inner.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(format!("{crash:?}; {what}"));
        }
        started.and_then(|()| run.check(&proven)).map_err(|e| when(&format!("{crash:?}"), &e))?;
        self.afterwards(&mut run, &mut random).map_err(|e| when(&format!("{crash:?}, recovered"), &e))
    }

    /// The recovered machine: recovering again changes nothing, it goes on, and it may crash again.
    fn afterwards(&self, run: &mut Run, random: &mut Random) -> Result<(), String> {
        if random.below(4) == 0 {
            self.again(run)?;
        }
        run.go_on(random.below(5)).map_err(|e| when("then", &e))?;
        check::show_now(&self.plan, &run.disk, &run.ledgers)?;
        let crash = self.count(random);
        run.disk.reboot(crash);
        let proven = check::proven(&self.plan, &run.disk);
        run.start().and_then(|()| run.check(&proven)).map_err(|e| when(&format!("then {crash:?}"), &e))
    }

    /// Recovering what was recovered changes nothing and says the same.
    fn again(&self, run: &mut Run) -> Result<(), String> {
        let faults = run.disk.faults();
        run.disk.set_faults(Faults::default());
        let mut before = None;
        for _ in 0..2 {
            run.disk.reboot(Crash::Kill);
            run.start().map_err(|e| when("once more", &e))?;
            let now = (segments(&run.disk), reports(run));
            if let Some((segments, reports)) = before.replace(now) {
                let (segments_now, reports_now) = before.as_ref().expect("just put there");
                if segments != *segments_now {
                    return Err("recovering again changes the segments".to_owned());
                }
                if reports != *reports_now {
                    return Err(format!("recovering again says {reports_now:?}, before it said {reports:?}"));
                }
            }
        }
        run.resume();
        run.disk.set_faults(faults);
        Ok(())
    }

    fn count(&self, random: &mut Random) -> Crash {
        self.crashes.fetch_add(1, Ordering::Relaxed);
        random.pick(&[Crash::Kill, Crash::LoseAll, Crash::LoseSome, Crash::LoseSome])
    }
}

fn when(when: &str, what: &str) -> String {
    format!("{when}: {what}")
}

/// A recovery that is itself crashed.
struct Inner {
    plan: Arc<Plan>,
    ledgers: Ledgers,
    broken: Mutex<Option<String>>,
    crashes: AtomicU64,
    every: bool,
    proven: check::Proven,
    struck: Mutex<Struck>,
}

impl Inner {
    fn crash_here(&self, at: &SimDisk, seed: u64) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_some() {
            return;
        }
        self.crashes.fetch_add(1, Ordering::Relaxed);
        let step = at.steps() + 1;
        match self.crash(at, seed) {
            Err(what) if !check::is_refusal(&what) => {
                *broken = Some(format!("then in recovery at step {step}, {what}"));
            }
            _ => {}
        }
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).merge(&at.take_struck());
    }

    fn crash(&self, at: &SimDisk, seed: u64) -> Result<(), String> {
        let mut random = Random::new(seed);
        at.reseed(random.next());
        let ledgers = self.ledgers.fork();
        // Somebody may be reading while the recovery runs.
        check::show_now(&self.plan, at, &ledgers)?;
        let crash = random.pick(&[Crash::Kill, Crash::LoseAll, Crash::LoseSome, Crash::LoseSome]);
        at.reboot(crash);
        let proven = check::proven(&self.plan, at);
        let mut run = Run::new(Arc::clone(&self.plan), at.clone(), ledgers, seed);
        // What was proven before the first crash may not be unproven by the second.
        let proven = proven.iter().zip(&self.proven).map(|(a, b)| (*a).min(*b)).collect();
        run.start().and_then(|()| run.check(&proven)).map_err(|e| when(&format!("{crash:?}"), &e))
    }
}

fn segments(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = disk.files();
    files.retain(|path, _| path.extension().is_some_and(|extension| extension == "seg"));
    files
}

/// What recovery came to, but for what it did on the way there.
fn reports(run: &Run) -> Vec<crate::LaneRecovery> {
    let report = |lane: &super::node::NodeLane| crate::LaneRecovery {
        cut: None,
        scanned_bytes: 0,
        ..lane.recovered.clone()
    };
    run.started().map_or(Vec::new(), |node| node.lanes.iter().map(report).collect())
}
