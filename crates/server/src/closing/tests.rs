//! Whatever a process left unbooked, the next one's books say what the log holds.

use super::*;
use bytes::Bytes;
use forebay_control::{Options, StatsFilter};
use forebay_log::{Append, LogConfig, Outcome, Submitter, lane_of};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId};
use forebay_route::{Counts, HandedOver, Ledger, LedgerLimits, Reason};
use proptest::prelude::*;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const NOW_MS: u64 = 1_760_000_000_000;
const LANES: u16 = 2;

struct Settling(HandedOver);

impl Outcome for Settling {
    fn stored(&self, events: u32, bytes: u64) {
        self.0.stored(events, bytes);
    }

    fn failed(&self, events: u32) {
        self.0.failed(events);
    }
}

/// What of a server stores and counts.
struct Process {
    log: Log,
    submitter: Submitter,
    ledger: Arc<Ledger>,
    control: Control,
    handed: Vec<Arc<Settling>>,
}

fn owner(number: u64) -> Owner {
    ProjectId::new(number).map_or(Owner::Unclaimed, Owner::Project)
}

fn control(dir: &Path) -> Control {
    Control::open_with(dir, Options { clock: Arc::new(|| NOW_MS), ..Options::default() }).unwrap()
}

impl Process {
    /// Starts and closes the last one's books.
    fn start(dir: &Path) -> Process {
        let (process, mut closing) = Process::start_unclosed(dir);
        closing.close(&process.control).unwrap();
        process
    }

    fn start_unclosed(dir: &Path) -> (Process, Closing) {
        let clock: forebay_log::Clock = Arc::new(|| NOW_MS);
        let segment_bytes_min = 1 << 20;
        let config = LogConfig { lanes: LANES, segment_bytes_min, clock, ..LogConfig::new(dir) };
        let (log, _) = Log::open(config).unwrap();
        let closing = Closing::new(&log, Store::open(dir).unwrap());
        let ledger = Ledger::new(LedgerLimits::default());
        let (submitter, handed) = (log.submitter(), Vec::new());
        (Process { log, submitter, ledger, control: control(dir), handed }, closing)
    }

    fn track(&mut self, number: u64, events: u32, refused: u32) {
        self.handed.push(track(&self.submitter, &self.ledger, number, events, refused));
    }

    /// Receives events that never come to the log.
    fn abandon(&mut self, number: u64, events: u32) {
        let handed = self.ledger.tally(owner(number)).receive(events, 0).hand_over(events);
        // Its end would be a lost verdict, and a killed process does not come to that.
        std::mem::forget(handed);
    }

    fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.handed.iter().any(|settling| settling.0.left() > 0) {
            assert!(Instant::now() < deadline, "never settled");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Books as the bookkeeper does.
    fn book(&self, works: bool) {
        let (rows, counted) = drain(&self.log, &self.ledger);
        if works {
            self.control.record_accounting(&rows, &counted).unwrap();
        } else {
            self.ledger.put_back(rows);
        }
    }

    /// Ends without booking: what is queued is still stored, as it may be when a process is killed.
    fn die(self) {
        drop(self.submitter);
        self.log.close().unwrap();
    }
}

/// Receives this many events, refuses some and hands the rest to the log.
fn track(submitter: &Submitter, ledger: &Ledger, number: u64, events: u32, refused: u32) -> Arc<Settling> {
    let mut received = ledger.tally(owner(number)).receive(events, u64::from(events) * 2);
    received.reject(Reason::EventMissing, refused.min(events));
    let left = received.left();
    let settling = Arc::new(Settling(received.hand_over(left)));
    if left == 0 {
        return settling;
    }
    let project = owner(number).project();
    let append = Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project,
        token: Bytes::from_static(b"t"),
        meta: Bytes::new(),
        received_at_ms: NOW_MS,
        client_ip: None,
        text: Bytes::from_static(b"{}"),
        events: vec![DirectoryEntry { offset: 0, len: 2, ..DirectoryEntry::default() }; left as usize],
        outcome: Some(Arc::clone(&settling) as Arc<dyn Outcome>),
    };
    let lane = project.map_or(LaneId::UNCLAIMED, |project| lane_of(project, LANES));
    match submitter.submit(lane, append) {
        Ok(pending) => drop(pending),
        Err(_) => settling.0.reject(Reason::Overloaded, left),
    }
    settling
}

/// As the bookkeeper does it.
fn drain(log: &Log, ledger: &Ledger) -> (Vec<Row>, Vec<Position>) {
    let mut counted = Vec::new();
    let rows = ledger.drain_minute_holding(NOW_MS, || {
        let hold = log.hold_outcomes();
        counted.extend_from_slice(hold.told());
        hold
    });
    (rows, counted)
}

