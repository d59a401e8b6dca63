//! What the hot paths cost in instructions, each in a process of its own under valgrind's callgrind.
//!
//! `cargo xtask instructions` builds this, runs every benchmark, and compares with `baseline.txt`. A count of
//! instructions does not depend on what else the machine does, so a few per cent more is a change of the code and
//! not of the weather; what it cannot see is the cache, the kernel and the disk, which `benches/` measures.
//!
//! ```text
//! instructions --list              the names, and what each counts per
//! instructions NAME                runs one; counts if callgrind watches
//! instructions NAME --waste N      the same with N needless steps in each unit: it must be noticed
//! ```
//!
//! # Invariants
//! * The work is the same in every run: fixed bytes, fixed clocks, one sender that waits for each answer.
//! * Only what lies between `counting_begins` and `counting_ends` counts, of all threads.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that other programs run")]

mod counter;
mod events;
mod export;
mod http;
mod log;
mod route;
mod scan;

use counter::Counter;
use std::{path::Path, process::ExitCode};

/// A benchmark.
pub(crate) struct Benchmark {
    /// `crate/what/size`, as in the baseline.
    pub(crate) name: &'static str,
    /// What its figures are per.
    pub(crate) unit: &'static str,
    /// Does it; a data directory, if it needs one, goes into the one given.
    pub(crate) run: fn(&Counter, &Path),
}

fn benchmarks() -> impl Iterator<Item = &'static Benchmark> {
    [scan::BENCHMARKS, route::BENCHMARKS, log::BENCHMARKS, export::BENCHMARKS, http::BENCHMARKS]
        .into_iter()
        .flatten()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (name, waste) = match args[..] {
        ["--list"] => {
            benchmarks().for_each(|benchmark| println!("{} {}", benchmark.name, benchmark.unit));
            return ExitCode::SUCCESS;
        }
        [name] => (name, Some(0)),
        [name, "--waste", steps] => (name, steps.parse().ok()),
        _ => ("", None),
    };
    let benchmark = benchmarks().find(|benchmark| benchmark.name == name);
    let (Some(benchmark), Some(waste)) = (benchmark, waste) else {
        eprintln!("usage: instructions --list | NAME [--waste N]; got {args:?}");
        return ExitCode::from(2);
    };
    let counter = Counter::new(waste);
    (benchmark.run)(&counter, &std::env::temp_dir());
    println!("counted {}", counter.units());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Each asserts for itself that it does what its name says.
    #[test]
    fn every_benchmark_runs() {
        let mut names = HashSet::new();
        for benchmark in benchmarks() {
            assert!(names.insert(benchmark.name), "{} twice", benchmark.name);
            assert!(!benchmark.name.contains(' '), "{}: the baseline has columns", benchmark.name);
            let counter = Counter::once();
            (benchmark.run)(&counter, &std::env::temp_dir());
            assert!(counter.units() > 0, "{} counts nothing", benchmark.name);
        }
    }
}
