//! Scripts that use the real SDKs: Python, Node, and pages in Chromium driven by Node.
//!
//! `cargo xtask test` installs what they need under `target/e2e`: a Python environment in `python/`, node packages in
//! `node/`; Chromium is Debian's package.
//!
//! # Invariants
//! * A script prints one JSON value on stdout: what the SDK believes delivered, as a list of records.
//! * What is not installed fails the test and says how to get it; it is never skipped.

use std::path::PathBuf;
use std::process::Command;

use crate::Json;
use crate::cli::{self, finish, repository};

const HINT: &str = "run `cargo xtask test --only e2e-install` once";

fn installed(path: &str) -> PathBuf {
    let path = cli::target_dir().join("e2e").join(path);
    assert!(path.exists(), "{} is not there: {HINT}", path.display());
    path
}

/// Runs `tests/sdk/python/SCRIPT` with the arguments and returns what it printed.
///
/// # Panics
/// With its stderr, if it fails.
#[track_caller]
pub fn python(script: &str, args: &[&str]) -> Json {
    let mut command = Command::new(installed("python/bin/python"));
    command.arg(repository().join("tests/sdk/python").join(script)).args(args);
    finish(command).success().json()
}

/// Runs schemathesis, which sends what an OpenAPI description lets it and much that it does not.
///
/// # Panics
/// With all that it said, if it found anything.
#[track_caller]
pub fn schemathesis(args: &[&str]) {
    let mut command = Command::new(installed("python/bin/schemathesis"));
    command.args(args);
    finish(command).success();
}

/// Runs `tests/sdk/node/SCRIPT` with the arguments and returns what it printed.
///
/// # Panics
/// With its stderr, if it fails.
#[track_caller]
pub fn node(script: &str, args: &[&str]) -> Json {
    let mut command = Command::new("node");
    command.env("NODE_PATH", installed("node/node_modules"));
    command.arg(repository().join("tests/sdk/node").join(script)).args(args);
    finish(command).success().json()
}
