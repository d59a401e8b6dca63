//! Damage on disk: what is lost is said, what is not lost is served.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use forebay_tests::senders::{Ledger, ids};
use forebay_tests::{Connection, Forebay, Project, Setup, cli};

/// One lane of many small segments.
const CONFIG: &str = "
    [log]
    lanes = 1
    segment_bytes_min = 1_048_576
    segment_bytes_max = 1_048_576
";

fn setup(dir: &Path) -> Setup {
    Setup::new().data_dir(dir).config(CONFIG)
}

/// Sends `requests` requests of 20 events, some 6 KiB each, one after the other.
fn send(ledger: &Ledger, forebay: &Forebay, project: &Project, requests: usize) {
    let mut connection = Connection::open(forebay.addr());
    for _ in 0..requests {
        ledger.send(&mut connection, &project.token, 20).expect("an answer").expect(200, "1");
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let lane = dir.join("log/0000");
    let files = fs::read_dir(lane).expect("the lane's folder").map(|f| f.expect("an entry").path());
    let mut segments: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "seg")).collect();
    segments.sort();
    segments
}

/// Where `needle` first occurs at or behind `from`.
fn find(bytes: &[u8], needle: &[u8], from: usize) -> usize {
    from + bytes[from..].windows(needle.len()).position(|w| w == needle).expect("it occurs")
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_costs_its_frame_and_nothing_else() {
    let home = tempfile::tempdir().expect("making a directory");
    let dir = home.path().join("data");
    let ledger = Ledger::new();
    let forebay = setup(&dir).start();
    let project = forebay.create_project("Damaged");
    send(&ledger, &forebay, &project, 600);
    forebay.stop();
    let sealed = segments(&dir).into_iter().nth(1).expect("several segments");
    let bytes = fs::read(&sealed).expect("reading a segment");
    let event = find(&bytes, b"\"distinct_id\":\"e-", bytes.len() / 2);
    let victim = *ids(&bytes[event..event + 200]).first().expect("an id");
    // In the padding of an event: valid JSON before and after, only the checksum can tell.
    let at = find(&bytes, b"\"pad\":\"000", event) + 8;
    let flip = |path: &Path| {
        let file = fs::OpenOptions::new().write(true).open(path).expect("opening a segment");
        file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("flipping a bit");
    };
    flip(&sealed);

    let name = sealed.file_name().expect("a name").to_string_lossy().into_owned();
    let frame = frame_of(victim);
    let verify = |dir: &Path| {
        let said = cli::run(dir, &["log", "verify"]);
        assert!(!said.status.success(), "verify fails: {}{}", said.text(), said.stderr);
        let all = said.text() + &said.stderr;
        assert!(all.contains(&name), "it names the segment {name}: {all}");
        assert!(names_offset(&all, at, &bytes), "it names the bytes around {at}: {all}");
        assert!(all.contains("20 events") || all.contains("20 records"), "it counts what is lost: {all}");
    };
    verify(&dir);

    let forebay = setup(&dir).start();
    verify(&dir);
    let found = ledger.check(&dir, &frame);
    assert_eq!((found.lost, found.acknowledged), (20, 600 * 20 - 20), "the rest is all there");
    assert_eq!(forebay.export(&project).len(), 600 * 20 - 20);
    let metrics = forebay.metrics();
    assert_eq!(metrics.count("forebay_log_damaged_ranges"), 1);
    assert_eq!(metrics.count("forebay_log_damaged_events"), 20);
    send(&ledger, &forebay, &project, 10);
    assert_eq!(ledger.check(&dir, &frame).lost, 20);
    forebay.stop();

    cli::run(&dir, &["log", "repair", "--accept-loss"]).success();
    cli::run(&dir, &["log", "verify"]).success();
    let forebay = setup(&dir).start();
    assert_eq!(ledger.check(&dir, &frame).lost, 20);
    assert_eq!(forebay.metrics().count("forebay_log_damaged_ranges"), 0);
    forebay.stop();
}

/// The ids that came in the same request, and so in the same frame, as this one.
fn frame_of(id: usize) -> Vec<usize> {
    let first = id / 20 * 20;
    (first..first + 20).collect()
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
    let forebay = setup(&dir).start();
    let project = forebay.create_project("Torn");
    send(&ledger, &forebay, &project, 30);
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
        send(&ledger, &forebay, &project, 10);
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
