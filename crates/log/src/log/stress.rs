//! The log under everything at once: cores that submit, lose interest and leave, flushes that fail, readers,
//! retention, holds, and a close in the middle. What each thread does follows from a seed; how they interleave is the
//! machine's. What must hold whatever happens is checked afterwards.
//!
//! # Invariants
//! * An append that was taken in is resolved once, and its outcome hears of each event once; of one that was refused
//!   it hears nothing.
//! * What was acknowledged is read at its sequence, or retention took it.
//! * What one core submitted to one lane is stored in that order.
//! * Nobody waits for ever.

use super::tests::config;
use crate::{
    Append, Backend, Filter, GapReason, Log, LogConfig, Outcome, Pending, Refusal, Retention, Step, Store,
    Submitter,
    disk::{Disk, Faults, RealDisk, SimDisk},
    lane::rig::append,
};
use forebay_record::{LaneId, Seq};
use std::{
    collections::HashMap,
    future::Future as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const CORES: u64 = 3;
const LANES: u16 = 2;
/// Appends that each core tries to hand over.
const TRIES: u64 = 250;

/// Who is not woken for so long is never woken. Far longer than a flush takes on a struggling machine.
const WATCHDOG: Duration = Duration::from_secs(30);
/// Runs of each test.
const SEEDS: u64 = 16;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }
}

/// Remembers that it was rung.
struct Bell {
    sleeper: Thread,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.rung.store(true, Ordering::SeqCst);
        self.sleeper.unpark();
    }
}

/// Runs a pending beside the submitter's pump, and polls again only when woken: a wake-up that is lost is noticed.
fn wait_for(submitter: &Submitter, pending: Pending) -> End {
    let bell = Arc::new(Bell { sleeper: thread::current(), rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&bell));
    let mut cx = Context::from_waker(&waker);
    let (mut pending, mut pump) = (pin!(pending), pin!(submitter.pump()));
    loop {
        assert!(pump.as_mut().poll(&mut cx).is_pending(), "a pump never ends");
        match pending.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(committed)) => return End::Stored(committed.first_seq()),
            Poll::Ready(Err(_)) => return End::Failed,
            Poll::Pending => {}
        }
        let deadline = Instant::now() + WATCHDOG;
        while !bell.rung.swap(false, Ordering::SeqCst) {
            assert!(Instant::now() < deadline, "nobody woke who waits");
            thread::park_timeout(Duration::from_millis(100));
        }
    }
}

/// What an append's outcome heard.
#[derive(Debug, Default)]
struct Heard {
    stored: AtomicU32,
    failed: AtomicU32,
    calls: [AtomicU32; 2],
}

impl Outcome for Heard {
    fn stored(&self, events: u32, _bytes: u64) {
        self.stored.fetch_add(events, Ordering::Relaxed);
        self.calls[0].fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, events: u32) {
        self.failed.fetch_add(events, Ordering::Relaxed);
        self.calls[1].fetch_add(1, Ordering::Relaxed);
    }
}

/// An append and what became of it.
struct Sent {
    lane: LaneId,
    events: Vec<String>,
    heard: Arc<Heard>,
    end: End,
}

enum End {
    /// Given back.
    Refused,
    /// Nobody waited for it.
    Dropped,
    /// Durable from this sequence on.
    Stored(Seq),
    Failed,
}

/// What one core has under way.
struct Core<'a> {
    log: &'a Log,
    number: u64,
    submitter: Submitter,
    waiting: Vec<(usize, Pending)>,
    sent: Vec<Sent>,
}

