//! Power cuts for as long as one likes: scenario after scenario, each of its own seed.

use std::path::Path;
use std::time::{Duration, Instant};

use forebay_log::Backend;

use super::recorder::{Fault, Target, Times};
use super::scenario::{Recorded, thin};
use super::{Cut, End, FileSystem, Machine, Scenario, Session, Tally, sweep};
use crate::Random;

/// All pairs.
pub const EVERYWHERE: [(FileSystem, Backend); 6] = [
    (FileSystem::Ext4, Backend::Direct),
    (FileSystem::Ext4, Backend::Pwrite),
    (FileSystem::Ext4, Backend::Mapped),
    (FileSystem::Xfs, Backend::Direct),
    (FileSystem::Xfs, Backend::Pwrite),
    (FileSystem::Xfs, Backend::Mapped),
];

/// Cuts the power for so many minutes.
///
/// # Panics
/// At the first promise that was broken.
pub fn run(program: &Path, minutes: u64, seed: u64) {
    let machine = Machine::new();
    let began = Instant::now();
    let mut random = Random::new(seed);
    let mut tallies = [Tally::default(); EVERYWHERE.len()];
    tell(&format!("power cuts for {minutes} minutes, seed {seed}"));
    let until = Duration::from_secs(minutes * 60);
    while began.elapsed() < until {
        for ((file_system, backend), tally) in EVERYWHERE.into_iter().zip(&mut tallies) {
            if began.elapsed() < until {
                *tally += everything(&machine, program, scenario(file_system, backend, random.next()));
            }
        }
        let cuts: u64 = tallies.iter().map(|tally| tally.cuts).sum();
        tell(&format!("{cuts} power cuts after {:.1} minutes", began.elapsed().as_secs_f64() / 60.0));
    }
    for ((file_system, backend), tally) in EVERYWHERE.into_iter().zip(tallies) {
        tell(&format!("{} {backend}: {tally}", file_system.name()));
    }
}

/// A scenario at random.
fn scenario(file_system: FileSystem, backend: Backend, seed: u64) -> Scenario {
    let mut random = Random::of(seed, 1);
    let faulty = random.chance(1, 3);
    let sessions = (0..1 + random.below(3)).map(|_| {
        let end = if random.chance(1, 2) { End::Kill } else { End::Close };
        let faults = if faulty && random.chance(1, 2) { vec![fault(&mut random)] } else { Vec::new() };
        Session { requests: 20 + random.below(100), end, faults }
    });
    let sessions = sessions.collect();
    let kept = if random.chance(1, 2) { 0 } else { 768 << 10 };
    let flush_takes = Duration::from_micros(if random.chance(1, 4) { random.below(3000) } else { 0 });
    Scenario { file_system, backend, seed, kept, flush_takes, sessions }
}

/// A fault at random.
pub fn fault(random: &mut Random) -> Fault {
    let targets = [Target::Write, Target::Frame, Target::Frame, Target::Flush, Target::Flush];
    let target = targets[random.index(targets.len())];
    let times = if random.chance(1, 5) { Times::Ever } else { Times::Once };
    Fault { target, nth: 1 + random.below(150), times }
}

/// Records the scenario, cuts the power at flushes and at random, and once more while the log recovers from one.
pub fn everything(machine: &Machine, program: &Path, scenario: Scenario) -> Tally {
    let seed = scenario.seed;
    let recorded = Recorded::new(machine, program, scenario);
    let mut tally = sweep(machine, &recorded, &thin(recorded.flush_cuts(), 60, 0));
    tally += sweep(machine, &recorded, &recorded.random_cuts(60, seed));
    let again = recorded.random_cuts(1, seed ^ 1);
    tally += after_a_cut(machine, program, &recorded, again[0], 30);
    tally
}

/// Cuts the power, lets a log recover on the disk that is left, and cuts the power while it does.
pub fn after_a_cut(machine: &Machine, program: &Path, recorded: &Recorded, cut: Cut, cuts: usize) -> Tally {
    let (image, ledger) = recorded.after(cut);
    let session = Session { requests: 8, end: End::Kill, faults: Vec::new() };
    let scenario = Scenario { sessions: vec![session], ..recorded.scenario.clone() };
    let again = Recorded::from(machine, program, scenario, image, ledger);
    let mut tally = sweep(machine, &again, &again.random_cuts(cuts, recorded.scenario.seed));
    tally += sweep(machine, &again, &thin(again.flush_cuts(), cuts, 1));
    tally
}

#[expect(clippy::print_stdout, reason = "what a person who waits wants to see")]
fn tell(line: &str) {
    println!("{line}");
}
