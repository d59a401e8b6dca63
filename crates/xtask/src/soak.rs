//! `cargo xtask soak`: builds the binary as it is shipped, and lets `tests/src/bin/soak.rs` loose on it.

use crate::install::debian_packages;
use crate::shell::{command, run, run_command, target_dir};

/// Runs it with these options; what they may be, the soak itself says.
pub(crate) fn soak(options: &[&str]) -> Result<(), String> {
    debian_packages(&["mkfs.ext4", "mount", "faketime"])?;
    run("cargo build --release --locked --package forebay-server --quiet")?;
    run("cargo build --release --locked --package forebay-tests --bin soak --quiet")?;
    let built = target_dir().join("release");
    let mut soak = command(&built.join("soak").display().to_string());
    soak.args(options).env("FOREBAY_BIN", built.join("forebay"));
    run_command(soak)
}
