//! How fast a log opens: an unsealed segment, read byte by byte, and a large store of sealed ones.
//!
//! ```sh
//! cargo bench --profile fast -p forebay-benches --bench recovery -- [--mib 1024] [--store-gib 20] [--rounds 7]
//! ```
//! The machine this runs on may be busy, so each opening stands beside a plain read and CRC of the same file,
//! taken in turn with it. Segments are filled by a process that ends without closing them, as a killed one does.
#![expect(clippy::print_stdout, reason = "what it found")]

use bytes::Bytes;
use clap::Parser;
use forebay_benches::events;
use forebay_log::{Append, Log, LogConfig, layout};
use forebay_record::{
    DirectoryEntry, Endpoint, FrameKind, LaneId, Lsn, Predecessor, ProjectId, SegmentHeader, SegmentId, Seq,
    crc32c,
};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const LANE: LaneId = LaneId(0);
const TOKEN: &[u8] = b"0123456789abcdef0123456789abcdef";

#[derive(Parser)]
struct Options {
    /// MiB of unsealed log.
    #[arg(long, default_value_t = 1000)]
    mib: u64,
    /// GiB of sealed log; the files are sparse.
    #[arg(long, default_value_t = 20)]
    store_gib: u64,
    /// Rounds of each.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// What is measured: events a request.
    #[arg(long, default_values_t = [1, 50])]
    events: Vec<usize>,
    /// Fills this directory and ends as if killed: how the benchmark calls itself.
    #[arg(long, hide = true)]
    fill: Option<PathBuf>,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    if let Some(dir) = &options.fill {
        fill(dir, options.mib << 20, options.events[0]);
    }
    for &events in &options.events {
        unsealed(&options, events);
    }
    for segment_mib in [128, 8] {
        sealed(options.store_gib << 30, segment_mib << 20, options.rounds);
    }
}

/// A directory on the disk that is measured: that of cargo's target directory.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("making a directory")
}

fn config(dir: &Path, segment_bytes: u64) -> LogConfig {
    LogConfig {
        lanes: 1,
        segment_bytes_min: segment_bytes,
        segment_bytes_max: segment_bytes,
        ..LogConfig::new(dir)
    }
}

fn append(events: usize) -> Append {
    let mut numbers = events::Numbers::new(1);
    let (mut text, mut entries) = (String::new(), Vec::new());
    let u32_of = |n: usize| u32::try_from(n).expect("a few MiB");
    for _ in 0..events {
        let offset = text.len();
        events::event("0123456789abcdef0123456789abcdef", &mut numbers, &mut text);
        let len = u32_of(text.len() - offset);
        entries.push(DirectoryEntry { offset: u32_of(offset), len, ..DirectoryEntry::default() });
    }
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: ProjectId::new(1),
        token: Bytes::from_static(TOKEN),
        meta: Bytes::new(),
        received_at_ms: 1_795_312_800_000,
        client_ip: None,
        text: text.into(),
        events: entries,
        outcome: None,
    }
}

/// Fills one segment with `bytes` and never comes back: nothing is sealed, nothing is closed.
fn fill(dir: &Path, bytes: u64, events: usize) -> ! {
    let segment = (bytes + (16 << 20)).next_multiple_of(1 << 20).min(1 << 30);
    let (log, _) = Log::open(config(dir, segment)).expect("opening");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let submitter = log.submitter();
        let pump = tokio::task::spawn_local(submitter.pump());
        let append = append(events);
        while log.stats().lanes[0].device_bytes < bytes {
            let mut pending = Vec::new();
            for _ in 0..(1 << 20) / append.text.len() {
                match submitter.submit(LANE, append.clone()) {
                    Ok(one) => pending.push(one),
                    Err(_) => break,
                }
            }
            if pending.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for one in pending {
                let _committed = one.await.expect("stored");
            }
        }
        pump.abort();
    });
    std::process::exit(0);
}

fn newest_segment(dir: &Path) -> PathBuf {
    let lane = layout::lane_dir(dir, LANE);
    let ids = layout::segments(&lane).expect("a lane");
    layout::segment_path(&lane, *ids.last().expect("a segment"))
}

