//! The invariants of the log, each by its number: what the sweeps come upon by chance, here on purpose.

use super::{
    plan::Plan,
    sweep::{Tally, sweep_of},
};
use crate::{
    Backend, Filter, Retention, Step, Store,
    disk::{
        Crash, Disk as _, SimDisk,
        sim::{Fault, Faults},
    },
    lane::rig::{Rig, append},
    layout,
};
use forebay_record::{FrameHeader, LaneId, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, SegmentId, Seq};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

const BACKENDS: [Backend; 2] = [Backend::Pwrite, Backend::Mapped];
const DIR: &str = "/invariants";

/// A plain run on a disk with these faults.
fn plan(backend: Backend, faults: Faults) -> Plan {
    Plan {
        backend,
        lanes: vec![LaneId(0)],
        segment_least: 16 << 10,
        segment_most: 32 << 10,
        retention: Retention::default(),
        unclaimed: Retention::default(),
        faults,
        operations: 14,
        event_bytes: 120,
        ..Plan::new(0)
    }
}

fn holds(plan: Plan) -> Tally {
    sweep_of(plan).unwrap_or_else(|broken| panic!("{broken}"))
}

fn open(disk: &SimDisk, backend: Backend) -> Rig {
    Rig::open(disk, Path::new(DIR), backend).unwrap_or_else(|e| panic!("{e:?}"))
}

fn events(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{i}:{}", "e".repeat(i * 37 % 600))).collect()
}

/// Every event of lane 0 by sequence, from `from` on; `None` in a gap.
fn read(disk: &SimDisk, from: u64) -> Vec<(u64, Option<String>)> {
    let store = Store::open_on(Arc::new(disk.quiet()), Path::new(DIR)).unwrap();
    let mut cursor = store.cursor(LaneId(0), Seq(from), Filter::all()).unwrap();
    let mut all = Vec::new();
    while let Some(step) = cursor.next().unwrap() {
        match step {
            Step::Gap(gap) => all.extend((gap.from.0..gap.to.0).map(|seq| (seq, None))),
            Step::Frame(frame) => all.extend(
                frame.records().map(|r| (r.seq.0, Some(String::from_utf8(r.json.to_vec()).unwrap()))),
            ),
        }
    }
    all
}

fn texts(disk: &SimDisk) -> Vec<String> {
    let all = read(disk, 0).into_iter().enumerate();
    all.map(|(i, (seq, text))| {
        assert_eq!(seq, i as u64, "sequences are dense");
        text.expect("no gap")
    })
    .collect()
}

fn segment(id: u64) -> PathBuf {
    layout::segment_path(&layout::lane_dir(Path::new(DIR), LaneId(0)), SegmentId(id))
}

#[test]
fn invariant_01_no_acknowledged_event_is_lost_by_a_crash_at_any_step() {
    for backend in BACKENDS {
        let tally = holds(plan(backend, Faults { garbled_pages: 128, ..Faults::default() }));
        let cuts = tally.struck.of(Fault::PowerCutAllLost) + tally.struck.of(Fault::PowerCutSomeLost);
        assert!(cuts > 100 && tally.struck.of(Fault::Kill) > 50 && tally.acked > 20, "{tally}");
    }
}

#[test]
fn invariant_02_whatever_is_acknowledged_is_on_disk_at_that_moment_also_when_flushes_fail() {
    for backend in BACKENDS {
        for failing in 0..14 {
            let disk = SimDisk::new(failing);
            let mut rig = open(&disk, backend);
            disk.fail_flush(disk.flushes() + failing);
            let mut acked = Vec::new();
            for event in events(6) {
                if rig.store(&[&event]) {
                    acked.push(event);
                }
                // The power goes in the moment of the acknowledgement.
                let cut = disk.fork();
                cut.reboot(Crash::LoseAll);
                drop(open(&cut, backend));
                assert_eq!(texts(&cut), acked, "{backend}, flush {failing}");
            }
        }
    }
}

