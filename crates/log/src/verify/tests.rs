//! What verification and repair promise, each by name.

use super::{VerifyReport, verify};
use crate::{
    Filter, GapReason, RepairChoice, RepairReport, RepairStep, Store, repair,
    sample::{Got, LaneWriter, Written, drain, flip, records},
};
use forebay_record::{LaneId, SegmentId, Seq};
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;

const LANE: LaneId = LaneId(0);

fn dir() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn verified(dir: &Path) -> VerifyReport {
    verify(dir, &mut |_| {}).expect("a report")
}

fn repaired(dir: &Path, choice: RepairChoice) -> RepairReport {
    repair(dir, choice).expect("a report")
}

fn read(dir: &Path) -> Vec<Got> {
    let mut cursor =
        Store::open(dir).expect("a store").cursor(LANE, Seq(0), Filter::all()).expect("a cursor");
    drain(&mut cursor)
}

/// Three segments of four groups of three frames; the third is being written.
fn three_segments(dir: &Path) -> LaneWriter {
    let mut lane = LaneWriter::new(dir, LANE);
    for segment in 0..3 {
        for group in 0..4 {
            for frame in 0..3 {
                let n = segment * 100 + group * 10 + frame;
                let events = [(format!("{{\"e\":{n}}}"), None), (format!("{{\"f\":{n}}}"), None)];
                lane.frame(1 + frame, "t", &events.each_ref().map(|(json, time)| (json.as_str(), *time)));
            }
            lane.commit();
        }
        if segment < 2 {
            lane.roll();
        }
    }
    lane
}

/// The sequences of the frame that `of` lies in.
fn seqs_of(lane: &LaneWriter, of: &Written) -> (u64, u64) {
    let same = lane.written.iter().filter(|w| w.segment == of.segment && w.frame == of.frame);
    let seqs: Vec<u64> = same.map(|w| w.seq).collect();
    (seqs[0], seqs[seqs.len() - 1] + 1)
}

fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "lock") {
                all.insert(path.clone(), fs::read(path).expect("a file"));
            }
        }
    }
    all
}

#[test]
fn a_whole_store_is_clean_and_every_record_counted() {
    let dir = dir();
    let lane = three_segments(dir.path());
    let (mut bytes, mut total) = (0, 0);
    let report =
        verify(dir.path(), &mut |p| (bytes, total) = (p.bytes_done, p.bytes_total)).expect("a report");
    assert!(report.is_clean() && !report.live, "{report:?}");
    let of = &report.lanes[0];
    assert_eq!(of.records, lane.written.len() as u64);
    assert_eq!((of.segments, of.indexes, of.indexes_missing), (3, 2, 0));
    assert_eq!(of.torn_tail, None);
    assert!(bytes > 0 && bytes <= total, "{bytes} of {total}");
    assert!(repaired(dir.path(), RepairChoice::AcceptLoss).actions.is_empty());
}