/// Reading the file and summing it up, and nothing else: what the disk, or the cache, and the CRC allow.
fn plain(path: &Path) -> Duration {
    let started = Instant::now();
    let file = File::open(path).expect("a segment");
    let mut buffer = vec![0; 1 << 20];
    let (mut at, mut crc) = (0, 0);
    loop {
        let read = file.read_at(&mut buffer, at).expect("readable");
        if read == 0 {
            break;
        }
        crc = crc32c(crc, &buffer[..read]);
        at += read as u64;
    }
    std::hint::black_box(crc);
    started.elapsed()
}

/// Throws a file out of the cache.
fn forget(path: &Path) {
    let file = File::open(path).expect("a segment");
    file.sync_all().expect("flushed");
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
}

fn unsealed(options: &Options, events: usize) {
    let dir = directory();
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(["--fill".as_ref(), dir.path().as_os_str()])
        .args(["--mib", &options.mib.to_string(), "--events", &events.to_string()])
        .status()
        .expect("a process");
    assert!(status.success(), "{status}");
    let reopen = config(dir.path(), 64 << 10);
    let path = newest_segment(dir.path());
    // The first one cuts what a kill leaves behind; what follows is what is measured.
    let (log, first) = Log::open(reopen.clone()).expect("opening");
    let bytes = first.lanes[0].scanned_bytes;
    println!("unsealed, {events} events a request: first start {:?} for {} MiB", first.took, bytes >> 20);
    log.close().expect("closing");
    for cold in [false, true] {
        let (mut opened, mut plainly) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            for (times, open) in [(&mut opened, true), (&mut plainly, false)] {
                if cold {
                    forget(&path);
                }
                times.push(if open {
                    let started = Instant::now();
                    let (log, report) = Log::open(reopen.clone()).expect("opening");
                    let took = started.elapsed();
                    assert!(report.lanes[0].scanned_bytes > bytes / 2, "it was read");
                    log.close().expect("closing");
                    took
                } else {
                    plain(&path)
                });
            }
        }
        let len = fs::metadata(&path).expect("a segment").len();
        println!(
            "unsealed, {events} events a request, {}: opening {}, plain read and CRC {}, ratio {:.2}",
            if cold { "cold" } else { "warm" },
            rate(len, &mut opened),
            rate(len, &mut plainly),
            median(&mut plainly).as_secs_f64() / median(&mut opened).as_secs_f64(),
        );
    }
}

/// Sealed segments: each its header, and a hole where its frames would be; the newest is real and closed.
fn sealed(bytes: u64, segment: u64, rounds: usize) {
    let dir = directory();
    let config = config(dir.path(), 64 << 10);
    let (log, _) = Log::open(config.clone()).expect("opening");
    let store = log.store_id();
    log.close().expect("closing");
    let lane = layout::lane_dir(dir.path(), LANE);
    let count = bytes / segment;
    for id in 1..=count {
        let header = SegmentHeader {
            store,
            lane: LANE,
            id: SegmentId(id),
            generation: 0,
            base_lsn: Lsn(id * 1000),
            base_seq: Seq(id * 1000),
            salt: id,
            created_at_ms: 1_795_312_800_000,
            predecessor: if id == 1 { Predecessor::None } else { Predecessor::Whole(SegmentId(id - 1)) },
            prev_crc: 0,
            capacity: if id == count { 64 << 10 } else { segment },
        };
        let file = File::create(layout::segment_path(&lane, SegmentId(id))).expect("a segment");
        file.write_all_at(&header.encode()[..], 0).expect("written");
        file.set_len(header.capacity).expect("extended");
    }
    for cold in [false, true] {
        let mut opened = Vec::new();
        for _ in 0..rounds {
            if cold {
                for id in 1..=count {
                    let path = layout::segment_path(&lane, SegmentId(id));
                    forget(&path);
                }
            }
            let started = Instant::now();
            let (log, report) = Log::open(config.clone()).expect("opening");
            opened.push(started.elapsed());
            assert!(report.lanes[0].segments >= usize::try_from(count).expect("thousands"));
            log.close().expect("closing");
        }
        println!(
            "sealed, {} GiB in {count} segments, {}: {:?} (worst {:?})",
            bytes >> 30,
            if cold { "cold" } else { "warm" },
            median(&mut opened),
            opened.last().expect("rounds"),
        );
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn rate(bytes: u64, times: &mut [Duration]) -> String {
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e9;
    let middle = rate(median(times));
    let (slowest, fastest) = (rate(times[times.len() - 1]), rate(times[0]));
    format!("{middle:.2} GB/s [{slowest:.2}..{fastest:.2}]")
}
