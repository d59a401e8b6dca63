//! valgrind's memcheck over the tests that run the log's `unsafe` blocks: maps of real files, written and read.
//!
//! What it looks for: bytes read or written that are not there (behind a map, after it is gone, freed) and decisions
//! that depend on bytes nobody wrote. A tool that finds nothing proves nothing, so it must first find what is wrong
//! with a small program that is wrong on purpose.
//!
//! Data races are not looked for here: helgrind and DRD know pthread's locks, but not the futexes and atomics that
//! Rust's standard library is made of, and report hundreds of races in it. That part is loom's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use crate::install::debian_packages;
use crate::shell::{capture, command, repository, run_command, target_dir};

/// What each run may find wrong, by the word that memcheck uses for it.
const WRONG: [(&str, &str); 3] = [
    ("use-after-unmap", "Invalid read"),
    ("use-after-free", "Invalid read"),
    ("never-written", "uninitialised"),
];
/// The tests of `forebay-log` that run its `unsafe` blocks on real files, by the beginnings of their names: both ways
/// to commit, maps for reading that outlive their segments, watermarks read while they are written, and all of it at
/// once.
const TESTS: [&str; 7] = [
    "bench::tests::",
    "cursor::tests::",
    "cursor::unreadable_tests::",
    "log::stress::whatever_cores",
    "log::tests::segments_whose",
    "log::tests::the_unclaimed_lane",
    "log::tests::what_was_committed",
];
/// Under memcheck all of them take some minute on two cores.
const LIMIT: Duration = Duration::from_secs(400);

/// Runs the tests under memcheck; any error fails.
pub(crate) fn memcheck() -> Result<Vec<String>, String> {
    debian_packages(&["valgrind"])?;
    let home = target_dir().join("memcheck");
    fs::create_dir_all(&home).map_err(|e| format!("cannot make {}: {e}", home.display()))?;
    finds_what_is_wrong(&home)?;
    let tests = build()?;
    let names = list(&tests)?;
    // A process for each core: memcheck runs the threads of one process one at a time.
    let workers = thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let found: Vec<_> = thread::scope(|scope| {
        let shares: Vec<_> = (0..workers)
            .map(|worker| {
                let share: Vec<_> = names.iter().skip(worker).step_by(workers).collect();
                let mut run = valgrind(&tests);
                run.args(["--exact", "--test-threads=1"]).args(share);
                scope.spawn(move || capture(run, LIMIT))
            })
            .collect();
        shares.into_iter().filter_map(|share| share.join().ok()).collect()
    });
    let mut wrong = Vec::new();
    for (good, output) in found {
        let passed = output.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ok")).count();
        println!("memcheck: {passed} tests without an error");
        if !good {
            println!("{output}");
            wrong.push("a test failed, or memcheck found errors: see above".to_owned());
        }
    }
    wrong.into_iter().next().map_or(Ok(Vec::new()), Err)
}

/// Shows that memcheck would find what it is for.
fn finds_what_is_wrong(home: &Path) -> Result<(), String> {
    let source = repository().join("crates/xtask/src/memcheck/wrong_on_purpose.rs");
    let program = home.join("wrong_on_purpose");
    let mut compile = command("rustc --edition 2024 -C debuginfo=1 -o");
    compile.arg(&program).arg(&source);
    run_command(compile)?;
    let (good, output) = capture(with(valgrind(&program), "nothing"), LIMIT);
    if !good {
        return Err(format!("memcheck objects to a program with nothing wrong: {output}"));
    }
    for (what, word) in WRONG {
        let (good, output) = capture(with(valgrind(&program), what), LIMIT);
        if good || !output.contains(word) {
            return Err(format!("memcheck did not find {what:?}, so it would find nothing: {output}"));
        }
    }
    println!("memcheck finds what is wrong on purpose: {}", WRONG.map(|(what, _)| what).join(", "));
    Ok(())
}

fn with(mut command: Command, argument: &str) -> Command {
    command.arg(argument);
    command
}

fn valgrind(program: &Path) -> Command {
    let mut valgrind = command("valgrind --quiet --error-exitcode=9 --fair-sched=try --num-callers=20");
    valgrind.arg(program);
    valgrind
}

/// Builds the unit tests as the step `unit` does, and says where those of the log are.
fn build() -> Result<PathBuf, String> {
    // All of the workspace: with fewer packages cargo would build the dependencies anew.
    let build = "cargo test --workspace --locked --lib --no-run --message-format=json --quiet";
    let (good, output) = capture(command(build), Duration::from_secs(1200));
    if !good {
        return Err(format!("`{build}` failed: {output}"));
    }
    let executable =
        output.lines().filter(|line| line.contains(r#""name":"forebay_log""#)).find_map(|line| {
            let (_, path) = line.split_once(r#""executable":""#)?;
            path.split('"').next().map(PathBuf::from)
        });
    executable.ok_or_else(|| format!("`{build}` names no tests of forebay-log"))
}

/// The names of the tests to run.
fn list(tests: &Path) -> Result<Vec<String>, String> {
    let mut list = Command::new(tests);
    list.args(["--list", "--format=terse"]);
    let (good, output) = capture(list, Duration::from_secs(60));
    let is_wanted = |name: &&str| TESTS.iter().any(|beginning| name.starts_with(beginning));
    let names: Vec<_> = output
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(is_wanted)
        .map(str::to_owned)
        .collect();
    match TESTS.iter().find(|beginning| !names.iter().any(|name| name.starts_with(**beginning))) {
        Some(none) if good => Err(format!("no test begins with {none:?} any more: mend the list")),
        None if good => Ok(names),
        _ => Err(format!("cannot list the tests: {output}")),
    }
}
