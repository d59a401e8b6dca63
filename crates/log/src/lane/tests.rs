//! The writer's promises, on a simulated disk.

use super::rig::{Rig, SEGMENT, append, readable};
use crate::{
    Backend,
    disk::{Crash, Disk as _, Faults, SimDisk},
    layout,
};
use forebay_record::{LaneId, Lsn, Predecessor, SegmentHeader, SegmentId, Seq};
use std::{path::PathBuf, sync::atomic::Ordering};
use tempfile::TempDir;

const BACKENDS: [Backend; 2] = [Backend::Pwrite, Backend::Mapped];

fn start(backend: Backend) -> (TempDir, SimDisk, Rig) {
    let dir = TempDir::new().unwrap();
    let disk = SimDisk::new(1);
    let rig = Rig::open(&disk, dir.path(), backend).unwrap();
    (dir, disk, rig)
}

fn some(events: &[&str]) -> Vec<Option<String>> {
    events.iter().map(|e| Some((*e).to_owned())).collect()
}

fn segment(dir: &TempDir, id: u64) -> PathBuf {
    layout::segment_path(&layout::lane_dir(dir.path(), LaneId(0)), SegmentId(id))
}

fn header(disk: &SimDisk, dir: &TempDir, id: u64) -> SegmentHeader {
    let view = disk.open(&segment(dir, id)).unwrap().view().unwrap();
    SegmentHeader::decode(view.bytes()).unwrap()
}

#[test]
fn what_was_committed_survives_a_power_cut_that_loses_all_else() {
    for backend in BACKENDS {
        let (dir, disk, mut rig) = start(backend);
        assert!(rig.store(&["a", "b"]) && rig.store(&["c"]));
        disk.reboot(Crash::LoseAll);
        let rig = Rig::open(&disk, dir.path(), backend).unwrap();
        assert_eq!((rig.recovered.durable_lsn, rig.recovered.next_seq), (Lsn(2), Seq(3)), "{backend}");
        assert_eq!(readable(&disk, dir.path()), some(&["a", "b", "c"]), "{backend}");
    }
}

#[test]
fn nothing_counts_as_stored_when_its_flush_failed_and_it_goes_to_a_fresh_segment_once() {
    for backend in BACKENDS {
        let (dir, disk, mut rig) = start(backend);
        assert!(rig.store(&["a"]));
        disk.fail_flush(disk.flushes() + 1);
        // The frames are still in memory: they go to the next segment, and that flush succeeds.
        assert!(rig.store(&["b", "c"]), "{backend}");
        assert!(rig.store(&["d"]));
        let end = header(&disk, &dir, 1).capacity.min(8192);
        let failed = Predecessor::Failed { id: SegmentId(1), end };
        assert_eq!(header(&disk, &dir, 2).predecessor, failed, "{backend}");
        assert_eq!(header(&disk, &dir, 2).base_lsn, Lsn(2));
        assert_eq!(readable(&disk, dir.path()), some(&["a", "b", "c", "d"]), "{backend}");
        assert_eq!(rig.lane.counters.failed_flushes.now(), 1);
        disk.reboot(Crash::LoseAll);
        Rig::open(&disk, dir.path(), backend).unwrap();
        assert_eq!(readable(&disk, dir.path()), some(&["a", "b", "c", "d"]), "{backend}");
    }
}

#[test]
fn appends_fail_when_fresh_segments_fail_too_and_later_ones_do_not() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    assert!(rig.store(&["a"]));
    // The flush of the group, then the fresh segment's: prepared with one step of zeros, begun with the cut of the
    // failed one and the header, and then the group.
    disk.fail_flush(disk.flushes() + 1);
    disk.fail_flush(disk.flushes() + 5);
    assert!(!rig.store(&["lost"]));
    assert!(rig.store(&["b"]));
    assert_eq!(readable(&disk, dir.path()), some(&["a", "b"]));
    assert_eq!(rig.lane.counters.failed_events.now(), 1);
}

