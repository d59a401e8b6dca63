//! Every vector of the wire, in-process: the scanner keeps the records that the vector says, and says the
//! same as its plain twin.
//!
//! What a server adds (credentials, the form of the answer) is tested where it is made.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use forebay_scan::{Dialect, Limits, Request, ScanError, Scanned, Scanner, Verdict, plain};
use std::io::Write;
use support::{Json, data};

/// The clock of the fixture.
const NOW_MS: u64 = 1_760_000_000_000;

struct Vector(Json);

impl Vector {
    fn id(&self) -> String {
        self.0.field("id").unwrap()
    }

    fn header(&self, name: &str) -> Option<String> {
        let headers = self.0.get("headers").unwrap();
        let key = headers.keys().into_iter().find(|k| k.eq_ignore_ascii_case(name))?;
        headers.field(&key)
    }

    fn query(&self) -> String {
        self.0.field("query").unwrap()
    }

    fn expect(&self, name: &str) -> Option<Json> {
        self.0.get("expect").unwrap().get(name)
    }

    fn status(&self) -> u16 {
        self.expect("status").unwrap().raw().parse().unwrap()
    }

    fn dialect(&self) -> Option<Dialect> {
        let path = self.0.field("path").unwrap().replace("//", "/");
        let path = path.split("%23").next().unwrap().trim_end_matches('/').to_owned();
        let method = self.0.field("method").unwrap().to_ascii_uppercase();
        if method != "GET" && method != "POST" {
            return None;
        }
        let strict = Scanner::new(Limits::default()).query(self.query().as_bytes()).strict;
        match path.as_str() {
            "/track" => Some(Dialect::Track),
            "/engage" => Some(Dialect::Engage),
            "/groups" => Some(Dialect::Groups),
            "/import" => Some(Dialect::Import { strict }),
            _ => None,
        }
    }

    fn body(&self) -> Vec<u8> {
        if let Some(recipe) = self.0.get("generate") {
            return generate(&recipe);
        }
        let encoded = self.0.field("body_b64").unwrap();
        let body = plain::base64(encoded.as_bytes()).unwrap_or_default();
        let chunked = self.header("transfer-encoding").is_some_and(|e| e.eq_ignore_ascii_case("chunked"));
        if chunked { join_chunks(&body) } else { body }
    }

    fn now_ms(&self) -> u64 {
        self.0.get("now_ms").map_or(NOW_MS, |now| now.raw().parse().unwrap())
    }

    /// The records that must be kept: what they are called.
    fn kept(&self) -> Vec<(Option<String>, String)> {
        let name = |record: &Json| {
            let token = record.get("project_id").is_none().then(|| record.field("token").unwrap());
            (token, record.field("event").or(record.field("op")).unwrap())
        };
        if let Some(repeat) = self.expect("events_repeat") {
            let count: usize = repeat.get("count").unwrap().raw().parse().unwrap();
            return vec![name(&repeat.get("record").unwrap()); count];
        }
        self.expect("events").map_or(Vec::new(), |events| events.items().iter().map(name).collect())
    }

    /// Does the answer say that something was accepted? `None` where it does not say.
    fn accepted(&self) -> Option<bool> {
        let json = self.expect("body_json").or_else(|| self.expect("body_js")?.get("arg"));
        match (self.expect("body").and_then(|b| b.str()), json) {
            (Some(body), _) => Some(body == "1"),
            (_, Some(json)) if json.raw() == "1" || json.raw() == "0" => Some(json.raw() == "1"),
            (_, Some(json)) => json.get("status").map(|s| s.raw() == "1" || s.raw() == "\"OK\""),
            _ => None,
        }
    }
}

fn generate(recipe: &Json) -> Vec<u8> {
    let number = |name: &str| recipe.get(name).unwrap().raw().parse::<usize>().unwrap();
    let template = || recipe.get("template").unwrap().raw().to_owned();
    match recipe.field("kind").unwrap().as_str() {
        "repeat" => {
            let records: Vec<_> =
                (0..number("count")).map(|i| template().replace("{i}", &i.to_string())).collect();
            format!("[{}]", records.join(",")).into_bytes()
        }
        "pad" => template().replace("{pad}", &"x".repeat(number("bytes"))).into_bytes(),
        "nest" => {
            let depth = number("depth");
            let nested = "[".repeat(depth) + &"]".repeat(depth);
            template().replace("\"{nest}\"", &nested).into_bytes()
        }
        "many_props" => {
            let more: String = (0..number("count")).map(|i| format!("\"p{i}\":{i},")).collect();
            let at = "\"properties\":";
            let text = template().replace(": ", ":");
            text.replacen(&format!("{at}{{"), &format!("{at}{{{more}"), 1).into_bytes()
        }
        "gzip_bomb" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            for _ in 0..32 {
                encoder.write_all(&[b' '; 1 << 20]).unwrap();
            }
            encoder.finish().unwrap()
        }
        other => panic!("unknown recipe {other}"),
    }
}