#[test]
fn a_flipped_bit_is_named_by_file_bytes_and_events_then_accepted_as_a_gap() {
    for (n, at_payload) in
        [(0, true), (7, false), (20, true), (30, false), (47, true), (60, false), (70, true)]
    {
        let dir = dir();
        let lane = three_segments(dir.path());
        let victim = &lane.written[n];
        let at = if at_payload { victim.frame.end - 1 } else { victim.frame.start + 40 };
        let path = lane.segment_path(victim.segment);
        flip(&path, at);
        let (from, to) = seqs_of(&lane, victim);

        let report = verified(dir.path());
        let damage: Vec<_> = report.damage().map(|(_, d)| d).collect();
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert_eq!(
            (&damage[0].file, &damage[0].seqs, damage[0].records_lost),
            (&path, &(from..to), to - from)
        );
        assert_eq!(damage[0].bytes.start, victim.frame.start as u64);
        assert!(damage[0].bytes.end >= victim.frame.end as u64);
        assert!(damage[0].what.contains("checksum mismatch"), "{}", damage[0]);

        let before = files(dir.path());
        let dry = repaired(dir.path(), RepairChoice::DryRun);
        assert_eq!(files(dir.path()), before, "a dry run changes nothing");
        let done = repaired(dir.path(), RepairChoice::AcceptLoss);
        assert_eq!(dry.actions, done.actions, "a dry run says what would be done");
        assert_eq!((done.actions.len(), done.records_lost()), (1, to - from), "{done:?}");
        let kept = done.actions[0].kept.clone().expect("a copy");
        let copy = fs::read(kept).expect("a copy");
        assert_eq!(copy, before[&path][victim.frame.start..][..copy.len()]);

        let after = verified(dir.path());
        assert!(after.is_clean(), "{after:?}");
        assert_eq!(after.lanes[0].losses.len(), 1);
        assert_eq!(after.lanes[0].indexes_missing, 0);
        let mut expected = records(lane.written.iter().filter(|w| w.seq < from));
        expected.push(Got::Gap(from, to, GapReason::Loss));
        expected.extend(records(lane.written.iter().filter(|w| w.seq >= to)));
        assert_eq!(read(dir.path()), expected);
        assert!(repaired(dir.path(), RepairChoice::AcceptLoss).actions.is_empty(), "a repair is final");
    }
}

#[test]
fn every_route_hears_of_an_accepted_loss_through_the_index() {
    let dir = dir();
    let lane = three_segments(dir.path());
    let victim = &lane.written[26];
    flip(&lane.segment_path(victim.segment), victim.frame.start + 8);
    repaired(dir.path(), RepairChoice::AcceptLoss);
    let (from, to) = seqs_of(&lane, victim);
    for project in 1..=3 {
        let id = forebay_record::ProjectId::new(project).expect("not zero");
        let filter = Filter { routes: Some(vec![crate::RouteKey::Project(id)]), ..Filter::all() };
        let mut cursor =
            Store::open(dir.path()).expect("a store").cursor(LANE, Seq(0), filter).expect("a cursor");
        assert!(drain(&mut cursor).contains(&Got::Gap(from, to, GapReason::Loss)), "project {project}");
    }
}

#[test]
fn a_torn_tail_is_told_apart_from_damage_below_the_watermark() {
    let dir = dir();
    let mut lane = three_segments(dir.path());
    let (end, ..) = lane.stand();
    lane.frame(1, "t", &[("whole, never acknowledged", None)]);
    lane.flush();
    let path = lane.segment_path(3);
    flip(&path, end + 4096 + 10);
    let report = verified(dir.path());
    assert!(report.is_clean(), "{report:?}");
    let tail = report.lanes[0].torn_tail.clone().expect("a tail");
    assert_eq!((&tail.file, tail.bytes.clone()), (&path, end as u64..(end + 4096 + 11) as u64));
    assert_eq!((tail.frames, tail.records), (1, 1));
    // The tail is the next start's to cut.
    assert!(repaired(dir.path(), RepairChoice::AcceptLoss).actions.is_empty());

    // The newest acknowledged frame is damaged: not a torn tail, because the watermark names it.
    let victim = lane.written[lane.written.len() - 2].clone();
    flip(&path, victim.frame.start + 20);
    let report = verified(dir.path());
    assert_eq!(report.records_lost(), 2);
    repaired(dir.path(), RepairChoice::AcceptLoss);
    let after = verified(dir.path());
    assert!(after.is_clean() && after.lanes[0].torn_tail.is_some(), "{after:?}");
}

/// As after a power cut before the watermark was ever flushed: the file is there, and zero.
#[test]
fn a_store_whose_watermarks_were_never_flushed_is_verified_by_what_its_frames_prove() {
    let dir = dir();
    three_segments(dir.path());
    let mut other = LaneWriter::new(dir.path(), LaneId(1));
    other.frame(1, "t", &[("{}", None)]);
    other.commit();
    other.frame(1, "t", &[("{}", None)]);
    other.commit();
    for lane in [LANE, LaneId(1)] {
        let path = crate::layout::watermark_path(&crate::layout::lane_dir(dir.path(), lane));
        fs::write(path, [0; 8192]).expect("written");
    }
    let mut last = None;
    let report = verify(dir.path(), &mut |progress| last = Some(progress)).expect("a report");
    assert!(report.is_clean(), "{report:?}");
    let last = last.expect("progress");
    let there: u64 = files(dir.path()).values().map(|bytes| bytes.len() as u64).sum();
    assert!(last.bytes_total <= there && last.bytes_done <= last.bytes_total, "{last:?}, of {there} bytes");
}

