//! What a request pays for being understood: each payload form and each way of scanning that this CPU has, for 1 to 2000
//! events, beside simd-json and serde_json on the same JSON.
//!
//! The row `simd-json` is its tape, filled from a copy as it must be, and the five fields found in it; it keeps no
//! spans. The rows `serde_json` only parse. All are given the raw JSON, whatever form the scanner has to unwrap first.
//!
//! First, before criterion's rows, comes what counts on a machine that is not quiet: every way in turn, round by round, by
//! the thread's CPU time, and the median of the ratios within a round. `--only-in-turn` stops there: a few seconds instead
//! of some minutes, by `cargo bench -p forebay-benches --bench scan -- --only-in-turn`.

#![expect(clippy::print_stdout, reason = "what it found")]

mod turns;

use std::{hint::black_box, io::Write};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use flate2::{Compression, write::GzEncoder};
use forebay_benches::events::batch;
use forebay_scan::{Dialect, Level, Limits, Request, Scanner};
use simd_json::{Buffers, INPUT_PADDING, Node, StaticNode, Tape};
use turns::{cpu_ns, median};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const COUNTS: [usize; 3] = [1, 50, 2000];
const NOW_MS: u64 = 1_760_000_000_000;
const SEED: u64 = 7;
/// Asks for the comparison in turn and no more.
const ONLY_IN_TURN: &str = "--only-in-turn";
/// Rounds of the comparison in turn.
const ROUNDS: usize = 41;
/// How much text each way reads in a round.
const ROUND_BYTES: usize = 1 << 20;

fn percent(text: &str) -> String {
    let each = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// A character above U+FFFF as browsers write it before base64.
fn cesu8(text: &str) -> Vec<u8> {
    let pieces: Vec<_> = text.split("said ").map(str::as_bytes).collect();
    pieces.join(&b"\xed\xa0\xbd\xed\xb8\x80 "[..])
}

/// The same events in every form that a sender may choose.
fn forms(json: &str) -> Vec<(&'static str, Dialect, &'static str, Vec<u8>)> {
    let base64 = base64_simd::STANDARD.encode_to_string(json);
    let form = |value: &str| format!("data={value}&verbose=1").into_bytes();
    let lines = json.trim_matches(['[', ']']).replace("}},{\"event\"", "}}\n{\"event\"").into_bytes();
    let strict = Dialect::Import { strict: true };
    let track = Dialect::Track;
    vec![
        ("raw", track, "", json.as_bytes().to_vec()),
        ("raw strict import", strict, "", json.as_bytes().to_vec()),
        ("lines", track, "application/x-ndjson", lines),
        ("form json escaped", track, "", form(&percent(json))),
        ("form base64", track, "", form(&base64)),
        ("form base64 escaped", track, "", form(&percent(&base64))),
        ("gzip", track, "", gzip(json)),
        ("not utf-8 (cesu-8)", track, "", cesu8(json)),
        ("half a surrogate pair", track, "", json.replacen("said ", "\\ud83d ", 1).into_bytes()),
    ]
}

/// simd-json with what it keeps from one parse to the next.
struct SimdJson {
    buffers: Buffers,
    kept: Tape<'static>,
    copy: Vec<u8>,
}

impl SimdJson {
    fn new() -> SimdJson {
        SimdJson { buffers: Buffers::with_max_depth(0, 128), kept: Tape(Vec::new()), copy: Vec::new() }
    }

    /// The tape of a copy, and how many of the five fields are in it.
    fn read(&mut self, json: &str) -> usize {
        self.copy.clear();
        self.copy.extend_from_slice(json.as_bytes());
        self.copy.extend_from_slice(&[b' '; INPUT_PADDING]);
        let mut tape = std::mem::replace(&mut self.kept, Tape(Vec::new())).reset();
        simd_json::fill_tape_padded(&mut self.copy, json.len(), &mut self.buffers, &mut tape).expect("valid");
        let found = fields(&tape.0);
        self.kept = tape.reset();
        found
    }
}

/// How many nodes a value takes.
fn nodes(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        Node::String(_) | Node::Static(_) => 1,
    }
}

