//! One life of the server after the other, and the reckoning at the end.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::clock::SkewedClock;
use super::disk::LoopDisk;
use super::ledger::{NOBODY, Reader};
use super::line::UNCLAIMED;
use super::plan::{Act, End, Life};
use super::random::Random;
use super::readers::{Follower, Track, bounds, inspect, read_on, resume};
use super::report::Summary;
use super::{HEALED_WITHIN, Options, SENDERS, World, load, lock, nuisance, spawn, watch};
use crate::{Forebay, Json, Request, Setup, cli};

/// Projects under load.
const PROJECTS: usize = 5;
/// A full disk must be noticed by then.
const FULL_WITHIN: Duration = Duration::from_secs(120);

/// The conductor's own things.
struct Stage<'a> {
    world: &'a Arc<World>,
    options: &'a Options,
    disk: &'a LoopDisk,
    clock: SkewedClock,
    say: &'a dyn Fn(&str),
    began: Instant,
    minutes_said: u64,
}

/// Does it all.
///
/// # Errors
/// The first thing that was not as it must be.
pub(crate) fn conduct(
    world: &Arc<World>,
    options: &Options,
    disk: &LoopDisk,
    clock: SkewedClock,
    say: &dyn Fn(&str),
) -> Result<(), String> {
    let mut stage = Stage { world, options, disk, clock, say, began: Instant::now(), minutes_said: 0 };
    let mut random = Random::of(options.seed, "lives");
    let first = Life::plan(0, options, &mut random);
    let mut forebay = stage.start(&first)?;
    let projects = (0..PROJECTS).map(|nth| forebay.create_project(&format!("Soak {nth}"))).collect();
    assert!(world.projects.set(projects).is_ok(), "projects are made once");
    let follower = Follower::start(world)?;
    // It must stand at the beginning before anything is there to be missed.
    thread::sleep(Duration::from_millis(500));
    let rate = options.rate as f64 / SENDERS as f64;
    let mut parts: Vec<_> = (0..SENDERS)
        .map(|nth| spawn(world, &format!("sender {nth}"), move |world| load::send(world, nth, rate)))
        .collect();
    parts.push(spawn(world, "the watcher", watch::watch));
    parts.push(spawn(world, "the resumer", resume));
    parts.push(spawn(world, "the inspector", inspect));
    parts.push(spawn(world, "the nuisance", nuisance::bother));
    stage.began = Instant::now();
    let (mut life, mut nth) = (first, 0);
    let played = loop {
        match stage.play(&life, &forebay) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(what) => break Err(what),
        }
        stage.end(&life, forebay)?;
        nth += 1;
        life = Life::plan(nth, options, &mut random);
        forebay = stage.start(&life)?;
        stage.free()?;
    };
    if played.is_ok() {
        stage.free()?;
    }
    world.over.store(true, Ordering::Relaxed);
    parts.into_iter().for_each(|part| _ = part.join());
    stage.keep_log(&forebay);
    if let Some(what) = played.err().or_else(|| world.failed()) {
        // Not in order: what is wrong is to be looked at as it is.
        forebay.kill();
        return Err(what);
    }
    world.ending.store(true, Ordering::Relaxed);
    *lock(&world.running) = None;
    forebay.stop();
    world.tally.terms.fetch_add(1, Ordering::Relaxed);
    reckon(world, follower)?;
    world.failed().map_or(Ok(()), Err)
}

