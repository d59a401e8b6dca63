//! That the simulated disk lets one down as it says.

use super::{Crash, Fault, Faults, SimDisk};
use crate::disk::{Disk as _, DiskFile};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};

fn file(disk: &SimDisk) -> Box<dyn DiskFile> {
    let file = disk.create(Path::new("/d/1.seg")).unwrap();
    file.write_at(&[0; 8192], 0).unwrap();
    file.flush().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file
}

fn bytes(disk: &SimDisk) -> Vec<u8> {
    disk.files().into_values().next().unwrap()
}

/// What stands in each sector: the first byte, if all are the same.
fn sectors(bytes: &[u8]) -> Vec<Option<u8>> {
    bytes.chunks(512).map(|s| s.iter().all(|b| *b == s[0]).then_some(s[0])).collect()
}

#[test]
fn what_was_flushed_survives_and_what_was_not_is_kept_lost_or_torn_by_sectors_in_any_order() {
    let mut seen = BTreeSet::new();
    for seed in 0..64 {
        let disk = SimDisk::new(seed);
        let file = file(&disk);
        file.write_at(&[1; 1024], 0).unwrap();
        file.flush().unwrap();
        file.write_at(&[2; 2048], 1024).unwrap();
        disk.reboot(Crash::LoseSome);
        let sectors = sectors(&bytes(&disk));
        assert_eq!(sectors[..2], [Some(1); 2]);
        assert!(sectors[2..6].iter().all(|s| matches!(s, Some(0 | 2))), "{sectors:?}");
        seen.insert(sectors);
    }
    assert!(seen.len() >= 10, "of 16 ways to lose four sectors: {}", seen.len());
}

#[test]
fn the_write_in_progress_may_be_torn_too_also_when_only_the_process_dies() {
    let mut seen = BTreeSet::new();
    for seed in 0..64 {
        let disk = SimDisk::new(seed);
        let file = file(&disk);
        disk.crash_at(disk.steps() + 1);
        file.write_at(&[3; 4096], 0).unwrap_err();
        disk.reboot(Crash::Kill);
        seen.insert(bytes(&disk).iter().filter(|b| **b == 3).count());
    }
    assert!(seen.len() > 10 && seen.iter().any(|n| n % 512 != 0), "{seen:?}");
}

#[test]
fn a_failed_flush_fails_once_and_the_next_one_says_fine_and_writes_nothing() {
    let (mut lost, mut reverted) = (0, 0);
    for seed in 0..32 {
        let disk = SimDisk::new(seed);
        let file = file(&disk);
        file.write_at(&[4; 4096], 0).unwrap();
        disk.fail_flush(disk.flushes() + 1);
        file.flush().unwrap_err();
        reverted += u32::from(bytes(&disk)[..4096].contains(&0));
        file.flush().unwrap();
        assert_eq!(disk.retried().len(), 1, "and it is noticed that somebody tried");
        disk.reboot(Crash::LoseAll);
        lost += u32::from(bytes(&disk)[..4096].contains(&0));
    }
    assert_eq!(lost, 32, "half of eight sectors, each time");
    assert!((2..20).contains(&reverted), "the cache shows mostly what was written: {reverted}");
}

#[test]
fn names_that_were_not_synced_may_be_the_old_ones() {
    let mut seen = BTreeSet::new();
    for seed in 0..64 {
        let disk = SimDisk::new(seed);
        file(&disk);
        disk.create(Path::new("/d/2.tmp")).unwrap();
        disk.rename(Path::new("/d/2.tmp"), Path::new("/d/2.seg")).unwrap();
        disk.remove(Path::new("/d/1.seg")).unwrap();
        disk.reboot(Crash::LoseSome);
        let names: Vec<_> = disk.list(Path::new("/d")).unwrap();
        seen.insert(names);
    }
    assert_eq!(
        seen.len(),
        6,
        "the old file or not, the new one not, under its old name or its new one: {seen:?}"
    );
}

#[test]
fn lost_and_misdirected_writes_are_acknowledged_and_show_once_the_cache_is_gone() {
    for (lost_writes, misdirected_writes) in [(1024, 0), (0, 1024)] {
        let mut elsewhere = 0;
        for seed in 0..32 {
            let disk = SimDisk::new(seed);
            let file = file(&disk);
            disk.set_faults(Faults { lost_writes, misdirected_writes, ..Faults::default() });
            file.write_at(&[5; 512], 0).unwrap();
            file.flush().unwrap();
            assert_eq!(bytes(&disk)[0], 5, "the cache knows nothing of it");
            disk.reboot(Crash::LoseAll);
            let after = bytes(&disk);
            elsewhere += u32::from(after[4096] == 5);
            assert!(after[0] == 0 || misdirected_writes > 0);
        }
        assert_eq!(elsewhere > 0, misdirected_writes > 0);
    }
}

#[test]
fn any_call_may_fail_and_a_failed_write_may_have_been_done_in_part() {
    let disk = SimDisk::new(1);
    let file = file(&disk);
    disk.set_faults(Faults { failing_calls: 512, ..Faults::default() });
    for _ in 0..64 {
        let _ = file.write_at(&[6; 4096], 0);
        let _ = file.set_len(8192);
        let _ = disk.rename(Path::new("/d/1.seg"), Path::new("/d/1.seg"));
        let _ = disk.sync_dir(Path::new("/d"));
    }
    let struck = disk.struck();
    let kinds = [Fault::FailedWrite, Fault::ShortWrite, Fault::FailedName, Fault::FailedSyncDir];
    for kind in kinds.into_iter().chain([Fault::NoSpace, Fault::Quota]) {
        assert!(struck.of(kind) > 5, "{kind:?}\n{struck}");
    }
}

#[test]
fn a_full_disk_and_a_spent_quota_say_so_in_their_own_words() {
    for (quota, kind) in [(false, std::io::ErrorKind::StorageFull), (true, std::io::ErrorKind::QuotaExceeded)]
    {
        let disk = SimDisk::new(1);
        let file = file(&disk);
        disk.set_capacity(8192);
        disk.set_quota(quota);
        assert_eq!(file.write_at(&[1; 4096], 6000).unwrap_err().kind(), kind);
        assert_eq!(file.allocate(9000).unwrap_err().kind(), kind);
        file.write_at(&[1; 4096], 0).unwrap();
    }
}

#[test]
fn whoever_watches_sees_every_step_and_the_run_is_the_same_as_unwatched() {
    let run = |watched: bool| {
        let disk = SimDisk::new(7);
        let steps = Arc::new(Mutex::new(Vec::new()));
        let mine = Arc::clone(&steps);
        if watched {
            disk.watch(move |at| {
                mine.lock().unwrap().push(at.steps());
                // What is done to the copy is not done to the disk.
                at.reboot(Crash::LoseAll);
                at.create(Path::new("/d/other")).unwrap();
            });
        }
        disk.set_faults(Faults { slow_flushes: 512, ..Faults::default() });
        let file = file(&disk);
        file.write_durable(&[1; 512], 0).unwrap();
        let seen = steps.lock().unwrap().clone();
        (disk.files(), disk.elapsed_ms(), disk.steps(), seen)
    };
    let (files, elapsed, steps, seen) = run(true);
    assert_eq!(seen, (0..steps).collect::<Vec<_>>());
    assert_eq!((files, elapsed, steps, Vec::<u64>::new()), run(false));
}
