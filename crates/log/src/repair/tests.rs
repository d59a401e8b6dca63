//! A repaired store and the server's own log: each goes on where the other stopped.

use crate::{
    Filter, Gap, GapReason, Log, LogConfig, RepairChoice, Retention, Step, Store,
    lane::rig::{NOW_MS, append},
    layout, repair,
    sample::flip,
    verify,
};
use forebay_record::{LaneId, SEGMENT_HEADER_BYTES, SegmentId, Seq};
use std::{
    fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const LANE: LaneId = LaneId(0);

fn config(dir: &Path) -> LogConfig {
    LogConfig {
        clock: Arc::new(|| NOW_MS),
        segment_bytes_min: 1 << 20,
        segment_bytes_max: 1 << 20,
        lanes: 1,
        ..LogConfig::new(dir)
    }
}

/// One run of a server that stores these events.
fn run(dir: &Path, events: &[String]) {
    let (log, _) = Log::open(config(dir)).expect("opened");
    let submitter = log.submitter();
    for event in events {
        drop(submitter.submit(LANE, append(Some(7), &[event])).expect("taken in"));
    }
    drop(submitter);
    log.close().expect("stored");
}

fn read(dir: &Path) -> (Vec<String>, Vec<Gap>) {
    let mut cursor =
        Store::open(dir).expect("a store").cursor(LANE, Seq(0), Filter::all()).expect("a cursor");
    let (mut events, mut gaps) = (Vec::new(), Vec::new());
    while let Some(step) = cursor.next().expect("readable") {
        match step {
            Step::Gap(gap) => gaps.push(gap),
            Step::Frame(frame) => {
                events.extend(frame.records().map(|r| String::from_utf8_lossy(r.json).into_owned()));
            }
        }
    }
    (events, gaps)
}

#[test]
fn a_log_goes_on_behind_repaired_damage_wherever_it_was() {
    let events: Vec<String> =
        (0..40).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(n * 50))).collect();
    // The header, the first frame, one in the middle, the last bytes in use (the seal), of each segment.
    for segment in 1..=3 {
        for place in ["header", "first", "middle", "seal"] {
            let dir = tempfile::tempdir().expect("a folder");
            let dir = dir.path();
            for session in events.chunks(10).take(3) {
                run(dir, session);
            }
            let path = layout::segment_path(&layout::lane_dir(dir, LANE), SegmentId(segment as u64));
            let bytes = fs::read(&path).expect("a segment");
            let used = bytes.iter().rposition(|&b| b != 0).expect("not empty");
            let at = match place {
                "header" => 50,
                "first" => SEGMENT_HEADER_BYTES + 20,
                "middle" => {
                    let event = events[(segment - 1) * 10 + 5].as_bytes();
                    bytes.windows(event.len()).position(|w| w == event).expect("stored")
                }
                _ => used,
            };
            flip(&path, at);
            let what = format!("segment {segment}, {place}");
            let lost = verify(dir, &mut |_| {}).expect("a report").records_lost();
            let report = repair(dir, RepairChoice::AcceptLoss).expect("repaired");
            assert_eq!(report.records_lost(), lost, "{what}: {report:?}");

            run(dir, &events[30..]);
            let after = verify(dir, &mut |_| {}).expect("a report");
            assert!(after.is_clean(), "{what}: {after:?}");
            let (read, gaps) = read(dir);
            assert_eq!(read.len() as u64, 40 - lost, "{what}");
            assert!(read.iter().all(|event| events.contains(event)), "{what}");
            assert_eq!(read[read.len() - 10..], events[30..], "{what}");
            assert_eq!(gaps.iter().map(Gap::records).sum::<u64>(), lost, "{what}");
            assert!(gaps.iter().all(|gap| gap.reason == GapReason::Loss), "{what}: {gaps:?}");
            match place {
                "header" => assert_eq!(lost, 10, "{what}"),
                "seal" => assert_eq!(lost, 0, "{what}"),
                _ => assert!((1..10).contains(&lost), "{what}: {lost}"),
            }
        }
    }
}

#[test]
fn a_first_segment_that_somebody_took_away_is_told_from_those_that_retention_took() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let events: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let segment = |id| layout::segment_path(&layout::lane_dir(dir, LANE), SegmentId(id));
    let told = |gaps: &[Gap]| gaps.iter().map(|g| (g.from.0, g.to.0, g.reason)).collect::<Vec<_>>();
    for session in events.chunks(10).take(3) {
        run(dir, session);
    }
    // Retention takes the first two.
    let keep_nothing = Retention { bytes: Some(1), ..Retention::default() };
    let (log, _) = Log::open(LogConfig { retention: keep_nothing, ..config(dir) }).expect("opened");
    log.run_retention();
    log.close().expect("closed");
    let (_, gaps) = read(dir);
    assert_eq!(told(&gaps), [(0, 20, GapReason::Retention)]);
    assert!(verify(dir, &mut |_| {}).expect("a report").is_clean());

    // Somebody takes the next.
    for session in events.chunks(10).skip(3) {
        run(dir, session);
    }
    fs::remove_file(segment(3)).expect("there");
    let (rest, gaps) = read(dir);
    assert_eq!(told(&gaps), [(0, 20, GapReason::Retention), (20, 30, GapReason::Damage)]);
    assert_eq!(rest, events[30..]);
    let report = verify(dir, &mut |_| {}).expect("a report");
    let damage: Vec<_> = report.damage().map(|(_, d)| (&d.file, d.seqs.clone(), d.what.as_str())).collect();
    assert_eq!(damage, [(&segment(3), 20..30, "a segment is missing")]);

    // The server says so too, and goes on.
    let (log, _) = Log::open(config(dir)).expect("opened");
    let deadline = Instant::now() + Duration::from_secs(60);
    while log.stats().lanes[0].damaged_events != 10 {
        assert!(Instant::now() < deadline, "never found: {:?}", log.stats());
        thread::sleep(Duration::from_millis(5));
    }
    log.close().expect("closed");

    repair(dir, RepairChoice::AcceptLoss).expect("repaired");
    assert!(verify(dir, &mut |_| {}).expect("a report").is_clean());
    let (rest, gaps) = read(dir);
    assert_eq!(told(&gaps), [(0, 20, GapReason::Retention), (20, 30, GapReason::Loss)]);
    assert_eq!(rest, events[30..]);
}
