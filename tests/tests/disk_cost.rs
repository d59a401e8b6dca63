//! What a commit costs the disk, by the kernel's own counters: an ext4 of its own on a loop device, where nobody else
//! writes.
//!
//! Needs root, `mkfs.ext4` and `mount`, and a kernel that counts what is written to a loop device; fails and says so
//! where one is missing. The recorder of `power_cut` counts the same, write by write, also on XFS.

use forebay_log::{BenchOptions, bench_disk};
use forebay_tests::disk::LoopDisk;
use std::time::Duration;

#[test]
fn commits_of_64_kib_and_more_cost_the_device_at_most_a_tenth_more_than_their_events() {
    let disk = LoopDisk::new(256).unwrap_or_else(|why| panic!("{why}"));
    let options = BenchOptions {
        group_bytes: vec![64 << 10, 256 << 10, 1 << 20],
        run_bytes_max: 24 << 20,
        run_time_max: Duration::from_secs(60),
        ..BenchOptions::default()
    };
    let report = bench_disk(&disk.path(), &options, &mut |_| {}).expect("measured");
    let device =
        report.device.expect("this kernel shows no counters for the loop device below /sys/dev/block");
    let mut commits = 0;
    for run in &report.runs {
        let cost = run.device_bytes_per_byte.expect("counted");
        let prepared = run.prepare_device_bytes_per_byte.expect("counted");
        let what = format!("{} on {device}, groups of {} bytes", run.backend, run.group_bytes);
        eprintln!("{what}: {cost:.3} device bytes per byte of events, {prepared:.3} per byte prepared");
        // What the file system's journal writes now and then falls to whoever's turn it is: the bare disk may have more.
        let most = if run.backend.starts_with("raw") { f64::INFINITY } else { 1.1 };
        assert!((0.9..=most).contains(&cost), "{what}: {run:?}");
        assert!(prepared >= 0.9, "what was to be written twice was not counted: {run:?}");
        commits += usize::from(!run.backend.starts_with("raw"));
    }
    assert_eq!(commits, 9);
}
