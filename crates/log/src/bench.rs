//! Measuring the disk the way the log uses it: both commit backends, groups of several sizes.
//!
//! Each run prepares a segment as the log does, commits groups into it one after the other, and times each
//! commit. Runs of the two backends alternate, so that a disk that grows slower meanwhile is fair to both.
//! Bytes and time are bounded; the file is removed afterwards.

use crate::{
    Backend,
    commit::{self, CommitBackend},
    disk::{Disk, RealDisk},
};
use serde::Serialize;
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How much to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The backends.
    pub backends: Vec<Backend>,
    /// Bytes of a commit group; each a multiple of 4096.
    pub group_bytes: Vec<usize>,
    /// The most payload bytes written by one run.
    pub run_bytes_max: u64,
    /// The longest that one run commits.
    pub run_time_max: Duration,
}

impl Default for BenchOptions {
    fn default() -> BenchOptions {
        BenchOptions {
            backends: vec![Backend::Mapped, Backend::Pwrite],
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
    /// `mapped` or `pwrite`.
    pub backend: String,
    /// Bytes of a group.
    pub group_bytes: usize,
    /// Groups committed.
    pub groups: u64,
    /// Durable megabytes (10⁶ bytes) a second.
    pub mb_per_s: f64,
    /// Half of the commits took no longer, microseconds.
    pub commit_p50_us: u64,
    /// 99 of 100 commits took no longer.
    pub commit_p99_us: u64,
    /// Bytes written to the device for each byte committed, by whomever: measure on a quiet machine.
    pub device_bytes_per_byte: Option<f64>,
    /// The same for preparing the segment beforehand, off the commit path.
    pub prepare_device_bytes_per_byte: Option<f64>,
    /// How long preparing took, for each megabyte, microseconds.
    pub prepare_us_per_mb: f64,
}

/// Measures the disk under `dir`, which must exist. `progress` is told of each run when it is done.
///
/// # Errors
/// When the disk refuses; there must be room for one run.
pub fn bench_disk(
    dir: &Path,
    options: &BenchOptions,
    progress: &mut dyn FnMut(&BenchRun),
) -> io::Result<BenchReport> {
    let device = Device::of(dir);
    let mut report = BenchReport {
        dir: dir.to_owned(),
        device: device.as_ref().map(|device| device.name.clone()),
        runs: Vec::new(),
    };
    for &group_bytes in &options.group_bytes {
        for &backend in &options.backends {
            let bench = Bench { dir, device: device.as_ref(), options, backend, group_bytes };
            let run = bench.run()?;
            progress(&run);
            report.runs.push(run);
        }
    }
    Ok(report)
}

struct Bench<'a> {
    dir: &'a Path,
    device: Option<&'a Device>,
    options: &'a BenchOptions,
    backend: Backend,
    group_bytes: usize,
}

impl Bench<'_> {
    fn run(&self) -> io::Result<BenchRun> {
        let path = self.dir.join(format!("bench-{}.tmp", std::process::id()));
        let file = RealDisk.create(&path)?;
        let removed = Removed(path);
        let group_bytes = self.group_bytes.next_multiple_of(forebay_record::GROUP_ALIGN).max(1);
        let bytes = self.options.run_bytes_max.max(group_bytes as u64).next_multiple_of(group_bytes as u64);

        let (started, written) = (Instant::now(), self.written());
        let mut segment = commit::prepare(self.backend, file, bytes)?;
        let prepare = started.elapsed();
        let prepare_device = self.per_byte(written, bytes);

        let mut backend: Box<dyn CommitBackend> = commit::backend(self.backend);
        // Made once: what is measured is the commit, not the making of events.
        let content: Vec<u8> = (1..=251).cycle().take(group_bytes).collect();
        let mut commits: Vec<Duration> = Vec::new();
        let (started, written) = (Instant::now(), self.written());
        let mut position = 0;
        while position < bytes && started.elapsed() < self.options.run_time_max {
            let commit_started = Instant::now();
            backend
                .commit(&mut segment, position, group_bytes, &mut |group| group.copy_from_slice(&content))?;
            commits.push(commit_started.elapsed());
            position += group_bytes as u64;
        }
        let elapsed = started.elapsed();
        let commit_device = self.per_byte(written, position);
        drop(removed);

        commits.sort_unstable();
        let percentile = |of_100: usize| {
            let at = (commits.len() * of_100).div_ceil(100).saturating_sub(1);
            commits.get(at).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
        };
        Ok(BenchRun {
            backend: self.backend.to_string(),
            group_bytes,
            groups: commits.len() as u64,
            mb_per_s: megabytes(position) / elapsed.as_secs_f64().max(f64::EPSILON),
            commit_p50_us: percentile(50),
            commit_p99_us: percentile(99),
            device_bytes_per_byte: commit_device,
            prepare_device_bytes_per_byte: prepare_device,
            prepare_us_per_mb: prepare.as_secs_f64() * 1e6 / megabytes(bytes).max(f64::EPSILON),
        })
    }

    fn written(&self) -> Option<u64> {
        self.device.and_then(Device::bytes_written)
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio for people: 53 bits are plenty")]
    fn per_byte(&self, before: Option<u64>, bytes: u64) -> Option<f64> {
        let written = self.written()?.checked_sub(before?)?;
        (bytes > 0).then(|| written as f64 / bytes as f64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people: 53 bits are plenty")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Removes the file when the run ends, however it ends.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The block device under a folder, where the kernel shows its counters.
struct Device {
    name: String,
    stat: PathBuf,
}

impl Device {
    fn of(dir: &Path) -> Option<Device> {
        let dev = fs::metadata(dir).ok()?.dev();
        let name = format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev));
        let stat = PathBuf::from(format!("/sys/dev/block/{name}/stat"));
        let device = Device { name, stat };
        device.bytes_written()?;
        Some(device)
    }

    /// Since the machine started, by anyone.
    fn bytes_written(&self) -> Option<u64> {
        // Documentation/block/stat.rst: the seventh field is sectors written, of 512 bytes.
        let stat = fs::read_to_string(&self.stat).ok()?;
        stat.split_ascii_whitespace().nth(6)?.parse::<u64>().ok()?.checked_mul(512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_and_size_is_measured_and_nothing_stays_behind() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = BenchOptions {
            group_bytes: vec![4096, 65536],
            run_bytes_max: 256 << 10,
            run_time_max: Duration::from_secs(1),
            ..BenchOptions::default()
        };
        let mut told = 0;
        let report = bench_disk(dir.path(), &options, &mut |_| told += 1).expect("a report");
        assert_eq!((report.runs.len(), told), (4, 4));
        for run in &report.runs {
            assert!(
                run.groups >= 1 && run.mb_per_s > 0.0 && run.commit_p50_us <= run.commit_p99_us,
                "{run:?}"
            );
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
        assert!(serde_json::to_string(&report).expect("json").contains("\"backend\":\"mapped\""));
    }
}