fn join_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..end]).unwrap().split(';').next().unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
}

/// The operations of a profile update, or the name of an event, as the vectors write them.
fn called(dialect: Dialect, json: &Json) -> String {
    const OPERATIONS: [&str; 9] =
        ["$set", "$set_once", "$add", "$append", "$union", "$remove", "$merge", "$unset", "$delete"];
    if dialect.holds_events() {
        return json.field("event").unwrap();
    }
    let operations: Vec<_> =
        json.keys().into_iter().filter(|key| OPERATIONS.contains(&key.as_str())).collect();
    operations.join("+")
}

fn check_failed(vector: &Vector, scanned: &Scanned<'_>) {
    let Some(want) = vector.expect("body_json").and_then(|json| json.get("failed_records")) else { return };
    let got: Vec<_> = scanned.failed().collect();
    assert_eq!(got.len(), want.items().len(), "{}: {got:?}", vector.id());
    for (got, want) in got.iter().zip(want.items()) {
        let id = vector.id();
        assert_eq!(got.index.to_string(), want.get("index").unwrap().raw(), "{id}");
        assert_eq!(got.insert_id.as_deref().map(str::to_owned), want.field("insert_id"), "{id}");
        if let Some(field) = want.field("field") {
            assert_eq!(got.field.as_deref(), Some(field.as_str()), "{id}");
        }
        assert!(!got.message.is_empty(), "{id}");
    }
}

#[test]
fn every_vector_keeps_the_records_it_names_and_agrees_with_the_twin() {
    let limits = Limits::default();
    // One for all: what one request leaves behind must not show in the next.
    let mut scanner = Scanner::new(limits);
    let files = ["vectors/ingestion.jsonl", "vectors/found.jsonl"];
    let text: String = files.iter().map(|file| std::fs::read_to_string(data(file)).unwrap()).collect();
    let (mut seen, mut failures) = (0, Vec::new());
    for line in text.lines() {
        let vector = Vector(Json::parse(line.as_bytes()));
        let Some(dialect) = vector.dialect() else { continue };
        seen += 1;
        let (query, content_type, encoding) =
            (vector.query(), vector.header("content-type"), vector.header("content-encoding"));
        let request = Request {
            dialect,
            query: query.as_bytes(),
            content_type: content_type.as_deref().map(str::as_bytes),
            content_encoding: encoding.as_deref().map(str::as_bytes),
            body: Bytes::from(vector.body()),
            now_ms: vector.now_ms(),
        };
        let twin = plain::scan(limits, &request);
        let result = scanner.scan(request);
        if let Err(difference) = plain::compare(&result, &twin, limits) {
            failures.push(format!("{}: {difference}", vector.id()));
            continue;
        }
        // Without credentials nothing is kept, whatever the scanner found.
        if vector.status() == 401 {
            continue;
        }
        let kept: Vec<_> = result
            .iter()
            .flat_map(|scanned| {
                scanned.records.iter().filter(|r| r.verdict == Verdict::Keep).map(|record| {
                    let token = String::from_utf8_lossy(scanned.token(record)).into_owned();
                    let token = (!matches!(dialect, Dialect::Import { .. })).then_some(token);
                    (token, called(dialect, &Json::parse(scanned.json(record))))
                })
            })
            .collect();
        if kept != vector.kept() {
            failures.push(format!("{}: kept {kept:?}, expected {:?}", vector.id(), vector.kept()));
        }
        let status = match &result {
            Err(failure) => match failure.error {
                ScanError::TooLarge { .. } | ScanError::TooManyEvents { .. } => 413,
                ScanError::UnsupportedEncoding => 415,
                _ if dialect.is_strict() => 400,
                _ => 200,
            },
            Ok(scanned) if dialect.is_strict() && scanned.counts.invalid() > 0 => 400,
            Ok(_) => 200,
        };
        if status != vector.status() {
            failures.push(format!("{}: status {status}, expected {}", vector.id(), vector.status()));
        }
        let valid = result.as_ref().map_or(0, |scanned| scanned.counts.valid());
        if status == 200 && vector.accepted().is_some_and(|accepted| accepted != (valid > 0)) {
            failures.push(format!("{}: {valid} valid records", vector.id()));
        }
        if let Ok(scanned) = &result {
            check_failed(&vector, scanned);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(seen > 200, "only {seen} vectors were read");
}