#[test]
fn invariant_03_after_a_failed_flush_nothing_more_is_written_to_that_segment() {
    for backend in BACKENDS {
        for failing in 1..20 {
            let disk = SimDisk::new(failing);
            let mut rig = open(&disk, backend);
            disk.fail_flush(disk.flushes() + failing);
            disk.fail_flush(disk.flushes() + failing + 3);
            for event in events(12) {
                rig.store(&[&event]);
                rig.writer.heartbeat();
            }
            let _ = rig.writer.close();
            assert_eq!(disk.retried(), Vec::<PathBuf>::new(), "{backend}, flush {failing}");
        }
        let often = plan(backend, Faults { failing_flushes: 200, ..Faults::default() });
        assert!(holds(often).struck.of(Fault::FailedFlush) > 50);
    }
}

#[test]
fn invariant_04_what_a_reader_is_shown_at_any_step_survives_a_power_cut_in_the_next() {
    for backend in BACKENDS {
        let disk = SimDisk::new(4);
        drop(open(&disk, backend));
        let looked = Arc::new(Mutex::new(0));
        let counting = Arc::clone(&looked);
        disk.watch(move |at| {
            let shown = texts(&at);
            *counting.lock().unwrap() += shown.len();
            at.reboot(Crash::LoseAll);
            drop(open(&at, backend));
            assert!(texts(&at).starts_with(&shown), "{backend}, step {}: {shown:?}", at.steps());
        });
        let mut rig = open(&disk, backend);
        for (i, event) in events(9).into_iter().enumerate() {
            assert!(rig.store(&[&event]));
            if i % 4 == 3 {
                // Killed with a group under way: recovery flushes what it keeps before it shows it.
                disk.crash_at(disk.steps() + 2);
                rig.store(&["under way"]);
                disk.reboot(Crash::Kill);
                rig = open(&disk, backend);
            }
        }
        disk.unwatch();
        assert!(*looked.lock().unwrap() > 200, "readers saw something at most steps");
    }
}

#[test]
fn invariant_05_recovery_cuts_only_what_was_never_acknowledged_and_reports_the_rest_exactly() {
    let disk = SimDisk::new(5);
    let mut rig = open(&disk, Backend::Pwrite);
    let events = events(8);
    events.iter().for_each(|event| assert!(rig.store(&[event])));
    rig.writer.heartbeat();
    let before = disk.files()[&segment(1)].clone();
    // Groups of one record, one page each; every 61st byte of them.
    for at in (4096..4096 * 9).step_by(61) {
        let page = u64::try_from(at / 4096).unwrap();
        let hurt = disk.fork();
        if before[at..4096 * (at / 4096 + 1)].iter().all(|b| *b == 0) {
            continue; // Padding: nothing is lost with it.
        }
        hurt.flip(&segment(1), at, 0x10);
        hurt.reboot(Crash::Kill);
        let rig = open(&hurt, Backend::Pwrite);
        let damage = &rig.recovered.damage;
        let lost = Seq(page - 1)..Seq(page);
        assert_eq!((damage.len(), damage[0].seq.clone()), (1, lost), "byte {at}: {damage:?}");
        assert_eq!((damage[0].bytes.start, rig.recovered.cut.clone()), (page * 4096, None), "byte {at}");
        let mut expected: Vec<_> = (0..).zip(events.iter().cloned().map(Some)).collect();
        expected[at / 4096 - 1].1 = None;
        assert_eq!(read(&hurt, 0), expected, "byte {at}");
        let after = &hurt.files()[&segment(1)];
        assert_eq!(after.iter().zip(&before).filter(|(a, b)| a != b).count(), 1, "byte {at}: left as it is");
    }
}

