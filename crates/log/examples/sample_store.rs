//! Writes a small data directory in which everything that the log's format knows occurs, packed for checking in.
//!
//! ```text
//! cargo run -p forebay-log --example sample_store -- DIR
//! ```
//! `crates/log/tests/stores/v1` was made by it, with the code of format version 1, and is never made again: it
//! stands for the stores that are out there. A later version of the format gets a folder of its own beside it.
//!
//! What is in it: two lanes and the unclaimed one; segments that were sealed, one that a repair wrote anew with a
//! loss in it, and two that were being written when the server was killed; indexes and watermarks; a group of
//! several frames; records of every endpoint, a replay, a lookup table, a heartbeat.

#[path = "../tests/common/packed.rs"]
mod packed;

use bytes::Bytes;
use forebay_log::{Append, Log, LogConfig, RepairChoice, Retention, Submitter, layout, repair};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId, SegmentId, Span};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

const START_MS: u64 = 1_700_000_000_000;
const NEVER: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Box<dyn Error>> {
    let to = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: sample_store DIR")?);
    if to.exists() {
        return Err(
            format!("{} is there already: a checked-in store is never made again", to.display()).into()
        );
    }
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    let clock = Arc::new(AtomicU64::new(START_MS));

    first_run(dir, &clock)?;
    second_run(dir, &clock)?;
    // One frame of the second run is lost, and that is accepted.
    let path = layout::segment_path(&layout::lane_dir(dir, LaneId(0)), SegmentId(2));
    let mut bytes = fs::read(&path)?;
    let lost = bytes.windows(4).position(|w| w == b"lost").ok_or("nothing to lose")?;
    bytes[lost] ^= 1;
    fs::write(&path, bytes)?;
    repair(dir, RepairChoice::AcceptLoss)?;
    let image = third_run(dir, &clock)?;
    Ok(packed::pack(&image, &to)?)
}

fn config(dir: &Path, clock: &Arc<AtomicU64>) -> LogConfig {
    let clock = Arc::clone(clock);
    LogConfig {
        lanes: 2,
        segment_bytes_min: 64 << 10,
        segment_bytes_max: 64 << 10,
        heartbeat: NEVER,
        retention: Retention::default(),
        unclaimed: Retention::default(),
        clock: Arc::new(move || clock.fetch_add(1000, Ordering::Relaxed)),
        ..LogConfig::new(dir)
    }
}

