//! `cargo xtask reliability`: everything that stands behind "a success answer means durable", as one command.
//!
//! What `test` checks in minutes with seeds that never change, this does for as long as one likes with new ones:
//! docs/reliability.md says what each part shows, and records what the last long runs found.

use std::process::ExitCode;

use crate::install::debian_packages;
use crate::report::{Outcome, Report};
use crate::shell::{has, run, run_command, target_dir};
use crate::steps::{loom, release};
use crate::{memcheck, power_cut, shell, simulate, soak};

/// For each of the parts that can go on for ever, unless told otherwise.
const MINUTES: u64 = 5;

/// A part of the suite.
struct Part {
    name: &'static str,
    about: &'static str,
    run: fn(minutes: &str) -> Result<(), String>,
}

const PARTS: [Part; 8] = [
    Part {
        name: "log",
        about: "the log's own tests: invariants, mutants, the damage matrix, upgrade, live reading",
        run: |_| own_tests(),
    },
    Part { name: "loom", about: "the hand-overs under every interleaving", run: |_| loom().map(drop) },
    Part { name: "memcheck", about: "the unsafe blocks", run: |_| memcheck::memcheck().map(drop) },
    Part { name: "mutants", about: "each known mistake, until it is caught", run: |_| mutants() },
    Part {
        name: "simulate",
        about: "a simulated machine that goes down at every step",
        run: |minutes| simulate::simulate(&["--minutes", minutes]),
    },
    Part {
        name: "power-cut",
        about: "real file systems on a disk that records every write",
        run: |minutes| power_cut::power_cut(&["--minutes", minutes]),
    },
    Part { name: "faults", about: "the binary: kills, full disks, damage, clocks", run: |_| faults() },
    Part {
        name: "soak",
        about: "the binary under load, restarts and faults",
        run: |minutes| soak::soak(&["--minutes", minutes]),
    },
];

/// Runs every part, whatever the others come to.
pub(crate) fn reliability(options: &[&str]) -> Result<ExitCode, String> {
    let minutes = match options {
        [] => MINUTES,
        ["--minutes", minutes] => {
            minutes.parse().map_err(|_| format!("--minutes wants a whole number, not {minutes:?}"))?
        }
        other => return Err(format!("reliability knows --minutes M, not {}", other.join(" "))),
    };
    let minutes = minutes.to_string();
    let mut report = Report::default();
    for part in PARTS {
        report.start(part.name, part.about);
        report.add(
            part.name,
            match (part.run)(&minutes) {
                Ok(()) => Outcome::Passed(Vec::new()),
                Err(why) => Outcome::Failed(why),
            },
        );
    }
    Ok(report.close())
}

fn own_tests() -> Result<(), String> {
    let packages = "--package forebay-log --package forebay-record --locked --no-fail-fast";
    if has("cargo-nextest") {
        return run(&format!("cargo nextest run {packages} --status-level fail"));
    }
    run(&format!("cargo test {packages} --quiet"))
}

fn mutants() -> Result<(), String> {
    simulate::simulate(&["--mutants"])
}

fn faults() -> Result<(), String> {
    debian_packages(&["mkfs.ext4", "mkfs.xfs", "fusermount3", "mount", "faketime"])?;
    release()?;
    // One at a time: faults are judged against the clock.
    let mut tests =
        shell::command("cargo test --package forebay-tests --locked --no-fail-fast --test faults_*");
    tests.args(["--test", "accounting_after_kill", "--test", "power_cut*", "--", "--test-threads=1"]);
    tests.env("FOREBAY_BIN", target_dir().join("release/forebay"));
    run_command(tests)
}
