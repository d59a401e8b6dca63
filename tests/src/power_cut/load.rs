//! The load: a process that opens the log, sends requests on two threads, follows it with a reader, and ends.
//!
//! While it runs a third hand pushes files out of the page cache at random moments, as a kernel short of memory would:
//! pages are written early and out of order, and read back from the disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use forebay_log::{Backend, Filter, Log, LogConfig, Outcome, Retention, Step, layout};
use forebay_record::Seq;

use super::Request;
use super::ledger::{LedgerWriter, SENDERS, Sequence};
use super::request::{LANES, id_of};
use super::sender::Sender;
use crate::Random;

/// How a load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The log is closed in order.
    Close,
    /// SIGKILL in the middle of it: the page cache stays, the process does not.
    Kill,
}

/// What a load does.
#[derive(Clone, Debug)]
pub struct Load {
    /// The data directory.
    pub dir: PathBuf,
    /// Where the ledger is kept.
    pub ledger: PathBuf,
    /// Where the disk counts its operations.
    pub sequence: PathBuf,
    /// What everything follows from.
    pub seed: u64,
    /// The first request's id; a multiple of [`SENDERS`].
    pub first_id: u64,
    /// How many there are.
    pub requests: u64,
    /// How groups are committed.
    pub backend: Backend,
    /// The most bytes of claimed events kept; 0 for all.
    pub kept: u64,
    /// How it ends.
    pub end: End,
    /// The disk will fail: errors are answers too, and the load goes on.
    pub faults: bool,
}

/// The log's configuration: small segments, so that everything happens often.
pub fn config(dir: &Path, backend: Backend, kept: u64) -> LogConfig {
    let mut config = LogConfig::new(dir);
    config.lanes = LANES;
    config.backend = backend;
    config.segment_bytes_min = 64 << 10;
    config.segment_bytes_max = 256 << 10;
    config.group_bytes_max = 128 << 10;
    config.heartbeat = Duration::from_millis(4);
    let bytes = |bytes| if kept == 0 { None } else { Some(bytes) };
    config.retention = Retention { age: None, bytes: bytes(kept) };
    config.unclaimed = Retention { age: None, bytes: bytes(kept / 2) };
    config
}

