//! Sectors that the disk cannot read, and files that somebody cut: gaps with their reason, and never a SIGBUS.

use crate::{
    Backend, Filter, GapReason, LogConfig, Step, Store,
    disk::{Crash, Disk, RealDisk, SimDisk},
    lane::rig::{NOW_MS, Rig, append},
    layout,
    log::Log,
    sample::{Got, LaneWriter, drain, records},
    stats_on, verify_on,
};
use forebay_record::{FRAME_HEADER_BYTES, LaneId, SEGMENT_HEADER_BYTES, SegmentId, Seq};
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

const LANE: LaneId = LaneId(0);
const SECTOR: usize = 512;

fn dir() -> &'static Path {
    Path::new("/store")
}

fn segment(id: u64) -> PathBuf {
    layout::segment_path(&layout::lane_dir(dir(), LANE), SegmentId(id))
}

/// Three segments of frames of all sizes, the newest without a seal.
fn stopped() -> SimDisk {
    let disk = SimDisk::new(3);
    let mut rig = Rig::open(&disk, dir(), Backend::Mapped).expect("a healthy disk");
    rig.segment_bytes.store(48 << 10, Ordering::Relaxed);
    for n in 0..3usize {
        for group in 0..3usize {
            let batch = (0..3usize).map(|frame| {
                let events: Vec<_> =
                    (0..2).map(|e| "x".repeat(1 + (n + 7 * group + frame * 31 + e) * 17)).collect();
                append(Some(7), &events)
            });
            rig.commit(batch.collect());
        }
        if n < 2 {
            rig.writer.roll().expect("a healthy disk");
        }
    }
    rig.writer.heartbeat();
    disk.reboot(Crash::Kill);
    disk
}

fn store(disk: &SimDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), dir()).expect("a store")
}

fn read(disk: &SimDisk) -> Vec<Got> {
    drain(&mut store(disk).cursor(LANE, Seq(0), Filter::all()).expect("a cursor"))
}

/// Where each frame lies, and its records.
fn frames(disk: &SimDisk) -> Vec<(u64, Range<usize>, Range<u64>)> {
    let mut cursor = store(disk).cursor(LANE, Seq(0), Filter::all()).expect("a cursor");
    let mut frames = Vec::new();
    while let Some(step) = cursor.next().expect("readable") {
        let Step::Frame(frame) = step else { panic!("{step:?}") };
        let start = usize::try_from(frame.position()).expect("small");
        let end = start + FRAME_HEADER_BYTES + frame.header().stored_len as usize;
        let first = frame.header().first_seq.0;
        frames.push((frame.segment().0, start..end, first..first + u64::from(frame.record_count())));
    }
    frames
}

/// Damage whose end is known is told frame by frame: as one gap.
fn merged(got: Vec<Got>) -> Vec<Got> {
    let mut merged: Vec<Got> = Vec::new();
    for one in got {
        match (merged.last_mut(), one) {
            (Some(Got::Gap(_, end, _)), Got::Gap(from, to, _)) if *end == from => *end = to,
            (_, one) => merged.push(one),
        }
    }
    merged
}

#[test]
fn a_sector_that_cannot_be_read_costs_the_frames_in_it_and_no_others() {
    let disk = stopped();
    let (whole, frames) = (read(&disk), frames(&disk));
    for id in 1..=3 {
        let used = disk.files()[&segment(id)].iter().rposition(|&b| b != 0).expect("not empty") + 1;
        for at in (0..used).step_by(SECTOR) {
            let what = format!("segment {id}, byte {at}");
            let disk = disk.fork();
            disk.spoil(&segment(id), at);
            let struck = |(segment, bytes, _): &&(u64, Range<usize>, Range<u64>)| {
                *segment == id && (at < SEGMENT_HEADER_BYTES || bytes.start < at + SECTOR && at < bytes.end)
            };
            let lost: Vec<u64> = frames.iter().filter(struck).flat_map(|(_, _, seqs)| seqs.clone()).collect();
            let mut expected: Vec<Got> = Vec::new();
            for got in &whole {
                let Got::Record(seq, _) = got else { panic!("{got:?}") };
                match expected.last_mut() {
                    _ if !lost.contains(seq) => expected.push(got.clone()),
                    Some(Got::Gap(_, to, _)) => *to = seq + 1,
                    _ => expected.push(Got::Gap(*seq, seq + 1, GapReason::Damage)),
                }
            }
            assert_eq!(merged(read(&disk)), expected, "{what}");

            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let report = verify_on(&shared, dir(), false, &mut |_| {}).expect("a report");
            assert_eq!(report.records_lost(), lost.len() as u64, "{what}: {report:?}");
            assert!(!report.is_clean(), "{what}");
            let named = report.damage().all(|(_, damage)| {
                let sector = at as u64..(at + SECTOR) as u64;
                damage.file == segment(id)
                    && damage.bytes.start < sector.end
                    && sector.start < damage.bytes.end
            });
            assert!(named, "{what}: {report:?}");
            let stats = stats_on(shared, dir()).expect("statistics");
            assert_eq!(stats.lanes[0].next_seq, whole.len() as u64, "{what}");
        }
    }
}