/// The values of an object's keys, one after the other.
fn members<'t, 'v>(tape: &'t [Node<'v>]) -> impl Iterator<Item = (&'v str, &'t [Node<'v>])> {
    let len = if let Some(Node::Object { len, .. }) = tape.first() { *len } else { 0 };
    let mut at = 1;
    (0..len).filter_map(move |_| {
        let Node::String(key) = tape[at] else { return None };
        let value = &tape[at + 1..];
        at += 1 + nodes(&value[0]);
        Some((key, value))
    })
}

/// How many events have how many of `event`, `token`, `time`, `distinct_id` and `$insert_id`.
fn fields(tape: &[Node<'_>]) -> usize {
    let mut at = usize::from(matches!(tape.first(), Some(Node::Array { .. })));
    let mut found = 0;
    while at < tape.len() {
        for (key, value) in members(&tape[at..]) {
            match (key, &value[0]) {
                ("event", Node::String(_)) => found += 1,
                ("properties", Node::Object { .. }) => {
                    found += members(value)
                        .filter(|(key, value)| match *key {
                            "token" | "distinct_id" | "$insert_id" => matches!(value[0], Node::String(_)),
                            "time" => {
                                matches!(value[0], Node::Static(StaticNode::F64(_) | StaticNode::U64(_)))
                            }
                            _ => false,
                        })
                        .count();
                }
                _ => {}
            }
        }
        at += nodes(&tape[at]);
    }
    found
}

/// Events as other teams send them: few properties, lists in lists, text for people to read, text beyond ASCII. Both one by
/// one and fifty at once.
fn shapes() -> Vec<(String, usize, String)> {
    let common = |i: usize| {
        format!(
            r#""token":"{TOKEN}","time":17600000{:02},"distinct_id":"user-{i}","$insert_id":"{i:016x}""#,
            i % 90
        )
    };
    let short = |i: usize| {
        format!(r#"{{"event":"Tap","properties":{{{},"$os":"iOS","screen":"home","n":{i}}}}}"#, common(i))
    };
    let nested = |i: usize| {
        let item = |k: usize| {
            format!(
                r#"{{"sku":"A-{k}{i}","price":{}.{:02},"tags":["a","b{k}",[{k},{i},-1.5e3,true]],"size":{{"w":{k},"h":null}}}}"#,
                k * 7,
                i % 100
            )
        };
        let items: Vec<_> = (0..30).map(item).collect();
        format!(r#"{{"event":"Order","properties":{{{},"items":[{}]}}}}"#, common(i), items.join(","))
    };
    let pretty = |i: usize| {
        let event = batch(TOKEN, 1, SEED + i as u64);
        let value: serde_json::Value = serde_json::from_str(&event).expect("valid");
        serde_json::to_string_pretty(&value).expect("a value is text")
    };
    let beyond_ascii = |i: usize| {
        let own = r#""都市":"東京都千代田区丸の内","メモ":"これは長い日本語の説明文です。改行もあります","город":"Санкт-Петербург","подробности":"Очень длинное описание события""#;
        format!(r#"{{"event":"購入完了","properties":{{{},{own}}}}}"#, common(i))
    };
    let shapes: [(&str, &dyn Fn(usize) -> String); 4] =
        [("short", &short), ("nested", &nested), ("pretty", &pretty), ("beyond ASCII", &beyond_ascii)];
    let several = |event: &dyn Fn(usize) -> String| {
        let events: Vec<_> = (0..50).map(event).collect();
        format!("[{}]", events.join(","))
    };
    let shapes = shapes
        .into_iter()
        .flat_map(|(name, event)| [(name.to_owned(), 1, event(0)), (name.to_owned(), 50, several(event))]);
    shapes.collect()
}

/// Every way in turn on the same bytes, and what each costs against simd-json.
fn in_turn() {
    let ours = COUNTS.map(|count| ("SDK".to_owned(), count, batch(TOKEN, count, SEED)));
    for (shape, count, json) in ours.into_iter().chain(shapes()) {
        let body = Bytes::from(json.clone().into_bytes());
        let mut simd_json = SimdJson::new();
        assert_eq!(simd_json.read(&json), 5 * count);
        let mut ways: Vec<_> = Level::all()
            .map(|level| {
                (format!("forebay, {level}"), Scanner::with_level(Limits::default(), level), Dialect::Track)
            })
            .collect();
        let strict = Dialect::Import { strict: true };
        ways.push(("forebay, strict import".to_owned(), Scanner::new(Limits::default()), strict));
        let times = ROUND_BYTES.div_ceil(json.len());
        let events = (times * count) as f64;
        let mut costs = vec![Vec::new(); ways.len() + 1];
        for _ in 0..ROUNDS {
            let begun = cpu_ns();
            for _ in 0..times {
                black_box(simd_json.read(&json));
            }
            costs[0].push((cpu_ns() - begun) / events);
            for ((_, scanner, dialect), costs) in ways.iter_mut().zip(&mut costs[1..]) {
                // A server hands its body over.
                let bodies = vec![body.clone(); times];
                let begun = cpu_ns();
                for body in bodies {
                    let request = Request { body, now_ms: NOW_MS, ..Request::new(*dialect) };
                    let scanned = scanner.scan(request).expect("valid");
                    assert_eq!(scanned.records.len(), count);
                }
                costs.push((cpu_ns() - begun) / events);
            }
        }
        println!("{shape}, {count} events a request, {} bytes each, CPU-ns an event:", json.len() / count);
        println!("  {:24} {:6.0}", "simd-json, 5 fields", median(costs[0].clone()));
        for ((name, ..), each) in ways.iter().zip(&costs[1..]) {
            let ratios = costs[0].iter().zip(each).map(|(theirs, ours)| theirs / ours).collect();
            println!("  {name:24} {:6.0}  {:.2} x simd-json", median(each.clone()), median(ratios));
        }
    }
}

fn scan(c: &mut Criterion) {
    for count in COUNTS {
        let json = batch(TOKEN, count, SEED);
        let mut group = c.benchmark_group(format!("scan/{count}"));
        group.throughput(Throughput::Bytes(json.len() as u64));
        let mut scanner = Scanner::new(Limits::default());
        for (name, dialect, content_type, body) in forms(&json) {
            let request = Request {
                content_type: Some(content_type.as_bytes()),
                body: Bytes::from(body),
                now_ms: NOW_MS,
                ..Request::new(dialect)
            };
            group.bench_function(BenchmarkId::new("forebay", name), |b| {
                b.iter(|| {
                    let scanned = scanner.scan(request.clone()).expect("valid");
                    assert_eq!(scanned.records.len(), count);
                    black_box(scanned.counts.kept)
                });
            });
        }
        group.bench_function("simd-json, 5 fields", |b| {
            let mut simd_json = SimdJson::new();
            b.iter(|| black_box(simd_json.read(&json)));
        });
        group.bench_function("serde_json value", |b| {
            b.iter(|| serde_json::from_str::<serde_json::Value>(black_box(&json)).expect("valid"));
        });
        group.bench_function("serde_json skipped", |b| {
            b.iter(|| serde_json::from_str::<serde::de::IgnoredAny>(black_box(&json)).expect("valid"));
        });
    }
}

criterion_group!(benches, scan);

fn main() {
    in_turn();
    if !std::env::args().any(|arg| arg == ONLY_IN_TURN) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
