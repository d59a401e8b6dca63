//! The steps, in their order: what is cheap and fails often comes first.
//!
//! # How the time is kept
//! * Everything in the dev profile (clippy, tests, doc tests, benches run once) shares one build of the dependencies,
//!   which are optimised a little there, so that tests run fast without a second build. Each of these commands names the
//!   whole workspace: with fewer packages cargo would choose other features, and build the dependencies again.
//! * loom and fuzzing need flags of their own, so directories of their own; they build few crates.
//! * The end-to-end tests drive the release binary, the one that is shipped; the benchmarks that count instructions are
//!   built from the same dependencies.

use std::path::Path;
use std::time::Duration;

use crate::fuzz;
use crate::install::{cargo_tool, end_to_end};
use crate::instructions;
use crate::memcheck;
use crate::shell::{capture, command, has, repository, run, run_command, target_dir};
use crate::simulate;

/// A check.
pub(crate) struct Step {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it checks.
    pub(crate) about: &'static str,
    /// Steps that it makes no sense after, if they failed.
    pub(crate) needs: &'static [&'static str],
    /// Does it; gives notes on what could not be checked.
    pub(crate) run: fn() -> Result<Vec<String>, String>,
}

/// All of them.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "format", about: "rustfmt finds nothing to change", needs: &[], run: format },
    Step { name: "clippy", about: "no warning in any target", needs: &[], run: clippy },
    Step { name: "unit", about: "unit and property tests", needs: &[], run: unit },
    Step { name: "doc-tests", about: "the examples in the documentation", needs: &[], run: doc_tests },
    Step { name: "docs", about: "the documentation builds without a warning", needs: &[], run: docs },
    Step { name: "benches", about: "every benchmark runs once", needs: &[], run: benches },
    Step { name: "loom", about: "the lock-free hand-offs under every interleaving", needs: &[], run: loom },
    Step {
        name: "memcheck",
        about: "valgrind finds nothing in the tests that run the log's unsafe blocks",
        needs: &[],
        run: memcheck::memcheck,
    },
    Step {
        name: "deny",
        about: "licences, bans, sources and advisories of the dependencies",
        needs: &[],
        run: deny,
    },
    Step { name: "fuzz", about: "a short run of each fuzz target", needs: &[], run: fuzz::smoke },
    Step {
        name: "simulate",
        about: "the log on a simulated disk that fails and goes down at every step",
        needs: &[],
        run: simulate::step,
    },
    Step { name: "release", about: "the release build of the binary", needs: &[], run: release },
    Step {
        name: "instructions",
        about: "the hot paths cost no more instructions than recorded",
        needs: &[],
        run: instructions::step,
    },
    Step { name: "e2e-install", about: "what the end-to-end tests need", needs: &[], run: e2e_install },
    Step {
        name: "e2e",
        about: "the real binary with real SDKs, a browser, load balancers and faults",
        needs: &["release", "e2e-install"],
        run: e2e,
    },
];

/// The crates with models of their hand-offs.
const LOOM: &[&str] = &["forebay-log", "forebay-route"];

/// The crate whose tests need the binary; its own unit tests do not.
const END_TO_END: &str = "package(forebay-tests) and kind(test)";

const NOTHING: Result<Vec<String>, String> = Ok(Vec::new());

fn format() -> Result<Vec<String>, String> {
    run("cargo fmt --all --check")?;
    if repository().join("fuzz/Cargo.toml").exists() {
        run("cargo fmt --manifest-path fuzz/Cargo.toml --check")?;
    }
    NOTHING
}

fn clippy() -> Result<Vec<String>, String> {
    run("cargo clippy --workspace --all-targets --locked --quiet --keep-going -- -D warnings")?;
    NOTHING
}

fn unit() -> Result<Vec<String>, String> {
    if has("cargo-nextest") {
        let mut tests =
            command("cargo nextest run --workspace --locked --no-fail-fast --status-level fail -E");
        tests.arg(format!("not ({END_TO_END})"));
        run_command(tests)?;
    } else {
        println!(
            "cargo-nextest is missing (cargo install cargo-nextest --locked): cargo test does it, slower"
        );
        run("cargo test --workspace --locked --no-fail-fast --lib --bins --quiet")?;
        run("cargo test --workspace --locked --no-fail-fast --exclude forebay-tests --tests --quiet")?;
    }
    NOTHING
}

fn doc_tests() -> Result<Vec<String>, String> {
    run("cargo test --workspace --locked --doc --quiet")?;
    NOTHING
}

fn docs() -> Result<Vec<String>, String> {
    let mut doc = command("cargo doc --workspace --no-deps --locked --quiet");
    doc.env("RUSTDOCFLAGS", "-D warnings");
    run_command(doc)?;
    NOTHING
}

fn benches() -> Result<Vec<String>, String> {
    // Not by `cargo bench`: so criterion runs each benchmark once and measures nothing.
    run("cargo test --workspace --bench * --locked --quiet")?;
    NOTHING
}

/// Every model, of each crate that has some.
pub(crate) fn loom() -> Result<Vec<String>, String> {
    for package in LOOM {
        let mut test =
            command(&format!("cargo test --package {package} --locked --release --lib --quiet loom"));
        test.env("RUSTFLAGS", "--cfg loom");
        test.env("CARGO_TARGET_DIR", target_dir().join("loom"));
        // Nothing here is shipped: compile fast, run fast enough.
        test.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        test.env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        run_command(test)?;
    }
    NOTHING
}

fn deny() -> Result<Vec<String>, String> {
    cargo_tool("cargo-deny")?;
    run("cargo deny --locked check --hide-inclusion-graph licenses bans sources")?;
    let (good, output) = capture(command("cargo deny --locked check advisories"), Duration::from_secs(120));
    if good {
        return NOTHING;
    }
    if output.contains("failed to fetch advisory database") {
        let note = "advisories: their database could not be fetched from here; run \
                    `cargo deny check advisories` where GitHub can be reached";
        println!("NOT CHECKED: {note}");
        return Ok(vec![note.to_owned()]);
    }
    println!("{output}");
    Err("advisories: see above".to_owned())
}

/// The binary as it is shipped.
pub(crate) fn release() -> Result<Vec<String>, String> {
    run("cargo build --release --locked --package forebay-server --quiet")?;
    NOTHING
}

fn e2e_install() -> Result<Vec<String>, String> {
    end_to_end()?;
    NOTHING
}

fn e2e() -> Result<Vec<String>, String> {
    let binary = target_dir().join("release/forebay");
    if !Path::new(&binary).is_file() {
        return Err(format!("no {}: run the step release first", binary.display()));
    }
    let mut tests = if has("cargo-nextest") {
        let mut tests =
            command("cargo nextest run --workspace --locked --no-fail-fast --status-level pass -E");
        tests.arg(END_TO_END);
        tests
    } else {
        // One at a time: nothing else keeps the tests apart that need the whole machine.
        command("cargo test --package forebay-tests --locked --no-fail-fast --tests -- --test-threads=1")
    };
    tests.env("FOREBAY_BIN", binary);
    run_command(tests)?;
    NOTHING
}