impl Load {
    /// The command that runs it, by the binary `power_cut`.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("load").args([&self.dir, &self.ledger, &self.sequence]);
        let end = if self.end == End::Kill { "kill" } else { "close" };
        let backend = self.backend.to_string();
        let numbers = [self.seed, self.first_id, self.requests, self.kept, u64::from(self.faults)];
        command.args(numbers.map(|number| number.to_string())).args([backend.as_str(), end]);
        command
    }

    /// What such a command's arguments say.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(arguments: &[String]) -> Result<Load, String> {
        let [dir, ledger, sequence, seed, first_id, requests, kept, faults, backend, end] = arguments else {
            return Err(format!("a load wants ten arguments, not {}", arguments.len()));
        };
        let number = |text: &String| u64::from_str(text).map_err(|e| format!("{text}: {e}"));
        Ok(Load {
            dir: dir.into(),
            ledger: ledger.into(),
            sequence: sequence.into(),
            seed: number(seed)?,
            first_id: number(first_id)?,
            requests: number(requests)?,
            backend: backend.parse()?,
            kept: number(kept)?,
            end: if end == "kill" { End::Kill } else { End::Close },
            faults: number(faults)? != 0,
        })
    }

    /// Does it.
    ///
    /// # Errors
    /// What the log did that it must not do.
    pub fn run(&self) -> Result<(), String> {
        let (log, recovery) = match Log::open(config(&self.dir, self.backend, self.kept)) {
            Ok(opened) => opened,
            // The disk was to fail, and the log says so.
            Err(_) if self.faults => return Ok(()),
            Err(e) => return Err(format!("opening the log: {e}: {:?}", std::error::Error::source(&e))),
        };
        if let Some(damage) = recovery.lanes.iter().flat_map(|lane| &lane.damage).next() {
            return Err(format!("opening the log found damage: {damage:?}"));
        }
        let over = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            scope.spawn(|| self.evict(&over));
            let reader = scope.spawn(|| self.read(&over));
            let senders = [0, 1].map(|number| {
                let log = log.clone();
                scope.spawn(move || self.send(&log, number))
            });
            let sent = senders.map(|sender| sender.join().map_err(|_| "a sender panicked".to_owned())?);
            over.store(true, Ordering::Relaxed);
            let read = reader.join().map_err(|_| "the reader panicked".to_owned())?;
            sent.into_iter().chain([read]).collect::<Result<Vec<_>, _>>()
        });
        result?;
        match log.close() {
            Err(e) if !self.faults => Err(format!("closing the log: {e}")),
            _ => Ok(()),
        }
    }

    /// Sends every second request, in bursts, and waits for them.
    fn send(&self, log: &Log, number: u64) -> Result<(), String> {
        let mut ledger = LedgerWriter::open(&self.ledger).map_err(|e| format!("the ledger: {e}"))?;
        let sequence = Arc::new(Sequence::open(&self.sequence).map_err(|e| format!("the sequence: {e}"))?);
        let mut sender = Sender::new(log);
        let mut random = Random::of(self.seed, self.first_id + number);
        let ids: Vec<u64> =
            (self.first_id..self.first_id + self.requests).filter(|id| id % SENDERS == number).collect();
        let last_words = ids.len() / 2 + random.index(ids.len() / 2 + 1);
        let mut done = 0;
        let mut rest = ids.as_slice();
        while !rest.is_empty() {
            let (burst, later) = rest.split_at(rest.len().min(1 + random.index(5)));
            rest = later;
            let mut waiting = Vec::new();
            for &id in burst {
                let request = Request::derive(self.seed, id);
                let told = Arc::new(Told { sequence: Arc::clone(&sequence), at: AtomicU64::new(u64::MAX) });
                let mut append = request.append();
                append.outcome = Some(Arc::clone(&told) as Arc<dyn Outcome>);
                ledger.note(&format!("sent {id}"));
                match sender.submit(request.lane, append) {
                    Ok(_) if request.is_malformed() => {
                        return Err(format!("request {id} is malformed and was taken in"));
                    }
                    Ok(pending) => waiting.push((request, told, pending)),
                    Err(reason) if request.is_malformed() || self.faults => {
                        ledger.note(&format!("refused {id}"));
                        if !request.is_malformed() {
                            // Unable to store: it heals, or not, in its own time.
                            thread::sleep(Duration::from_millis(20));
                        }
                        drop(reason);
                    }
                    Err(reason) => return Err(format!("request {id} was refused: {reason}")),
                }
            }
            for (request, told, pending) in waiting {
                let result = sender.wait(pending);
                let at = sequence.now().min(told.at.load(Ordering::Acquire));
                let id = request.id;
                match result {
                    Ok(committed) => {
                        ledger.note(&format!(
                            "acked {id} {at} {} {}",
                            committed.lane().0,
                            committed.first_seq().0
                        ));
                    }
                    Err(_) if told.at.load(Ordering::Acquire) != u64::MAX => {
                        return Err(format!(
                            "request {id} was told that it is stored, and then that it failed"
                        ));
                    }
                    Err(_) if self.faults => ledger.note(&format!("failed {id}")),
                    Err(e) => return Err(format!("request {id} failed: {e}")),
                }
                done += 1;
                if self.end == End::Kill && number == 0 && done >= last_words {
                    kill_oneself();
                }
            }
            if random.chance(1, 6) {
                // Long enough for a heartbeat.
                thread::sleep(Duration::from_millis(8));
            }
        }
        if self.end == End::Kill && number == 0 {
            kill_oneself();
        }
        Ok(())
    }

    /// Follows all lanes and notes what it is shown.
    fn read(&self, over: &AtomicBool) -> Result<(), String> {
        let mut ledger = LedgerWriter::open(&self.ledger).map_err(|e| format!("the ledger: {e}"))?;
        let sequence = Sequence::open(&self.sequence).map_err(|e| format!("the sequence: {e}"))?;
        let store = match forebay_log::Store::open(&self.dir) {
            // The file system may have shut itself down by now.
            Err(_) if self.faults => return Ok(()),
            store => store.map_err(|e| format!("opening the store: {e}"))?,
        };
        let lanes = (0..LANES).map(forebay_record::LaneId).chain([forebay_record::LaneId::UNCLAIMED]);
        let cursors = lanes
            .map(|lane| store.cursor(lane, Seq(0), Filter::all()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| format!("a cursor: {e}"));
        let mut cursors = match cursors {
            Err(_) if self.faults => return Ok(()),
            cursors => cursors?,
        };
        loop {
            let last_round = over.load(Ordering::Relaxed);
            for cursor in &mut cursors {
                let lane = cursor.position().lane;
                loop {
                    match cursor.next() {
                        Ok(Some(Step::Frame(frame))) => {
                            let at = sequence.now();
                            let Some(record) = frame.records().next() else { continue };
                            let id = id_of(record.json).ok_or_else(|| {
                                format!("a reader was shown what nobody sent: lane {lane} {record:?}")
                            })?;
                            ledger.note(&format!("shown {} {} {id} {at}", lane.0, record.seq.0));
                        }
                        Ok(Some(Step::Gap(gap))) if gap.reason == forebay_log::GapReason::Retention => {}
                        Ok(Some(Step::Gap(gap))) => return Err(format!("a reader was given a gap: {gap}")),
                        Ok(None) => break,
                        // The disk was to fail; reading from it is not what is tested.
                        Err(_) if self.faults => break,
                        Err(e) => return Err(format!("reading: {e}: {:?}", std::error::Error::source(&e))),
                    }
                }
            }
            if last_round {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Pushes files out of the page cache.
    fn evict(&self, over: &AtomicBool) {
        let mut random = Random::of(self.seed, u64::MAX - self.first_id);
        while !over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_micros(500 + random.below(4000)));
            let lanes: Vec<_> = folder(&layout::log_dir(&self.dir));
            if lanes.is_empty() {
                continue;
            }
            let files = folder(&lanes[random.index(lanes.len())]);
            if files.is_empty() {
                continue;
            }
            // It may just have been removed.
            if let Ok(file) = File::open(&files[random.index(files.len())]) {
                let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
            }
        }
    }
}

fn folder(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    entries.unwrap_or_default()
}

fn kill_oneself() {
    let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    unreachable!("a process outlived its SIGKILL: {killed:?}");
}

/// Notes when the log first says that something is stored.
struct Told {
    sequence: Arc<Sequence>,
    at: AtomicU64,
}

impl Outcome for Told {
    fn stored(&self, _: u32, _: u64) {
        self.at.fetch_min(self.sequence.now(), Ordering::AcqRel);
    }

    fn failed(&self, _: u32) {}
}
