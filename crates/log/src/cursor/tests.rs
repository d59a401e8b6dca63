//! What cursors promise, each by name.

use crate::{
    Filter, GapReason, KindSet, RouteKey, Step, Store,
    cursor::Cursor,
    sample::{Got, LaneWriter, START_MS, drain, flip, records},
};
use bytes::Bytes;
use forebay_record::{FrameKind, LaneId, ProjectId, Seq};
use std::{fs, path::Path};
use tempfile::TempDir;

const LANE: LaneId = LaneId(0);

fn dir() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn cursor(dir: &Path, from: u64, filter: Filter) -> Cursor {
    Store::open(dir).expect("a store").cursor(LANE, Seq(from), filter).expect("a cursor")
}

fn project(id: u64) -> Filter {
    let project = ProjectId::new(id).expect("not zero");
    Filter { routes: Some(vec![RouteKey::Project(project)]), ..Filter::all() }
}

/// Three segments, the last one being written: projects 1 to 3, frames of one to three events.
fn three_segments(dir: &Path) -> LaneWriter {
    let mut lane = LaneWriter::new(dir, LANE);
    for segment in 0..3 {
        for group in 0..4u64 {
            for frame in 0..3u64 {
                let n = segment * 100 + group * 10 + frame;
                let events: Vec<String> = (0..=frame).map(|e| format!("{{\"e\":\"{n}.{e}\"}}")).collect();
                let time =
                    i64::try_from(START_MS).expect("small") + i64::try_from(n).expect("small") * 60_000;
                let events: Vec<_> = events.iter().map(|e| (e.as_str(), Some(time))).collect();
                lane.frame(1 + (group + frame) % 3, "tok", &events);
            }
            lane.commit();
        }
        if segment < 2 {
            lane.roll();
        }
    }
    lane
}

#[test]
fn a_cursor_resumes_at_any_record_and_gives_each_later_one_once() {
    let dir = dir();
    let lane = three_segments(dir.path());
    for from in 0..=lane.written.len() {
        let mut cursor = cursor(dir.path(), from as u64, Filter::all());
        assert_eq!(drain(&mut cursor), records(&lane.written[from..]), "from {from}");
        assert_eq!(cursor.position().seq, Seq(lane.written.len() as u64));
    }
}

#[test]
fn a_cursor_past_the_end_waits_for_its_record() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    let mut cursor = cursor(dir.path(), 2, Filter::all());
    assert_eq!(drain(&mut cursor), []);
    lane.frame(1, "t", &[("0", None), ("1", None), ("2", None)]);
    lane.commit();
    assert_eq!(drain(&mut cursor), [Got::Record(2, b"2".to_vec())]);
}

#[test]
fn a_cursor_follows_a_live_lane_across_rolls_and_never_past_the_watermark() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    let mut cursor = cursor(dir.path(), 0, Filter::all());
    let mut got = Vec::new();
    for n in 0..40u64 {
        let durable = lane.written.len();
        lane.frame(1 + n % 2, "t", &[(&format!("{n}a"), None), (&format!("{n}b"), None)]);
        lane.flush();
        if n % 3 != 0 {
            got.extend(drain(&mut cursor));
            assert_eq!(got, records(&lane.written[..durable]), "flushed is not durable");
        }
        lane.commit();
        if n % 7 == 6 {
            lane.roll();
        }
        if n % 5 == 0 {
            got.extend(drain(&mut cursor));
        }
    }
    got.extend(drain(&mut cursor));
    assert_eq!(got, records(&lane.written));
}

#[test]
fn frames_stay_readable_when_their_segment_is_removed() {
    let dir = dir();
    let lane = three_segments(dir.path());
    let mut cursor = cursor(dir.path(), 0, Filter::all());
    let Ok(Some(Step::Frame(frame))) = cursor.next() else { panic!("a frame") };
    fs::remove_file(lane.segment_path(1)).expect("removed");
    assert_eq!(frame.token(), b"tok");
    let first: Vec<_> = frame.records().map(|r| Got::Record(r.seq.0, r.json.to_vec())).collect();
    assert_eq!(first, records(&lane.written[..1]));
    assert_eq!(drain(&mut cursor), records(&lane.written[1..]), "the cursor goes on in the open segment");
}

