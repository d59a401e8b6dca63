//! What a writer promises when flushes fail: once at any point of a run, or for as long as it pleases the disk.

use crate::{
    Backend,
    disk::{Crash, Disk as _, SimDisk},
    lane::rig::{Rig, readable},
    layout,
};
use forebay_record::LaneId;
use tempfile::TempDir;

const BACKENDS: [Backend; 2] = [Backend::Pwrite, Backend::Mapped];

/// Stores, beats and rolls; what was acknowledged, in order.
fn script(rig: &mut Rig) -> Vec<String> {
    let mut acked = Vec::new();
    for i in 0..12 {
        let event = format!("{i}:{}", "x".repeat([10, 9_000, 30_000][i % 3]));
        if rig.store(&[&event]) {
            acked.push(event);
        }
        match i {
            3 | 9 => rig.writer.heartbeat(),
            6 => drop(rig.writer.roll()),
            _ => {}
        }
    }
    acked
}

fn whole(acked: &[String]) -> Vec<Option<String>> {
    acked.iter().cloned().map(Some).collect()
}

fn files(disk: &SimDisk, dir: &TempDir) -> Vec<String> {
    disk.list(&layout::lane_dir(dir.path(), LaneId(0))).unwrap()
}

/// The flushes of a run on a disk that is well.
fn flushes(backend: Backend) -> std::ops::RangeInclusive<u64> {
    let dir = TempDir::new().unwrap();
    let disk = SimDisk::new(1);
    let mut rig = Rig::open(&disk, dir.path(), backend).unwrap();
    let opened = disk.flushes();
    assert_eq!(script(&mut rig).len(), 12);
    opened + 1..=disk.flushes()
}

#[test]
fn an_error_at_any_flush_of_a_run_loses_nothing_acknowledged_and_keeps_nothing_refused() {
    for backend in BACKENDS {
        for flush in flushes(backend) {
            let dir = TempDir::new().unwrap();
            let disk = SimDisk::new(flush);
            let mut rig = Rig::open(&disk, dir.path(), backend).unwrap();
            disk.fail_flush(flush);
            let acked = script(&mut rig);
            // It was one error: what it hit was stored again elsewhere, but for one append that found no
            // segment because the file that was to be it could not be prepared.
            assert!(acked.len() >= 11, "{backend} {flush}: {}", acked.len());
            assert_eq!(rig.writer.failing(), None, "{backend} {flush}");
            assert!(readable(&disk, dir.path()) == whole(&acked), "{backend} {flush}: as it runs");
            for crash in [Crash::Kill, Crash::LoseAll] {
                disk.reboot(crash);
                let rig = Rig::open(&disk, dir.path(), backend).unwrap();
                assert_eq!(rig.recovered.damage, [], "{backend} {flush} {crash:?}");
                assert!(readable(&disk, dir.path()) == whole(&acked), "{backend} {flush} {crash:?}");
            }
        }
    }
}

#[test]
fn a_disk_that_fails_from_any_flush_on_costs_no_files_and_the_lane_heals_with_it() {
    let mut failing = 0;
    for backend in BACKENDS {
        for flush in flushes(backend) {
            let dir = TempDir::new().unwrap();
            let disk = SimDisk::new(flush);
            let mut rig = Rig::open(&disk, dir.path(), backend).unwrap();
            (flush..flush + 1000).for_each(|n| disk.fail_flush(n));
            let mut acked = script(&mut rig);
            let stats = rig.lane.counters.stats(LaneId(0));
            let rejected = u64::try_from(12 - acked.len()).unwrap();
            assert_eq!(stats.failed_events, rejected, "{backend} {flush}: each once");
            assert_eq!(stats.events, acked.len() as u64);
            // However often it is asked again, nothing piles up.
            let standing = files(&disk, &dir).len();
            // If no segment could be prepared in time, no flush of the lane's own has failed.
            let fails = rig.writer.failing().is_some();
            failing += usize::from(fails);
            for _ in 0..5 * usize::from(fails) {
                assert!(rig.writer.probe().is_err(), "{backend} {flush}");
                assert!(files(&disk, &dir).len() <= standing, "{backend} {flush}");
            }
            assert!(readable(&disk, dir.path()) == whole(&acked), "{backend} {flush}: as it runs");
            // A process killed now: what was refused does not come back.
            let killed = disk.fork();
            killed.reboot(Crash::Kill);
            drop(Rig::open(&killed, dir.path(), backend).unwrap());
            assert!(readable(&killed, dir.path()) == whole(&acked), "{backend} {flush}: killed");
            // The disk is well again.
            disk.heal();
            rig.writer.probe().unwrap();
            assert_eq!(rig.writer.failing(), None);
            assert_eq!(rig.lane.counters.stats(LaneId(0)).failing_since_ms, None);
            assert!(rig.store(&["after"]));
            acked.push("after".to_owned());
            for crash in [Crash::Kill, Crash::LoseAll] {
                assert!(readable(&disk, dir.path()) == whole(&acked), "{backend} {flush} {crash:?}");
                disk.reboot(crash);
                drop(Rig::open(&disk, dir.path(), backend).unwrap());
            }
            assert!(readable(&disk, dir.path()) == whole(&acked), "{backend} {flush}");
        }
    }
    assert!(failing > 10, "{failing} runs ended with a lane that failed");
}

#[test]
fn the_seal_goes_with_the_last_group_and_the_next_segment_begins_before_anyone_waits_for_it() {
    for backend in BACKENDS {
        let dir = TempDir::new().unwrap();
        let disk = SimDisk::new(1);
        let mut rig = Rig::open(&disk, dir.path(), backend).unwrap();
        let event = "x".repeat(2_500);
        let mut costs = Vec::new();
        while rig.closed.0.lock().unwrap().is_empty() {
            let before = disk.flushes();
            assert!(rig.store(&[&event]));
            costs.push(disk.flushes() - before);
        }
        let closed = rig.closed.0.lock().unwrap()[0].clone();
        assert!(closed.sealed && closed.index.is_some(), "{closed:?}");
        // The first also begins a segment. The last one takes the seal with it, and then begins the next: neither a
        // flush for the seal, nor one for that segment, stands between the next append and its own flush.
        let (last, rest) = costs.split_last().unwrap();
        assert!(rest[1..].iter().all(|&flushes| flushes == 1), "{backend}: {costs:?}");
        assert_eq!(*last, rest[0], "{backend}: {costs:?}");
        let before = disk.flushes();
        assert!(rig.store(&[&event]));
        assert_eq!(disk.flushes() - before, 1, "{backend}: {costs:?}");
        let written = whole(&vec![event; costs.len() + 1]);
        assert!(readable(&disk, dir.path()) == written, "{backend}: as it runs");
        disk.reboot(Crash::LoseAll);
        let rig = Rig::open(&disk, dir.path(), backend).unwrap();
        assert_eq!(rig.recovered.damage, [], "{backend}");
        assert!(readable(&disk, dir.path()) == written, "{backend}: after a power loss");
    }
}