/// As after a power cut between the seal of a segment and the beginning of the next.
#[test]
fn an_index_that_is_ahead_of_all_other_proof_is_no_problem() {
    let dir = dir();
    let lane = three_segments(dir.path());
    fs::remove_file(lane.segment_path(3)).expect("removed");
    fs::write(crate::layout::watermark_path(&lane.lane_dir()), [0; 8192]).expect("written");
    assert!(lane.index_path(2).exists());
    let report = verified(dir.path());
    assert!(report.is_clean() && report.lanes[0].indexes == 1, "{report:?}");
    assert!(repaired(dir.path(), RepairChoice::AcceptLoss).actions.is_empty());
}

/// The start finds the lane's end by the frames, and keeps less than the index speaks of: the seal goes.
#[test]
fn an_index_that_is_ahead_is_made_anew_by_the_next_start() {
    let dir = dir();
    let lane = three_segments(dir.path());
    fs::remove_file(lane.segment_path(3)).expect("removed");
    fs::write(crate::layout::watermark_path(&lane.lane_dir()), [0; 8192]).expect("written");
    let before = read(dir.path());
    let (log, recovery) = crate::Log::open(crate::LogConfig::new(dir.path())).expect("it opens");
    assert!(recovery.lanes.iter().all(|lane| lane.damage.is_empty()), "{recovery:?}");
    log.close().expect("closed");
    let report = verified(dir.path());
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(read(dir.path()), before);
}

#[test]
fn a_live_store_is_verified_up_to_its_watermark_and_cannot_be_repaired() {
    let dir = dir();
    let mut lane = three_segments(dir.path());
    lane.frame(1, "t", &[("in flight", None)]);
    lane.flush();
    let lock = crate::DirLock::take(dir.path()).expect("free");
    let report = verified(dir.path());
    assert!(report.live && report.is_clean() && report.lanes[0].torn_tail.is_none(), "{report:?}");
    let refused = repair(dir.path(), RepairChoice::DryRun).expect_err("in use");
    assert!(refused.to_string().contains("stop it first"), "{refused}");
    drop(lock);
    assert!(!verified(dir.path()).live);
}

#[test]
fn a_lane_whose_segments_were_all_taken_away_is_damaged_until_that_is_accepted() {
    let dir = dir();
    let lane = three_segments(dir.path());
    for id in 1..=3 {
        fs::remove_file(lane.segment_path(id)).expect("removed");
    }
    let report = verified(dir.path());
    let (_, damage) = report.damage().next().expect("damage");
    assert!(damage.what.contains("all segments of the lane are missing"), "{damage}");
    repaired(dir.path(), RepairChoice::AcceptLoss);
    let after = verified(dir.path());
    assert!(after.is_clean() && after.lanes[0].next_seq == lane.written.len() as u64, "{after:?}");
}

#[test]
fn a_segment_of_another_lane_behind_the_newest_is_named() {
    let dir = dir();
    let lane = three_segments(dir.path());
    let other = LaneWriter::new(dir.path(), LaneId(1));
    fs::copy(other.segment_path(1), lane.segment_path(4)).expect("copied");
    let report = verified(dir.path());
    let found: Vec<_> = report.damage().map(|(lane, damage)| (lane, damage.to_string())).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == LANE && found[0].1.contains("belongs to another lane; move it out"), "{found:?}");
}