/// Every endpoint and kind, each lane.
fn first_run(dir: &Path, clock: &Arc<AtomicU64>) -> Result<(), Box<dyn Error>> {
    // A slow flush: what is handed over meanwhile becomes one group.
    let slow = LogConfig { flush_delay: Duration::from_millis(300), ..config(dir, clock) };
    let (log, _) = Log::open(slow)?;
    let hands = log.submitter();
    let v4 = Some([203, 0, 113, 9].into());
    let v6 = Some("2001:db8::9".parse()?);
    let escaped = r#"{"event":"gr\u00fc\u00dfe \"1\"","properties":{"token":"tok-7","time":1699999000,"distinct_id":"u-1","$insert_id":"i-1"}}"#;
    let first = of(FrameKind::Records, Endpoint::Track, Some(7), &[&event("sign up", 0), escaped]);
    submit(&hands, 0, Append { client_ip: v4, ..first })?;
    let replay = of(FrameKind::Replay, Endpoint::Record, Some(8), &["\u{1}\u{2} not JSON \u{7f}"]);
    submit(
        &hands,
        1,
        Append { meta: Bytes::from_static(b"distinct_id=u-2&seq=0"), client_ip: v6, ..replay },
    )?;
    submit(&hands, u16::MAX, of(FrameKind::Records, Endpoint::Track, None, &[&event("stray", 3), "{}"]))?;
    // Time for the first flush to begin: the rest becomes the second group.
    thread::sleep(Duration::from_millis(100));
    submit(
        &hands,
        0,
        of(
            FrameKind::Records,
            Endpoint::Engage,
            Some(7),
            &[r#"{"$distinct_id":"u-1","$set":{"name":"Jo \ud83d"}}"#],
        ),
    )?;
    submit(
        &hands,
        0,
        of(
            FrameKind::Records,
            Endpoint::Groups,
            Some(9),
            &[r#"{"$group_key":"firm","$group_id":"f-1","$set":{}}"#],
        ),
    )?;
    submit(
        &hands,
        1,
        of(FrameKind::Records, Endpoint::Import, Some(8), &[&event("a", 1), &event("b", 2), &event("c", 4)]),
    )?;
    submit(
        &hands,
        1,
        of(
            FrameKind::Lookup,
            Endpoint::LookupTables,
            Some(8),
            &[r#"{"table":"t-1","hash":"00ff","rows":2}"#],
        ),
    )?;
    drop(hands);
    Ok(log.close()?)
}

/// More of it; one frame will be lost.
fn second_run(dir: &Path, clock: &Arc<AtomicU64>) -> Result<(), Box<dyn Error>> {
    let (log, _) = Log::open(config(dir, clock))?;
    let hands = log.submitter();
    let long = format!(r#"{{"event":"long","properties":{{"token":"tok-7","pad":"{}"}}}}"#, "x".repeat(5000));
    for events in [
        vec![event("before", 5)],
        vec![event("lost", 6), event("lost too", 7)],
        vec![long, event("after", 8)],
    ] {
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        submit_one(&log, &hands, 0, of(FrameKind::Records, Endpoint::Track, Some(7), &events))?;
    }
    submit_one(&log, &hands, 1, of(FrameKind::Records, Endpoint::Import, Some(8), &[&event("d", 9)]))?;
    submit_one(
        &log,
        &hands,
        u16::MAX,
        of(FrameKind::Records, Endpoint::Track, None, &[&event("stray 2", 10)]),
    )?;
    drop(hands);
    Ok(log.close()?)
}

/// The last run, as a `kill -9` leaves it: lane 1 was idle and is proven by its heartbeat; the newest group of
/// lane 0 is proven by the watermark file only.
fn third_run(dir: &Path, clock: &Arc<AtomicU64>) -> Result<packed::Image, Box<dyn Error>> {
    let heartbeat = Duration::from_millis(400);
    let (log, _) = Log::open(LogConfig { heartbeat, ..config(dir, clock) })?;
    let hands = log.submitter();
    submit_one(&log, &hands, 0, of(FrameKind::Records, Endpoint::Track, Some(7), &[&event("again", 11)]))?;
    submit_one(
        &log,
        &hands,
        1,
        of(FrameKind::Records, Endpoint::Engage, Some(8), &[r#"{"$distinct_id":"u-2","$add":{"n":1}}"#]),
    )?;
    let stands = |lane: usize| log.stats().lanes[lane].durable_lsn;
    let before = [stands(0), stands(1)];
    while [stands(0), stands(1)].iter().zip(before).any(|(now, before)| *now == before) {
        thread::sleep(Duration::from_millis(5));
    }
    submit_one(
        &log,
        &hands,
        0,
        of(FrameKind::Records, Endpoint::Track, Some(9), &[&event("newest", 12), &event("end", 13)]),
    )?;
    // Well before the next heartbeat.
    let image = packed::read(dir)?;
    drop(hands);
    log.close()?;
    Ok(image)
}

fn submit(hands: &Submitter, lane: u16, append: Append) -> Result<(), Box<dyn Error>> {
    // Dropped: the append goes on.
    drop(hands.submit(LaneId(lane), append).map_err(|refused| refused.to_string())?);
    Ok(())
}

/// Hands over, and waits until it is durable: a group of its own.
fn submit_one(log: &Log, hands: &Submitter, lane: u16, append: Append) -> Result<(), Box<dyn Error>> {
    let stands = || log.stats().lanes.iter().find(|l| l.lane == LaneId(lane)).map(|l| l.durable_lsn);
    let before = stands();
    submit(hands, lane, append)?;
    while stands() == before {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn event(name: &str, n: u32) -> String {
    format!(
        r#"{{"event":"{name}","properties":{{"token":"tok-7","time":{},"distinct_id":"u-{n}"}}}}"#,
        1_699_999_000 + n
    )
}

fn of(kind: FrameKind, endpoint: Endpoint, project: Option<u64>, events: &[&str]) -> Append {
    let mut text = String::new();
    let mut entries = Vec::new();
    for event in events {
        let offset = u32::try_from(text.len()).expect("small");
        entries.push(entry(event, offset));
        text.push_str(event);
        text.push(','); // What stands between events is not stored.
    }
    Append {
        kind,
        endpoint,
        project: project.and_then(ProjectId::new),
        token: Bytes::from(project.map_or("stray-token".to_owned(), |id| format!("tok-{id}"))),
        meta: Bytes::new(),
        received_at_ms: START_MS + 500 * (1 + text.len() as u64 % 64),
        client_ip: None,
        text: Bytes::from(text),
        events: entries,
        outcome: None,
    }
}

fn entry(event: &str, offset: u32) -> DirectoryEntry {
    let span = |key: &str| {
        let start = event.find(key).map(|at| at + key.len())?;
        Some(Span::of(start..start + event[start..].find("\",").or(event[start..].find("\"}"))?))
    };
    let time =
        event.find("\"time\":").and_then(|at| event[at + 7..].split([',', '}']).next()?.parse::<i64>().ok());
    DirectoryEntry {
        offset,
        len: u32::try_from(event.len()).expect("small"),
        name: span("\"event\":\"").unwrap_or_default(),
        distinct_id: span("distinct_id\":\"").unwrap_or_default(),
        insert_id: span("$insert_id\":\"").unwrap_or_default(),
        time_ms: time.map(|seconds| seconds * 1000),
        escaped: event.contains('\\'),
        repaired: event.contains("\\ud83d"),
        use_ip: event.contains("sign up"),
    }
}
