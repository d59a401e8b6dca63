//! `cargo xtask power-cut`: cuts the power of recording disks for as long as one likes.

use crate::install::debian_packages;
use crate::shell::{command, run, run_command, target_dir};

/// Runs it with these options; what they may be, `tests/src/bin/power_cut.rs` says.
pub(crate) fn power_cut(options: &[&str]) -> Result<(), String> {
    debian_packages(&["mkfs.ext4", "mkfs.xfs", "fusermount3", "mount"])?;
    // With the checks of the dev profile: overflow, and what the log asserts.
    run("cargo build --locked --package forebay-tests --bin power_cut --quiet")?;
    let mut cuts = command(&target_dir().join("debug/power_cut").display().to_string());
    cuts.arg("run").args(options);
    run_command(cuts)
}
