//! `forebay bench`: what this machine can do.

use super::{Common, Done, Failure, bench_http, out};
use clap::Subcommand;
use forebay_log::{Backend, BenchOptions, BenchRun, bench_disk};
use indicatif::{ProgressBar, ProgressStyle};
use std::{path::PathBuf, time::Duration};

/// Measure this machine
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Commit groups of several sizes with each backend, durably, beside the bare disk
    Disk(Disk),
    Http(Box<bench_http::Http>),
    Bare(bench_http::Bare),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Disk {
    /// The folder to measure in [default: the data directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only this backend; may be repeated
    #[arg(long = "backend", value_name = "direct|pwrite|mapped")]
    backends: Vec<Backend>,
    /// Only groups of so many bytes, a multiple of 4096; may be repeated
    #[arg(long = "group-bytes", value_name = "BYTES")]
    group_bytes: Vec<usize>,
    /// The longest that one run commits
    #[arg(long, value_name = "MS")]
    run_ms: Option<u64>,
}

impl Bench {
    pub(crate) fn run(self, common: &Common) -> Done {
        match self {
            Bench::Disk(disk) => disk.run(common),
            Bench::Http(http) => http.run(common),
            Bench::Bare(bare) => bare.run(),
        }
    }
}

impl Disk {
    fn run(self, common: &Common) -> Done {
        let disk = self;
        let mut options = BenchOptions::default();
        if !disk.backends.is_empty() {
            options.backends = disk.backends;
        }
        if !disk.group_bytes.is_empty() {
            options.group_bytes = disk.group_bytes;
        }
        if let Some(wrong) = options.group_bytes.iter().find(|&&n| n == 0 || n % 4096 != 0 || n > 64 << 20) {
            let text = format!("--group-bytes is {wrong}: it must be a multiple of 4096 up to 67108864");
            return Err(Failure::Usage(text));
        }
        if let Some(ms) = disk.run_ms {
            options.run_time_max = Duration::from_millis(ms.max(1));
        }
        let dir = match disk.dir {
            Some(dir) => dir,
            None => common.data_dir()?,
        };
        std::fs::create_dir_all(&dir)
            .map_err(|e| Failure::Failed(format!("cannot make the folder {}: {e}", dir.display())))?;
        let runs = (options.backends.len() + 2) * options.group_bytes.len();
        let bar = ProgressBar::new(runs as u64).with_style(
            ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let report = bench_disk(&dir, &options, &mut |run: &BenchRun| {
            bar.set_message(format!(
                "{} {}: {:.0} MB/s",
                run.backend,
                out::bytes(run.group_bytes as u64),
                run.mb_per_s
            ));
            bar.inc(1);
        })
        .map_err(|e| Failure::Failed(format!("cannot measure in {}: {e}", dir.display())))?;
        bar.finish_and_clear();
        let mut out = common.out();
        if out.json {
            out.value(&report)?;
            return out.done();
        }
        let ratio = |r: Option<f64>| r.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
        let rows: Vec<_> = report
            .runs
            .iter()
            .map(|run| {
                [
                    run.backend.clone(),
                    out::bytes(run.group_bytes as u64),
                    format!("{:.1}", run.mb_per_s),
                    format!("{:.2}", run.of_raw),
                    run.commit_p50_us.to_string(),
                    run.commit_p99_us.to_string(),
                    format!("{:.2}", run.cpu_s_per_gib),
                    ratio(run.device_bytes_per_byte),
                    ratio(run.prepare_device_bytes_per_byte),
                ]
            })
            .collect();
        out.table(
            [
                "BACKEND",
                "GROUP",
                "MB/S",
                "OF RAW",
                "P50 US",
                "P99 US",
                "CPU S/GIB",
                "DEVICE/BYTE",
                "PREPARE/BYTE",
            ],
            &rows,
        )?;
        out.line(
            "raw is the disk itself, in turn with the others: durable writes into a file written before, through the \
             page cache and past it; OF RAW is of the faster of them",
        )?;
        out.line("MB/s and times are of durable commits; choose with log.backend in the configuration")?;
        out.done()
    }
}
