//! `soak --minutes M [--seed S] [--rate R] [--disk-mib N]`: see [`forebay_tests::soak`].
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use forebay_tests::now_ms;
use forebay_tests::soak::{Options, run};

const USAGE: &str = "\
usage: soak --minutes M [--seed S] [--rate R] [--disk-mib N]

Runs the real server for M minutes on a disk of its own, under load, readers, retention, restarts, kills, full disks
and clock jumps, and checks every event. Needs root, mkfs.ext4, mount and libfaketime.
  --seed S      where all dice come from (printed; random unless given)
  --rate R      requests a second (200)
  --disk-mib N  the size of the disk (512)
FOREBAY_BIN names the binary; otherwise it is the newest that cargo built.";

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("soak: {wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    match run(&options, &|line| println!("{:>6}s  {line}", began.elapsed().as_secs())) {
        Ok(summary) => {
            println!("\nnothing was lost, doubled or unaccounted for:\n{summary}\n{}", summary.json());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("\n{failure}");
            if let Some(summary) = &failure.summary {
                println!("until then:\n{summary}\n{}", summary.json());
            }
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { length: Duration::ZERO, seed: now_ms(), rate: 200, disk_mib: 512 };
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} wants a value"))?;
        let whole = || value.parse::<u64>().map_err(|_| format!("{option} {value}: no whole number"));
        match option.as_str() {
            "--minutes" => {
                let minutes: f64 = value.parse().map_err(|_| format!("--minutes {value}: no number"))?;
                options.length = Duration::try_from_secs_f64(minutes * 60.0).map_err(|e| e.to_string())?;
            }
            "--seed" => options.seed = whole()?,
            "--rate" => options.rate = whole()?.clamp(1, 10_000),
            "--disk-mib" => options.disk_mib = whole()?.clamp(64, 1 << 20),
            _ => return Err(format!("unknown option {option}")),
        }
    }
    if options.length < Duration::from_secs(30) {
        return Err("--minutes M is missing, or less than 0.5".to_owned());
    }
    Ok(options)
}
