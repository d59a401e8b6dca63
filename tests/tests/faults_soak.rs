//! The soak, for half a minute: with each kind of trouble at least once. `cargo xtask soak` does it for hours.
//!
//! Needs root, `mkfs.ext4`, `mount` and libfaketime; fails and says so where one is missing.

use std::time::Duration;

use forebay_tests::soak::{Options, run};

#[test]
fn nothing_is_lost_doubled_or_unaccounted_for_in_a_short_soak() {
    let options = Options { length: Duration::from_secs(15), seed: 7, rate: 200, disk_mib: 160 };
    let summary = run(&options, &|line| eprintln!("{line}")).unwrap_or_else(|failure| panic!("{failure}"));
    eprintln!("{summary}");
    assert!(summary.acknowledged() > 0, "there was load");
    for had in [
        "kills",
        "terms",
        "mapped_lives",
        "full_disks",
        "ends_on_full_disk",
        "jumps",
        "expired_events",
        "unavailable",
    ] {
        assert!(summary.count(had) > 0, "no {had} in {summary}");
    }
}
