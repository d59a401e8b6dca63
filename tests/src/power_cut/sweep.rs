//! Cuts the power again and again, and adds up what was found.

use std::fmt;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::image::Player;
use super::reboot::{self, Promised, Survey};
use super::scenario::DATA;
use super::{Cut, Image, Machine, Mounted, Recorded, evidence};

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Recordings made.
    pub recordings: u64,
    /// Operations in them.
    pub ops: u64,
    /// Flushes among them.
    pub flushes: u64,
    /// Power cuts survived.
    pub cuts: u64,
    /// Acknowledged requests that were there, over all cuts.
    pub acked: u64,
    /// Requests that were there without an acknowledgement, over all cuts.
    pub in_doubt: u64,
    /// Torn tails that were cut.
    pub cut_tails: u64,
    /// Operations answered with an error.
    pub faults: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.recordings += other.recordings;
        self.ops += other.ops;
        self.flushes += other.flushes;
        self.cuts += other.cuts;
        self.acked += other.acked;
        self.in_doubt += other.in_doubt;
        self.cut_tails += other.cut_tails;
        self.faults += other.faults;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { recordings, ops, flushes, cuts, acked, in_doubt, cut_tails, faults } = self;
        write!(
            f,
            "{cuts} power cuts in {recordings} recordings of {ops} operations ({flushes} flushes, {faults} failed): \
             {acked} acknowledged requests there, {in_doubt} more in doubt, {cut_tails} torn tails"
        )
    }
}

/// Cuts the power at each of these moments, which come in rising order.
///
/// # Panics
/// At the first promise that was broken, with the place where the evidence is kept.
pub fn sweep(machine: &Machine, recorded: &Recorded, cuts: &[Cut]) -> Tally {
    let recording = &recorded.recording;
    let failed = |op: &super::Op| matches!(op.kind, super::Kind::FailedWrite | super::Kind::FailedFlush);
    let mut tally = Tally {
        recordings: 1,
        ops: recording.ops().len() as u64,
        flushes: recording.flushes().count() as u64,
        faults: recording.ops().iter().filter(|op| failed(op)).count() as u64,
        ..Tally::default()
    };
    let mut player = Player::new(recorded.base.clone(), recording);
    for &cut in cuts {
        match one(machine, recorded, cut, &player.cut(cut)) {
            Ok(Survey { acked, in_doubt, cut_tails }) => {
                tally.cuts += 1;
                tally.acked += acked;
                tally.in_doubt += in_doubt;
                tally.cut_tails += cut_tails;
            }
            Err(broken) => evidence::keep(recorded, cut, &broken),
        }
    }
    tally
}

/// Cuts the power once.
///
/// # Errors
/// The promise that was broken.
pub fn one(machine: &Machine, recorded: &Recorded, cut: Cut, image: &Image) -> Result<Survey, String> {
    let scenario = &recorded.scenario;
    let mounted = Mounted::image(machine, image, scenario.file_system)?;
    let promised = Promised {
        ledger: &recorded.ledger,
        at: cut.at as u64,
        seed: scenario.seed,
        kept: scenario.kept,
        backend: scenario.backend,
    };
    let survey = catch_unwind(AssertUnwindSafe(|| reboot::check(&mounted.path().join(DATA), promised)));
    let survey = survey.unwrap_or_else(|_| Err("the log panicked: see above".to_owned()))?;
    mounted.unmount();
    Ok(survey)
}