#[test]
fn a_segment_that_is_full_is_sealed_and_the_next_one_goes_on() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    let event = "x".repeat(10_000);
    for _ in 0..12 {
        assert!(rig.store(&[&event]));
    }
    let closed = rig.closed.0.lock().unwrap().clone();
    assert_eq!(closed.len(), 2);
    assert!(closed.iter().all(|c| c.sealed && c.end <= SEGMENT));
    assert_eq!(header(&disk, &dir, 2).predecessor, Predecessor::Whole(SegmentId(1)));
    assert_eq!(readable(&disk, dir.path()), vec![Some(event); 12]);
}

#[test]
fn an_append_larger_than_a_frame_is_split_between_events_and_one_larger_than_a_segment_gets_its_own() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    rig.segment_bytes.store(16 << 20, Ordering::Relaxed);
    let large = "l".repeat(3 << 20);
    let stored = rig.commit(vec![append(Some(7), &[&large, &large, &large]), append(Some(7), &["after"])]);
    assert_eq!(stored, [(3, Seq(0), Lsn(3)), (1, Seq(3), Lsn(4))]);
    rig.segment_bytes.store(SEGMENT, Ordering::Relaxed);
    let huge = "h".repeat(9 << 20);
    assert!(rig.store(&[&huge]));
    assert!(header(&disk, &dir, 2).capacity < 10 << 20);
    let expected = [&large, &large, &large, "after", &huge];
    assert!(readable(&disk, dir.path()) == some(&expected));
}

#[test]
fn an_idle_lane_proves_its_newest_group_with_one_heartbeat_and_no_more() {
    let (_dir, disk, mut rig) = start(Backend::Pwrite);
    assert!(!rig.writer.wants_heartbeat());
    assert!(rig.store(&["a"]));
    assert!(rig.writer.wants_heartbeat());
    rig.writer.heartbeat();
    assert!(!rig.writer.wants_heartbeat());
    let steps = disk.steps();
    rig.writer.heartbeat();
    assert_eq!(disk.steps(), steps);
    assert_eq!(rig.lane.counters.durable_lsn.now(), 2);
    assert_eq!(rig.lane.counters.next_seq.now(), 1);
}

#[test]
fn a_torn_tail_is_copied_aside_counted_and_cut() {
    for backend in BACKENDS {
        let (dir, disk, mut rig) = start(backend);
        assert!(rig.store(&["a"]));
        rig.writer.heartbeat();
        // A group that was never acknowledged, half of it on disk.
        disk.crash_at(disk.steps() + 2);
        assert!(!rig.store(&["never", "acknowledged"]));
        disk.reboot(Crash::Kill);
        let torn = segment(&dir, 1);
        disk.flip(&torn, 4096 * 3 + 120, 1);
        let rig = Rig::open(&disk, dir.path(), backend).unwrap();
        let cut = rig.recovered.cut.clone().expect("a torn tail");
        assert_eq!((cut.segment, cut.position), (SegmentId(1), 4096 * 3), "{backend}");
        assert!(cut.bytes > 200 && rig.recovered.damage.is_empty());
        let copy = disk.open(&cut.copy.unwrap()).unwrap();
        assert_eq!(copy.len().unwrap(), cut.bytes);
        assert_eq!(rig.lane.counters.cut_bytes.now(), cut.bytes);
        assert_eq!(disk.open(&torn).unwrap().len().unwrap(), 4096 * 3);
        assert_eq!(readable(&disk, dir.path()), some(&["a"]));
        // Once more finds nothing to do, and comes to the same end.
        let again = Rig::open(&disk, dir.path(), backend).unwrap();
        assert_eq!(again.recovered.cut, None);
        assert_eq!(again.recovered.next_seq, rig.recovered.next_seq);
    }
}