#[test]
fn what_retention_removed_is_a_gap() {
    let dir = dir();
    let lane = three_segments(dir.path());
    fs::remove_file(lane.segment_path(1)).expect("removed");
    let kept: Vec<_> = lane.written.iter().filter(|w| w.segment > 1).collect();
    let first = kept[0].seq;
    let mut expected = vec![Got::Gap(5, first, GapReason::Retention)];
    expected.extend(records(kept));
    assert_eq!(drain(&mut cursor(dir.path(), 5, Filter::all())), expected);
    assert_eq!(drain(&mut cursor(dir.path(), first, Filter::all())), expected[1..]);
}

#[test]
fn a_segment_missing_between_others_is_damage() {
    let dir = dir();
    let lane = three_segments(dir.path());
    fs::remove_file(lane.segment_path(2)).expect("removed");
    let of = |segment| lane.written.iter().filter(move |w| w.segment == segment);
    let mut expected = records(of(1));
    let (from, to) = (of(2).map(|w| w.seq).min().expect("some"), of(3).map(|w| w.seq).min().expect("some"));
    expected.push(Got::Gap(from, to, GapReason::Damage));
    expected.extend(records(of(3)));
    assert_eq!(drain(&mut cursor(dir.path(), 0, Filter::all())), expected);
}

#[test]
fn an_unreadable_header_costs_its_segment_and_no_other() {
    let dir = dir();
    let lane = three_segments(dir.path());
    for (segment, reason) in [(1, GapReason::Damage), (2, GapReason::Damage), (3, GapReason::Damage)] {
        flip(&lane.segment_path(segment), 57);
        let got = drain(&mut cursor(dir.path(), 0, Filter::all()));
        let lost: Vec<_> = lane.written.iter().filter(|w| w.segment == segment).map(|w| w.seq).collect();
        let gap = Got::Gap(lost[0], lost[lost.len() - 1] + 1, reason);
        assert!(got.contains(&gap), "segment {segment}: {got:?}");
        let kept = records(lane.written.iter().filter(|w| w.segment != segment));
        assert_eq!(got.into_iter().filter(|g| matches!(g, Got::Record(..))).collect::<Vec<_>>(), kept);
        flip(&lane.segment_path(segment), 57);
    }
}

#[test]
fn a_flipped_bit_costs_one_frame_and_the_gap_says_exactly_which() {
    let dir = dir();
    let lane = three_segments(dir.path());
    for (segment, frame) in lane.written.iter().map(|w| (w.segment, &w.frame)).step_by(5) {
        for at in [frame.start, frame.start + 30, frame.start + 50, frame.start + 97, frame.end - 1] {
            flip(&lane.segment_path(segment), at);
            let lost: Vec<_> = lane
                .written
                .iter()
                .filter(|w| w.segment == segment && w.frame == *frame)
                .map(|w| w.seq)
                .collect();
            let (from, to) = (lost[0], lost[lost.len() - 1] + 1);
            let mut expected = records(lane.written.iter().filter(|w| w.seq < from));
            expected.push(Got::Gap(from, to, GapReason::Damage));
            expected.extend(records(lane.written.iter().filter(|w| w.seq >= to)));
            let got = drain(&mut cursor(dir.path(), 0, Filter::all()));
            assert_eq!(got, expected, "segment {segment} byte {at}");
            flip(&lane.segment_path(segment), at);
        }
    }
}

#[test]
fn a_failed_segment_counts_only_below_its_end() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    lane.frame(1, "t", &[("0", None), ("1", None)]);
    lane.commit();
    let (end, lsn, seq, crc) = lane.stand();
    lane.frame(1, "t", &[("never acknowledged", None)]);
    lane.flush();
    lane.fail(end, lsn, seq, crc);
    lane.frame(1, "t", &[("2", None)]);
    lane.commit();
    let expected: Vec<_> =
        ["0", "1", "2"].iter().zip(0..).map(|(j, n)| Got::Record(n, j.as_bytes().to_vec())).collect();
    assert_eq!(drain(&mut cursor(dir.path(), 0, Filter::all())), expected);
    assert!(crate::verify(dir.path(), &mut |_| {}).expect("a report").is_clean());
}

#[test]
fn a_lost_watermark_file_is_made_up_for_by_what_the_frames_prove() {
    let dir = dir();
    let lane = three_segments(dir.path());
    fs::remove_file(lane.lane_dir().join("watermark")).expect("removed");
    let got = drain(&mut cursor(dir.path(), 0, Filter::all()));
    // The newest group is proven only by what follows it.
    let last_group = 1 + 2 + 3;
    assert_eq!(got, records(&lane.written[..lane.written.len() - last_group]));
}

