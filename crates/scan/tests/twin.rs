//! Whatever the bytes, the scanner says what its plain twin says, and never panics; and however a payload
//! is wrapped, it holds the same records.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use forebay_scan::{Dialect, Level, Limits, Request, Scanner, plain};
use proptest::prelude::*;
use std::{cell::RefCell, io::Write};

const NOW_MS: u64 = 1_760_000_000_000;
const DIALECTS: [Dialect; 5] = [
    Dialect::Track,
    Dialect::Engage,
    Dialect::Groups,
    Dialect::Import { strict: false },
    Dialect::Import { strict: true },
];
const LIMITS: Limits =
    Limits { body_bytes_max: 4 << 20, depth_max: 128, event_bytes_max: 2000, events_max: 20 };

/// What makes bytes be taken for something.
const PREFIXES: &[&[u8]] = &[b"", b"{", b"[\"", b"data=", b"\x1f\x8b\x08", b"{\"event\":"];

thread_local! {
    /// One for each way of scanning, the same for all cases: nothing of one request may show in the next.
    static SCANNERS: RefCell<Vec<Scanner>> =
        RefCell::new(Level::all().map(|level| Scanner::with_level(LIMITS, level)).collect());
}

/// A record's bytes and its token.
type Kept = (Vec<u8>, Vec<u8>);

/// Scans in every way, requires that all agree with the twin, and returns the records that came out.
fn agree(request: &Request<'_>) -> Result<Option<Vec<Kept>>, String> {
    let twin = plain::scan(LIMITS, request);
    SCANNERS.with_borrow_mut(|scanners| {
        let mut kept = None;
        for scanner in scanners {
            let result = scanner.scan(request.clone());
            plain::compare(&result, &twin, LIMITS)?;
            kept = result.ok().map(|scanned| {
                let each = scanned.records.iter();
                each.map(|r| (scanned.json(r).to_vec(), scanned.token(r).to_vec())).collect()
            });
        }
        Ok(kept)
    })
}

fn check(dialect: Dialect, body: &[u8], content_type: Option<&[u8]>) -> Result<(), TestCaseError> {
    let body = Bytes::copy_from_slice(body);
    let request = Request { body, content_type, now_ms: NOW_MS, ..Request::new(dialect) };
    agree(&request).map(|_| ()).map_err(TestCaseError::fail)
}

fn keys() -> impl Strategy<Value = String> {
    let known = [
        "event",
        "properties",
        "token",
        "time",
        "distinct_id",
        "$insert_id",
        "$ignore",
        "$user_id",
        "$device_id",
        "$token",
        "$distinct_id",
        "$group_key",
        "$group_id",
        "$time",
        "$set",
        "$add",
        "$unset",
        "$delete",
        "$merge",
        "",
        "a",
        "tok\\u0065n",
        "\\u0065vent",
        "\\ud83d",
        "k\\\"ey",
        "é",
        "token ",
    ];
    prop::sample::select(known.to_vec()).prop_map(str::to_owned)
}

fn scalars() -> impl Strategy<Value = String> {
    let odd = [
        "\"\"",
        "\"t1\"",
        "\"a b\"",
        "\"\\ud83d\"",
        "\"\\ud83d\\ude00\"",
        "\"\\u0000\"",
        "\"$merge\"",
        "\"$identify\"",
        "\"1760000000\"",
        "\"1e3\"",
        "\"anon\"",
        "\"NULL\"",
        "\"ab-12\"",
        "\"a:b\"",
        "\"x\\n\\\"y\\\\\"",
        "\"😀é\"",
        "0",
        "-0",
        "-1",
        "1",
        "0.0",
        "1760000000",
        "1760000000123",
        "1760000000.5",
        "1759999999999.25",
        "1e400",
        "1e-400",
        "-1E+2",
        "18446744073709551616",
        "123456789012345678901234567890",
        "true",
        "false",
        "null",
        "{}",
        "[]",
    ];
    prop_oneof![
        3 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => any::<f64>().prop_filter("JSON has no such number", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
        1 => any::<i64>().prop_map(|i| i.to_string()),
        1 => "[ -~é\u{10000}]{0,40}".prop_map(|s| serde_json::to_string(&s).unwrap()),
    ]
}

fn blanks() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t ")]
}

fn values() -> impl Strategy<Value = String> {
    scalars().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), blanks())
                .prop_map(|(items, b)| format!("[{b}{}{b}]", items.join(&format!("{b},{b}")))),
            objects(inner),
        ]
    })
}

fn objects(values: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (prop::collection::vec((keys(), values), 0..8), blanks()).prop_map(|(members, b)| {
        let members: Vec<_> = members.iter().map(|(k, v)| format!("\"{k}\"{b}:{b}{v}")).collect();
        format!("{{{b}{}{b}}}", members.join(&format!("{b},")))
    })
}