#[test]
fn damage_to_acknowledged_records_is_never_cut_but_reported_and_read_around() {
    // Groups of one record at 4096, 8192, …; the flip hits the payload, or the header.
    for (offset, what) in [(8192 + 100, "payload"), (8192 + 30, "header"), (4096 + 5, "first header")] {
        let (dir, disk, mut rig) = start(Backend::Pwrite);
        for event in ["a", "b", "c", "d"] {
            assert!(rig.store(&[event]));
        }
        disk.reboot(Crash::LoseAll);
        let path = segment(&dir, 1);
        disk.flip(&path, offset, 4);
        let mut rig = Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
        let lost = u64::from(offset >= 8192);
        let damage = &rig.recovered.damage;
        assert_eq!(
            (damage.len(), damage[0].seq.clone()),
            (1, Seq(lost)..Seq(lost + 1)),
            "{what}: {damage:?}"
        );
        assert_eq!((damage[0].segment, damage[0].bytes.start), (SegmentId(1), 4096 * (lost + 1)));
        assert_eq!((rig.recovered.cut.clone(), rig.recovered.next_seq), (None, Seq(4)));
        assert_eq!(rig.lane.counters.damaged_events.now(), 1);
        assert_eq!(disk.open(&path).unwrap().len().unwrap(), SEGMENT, "{what}: the file is as it was");
        assert!(rig.store(&["e"]), "the lane goes on");
        let mut expected = some(&["a", "b", "c", "d", "e"]);
        expected[usize::try_from(lost).unwrap()] = None;
        assert_eq!(readable(&disk, dir.path()), expected, "{what}");
    }
}

#[test]
fn a_lost_newest_group_is_known_from_the_watermark_file_and_its_numbers_are_not_given_out_again() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    assert!(rig.store(&["a"]) && rig.store(&["b"]));
    disk.reboot(Crash::Kill);
    disk.flip(&segment(&dir, 1), 8192 + 50, 1);
    let mut rig = Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
    assert_eq!(rig.recovered.damage.len(), 1);
    assert_eq!(rig.recovered.damage[0].seq, Seq(1)..Seq(2));
    assert!(rig.store(&["c"]));
    assert_eq!(readable(&disk, dir.path()), [Some("a".to_owned()), None, Some("c".to_owned())]);
}

#[test]
fn a_segment_whose_header_is_damaged_is_reported_and_the_rest_is_served() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    let event = "x".repeat(20_000);
    for _ in 0..6 {
        assert!(rig.store(&[&event]));
    }
    rig.writer.close().unwrap();
    disk.flip(&segment(&dir, 2), 60, 1);
    let mut rig = Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
    assert_eq!(rig.recovered.damage.len(), 1);
    assert_eq!(rig.recovered.damage[0].segment, SegmentId(2));
    assert!(rig.store(&["after"]));
    let read = readable(&disk, dir.path());
    assert_eq!(read[..2], vec![Some(event); 2]);
    assert_eq!(read.last(), Some(&Some("after".to_owned())));
}

#[test]
fn recovering_again_behind_headers_that_cannot_be_read_gives_out_no_more_numbers() {
    for damaged in [vec![4], vec![3, 4], vec![2, 3, 4], vec![1, 2, 3, 4], vec![2, 4]] {
        let (dir, disk, mut rig) = start(Backend::Pwrite);
        for event in ["a", "b", "c", "d"] {
            rig.writer.roll().unwrap();
            assert!(rig.store(&[event]));
        }
        // The watermark file is as old as its last flush: it knows of the second segment, not of the last.
        disk.reboot(Crash::LoseAll);
        for &id in &damaged {
            disk.flip(&segment(&dir, id), 60, 1);
        }
        let reports: Vec<_> = (0..3)
            .map(|_| {
                disk.reboot(Crash::Kill);
                Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap().recovered
            })
            .collect();
        assert!(reports[0].next_seq >= Seq(4), "{damaged:?}: what was given out is not given out again");
        for again in &reports[1..] {
            let numbers = |r: &crate::LaneRecovery| (r.durable_lsn, r.next_seq);
            assert_eq!(numbers(again), numbers(&reports[0]), "{damaged:?}");
        }
    }
}

#[test]
fn frames_that_nothing_proves_are_carried_over_before_they_are_trusted() {
    let (dir, disk, mut rig) = start(Backend::Mapped);
    assert!(rig.store(&["a"]));
    rig.writer.heartbeat();
    // The flush fails and drops what it was to write, but the cache still shows it; then the process dies.
    disk.fail_flush(disk.flushes() + 1);
    disk.crash_at(disk.steps() + 3);
    assert!(!rig.store(&["shown but not written"]));
    disk.reboot(Crash::Kill);
    Rig::open(&disk, dir.path(), Backend::Mapped).unwrap();
    let before = readable(&disk, dir.path());
    disk.reboot(Crash::LoseAll);
    Rig::open(&disk, dir.path(), Backend::Mapped).unwrap();
    assert_eq!(readable(&disk, dir.path()), before, "what readers were shown is still there");
}

