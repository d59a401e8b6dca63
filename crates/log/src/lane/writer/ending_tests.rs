//! Where a segment ends whose flush failed is known also when the header that says so is lost: the segment itself ends
//! there.

use crate::{
    Backend, Filter, RepairChoice, Store,
    disk::{Crash, Disk, SimDisk},
    lane::rig::Rig,
    layout, repair_on,
    sample::{Got, drain},
    verify_on,
};
use forebay_record::{LaneId, Seq};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

const DIR: &str = "/store";
const BACKENDS: [Backend; 2] = [Backend::Pwrite, Backend::Mapped];

fn read(disk: &SimDisk) -> Vec<Got> {
    let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR)).expect("a store");
    drain(&mut store.cursor(LaneId(0), Seq(0), Filter::all()).expect("a cursor"))
}

/// What is read of the lane if every record is there but those of segment 2, for `reason`.
fn expected(acked: &[String], lost: std::ops::Range<u64>, reason: crate::GapReason) -> Vec<Got> {
    let record = |(seq, text): (u64, &String)| Got::Record(seq, text.clone().into_bytes());
    let mut all: Vec<_> = (0..).zip(acked).map(record).collect();
    let range = usize::try_from(lost.start).expect("small")..usize::try_from(lost.end).expect("small");
    all.splice(range, [Got::Gap(lost.start, lost.end, reason)]);
    all
}

/// A lane whose first segment ended with a failed flush; the second one, which says where, holds what `lost` says.
fn lane(disk: &SimDisk, backend: Backend, refused: bool) -> (Vec<String>, std::ops::Range<u64>) {
    let mut rig = Rig::open(disk, Path::new(DIR), backend).expect("a healthy disk");
    let mut acked = Vec::new();
    let mut store = |rig: &mut Rig, text: &str| {
        if rig.store(&[text]) {
            acked.push(text.to_owned());
        }
        acked.len() as u64
    };
    store(&mut rig, "first");
    store(&mut rig, "second");
    disk.fail_flush(disk.flushes() + 1);
    if refused {
        // The fresh segment fails as well: its sender hears that it was not stored.
        (2..9).for_each(|n| disk.fail_flush(disk.flushes() + n));
    }
    store(&mut rig, "hit by the failure");
    disk.heal();
    if rig.writer.failing().is_some() {
        rig.writer.probe().expect("a healthy disk");
    }
    let lost = 2..store(&mut rig, "in the segment that says where the first one ends");
    rig.writer.roll().expect("a healthy disk");
    store(&mut rig, "behind it");
    rig.writer.close().expect("a healthy disk");
    assert_eq!(acked.contains(&"hit by the failure".to_owned()), !refused);
    (acked, lost)
}

/// What a reader is given that was refused, if there is anything.
pub(crate) fn read_behind_the_end() -> Option<String> {
    (0..20).find_map(|seed| {
        let disk = SimDisk::new(seed);
        let (acked, _) = lane(&disk, Backend::Pwrite, true);
        disk.flip(&second_segment(&disk), 100, 1);
        let sent = |got: &Got| match got {
            Got::Record(_, text) => acked.iter().any(|acked| acked.as_bytes() == text),
            Got::Gap(..) => true,
        };
        let got = read(&disk).into_iter().find(|got| !sent(got))?;
        Some(format!("seed {seed}: {got:?} was refused, and is read"))
    })
}

/// The one that follows the failed one.
fn second_segment(disk: &SimDisk) -> PathBuf {
    let dir = layout::lane_dir(Path::new(DIR), LaneId(0));
    layout::segment_path(&dir, layout::segments_on(disk, &dir).expect("a lane")[1])
}

#[test]
fn the_end_of_a_failed_flush_is_known_also_where_the_next_header_is_lost() {
    for seed in 0..20 {
        for (backend, refused) in BACKENDS.into_iter().flat_map(|b| [(b, false), (b, true)]) {
            let whole = SimDisk::new(seed);
            let (acked, lost) = lane(&whole, backend, refused);
            let second = second_segment(&whole);
            for harm in ["flipped", "unreadable", "removed"] {
                let what = format!("seed {seed}, {backend}, refused: {refused}, {harm}");
                let disk = whole.fork();
                if seed % 2 == 1 {
                    // What was made durable is enough.
                    disk.reboot(Crash::LoseAll);
                }
                match harm {
                    "flipped" => disk.flip(&second, 100, 1),
                    "unreadable" => disk.spoil(&second, 100),
                    _ => disk.remove(&second).expect("there"),
                }
                assert_eq!(read(&disk), expected(&acked, lost.clone(), crate::GapReason::Damage), "{what}");
                let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                let dir = Path::new(DIR);
                let report = verify_on(&shared, dir, false, &mut |_| {}).expect("a report");
                let damage: Vec<_> = report.damage().map(|(_, damage)| damage.seqs.clone()).collect();
                assert_eq!(damage, std::slice::from_ref(&lost), "{what}: {report:?}");
                repair_on(&shared, dir, RepairChoice::AcceptLoss).expect("repaired");
                let report = verify_on(&shared, dir, false, &mut |_| {}).expect("a report");
                assert!(report.is_clean(), "{what}: {report:?}");
                assert_eq!(read(&disk), expected(&acked, lost.clone(), crate::GapReason::Loss), "{what}");
            }
        }
    }
}