#[test]
fn a_watermark_that_cannot_be_read_is_proven_by_the_frames_and_made_anew_at_the_next_start() {
    let whole = stopped();
    let expected = read(&whole);
    let path = layout::watermark_path(&layout::lane_dir(dir(), LANE));
    for spoilt in [&[0][..], &[4096], &[0, 4096]] {
        let disk = whole.fork();
        spoilt.iter().for_each(|&at| disk.spoil(&path, at));
        assert_eq!(read(&disk), expected, "{spoilt:?}");
        let mut rig = Rig::open(&disk, dir(), Backend::Pwrite).expect("it starts all the same");
        assert_eq!(rig.recovered.damage, [], "{spoilt:?}");
        assert!(rig.store(&["behind"]));
        assert_eq!(read(&disk).len(), expected.len() + 1, "{spoilt:?}");
        let copies = disk.open(&path).expect("there").read_exact_at(&mut [0; 8192], 0);
        assert!(copies.is_ok(), "{spoilt:?}: written over");
    }
}

/// The rest of its page is nothing, but cannot be written around.
#[test]
fn a_watermark_whose_page_is_bad_behind_it_still_proves_what_it_names() {
    let whole = stopped();
    let mut rig = Rig::open(&whole, dir(), Backend::Pwrite).expect("a healthy disk");
    assert!(rig.store(&["proven by the watermark alone"]));
    whole.reboot(Crash::Kill);
    let expected = read(&whole).len();
    let path = layout::watermark_path(&layout::lane_dir(dir(), LANE));
    let newest = rig.recovered.segments as u64 + 1;
    for spoilt in [&[SECTOR][..], &[4096 + SECTOR], &[SECTOR, 4096 + SECTOR]] {
        let disk = whole.fork();
        spoilt.iter().for_each(|&at| disk.spoil(&path, at));
        disk.flip(&segment(newest), SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES, 1);
        for _ in 0..2 {
            let rig = Rig::open(&disk, dir(), Backend::Pwrite).expect("it starts all the same");
            assert_eq!(rig.recovered.damage.len(), 1, "{spoilt:?}: {:?}", rig.recovered);
            assert_eq!(rig.recovered.cut, None, "{spoilt:?}");
            assert_eq!(rig.recovered.next_seq, Seq(expected as u64), "{spoilt:?}");
            disk.reboot(Crash::Kill);
        }
        let copies = disk.open(&path).expect("there").read_exact_at(&mut [0; 8192], 0);
        assert!(copies.is_ok(), "{spoilt:?}: written over");
    }
}

#[test]
fn sectors_that_cannot_be_read_show_in_the_servers_counters() {
    let disk = stopped();
    let lost = frames(&disk).iter().find(|(id, ..)| *id == 2).expect("frames").clone();
    disk.spoil(&segment(2), lost.1.start);
    let config = LogConfig { clock: Arc::new(|| NOW_MS), lanes: 1, ..LogConfig::new(dir()) };
    let (log, _) = Log::open_on(Arc::new(disk), config, false).expect("a log");
    let deadline = Instant::now() + Duration::from_secs(60);
    while log.stats().lanes[0].damaged_ranges == 0 {
        assert!(Instant::now() < deadline, "never found");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(log.stats().lanes[0].damaged_events >= lost.2.end - lost.2.start);
}

/// The first window is read whole before anything is cut; the frames behind it are looked for where there is
/// nothing any more.
#[test]
fn a_file_that_somebody_cuts_under_a_reader_is_a_gap() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let mut lane = LaneWriter::new(dir, LANE);
    for n in 0..30 {
        let event = format!("{n}{}", " ".repeat(30_000));
        lane.frame(1, "t", &[(&event, None)]);
        lane.commit();
    }
    lane.roll();
    lane.frame(1, "t", &[("last", None)]);
    lane.commit();
    let mut cursor =
        Store::open(dir).expect("a store").cursor(LANE, Seq(0), Filter::all()).expect("a cursor");
    for n in 0..4 {
        let step = cursor.next().expect("readable");
        assert!(matches!(step, Some(Step::Frame(_))), "{n}: {step:?}");
    }
    let cut = 600_000;
    RealDisk.open(&lane.segment_path(1)).expect("a segment").set_len(cut).expect("cut");
    assert_eq!(fs::metadata(lane.segment_path(1)).expect("a segment").len(), cut);
    let got = drain(&mut cursor);
    let there = lane.written.iter().filter(|w| w.segment == 1 && w.frame.end as u64 <= cut).count() as u64;
    let mut expected = records(&lane.written[4..usize::try_from(there).expect("few")]);
    expected.push(Got::Gap(there, 30, GapReason::Damage));
    expected.extend(records(&lane.written[30..]));
    // By the numbers that records start with.
    let short = |got: Vec<Got>| -> Vec<Got> {
        let one = |got| match got {
            Got::Record(seq, json) => Got::Record(seq, json.trim_ascii_end().to_vec()),
            gap => gap,
        };
        got.into_iter().map(one).collect()
    };
    assert_eq!(short(merged(got)), short(expected));
}