#[test]
fn without_a_watermark_readers_still_hear_of_what_retention_took() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    lane.frame(1, "t", &[("0", None), ("1", None)]);
    lane.commit();
    lane.roll();
    lane.frame(1, "t", &[("2", None)]);
    lane.commit();
    fs::remove_file(lane.lane_dir().join("watermark")).expect("removed");
    fs::remove_file(lane.segment_path(1)).expect("removed");
    let mut cursor = cursor(dir.path(), 0, Filter::all());
    // Nothing proves the one group that is left; that its segment was begun proves what came before.
    assert_eq!(drain(&mut cursor), [Got::Gap(0, 2, GapReason::Retention)]);
    lane.frame(1, "t", &[("3", None)]);
    lane.commit();
    let rest = [Got::Record(2, b"2".to_vec()), Got::Record(3, b"3".to_vec())];
    assert_eq!(drain(&mut cursor), rest);
}

#[test]
fn a_project_is_read_through_the_index_and_nothing_else_is_touched() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    for segment in 0..6u64 {
        for n in 0..50u64 {
            let id = if n == 25 && segment % 2 == 0 { 7 } else { 1 + n % 4 };
            lane.frame(id, "t", &[(&format!("{{\"n\":{n}}}"), None)]);
        }
        lane.roll();
    }
    lane.frame(7, "t", &[("last", None)]);
    lane.commit();
    let expected = records(lane.written.iter().filter(|w| w.project == 7));
    let mut indexed = cursor(dir.path(), 0, project(7));
    assert_eq!(drain(&mut indexed), expected);
    let touched = indexed.touched();
    assert_eq!((touched.frames, touched.segments, touched.segments_skipped), (4, 4, 3), "{touched:?}");

    for damage in ["missing", "flipped"] {
        for segment in 1..=6 {
            match damage {
                "missing" => flip(&lane.index_path(segment), 13),
                _ => fs::remove_file(lane.index_path(segment)).expect("removed"),
            }
        }
        let mut walked = cursor(dir.path(), 0, project(7));
        assert_eq!(drain(&mut walked), expected, "index {damage}");
        assert!(walked.touched().frames > 300);
    }
}

#[test]
fn any_sequence_is_found_without_walking_from_the_start() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    let event = "x".repeat(8000);
    for _ in 0..100 {
        lane.frame(1, "t", &[(&event, None)]);
        lane.commit();
    }
    lane.roll();
    lane.frame(1, "t", &[("end", None)]);
    lane.commit();
    let mut cursor = cursor(dir.path(), 95, Filter::all());
    assert_eq!(drain(&mut cursor).len(), 6);
    assert!(cursor.touched().frames < 20, "{:?}", cursor.touched());
}

#[test]
fn event_times_leave_out_segments_and_frames() {
    let dir = dir();
    let lane = three_segments(dir.path());
    let at = |n: i64| i64::try_from(START_MS).expect("small") + n * 60_000;
    let filter = Filter { event_time_ms: Some(at(110)..=at(112)), ..Filter::all() };
    let mut timed = cursor(dir.path(), 0, filter);
    let expected = records(lane.written.iter().filter(|w| w.segment == 2 && w.json[6..8] == *b"11"));
    assert_eq!(drain(&mut timed), expected);
    assert_eq!(expected.len(), 6);
    let touched = timed.touched();
    assert_eq!(touched.segments_skipped, 1, "{touched:?}");
    assert_eq!(touched.payload_bytes, drain_bytes(dir.path(), at(110)..=at(112)));
}

/// Payload bytes that must be checked for a time range: those of matching frames, and in the segment being
/// written all.
fn drain_bytes(dir: &Path, range: std::ops::RangeInclusive<i64>) -> u64 {
    let mut all = cursor(dir, 0, Filter::all());
    let mut bytes = 0;
    while let Ok(Some(step)) = all.next() {
        let Step::Frame(frame) = step else { continue };
        let matches = frame.records().any(|r| r.entry.time_ms.is_some_and(|t| range.contains(&t)));
        if matches || frame.segment().0 == 3 {
            bytes += u64::from(frame.header().stored_len);
        }
    }
    bytes
}

