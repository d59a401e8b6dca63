//! A disk that damages acknowledged events, and a server on it: what it serves, what it says, and how often.

use std::fs;
use std::path::Path;

use forebay_tests::harm::{EVENTS, flip_an_event, flip_every_frame, send, setup};
use forebay_tests::senders::Ledger;
use forebay_tests::{Forebay, Json, Request, cli, eventually};

const REQUESTS: usize = 600;

/// Lines of the server's own log that say so.
fn lines(forebay: &Forebay, what: &str) -> usize {
    forebay.stderr().lines().filter(|line| line.contains(what)).count()
}

/// The only gap that `log cat` warns of, as `FROM..TO: REASON`.
fn gap(dir: &Path) -> String {
    let said = cli::run(dir, &["log", "cat", "--json"]).success().stderr;
    let gaps: Vec<_> =
        said.lines().filter_map(|line| line.strip_prefix("warning: lane 0 records ")).collect();
    let [gap] = gaps[..] else { panic!("one gap: {said}") };
    gap.strip_suffix(" (not shown)").expect("it is not shown").to_owned()
}

/// What `log verify` says, which must end with that status.
fn verify(dir: &Path, status: i32) -> String {
    let said = cli::run(dir, &["log", "verify"]);
    let text = said.text() + &said.stderr;
    assert_eq!(said.status.code(), Some(status), "{text}");
    text
}

/// What `log repair` says, which must end with 0.
fn repair(dir: &Path, options: &[&str]) -> String {
    cli::run(dir, &[&["log", "repair"], options].concat()).success().text()
}

fn expect_words(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "it says {words:?}: {text}");
    }
}

#[test]
fn damage_under_a_running_server_costs_its_frame_is_told_exactly_and_is_given_up_only_when_told_to() {
    let home = tempfile::tempdir().expect("making a directory");
    let dir = home.path().join("data");
    let ledger = Ledger::new();
    let forebay = setup(&dir).start();
    let project = forebay.create_project("Damaged while it runs");
    send(&ledger, &forebay, &project, REQUESTS);
    let flipped = flip_an_event(&dir, 1);
    let file = flipped.segment.display().to_string();

    let text = verify(&dir, 1);
    let damage = format!("damage in lane 0: {file} bytes ");
    let end = format!(
        "acknowledged records that cannot be read: {EVENTS}; `forebay log repair` says what can be done (checked while \
         a server runs)"
    );
    expect_words(&text, &[&damage, "frame payload checksum mismatch", "; 20 events lost (sequence ", &end]);
    let seqs = text.split_once("(sequence ").and_then(|(_, rest)| rest.split(')').next()).expect("a range");
    let (from, to) = seqs.split_once("..").expect("a range");
    let (from, to): (usize, usize) = (from.parse().expect("a number"), to.parse().expect("a number"));
    assert_eq!(to - from, EVENTS);
    assert_eq!(gap(&dir), format!("{seqs}: damage"), "readers are told the same");

    for _ in 0..3 {
        assert_eq!(forebay.export(&project).len(), (REQUESTS - 1) * EVENTS, "exports go around it");
    }
    assert_eq!(lines(&forebay, "an export steps over records"), 3, "a line an export");
    assert_eq!(ledger.check(&dir, &flipped.frame).lost, EVENTS);
    let refused = cli::run(&dir, &["log", "repair", "--accept-loss"]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.text());
    expect_words(&refused.stderr, &["another process (pid ", "stop it first"]);
    send(&ledger, &forebay, &project, 10);
    forebay.send(&Request::get("/health/ready").close()).expect_status(200);

    let forebay = forebay.kill().start();
    // Segments that a start does not read are looked through soon after it.
    let damaged = || forebay.metrics().count("forebay_log_damaged_events");
    eventually("the damage shows in the metrics", || damaged() == EVENTS as u64);
    assert_eq!(forebay.metrics().count("forebay_log_damaged_ranges"), 1);
    assert_eq!(lines(&forebay, "acknowledged data is damaged"), 1);
    // It stores and serves the rest: other nodes would be no better off without it.
    forebay.send(&Request::get("/health/ready").close()).expect_status(200);
    assert_eq!(forebay.export(&project).len(), (REQUESTS + 9) * EVENTS, "before and behind it");
    assert_eq!(ledger.check(&dir, &flipped.frame).lost, EVENTS);
    forebay.stop();

    let before = fs::read(&flipped.segment).expect("reading the segment");
    let gives_up =
        format!("become a loss frame: {EVENTS} events given up (sequence {seqs}); the bytes are kept in ");
    let dry = repair(&dir, &[]);
    expect_words(
        &dry,
        &[&file, &gives_up, "steps: 1, records given up: 20; nothing was changed, --accept-loss does it"],
    );
    assert_eq!(fs::read(&flipped.segment).expect("reading the segment"), before, "nothing was changed");
    let done = repair(&dir, &["--accept-loss"]);
    expect_words(&done, &[&file, &gives_up, "steps done: 1, records given up: 20"]);
    let kept =
        done.split_once("the bytes are kept in ").and_then(|(_, rest)| rest.lines().next()).expect("a file");
    let kept = fs::read(kept).expect("reading the copy");
    assert!(before.windows(kept.len()).any(|bytes| bytes == kept), "the copy is what was replaced");
    assert_eq!(repair(&dir, &["--accept-loss"]).trim(), "nothing to repair");
    let accepted = format!("lost and accepted in lane 0: sequence {seqs}");
    expect_words(
        &verify(&dir, 0),
        &[&accepted, "every acknowledged record is there but those accepted as lost"],
    );
    assert_eq!(gap(&dir), format!("{seqs}: loss"), "readers are told of the loss");

    let forebay = setup(&dir).start();
    assert_eq!(forebay.metrics().count("forebay_log_damaged_ranges"), 0);
    assert_eq!(forebay.export(&project).len(), (REQUESTS + 9) * EVENTS);
    forebay.stop();
}