impl Core<'_> {
    fn run(log: &Log, number: u64, seed: u64, submitted: &AtomicU64) -> Vec<Sent> {
        let mut dice = Dice(seed * CORES + number);
        let submitter = log.submitter();
        let mut core = Core { log, number, submitter, waiting: Vec::new(), sent: Vec::new() };
        for _ in 0..TRIES {
            let refused = core.submit(&mut dice);
            submitted.fetch_add(1, Ordering::Relaxed);
            match refused {
                Some(Refusal::Closed) if dice.throw(4) == 0 => break,
                // As a server does with the rest of its work.
                Some(_) => core.wait_for_one(&mut dice),
                None => {}
            }
            match dice.throw(8) {
                0 if !core.waiting.is_empty() => {
                    let lost = dice.throw(core.waiting.len() as u64);
                    drop(core.waiting.swap_remove(usize::try_from(lost).unwrap()));
                }
                1 => core.wait_for_one(&mut dice),
                2 => core.glance(),
                _ => {}
            }
            if dice.throw(100) == 0 {
                // The core goes, with all it waited for, and another one comes.
                core.waiting.clear();
                core.submitter = core.log.submitter();
            }
        }
        while !core.waiting.is_empty() {
            core.wait_for_one(&mut dice);
        }
        core.sent
    }

    fn submit(&mut self, dice: &mut Dice) -> Option<Refusal> {
        let lane = LaneId(u16::try_from(dice.throw(LANES.into())).unwrap());
        let padding = "x".repeat(usize::try_from(dice.throw(6000)).unwrap());
        let (core, n) = (self.number, self.sent.len());
        let events: Vec<_> = (0..=dice.throw(3)).map(|i| format!("{core} {n} {i} {padding}")).collect();
        let heard = Arc::new(Heard::default());
        let outcome: Arc<dyn Outcome> = heard.clone();
        let append = Append { outcome: Some(outcome), ..append(Some(7), &events) };
        let (end, refused) = match self.submitter.submit(lane, append) {
            Ok(pending) => {
                self.waiting.push((n, pending));
                (End::Dropped, None)
            }
            Err(refused) => (End::Refused, Some(refused.reason)),
        };
        self.sent.push(Sent { lane, events, heard, end });
        refused
    }

    /// Waits until one of the appends is resolved.
    fn wait_for_one(&mut self, dice: &mut Dice) {
        if self.waiting.is_empty() {
            return thread::sleep(Duration::from_millis(1));
        }
        let chosen = usize::try_from(dice.throw(self.waiting.len() as u64)).unwrap();
        let (n, pending) = self.waiting.swap_remove(chosen);
        self.sent[n].end = wait_for(&self.submitter, pending);
    }

    /// Looks at all of them without waiting, with a waker that does nothing, and moves on.
    fn glance(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for (n, mut pending) in std::mem::take(&mut self.waiting) {
            match pin!(&mut pending).poll(&mut cx) {
                Poll::Pending => self.waiting.push((n, pending)),
                Poll::Ready(Ok(committed)) => self.sent[n].end = End::Stored(committed.first_seq()),
                Poll::Ready(Err(_)) => self.sent[n].end = End::Failed,
            }
        }
    }
}

/// Follows a lane from the start until told to stop, and checks what it sees.
fn follow(store: &Store, lane: LaneId, stop: &AtomicBool) -> u64 {
    let mut records = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut cursor = store.cursor(lane, Seq(0), Filter::default()).expect("a cursor");
        let mut last = HashMap::new();
        let mut next = 0;
        while let Some(step) = cursor.next().expect("the lane can be read") {
            match step {
                Step::Gap(gap) => {
                    assert_eq!(gap.reason, GapReason::Retention, "{gap:?}");
                    assert_eq!(gap.from.0, next);
                    next = gap.to.0;
                }
                Step::Frame(frame) => {
                    for record in frame.records() {
                        assert_eq!(record.seq.0, next);
                        next += 1;
                        records += 1;
                        let (core, place) = place_of(record.json);
                        let before = last.insert(core, place);
                        assert!(before.is_none_or(|before| before < place), "{before:?} before {place:?}");
                    }
                }
            }
            let durable = store.durable(lane).expect("a watermark").seq.0;
            assert!(next <= durable, "read up to {next}, durable up to {durable}");
        }
        thread::yield_now();
    }
    records
}

/// Who submitted an event, and which of his it is.
fn place_of(event: &[u8]) -> (u64, (u64, u64)) {
    let text = std::str::from_utf8(event).expect("text");
    let mut numbers = text.split(' ').map(|n| n.parse().unwrap_or(u64::MAX));
    let mut number = || numbers.next().expect("three numbers");
    (number(), (number(), number()))
}

/// What happened in some runs, so that a test can tell whether it has tested anything.
#[derive(Debug, Default)]
struct Happened {
    stored: usize,
    failed: usize,
    dropped: usize,
    refused: usize,
    failed_flushes: u64,
    expired_segments: u64,
}

/// One run, which adds to what happened.
fn run(
    disk: &Arc<dyn Disk>,
    dir: &TempDir,
    backend: Backend,
    seed: u64,
    happened: &mut Happened,
    during: impl FnOnce(),
) {
    let config = LogConfig {
        lanes: LANES,
        backend,
        segment_bytes_min: 128 << 10,
        segment_bytes_max: 256 << 10,
        group_bytes_max: 64 << 10,
        queue_len_max: 16,
        heartbeat: Duration::from_millis(2),
        retention: Retention { age: None, bytes: Some(768 << 10) },
        ..config(dir)
    };
    let (log, _) = Log::open_on(Arc::clone(disk), config, false).expect("opens");
    during();
    let store = log.store().expect("a store");
    let (stop, submitted) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut dice = Dice(!seed);
    // In every other run the log is closed while they submit.
    let closes_at = dice.throw(2 * CORES * TRIES);
    let sent: Vec<Sent> = thread::scope(|scope| {
        let cores: Vec<_> = (0..CORES)
            .map(|core| {
                let (log, submitted) = (&log, &submitted);
                scope.spawn(move || Core::run(log, core, seed, submitted))
            })
            .collect();
        for lane in 0..LANES {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || follow(store, LaneId(lane), stop));
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                log.run_retention();
                let told = log.hold_outcomes().told().iter().map(|told| told.seq.0).collect::<Vec<_>>();
                let later = log.hold_outcomes().told().iter().map(|told| told.seq.0).collect::<Vec<_>>();
                assert!(told <= later || told.iter().zip(&later).all(|(a, b)| a <= b), "{told:?} {later:?}");
                let _ = (log.stats(), log.health());
                thread::sleep(Duration::from_micros(200));
            }
        });
        while cores.iter().any(|core| !core.is_finished()) {
            if submitted.load(Ordering::Relaxed) >= closes_at {
                let _ = log.clone().close();
                break;
            }
            thread::sleep(Duration::from_micros(100));
        }
        let sent = cores.into_iter().map(|core| core.join()).collect::<Vec<_>>();
        stop.store(true, Ordering::Relaxed);
        sent.into_iter().flat_map(|sent| sent.expect("a core panicked")).collect()
    });
    let _ = log.clone().close();
    check(&log, &store, &sent, happened);
}