#[test]
fn every_booking_counts_exactly_the_records_in_front_of_its_positions() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let until = Instant::now() + Duration::from_millis(1500);
    std::thread::scope(|scope| {
        for core in 0..2 {
            let (log, ledger) = (&process.log, &process.ledger);
            scope.spawn(move || {
                let submitter = log.submitter();
                for number in (core..).take_while(|_| Instant::now() < until) {
                    track(&submitter, ledger, number % 5, 1, 0);
                    if number % 64 == 0 {
                        std::thread::sleep(Duration::from_micros(300));
                    }
                }
            });
        }
        let (mut booked, mut bookings) = (0, 0);
        while Instant::now() < until {
            let (rows, counted) = drain(&process.log, &process.ledger);
            let stored = rows.iter().filter(|row| row.kind == Kind::Stored);
            booked += stored.map(|row| row.events).sum::<u64>();
            bookings += 1;
            let positions: u64 = counted.iter().map(|at| at.seq.0).sum();
            assert_eq!(booked, positions, "after {bookings} bookings");
        }
        assert!(booked > 100 && bookings > 10, "{booked} booked in {bookings} bookings");
    });
}

/// The books, and what the log holds, by owner.
fn check(dir: &Path) -> Result<(), TestCaseError> {
    let mut counted = BTreeMap::new();
    for stats in control(dir).stats(&StatsFilter::default()).unwrap().owners {
        prop_assert!(stats.counts.balances(), "{stats:?}");
        let Counts { stored, stored_bytes, .. } = stats.counts;
        counted.extend((stored > 0).then_some((stats.owner, (stored, stored_bytes))));
    }
    let store = Store::open(dir).unwrap();
    let mut found = Found::new();
    for lane in store.lanes().unwrap() {
        assert_eq!(read(&store, Seq(0), store.durable(lane).unwrap(), &mut found).unwrap(), 0);
    }
    let found: BTreeMap<_, _> = found.into_iter().map(|((_, owner), counts)| (owner, counts)).collect();
    prop_assert_eq!(counted, found, "the books and the log");
    Ok(())
}

#[derive(Clone, Debug)]
enum Operation {
    Track { owner: u64, events: u32, refused: u32 },
    Abandon { owner: u64, events: u32 },
    Settle,
    Book { works: bool },
    Die,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        10 => (0..4_u64, 1..6_u32, 0..3_u32)
            .prop_map(|(owner, events, refused)| Operation::Track { owner, events, refused }),
        1 => (0..4_u64, 1..3_u32).prop_map(|(owner, events)| Operation::Abandon { owner, events }),
        1 => Just(Operation::Settle),
        4 => prop::bool::weighted(0.8).prop_map(|works| Operation::Book { works }),
        1 => Just(Operation::Die),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn after_any_end_the_books_say_what_the_log_holds(operations in prop::collection::vec(operation(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut process = Process::start(dir.path());
        for operation in operations {
            match operation {
                Operation::Track { owner, events, refused } => process.track(owner, events, refused),
                Operation::Abandon { owner, events } => process.abandon(owner, events),
                Operation::Settle => process.settle(),
                Operation::Book { works } => process.book(works),
                Operation::Die => {
                    process.die();
                    process = Process::start(dir.path());
                    check(dir.path())?;
                }
            }
        }
        process.die();
        Process::start(dir.path()).die();
        check(dir.path())?;
    }
}

#[test]
fn books_that_cannot_be_closed_at_once_are_closed_later_and_only_up_to_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    process.track(1, 3, 0);
    process.track(0, 2, 0);
    process.die();

    let (mut process, mut closing) = Process::start_unclosed(dir.path());
    process.control.limit_pages_for_tests(Some(0)).unwrap();
    // Full: rows of many minutes need pages, a few do not.
    let many: Vec<Row> = (0..5000)
        .map(|minute| Row {
            minute_ms: minute * 60_000,
            owner: owner(1),
            kind: Kind::Stored,
            events: 1,
            bytes: 0,
        })
        .collect();
    assert!(process.control.close_books(&many, &closing.ends).unwrap_err().is_full());
    process.control.limit_pages_for_tests(None).unwrap();
    // Meanwhile events are stored.
    process.track(1, 4, 0);
    process.settle();
    assert_eq!(closing.close(&process.control).unwrap(), ClosedBooks { stored: 5, interrupted: 0 });
    process.book(true);
    process.die();
    check(dir.path()).unwrap();
}

#[test]
fn a_directory_from_before_positions_were_recorded_is_counted_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut process, _) = Process::start_unclosed(dir.path());
    process.track(1, 3, 0);
    process.settle();
    process.die();
    let mut process = Process::start(dir.path());
    assert_eq!(process.control.stats(&StatsFilter::default()).unwrap().totals, Counts::default());
    process.track(1, 2, 0);
    process.die();
    let process = Process::start(dir.path());
    assert_eq!(process.control.stats(&StatsFilter::default()).unwrap().totals.stored, 2);
}

#[test]
fn lanes_that_are_not_written_any_more_are_closed_like_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    (1..=8).for_each(|project| process.track(project, 1, 0));
    process.die();
    let (log, _) = Log::open(LogConfig { lanes: 1, ..LogConfig::new(dir.path()) }).unwrap();
    let mut closing = Closing::new(&log, Store::open(dir.path()).unwrap());
    assert_eq!(closing.close(&control(dir.path())).unwrap(), ClosedBooks { stored: 8, interrupted: 0 });
    check(dir.path()).unwrap();
}
