//! A repair that is cut off anywhere: the store is as it was or repaired, and repairing again finishes it.

use crate::{
    Backend, Filter, GapReason, RepairChoice, Store,
    disk::{Crash, Disk, SimDisk},
    lane::rig::{Rig, append},
    layout, repair_on,
    sample::{Got, drain},
    verify_on,
};
use forebay_record::{LaneId, SegmentId, Seq};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
};

const LANE: LaneId = LaneId(0);
const SEGMENT: u64 = 32 << 10;

fn dir() -> &'static Path {
    Path::new("/store")
}

fn segment(id: u64) -> PathBuf {
    layout::segment_path(&layout::lane_dir(dir(), LANE), SegmentId(id))
}

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// What a cursor gives, each record by the name it starts with.
fn read(disk: &SimDisk) -> Vec<Got> {
    let store = Store::open_on(shared(disk), dir()).expect("a store");
    let mut got = drain(&mut store.cursor(LANE, Seq(0), Filter::all()).expect("a cursor"));
    for got in &mut got {
        if let Got::Record(_, json) = got {
            json.truncate(6);
        }
    }
    got
}

/// Record by record, whatever the reason why one is missing.
fn flat(got: &[Got]) -> Vec<Option<&[u8]>> {
    let mut flat: Vec<Option<&[u8]>> = Vec::new();
    for got in got {
        match got {
            Got::Record(seq, json) => {
                assert_eq!(*seq, flat.len() as u64, "each once, in order");
                flat.push(Some(json));
            }
            Got::Gap(from, to, _) => {
                assert_eq!(*from, flat.len() as u64, "each once, in order");
                flat.resize(usize::try_from(*to).expect("few"), None);
            }
        }
    }
    flat
}

/// A stopped store of four segments; the newest ends with a seal, or with what a kill leaves.
fn stopped(sealed: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    let mut rig = Rig::open(&disk, dir(), Backend::Pwrite).expect("a healthy disk");
    rig.segment_bytes.store(SEGMENT, Ordering::Relaxed);
    for n in 0..4 {
        for frame in 0..4 {
            let events: Vec<_> = (0..3).map(|e| format!("{n}.{frame}.{e} {}", "x".repeat(100))).collect();
            rig.commit(vec![append(Some(7), &events)]);
        }
        if n < 3 {
            rig.writer.roll().expect("a healthy disk");
        }
    }
    if sealed {
        rig.writer.close().expect("a healthy disk");
    } else {
        rig.writer.heartbeat();
    }
    disk.reboot(Crash::Kill);
    disk
}

/// Where the first bytes of `text` lie in a segment.
fn place_of(disk: &SimDisk, id: u64, text: &str) -> usize {
    let bytes = &disk.files()[&segment(id)];
    bytes.windows(text.len()).position(|w| w == text.as_bytes()).expect("stored")
}

fn used(disk: &SimDisk, id: u64) -> usize {
    disk.files()[&segment(id)].iter().rposition(|&b| b != 0).expect("not empty")
}

type Harm = fn(&SimDisk);

const HARMS: [(&str, Harm); 14] = [
    ("a bit of a payload", |disk| disk.flip(&segment(2), place_of(disk, 2, "1.2.0"), 1)),
    ("a bit of a frame's header", |disk| disk.flip(&segment(2), 4096 + 30, 1)),
    ("bits of three segments", |disk| {
        disk.flip(&segment(1), place_of(disk, 1, "0.0.0"), 1);
        disk.flip(&segment(3), place_of(disk, 3, "2.1.0"), 1);
        disk.flip(&segment(4), place_of(disk, 4, "3.1.0"), 1);
    }),
    ("the last bytes in use", |disk| disk.flip(&segment(4), used(disk, 4), 1)),
    ("a sector that cannot be read", |disk| disk.spoil(&segment(3), place_of(disk, 3, "2.1.1"))),
    ("a sector of the newest segment", |disk| disk.spoil(&segment(4), place_of(disk, 4, "3.2.1"))),
    ("a header", |disk| disk.flip(&segment(2), 50, 1)),
    ("the first header", |disk| disk.flip(&segment(1), 50, 1)),
    ("the newest header", |disk| disk.flip(&segment(4), 50, 1)),
    ("the first two headers", |disk| {
        disk.flip(&segment(1), 50, 1);
        disk.flip(&segment(2), 50, 1);
    }),
    ("headers in the middle, one of them by a bad sector", |disk| {
        disk.spoil(&segment(2), 50);
        disk.flip(&segment(3), 50, 1);
    }),
    ("a segment that is gone", |disk| disk.remove(&segment(3)).expect("there")),
    ("the newest segment is gone", |disk| disk.remove(&segment(4)).expect("there")),
    ("the watermark is gone and a bit flipped", |disk| {
        disk.remove(&layout::watermark_path(&layout::lane_dir(dir(), LANE))).expect("there");
        disk.flip(&segment(2), place_of(disk, 2, "1.2.0"), 1);
    }),
];