fn check(log: &Log, store: &Store, sent: &[Sent], happened: &mut Happened) {
    let mut told = [0, 0];
    for sent in sent {
        let heard = [&sent.heard.stored, &sent.heard.failed].map(|n| n.load(Ordering::Relaxed));
        let calls = [&sent.heard.calls[0], &sent.heard.calls[1]].map(|n| n.load(Ordering::Relaxed));
        assert!(calls[0] <= 1 && calls[1] <= 1, "told {calls:?} times");
        let all = u32::try_from(sent.events.len()).unwrap();
        match sent.end {
            End::Refused => assert_eq!(heard, [0, 0], "of an append that was given back"),
            End::Stored(_) => assert_eq!(heard, [all, 0]),
            End::Failed => assert!(heard[0] < all && heard[0] + heard[1] == all, "{heard:?} of {all}"),
            End::Dropped => assert_eq!(heard[0] + heard[1], all),
        }
        *match sent.end {
            End::Refused => &mut happened.refused,
            End::Dropped => &mut happened.dropped,
            End::Stored(_) => &mut happened.stored,
            End::Failed => &mut happened.failed,
        } += 1;
        told[usize::from(sent.lane.0)] += u64::from(heard[0]);
    }
    let stats = log.stats();
    happened.failed_flushes += stats.lanes.iter().map(|lane| lane.failed_flushes).sum::<u64>();
    happened.expired_segments += stats.lanes.iter().map(|lane| lane.expired_segments).sum::<u64>();
    for lane in 0..LANES {
        let place = usize::from(lane);
        assert_eq!(stats.lanes[place].next_seq.0, told[place], "every durable record was told, and no other");
        let mut cursor = store.cursor(LaneId(lane), Seq(0), Filter::default()).expect("a cursor");
        let (mut read, mut taken) = (HashMap::new(), 0);
        while let Some(step) = cursor.next().expect("the lane can be read") {
            match step {
                Step::Gap(gap) => taken = gap.to.0,
                Step::Frame(frame) => {
                    read.extend(frame.records().map(|record| (record.seq.0, record.json.to_vec())));
                }
            }
        }
        assert_eq!(taken + read.len() as u64, told[place], "all is read or was taken by retention");
        for sent in sent.iter().filter(|sent| sent.lane == LaneId(lane)) {
            let End::Stored(first) = sent.end else { continue };
            for (seq, event) in (first.0..).zip(&sent.events).filter(|(seq, _)| *seq >= taken) {
                assert_eq!(read.get(&seq).map(Vec::as_slice), Some(event.as_bytes()), "at {seq}");
            }
        }
    }
}

fn backend(seed: u64) -> Backend {
    if seed.is_multiple_of(2) { Backend::Pwrite } else { Backend::Mapped }
}

#[test]
fn whatever_cores_readers_retention_and_a_close_do_at_once_each_append_has_one_end() {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut happened = Happened::default();
    for seed in 0..SEEDS {
        run(&disk, &TempDir::new().unwrap(), backend(seed), seed, &mut happened, || ());
    }
    println!("{happened:?}");
    let Happened { stored, dropped, refused, expired_segments, .. } = happened;
    assert!(stored > 0 && dropped > 0 && refused > 0 && expired_segments > 0, "{happened:?}");
}

#[test]
fn whatever_flushes_fail_meanwhile_each_append_has_one_end() {
    let mut happened = Happened::default();
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let faults = Faults { failing_flushes: 20, evictions: 20, ..Faults::default() };
        run(&disk, &TempDir::new().unwrap(), backend(seed), seed, &mut happened, || sim.set_faults(faults));
    }
    println!("{happened:?}");
    // Whether an append fails for good or goes to the next segment is the threads' luck.
    let Happened { stored, dropped, failed_flushes, .. } = happened;
    assert!(stored > 0 && dropped > 0 && failed_flushes > 0, "{happened:?}");
}