#[test]
fn a_power_cut_at_any_point_of_recovery_takes_nothing_of_what_an_earlier_one_left() {
    for backend in BACKENDS {
        for step in 1.. {
            let (dir, disk, mut rig) = start(backend);
            // Nothing proves the newest group once the watermark file is as old as its last flush.
            assert!(rig.store(&["a"]) && rig.store(&["b", "c"]));
            disk.reboot(Crash::LoseAll);
            // What is being written when the power goes is neither old nor new afterwards.
            disk.set_faults(Faults { garbled_pages: 1024, ..Faults::default() });
            disk.crash_at(disk.steps() + step);
            let done = Rig::open(&disk, dir.path(), backend).is_ok();
            disk.reboot(Crash::LoseSome);
            let mut rig = Rig::open(&disk, dir.path(), backend).unwrap();
            assert_eq!((rig.recovered.next_seq, rig.recovered.damage.len()), (Seq(3), 0), "{backend} {step}");
            assert!(rig.store(&["d"]), "{backend} {step}");
            assert_eq!(readable(&disk, dir.path()), some(&["a", "b", "c", "d"]), "{backend} {step}");
            if done {
                break;
            }
        }
    }
}

#[test]
fn what_nothing_proves_is_carried_over_once_and_leaves_the_old_segment_as_it_was_until_then() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    assert!(rig.store(&["a"]));
    rig.writer.heartbeat();
    assert!(rig.store(&["b"]));
    disk.reboot(Crash::LoseAll);
    let rig = Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
    let carried = header(&disk, &dir, 2);
    assert_eq!(carried.predecessor, Predecessor::Failed { id: SegmentId(1), end: 12_288 });
    assert_eq!((carried.base_lsn, carried.base_seq), (Lsn(3), Seq(1)));
    assert_eq!((rig.lane.segments.lock().len(), rig.recovered.segments), (2, 2));
    // The watermark proves it now: another start changes nothing, and says the same.
    let again = Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
    assert_eq!((again.recovered.next_seq, again.recovered.segments), (rig.recovered.next_seq, 2));
    assert_eq!(again.lane.segments.lock().len(), 2);
    assert_eq!(readable(&disk, dir.path()), some(&["a", "b"]));
}

#[test]
fn a_full_disk_fails_the_append_that_needs_a_segment_and_heals() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    let event = "x".repeat(20_000);
    disk.set_capacity(SEGMENT + 16_384);
    let stored: Vec<_> = (0..4).map(|_| rig.store(&[&event])).collect();
    assert_eq!(stored, [true, true, false, false]);
    // What is small still fits where the large one did not.
    let mixed = rig.commit(vec![append(Some(7), &[&event]), append(Some(7), &["small"])]);
    assert_eq!((mixed[0].0, mixed[1].0), (0, 1));
    disk.set_capacity(1 << 20);
    assert!(rig.store(&[&event]));
    let expected = [&event, &event, "small", &event];
    assert!(readable(&disk, dir.path()) == some(&expected));
}

/// A lane killed with a group that nothing proves, on a disk with so much room left.
fn killed_on_a_full_disk(room: u64, help: bool) -> (TempDir, SimDisk, Result<Rig, crate::OpenError>) {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    rig.segment_bytes.store(16 << 10, Ordering::Relaxed);
    assert!(rig.store(&["a"]));
    // The segment is full with it: there is no unused end to be given back.
    assert_eq!(rig.commit_only(vec![append(Some(7), &["b"])])[0].0, 1);
    disk.reboot(Crash::LoseAll);
    if help {
        let kept = layout::quarantine_dir(&layout::lane_dir(dir.path(), LaneId(0)));
        disk.create_dir(&kept).unwrap();
        for name in ["1-4096.cut", "2-4096.cut"] {
            disk.create(&kept.join(name)).unwrap().write_at(&[1; 4096], 0).unwrap();
        }
    }
    disk.set_capacity(disk.used() + room);
    let opened = Rig::open(&disk, dir.path(), Backend::Pwrite);
    (dir, disk, opened)
}

