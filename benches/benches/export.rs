//! What reading costs, part by part: bytes of raw log (events and their directory) per CPU-second of one thread.
//!
//! A store of a few hundred MiB is written through the log itself and read from the cache, its parts in turn, round by
//! round: the plain file with its checksums (what no reader can do without), the frames, their records, the lines of
//! the raw export, the same packed with gzip, and what a narrower question costs. `--store-gib` makes a large sparse
//! store around a few real events and asks for those: how soon the first byte comes.

#![expect(clippy::print_stdout, reason = "what it found")]

mod common;

use bytes::Bytes;
use clap::Parser;
use common::on_a_core;
use flate2::{Compression, write::GzEncoder};
use forebay_benches::events;
use forebay_export::{Condition, More, Query, Reader, Subject, days};
use forebay_log::{Append, Backend, Filter, Log, LogConfig, RouteKey, Step, Store, layout};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId, Seq, Span, crc32c};
use jiff::civil::Date;
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const LANE: LaneId = LaneId(0);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// When the events of the store are received.
const RECEIVED_AT_MS: u64 = 1_705_000_000_000;

/// What no event meets, and what is not clear from its first operand.
const NONE: &str =
    r#"properties["distinct_id"] == "nobody" or properties["$os"] == "none" or properties["none"] > 7"#;

#[derive(Parser)]
struct Options {
    /// MiB of log.
    #[arg(long, default_value_t = 256)]
    mib: usize,
    /// Rounds of each part.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// What is measured: events a request.
    #[arg(long, default_values_t = [1, 50, 2000])]
    events: Vec<usize>,
    /// GiB of the sparse store that a narrow question is asked of; 0 for none.
    #[arg(long, default_value_t = 20)]
    store_gib: u64,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let mut options = Options::parse();
    if !options.bench {
        // Run as a test: everything once, on little.
        (options.mib, options.rounds, options.store_gib) = (4, 1, options.store_gib.min(1));
    }
    for &events in &options.events {
        parts(&options, events);
    }
    if options.store_gib > 0 {
        for segment_mib in [128, 8] {
            first_byte(&options, options.store_gib << 30, segment_mib << 20);
        }
    }
}

/// A directory on the disk that is measured: that of cargo's target directory.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("making a directory")
}

fn config(dir: &Path) -> LogConfig {
    LogConfig { lanes: 1, backend: Backend::Pwrite, ..LogConfig::new(dir) }
}

fn u32_of(n: usize) -> u32 {
    u32::try_from(n).expect("a few MiB")
}

/// The span of a string member's value, or of a number's, as the scanner notes it.
fn span(event: &str, key: &str) -> Span {
    let Some(at) = event.find(key) else { return Span::NONE };
    let start = at + key.len();
    let quoted = event.as_bytes()[start] == b'"';
    let (from, ends): (usize, &[char]) = if quoted { (start + 1, &['"']) } else { (start, &[',', '}']) };
    Span::of(from..from + event[from..].find(ends).expect("it ends"))
}

/// What one request with these events brings, with the directory that the scanner would make.
/// Whole milliseconds: the events of the benchmarks carry seconds with three digits behind the point.
#[expect(clippy::cast_possible_truncation, reason = "times of this century have 41 bits in milliseconds")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn append(events: usize, project: u64, numbers: &mut events::Numbers) -> Append {
    let (mut text, mut entries) = (String::new(), Vec::new());
    for _ in 0..events {
        let offset = text.len();
        events::event(TOKEN, numbers, &mut text);
        let event = &text[offset..];
        let time = span(event, "\"time\":").get(event.as_bytes()).and_then(|t| str::from_utf8(t).ok());
        let seconds = time.and_then(|t| t.parse().ok());
        entries.push(DirectoryEntry {
            offset: u32_of(offset),
            len: u32_of(event.len()),
            name: span(event, "\"event\":"),
            distinct_id: span(event, "\"distinct_id\":"),
            insert_id: span(event, "\"$insert_id\":"),
            time_ms: seconds.map(millis),
            ..DirectoryEntry::default()
        });
    }
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: ProjectId::new(project),
        token: Bytes::from_static(TOKEN.as_bytes()),
        meta: Bytes::new(),
        received_at_ms: RECEIVED_AT_MS,
        client_ip: None,
        text: text.into(),
        events: entries,
        outcome: None,
    }
}

/// Fills a log with about `bytes`, nine requests of ten for the first project, and closes it.
fn fill(dir: &Path, bytes: usize, events: usize) {
    let (log, _) = Log::open(config(dir)).expect("opening");
    let mut numbers = events::Numbers::new(1);
    // Requests differ, but not each from each: making them is not what is measured.
    let appends: Vec<Append> =
        (0..20).map(|i| append(events, if i % 10 == 0 { 2 } else { 1 }, &mut numbers)).collect();
    on_a_core(&log, async |submitter| {
        let (mut written, mut next) = (0, appends.iter().cycle());
        while written < bytes {
            let mut pending = Vec::new();
            let mut group = 0;
            while group < 1 << 20 {
                let append = next.next().expect("it cycles");
                match submitter.submit(LANE, append.clone()) {
                    Ok(one) => pending.push(one),
                    Err(_) => break,
                }
                group += append.text.len();
            }
            if pending.is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            written += group;
            for one in pending {
                let _committed = one.await.expect("stored");
            }
        }
    });
    log.close().expect("closing");
}

