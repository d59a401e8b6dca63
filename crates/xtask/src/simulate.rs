//! `cargo xtask simulate`: the log on a simulated machine that goes down at every step, for as long as one likes.
//!
//! The simulation lives in the tests of `forebay-log`, built as fast as the product is; this starts it and says what it
//! is to do. A run prints the seed of what it found, and the command that does that again.

use std::time::Duration;

use crate::shell::{capture, command, run_command};

const SIMULATE: &str = "simulation::long::simulate";
const MUTANTS: &str = "simulation::mutants::table";
/// What the step of `test` takes, after building.
const STEP_SECONDS: u64 = 150;
/// Where the step starts, so that a change does not fail for a seed that was never tried before.
const STEP_FROM: u64 = 0;
const MINUTES: u64 = 10;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Seed(u64),
    Seconds { seconds: u64, from: Option<u64> },
    Mutants,
}

/// Simulates as `options` say.
pub(crate) fn simulate(options: &[&str]) -> Result<(), String> {
    match wanted(options)? {
        Wanted::Seed(seed) => test(SIMULATE, &[("FOREBAY_SIMULATE_SEED", seed)]),
        Wanted::Seconds { seconds, from } => {
            let mut environment = vec![("FOREBAY_SIMULATE_SECONDS", seconds)];
            environment.extend(from.map(|from| ("FOREBAY_SIMULATE_FROM", from)));
            test(SIMULATE, &environment)
        }
        Wanted::Mutants => test(MUTANTS, &[]),
    }
}

/// The step of `test`: the same seeds each time, as many as the machine gets through.
pub(crate) fn step() -> Result<Vec<String>, String> {
    test(SIMULATE, &[("FOREBAY_SIMULATE_SECONDS", STEP_SECONDS), ("FOREBAY_SIMULATE_FROM", STEP_FROM)])?;
    Ok(Vec::new())
}

fn test(name: &str, environment: &[(&str, u64)]) -> Result<(), String> {
    let build = "cargo test --locked --profile fast --package forebay-log --lib";
    let (built, output) = capture(command(&format!("{build} --no-run")), Duration::from_secs(1800));
    if !built {
        return Err(format!("the simulation does not build\n{output}"));
    }
    let mut run = command(&format!("{build} --quiet -- --ignored --exact {name} --nocapture"));
    run.envs(environment.iter().map(|(name, value)| (*name, value.to_string())));
    // What a broken promise is, its seed tells: where in the simulation it was noticed is of no interest.
    run.env("RUST_BACKTRACE", "0");
    run_command(run)
}

fn wanted(options: &[&str]) -> Result<Wanted, String> {
    let number = |option: &str, value: Option<&&str>| -> Result<u64, String> {
        let value = value.ok_or_else(|| format!("{option} wants a number"))?;
        value.parse().map_err(|_| format!("{option} {value:?}: it wants a whole number"))
    };
    let (mut minutes, mut from) = (MINUTES, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--seed" => return Ok(Wanted::Seed(number(option, options.next())?)),
            "--mutants" => return Ok(Wanted::Mutants),
            "--minutes" => minutes = number(option, options.next())?,
            "--from" => from = Some(number(option, options.next())?),
            other => {
                return Err(format!(
                    "simulate knows no {other:?}: --minutes M [--from N], --seed N, --mutants"
                ));
            }
        }
    }
    Ok(Wanted::Seconds { seconds: minutes.saturating_mul(60), from })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays_and_minutes_run_for_that_long() {
        assert_eq!(wanted(&["--seed", "7"]), Ok(Wanted::Seed(7)));
        assert_eq!(wanted(&[]), Ok(Wanted::Seconds { seconds: 600, from: None }));
        let from = Ok(Wanted::Seconds { seconds: 120, from: Some(5) });
        assert_eq!(wanted(&["--minutes", "2", "--from", "5"]), from);
        assert_eq!(wanted(&["--mutants"]), Ok(Wanted::Mutants));
        for wrong in [&["--seed"][..], &["--seed", "x"], &["--hours", "1"]] {
            wanted(wrong).unwrap_err();
        }
    }
}