#[test]
fn a_segment_damaged_in_every_frame_is_counted_to_the_event_and_told_in_a_bounded_number_of_lines() {
    let home = tempfile::tempdir().expect("making a directory");
    let dir = home.path().join("data");
    let ledger = Ledger::new();
    let forebay = setup(&dir).start();
    let project = forebay.create_project("Damaged all over");
    send(&ledger, &forebay, &project, REQUESTS);
    let stopped = forebay.kill();
    let flipped = flip_every_frame(&dir, 1);
    let lost = flipped.len() * EVENTS;
    assert!(flipped.len() > 100, "more than there may be lines: {}", flipped.len());

    let forebay = stopped.start();
    let damaged = || forebay.metrics().count("forebay_log_damaged_events");
    eventually("the damage shows in the metrics", || damaged() == lost as u64);
    assert_eq!(forebay.metrics().count("forebay_log_damaged_ranges"), flipped.len() as u64);
    let told = lines(&forebay, "acknowledged data is damaged");
    assert_eq!(told, 21, "twenty places, and that there are more");
    assert_eq!(forebay.export(&project).len(), REQUESTS * EVENTS - lost);
    assert_eq!(lines(&forebay, "an export steps over records"), 1);
    forebay.send(&Request::get("/health/ready").close()).expect_status(200);
    let frames: Vec<_> = flipped.iter().flat_map(|flipped| flipped.frame.clone()).collect();
    assert_eq!(ledger.check(&dir, &frames).lost, lost);
    let report = cli::run(&dir, &["log", "verify", "--json"]).json();
    let lane = &report.get("lanes").and_then(Json::as_array).expect("lanes")[0];
    let damage = lane.get("damage").and_then(Json::as_array).expect("damage");
    let verified: u64 = damage.iter().map(|damage| damage.u64("records_lost")).sum();
    assert_eq!((damage.len(), verified), (flipped.len(), lost as u64), "verify names every one");
    forebay.stop();
}