#[test]
fn bytes_between_frames_must_be_zero() {
    let dir = dir();
    let lane = three_segments(dir.path());
    let last_of_group = &lane.written[5];
    flip(&lane.segment_path(1), last_of_group.frame.end + 100);
    let report = verified(dir.path());
    let damage: Vec<_> = report.damage().map(|(_, d)| d).collect();
    // The seal's checksum covers them too.
    assert_eq!(damage.len(), 2, "{damage:?}");
    assert_eq!(damage[0].what, "bytes between frames are not zero");
    assert!(damage[1].what.contains("content checksum"), "{}", damage[1]);
    assert_eq!(report.records_lost(), 0);
    repaired(dir.path(), RepairChoice::AcceptLoss);
    assert!(verified(dir.path()).is_clean());
    assert_eq!(read(dir.path()), records(&lane.written));
}

#[test]
fn a_bad_index_is_named_and_made_anew() {
    let dir = dir();
    let lane = three_segments(dir.path());
    flip(&lane.index_path(1), 200);
    fs::copy(lane.index_path(1), lane.index_path(2)).expect("copied");
    let report = verified(dir.path());
    assert!(!report.is_clean());
    let problems: Vec<_> =
        report.lanes[0].index_problems.iter().map(|p| (&p.file, p.what.as_str())).collect();
    assert_eq!(problems[0].0, &lane.index_path(1));
    assert!(problems[0].1.contains("damaged"), "{problems:?}");
    assert_eq!(problems.len(), 2);
    fs::remove_file(lane.index_path(1)).expect("removed");
    assert_eq!(verified(dir.path()).lanes[0].indexes_missing, 1);
    let done = repaired(dir.path(), RepairChoice::AcceptLoss);
    assert!(done.actions.iter().all(|a| a.step == RepairStep::Index), "{done:?}");
    let after = verified(dir.path());
    assert!(after.is_clean() && after.lanes[0].indexes == 2, "{after:?}");
}

#[test]
fn a_segment_that_is_gone_or_unreadable_is_filled_with_a_loss() {
    for (segment, gone) in [(1, false), (2, true), (2, false), (3, true), (3, false)] {
        let dir = dir();
        let lane = three_segments(dir.path());
        let path = lane.segment_path(segment);
        if gone {
            fs::remove_file(&path).expect("removed")
        } else {
            flip(&path, 60)
        }
        let lost: Vec<u64> = lane.written.iter().filter(|w| w.segment == segment).map(|w| w.seq).collect();
        let (from, to) = (lost[0], lost[lost.len() - 1] + 1);
        let report = verified(dir.path());
        assert_eq!(report.records_lost(), to - from, "{report:?}");
        let done = repaired(dir.path(), RepairChoice::AcceptLoss);
        assert_eq!(done.records_lost(), to - from, "{done:?}");
        assert_eq!(done.actions[0].kept.as_ref().is_some_and(|kept| kept.exists()), !gone);
        let after = verified(dir.path());
        assert!(after.is_clean(), "segment {segment}, gone {gone}: {after:?}");
        let mut expected = records(lane.written.iter().filter(|w| w.seq < from));
        expected.push(Got::Gap(from, to, GapReason::Loss));
        expected.extend(records(lane.written.iter().filter(|w| w.seq >= to)));
        assert_eq!(read(dir.path()), expected);
    }
}

#[test]
fn an_unreadable_segment_with_nothing_before_it_is_moved_away() {
    let dir = dir();
    let lane = three_segments(dir.path());
    fs::remove_file(lane.segment_path(1)).expect("removed, as retention does");
    flip(&lane.segment_path(2), 60);
    let report = verified(dir.path());
    assert!(report.damage().any(|(_, d)| d.what.contains("not known")), "{report:?}");
    let done = repaired(dir.path(), RepairChoice::AcceptLoss);
    assert_eq!(done.actions[0].step, RepairStep::SetAside);
    assert!(done.actions[0].kept.as_ref().is_some_and(|kept| kept.exists()));
    assert!(verified(dir.path()).is_clean());
    let kept: Vec<_> = lane.written.iter().filter(|w| w.segment > 2).collect();
    let mut expected = vec![Got::Gap(0, kept[0].seq, GapReason::Retention)];
    expected.extend(records(kept));
    assert_eq!(read(dir.path()), expected);
}

