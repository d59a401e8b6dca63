//! What a stored byte costs in bytes written to the disk, by the recording disk's own count.
//!
//! Commits and preparation are counted apart: a segment is written once before it is put to use, ahead of the
//! commits, and how often a commit is written is what a slow disk feels.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use forebay_log::{Log, LogConfig};
use forebay_record::{FRAME_HEADER_BYTES, GROUP_ALIGN};

use super::campaign::EVERYWHERE;
use super::ledger::Sequence;
use super::machine::run;
use super::scenario::DATA;
use super::sender::Sender;
use super::{FileSystem, Machine, Recorder, Request};

/// Bytes of a segment.
const SEGMENT_BYTES: u64 = 32 << 20;
/// Groups that are stored.
const GROUPS: u64 = 192;

/// What was given to the log, and what the disk was given.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Bytes of events in commits.
    pub payload: u64,
    /// Bytes that the disk was given meanwhile.
    pub committed: u64,
    /// Bytes of segments prepared.
    pub prepared: u64,
    /// Bytes that the disk was given meanwhile.
    pub preparing: u64,
}

impl Cost {
    /// Device bytes for a byte of payload, preparation not counted.
    pub fn of_commits(&self) -> f64 {
        ratio(self.committed, self.payload)
    }

    /// Device bytes for a byte of a prepared segment.
    pub fn of_preparation(&self) -> f64 {
        ratio(self.preparing, self.prepared)
    }
}

#[expect(clippy::cast_precision_loss, reason = "megabytes")]
fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to as f64
}

/// Stores groups of `group_bytes` on a new file system.
///
/// # Panics
/// If it cannot be measured.
pub fn measure(
    machine: &Machine,
    program: &Path,
    kind: FileSystem,
    backend: forebay_log::Backend,
    group_bytes: u64,
) -> Cost {
    let recorder = Recorder::start(machine, program, &kind.make(machine, 300), kind);
    let mut store = Command::new(program);
    store.arg("store").arg(recorder.dir().join(DATA)).arg(recorder.sequence());
    let told = run(store.args([backend.to_string(), group_bytes.to_string()]));
    recorder.stop();
    let numbers: Vec<u64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[payload, committed, prepared, preparing] = numbers.as_slice() else {
        panic!("the process that stores said {told:?}");
    };
    Cost { payload, committed, prepared, preparing }
}

/// The process that stores: prints payload, and what the disk was given, for commits and for preparation.
///
/// # Errors
/// When something cannot be stored.
pub fn store(dir: &Path, sequence: &Path, backend: &str, group_bytes: &str) -> Result<(), String> {
    let wrong = |what: &str, e: &dyn std::fmt::Display| format!("{what}: {e}");
    let disk = Sequence::open(sequence).map_err(|e| wrong("the sequence", &e))?;
    let group_bytes: usize = group_bytes.parse().map_err(|e| wrong("bytes of a group", &e))?;
    let mut config = LogConfig::new(dir);
    config.lanes = 1;
    config.backend = backend.parse()?;
    (config.segment_bytes_min, config.segment_bytes_max) = (SEGMENT_BYTES, SEGMENT_BYTES);
    config.heartbeat = Duration::from_secs(3600);
    let before = disk.read().1;
    let (log, _) = Log::open(config).map_err(|e| wrong("opening the log", &e))?;
    // Puts the first segment to use, and so has one more made.
    let mut sender = Sender::new(&log);
    let mut store = |bytes: usize| {
        let request = Request::of_bytes(bytes);
        let payload = request.bytes();
        let pending = sender.submit(request.lane, request.append()).map_err(|e| wrong("storing", &e))?;
        sender.wait(pending).map(|_| payload).map_err(|e| wrong("storing", &e))
    };
    store(100)?;
    let prepared = || log.stats().lanes.iter().map(|lane| lane.prepared_bytes).sum::<u64>();
    let limit = std::time::Instant::now() + Duration::from_secs(120);
    while prepared() < 3 * SEGMENT_BYTES {
        if std::time::Instant::now() > limit {
            return Err(format!("{} bytes prepared, and no more in two minutes", prepared()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (prepared, preparing) = (prepared(), disk.read().1 - before);
    let before = disk.read().1;
    let mut payload = 0;
    for _ in 0..GROUPS {
        payload += store(group_bytes)?;
    }
    let committed = disk.read().1 - before;
    drop(log);
    println(&format!("{payload} {committed} {prepared} {preparing}"));
    Ok(())
}

/// Bytes of event in a group of `group_bytes`, the frame's header and directory taken off.
pub fn event_bytes(group_bytes: usize) -> usize {
    let overhead = FRAME_HEADER_BYTES + 8 + 40 + b"power-cut".len();
    group_bytes.next_multiple_of(GROUP_ALIGN).saturating_sub(overhead).max(1)
}

/// Measures everything and prints a table.
///
/// # Panics
/// If it cannot be measured.
pub fn print_all(program: &Path) {
    let machine = Machine::new();
    println("file system, backend, bytes of a group: device bytes per payload byte, and per prepared byte");
    for (kind, backend) in EVERYWHERE {
        // All groups fit into one segment: what a roll costs is preparation.
        for group in [4 << 10, 16 << 10, 64 << 10, 128 << 10] {
            let cost = measure(&machine, program, kind, backend, group);
            let (commits, preparation) = (cost.of_commits(), cost.of_preparation());
            println(&format!("{} {backend} {group}: {commits:.3}, {preparation:.3}", kind.name()));
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a person who waits, or the process that asked, wants to see")]
fn println(line: &str) {
    println!("{line}");
}