#[test]
fn invariant_06_recovery_crashed_anywhere_comes_to_the_same_end_and_reads_one_segment() {
    for backend in BACKENDS {
        let disk = SimDisk::new(6);
        let mut rig = open(&disk, backend);
        let events = events(200);
        for chunk in events.chunks(5) {
            assert!(rig.store(&chunk.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        disk.crash_at(disk.steps() + 2);
        rig.store(&["never", "acknowledged"]);
        let down = disk.fork();
        for crash in [Crash::Kill, Crash::LoseAll] {
            let whole = down.fork();
            whole.reboot(crash);
            let steps = whole.steps();
            let rig = open(&whole, backend);
            assert!(rig.recovered.segments > 1 && rig.recovered.scanned_bytes <= crate::lane::rig::SEGMENT);
            let (end, steps) = (texts(&whole), whole.steps() - steps);
            assert!(end.starts_with(&events));
            let next = rig.recovered.next_seq;
            for step in 1..=steps {
                let torn = down.fork();
                torn.reboot(crash);
                torn.crash_at(torn.steps() + step);
                Rig::open(&torn, Path::new(DIR), backend).map(drop).unwrap_err();
                torn.reboot(Crash::Kill);
                let rig = open(&torn, backend);
                assert_eq!(
                    (rig.recovered.next_seq, &rig.recovered.damage),
                    (next, &Vec::new()),
                    "step {step}"
                );
                assert_eq!(texts(&torn), end, "{backend}, {crash:?}, step {step}");
            }
        }
    }
}

/// Places where a whole group of one segment validates in another one.
pub(super) fn frames_of_another_segment_that_are_taken() -> Vec<usize> {
    let disk = SimDisk::new(7);
    let mut rig = open(&disk, Backend::Pwrite);
    for _ in 0..2 {
        events(3).iter().for_each(|event| assert!(rig.store(&[event])));
        rig.writer.roll().unwrap();
    }
    let [one, other] = [segment(1), segment(2)].map(|path| disk.files()[&path].clone());
    let salt = SegmentHeader::decode(&other).unwrap().salt;
    let groups = (SEGMENT_HEADER_BYTES..one.len()).step_by(4096);
    let taken = |at: &usize| FrameHeader::decode(&one[*at..], Seed { salt, position: *at as u64 }).is_ok();
    groups.filter(taken).collect()
}

#[test]
fn invariant_07_frames_of_another_place_segment_or_time_are_never_taken_for_the_lanes() {
    assert_eq!(frames_of_another_segment_that_are_taken(), Vec::<usize>::new());
    let disk = SimDisk::new(7);
    let mut rig = open(&disk, Backend::Pwrite);
    let first = events(3);
    first.iter().for_each(|event| assert!(rig.store(&[event])));
    rig.writer.roll().unwrap();
    let second = ["a", "b"];
    second.iter().for_each(|event| assert!(rig.store(&[event])));
    drop(rig);
    let page = |n: usize| disk.files()[&segment(1)][4096 * n..4096 * (n + 1)].to_vec();
    let mut expected = first.clone();
    expected.extend(second.map(str::to_owned));
    // Whole valid groups: of the old segment at their own place, at another, and the newest's own, shifted.
    let own = disk.files()[&segment(2)][8192..12288].to_vec();
    for (what, bytes) in [("place", page(3)), ("shifted", page(1)), ("own", own)] {
        for to in [4096 * 3, 4096 * 4, 4096 * 3 + 512] {
            let spliced = disk.fork();
            spliced.open(&segment(2)).unwrap().write_at(&bytes, to).unwrap();
            spliced.reboot(Crash::Kill);
            let rig = open(&spliced, Backend::Pwrite);
            assert_eq!(rig.recovered.damage, [], "{what} at {to}");
            assert_eq!(texts(&spliced), expected, "{what} at {to}");
        }
    }
}

#[test]
fn invariant_08_sequences_are_dense_and_events_in_order_once_across_rolls_restarts_and_failures() {
    for backend in BACKENDS {
        let disk = SimDisk::new(8);
        let mut rig = open(&disk, backend);
        let mut acked = Vec::new();
        for (i, event) in events(60).into_iter().enumerate() {
            match i % 10 {
                3 => drop(rig.writer.roll()),
                5 => disk.fail_flush(disk.flushes() + 1),
                7 => {
                    let _ = rig.writer.close();
                    disk.reboot(Crash::Kill);
                    rig = open(&disk, backend);
                }
                9 => {
                    disk.reboot(Crash::LoseAll);
                    rig = open(&disk, backend);
                }
                _ => {}
            }
            let stored = rig.commit(vec![append(Some(7), &[&event]), append(Some(8), &[&event])]);
            for (events, seq, _) in stored {
                assert!(events == 0 || seq.0 == acked.len() as u64, "{backend}, event {i}");
                acked.extend((0..events).map(|_| event.clone()));
            }
        }
        assert!(acked.len() > 100);
        assert_eq!(texts(&disk), acked, "{backend}");
    }
}

#[test]
fn invariant_09_a_reader_that_resumes_anywhere_gets_every_later_event_once() {
    let disk = SimDisk::new(9);
    let mut rig = open(&disk, Backend::Pwrite);
    let events = events(80);
    for (i, chunk) in events.chunks(4).enumerate() {
        assert!(rig.store(&chunk.iter().map(String::as_str).collect::<Vec<_>>()));
        if i % 5 == 4 {
            rig.writer.roll().unwrap();
        }
    }
    let all = read(&disk, 0);
    assert!(all.iter().map(|(_, text)| text.as_ref()).eq(events.iter().map(Some)));
    for from in 0..=80 {
        assert_eq!(read(&disk, from), all[usize::try_from(from).unwrap()..], "from {from}");
    }
    // Too old: what is gone stands in a gap, and nothing is passed over in silence.
    disk.remove(&segment(1)).unwrap();
    let rest = read(&disk, 3);
    assert_eq!(rest.first(), Some(&(3, None)));
    assert_eq!(rest.len(), 77);
    assert_eq!(rest[17..], all[20..]);
}

#[test]
fn invariant_11_a_full_disk_or_a_spent_quota_costs_no_acknowledged_event_and_heals() {
    for quota in [false, true] {
        for spare in (0..100_000).step_by(9000) {
            let disk = SimDisk::new(11);
            disk.set_quota(quota);
            let mut rig = open(&disk, Backend::Pwrite);
            disk.set_capacity(disk.used() + spare);
            let events = events(60);
            let mut acked = Vec::new();
            for event in &events {
                if rig.store(&[event]) {
                    acked.push(event.clone());
                }
            }
            disk.set_capacity(1 << 30);
            assert!(rig.store(&["space again"]));
            acked.push("space again".to_owned());
            disk.reboot(Crash::LoseAll);
            drop(open(&disk, Backend::Pwrite));
            assert_eq!(texts(&disk), acked, "{spare} bytes to spare");
        }
    }
}

#[test]
fn invariant_12_a_commit_writes_what_it_stores_and_flushes_once() {
    for backend in BACKENDS {
        let disk = SimDisk::new(12);
        let mut rig = open(&disk, backend);
        rig.segment_bytes.store(4 << 20, std::sync::atomic::Ordering::Relaxed);
        assert!(rig.store(&["the segment is there"]));
        let event = "x".repeat(1000);
        let batch: Vec<_> = std::iter::repeat_n(event.as_str(), 66).collect();
        let (flushes, flushed, frames) =
            (disk.flushes(), disk.flushed_bytes(), rig.lane.counters.frames.now());
        for _ in 0..20 {
            assert!(rig.store(&batch));
        }
        assert_eq!(rig.lane.counters.frames.now() - frames, 20);
        assert_eq!(disk.flushes() - flushes, 20, "{backend}: one flush a group");
        let payload: u64 = 20 * 66 * 1000;
        let written = disk.flushed_bytes() - flushed;
        assert!(written * 100 <= payload * 110, "{backend}: {written} device bytes for {payload}");
    }
}
