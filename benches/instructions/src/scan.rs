//! What a request pays for being understood: its form undone, its events found and validated.

use crate::{Benchmark, Counter, events};
use bytes::Bytes;
use forebay_scan::{Dialect, Limits, Request, Scanner};
use std::hint::black_box;

pub(crate) const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "scan/json/1", unit: "event", run: |c, _| json(c, 1) },
    Benchmark { name: "scan/json/50", unit: "event", run: |c, _| json(c, 50) },
    Benchmark { name: "scan/json/2000", unit: "event", run: |c, _| json(c, 2000) },
    Benchmark { name: "scan/strict/50", unit: "event", run: |c, _| strict(c, 50) },
    Benchmark { name: "scan/base64/1", unit: "event", run: |c, _| base64(c, 1) },
    Benchmark { name: "scan/base64/50", unit: "event", run: |c, _| base64(c, 50) },
    Benchmark { name: "scan/base64/2000", unit: "event", run: |c, _| base64(c, 2000) },
    Benchmark { name: "scan/gzip/1", unit: "event", run: |c, _| gzip(c, 1) },
    Benchmark { name: "scan/gzip/50", unit: "event", run: |c, _| gzip(c, 50) },
    Benchmark { name: "scan/gzip/2000", unit: "event", run: |c, _| gzip(c, 2000) },
];

/// So many events are scanned in all, whatever the size of a request.
const EVENTS: u64 = 2000;

fn json(counter: &Counter, count: usize) {
    scan(counter, count, Dialect::Track, |json| json.as_bytes().to_vec());
}

fn strict(counter: &Counter, count: usize) {
    scan(counter, count, Dialect::Import { strict: true }, |json| json.as_bytes().to_vec());
}

fn base64(counter: &Counter, count: usize) {
    scan(counter, count, Dialect::Track, events::base64_form);
}

fn gzip(counter: &Counter, count: usize) {
    scan(counter, count, Dialect::Track, events::gzip);
}

fn scan(counter: &Counter, count: usize, dialect: Dialect, form: impl Fn(&str) -> Vec<u8>) {
    // Single events take turns, so that no shape counts for all.
    let bodies: Vec<Bytes> = match count {
        1 => events::all().take(50).map(|event| form(event).into()).collect(),
        _ => vec![form(&events::json(count)).into()],
    };
    let mut bodies = bodies.iter().cycle();
    let mut scanner = Scanner::new(Limits::default());
    counter.count(EVENTS / count as u64, count as u64, || {
        let body = bodies.next().expect("it cycles").clone();
        let request = Request { body, now_ms: events::NOW_MS, ..Request::new(dialect) };
        let scanned = scanner.scan(request).expect("valid");
        assert_eq!(scanned.counts.valid() as usize, count, "events that are kept");
        black_box(scanned.records);
    });
}
