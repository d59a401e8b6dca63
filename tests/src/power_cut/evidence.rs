//! The evidence of a broken promise: enough to cut the power at that moment again, as often as one likes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::image::Player;
use super::reboot::Survey;
use super::{Cut, FileSystem, Image, Ledger, Machine, Recorded, Recording, Scenario, sweep};

/// Writes the evidence down and says so.
///
/// # Panics
/// Always: a promise was broken.
pub fn keep(recorded: &Recorded, cut: Cut, broken: &str) -> ! {
    let Scenario { file_system, backend, seed, kept, .. } = recorded.scenario;
    let about = format!("{} {backend} {seed} {kept} {cut}", file_system.name());
    let dir = home().join(about.replace(' ', "-"));
    let written = fs::create_dir_all(&dir)
        .and_then(|()| recorded.base.save(&dir.join("image")))
        .and_then(|()| recorded.recording.save(&dir.join("recording")))
        .and_then(|()| fs::write(dir.join("ledger"), recorded.ledger.text()))
        .and_then(|()| fs::write(dir.join("about"), format!("{about}\n{broken}\n")));
    let again = match written {
        Ok(()) => format!("cargo run -p forebay-tests --bin power_cut -- replay {}", dir.display()),
        Err(e) => format!("the evidence could not be kept in {}: {e}", dir.display()),
    };
    panic!(
        "POWER CUT {cut} on {} with {backend}, seed {seed}: {broken}\n\
         in {:?}\nagain: {again}",
        file_system.name(),
        recorded.scenario
    );
}

/// Cuts the power once more where evidence was kept.
///
/// # Errors
/// The promise that was broken, or what is wrong with the evidence.
pub fn replay(machine: &Machine, dir: &Path) -> Result<Survey, String> {
    let wrong = |what: &str, e: &dyn std::fmt::Display| format!("{}: {what}: {e}", dir.display());
    let about = fs::read_to_string(dir.join("about")).map_err(|e| wrong("about", &e))?;
    let words: Vec<_> = about.lines().next().unwrap_or_default().split(' ').collect();
    let &[file_system, backend, seed, kept, cut] = words.as_slice() else {
        return Err(wrong("about", &"five words are wanted"));
    };
    let number = |text: &str| text.parse::<u64>().map_err(|e| wrong(text, &e));
    let scenario = Scenario {
        file_system: FileSystem::named(file_system)?,
        backend: backend.parse()?,
        seed: number(seed)?,
        kept: number(kept)?,
        flush_takes: Duration::ZERO,
        sessions: Vec::new(),
    };
    let cut: Cut = cut.parse()?;
    let recorded = Recorded {
        scenario,
        base: Image::read(&dir.join("image")).map_err(|e| wrong("image", &e))?,
        recording: Recording::read(&dir.join("recording")).map_err(|e| wrong("recording", &e))?,
        ledger: Ledger::parse(&fs::read_to_string(dir.join("ledger")).map_err(|e| wrong("ledger", &e))?)?,
    };
    let image = Player::new(recorded.base.clone(), &recorded.recording).cut(cut);
    sweep::one(machine, &recorded, cut, &image)
}

/// Beside everything else that cargo makes.
fn home() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")).join("power-cut")
}