fn repair(disk: &SimDisk) -> usize {
    repair_on(&shared(disk), dir(), RepairChoice::AcceptLoss).expect("repaired").actions.len()
}

#[test]
fn a_repair_cut_off_at_any_step_leaves_the_store_as_it_was_or_repaired_and_a_second_one_finishes_it() {
    let mut crashes = 0;
    for sealed in [true, false] {
        for (name, harm) in HARMS {
            let disk = stopped(sealed);
            harm(&disk);
            disk.sync_dir(&layout::lane_dir(dir(), LANE)).expect("a healthy disk");
            let before = read(&disk);
            let flat_before: Vec<_> = flat(&before).into_iter().map(|r| r.map(<[u8]>::to_vec)).collect();
            let is_flat_before = |got: &[Got]| {
                let got = flat(got);
                got.len() == flat_before.len()
                    && got.iter().zip(&flat_before).all(|(g, b)| *g == b.as_deref())
            };

            let moments: Arc<Mutex<Vec<SimDisk>>> = Arc::default();
            let seen = Arc::clone(&moments);
            disk.watch(move |moment| seen.lock().expect("one thread").push(moment));
            assert!(repair(&disk) > 0, "{name}: nothing to repair");
            disk.unwatch();
            let after = read(&disk);
            assert!(is_flat_before(&after), "{name}: {before:?} became {after:?}");
            assert!(
                after.iter().all(|got| !matches!(got, Got::Gap(.., GapReason::Damage))),
                "{name}: {after:?}"
            );
            let report = verify_on(&shared(&disk), dir(), false, &mut |_| {}).expect("a report");
            assert!(report.is_clean(), "{name}: {report:?}");
            assert_eq!(repair(&disk), 0, "{name}: a repair is final");

            let moments = std::mem::take(&mut *moments.lock().expect("one thread"));
            for (step, moment) in moments.iter().enumerate() {
                for crash in [Crash::Kill, Crash::LoseAll, Crash::LoseSome] {
                    let what = format!("{name}, sealed {sealed}, step {step}, {crash:?}");
                    let machine = moment.fork();
                    machine.reseed(step as u64);
                    machine.reboot(crash);
                    crashes += 1;
                    let cut_off = read(&machine);
                    assert!(is_flat_before(&cut_off), "{what}: {before:?} became {cut_off:?}");
                    repair(&machine);
                    assert_eq!(read(&machine), after, "{what}");
                    assert_eq!(repair(&machine), 0, "{what}: a repair is final");
                    machine.reboot(Crash::LoseAll);
                    assert_eq!(read(&machine), after, "{what}: what a repair did is durable");
                    if crash != Crash::Kill {
                        continue;
                    }
                    // A server goes on behind it.
                    let mut rig = Rig::open(&machine, dir(), Backend::Mapped).expect("a healthy disk");
                    rig.segment_bytes.store(SEGMENT, Ordering::Relaxed);
                    assert_eq!(rig.recovered.damage, [], "{what}");
                    assert!(rig.store(&["behind"]), "{what}");
                    let mut expected = after.clone();
                    expected.push(Got::Record(flat_before.len() as u64, b"behind".to_vec()));
                    assert_eq!(read(&machine), expected, "{what}");
                }
            }
        }
    }
    assert!(crashes > 1000, "{crashes} crashes");
}

#[test]
fn a_newest_segment_that_is_gone_or_unreadable_is_missed_also_while_nothing_follows_it() {
    let harms: [Harm; 2] =
        [|disk| disk.remove(&segment(4)).expect("there"), |disk| disk.flip(&segment(4), 50, 1)];
    for (sealed, harm) in [true, false].into_iter().flat_map(|sealed| harms.map(|harm| (sealed, harm))) {
        let disk = stopped(sealed);
        harm(&disk);
        // Started, however often, and never written.
        for _ in 0..3 {
            drop(Rig::open(&disk, dir(), Backend::Pwrite).expect("it serves the rest"));
        }
        let got = read(&disk);
        let Some(Got::Gap(36, end, GapReason::Damage)) = got.last() else { panic!("silence: {got:?}") };
        assert!(*end >= 48, "{got:?}");
        let report = verify_on(&shared(&disk), dir(), false, &mut |_| {}).expect("a report");
        assert_eq!(report.records_lost(), end - 36, "{report:?}");
        assert!(repair(&disk) > 0);
        let report = verify_on(&shared(&disk), dir(), false, &mut |_| {}).expect("a report");
        assert!(report.is_clean(), "{report:?}");
    }
}