#[test]
fn the_index_of_the_newest_segment_counts_once_it_has_ended() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    for n in 0..50u64 {
        lane.frame(1 + n % 10, "t", &[(&n.to_string(), None)]);
    }
    lane.roll(); // The next segment is begun, and nothing durable is in it.
    let mut followed = cursor(dir.path(), 0, project(3));
    assert_eq!(drain(&mut followed), records(lane.written.iter().filter(|w| w.project == 3)));
    assert_eq!(followed.touched().frames, 5);
    let mut none = cursor(dir.path(), 0, project(99));
    assert_eq!(drain(&mut none), []);
    lane.frame(3, "t", &[("more", None)]);
    lane.commit();
    assert_eq!(drain(&mut followed), records(lane.written.last()));
    lane.frame(99, "t", &[("first", None)]);
    lane.commit();
    assert_eq!(drain(&mut none), records(lane.written.last()));
}

#[test]
fn unclaimed_events_are_found_by_their_token() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    for round in 0..3 {
        lane.frame(0, "alpha", &[(&format!("a{round}"), None)]);
        lane.frame(0, "beta", &[(&format!("b{round}"), None)]);
        lane.frame(9, "alpha", &[("claimed", None)]);
        if round < 2 { lane.roll() } else { lane.commit() }
    }
    let filter = Filter { routes: Some(vec![RouteKey::Token(Bytes::from_static(b"beta"))]), ..Filter::all() };
    let got = drain(&mut cursor(dir.path(), 0, filter));
    assert_eq!(got, records(lane.written.iter().filter(|w| w.json.starts_with(b"b"))));
}

#[test]
fn replays_and_lookups_are_frames_of_their_own_kind() {
    let dir = dir();
    let mut lane = LaneWriter::new(dir.path(), LANE);
    lane.frame(1, "t", &[("event", None)]);
    lane.frame_of(FrameKind::Replay, 1, "t", b"distinct_id=d&seq=4", &[("\u{1}binary", None)]);
    lane.frame_of(FrameKind::Lookup, 1, "t", b"", &[("{\"file\":\"x.csv\"}", None)]);
    lane.roll();
    lane.frame_of(FrameKind::Replay, 1, "t", b"distinct_id=d&seq=5", &[("second", None)]);
    lane.commit();
    for (kinds, expected) in [
        (KindSet::RECORDS, vec![0]),
        (KindSet::REPLAYS, vec![1, 3]),
        (KindSet::LOOKUPS, vec![2]),
        (KindSet::REPLAYS.or(KindSet::LOOKUPS), vec![1, 2, 3]),
        (KindSet::ALL, vec![0, 1, 2, 3]),
    ] {
        let got = drain(&mut cursor(dir.path(), 0, Filter { kinds, ..Filter::all() }));
        assert_eq!(got, records(lane.written.iter().filter(|w| expected.contains(&w.seq))), "{kinds:?}");
    }
    let mut replays = cursor(dir.path(), 0, Filter { kinds: KindSet::REPLAYS, ..Filter::all() });
    let Ok(Some(Step::Frame(frame))) = replays.next() else { panic!("a frame") };
    assert_eq!(frame.meta(), b"distinct_id=d&seq=4");
}

#[test]
fn a_damaged_frame_found_through_the_index_is_a_gap_of_its_records() {
    let dir = dir();
    let lane = three_segments(dir.path());
    let victim = lane.written.iter().find(|w| w.segment == 2 && w.project == 2).expect("one");
    flip(&lane.segment_path(2), victim.frame.end - 1);
    let got = drain(&mut cursor(dir.path(), 0, project(2)));
    let lost: Vec<_> =
        lane.written.iter().filter(|w| w.segment == 2 && w.frame == victim.frame).map(|w| w.seq).collect();
    let mut expected = records(lane.written.iter().filter(|w| w.project == 2 && w.seq < lost[0]));
    expected.push(Got::Gap(lost[0], lost[lost.len() - 1] + 1, GapReason::Damage));
    expected.extend(records(lane.written.iter().filter(|w| w.project == 2 && w.seq > lost[lost.len() - 1])));
    assert_eq!(got, expected);
}

#[test]
fn frames_and_cursors_can_be_sent_to_other_threads() {
    fn send<T: Send>() {}
    send::<crate::Frame>();
    send::<Cursor>();
    send::<Store>();
}
