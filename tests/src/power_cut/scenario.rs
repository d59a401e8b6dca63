//! What is done to a log on a recording disk, and what comes of it: a recording, a ledger, and cuts to choose from.

use std::fs;
use std::path::Path;
use std::time::Duration;

use forebay_log::Backend;

use super::ledger::SENDERS;
use super::recorder::{Fault, Recorder};
use super::{Cut, End, FileSystem, Image, Ledger, Load, Lost, Machine, Recording};
use crate::Random;

/// One life of the process that has the log open.
#[derive(Clone, Debug)]
pub struct Session {
    /// How many requests it sends.
    pub requests: u64,
    /// How it ends.
    pub end: End,
    /// What the disk does wrong in it.
    pub faults: Vec<Fault>,
}

/// What is done.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// On which file system.
    pub file_system: FileSystem,
    /// How groups are committed.
    pub backend: Backend,
    /// What requests, faults and cuts follow from.
    pub seed: u64,
    /// The most bytes of claimed events kept; 0 for all.
    pub kept: u64,
    /// How long each flush takes.
    pub flush_takes: Duration,
    /// One after the other.
    pub sessions: Vec<Session>,
}

impl Scenario {
    /// Two lives, one killed and one closed in order, that send so many requests each.
    pub fn plain(file_system: FileSystem, backend: Backend, seed: u64, requests: u64) -> Scenario {
        let session = |end| Session { requests, end, faults: Vec::new() };
        let sessions = vec![session(End::Kill), session(End::Close)];
        Scenario { file_system, backend, seed, kept: 0, flush_takes: Duration::ZERO, sessions }
    }

    /// With retention that keeps so many bytes.
    pub fn keeping(mut self, bytes: u64) -> Scenario {
        self.kept = bytes;
        self
    }
}

/// What came of a scenario.
pub struct Recorded {
    /// What was done.
    pub scenario: Scenario,
    /// The disk before.
    pub base: Image,
    /// What it was told.
    pub recording: Recording,
    /// What was promised.
    pub ledger: Ledger,
}

/// The folder on the file system that the log is in.
pub const DATA: &str = "data";

impl Recorded {
    /// Does what the scenario says, on a new file system.
    ///
    /// # Panics
    /// If the log does something there that it must not do.
    pub fn new(machine: &Machine, program: &Path, scenario: Scenario) -> Recorded {
        let base = scenario.file_system.make(machine, 300);
        Recorded::from(machine, program, scenario, base, Ledger::default())
    }

    /// Does it on a disk that has a history, of which the ledger tells.
    ///
    /// # Panics
    /// As [`Recorded::new`].
    pub fn from(
        machine: &Machine,
        program: &Path,
        scenario: Scenario,
        base: Image,
        ledger: Ledger,
    ) -> Recorded {
        let path = machine.path("ledger");
        fs::write(&path, ledger.text()).expect("writing the ledger");
        let mut recorder = Recorder::start(machine, program, &base, scenario.file_system);
        recorder.slow(scenario.flush_takes);
        let mut first_id = ledger.requests.keys().max().map_or(0, |id| (id + 1).next_multiple_of(SENDERS));
        let mut failing = false;
        for session in &scenario.sessions {
            for &fault in &session.faults {
                recorder.fail(fault);
                // What fails once may fail in a later life, and what fails for ever does.
                failing = true;
            }
            let load = Load {
                dir: recorder.dir().join(DATA),
                ledger: path.clone(),
                sequence: recorder.sequence().to_owned(),
                seed: scenario.seed,
                first_id,
                requests: session.requests,
                backend: scenario.backend,
                kept: scenario.kept,
                end: session.end,
                faults: failing,
            };
            first_id += session.requests.next_multiple_of(SENDERS);
            let status = load.command(program).status().expect("starting the load");
            let killed =
                session.end == End::Kill && std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
            assert!(status.success() || killed, "the load ended with {status}, in {scenario:?}: see above");
        }
        let recording = recorder.stop();
        let text = fs::read_to_string(&path).expect("reading the ledger");
        let ledger = Ledger::parse(&text).unwrap_or_else(|e| panic!("{e}"));
        Recorded { scenario, base, recording, ledger }
    }

    /// A cut before each flush, with everything lost that no flush covers; and one after the last operation.
    pub fn flush_cuts(&self) -> Vec<Cut> {
        let end = self.recording.ops().len();
        self.recording.flushes().chain([end]).map(|at| Cut { at, lost: Lost::Unflushed }).collect()
    }

    /// So many cuts at random: prefixes, and some of what no flush covers; in rising order.
    pub fn random_cuts(&self, count: usize, seed: u64) -> Vec<Cut> {
        let mut random = Random::of(seed, 0xc07);
        let ops = self.recording.ops().len();
        let mut cuts: Vec<_> = (0..count)
            .map(|_| {
                let at = random.index(ops + 1);
                let lost = match random.below(10) {
                    0..2 => Lost::Nothing,
                    2..4 => Lost::Unflushed,
                    _ => Lost::Some(random.next()),
                };
                Cut { at, lost }
            })
            .collect();
        cuts.sort_by_key(|cut| cut.at);
        cuts
    }

    /// The ledger and disk after a cut, as the start of another history.
    pub fn after(&self, cut: Cut) -> (Image, Ledger) {
        let image = super::image::Player::new(self.base.clone(), &self.recording).cut(cut);
        (image, self.ledger.at_cut(cut.at as u64))
    }
}

/// Every so manieth of them, so that about `most` are left; always the last.
pub fn thin(cuts: Vec<Cut>, most: usize, offset: usize) -> Vec<Cut> {
    let step = cuts.len().div_ceil(most.max(1)).max(1);
    let last = cuts.len().saturating_sub(1);
    let chosen = |&(i, _): &(usize, Cut)| i == last || i % step == offset % step;
    cuts.into_iter().enumerate().filter(chosen).map(|(_, cut)| cut).collect()
}
