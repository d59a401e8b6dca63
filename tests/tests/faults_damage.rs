//! Damage on disk: what is lost is said, what is not lost is served.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use forebay_tests::cli;
use forebay_tests::harm::{self, Flipped};
use forebay_tests::senders::Ledger;

#[test]
fn a_flipped_bit_in_a_sealed_segment_costs_its_frame_and_nothing_else() {
    let home = tempfile::tempdir().expect("making a directory");
    let dir = home.path().join("data");
    let ledger = Ledger::new();
    let forebay = harm::setup(&dir).start();
    let project = forebay.create_project("Damaged");
    harm::send(&ledger, &forebay, &project, 600);
    forebay.stop();
    let Flipped { segment: sealed, at, frame } = harm::flip_an_event(&dir, 1);
    let bytes = fs::read(&sealed).expect("reading a segment");

    let name = sealed.file_name().expect("a name").to_string_lossy().into_owned();
    let verify = |dir: &Path| {
        let said = cli::run(dir, &["log", "verify"]);
        assert!(!said.status.success(), "verify fails: {}{}", said.text(), said.stderr);
        let all = said.text() + &said.stderr;
        assert!(all.contains(&name), "it names the segment {name}: {all}");
        assert!(names_offset(&all, at, &bytes), "it names the bytes around {at}: {all}");
        assert!(all.contains("20 events") || all.contains("20 records"), "it counts what is lost: {all}");
    };
    verify(&dir);

    let forebay = harm::setup(&dir).start();
    verify(&dir);
    let found = ledger.check(&dir, &frame);
    assert_eq!((found.lost, found.acknowledged), (20, 600 * 20 - 20), "the rest is all there");
    assert_eq!(forebay.export(&project).len(), 600 * 20 - 20);
    let metrics = forebay.metrics();
    assert_eq!(metrics.count("forebay_log_damaged_ranges"), 1);
    assert_eq!(metrics.count("forebay_log_damaged_events"), 20);
    harm::send(&ledger, &forebay, &project, 10);
    assert_eq!(ledger.check(&dir, &frame).lost, 20);
    forebay.stop();

    cli::run(&dir, &["log", "repair", "--accept-loss"]).success();
    cli::run(&dir, &["log", "verify"]).success();
    let forebay = harm::setup(&dir).start();
    assert_eq!(ledger.check(&dir, &frame).lost, 20);
    assert_eq!(forebay.metrics().count("forebay_log_damaged_ranges"), 0);
    forebay.stop();
}

/// Does the text name a place at or up to one frame before `at`?
fn names_offset(text: &str, at: usize, bytes: &[u8]) -> bool {
    let magic = bytes[..at].windows(4).rposition(|w| w == b"FbFr").expect("a frame before it");
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<usize>().ok());
    numbers.into_iter().any(|n| (magic..=at).contains(&n))
}

#[test]
fn a_torn_tail_is_cut_silently_and_counted() {
    let home = tempfile::tempdir().expect("making a directory");
    let dir = home.path().join("data");
    let ledger = Ledger::new();
    let forebay = harm::setup(&dir).start();
    let project = forebay.create_project("Torn");
    harm::send(&ledger, &forebay, &project, 30);
    let mut stopped = forebay.kill();
    for round in 1..=3 {
        // What a crash in the middle of a commit leaves: the beginning of a frame behind the last durable one.
        let (segment, end) = durable_end(&dir);
        let file = fs::OpenOptions::new().write(true).open(&segment).expect("opening the newest segment");
        let torn = [&b"FbFr"[..], &[0x5a; 700]].concat();
        file.write_all_at(&torn, end).expect("tearing the tail");
        let forebay = stopped.start();
        let metrics = forebay.metrics();
        assert_eq!(metrics.count("forebay_log_cut_tails_total"), 1, "round {round}");
        assert_eq!(metrics.count("forebay_log_damaged_ranges"), 0, "nothing was lost");
        ledger.check(&dir, &[]);
        cli::run(&dir, &["log", "verify"]).success();
        harm::send(&ledger, &forebay, &project, 10);
        ledger.check(&dir, &[]);
        stopped = forebay.kill();
    }
    let forebay = stopped.start();
    assert_eq!(forebay.metrics().count("forebay_log_cut_tails_total"), 0, "a whole tail is not cut");
    assert_eq!(forebay.export(&project).len(), ledger.acknowledged());
    forebay.stop();
}

/// The segment and position behind the newest durable group, from the lane's watermark file as docs/format.md
/// draws it.
fn durable_end(dir: &Path) -> (PathBuf, u64) {
    let file = fs::read(dir.join("log/0000/watermark")).expect("reading the watermark");
    let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes"));
    let newest = if u64_at(4096 + 8) > u64_at(8) { 4096 } else { 0 };
    let segment = dir.join(format!("log/0000/{:020}.seg", u64_at(newest + 32)));
    (segment, u64_at(newest + 40))
}
