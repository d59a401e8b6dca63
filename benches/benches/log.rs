//! What the log costs: append and flush by group size on each backend, recovery, reading.

mod common;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::on_a_core;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use forebay_benches::events;
use forebay_log::{Append, Backend, Filter, Log, LogConfig, Retention, RouteKey, Step, Store, Submitter};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId, Seq};
use tempfile::TempDir;

const LANE: LaneId = LaneId(0);
const PROJECT: u64 = 1;

/// A directory on the disk that is measured: that of cargo's target directory.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("making a directory")
}

fn config(dir: &Path, backend: Backend) -> LogConfig {
    LogConfig {
        lanes: 1,
        backend,
        // Bounds what a run leaves on the disk.
        retention: Retention { age: None, bytes: Some(1 << 30) },
        ..LogConfig::new(dir)
    }
}

/// One append of events of some 750 bytes, `bytes` of them in all, as one request brings them.
fn append(bytes: usize, project: u64) -> Append {
    let mut numbers = events::Numbers::new(project);
    let (mut text, mut entries) = (String::new(), Vec::new());
    loop {
        let offset = text.len();
        events::event("0123456789abcdef0123456789abcdef", &mut numbers, &mut text);
        let fits = text.len() + 40 * (entries.len() + 1) + 136 <= bytes;
        if !fits && !entries.is_empty() {
            text.truncate(offset);
            break;
        }
        let u32_of = |n: usize| u32::try_from(n).expect("a few MiB");
        let len = u32_of(text.len() - offset);
        entries.push(DirectoryEntry { offset: u32_of(offset), len, ..DirectoryEntry::default() });
    }
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: ProjectId::new(project),
        token: Bytes::from_static(b"0123456789abcdef0123456789abcdef"),
        meta: Bytes::new(),
        received_at_ms: 1_795_312_800_000,
        client_ip: None,
        text: text.into(),
        events: entries,
        outcome: None,
    }
}

async fn commit(submitter: &Submitter, append: &Append) {
    loop {
        match submitter.submit(LANE, append.clone()) {
            Ok(pending) => {
                let _committed = pending.await.expect("stored");
                return;
            }
            // The preparer is behind: what a server answers with 503.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// One group at a time: what one commit of that size costs, from handing over to waking.
fn groups(c: &mut Criterion) {
    for backend in [Backend::Direct, Backend::Pwrite, Backend::Mapped] {
        let mut group = c.benchmark_group(format!("log/commit/{backend}"));
        group.sample_size(20).measurement_time(Duration::from_secs(4));
        for kib in [4, 16, 64, 256, 1024, 4096] {
            let dir = directory();
            let (log, _) = Log::open(config(dir.path(), backend)).expect("opening");
            let append = append(kib << 10, PROJECT);
            group.throughput(Throughput::Bytes(append.text.len() as u64));
            group.bench_function(BenchmarkId::from_parameter(format!("{kib} KiB")), |b| {
                b.iter_custom(|iterations| {
                    on_a_core(&log, async |submitter| {
                        let started = Instant::now();
                        for _ in 0..iterations {
                            commit(submitter, &append).await;
                        }
                        started.elapsed()
                    })
                });
            });
            log.close().expect("closing");
        }
        group.finish();
    }
}

/// Many small appends at once: what natural batching makes of them.
fn batching(c: &mut Criterion) {
    let mut group = c.benchmark_group("log/batching");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    for waiting in [1, 64, 256, 1024] {
        let dir = directory();
        let (log, _) = Log::open(config(dir.path(), Backend::default())).expect("opening");
        let append = append(1024, PROJECT);
        group.throughput(Throughput::Elements(waiting));
        group.bench_function(BenchmarkId::new("one event each, waiting together", waiting), |b| {
            b.iter_custom(|iterations| {
                on_a_core(&log, async |submitter| {
                    let started = Instant::now();
                    for _ in 0..iterations {
                        let all: Vec<_> = (0..waiting)
                            .map(|_| submitter.submit(LANE, append.clone()).expect("room"))
                            .collect();
                        for pending in all {
                            let _committed = pending.await.expect("stored");
                        }
                    }
                    started.elapsed()
                })
            });
        });
        log.close().expect("closing");
    }
    group.finish();
}

/// Writes `mib` MiB in groups of 1 MiB, one in a hundred of another project.
fn filled(dir: &Path, mib: usize, segment_bytes: u64) -> Log {
    let segments = LogConfig {
        segment_bytes_min: segment_bytes,
        segment_bytes_max: segment_bytes,
        ..config(dir, Backend::Pwrite)
    };
    let (log, _) = Log::open(segments).expect("opening");
    let (large, small) = (append(1 << 20, PROJECT), append(10 << 10, PROJECT + 1));
    on_a_core(&log, async |submitter| {
        for _ in 0..mib {
            commit(submitter, &large).await;
            commit(submitter, &small).await;
        }
    });
    log
}

/// A copy of a log that is in use: what a kill leaves.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = (entry?, to.to_owned());
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Opening after a kill: one segment of 128 MiB that was not sealed.
fn recovery(c: &mut Criterion) {
    const MIB: usize = 100;
    let dir = directory();
    let log = filled(&dir.path().join("from"), MIB, 128 << 20);
    let mut group = c.benchmark_group("log/recovery");
    group.sample_size(10).throughput(Throughput::Bytes((MIB as u64) << 20));
    let mut nth = 0;
    group.bench_function("an unsealed segment", |b| {
        b.iter_batched(
            || {
                nth += 1;
                let to: PathBuf = dir.path().join(format!("copy-{nth}"));
                copy(&dir.path().join("from"), &to).expect("copying");
                to
            },
            |to| {
                let (log, recovery) = Log::open(config(&to, Backend::Pwrite)).expect("opening");
                assert!(recovery.lanes.iter().all(|lane| lane.damage.is_empty()));
                (log, Removed(to))
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    log.close().expect("closing");
}

/// Removes the directory when dropped, which is not measured.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Reading back: all of it, and one small project by the index.
fn reading(c: &mut Criterion) {
    const MIB: usize = 256;
    let dir = directory();
    filled(dir.path(), MIB, 32 << 20).close().expect("closing");
    let store = Store::open(dir.path()).expect("opening");
    let read = |filter: Filter| {
        let mut cursor = store.cursor(LANE, Seq(0), filter).expect("a cursor");
        let mut bytes = 0;
        while let Some(step) = cursor.next().expect("readable") {
            if let Step::Frame(frame) = step {
                bytes += frame.records().map(|record| record.json.len() as u64).sum::<u64>();
            }
        }
        bytes
    };
    let project =
        |id| Filter { routes: ProjectId::new(id).map(|id| vec![RouteKey::Project(id)]), ..Filter::default() };
    let mut group = c.benchmark_group("log/reading");
    group.sample_size(10);
    for (name, filter) in [
        ("everything", Filter::default()),
        ("the large project", project(PROJECT)),
        ("one in a hundred", project(PROJECT + 1)),
    ] {
        group.throughput(Throughput::Bytes(read(filter.clone())));
        group.bench_function(name, |b| b.iter(|| read(filter.clone())));
    }
    group.finish();
}

criterion_group!(benches, groups, batching, recovery, reading);
criterion_main!(benches);
