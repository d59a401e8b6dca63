//! Power cuts on the real kernel, with ext4 and XFS, and every commit backend: see [`forebay_tests::power_cut`].
//!
//! Needs root, FUSE, loop devices, `mkfs.ext4` and `mkfs.xfs`; fails and says so where one is missing. Seeds are printed;
//! `FOREBAY_POWER_CUT_SEED` sets another one. For longer: `cargo xtask power-cut --minutes M`.

use std::path::Path;
use std::time::Duration;

use forebay_log::Backend;
use forebay_tests::power_cut::campaign::after_a_cut;
use forebay_tests::power_cut::scenario::thin;
use forebay_tests::power_cut::{
    End, Fault, FileSystem, Machine, Recorded, Scenario, Session, Tally, Target, Times, cost, sweep,
};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_power_cut"))
}

fn seed() -> u64 {
    let seed = std::env::var("FOREBAY_POWER_CUT_SEED").ok();
    let seed = seed.map_or(20_261_122, |seed| seed.parse().expect("FOREBAY_POWER_CUT_SEED is a number"));
    eprintln!("FOREBAY_POWER_CUT_SEED={seed}");
    seed
}

fn tell(what: &str, tally: Tally) {
    eprintln!("{what}: {tally}");
    assert!(tally.cuts > 0 && tally.acked > 0, "nothing was tested");
}

/// Before each flush with all else lost, and at random with some of it lost, torn, or none.
fn cuts(file_system: FileSystem, backend: Backend) {
    let machine = Machine::new();
    let recorded = Recorded::new(&machine, program(), Scenario::plain(file_system, backend, seed(), 90));
    tell("at flushes", sweep(&machine, &recorded, &thin(recorded.flush_cuts(), 120, 0)));
    tell("at random", sweep(&machine, &recorded, &recorded.random_cuts(120, seed())));
}

#[test]
fn power_cuts_on_ext4_lose_nothing_acknowledged_past_the_cache() {
    cuts(FileSystem::Ext4, Backend::Direct);
}

#[test]
fn power_cuts_on_xfs_lose_nothing_acknowledged_past_the_cache() {
    cuts(FileSystem::Xfs, Backend::Direct);
}

#[test]
fn power_cuts_on_ext4_lose_nothing_acknowledged_with_pwrite() {
    cuts(FileSystem::Ext4, Backend::Pwrite);
}

#[test]
fn power_cuts_on_ext4_lose_nothing_acknowledged_with_maps() {
    cuts(FileSystem::Ext4, Backend::Mapped);
}

#[test]
fn power_cuts_on_xfs_lose_nothing_acknowledged_with_pwrite() {
    cuts(FileSystem::Xfs, Backend::Pwrite);
}

#[test]
fn power_cuts_on_xfs_lose_nothing_acknowledged_with_maps() {
    cuts(FileSystem::Xfs, Backend::Mapped);
}

/// Segments go while others come: names and blocks are used again.
#[test]
fn power_cuts_while_retention_removes_segments_lose_only_what_it_removed() {
    for (file_system, backend) in [(FileSystem::Ext4, Backend::Mapped), (FileSystem::Xfs, Backend::Direct)] {
        let machine = Machine::new();
        let scenario = Scenario::plain(file_system, backend, seed() + 1, 160).keeping(512 << 10);
        let recorded = Recorded::new(&machine, program(), scenario);
        tell("at random", sweep(&machine, &recorded, &recorded.random_cuts(100, seed())));
    }
}

/// The log recovers on a recording disk too, from a power cut and from a kill, and the power goes again.
#[test]
fn a_power_cut_during_recovery_loses_nothing_either() {
    for (file_system, backend) in [(FileSystem::Ext4, Backend::Direct), (FileSystem::Xfs, Backend::Mapped)] {
        let machine = Machine::new();
        let recorded =
            Recorded::new(&machine, program(), Scenario::plain(file_system, backend, seed() + 2, 60));
        for cut in recorded.random_cuts(2, seed()) {
            tell("in recovery", after_a_cut(&machine, program(), &recorded, cut, 25));
        }
    }
}

/// Has one operation fail and cuts the power then and later. Gives what was recorded.
fn with_a_fault(file_system: FileSystem, backend: Backend, fault: Fault) -> Recorded {
    let machine = Machine::new();
    let session = |faults| Session { requests: 60, end: End::Close, faults };
    let sessions = vec![session(Vec::new()), session(vec![fault])];
    let scenario = Scenario { sessions, ..Scenario::plain(file_system, backend, seed() + 3, 0) };
    let recorded = Recorded::new(&machine, program(), scenario);
    let tally = sweep(&machine, &recorded, &recorded.random_cuts(20, seed()));
    tell(&format!("{} {backend}, {fault}", file_system.name()), tally);
    assert!(tally.faults > 0, "the fault did not strike");
    recorded
}

/// The genuine article: the kernel reports the error once, marks the pages clean, and says "fine" from then on.
#[test]
fn a_commit_whose_write_fails_once_is_not_acknowledged_and_the_log_goes_on() {
    for (file_system, backend) in forebay_tests::power_cut::campaign::EVERYWHERE {
        let fault = Fault { target: Target::Frame, nth: 12, times: Times::Once };
        let recorded = with_a_fault(file_system, backend, fault);
        let failed = recorded.recording.numbers(forebay_tests::power_cut::Kind::FailedWrite).next();
        let failed = failed.expect("a write that failed") as u64;
        let all = recorded.ledger.acked(u64::MAX);
        assert!(all > recorded.ledger.acked(failed) + 10, "the log went on");
    }
}

#[test]
fn a_flush_that_fails_once_acknowledges_nothing() {
    for (file_system, backend) in forebay_tests::power_cut::campaign::EVERYWHERE {
        with_a_fault(file_system, backend, Fault { target: Target::Flush, nth: 25, times: Times::Once });
    }
}

#[test]
fn a_disk_that_dies_acknowledges_nothing_more_and_what_it_held_is_there() {
    for (file_system, backend) in [(FileSystem::Ext4, Backend::Mapped), (FileSystem::Xfs, Backend::Direct)] {
        for target in [Target::Write, Target::Flush] {
            with_a_fault(file_system, backend, Fault { target, nth: 40, times: Times::Ever });
        }
    }
}

/// More requests share a flush, and more is under way when the power goes.
#[test]
fn power_cuts_of_a_slow_disk_lose_nothing_acknowledged() {
    let machine = Machine::new();
    let plain = Scenario::plain(FileSystem::Ext4, Backend::Direct, seed() + 4, 60);
    let scenario = Scenario { flush_takes: Duration::from_millis(3), ..plain };
    let recorded = Recorded::new(&machine, program(), scenario);
    tell("at random", sweep(&machine, &recorded, &recorded.random_cuts(60, seed())));
}

/// A commit costs the disk what it holds: the two recipes of docs/format.md and `commit` do what they are for.
#[test]
fn a_group_of_64_kib_is_written_to_the_disk_once() {
    let machine = Machine::new();
    for (file_system, backend) in forebay_tests::power_cut::campaign::EVERYWHERE {
        let cost = cost::measure(&machine, program(), file_system, backend, 64 << 10);
        eprintln!(
            "{} {backend}: {:.3} device bytes per payload byte, {:.3} per prepared byte",
            file_system.name(),
            cost.of_commits(),
            cost.of_preparation()
        );
        assert!(cost.of_commits() < 1.1, "{} {backend}: {cost:?}", file_system.name());
    }
}
