//! What the checks need and cargo does not bring: installed where it is missing, from the ordinary registries.

use std::fs;
use std::path::Path;

use crate::shell::{command, has, repository, run, run_command, target_dir};

/// Debian packages of the end-to-end tests and of memcheck, by a program of each.
const PACKAGES: [(&str, &str); 12] = [
    ("curl", "curl"),
    ("chromium", "chromium"),
    ("haproxy", "haproxy"),
    ("nginx", "nginx-light"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("fusermount3", "fuse3"),
    ("python3", "python3-venv"),
    ("npm", "npm"),
    ("mount", "mount"),
    ("faketime", "faketime"),
    ("valgrind", "valgrind"),
];

/// Installs a cargo subcommand from crates.io if it is missing. Built without optimisation: it runs for seconds, and
/// building it takes minutes.
pub(crate) fn cargo_tool(name: &str) -> Result<(), String> {
    if has(name) {
        return Ok(());
    }
    println!("{name} is missing: installing it");
    run(&format!("cargo install {name} --locked --debug --quiet"))
}

/// Installs all that the end-to-end tests need.
pub(crate) fn end_to_end() -> Result<(), String> {
    debian_packages(&PACKAGES.map(|(program, _)| program))?;
    python_environment()?;
    node_packages()
}

/// Installs what brings these programs, where they are missing.
pub(crate) fn debian_packages(programs: &[&str]) -> Result<(), String> {
    let wanted = PACKAGES.iter().filter(|(program, _)| programs.contains(program));
    let missing = wanted.filter(|(program, _)| !has(program)).map(|(_, package)| *package);
    let missing = missing.collect::<Vec<_>>().join(" ");
    if missing.is_empty() {
        return Ok(());
    }
    println!("missing Debian packages: {missing}");
    if !is_root() {
        return Err(format!(
            "needs root to install {missing} (`sudo apt-get install {missing}`), and to mount loop devices later; \
             or leave the end-to-end tests out with --without e2e"
        ));
    }
    run("apt-get -qq update")?;
    let mut install = command(&format!("apt-get -qq install -y --no-install-recommends {missing}"));
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run_command(install)
}

/// Whether this process is root's.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // "Uid:" with the real, effective, saved and file system user.
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// A Python environment with the pinned packages in `target/e2e/python`.
fn python_environment() -> Result<(), String> {
    let wanted = repository().join("tests/sdk/python/requirements.txt");
    let home = target_dir().join("e2e/python");
    if is_current(&wanted, &home.join("requirements.txt")) {
        return Ok(());
    }
    run(&format!("python3 -m venv --clear {}", home.display()))?;
    run(&format!(
        "{}/bin/pip install --quiet --disable-pip-version-check -r {}",
        home.display(),
        wanted.display()
    ))?;
    remember(&wanted, &home.join("requirements.txt"))
}

/// The locked node packages in `target/e2e/node`.
fn node_packages() -> Result<(), String> {
    let wanted = repository().join("tests/sdk/node/package-lock.json");
    let home = target_dir().join("e2e/node");
    // npm copies the lock itself when it is done.
    if is_current(&wanted, &home.join("installed-lock.json")) {
        return Ok(());
    }
    fs::create_dir_all(&home).map_err(|e| format!("cannot make {}: {e}", home.display()))?;
    for name in ["package.json", "package-lock.json"] {
        remember(&wanted.with_file_name(name), &home.join(name))?;
    }
    // No install scripts: one of them would fetch a browser.
    run(&format!(
        "npm ci --prefix {} --ignore-scripts --no-audit --no-fund --loglevel=error",
        home.display()
    ))?;
    remember(&wanted, &home.join("installed-lock.json"))
}

fn is_current(wanted: &Path, installed: &Path) -> bool {
    fs::read(wanted).ok().is_some_and(|bytes| fs::read(installed).is_ok_and(|other| other == bytes))
}

fn remember(from: &Path, to: &Path) -> Result<(), String> {
    let copied = fs::copy(from, to);
    copied.map(|_| ()).map_err(|e| format!("cannot copy {} to {}: {e}", from.display(), to.display()))
}
