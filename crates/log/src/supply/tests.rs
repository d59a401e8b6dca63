//! What a supply promises, on a simulated disk, without threads.

use super::{Draw, Fill, PART, Preparer, RESERVE_BYTES, Sizes, Supply, round};
use crate::{
    Backend,
    disk::{Disk, SimDisk},
    lane::{Lane, writer::SegmentSource as _},
    segment::Prepared,
};
use forebay_record::LaneId;
use std::{path::Path, sync::Arc};

const MIB: u64 = 1 << 20;

fn supply(disk: &SimDisk, lane: u16) -> Arc<Supply> {
    let (sender, _) = crossbeam_channel::bounded(1);
    let lane = Arc::new(Lane::new(LaneId(lane), sender, usize::MAX));
    let dir = Path::new("/log").join(lane.id.to_string());
    let sizes = Sizes { least: 2 * MIB, most: 16 * MIB };
    Arc::new(Supply::new(lane, Arc::new(disk.clone()), Backend::Pwrite, dir, sizes))
}

/// Fills, takes one and keeps it, again and again until there are no more.
fn take(supplies: &[Arc<Supply>], from: usize, most: usize) -> Vec<Prepared> {
    let preparer = Arc::new(Preparer::default());
    let mut draw = Draw { supply: Arc::clone(&supplies[from]), preparer };
    let mut taken = Vec::new();
    round(supplies);
    while taken.len() < most
        && let Ok(prepared) = draw.take(0)
    {
        taken.push(prepared);
        round(supplies);
    }
    taken
}

fn mib(taken: &[Prepared]) -> Vec<u64> {
    taken.iter().map(|prepared| prepared.bytes() / MIB).collect()
}

#[test]
fn segments_start_small_and_double_as_they_are_filled() {
    let disk = SimDisk::new(1);
    let taken = mib(&take(&[supply(&disk, 0)], 0, 30));
    assert!(taken.starts_with(&[2; 9]) && taken.ends_with(&[16; 5]) && taken.is_sorted(), "{taken:?}");
    for n in 2..taken.len() {
        // Made when the one two places before it was taken.
        let filled: u64 = taken[..n - 1].iter().sum();
        let (size, part) = (taken[n], filled / PART);
        assert!(size == 2 || size <= part, "{size} when {filled} were filled: {taken:?}");
        assert!(size == 16 || size > part / 2, "{size} when {filled} were filled: {taken:?}");
    }
}

#[test]
fn after_a_failure_they_grow_from_the_smallest_again() {
    let disk = SimDisk::new(1);
    let supply = supply(&disk, 0);
    let taken = take(&[Arc::clone(&supply)], 0, 30);
    let mut draw = Draw { supply: Arc::clone(&supply), preparer: Arc::default() };
    draw.spoilt();
    drop(taken);
    let after: Vec<_> = mib(&take(&[supply], 0, 8));
    assert_eq!(after, [16, 16, 1, 2, 4, 8, 16, 16]);
}

#[test]
fn on_a_disk_that_fills_up_they_get_smaller_and_something_is_left_for_others() {
    let disk = SimDisk::new(1);
    disk.set_capacity(40 * MIB);
    let supply = supply(&disk, 0);
    let taken = take(&[Arc::clone(&supply)], 0, 100);
    let sizes = mib(&taken);
    assert!(sizes.contains(&4) && sizes.ends_with(&[1, 1]), "{sizes:?}");
    let free = disk.free_space(Path::new("/log")).unwrap();
    assert!((RESERVE_BYTES..RESERVE_BYTES + MIB).contains(&free), "{free}");
    let reason = supply.lane.ability.unable().expect("unable");
    assert!(reason.contains("full"), "{reason}");
    // Space returns: the next round makes one and says so.
    disk.set_capacity(80 * MIB);
    assert_eq!(supply.fill(), Fill::Made);
    assert_eq!(supply.lane.ability.unable(), None);
}

#[test]
fn a_lane_that_has_two_gives_one_up_to_a_lane_that_has_none() {
    let disk = SimDisk::new(1);
    let rich = supply(&disk, 0);
    rich.fill();
    rich.fill();
    disk.set_capacity(4 * MIB + RESERVE_BYTES);
    let poor = supply(&disk, 1);
    round(&[Arc::clone(&rich), Arc::clone(&poor)]);
    assert!(!rich.is_empty_handed() && !poor.is_empty_handed());
}

#[test]
fn a_segment_out_of_the_ordinary_is_made_when_asked_for() {
    let disk = SimDisk::new(1);
    let supply = supply(&disk, 0);
    round(&[Arc::clone(&supply)]);
    let mut draw = Draw { supply: Arc::clone(&supply), preparer: Arc::default() };
    assert_eq!(draw.take(20 * MIB + 1).unwrap().bytes(), 21 * MIB);
    disk.set_capacity(30 * MIB);
    let refused = draw.take(50 * MIB).unwrap_err();
    assert!(refused.contains("cannot make a segment"), "{refused}");
    assert_eq!(supply.lane.ability.unable(), None, "smaller ones still fit");
    assert_eq!(draw.take(MIB).unwrap().bytes(), 2 * MIB);
}

#[test]
fn what_is_ready_and_not_used_is_removed_at_the_end() {
    let disk = SimDisk::new(1);
    let supply = supply(&disk, 0);
    round(&[Arc::clone(&supply)]);
    assert_eq!(disk.list(Path::new("/log/0")).unwrap().len(), 2);
    supply.close();
    assert_eq!(disk.list(Path::new("/log/0")).unwrap(), Vec::<String>::new());
    assert_eq!(supply.fill(), Fill::Enough);
}
