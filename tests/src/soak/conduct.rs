//! One life of the server after the other, with what its plan says; then the reckoning.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::clock::SkewedClock;
use super::ledger::Floors;
use super::line::{UNCLAIMED, lane_name};
use super::plan::{Act, End, LIVES_MIN, Life};
use super::readers::{Follower, bounds, inspect, resume};
use super::reckon::reckon;
use super::report::Summary;
use super::{HEALED_WITHIN, Options, SENDERS, World, load, lock, message, nuisance, spawn, watch};
use crate::disk::LoopDisk;
use crate::{Forebay, Json, Random, Request, Setup};

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
    lives_ended: u64,
    /// Where the lanes began when this life did.
    floors: Floors,
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
    let mut stage = Stage {
        world,
        options,
        disk,
        clock,
        say,
        began: Instant::now(),
        minutes_said: 0,
        lives_ended: 0,
        floors: Floors::new(),
    };
    let mut random = Random::named(options.seed, "lives");
    let first = Life::plan(0, options, &mut random);
    let forebay = stage.start(&first)?;
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
    // A panic too leaves no part running.
    let lived = catch_unwind(AssertUnwindSafe(|| stage.live(first, forebay, &mut random)));
    let lived = lived.unwrap_or_else(|panic| Err(message(&*panic)));
    world.over.store(true, Ordering::Relaxed);
    parts.into_iter().for_each(|part| _ = part.join());
    let forebay = lived?;
    if let Some(what) = world.failed() {
        return Err(stage.give_up(forebay, what));
    }
    world.ending.store(true, Ordering::Relaxed);
    *lock(&world.running) = None;
    let stopped = forebay.stop();
    stage.append_log(&stopped.stderr);
    world.tally.terms.fetch_add(1, Ordering::Relaxed);
    reckon(world, follower)?;
    world.failed().map_or(Ok(()), Err)
}

impl Stage<'_> {
    fn start(&self, life: &Life) -> Result<Forebay, String> {
        let setup = Setup::new().data_dir(&self.world.data_dir).env("FOREBAY_LOGGING_LEVEL", "info");
        let setup = self.clock.wind(life.setup(setup));
        let forebay = match setup.clone().try_start() {
            // More lanes than before are more folders, and a folder takes a block.
            Err(failed) if self.is_full() && failed.stderr.contains("the disk is full: make room") => {
                self.world.tally.starts_without_room.fetch_add(1, Ordering::Relaxed);
                self.free()?;
                setup.try_start()
            }
            started => started,
        };
        let forebay = forebay.map_err(|failed| failed.to_string())?;
        self.world.keep_bytes.store(life.keep_bytes, Ordering::Relaxed);
        let tally = &self.world.tally;
        tally.lives.fetch_add(1, Ordering::Relaxed);
        tally.mapped_lives.fetch_add(u64::from(life.backend == "mapped"), Ordering::Relaxed);
        lock(&tally.starts_ms).push(u64::try_from(forebay.started_in().as_millis()).expect("it fits"));
        *lock(&self.world.running) = Some((forebay.addr(), forebay.pid()));
        self.world.ending.store(false, Ordering::Relaxed);
        Ok(forebay)
    }

    /// One life after the other until time is up; gives the last server, which still runs.
    fn live(&mut self, mut life: Life, mut forebay: Forebay, random: &mut Random) -> Result<Forebay, String> {
        loop {
            let played = self.play(&life, &forebay).and_then(|goes_on| {
                self.compare_expired(&forebay)?;
                if !goes_on {
                    self.free()?;
                }
                Ok(goes_on)
            });
            match played {
                Ok(true) => {}
                Ok(false) => return Ok(forebay),
                Err(what) => return Err(self.give_up(forebay, what)),
            }
            self.end(&life, forebay);
            self.look_at_floors(&life)?;
            self.lives_ended += 1;
            life = Life::plan(self.lives_ended, self.options, random);
            forebay = self.start(&life)?;
            self.free()?;
        }
    }

    /// Not in order: what is wrong is to be looked at as it is.
    fn give_up(&self, forebay: Forebay, what: String) -> String {
        self.keep_log(&forebay);
        forebay.kill();
        what
    }

    /// Lives a life; false if it is the last one, and time is up.
    fn play(&mut self, life: &Life, forebay: &Forebay) -> Result<bool, String> {
        let began = Instant::now();
        let mut acts = life.acts.iter().peekable();
        while began.elapsed() < life.length {
            if self.began.elapsed() > self.options.length && self.lives_ended >= LIVES_MIN {
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
        self.world.tally.expired_events.store(expired, Ordering::Relaxed);
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

    fn is_full(&self) -> bool {
        self.world.full.load(Ordering::Relaxed)
    }

    fn free(&self) -> Result<(), String> {
        if self.is_full() {
            self.disk.free()?;
            self.world.set_full(false);
        }
        Ok(())
    }

    fn end(&self, life: &Life, forebay: Forebay) {
        let world = self.world;
        world.ending.store(true, Ordering::Relaxed);
        let on_full = self.is_full();
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
    }

    /// What is gone from the fronts of the lanes in this life is what retention counted, to the event. Nothing
    /// else may take segments: no start, no repair.
    fn compare_expired(&self, forebay: &Forebay) -> Result<(), String> {
        let counted = || forebay.metrics().count("forebay_log_expired_events_total");
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let before = counted();
            let (floors, _) = bounds(self.world)?;
            let gone: u64 =
                floors.iter().map(|(lane, floor)| floor - self.floors.get(lane).copied().unwrap_or(0)).sum();
            // A segment may go between the two looks, and is counted after it went.
            match counted() {
                after if before == after && after == gone => return Ok(()),
                after if Instant::now() > until => {
                    return Err(format!(
                        "retention counted {after} events, and {gone} are gone in this life"
                    ));
                }
                _ => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Between lives: retention took only what a rule of that life let it take.
    fn look_at_floors(&mut self, life: &Life) -> Result<(), String> {
        let (floors, _) = bounds(self.world)?;
        for (lane, floor) in &floors {
            let before = self.floors.get(lane).copied().unwrap_or(0);
            let has_rule = *lane == UNCLAIMED || life.keep_bytes > 0 || life.keep_days > 0;
            if *floor < before || (*floor > before && !has_rule) {
                let lane = lane_name(*lane);
                return Err(format!(
                    "lane {lane} began at {before}, and at {floor} after this life: {life:?}"
                ));
            }
        }
        self.floors = floors;
        Ok(())
    }

    fn keep_log(&self, forebay: &Forebay) {
        self.append_log(&forebay.stderr());
    }

    /// What servers said, beside the disk; one that panicked is a failure.
    fn append_log(&self, text: &str) {
        self.world.tally.unbooked.fetch_add(unbooked(text), Ordering::Relaxed);
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

/// Events that a server said its books miss: the last one was killed while a full disk kept it from booking, and
/// retention took them before anybody could count them.
fn unbooked(stderr: &str) -> u64 {
    let warnings = stderr.lines().filter(|line| line.contains("not readable: missing in the accounting"));
    warnings.filter_map(|line| Json::read(line).ok()?.get("events")?.as_u64()).sum()
}
