//! Every request that a real SDK sent: the scanner finds the records that the capture's index decodes,
//! and says the same as its plain twin.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use bytes::Bytes;
use forebay_scan::{Dialect, Limits, Request, Scanner, Verdict, plain};
use support::{Json, data};

/// A request as it was on the wire.
struct Wire {
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Wire {
    fn read(raw: Vec<u8>) -> Wire {
        let head_end = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&raw[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let target = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Wire { target, headers, body: Bytes::from(raw).slice(head_end + 4..) }
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_bytes())
    }
}

#[test]
fn every_capture_yields_the_records_that_were_sent() {
    let limits = Limits::default();
    let mut scanner = Scanner::new(limits);
    let index = std::fs::read(data("captures/index.jsonl")).unwrap();
    let mut seen = 0;
    for line in index.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let entry = Json::parse(line);
        let file = entry.field("file").unwrap();
        let wire = Wire::read(std::fs::read(data("captures").join(&file)).unwrap());
        let (path, query) = wire.target.split_once('?').unwrap_or((&wire.target, ""));
        let strict = scanner.query(query.as_bytes()).strict;
        let dialect = match (entry.field("kind").as_deref(), path.contains("import")) {
            (Some("event"), false) => Dialect::Track,
            (Some("event"), true) => Dialect::Import { strict },
            (Some("people"), _) => Dialect::Engage,
            (Some("group"), _) => Dialect::Groups,
            _ => continue,
        };
        seen += 1;
        let request = Request {
            dialect,
            query: query.as_bytes(),
            content_type: wire.header("content-type"),
            content_encoding: wire.header("content-encoding"),
            body: wire.body.clone(),
            // A year after the captures: none lies in the future.
            now_ms: 1_830_000_000_000,
        };
        let twin = plain::scan(limits, &request);
        let result = scanner.scan(request);
        plain::compare(&result, &twin, limits).unwrap_or_else(|difference| panic!("{file}: {difference}"));

        if entry.field("undecodable").is_some() {
            assert!(result.is_err(), "{file}");
            continue;
        }
        let scanned = result.unwrap_or_else(|failure| panic!("{file}: {}", failure.error));
        let want = entry.get("decoded").unwrap().items();
        assert_eq!(scanned.records.len(), want.len(), "{file}");
        for (record, want) in scanned.records.iter().zip(&want) {
            assert!(Json::parse(scanned.json(record)).same(want), "{file}");
            // Strict rules refuse some of what was sent on purpose: ids too long, objects too deep.
            let refused = match record.verdict {
                Verdict::Invalid(invalid) => Some(invalid.reason.code()),
                Verdict::Keep | Verdict::Ignored => None,
            };
            assert!(refused.is_none_or(|code| strict && code.starts_with("strict_")), "{file}: {refused:?}");
            let token = match dialect {
                Dialect::Track => want.get("properties").unwrap().field("token").unwrap(),
                Dialect::Import { .. } => String::new(),
                Dialect::Engage | Dialect::Groups => want.field("$token").unwrap(),
            };
            assert_eq!(scanned.token(record), token.as_bytes(), "{file}");
        }
        if let Some(body_params) = entry.get("body_params") {
            let wants = |name: &str| body_params.field(name).or(entry.get("query")?.field(name));
            assert_eq!(scanned.params.verbose, wants("verbose").as_deref() == Some("1"), "{file}");
            assert_eq!(scanned.params.ip, wants("ip").as_deref() == Some("1"), "{file}");
        }
    }
    assert!(seen > 100, "only {seen} captures were read");
}
