//! `cargo xtask instructions`: what the hot paths cost in instructions, against a recorded baseline.
//!
//! Each benchmark of `benches/instructions` runs in a process of its own under valgrind's callgrind, which counts
//! instructions one by one: the same code gives the same count on a busy machine, so a few per cent more fails. What
//! a count depends on beside the code (compiler, libc, valgrind, the CPU's vectors as valgrind knows them) stands in
//! the baseline; where it differs, only gross changes fail, and the report says so.
//!
//! A comparison that never fails proves nothing, so each run first shows that it notices a benchmark that was made
//! slower on purpose.
//!
//! valgrind 3.19 knows no AVX-512: code that picks its vectors at run time runs as on a CPU with AVX2.

mod baseline;
mod callgrind;
mod compare;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::cores;
use crate::install::debian_packages;
use crate::shell::{capture, command, repository, run, target_dir};
use baseline::{Baseline, Row, Setting};
use callgrind::Bench;
use compare::{Comparison, Tolerance};

/// How to take what is counted now as the new baseline.
const RECORD: &str = "cargo xtask instructions --record";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted<'a> {
    record: bool,
    /// Only benchmarks whose name contains one of these; all if there is none.
    only: Vec<&'a str>,
}

/// Counts, and compares or records.
pub(crate) fn instructions(options: &[&str]) -> Result<(), String> {
    let wanted = wanted(options)?;
    if !wanted.record {
        return checked(&wanted.only).map(drop);
    }
    let bench = build()?;
    let mut new = Baseline { settings: settings(), rows: count(&bench, &wanted.only)? };
    if !wanted.only.is_empty() {
        new = recorded()?.with(new)?;
    }
    let path = baseline_path();
    fs::write(&path, new.to_string()).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    print!("{new}");
    println!("\nrecorded in {}", path.display());
    Ok(())
}

/// The step of `test`.
pub(crate) fn step() -> Result<Vec<String>, String> {
    checked(&[])
}

fn checked(only: &[&str]) -> Result<Vec<String>, String> {
    let recorded = recorded()?;
    let bench = build()?;
    let now = Baseline { settings: settings(), rows: count(&bench, only)? };
    compared(&bench, recorded, &now, only)
}

fn recorded() -> Result<Baseline, String> {
    let path = baseline_path();
    let text = fs::read_to_string(&path)
        .map_err(|e| format!("cannot read {}: {e}; `{RECORD}` makes it", path.display()))?;
    Baseline::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
}

fn baseline_path() -> PathBuf {
    repository().join("benches/instructions/baseline.txt")
}

fn wanted<'a>(options: &[&'a str]) -> Result<Wanted<'a>, String> {
    let mut wanted = Wanted::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--record" => wanted.record = true,
            "--only" => wanted.only.push(options.next().ok_or("--only wants a part of a benchmark's name")?),
            other => return Err(format!("instructions knows no {other:?}: --record, --only TEXT")),
        }
    }
    Ok(wanted)
}

/// Builds the benchmarks as the server is built.
fn build() -> Result<Bench, String> {
    debian_packages(&["valgrind"])?;
    // Naming the server too gives the dependencies the features that it has them with: nothing is built twice.
    let both = "--package forebay-server --package forebay-instructions";
    run(&format!("cargo build --release --locked {both} --bin instructions --quiet"))?;
    let home = target_dir().join("instructions");
    fs::create_dir_all(&home).map_err(|e| format!("cannot make {}: {e}", home.display()))?;
    Ok(Bench { program: target_dir().join("release/instructions"), home })
}

/// How often each benchmark is counted; the least counts.
const COUNTED: usize = 3;

/// Every benchmark that is wanted, as many at a time as there are cores.
fn count(bench: &Bench, only: &[&str]) -> Result<Vec<Row>, String> {
    let names: Vec<_> = bench
        .list()?
        .into_iter()
        .filter(|(name, _)| only.is_empty() || only.iter().any(|part| name.contains(part)))
        .collect();
    if names.is_empty() {
        return Err(format!("no benchmark has {} in its name", only.join(" or ")));
    }
    println!(
        "{} NAME, under valgrind --tool=callgrind, for {} benchmarks",
        bench.program.display(),
        names.len()
    );
    let count = |(name, unit): &(String, String)| {
        // Where threads meet, one may have to wait for the other: that only adds.
        let mut cost = bench.count(name, 0)?;
        for _ in 1..COUNTED {
            let again = bench.count(name, 0)?;
            cost.instructions = cost.instructions.min(again.instructions);
            cost.allocations = cost.allocations.min(again.allocations);
        }
        Ok(Row { name: name.clone(), unit: unit.clone(), cost })
    };
    cores::each(&names, count).into_iter().collect()
}