fn subject(project: u64) -> Subject {
    Subject {
        project: ProjectId::new(project).expect("ids start at 1"),
        tokens: vec![TOKEN.as_bytes().into()],
        simplified_ids: false,
        received_since_ms: 0,
    }
}

fn query(from: &str, to: &str, events: Option<HashSet<String>>) -> Query {
    Query {
        days: days(Some(from), Some(to), Date::MAX).expect("days"),
        events,
        condition: None,
        limit: None,
        time_in_ms: false,
    }
}

fn reader(store: &Store, project: u64, query: Query) -> Reader {
    Reader::open(store, subject(project), query, Arc::new(|_| 7)).expect("a reader")
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("after the epoch")
}

/// Lines into a buffer that is used again; returns how many bytes of them.
fn export(mut reader: Reader) -> u64 {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    loop {
        let more = reader.fill(&mut lines, 64 << 10).expect("readable");
        bytes += lines.len() as u64;
        lines.clear();
        if more == More::No {
            return bytes;
        }
    }
}

fn export_gzip(mut reader: Reader) -> u64 {
    let mut lines = Vec::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut bytes = 0;
    loop {
        let more = reader.fill(&mut lines, 64 << 10).expect("readable");
        encoder.write_all(&lines).expect("memory takes it");
        bytes += lines.len() as u64;
        lines.clear();
        encoder.get_mut().clear();
        if more == More::No {
            return bytes;
        }
    }
}

fn frames(store: &Store, filter: Filter, records: bool) -> u64 {
    let mut cursor = store.cursor(LANE, Seq(0), filter).expect("a cursor");
    let mut bytes = 0;
    while let Some(step) = cursor.next().expect("readable") {
        if let Step::Frame(frame) = step {
            bytes += if records {
                frame.records().map(|record| record.json.len() as u64).sum::<u64>()
            } else {
                u64::from(frame.header().stored_len)
            };
        }
    }
    bytes
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let lane = layout::lane_dir(dir, LANE);
    let ids = layout::segments(&lane).expect("a lane");
    ids.into_iter().map(|id| layout::segment_path(&lane, id)).collect()
}

/// Reading the files and summing them up, and nothing else.
fn plain(paths: &[PathBuf], sum: bool) -> u64 {
    let (mut buffer, mut all, mut crc) = (vec![0; 256 << 10], 0, 0);
    for path in paths {
        let file = File::open(path).expect("a segment");
        let mut at = 0;
        loop {
            let read = file.read_at(&mut buffer, at).expect("readable");
            if read == 0 {
                break;
            }
            if sum {
                crc = crc32c(crc, &buffer[..read]);
            }
            at += read as u64;
        }
        all += at;
    }
    std::hint::black_box((&buffer, crc));
    all
}

/// Every part once a round; prints the median rate of each.
fn parts(options: &Options, events: usize) {
    let dir = directory();
    fill(dir.path(), options.mib << 20, events);
    let store = Store::open(dir.path()).expect("opening");
    let paths = segments(dir.path());
    let raw: u64 = paths.iter().map(|p| fs::metadata(p).expect("a segment").len()).sum();
    let all = || query("0000-01-01", "9999-12-31", None);
    let one =
        |id| Filter { routes: ProjectId::new(id).map(|id| vec![RouteKey::Project(id)]), ..Filter::default() };
    let named = || query("0000-01-01", "9999-12-31", Some(["Search".to_owned()].into()));
    let meets = |text| Query { condition: Some(Condition::parse(text).expect("a condition")), ..all() };
    type Part<'a> = (&'static str, Box<dyn Fn() -> u64 + 'a>);
    let list: Vec<Part<'_>> = vec![
        ("reading the files", Box::new(|| plain(&paths, false))),
        ("reading and summing up the files", Box::new(|| plain(&paths, true))),
        ("frames", Box::new(|| frames(&store, Filter::all(), false))),
        ("frames of the large project, by the index", Box::new(|| frames(&store, one(1), false))),
        ("records of the large project", Box::new(|| frames(&store, one(1), true))),
        ("lines of the large project", Box::new(|| export(reader(&store, 1, all())))),
        ("lines of one event name", Box::new(|| export(reader(&store, 1, named())))),
        (
            "lines where all meet a condition",
            Box::new(|| export(reader(&store, 1, meets("defined(properties[\"time\"])")))),
        ),
        (
            "lines where none meets one on three properties",
            Box::new(|| export(reader(&store, 1, meets(NONE)))),
        ),
        ("lines of the small project", Box::new(|| export(reader(&store, 2, all())))),
        ("lines of the large project, gzip", Box::new(|| export_gzip(reader(&store, 1, all())))),
    ];
    let mut times = vec![Vec::new(); list.len()];
    let mut read = vec![0; list.len()];
    for _ in 0..options.rounds {
        for (i, (_, part)) in list.iter().enumerate() {
            let started = cpu();
            read[i] = part();
            times[i].push(cpu() - started);
        }
    }
    println!("\n{events} events a request, {} MiB of log in {} segments:", raw >> 20, paths.len());
    for ((name, _), (times, read)) in list.iter().zip(times.iter_mut().zip(read)) {
        times.sort_unstable();
        let middle = times[times.len() / 2].as_secs_f64();
        let rate = |bytes: u64| bytes as f64 / middle / 1e9;
        println!(
            "  {name:42} {:6.2} GB of the log a CPU-second, {:6.2} GB of its own output",
            rate(raw),
            rate(read)
        );
    }
}