/// Records that are often valid, with anything else among their fields.
fn records() -> impl Strategy<Value = String> {
    let fill = |head: &'static str| {
        prop::collection::vec((keys(), values()), 0..5).prop_map(move |more| {
            let more: String = more.iter().map(|(k, v)| format!(",\"{k}\":{v}")).collect();
            head.replace("MORE", &more)
        })
    };
    prop_oneof![
        4 => fill(r#"{"event":"e","properties":{"token":"t","time":1759999999,"distinct_id":"d","$insert_id":"i-1"MORE}}"#),
        2 => fill(r#"{"event":"e","properties":{"token":"t"}MORE}"#),
        3 => fill(r#"{"$token":"t","$distinct_id":"d","$group_key":"k","$group_id":7,"$set":{"a":1}MORE}"#),
        1 => objects(values()),
        1 => values(),
    ]
}

fn payloads() -> impl Strategy<Value = String> {
    (prop::collection::vec(records(), 0..6), blanks(), 0..4u8).prop_map(|(records, b, form)| match form {
        0 => records.join("\n"),
        1 => records.first().cloned().unwrap_or_default(),
        _ => format!("{b}[{b}{}{b}]{b}", records.join(&format!("{b},{b}"))),
    })
}

/// What a careless network or sender does to bytes.
#[derive(Clone, Debug)]
enum Damage {
    Replace(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Truncate(usize),
}

fn damages() -> impl Strategy<Value = Damage> {
    let bytes = prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\ \n0eE+-.tfn=&%".as_slice())];
    let sequences: [&[u8]; 6] =
        [b"\xed\xa0\xbd\xed\xb8\x80", b"\xed\xa0\xbd", b"\xff", b"\\ud83d", b"\xef\xbb\xbf", b"\xe2\x82"];
    prop_oneof![
        (any::<usize>(), bytes).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<usize>(), prop::sample::select(sequences.to_vec()))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes.to_vec())),
        (any::<usize>(), 1..4usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        any::<usize>().prop_map(Damage::Truncate),
    ]
}

fn damaged(text: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut text = text.to_vec();
    for damage in damages {
        let place = |at: usize| at % (text.len() + 1);
        match damage {
            Damage::Replace(at, byte) => {
                let at = place(*at);
                if let Some(old) = text.get_mut(at) {
                    *old = *byte;
                }
            }
            Damage::Insert(at, bytes) => {
                let at = place(*at);
                text.splice(at..at, bytes.iter().copied());
            }
            Damage::Remove(at, len) => {
                let at = place(*at);
                let end = (at + len).min(text.len());
                text.drain(at..end);
            }
            Damage::Truncate(at) => text.truncate(place(*at)),
        }
    }
    text
}

fn percent(bytes: &[u8], spaces_as_plus: bool) -> String {
    let each = bytes.iter().map(|&byte| match byte {
        b' ' if spaces_as_plus => "+".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The same payload in every form it may travel in: the query, and the body.
fn wrapped(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let base64 = base64_simd::STANDARD.encode_to_string(text);
    let url_safe = base64_simd::URL_SAFE_NO_PAD.encode_to_string(text);
    let folded: Vec<_> = base64.as_bytes().chunks(76).map(|c| String::from_utf8_lossy(c)).collect();
    let form = |value: &str| (String::new(), format!("verbose=1&data={value}&ip=0").into_bytes());
    let query = |value: &str| (format!("ip=0&data={value}"), Vec::new());
    vec![
        form(&percent(text, false)),
        form(&percent(text, true)),
        form(&base64),
        form(&percent(base64.as_bytes(), false)),
        form(base64.trim_end_matches('=')),
        form(&url_safe),
        form(&percent(folded.join("\r\n").as_bytes(), false)),
        query(&percent(text, true)),
        query(&percent(base64.as_bytes(), false)),
        query(&url_safe),
        (String::new(), gzip(text)),
        (String::new(), gzip(&form(&percent(base64.as_bytes(), false)).1)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn valid_and_nearly_valid_payloads_agree_with_the_twin(
        payload in payloads(),
        damages in prop::collection::vec(damages(), 0..3),
        dialect in prop::sample::select(DIALECTS.as_slice()),
        ndjson in any::<bool>(),
    ) {
        let content_type = ndjson.then_some(&b"application/x-NDJSON; charset=utf-8"[..]);
        check(dialect, &damaged(payload.as_bytes(), &damages), content_type)?;
    }

    #[test]
    fn any_bytes_agree_with_the_twin(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        prefix in prop::sample::select(PREFIXES),
        dialect in prop::sample::select(DIALECTS.as_slice()),
    ) {
        check(dialect, &[prefix, &bytes].concat(), None)?;
    }

    #[test]
    fn forms_and_queries_agree_with_the_twin(
        pairs in prop::collection::vec(
            ("(data|d%61ta|verbose|img|ip|strict|callback|project_id|api_key|x)", "[ -~]{0,20}"), 0..6),
        body in prop::collection::vec(("(data|verbose|project_id|api_key)", "[ -~]{0,30}"), 0..4),
    ) {
        let join = |pairs: &[(String, String)]| {
            pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("&")
        };
        let (query, body) = (join(&pairs), Bytes::from(join(&body)));
        let request = Request { query: query.as_bytes(), body, ..Request::new(Dialect::Track) };
        agree(&request).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn every_form_holds_the_same_records(
        records in prop::collection::vec(records(), 1..4),
        damages in prop::collection::vec(damages(), 0..2),
        dialect in prop::sample::select(DIALECTS.as_slice()),
    ) {
        let text = damaged(format!("[{}]", records.join(",")).as_bytes(), &damages);
        // The damage must leave it recognisable as JSON: anything else would be a form by itself.
        prop_assume!(text.trim_ascii().starts_with(b"["));
        let raw = Request {
            body: Bytes::from(text.clone()), now_ms: NOW_MS, ..Request::new(dialect) };
        let want = agree(&raw).map_err(TestCaseError::fail)?;
        for (query, body) in wrapped(&text) {
            let request = Request { query: query.as_bytes(), body: Bytes::from(body), ..raw.clone() };
            let got = agree(&request).map_err(TestCaseError::fail)?;
            prop_assert_eq!(&got, &want);
        }
    }
}

/// Larger than what is indexed at once, in shapes that must not be cut in the wrong place.
#[test]
fn texts_of_many_chunks_agree_with_the_twin() {
    let limits = Limits { events_max: 100_000, ..Limits::default() };
    let event = |i: usize, extra: &str| {
        format!(
            r#"{{"event":"e{i}","properties":{{"token":"t{}","time":{}{extra}}}}}"#,
            i % 3,
            1_700_000_000 + i
        )
    };
    let many = |separator: &str, extra: &dyn Fn(usize) -> String| {
        (0..4000).map(|i| event(i, &extra(i))).collect::<Vec<_>>().join(separator)
    };
    let none = |_: usize| String::new();
    let lookalike = |i: usize| format!(r#","list":[{},{}]"#, event(i, ""), event(i, ""));
    let in_string = |_: usize| r#","s":",{\"event\":\"x\"}" "#.to_owned();
    let one_lone = |i: usize| if i == 3000 { r#","s":"\ud83d""#.to_owned() } else { String::new() };
    let one_huge =
        |i: usize| if i == 2 { format!(r#","s":"{}""#, "x".repeat(300_000)) } else { String::new() };
    let dense = format!("[{}0]", "0,".repeat(400_000));
    let bodies = [
        format!("[{}]", many(",", &none)),
        format!("\u{feff} [\r\n  {}\r\n]\r\n", many(" ,\r\n  ", &none)),
        format!("[{}]", many(",", &lookalike)),
        format!("[{}]", many(",", &in_string)),
        format!("[{}]", many(",", &one_lone)),
        format!("[{}]", many(",", &one_huge)),
        format!("[{},]", many(",", &none)),
        format!("[{}", many(",", &none)),
        format!("[{}}}]", many(",", &none)),
        format!("[{}]]", many(",", &none)),
        format!("[{}]", many(",,", &none)),
        format!("[{}]", many(" ", &none)),
        many("\n", &none),
        many("\r\n\r\n", &one_lone),
        format!("[{}]", " ".repeat(200_000)),
        dense,
    ];
    let mut scanners: Vec<_> = Level::all().map(|level| Scanner::with_level(limits, level)).collect();
    for (i, body) in bodies.iter().enumerate() {
        for bytes in [body.clone().into_bytes(), body.replacen("e3999", "e\u{1}9", 1).into_bytes()] {
            let request = Request { body: Bytes::from(bytes), ..Request::new(Dialect::Track) };
            let twin = plain::scan(limits, &request);
            for scanner in &mut scanners {
                let result = scanner.scan(request.clone());
                plain::compare(&result, &twin, limits).unwrap_or_else(|difference| {
                    panic!("body {i}: {}", difference.chars().take(500).collect::<String>())
                });
            }
        }
    }
    // A character in CESU-8 far into the text.
    let mut bytes = bodies[0].clone().into_bytes();
    let at = bytes.windows(5).rposition(|w| w == b"e3990").unwrap();
    bytes.splice(at..at, *b"\xed\xa0\xbd\xed\xb8\x80");
    let request = Request { body: Bytes::from(bytes), ..Request::new(Dialect::Track) };
    let twin = plain::scan(limits, &request);
    let result = scanners[0].scan(request);
    plain::compare(&result, &twin, limits).unwrap();
    let scanned = result.unwrap();
    assert_eq!(scanned.counts.kept, 4000);
    assert_eq!(scanned.records.iter().filter(|r| r.entry.repaired).count(), 1);
}
