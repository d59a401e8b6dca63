//! Whole requests through the scanner, every way it can go, and its twin; and what simd-json takes for JSON.

use std::cell::RefCell;

use bytes::Bytes;
use forebay_scan::{Dialect, Level, Limits, Request, ScanError, Scanner, Verdict, plain};

/// Small enough that the fuzzer reaches each.
const LIMITS: Limits =
    Limits { body_bytes_max: 64 << 10, depth_max: 128, event_bytes_max: 2 << 10, events_max: 40 };
/// A minute in November 2026.
const NOW_MS: u64 = 1_795_312_800_000;

const DIALECTS: [Dialect; 5] = [
    Dialect::Track,
    Dialect::Engage,
    Dialect::Groups,
    Dialect::Import { strict: false },
    Dialect::Import { strict: true },
];
const TYPES: [Option<&[u8]>; 5] = [
    None,
    Some(b"application/json"),
    Some(b"application/x-www-form-urlencoded"),
    Some(b"application/x-ndjson"),
    Some(b"text/plain;charset=UTF-8"),
];
const ENCODINGS: [Option<&[u8]>; 4] = [None, Some(b"gzip"), Some(b"identity"), Some(b"br")];

thread_local! {
    /// One for each way of scanning, the same for all requests, as in the server: what one leaves behind must not show in
    /// the next.
    static SCANNERS: RefCell<Vec<Scanner>> =
        RefCell::new(Level::all().map(|level| Scanner::with_level(LIMITS, level)).collect());
}

/// Any request: a byte that picks dialect and headers, the query's length, the query, the body.
pub fn any(data: &[u8]) {
    let [pick, query_len, rest @ ..] = data else { return };
    let pick = usize::from(*pick);
    let (query, body) = rest.split_at(usize::from(*query_len).min(rest.len()));
    check(&Request {
        query,
        content_type: TYPES[pick / 5 % 5],
        content_encoding: ENCODINGS[pick / 25 % 4],
        body: Bytes::copy_from_slice(body),
        now_ms: NOW_MS,
        ..Request::new(DIALECTS[pick % 5])
    });
}

/// A form as the body, and the same bytes as a form's data in base64.
pub fn form(form: &[u8]) {
    let content_type = Some(&b"application/x-www-form-urlencoded"[..]);
    let wrapped = [b"verbose=1&data=", base64(form).as_bytes()].concat();
    for body in [form.to_vec(), wrapped] {
        check(&Request { content_type, body: body.into(), now_ms: NOW_MS, ..Request::new(Dialect::Track) });
    }
}

/// Lines of JSON, with and without being said to be lines.
pub fn lines(lines: &[u8]) {
    for dialect in [Dialect::Track, Dialect::Import { strict: true }] {
        for content_type in [None, Some(&b"application/x-ndjson"[..])] {
            let body = Bytes::copy_from_slice(lines);
            check(&Request { content_type, body, now_ms: NOW_MS, ..Request::new(dialect) });
        }
    }
}

fn check(request: &Request<'_>) {
    let twin = plain::scan(LIMITS, request);
    SCANNERS.with_borrow_mut(|scanners| {
        for scanner in scanners {
            check_by(scanner, request, &twin);
        }
    });
}

fn check_by(
    scanner: &mut Scanner,
    request: &Request<'_>,
    twin: &(plain::Params, Result<plain::Scanned, ScanError>),
) {
    let scanned = scanner.scan(request.clone());
    if let Err(difference) = plain::compare(&scanned, twin, LIMITS) {
        panic!("{difference}\nof {request:?}");
    }
    if let Err(failure) = &scanned
        && let ScanError::Malformed { .. } = failure.error
        && matches!(request.body.first(), Some(b'{' | b'['))
    {
        let json = simd_json::to_tape(&mut request.body.to_vec()).is_ok();
        assert!(!json, "simd-json takes it, the scanner does not: {:?} of {request:?}", failure.error);
    }
    let Ok(scanned) = scanned else { return };
    for record in scanned.records {
        let json = scanned.json(record);
        if record.verdict != Verdict::Keep {
            continue;
        }
        assert!(json.starts_with(b"{") && json.ends_with(b"}"), "a kept record is an object");
        assert!(std::str::from_utf8(json).is_ok(), "what is stored is UTF-8");
        let needs_token = !matches!(request.dialect, Dialect::Import { .. });
        assert!(!needs_token || !scanned.token(record).is_empty(), "a kept record has a token");
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &b| bits << 8 | u32::from(b)) << (8 * (3 - group.len()));
        for letter in 0..=group.len() {
            out.push(char::from(LETTERS[(bits >> (18 - 6 * letter) & 63) as usize]));
        }
    }
    out
}