/// Throws a file out of the cache.
fn forget(path: &Path) {
    if let Ok(file) = File::open(path) {
        file.sync_all().expect("flushed");
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
}

const DAY_MS: u64 = 24 * 3600 * 1000;

/// A large store, each segment with some requests of a day of its own: one day in its middle is asked for.
fn first_byte(options: &Options, bytes: u64, segment: u64) {
    const REQUESTS: usize = 40;
    let dir = directory();
    let small = LogConfig { segment_bytes_min: 64 << 10, segment_bytes_max: 64 << 10, ..config(dir.path()) };
    let (log, _) = Log::open(small).expect("opening");
    let count = bytes / segment;
    let mut numbers = events::Numbers::new(1);
    let requests: Vec<Append> = (0..REQUESTS).map(|_| append(1, 1, &mut numbers)).collect();
    let day = |nth: u64| RECEIVED_AT_MS + nth * DAY_MS;
    on_a_core(&log, async |submitter| {
        // One group of requests fills a segment, so that the next one rolls.
        for nth in 0..count {
            let at = |append: &Append| {
                let mut one = append.clone();
                one.received_at_ms = day(nth);
                one.events[0].time_ms = i64::try_from(day(nth)).ok();
                one
            };
            let mut pending = Vec::new();
            for request in &requests {
                loop {
                    match submitter.submit(LANE, at(request)) {
                        Ok(one) => break pending.push(one),
                        Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                }
            }
            for one in pending {
                let _committed = one.await.expect("stored");
            }
        }
    });
    log.close().expect("closing");
    let store = Store::open(dir.path()).expect("opening");
    let lane = layout::lane_dir(dir.path(), LANE);
    let ids = layout::segments(&lane).expect("a lane");
    for path in segments(dir.path()) {
        let file = File::options().write(true).open(&path).expect("a segment");
        file.set_len(segment).expect("extended");
    }
    let date = |ms: u64| {
        let at = jiff::Timestamp::from_millisecond(ms as i64).expect("in range");
        at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
    };
    println!("\n{} GiB in {} segments, warm and cold:", bytes >> 30, ids.len());
    for (name, from, to) in [
        ("everything", "0000-01-01".to_owned(), "9999-12-31".to_owned()),
        ("one day in the middle", date(day(count / 2)), date(day(count / 2))),
        ("the last day", date(day(count - 1)), date(day(count - 1))),
        ("a day before the first", "2000-01-01".to_owned(), "2000-01-01".to_owned()),
    ] {
        for cold in [false, true] {
            let (mut first, mut last, mut cpus, mut events) = (Vec::new(), Vec::new(), Vec::new(), 0);
            for _ in 0..options.rounds {
                for id in ids.iter().filter(|_| cold) {
                    forget(&layout::segment_path(&lane, *id));
                    forget(&layout::index_path(&lane, *id));
                }
                let (started, on_cpu) = (Instant::now(), cpu());
                let mut reader = reader(&store, 1, query(&from, &to, None));
                let mut lines = Vec::new();
                let mut seen = None;
                loop {
                    let more = reader.fill(&mut lines, 64 << 10).expect("readable");
                    if seen.is_none() && !(lines.is_empty() && more == More::Yes) {
                        seen = Some((started.elapsed(), cpu() - on_cpu));
                    }
                    lines.clear();
                    if more == More::No {
                        break;
                    }
                }
                let (wall, on_cpu) = seen.expect("it ends");
                first.push(wall);
                cpus.push(on_cpu);
                last.push(started.elapsed());
                events = reader.events();
            }
            for times in [&mut first, &mut last, &mut cpus] {
                times.sort_unstable();
            }
            println!(
                "  {name:24} {}: first line after {:?} (worst {:?}), of it CPU {:?}; the end after {:?}; {events} events",
                if cold { "cold" } else { "warm" },
                first[first.len() / 2],
                first[first.len() - 1],
                cpus[cpus.len() / 2],
                last[last.len() / 2],
            );
        }
    }
}