#[test]
fn a_lane_of_unreadable_segments_keeps_its_place() {
    let dir = dir();
    let lane = three_segments(dir.path());
    fs::remove_file(lane.segment_path(1)).expect("removed, as retention does");
    flip(&lane.segment_path(2), 60);
    flip(&lane.segment_path(3), 60);
    assert_eq!(verified(dir.path()).damage().count(), 2);
    repaired(dir.path(), RepairChoice::AcceptLoss);
    let after = verified(dir.path());
    assert!(after.is_clean(), "{after:?}");
    let end = lane.written.len() as u64;
    assert_eq!(after.lanes[0].next_seq, end);
    assert_eq!(read(dir.path()), [Got::Gap(0, end, GapReason::Retention)]);
}

#[test]
fn a_file_cut_short_loses_what_was_cut() {
    for segment in [2, 3] {
        let dir = dir();
        let lane = three_segments(dir.path());
        let cut_at = lane.written.iter().filter(|w| w.segment == segment).nth(9).expect("enough");
        let path = lane.segment_path(segment);
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("a file")
            .set_len(cut_at.frame.start as u64)
            .expect("cut");
        let (from, _) = seqs_of(&lane, cut_at);
        let to = lane.written.iter().filter(|w| w.segment == segment).map(|w| w.seq + 1).max().expect("some");
        assert_eq!(verified(dir.path()).records_lost(), to - from);
        repaired(dir.path(), RepairChoice::AcceptLoss);
        let after = verified(dir.path());
        assert!(after.is_clean(), "segment {segment}: {after:?}");
        let mut expected = records(lane.written.iter().filter(|w| w.seq < from));
        expected.push(Got::Gap(from, to, GapReason::Loss));
        expected.extend(records(lane.written.iter().filter(|w| w.seq >= to)));
        assert_eq!(read(dir.path()), expected);
    }
}

#[test]
fn zeroed_pages_are_damage_and_not_the_end() {
    use std::os::unix::fs::FileExt as _;
    let dir = dir();
    let lane = three_segments(dir.path());
    let path = lane.segment_path(2);
    let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
    file.write_all_at(&[0; 4096], 8192).expect("written"); // the second group
    let report = verified(dir.path());
    assert_eq!(report.records_lost(), 6, "{report:?}");
    assert_eq!(report.damage().next().expect("one").1.bytes, 8192..12288);
    repaired(dir.path(), RepairChoice::AcceptLoss);
    assert!(verified(dir.path()).is_clean());
    assert_eq!(read(dir.path()).len(), lane.written.len() - 6 + 1);
}

#[test]
fn stats_sum_up_without_reading_payloads() {
    let dir = dir();
    let lane = three_segments(dir.path());
    let stats = crate::stats(dir.path()).expect("stats");
    let of = &stats.lanes[0];
    assert_eq!((of.segments, of.records, of.first_seq), (3, lane.written.len() as u64, 0));
    assert_eq!(of.frames, 36 + 2, "with two seals");
    assert_eq!(of.oldest_received_ms, Some(crate::sample::START_MS + 1000));
    assert_eq!(of.newest_received_ms, Some(crate::sample::START_MS + 38_000));
    assert!(serde_json::to_string(&stats).expect("json").contains("\"lane\":\"0\""));
}

#[test]
fn what_retention_takes_while_a_store_is_verified_is_no_damage() {
    // All that has been looked at, and more: what lay behind it was known by then, or was not.
    for (after, taken) in [(1, 1..=1), (1, 1..=2), (2, 1..=2)] {
        let dir = dir();
        let lane = three_segments(dir.path());
        let report = verify(dir.path(), &mut |at| {
            if at.segment == SegmentId(after) {
                for id in taken.clone() {
                    let _ = fs::remove_file(lane.segment_path(id));
                }
            }
        });
        let report = report.expect("a report");
        assert!(report.is_clean(), "{after} {taken:?} {report:?}");
        assert_eq!(report.lanes[0].segments, if taken == (1..=2) && after == 1 { 2 } else { 3 });
    }
}