/// Prints the comparison, after showing that it notices a slow-down.
fn compared(bench: &Bench, recorded: Baseline, now: &Baseline, only: &[&str]) -> Result<Vec<String>, String> {
    let tolerance = Tolerance::between(&recorded.settings, &now.settings);
    if let Some(tolerance) = tolerance {
        notices_what_is_slower(bench, now, tolerance)?;
    }
    let mut rows = recorded.rows;
    rows.retain(|row| only.is_empty() || only.iter().any(|part| row.name.contains(part)));
    let comparison = Comparison::of(&rows, &now.rows, tolerance.unwrap_or(Tolerance::ELSEWHERE));
    println!("{comparison}");
    let differs = baseline::differences(&recorded.settings, &now.settings);
    let Some(tolerance) = tolerance else {
        let note = format!("instructions were counted and not compared: {differs}");
        println!("NOT CHECKED: {note}");
        return Ok(vec![note]);
    };
    let mut notes = Vec::new();
    if !differs.is_empty() {
        let slower = tolerance.slower;
        notes.push(format!(
            "changes of less than {slower} %: {differs}; `{RECORD}` on a tree that is as fast as it should be"
        ));
        println!("NOT CHECKED: {}", notes[0]);
    }
    comparison.verdict(tolerance).map(|()| notes).map_err(|why| {
        format!(
            "{why}\n  what a benchmark spends where: callgrind_annotate {}/NAME.out.1 (with _ for /)\n  \
             if it is meant to be so: {RECORD}",
            bench.home.display()
        )
    })
}

/// Makes the first benchmark slower by twice what is tolerated, and expects that to be told.
fn notices_what_is_slower(bench: &Bench, now: &Baseline, tolerance: Tolerance) -> Result<(), String> {
    /// A needless step is at least a store and the count of the loop.
    const STEP_INSTRUCTIONS: f64 = 3.0;
    let Some(row) = now.rows.first() else { return Err("nothing was counted".to_owned()) };
    let steps = (row.cost.instructions * 2.0 * tolerance.slower / 100.0 / STEP_INSTRUCTIONS).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few per cent of a small count"
    )]
    let wasteful = [Row { cost: bench.count(&row.name, steps as u64)?, ..row.clone() }];
    let comparison = Comparison::of(std::slice::from_ref(row), &wasteful, tolerance);
    let (before, after) = (row.cost.instructions, wasteful[0].cost.instructions);
    match comparison.verdict(tolerance) {
        Err(_) if after > before => {
            println!(
                "a needless slow-down is noticed: {} from {before:.0} to {after:.0} instructions",
                row.name
            );
            Ok(())
        }
        _ => Err(format!(
            "{} with {steps} needless steps went from {before:.0} to {after:.0} instructions, and that was not \
             noticed: what follows would prove nothing",
            row.name
        )),
    }
}

/// What the counts depend on beside the code.
fn settings() -> Vec<Setting> {
    let says = |line: &str| {
        let (good, output) = capture(command(line), Duration::from_secs(60));
        let first = output.lines().next().unwrap_or_default().trim().to_owned();
        if good && !first.is_empty() { first } else { "unknown".to_owned() }
    };
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_avx2 = flags.split_whitespace().any(|flag| flag == "avx2");
    let vectors = if has_avx2 { "with AVX2" } else { "without AVX2" };
    [
        (baseline::CPU, format!("{} {vectors}", std::env::consts::ARCH)),
        ("rustc", says("rustc --version")),
        ("valgrind", says("valgrind --version")),
        ("libc", says("getconf GNU_LIBC_VERSION")),
    ]
    .map(|(what, value)| Setting { what: what.to_owned(), value })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_what_to_count_and_whether_to_keep_it() {
        assert_eq!(wanted(&[]), Ok(Wanted::default()));
        let both = Wanted { record: true, only: vec!["scan", "http"] };
        assert_eq!(wanted(&["--only", "scan", "--record", "--only", "http"]), Ok(both));
        for wrong in [&["--only"][..], &["--fast"]] {
            wanted(wrong).unwrap_err();
        }
    }

    #[test]
    fn the_recorded_baseline_reads_back_as_it_was_written() {
        let text = fs::read_to_string(baseline_path()).expect("it is in the repository");
        let baseline = Baseline::parse(&text).expect("well formed");
        assert_eq!(baseline.to_string(), text);
        assert!(baseline.rows.iter().all(|row| row.cost.instructions > 0.0));
    }
}