impl Stage<'_> {
    fn start(&self, life: &Life) -> Result<Forebay, String> {
        let setup = Setup::new().data_dir(&self.world.data_dir).env("FOREBAY_LOGGING_LEVEL", "info");
        let forebay = self.clock.wind(life.setup(setup)).try_start().map_err(|failed| failed.to_string())?;
        let tally = &self.world.tally;
        tally.lives.fetch_add(1, Ordering::Relaxed);
        tally.mapped_lives.fetch_add(u64::from(life.backend == "mapped"), Ordering::Relaxed);
        lock(&tally.starts_ms).push(u64::try_from(forebay.started_in().as_millis()).expect("it fits"));
        *lock(&self.world.running) = Some((forebay.addr(), forebay.pid()));
        self.world.ending.store(false, Ordering::Relaxed);
        Ok(forebay)
    }

    /// Lives a life; false if it is the last one, and time is up.
    fn play(&mut self, life: &Life, forebay: &Forebay) -> Result<bool, String> {
        let began = Instant::now();
        let mut acts = life.acts.iter().peekable();
        while began.elapsed() < life.length {
            if self.began.elapsed() > self.options.length {
                return Ok(false);
            }
            if let Some((_, act)) = acts.next_if(|(at, _)| *at <= began.elapsed()) {
                match *act {
                    Act::Jump(to_s) => {
                        self.clock.set(to_s)?;
                        self.world.tally.jumps.fetch_add(1, Ordering::Relaxed);
                    }
                    Act::FillDisk(hold) => {
                        let last = acts.peek().is_none();
                        if self.fill(forebay, hold, life.dies_full && last)? {
                            return Ok(true);
                        }
                    }
                }
            }
            self.tick()?;
        }
        Ok(true)
    }

    /// Fifty milliseconds, and what is due.
    fn tick(&mut self) -> Result<(), String> {
        thread::sleep(Duration::from_millis(50));
        if let Some(what) = self.world.failed() {
            return Err(what);
        }
        let minutes = self.began.elapsed().as_secs() / 60;
        if minutes > self.minutes_said {
            self.minutes_said = minutes;
            self.count_expired()?;
            (self.say)(&Summary::of(self.world, self.options.seed, self.began.elapsed()).line());
        }
        Ok(())
    }

    fn count_expired(&self) -> Result<(), String> {
        let expired = bounds(self.world)?.0.values().sum();
        if self.world.tally.expired_events.swap(expired, Ordering::Relaxed) < expired {
            self.world.tally.expiries.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Fills the disk until there is a 503, holds it, and gives it back unless the life is to end so: then true.
    fn fill(&mut self, forebay: &Forebay, hold: Duration, dies: bool) -> Result<bool, String> {
        let world = Arc::clone(self.world);
        let refused = || world.tally.unavailable.load(Ordering::Relaxed);
        world.set_full(true);
        world.bursting.store(true, Ordering::Relaxed);
        let (asked, before) = (Instant::now(), refused());
        while refused() == before {
            self.disk.fill()?;
            self.tick()?;
            if asked.elapsed() > FULL_WITHIN {
                return Err(format!("the disk is full for {FULL_WITHIN:?}, and no request got 503"));
            }
        }
        let full = Instant::now();
        while full.elapsed() < hold {
            // What retention gives back in the meantime is taken too.
            self.disk.fill()?;
            self.tick()?;
        }
        world.bursting.store(false, Ordering::Relaxed);
        world.tally.full_disks.fetch_add(1, Ordering::Relaxed);
        forebay.send(&Request::get("/health/live").close()).expect_status(200);
        if dies {
            return Ok(true);
        }
        let successes = world.tally.successes.load(Ordering::Relaxed);
        self.free()?;
        let freed = Instant::now();
        while world.tally.successes.load(Ordering::Relaxed) == successes {
            self.tick()?;
            if freed.elapsed() > HEALED_WITHIN {
                return Err(format!("there is room again for {HEALED_WITHIN:?}, and no request succeeds"));
            }
        }
        let healed = u64::try_from(freed.elapsed().as_millis()).expect("it fits");
        world.tally.healed_ms_max.fetch_max(healed, Ordering::Relaxed);
        Ok(false)
    }

    fn free(&self) -> Result<(), String> {
        if self.world.full.load(Ordering::Relaxed) {
            self.disk.free()?;
            self.world.set_full(false);
        }
        Ok(())
    }

    fn end(&self, life: &Life, forebay: Forebay) -> Result<(), String> {
        let world = self.world;
        world.ending.store(true, Ordering::Relaxed);
        let on_full = world.full.load(Ordering::Relaxed);
        world.tally.ends_on_full_disk.fetch_add(u64::from(on_full), Ordering::Relaxed);
        match life.end {
            End::Kill => {
                self.keep_log(&forebay);
                forebay.kill();
                world.tally.kills.fetch_add(1, Ordering::Relaxed);
            }
            End::Term => {
                let stopped = forebay.terminate();
                self.append_log(&stopped.stderr);
                world.tally.terms.fetch_add(1, Ordering::Relaxed);
            }
        }
        *lock(&world.running) = None;
        world.failed().map_or(Ok(()), Err)
    }

    fn keep_log(&self, forebay: &Forebay) {
        self.append_log(&forebay.stderr());
    }

    /// What servers said, beside the disk; one that panicked is a failure.
    fn append_log(&self, text: &str) {
        if text.contains("panicked") {
            self.world.fail(format!("the server panicked:\n{text}"));
        }
        let path = self.disk.beside().join("servers.log");
        let done = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| writeln!(file, "=== {:?} ===\n{text}", self.began.elapsed()));
        if let Err(e) = done {
            self.world.fail(format!("writing {}: {e}", path.display()));
        }
    }
}

