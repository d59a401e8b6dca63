//! Measuring the disk the way the log uses it: every commit backend beside the bare disk, groups of several sizes.
//!
//! For each size, a segment is prepared for each backend as the log does it, and a file for the bare disk. Then they take
//! turns, commit by commit, so that a disk that grows slower meanwhile is fair to all: the backends commit groups of real
//! frames, checksums, index and watermark included, and the bare disk takes as many bytes by writes that are durable when
//! they return (`O_DSYNC`), through the page cache and, where the file system can, past it, in files that were written
//! before. Bytes and time are bounded; the files are removed afterwards.

mod device;
mod turns;

use crate::Backend;
use device::Device;
use serde::Serialize;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use turns::Turns;

/// How much to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The backends.
    pub backends: Vec<Backend>,
    /// Bytes of a commit group; each a multiple of 4096.
    pub group_bytes: Vec<usize>,
    /// The most bytes committed by each backend with groups of one size.
    pub run_bytes_max: u64,
    /// The longest that each backend commits groups of one size.
    pub run_time_max: Duration,
}

impl Default for BenchOptions {
    fn default() -> BenchOptions {
        BenchOptions {
            backends: vec![Backend::Direct, Backend::Pwrite, Backend::Mapped],
            group_bytes: vec![4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20],
            run_bytes_max: 64 << 20,
            run_time_max: Duration::from_secs(2),
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// The folder measured.
    pub dir: PathBuf,
    /// Its block device, `major:minor`, if the kernel counts what is written to it.
    pub device: Option<String>,
    /// Run by run.
    pub runs: Vec<BenchRun>,
}

/// One backend with one group size.
#[derive(Clone, Debug, Serialize)]
pub struct BenchRun {
    /// `direct`, `pwrite` or `mapped`; `raw` is the disk without a log, `raw direct` past the page cache.
    pub backend: String,
    /// Bytes of a group.
    pub group_bytes: usize,
    /// Groups committed.
    pub groups: u64,
    /// Durable megabytes (10⁶ bytes) a second, of whole groups.
    pub mb_per_s: f64,
    /// The same as a part of what the bare disk did in turn with it, in the faster of its ways.
    pub of_raw: f64,
    /// Half of the commits took no longer, microseconds.
    pub commit_p50_us: u64,
    /// 99 of 100 commits took no longer.
    pub commit_p99_us: u64,
    /// CPU seconds of the committing thread, the system's part included, for each GiB committed.
    pub cpu_s_per_gib: f64,
    /// Bytes written to the device for each byte of events committed, by whomever: measure on a quiet machine.
    pub device_bytes_per_byte: Option<f64>,
    /// Bytes written to the device for each byte prepared beforehand, off the commit path.
    pub prepare_device_bytes_per_byte: Option<f64>,
    /// How long preparing took, for each megabyte, microseconds.
    pub prepare_us_per_mb: f64,
}

/// Measures the disk under `dir`, which must exist. `progress` is told of each run when it is done.
///
/// # Errors
/// When the disk refuses; there must be room for one file of each backend and one for the bare disk.
pub fn bench_disk(
    dir: &Path,
    options: &BenchOptions,
    progress: &mut dyn FnMut(&BenchRun),
) -> io::Result<BenchReport> {
    let device = Device::of(dir);
    let mut report = BenchReport {
        dir: dir.to_owned(),
        device: device.as_ref().map(|device| device.name().to_owned()),
        runs: Vec::new(),
    };
    for &group_bytes in &options.group_bytes {
        for run in Turns::prepare(dir, device.as_ref(), options, group_bytes)?.take()? {
            progress(&run);
            report.runs.push(run);
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_backend_and_size_is_measured_beside_the_bare_disk_and_nothing_stays_behind() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = BenchOptions {
            group_bytes: vec![4096, 65536],
            run_bytes_max: 256 << 10,
            run_time_max: Duration::from_secs(1),
            ..BenchOptions::default()
        };
        let mut told = 0;
        let report = bench_disk(dir.path(), &options, &mut |_| told += 1).expect("a report");
        assert!(
            report.runs.len() == told && [8, 10].contains(&told),
            "{told} runs: 3 backends and one or two bare"
        );
        for run in &report.runs {
            assert!(
                run.groups >= 1
                    && run.mb_per_s > 0.0
                    && run.cpu_s_per_gib > 0.0
                    && run.commit_p50_us <= run.commit_p99_us,
                "{run:?}"
            );
            let beside = report.runs.iter().filter(|r| r.group_bytes == run.group_bytes);
            let raw = beside.filter(|r| r.backend.starts_with("raw")).map(|r| r.mb_per_s).reduce(f64::max);
            let ratio = run.mb_per_s / raw.expect("beside each");
            assert!((run.of_raw - ratio).abs() < 1e-6 * ratio, "{run:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
        assert!(serde_json::to_string(&report).expect("json").contains("\"backend\":\"mapped\""));
    }
}
