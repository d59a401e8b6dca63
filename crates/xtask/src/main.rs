//! `cargo xtask test`: every check of the project as one command, the one that CI runs; and runs that may take longer.
//!
//! It installs what it needs from the ordinary registries, prints each step with its duration, names what is missing and
//! how to get it, and closes with a table and `N passed, M failed`. Nothing is left out in silence: what was not checked
//! stands in the table and below it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod cores;
mod fuzz;
mod install;
mod instructions;
mod memcheck;
mod power_cut;
mod reliability;
mod report;
mod shell;
mod simulate;
mod soak;
mod steps;

use std::process::ExitCode;

use report::{Outcome, Report};
use steps::{STEPS, Step};

const USAGE: &str = "\
usage: cargo xtask test [--without STEP]... [--only STEP]...
       cargo xtask steps
       cargo xtask reliability [--minutes M]
       cargo xtask simulate [--minutes M [--from N]] | --seed N | --mutants
       cargo xtask soak --minutes M [--seed S] [--rate R] [--disk-mib N]
       cargo xtask power-cut --minutes M [--seed S]
       cargo xtask fuzz [--minutes M] [--target T] [--seed N]
       cargo xtask instructions [--only TEXT]... [--record]

`test` runs every check and ends with `N passed, M failed`; exit status 0 only if none failed.
  --without STEP   leaves that step out, and says so at the end; may be repeated
  --only STEP      runs just that step; may be repeated
`steps` lists the steps.
`reliability` runs all that stands behind a success answer: the log's own tests and mutants, loom, memcheck, faults, and
`simulate`, `power-cut` and `soak` for M minutes (5) each, with new seeds.
`simulate` lets the log crash at every step of run after run, on a simulated disk with every fault, for M minutes (10)
with seeds from N on or from anywhere; with --seed that one again; with --mutants each known mistake until it is caught.
`soak` runs the release binary for M minutes under load, restarts, kills, full disks and clock jumps, and checks every
event; the seed is printed. The step e2e does so for half a minute.
`power-cut` runs the log on disks that record every write, cuts their power for M minutes and checks every event; the
seed is printed. The step e2e does so for some two minutes.
The end-to-end steps install Debian packages and mount loop devices: they need root.
`fuzz` looks for new inputs that break a parser, for M minutes (10) a target, from a new seed each time or from N;
the step `fuzz` of `test` only walks where it always walks.
`instructions` counts what the hot paths cost under callgrind and compares with benches/instructions/baseline.txt; with
--record what it counts becomes the baseline; --only takes the benchmarks with TEXT in their names.";

/// What is run by itself; each says itself what it can be told.
type LongRun = fn(&[&str]) -> Result<ExitCode, String>;
const LONG_RUNS: [(&str, LongRun); 6] = [
    ("instructions", |options| instructions::instructions(options).map(|()| ExitCode::SUCCESS)),
    ("reliability", reliability::reliability),
    ("simulate", |options| simulate::simulate(options).map(|()| ExitCode::SUCCESS)),
    ("power-cut", |options| power_cut::power_cut(options).map(|()| ExitCode::SUCCESS)),
    ("soak", |options| soak::soak(options).map(|()| ExitCode::SUCCESS)),
    ("fuzz", |options| fuzz::longer(&fuzz_options(options)?).map(|()| ExitCode::SUCCESS)),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let Some((&name, options)) = args.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some((_, run)) = LONG_RUNS.iter().find(|(known, _)| *known == name) {
        return run(options).unwrap_or_else(|why| {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        });
    }
    match (name, options) {
        ("test", options) => match chosen(options) {
            Ok(chosen) => test(&chosen),
            Err(wrong) => {
                eprintln!("xtask: {wrong}\n\n{USAGE}");
                ExitCode::from(2)
            }
        },
        ("steps", []) => {
            STEPS.iter().for_each(|step| println!("{:14} {}", step.name, step.about));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn fuzz_options<'a>(options: &[&'a str]) -> Result<fuzz::Longer<'a>, String> {
    let mut longer = fuzz::Longer { minutes: 10, target: None, seed: None };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = *options.next().ok_or_else(|| format!("{option} wants a value"))?;
        let number = || value.parse().map_err(|_| format!("{option} wants a whole number, not {value:?}"));
        match *option {
            "--minutes" => longer.minutes = number()?,
            "--target" => longer.target = Some(value),
            "--seed" => longer.seed = Some(number()?),
            other => return Err(format!("unknown option {other:?}")),
        }
    }
    Ok(longer)
}

/// Every step, and whether it is to run.
fn chosen(options: &[&str]) -> Result<Vec<(&'static Step, bool)>, String> {
    let (mut without, mut only) = (Vec::new(), Vec::new());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let list = match *option {
            "--without" => &mut without,
            "--only" => &mut only,
            other => return Err(format!("unknown option {other:?}")),
        };
        let name = *options.next().ok_or_else(|| format!("{option} wants the name of a step"))?;
        let known = STEPS.iter().any(|step| step.name == name);
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        if !known {
            return Err(format!("no step {name:?}; there are {}", names.join(", ")));
        }
        list.push(name);
    }
    // Without the tests, what only they need is not wanted either.
    if without.contains(&"e2e") {
        without.push("e2e-install");
    }
    let runs = |step: &Step| (only.is_empty() || only.contains(&step.name)) && !without.contains(&step.name);
    Ok(STEPS.iter().map(|step| (step, runs(step))).collect())
}

fn test(chosen: &[(&'static Step, bool)]) -> ExitCode {
    let mut report = Report::default();
    for (step, runs) in chosen {
        if !runs {
            report.add(step.name, Outcome::LeftOut);
            continue;
        }
        if let Some(needed) = step.needs.iter().find(|needed| report.failed(needed)) {
            report.add(step.name, Outcome::Failed(format!("it needs the step {needed}, which failed")));
            continue;
        }
        report.start(step.name, step.about);
        let outcome = match (step.run)() {
            Ok(notes) => Outcome::Passed(notes),
            Err(why) => Outcome::Failed(why),
        };
        report.add(step.name, outcome);
    }
    report.close()
}