#[test]
fn a_start_on_a_full_disk_gives_up_what_is_only_of_use_for_what_is_to_be_kept() {
    let (dir, disk, rig) = killed_on_a_full_disk(0, true);
    let rig = rig.expect("room was made");
    assert_eq!((rig.recovered.next_seq, rig.recovered.damage), (Seq(2), vec![]));
    disk.reboot(Crash::LoseAll);
    Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
    assert_eq!(readable(&disk, dir.path()), some(&["a", "b"]));
}

#[test]
fn a_start_without_room_for_what_is_to_be_kept_says_so_changes_nothing_of_it_and_works_with_room() {
    let (dir, disk, refused) = killed_on_a_full_disk(0, false);
    let Err(crate::OpenError::Io { what, source, .. }) = &refused else { panic!("opened") };
    assert_eq!(*what, "carry unproven frames over to");
    assert!(crate::fault::is_full(source), "{source}");
    let text = refused.map(drop).unwrap_err().to_string();
    assert!(text.contains("00000000000000000002.seg (the disk is full: make room)"), "{text}");
    disk.set_capacity(1 << 20);
    Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
    assert_eq!(readable(&disk, dir.path()), some(&["a", "b"]));
}

#[test]
fn a_roll_for_retention_leaves_an_empty_segment_that_says_where_the_lane_stands() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    assert!(rig.store(&["a"]));
    rig.writer.roll().unwrap();
    let steps = disk.steps();
    rig.writer.roll().unwrap();
    assert_eq!(disk.steps(), steps, "an empty segment is not rolled");
    assert_eq!(header(&disk, &dir, 2).base_seq, Seq(1));
    rig.segment_bytes.store(2 * SEGMENT, Ordering::Relaxed);
    assert!(rig.store(&["b"]));
    assert_eq!(readable(&disk, dir.path()), some(&["a", "b"]));
}

#[test]
fn a_process_killed_at_any_point_of_the_first_start_leaves_nothing_that_a_power_cut_later_takes() {
    for step in 1.. {
        let dir = TempDir::new().unwrap();
        let disk = SimDisk::new(step);
        disk.crash_at(step);
        let done = Rig::open(&disk, dir.path(), Backend::Pwrite).is_ok();
        disk.reboot(Crash::Kill);
        let mut rig = Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
        assert!(rig.store(&["a"]), "step {step}");
        disk.reboot(Crash::LoseAll);
        let rig = Rig::open(&disk, dir.path(), Backend::Pwrite);
        assert!(rig.is_ok_and(|rig| rig.recovered.next_seq == Seq(1)), "step {step}");
        if done {
            break;
        }
    }
}

#[test]
fn copies_of_cut_tails_never_push_out_what_a_repair_has_kept() {
    let (dir, disk, mut rig) = start(Backend::Pwrite);
    assert!(rig.store(&["a"]));
    let kept = layout::quarantine_dir(&layout::lane_dir(dir.path(), LaneId(0)));
    disk.create_dir(&kept).unwrap();
    let damaged = format!("{}-0-5000-6000.damaged", SegmentId(1));
    disk.create(&kept.join(&damaged)).unwrap();
    for position in 10..40 {
        disk.create(&kept.join(format!("{}-{position}.cut", SegmentId(1)))).unwrap();
    }
    disk.open(&segment(&dir, 1)).unwrap().write_at(b"torn", 8192).unwrap();
    disk.reboot(Crash::Kill);
    let rig = Rig::open(&disk, dir.path(), Backend::Pwrite).unwrap();
    assert!(rig.recovered.cut.is_some_and(|cut| cut.copy.is_some()));
    let names = disk.list(&kept).unwrap();
    assert!(names.contains(&damaged));
    assert_eq!(names.iter().filter(|name| name.ends_with(".cut")).count(), 16);
}