/// With nobody else there: all that is readable against all that was acknowledged, and the books.
fn reckon(world: &Arc<World>, follower: Follower) -> Result<(), String> {
    let verified = cli::run(&world.data_dir, &["log", "verify", "--json"]);
    if !verified.status.success() {
        return Err(format!("verify after the last stop:\n{}{}", verified.text(), verified.stderr));
    }
    let (floors, ends) = bounds(world)?;
    follower.finish(&ends)?;
    read_on(world, Reader::Resumer, &world.resumed)?;
    let last = Mutex::new(Track::default());
    let readable = read_on(world, Reader::Last, &last)?;
    world.tally.readable_at_end.store(readable, Ordering::Relaxed);
    world.tally.expired_events.store(floors.values().sum(), Ordering::Relaxed);
    let (last, resumed, followed) = (lock(&last), lock(&world.resumed), lock(&world.followed));
    let mut held = 0;
    for (lane, end) in &ends {
        let floor = floors.get(lane).copied().unwrap_or(0);
        held += end - floor;
        for (name, track) in [("the last", &last), ("the resumer", &resumed), ("the follower", &followed)] {
            let next = track.next().get(lane).copied();
            if next.unwrap_or(floor) != *end {
                return Err(format!("{name} reader ends lane {lane} at {next:?}, the log at {end}"));
            }
        }
    }
    // The only gap is at the front of each lane, as wide as retention says.
    let expired: u64 =
        floors.iter().filter(|(lane, floor)| ends[*lane] > **floor).map(|(_, floor)| floor).sum();
    if readable != held || last.missed() != expired {
        return Err(format!(
            "read are {readable} of {held} events, with {} in gaps where retention took {expired}",
            last.missed()
        ));
    }
    let closing = world.ledger.close(&floors, |reader, place| match reader {
        Reader::Resumer => resumed.excuses(place),
        _ => followed.excuses(place),
    })?;
    if closing.readable != readable {
        return Err(format!("{readable} events are readable, of the ledger {}", closing.readable));
    }
    let stored: u64 = ends.values().sum();
    if world.ledger.sums().followed.iter().sum::<u64>() + followed.missed() != stored {
        return Err(format!("the follower saw {:?} of {stored} stored", world.ledger.sums().followed));
    }
    check_books(world, stored, followed.missed() == 0)
}

/// The books say what the log took, to the event; by project, if the follower saw every one.
fn check_books(world: &World, stored: u64, by_owner: bool) -> Result<(), String> {
    let stats = cli::run(&world.data_dir, &["stats", "--json"]).success().json();
    let totals = stats.get("totals").ok_or("stats without totals")?;
    let rejected: u64 = totals
        .get("rejected")
        .and_then(Json::as_object)
        .map_or(0, |r| r.values().filter_map(Json::as_u64).sum());
    let dropped: u64 = totals
        .get("dropped")
        .and_then(Json::as_object)
        .map_or(0, |r| r.values().filter_map(Json::as_u64).sum());
    let booked = totals.u64("stored");
    if booked != stored
        || totals.u64("received") != stored + rejected + dropped
        || totals.u64("unaccounted") != 0
    {
        return Err(format!("the log took {stored} events; the books say {totals}"));
    }
    let owners = stats.get("owners").and_then(Json::as_array).unwrap_or_default();
    let mut by_project: BTreeMap<Option<u64>, u64> = BTreeMap::new();
    for owner in owners {
        *by_project.entry(owner.get("project_id").and_then(Json::as_u64)).or_default() += owner.u64("stored");
    }
    let followed = world.ledger.sums().followed;
    let ids = world.projects().iter().map(|p| Some(p.id)).enumerate();
    for (owner, id) in ids.chain([(NOBODY, None)]) {
        let booked = by_project.get(&id).copied().unwrap_or(0);
        if by_owner && booked != followed[owner] {
            let name = id.map_or(UNCLAIMED.to_string(), |id| id.to_string());
            return Err(format!("owner {name}: {} events stored, {booked} booked", followed[owner]));
        }
    }
    Ok(())
}
