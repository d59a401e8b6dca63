//! What a request pays for being understood: each payload form, 1 to 2000 events, beside simd-json's tape
//! and serde_json on the same JSON.
//!
//! The rows `simd-json` and `serde_json` only parse; they find no token and keep no original. They are
//! given the raw JSON, whatever form the scanner has to unwrap first.

use std::{hint::black_box, io::Write};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compression, write::GzEncoder};
use forebay_benches::events::batch;
use forebay_scan::{Dialect, Limits, Request, Scanner};
use simd_json::{Buffers, INPUT_PADDING, Tape};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const COUNTS: [usize; 3] = [1, 50, 2000];
const NOW_MS: u64 = 1_760_000_000_000;
const SEED: u64 = 7;

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
        group.bench_function("simd-json tape", |b| {
            let mut buffers = Buffers::with_max_depth(json.len(), 128);
            let mut kept: Tape<'static> = Tape(Vec::new());
            let mut copy = Vec::new();
            b.iter(|| {
                copy.clear();
                copy.extend_from_slice(json.as_bytes());
                copy.extend_from_slice(&[b' '; INPUT_PADDING]);
                let mut tape = std::mem::replace(&mut kept, Tape(Vec::new())).reset();
                simd_json::fill_tape_padded(&mut copy, json.len(), &mut buffers, &mut tape).expect("valid");
                black_box(tape.0.len());
                kept = tape.reset();
            });
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
criterion_main!(benches);
