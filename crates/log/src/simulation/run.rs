//! One run: a process at work on a simulated disk, and the ledger beside it.

use super::{
    check,
    ledger::Ledger,
    node::{DIR, Node},
    plan::{Operation, Plan},
    reading,
};
use crate::{
    Append,
    config::Clock,
    disk::{
        Crash, Disk as _, SimDisk,
        sim::{Faults, Random},
    },
    lane::rig::append,
};
use forebay_record::{LaneId, StoreId};
use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Virtual time starts here.
const START_MS: u64 = 1_700_000_000_000;
/// Starts that may fail on a disk on which calls fail, or which is full.
const TRIES: usize = 3;
/// Without this much to spare the preparer calls a disk full.
const SPARE: u64 = 2 << 20;

/// The ledgers of all lanes: shared between a run and who watches it crash.
#[derive(Clone, Debug)]
pub(super) struct Ledgers {
    lanes: Arc<Mutex<Vec<Ledger>>>,
    /// The process is up: every lane was recovered, and nothing has gone down since.
    up: Arc<AtomicBool>,
}

impl Ledgers {
    pub(super) fn new(plan: &Plan) -> Ledgers {
        let ledger = |&id: &LaneId| {
            let retention = if id == LaneId::UNCLAIMED { plan.unclaimed } else { plan.retention };
            Ledger::new(id, retention != crate::Retention::default())
        };
        let lanes = plan.lanes.iter().map(ledger).collect();
        Ledgers { lanes: Arc::new(Mutex::new(lanes)), up: Arc::default() }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Ledger>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they stand now, to go on separately.
    pub(super) fn fork(&self) -> Ledgers {
        let up = Arc::new(AtomicBool::new(self.is_up()));
        Ledgers { lanes: Arc::new(Mutex::new(self.lock().clone())), up }
    }
}

/// A machine at work.
pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) disk: SimDisk,
    pub(super) ledgers: Ledgers,
    random: Random,
    node: Option<Node>,
    /// What somebody added to the clock, in milliseconds.
    clock_shift: Arc<AtomicU64>,
    full: bool,
    /// How far a reader has come, by lane.
    followers: Vec<u64>,
    /// What goes wrong again once the recovery has been checked.
    faults: Option<Faults>,
}

/// A disk as it is before the first start: with a store id that the seed determines.
pub(super) fn new_disk(plan: &Plan) -> SimDisk {
    let disk = SimDisk::new(plan.seed);
    let mut random = Random::of(plan.seed, 9);
    let id = StoreId((u128::from(random.next()) << 64 | u128::from(random.next())).to_le_bytes());
    let dir = Path::new(DIR);
    let write = || -> std::io::Result<()> {
        disk.create_dir(dir)?;
        let file = disk.create(&dir.join("store"))?;
        file.write_at(format!("forebay 1 {id}\n").as_bytes(), 0)?;
        file.flush()?;
        disk.sync_dir(dir)
    };
    write().expect("nothing fails yet");
    disk.set_quota(random.coin());
    disk
}

impl Run {
    pub(super) fn new(plan: Arc<Plan>, disk: SimDisk, ledgers: Ledgers, about: u64) -> Run {
        let random = Random::of(plan.seed, about);
        let followers = vec![0; plan.lanes.len()];
        Run {
            plan,
            disk,
            ledgers,
            random,
            node: None,
            clock_shift: Arc::default(),
            full: false,
            followers,
            faults: None,
        }
    }

    fn clock(&self) -> Clock {
        let (disk, shift) = (self.disk.clone(), Arc::clone(&self.clock_shift));
        Arc::new(move || (START_MS + disk.elapsed_ms()).wrapping_add(shift.load(Ordering::Relaxed)))
    }

    fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("started")
    }

    /// Starts the process. On a disk on which calls fail it may take several tries. Until the recovery has been
    /// checked nothing is damaged any more: what the disk proved before it must still be there after it.
    pub(super) fn start(&mut self) -> Result<(), String> {
        self.ledgers.up.store(false, Ordering::Relaxed);
        let faults = self.disk.faults();
        self.faults.get_or_insert(faults);
        let honest = Faults { lost_writes: 0, misdirected_writes: 0, flips: 0, unreadable: 0, ..faults };
        self.disk.set_faults(honest);
        let mut tries = 0;
        let node = loop {
            match Node::open(&self.disk, &self.plan, &self.clock()) {
                Ok(node) => break node,
                Err(e) if check::may_refuse(&self.plan, &e) => return Err(check::REFUSED.to_owned()),
                Err(e) if tries > TRIES => {
                    return Err(format!("a healthy disk, and the log does not open: {}", reading::chain(&e)));
                }
                Err(_) => {
                    tries += 1;
                    if tries > TRIES {
                        // It heals, and somebody makes room: now the log must open.
                        let healthy = Faults { failing_calls: 0, failing_flushes: 0, ..honest };
                        self.disk.set_faults(healthy);
                        self.disk.set_capacity(1 << 30);
                        self.full = false;
                    }
                    // A process that could not open ends.
                    self.disk.reboot(Crash::Kill);
                }
            }
        };
        self.disk.set_faults(honest);
        self.node = Some(node);
        self.ledgers.up.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What went wrong before the start goes wrong again.
    pub(super) fn resume(&mut self) {
        if let Some(faults) = self.faults.take() {
            self.disk.set_faults(faults);
        }
    }

    /// The process as it was started, for checks.
    pub(super) fn started(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// So many operations, one after the other.
    pub(super) fn go_on(&mut self, operations: usize) -> Result<(), String> {
        for _ in 0..operations {
            let operation = Plan::operation(&mut self.random);
            self.operate(operation).map_err(|e| format!("{operation:?}: {e}"))?;
            if let Some(path) = self.disk.retried().first() {
                return Err(format!("{}: written or flushed again after its flush failed", path.display()));
            }
        }
        Ok(())
    }

    fn operate(&mut self, operation: Operation) -> Result<(), String> {
        match operation {
            Operation::Append => self.append(),
            Operation::Heartbeat => {
                let lane = self.some_lane();
                self.node().idle(lane);
            }
            Operation::Roll => {
                let lane = self.some_lane();
                // No segment to go on in: the old one goes on.
                let _ = self.node().lanes[lane].writer.roll();
            }
            Operation::Prepare => self.node().prepare(),
            Operation::KeepHouse => self.node().keep_house(),
            Operation::Scrub => return self.scrub(),
            Operation::Follow => return self.follow(),
            Operation::Jump => {
                let lane = self.some_lane();
                let end = self.node().lanes[lane].lane.counters.next_seq.now();
                self.followers[lane] = self.random.next() % (end + 1);
            }
            Operation::Full => {
                self.full = !self.full;
                let left = self.random.pick(&[0, 0, 20_000, SPARE, SPARE + 40_000]);
                let capacity = if self.full { self.disk.used() + left } else { 1 << 30 };
                self.disk.set_capacity(capacity);
            }
            Operation::FailFlush => {
                let ahead = self.random.within(1, 4) as u64;
                self.disk.fail_flush(self.disk.flushes() + ahead);
            }
            Operation::Wait => self.disk.pass_ms(self.random.next() % 7_200_000),
            Operation::SetClock => {
                let shift = (self.random.next() % 7_200_000).wrapping_sub(3_600_000);
                self.clock_shift.fetch_add(shift, Ordering::Relaxed);
            }
            Operation::Reopen => {
                if let Some(node) = self.node.take() {
                    node.close();
                }
                self.disk.reboot(Crash::Kill);
                return self.restart();
            }
            Operation::Crash => {
                check::show_now(&self.plan, &self.disk, &self.ledgers)?;
                let crash = self.random.pick(&[Crash::Kill, Crash::LoseAll, Crash::LoseSome]);
                self.disk.reboot(crash);
                return self.restart();
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        let proven = check::proven(&self.plan, &self.disk);
        self.start()?;
        self.check(&proven)?;
        if self.random.coin() {
            self.node().catch_up();
        }
        Ok(())
    }

    /// Checks everything, right after a start; `proven` is what the disk proved before it.
    pub(super) fn check(&mut self, proven: &check::Proven) -> Result<(), String> {
        let node = self.node.as_ref().expect("started");
        check::recovered(&self.plan, &self.disk, node, &self.ledgers, proven, &mut self.random)?;
        self.resume();
        Ok(())
    }

    fn some_lane(&mut self) -> usize {
        self.random.below(self.plan.lanes.len())
    }

    fn append(&mut self) {
        let lane = self.some_lane();
        let mut batch = Vec::new();
        let mut events = Vec::new();
        let now = (self.clock())();
        for _ in 0..self.random.pick(&[1, 1, 1, 2, 3, 6]) {
            let most = if self.plan.event_bytes > 100 { 5 } else { 20 };
            let count = self.random.pick(&[1, 1, 1, 2, 3, most]);
            let (append, first) = self.some_append(lane, count, now);
            batch.push(append);
            events.push((first, count));
        }
        let stored = self.node().commit(lane, batch);
        // From here on whoever was waiting knows.
        let mut ledgers = self.ledgers.lock();
        for (stored, (first, count)) in stored.into_iter().zip(events) {
            assert!(stored.events <= count, "more stored than sent");
            ledgers[lane].ack(stored.first_seq.0, first, stored.events, stored.last_lsn);
        }
    }

    fn some_append(&mut self, lane: usize, count: usize, now: u64) -> (Append, usize) {
        let mut ledgers = self.ledgers.lock();
        let ledger = &mut ledgers[lane];
        let first = ledger.sent.len();
        let texts: Vec<_> = (0..count)
            .map(|_| {
                let len = match self.random.below(192) {
                    0 | 3 => 10_000,
                    // More than a segment: it gets one of its own.
                    1 if count == 1 => usize::try_from(self.plan.segment_least).unwrap_or(0) + 5000,
                    4..16 => 1,
                    _ => self.plan.event_bytes + self.random.below(self.plan.event_bytes),
                };
                ledger.send(len)
            })
            .collect();
        let claimed = ledger.lane != LaneId::UNCLAIMED;
        let project = claimed.then(|| 1 + self.random.next() % 3);
        (Append { received_at_ms: now, ..append(project, &texts) }, first)
    }

    /// The scrub reads what opening did not; on a disk that damages nothing it finds nothing.
    fn scrub(&mut self) -> Result<(), String> {
        self.node().scrub();
        if self.plan.is_damaging() {
            return Ok(());
        }
        let damaged = |lane: &super::node::NodeLane| lane.lane.counters.damaged_ranges.now();
        match self.node().lanes.iter().find(|lane| damaged(lane) > 0) {
            Some(lane) => Err(format!("lane {}: the scrub reports damage on an honest disk", lane.id)),
            None => Ok(()),
        }
    }

    /// A reader goes on where it was: it gets what follows, once.
    fn follow(&mut self) -> Result<(), String> {
        let lane = self.some_lane();
        let from = self.followers[lane];
        let mut ledgers = self.ledgers.lock();
        let reading = reading::read(&self.disk, &ledgers[lane], from, None)?;
        if let Some((seq, _)) = reading.events.first()
            && *seq < from
        {
            return Err(format!("a reader that had come to {from} was given {seq} again"));
        }
        self.followers[lane] = from.max(reading.end());
        ledgers[lane].show(&reading)
    }
}
