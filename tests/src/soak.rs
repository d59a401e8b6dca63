//! A soak: the real server for minutes or hours, with all at once that operators fear one by one.
//!
//! Load in mixed shapes, readers of every kind, retention, restarts in order and by `kill -9`, full disks, a clock
//! that jumps, changing configurations, slow and broken clients: on a disk of its own, from one seed. A ledger
//! knows every event that was sent, what was answered, and who has read it. [`run`] does it; `cargo xtask soak`
//! is its command line.
//!
//! # Invariants
//! * The first failure ends the soak; the disk's image and the servers' logs are kept, and named with the seed.
//! * The ledger lies outside of the disk under soak, and its memory is bounded by what that holds.
//! * Nothing outlives [`run`]: no process, no mount.

use std::any::Any;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

mod clock;
mod conduct;
mod ledger;
mod line;
mod load;
mod nuisance;
mod plan;
mod readers;
mod reckon;
mod report;
mod watch;

use crate::disk::LoopDisk;
use crate::{Project, Random};
use ledger::{Ledger, NOBODY};
use readers::Track;
pub use report::Summary;
use report::Tally;

/// What to do, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long there is load; longer if by then the first three lives have not ended, which have each kind of trouble.
    pub length: Duration,
    /// Where all dice come from.
    pub seed: u64,
    /// Requests a second, all senders together.
    pub rate: u64,
    /// The size of the disk.
    pub disk_mib: u64,
}

/// A soak that found something.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub what: String,
    /// The seed that led to it.
    pub seed: u64,
    /// Where the disk's image and the servers' logs are kept.
    pub kept: Option<PathBuf>,
    /// What had been done by then.
    pub summary: Option<Box<Summary>>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "FAILED with seed {}: {}", self.seed, self.what)?;
        if let Some(kept) = &self.kept {
            writeln!(
                f,
                "kept: {0} (`mount -o loop {0}/image /mnt` shows the data directory; servers.log is what they said)",
                kept.display()
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Senders, each with one request under way.
const SENDERS: usize = 4;
/// How long after a full disk a 503 is still that disk's.
const HEALED_WITHIN: Duration = Duration::from_secs(10);
/// Tokens that belong to no project.
const NOBODYS_TOKENS: [&str; 3] = ["soak-nobody-1", "soak-nobody-2", "soak-nobody-3"];

/// What all parts share.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) data_dir: PathBuf,
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    pub(crate) followed: Mutex<Track>,
    pub(crate) resumed: Mutex<Track>,
    /// The server is about to end, or ended.
    pub(crate) ending: AtomicBool,
    /// Large events, to fill what is prepared.
    pub(crate) bursting: AtomicBool,
    pub(crate) follower_may_end: AtomicBool,
    /// `retention.bytes_max` of this life.
    pub(crate) keep_bytes: AtomicU64,
    over: AtomicBool,
    projects: OnceLock<Vec<Project>>,
    running: Mutex<Option<(SocketAddr, u32)>>,
    /// Until then a 503 is to be expected; for ever while the disk is full.
    uneasy: Mutex<Option<Instant>>,
    full: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl World {
    fn new(options: &Options, data_dir: PathBuf) -> World {
        World {
            seed: options.seed,
            data_dir,
            ledger: Ledger::default(),
            tally: Tally::default(),
            followed: Mutex::default(),
            resumed: Mutex::default(),
            ending: AtomicBool::new(true),
            bursting: AtomicBool::new(false),
            follower_may_end: AtomicBool::new(false),
            keep_bytes: AtomicU64::new(0),
            over: AtomicBool::new(false),
            projects: OnceLock::new(),
            running: Mutex::new(None),
            uneasy: Mutex::new(None),
            full: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Whether all are to come to an end.
    pub(crate) fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Sleeps for that long, or until it is over.
    pub(crate) fn nap(&self, length: Duration) {
        let until = Instant::now() + length;
        while !self.over() {
            match until.checked_duration_since(Instant::now()) {
                Some(left) => thread::sleep(left.min(Duration::from_millis(100))),
                None => return,
            }
        }
    }

    /// Where the server listens and its process, while it is to be spoken to.
    pub(crate) fn running(&self) -> Option<(SocketAddr, u32)> {
        *lock(&self.running)
    }

    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.running().map(|(addr, _)| addr)
    }

    /// The projects, by owner.
    pub(crate) fn projects(&self) -> &[Project] {
        self.projects.get().map_or(&[], Vec::as_slice)
    }

    /// A token of an owner.
    pub(crate) fn token(&self, owner: usize, random: &mut Random) -> String {
        if owner == NOBODY {
            return random.pick(&NOBODYS_TOKENS).to_owned();
        }
        self.projects()[owner].token.clone()
    }

    pub(crate) fn owner_of(&self, token: &str) -> Option<usize> {
        if NOBODYS_TOKENS.contains(&token) {
            return Some(NOBODY);
        }
        self.projects().iter().position(|p| p.token == token)
    }

    /// Whether every request must be served now.
    pub(crate) fn is_calm(&self) -> bool {
        let uneasy = lock(&self.uneasy).is_some_and(|until| Instant::now() < until);
        !uneasy && !self.full.load(Ordering::Relaxed) && !self.ending.load(Ordering::Relaxed)
    }

    fn set_full(&self, full: bool) {
        *lock(&self.uneasy) = Some(Instant::now() + HEALED_WITHIN);
        self.full.store(full, Ordering::Relaxed);
    }

    /// Enters a failure; the first one counts.
    pub(crate) fn fail(&self, what: String) {
        lock(&self.failure).get_or_insert(what);
    }

    /// What failed, if something did.
    pub(crate) fn failed(&self) -> Option<String> {
        lock(&self.failure).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that shares the world; its panic is a failure of the soak.
fn spawn(world: &Arc<World>, name: &str, part: impl FnOnce(&World) + Send + 'static) -> JoinHandle<()> {
    let (world, name) = (Arc::clone(world), name.to_owned());
    thread::spawn(move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| part(&world))) {
            world.fail(format!("{name} panicked: {}", message(&*panic)));
        }
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word").to_owned()
}

/// Soaks; `say` gets a line each minute and at each turn of events.
///
/// # Errors
/// The first thing that was not as it must be, or what the soak needs and does not have.
pub fn run(options: &Options, say: &dyn Fn(&str)) -> Result<Summary, Failure> {
    let early = |what: String| Failure { what, seed: options.seed, kept: None, summary: None };
    let disk = LoopDisk::new(options.disk_mib).map_err(early)?;
    let clock = clock::SkewedClock::new(disk.beside()).map_err(early)?;
    let world = Arc::new(World::new(options, disk.path().join("data")));
    say(&format!(
        "seed {}, {:?}, {} requests/s, a disk of {} MiB at {}, {}",
        options.seed,
        options.length,
        options.rate,
        options.disk_mib,
        disk.path().display(),
        crate::cli::binary().display()
    ));
    let began = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(|| conduct::conduct(&world, options, &disk, clock, say)));
    world.over.store(true, Ordering::Relaxed);
    let done = done.unwrap_or_else(|panic| Err(message(&*panic)));
    let summary = Summary::of(&world, options.seed, began.elapsed());
    match done {
        Ok(()) => Ok(summary),
        Err(what) => {
            // What a part saw first may have led to the rest.
            let what = match world.failed() {
                Some(first) if first != what => format!("{first}\nthen: {what}"),
                _ => what,
            };
            let image = disk.keep();
            let kept = image.parent().map(std::path::Path::to_path_buf);
            Err(Failure { what, seed: options.seed, kept, summary: Some(Box::new(summary)) })
        }
    }
}
