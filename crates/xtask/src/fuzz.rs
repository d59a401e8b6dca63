//! A short run of each fuzz target: long enough to find what is plainly broken.
//!
//! Longer runs: `cargo +nightly fuzz run TARGET -- -max_total_time=600`.

use std::process::Command;
use std::time::Duration;

use crate::install::cargo_tool;
use crate::shell::{capture, command, run_command};

/// Seconds of fuzzing for each target.
const SECONDS: u32 = 10;

/// Builds all targets and runs each.
pub(crate) fn smoke() -> Result<Vec<String>, String> {
    cargo_tool("cargo-fuzz")?;
    let (listed, targets) = capture(cargo_fuzz("list"), Duration::from_secs(60));
    let targets: Vec<_> = targets.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if !listed || targets.is_empty() {
        return Err(format!("no fuzz targets: {targets:?}"));
    }
    run_command(command("python3 fuzz/seeds.py"))?;
    run_command(cargo_fuzz("build"))?;
    let mut found = Vec::new();
    for target in targets {
        let options =
            format!("-max_total_time={SECONDS} -timeout=10 -rss_limit_mb=4096 -print_final_stats=1");
        let (good, output) =
            capture(cargo_fuzz(&format!("run {target} -- {options}")), Duration::from_secs(180));
        let executions = output.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        println!("{target}: {} executions", executions.map_or("no", str::trim));
        if !good {
            println!("{output}");
            found.push(target.to_owned());
        }
    }
    if found.is_empty() { Ok(Vec::new()) } else { Err(format!("findings in {}", found.join(", "))) }
}

/// `cargo fuzz` needs a nightly compiler, or one that is told to act like it.
fn cargo_fuzz(arguments: &str) -> Command {
    let (listed, toolchains) = capture(command("rustup toolchain list"), Duration::from_secs(10));
    if listed && toolchains.contains("nightly") {
        return command(&format!("cargo +nightly fuzz {arguments}"));
    }
    let mut stable = command(&format!("cargo fuzz {arguments}"));
    stable.env("RUSTC_BOOTSTRAP", "1");
    stable
}
