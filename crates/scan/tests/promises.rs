//! What the scanner promises, one table for each promise.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use forebay_scan::{Dialect, GzipFault, Limits, Request, ScanError, Scanner, Verdict};
use std::io::Write;

const NOW_MS: u64 = 1_760_000_000_000;
const STRICT: Dialect = Dialect::Import { strict: true };

fn request(dialect: Dialect, body: impl Into<Vec<u8>>) -> Request<'static> {
    Request { body: Bytes::from(body.into()), now_ms: NOW_MS, ..Request::new(dialect) }
}

/// `keep`, `ignore`, or the code of the reason, for each record.
fn verdicts(dialect: Dialect, body: &str) -> Vec<&'static str> {
    let mut scanner = Scanner::new(Limits::default());
    let scanned = scanner.scan(request(dialect, body)).unwrap();
    let name = |verdict| match verdict {
        Verdict::Keep => "keep",
        Verdict::Ignored => "ignore",
        Verdict::Invalid(invalid) => invalid.reason.code(),
    };
    scanned.records.iter().map(|r| name(r.verdict)).collect()
}

fn error(dialect: Dialect, body: impl Into<Vec<u8>>) -> ScanError {
    Scanner::new(Limits::default()).scan(request(dialect, body)).map(|s| s.counts.clone()).unwrap_err().error
}

#[test]
fn each_record_of_a_batch_has_its_own_verdict() {
    let event = |fields: &str| format!(r#"{{"event":"e","properties":{{"token":"t"{fields}}}}}"#);
    for (record, want) in [
        (event(""), "keep"),
        (event(r#","$ignore":true"#), "ignore"),
        (event(r#","$ignore":"x""#), "ignore"),
        (event(r#","$ignore":"""#), "keep"),
        (event(r#","$ignore":0"#), "keep"),
        (event(r#","$ignore":-0.0e5"#), "keep"),
        (event(r#","$ignore":true,"$ignore":false"#), "keep"),
        (event(r#","token":"""#), "token_missing"),
        (event(r#","tok\u0065n":7"#), "token_missing"),
        (r#"{"event":"e","properties":{"token":"t"},"properties":{}}"#.into(), "token_missing"),
        (r#"{"event":"e","properties":{"token":"t"},"properties":null}"#.into(), "properties_missing"),
        (r#"{"event":"","properties":{"token":"t"}}"#.into(), "event_missing"),
        (r#"{"properties":{"token":"t"}}"#.into(), "event_missing"),
        (r#"{"event":"\u0024merge","properties":{"token":"t"}}"#.into(), "merge_outside_import"),
        ("{}".into(), "data_missing"),
        ("7".into(), "not_an_object"),
        ("[]".into(), "not_an_object"),
        (r#""{""#.into(), "not_an_object"),
    ] {
        // Whatever stands beside it.
        let body = format!("[{},{record},{}]", event(""), event(""));
        assert_eq!(verdicts(Dialect::Track, &body), ["keep", want, "keep"], "{record}");
    }
}

#[test]
fn the_strict_limits_count_equal_keys_once() {
    let many = |n: usize| (0..n).map(|i| format!(r#","k{i}":{i}"#)).collect::<String>();
    let object = |n: usize, more: &str| format!(r#","o":{{"k":0{}{more}}}"#, many(n - 1));
    let deep = r#"{"a":{"b":{"c":1}}}"#;
    for (properties, want) in [
        (many(252), "keep"),
        (many(253), "strict_too_many_properties"),
        (many(252) + r#","k7":1,"\u006b7":2,"time":1760000000"#, "keep"),
        (many(253) + r#","k7":1"#, "strict_too_many_properties"),
        (object(255, ""), "keep"),
        (object(256, ""), "strict_too_many_keys"),
        (object(255, r#","k":1,"\u006b":2"#), "keep"),
        (object(256, "") + r#","o":1"#, "keep"),
        (format!(r#","o":1{}"#, object(256, "")), "strict_too_many_keys"),
        (format!(r#","o":{deep}"#), "keep"),
        (format!(r#","o":{{"x":{deep}}}"#), "strict_too_deep"),
        (format!(r#","o":[{{"x":{deep}}}]"#), "keep"),
        (format!(r#","o":{{"x":[[],{deep}]}}"#), "strict_too_deep"),
        (format!(r#","o":{{"x":{deep},"x":[]}}"#), "keep"),
        (format!(r#","o":{{"x":[],"x":{deep}}}"#), "strict_too_deep"),
        (format!(r#","a":[{}]"#, vec!["7"; 255].join(",")), "keep"),
        (format!(r#","a":[{}]"#, vec!["{}"; 256].join(",")), "strict_array_too_long"),
    ] {
        let event = format!(
            r#"{{"event":"e","properties":{{"time":1760000000,"distinct_id":"d","$insert_id":"i"{properties}}}}}"#
        );
        assert_eq!(verdicts(STRICT, &event), [want], "{properties}");
    }
}

#[test]
fn one_value_over_several_lines_is_one_value_whatever_is_declared() {
    let event = |name: &str| format!(r#"{{"event":"{name}","properties":{{"token":"t"}}}}"#);
    let (a, b) = (event("a"), event("b"));
    for (body, want) in [
        (format!("[\n{a},\n{b}\n]"), &["keep", "keep"][..]),
        (format!("{a}\n{b}"), &["keep", "keep"]),
        (format!("{a}\n[{b}\n{b}"), &["keep", "malformed_json", "keep"]),
        ("{\"event\":\"a\",\"properties\":\n{\"token\":\"t\"}\n}".into(), &["keep"]),
    ] {
        let mut scanner = Scanner::new(Limits::default());
        let lines =
            Request { content_type: Some(b"application/x-ndjson"), ..request(Dialect::Track, body.clone()) };
        let scanned = scanner.scan(lines).unwrap();
        let got: Vec<_> = scanned
            .records
            .iter()
            .map(|r| match r.verdict {
                Verdict::Invalid(invalid) => invalid.reason.code(),
                _ => "keep",
            })
            .collect();
        assert_eq!(got, want, "{body}");
    }
}

#[test]
fn profile_updates_need_a_token_an_id_and_an_operation() {
    let user = |fields: &str| format!(r#"{{"$token":"t","$distinct_id":"d",{fields}}}"#);
    for (record, want) in [
        (user(r#""$set":{}"#), "keep"),
        (user(r#""$set":{},"$add":{},"$ignore":true"#), "keep"),
        (user(r#""$delete":null"#), "keep"),
        (user(r#""$unset":["a"]"#), "keep"),
        (user(r#""$unset":{}"#), "operation_invalid"),
        (user(r#""$set":[]"#), "operation_invalid"),
        (user(r#""$set":[],"$set":{}"#), "keep"),
        (user(r#""$set":{},"$append":1"#), "operation_invalid"),
        (user(r#""set":{}"#), "operation_missing"),
        (r#"{"$token":"t","$distinct_id":"","$set":{}}"#.into(), "distinct_id_missing"),
        (r#"{"$token":"t","$distinct_id":0,"$set":{}}"#.into(), "keep"),
        (r#"{"$token":"t","$distinct_id":true,"$set":{}}"#.into(), "distinct_id_missing"),
        (r#"{"token":"t","$distinct_id":"d","$set":{}}"#.into(), "token_missing"),
        (r#"{"$set":{"$token":"t"},"$distinct_id":"d"}"#.into(), "token_missing"),
    ] {
        assert_eq!(verdicts(Dialect::Engage, &record), [want], "{record}");
    }
    for (record, want) in [
        (r#"{"$token":"t","$group_key":"k","$group_id":5,"$set":{}}"#, "keep"),
        (r#"{"$token":"t","$group_key":5,"$group_id":5,"$set":{}}"#, "group_key_missing"),
        (r#"{"$token":"t","$group_key":"k","$distinct_id":"d","$set":{}}"#, "group_id_missing"),
    ] {
        assert_eq!(verdicts(Dialect::Groups, record), [want], "{record}");
    }
}

#[test]
fn strict_imports_name_the_field_and_say_what_is_wrong() {
    let many: String = (0..300).map(|i| format!(r#","p{i}":{i}"#)).collect();
    let long = format!("[{}0]", "0,".repeat(255));
    let wide: String = (0..256).map(|i| format!(r#""k{i}":0,"#)).collect();
    let good = |fields: &str| {
        format!(
            r#"{{"event":"e","properties":{{"time":1759999999,"distinct_id":"d","$insert_id":"id-1"{fields}}}}}"#
        )
    };
    let not_utf8 = b"{\"event\":\"e\",\"properties\":{\"time\":1759999999,\"distinct_id\":\"d\",\"$insert_id\":\"id-1\",\"b\\u0061d\":\"\xff\"}}";
    let time = Some("properties.time");
    let id = Some("properties.distinct_id");
    let insert_id = Some("$insert_id");
    let seconds = "'properties.time' is invalid: must be specified as seconds since epoch";
    let present = "'properties.time' is invalid: must not be missing";
    let characters = "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters";
    let cases: Vec<(Vec<u8>, Option<&str>, &str)> = vec![
        (good(r#","time":null"#).into(), time, present),
        (good(r#","time":"1759999999""#).into(), time, seconds),
        (good(r#","time":true"#).into(), time, seconds),
        (
            good(r#","time":31535999"#).into(),
            time,
            "'properties.time' is invalid: must not be before 1971-01-01",
        ),
        (
            good(r#","time":-1e400"#).into(),
            time,
            "'properties.time' is invalid: must not be before 1971-01-01",
        ),
        (
            good(r#","time":1760003601"#).into(),
            time,
            "'properties.time' is invalid: must not be in the future",
        ),
        (good(r#","time":1e400"#).into(), time, "'properties.time' is invalid: must not be in the future"),
        (
            good(r#","distinct_id":null"#).into(),
            id,
            "'properties.distinct_id' is invalid: must not be missing",
        ),
        (
            good(r#","distinct_id":"N\u002fA""#).into(),
            id,
            "'properties.distinct_id' is invalid: must identify a user, not be a placeholder",
        ),
        (
            good(r#","distinct_id":-0"#).into(),
            id,
            "'properties.distinct_id' is invalid: must identify a user, not be a placeholder",
        ),
        (
            good(r#","distinct_id":[]"#).into(),
            id,
            "'properties.distinct_id' is invalid: must identify a user, not be a placeholder",
        ),
        (good(r#","$insert_id":1"#).into(), insert_id, "'$insert_id' is invalid: must not be missing"),
        (good(r#","$insert_id":"a:b""#).into(), insert_id, characters),
        (good(r#","$insert_id":"a\u0000""#).into(), insert_id, characters),
        (
            good(r#","$insert_id":"1234567890123456789012345678901234567""#).into(),
            insert_id,
            "'$insert_id' is invalid: must not be longer than 36 bytes",
        ),
        (
            good(r#","$insert_id":"UNDEFINED""#).into(),
            insert_id,
            "'$insert_id' is invalid: must be unique, not a placeholder",
        ),
        (not_utf8.to_vec(), Some("properties.bad"), "properties.bad is invalid: string should be valid utf8"),
        (
            good(&many).into(),
            Some("properties"),
            "'properties' is invalid: must not have more than 255 entries",
        ),
        (
            good(&format!(r#","l":{long}"#)).into(),
            Some("properties.l"),
            "'properties.l' is invalid: must not have more than 255 elements",
        ),
        (
            good(&format!(r#","o":{{{wide}"z":0}}"#)).into(),
            Some("properties.o"),
            "'properties.o' is invalid: must not have more than 255 keys",
        ),
        (
            good(r#","o":{"a":{"b":[{"c":{"d":0}}]}}"#).into(),
            Some("properties.o"),
            "'properties.o' is invalid: must not be nested more than 3 levels deep",
        ),
        (
            good(&format!(r#","s":"{}""#, "x".repeat(1 << 20))).into(),
            None,
            "the event is too large: must not be over 1 MB",
        ),
        (
            r#"{"event":7,"properties":{}}"#.into(),
            Some("event"),
            "'event' is invalid: must be a non-empty string",
        ),
        (r#"{"event":"e"}"#.into(), Some("properties"), "'properties' is invalid: must be an object"),
        ("{}".into(), Some("event"), "'event' is invalid: must be a non-empty string"),
        ("[[]]".into(), None, "data, every record must be an object"),
    ];
    let mut scanner = Scanner::new(Limits::default());
    for (body, field, message) in cases {
        let shown = String::from_utf8_lossy(&body).chars().take(150).collect::<String>();
        let scanned = scanner.scan(request(STRICT, body)).unwrap();
        let failed: Vec<_> = scanned.failed().collect();
        assert_eq!(failed.len(), 1, "{shown}");
        assert_eq!(failed[0].field.as_deref(), field, "{shown}");
        assert_eq!(failed[0].message, message, "{shown}");
    }
    for fields in [
        "",
        r#","time":1760003600"#,
        r#","time":1760003600000"#,
        r#","time":31536000"#,
        r#","distinct_id":"""#,
        r#","distinct_id":null,"$device_id":"d""#,
        r#","distinct_id":null,"$user_id":5"#,
        r#","o":{"a":{"b":[{"c":[0]}]}}"#,
        r#","s":"\ud83d""#,
    ] {
        assert_eq!(verdicts(STRICT, &good(fields)), ["keep"], "{fields}");
    }
    for name in ["$identify", "$create_alias", "$merge"] {
        let body = format!(r#"{{"event":"{name}","properties":{{}}}}"#);
        assert_eq!(verdicts(STRICT, &body), ["keep"], "{name}");
    }
}

#[test]
fn raw_json_is_not_copied_and_spans_name_the_senders_bytes() {
    let sent = br#" [ {"event":"a \"b\"","x":{"event":"no"},"properties": {"token":"t\/1","time": 1760000000.5 ,"distinct_id":42,"$insert_id":"i"} } ] "#;
    let body = Bytes::from_static(sent);
    let mut scanner = Scanner::new(Limits::default());
    let scanned =
        scanner.scan(Request { body: body.clone(), query: b"ip=1", ..Request::new(Dialect::Track) }).unwrap();
    assert_eq!(scanned.text.as_ptr(), body.as_ptr());
    let record = &scanned.records[0];
    let json = scanned.json(record);
    assert!(json.starts_with(br#"{"event""#) && json.ends_with(b"} }"));
    let entry = record.entry;
    assert_eq!(entry.name.get(json), Some(&br#"a \"b\""#[..]));
    assert_eq!(entry.distinct_id.get(json), Some(&b"42"[..]));
    assert_eq!(entry.insert_id.get(json), Some(&b"i"[..]));
    assert_eq!(entry.time_ms, Some(1_760_000_000_500));
    assert!(entry.escaped && entry.use_ip && !entry.repaired);
    assert_eq!(scanned.token(record), b"t/1");
}

#[test]
fn only_the_records_that_were_repaired_say_so() {
    let event = |name: &[u8]| [b"{\"event\":\"", name, b"\",\"properties\":{\"token\":\"t\"}}"].concat();
    let mut scanner = Scanner::new(Limits::default());
    let body = [event(b"good"), event(b"\xed\xa0\xbd\xed\xb8\x80"), event(b"caf\xe9"), event(b"good")];
    let scanned =
        scanner.scan(request(Dialect::Track, [b"[", &body.join(&b","[..])[..], b"]"].concat())).unwrap();
    let each = scanned.records.iter().map(|r| (r.entry.repaired, r.entry.name.get(scanned.json(r)).unwrap()));
    let want: [(bool, &[u8]); 4] =
        [(false, b"good"), (true, "😀".as_bytes()), (true, "caf\u{fffd}".as_bytes()), (false, b"good")];
    assert_eq!(each.collect::<Vec<_>>(), want);
}

#[test]
fn lines_are_told_by_content_and_each_has_its_verdict() {
    let good = r#"{"event":"e","properties":{"token":"t"}}"#;
    let pretty = "{\n\"event\":\"e\",\n\"properties\":{\"token\":\"t\"}\n}";
    let lines = |body: &str| {
        let mut scanner = Scanner::new(Limits::default());
        let declared =
            Request { content_type: Some(b"application/X-NDJSON"), ..request(Dialect::Track, body) };
        scanner.scan(declared).map(|s| (s.counts.kept, s.counts.invalid())).map_err(|f| f.error)
    };
    assert_eq!(verdicts(Dialect::Track, &format!("{good}\n\n {good}\r\n")), ["keep", "keep"]);
    assert_eq!(
        verdicts(Dialect::Track, &format!("{good}\n{{bad\n{good}")),
        ["keep", "malformed_json", "keep"]
    );
    assert_eq!(
        verdicts(Dialect::Track, &format!("{good}\n[{good}]\n5")),
        ["keep", "not_an_object", "not_an_object"]
    );
    assert_eq!(verdicts(Dialect::Track, pretty), ["keep"]);
    // Not the first line alone, and not anything that only starts like lines.
    assert!(matches!(error(Dialect::Track, format!("[{good}]\n[{good}]")), ScanError::Malformed { .. }));
    assert!(matches!(error(Dialect::Track, "{bad\n{worse"), ScanError::Malformed { .. }));
    assert_eq!(lines(good), Ok((1, 0)));
    assert_eq!(lines(&format!("[{good},{good}]")), Ok((2, 0)));
    assert_eq!(lines("{bad"), Ok((0, 1)));
    assert_eq!(lines(pretty), Ok((1, 0)));
    assert_eq!(lines(&format!("[{good},\n{good}]")), Ok((2, 0)));
    assert_eq!(lines(" \n "), Err(ScanError::Empty));
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let gz = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let cases: Vec<(Vec<u8>, ScanError, &str)> = vec![
        (b"".to_vec(), ScanError::Empty, "data, missing or empty"),
        (b"[]".to_vec(), ScanError::Empty, "data, missing or empty"),
        (b"data=".to_vec(), ScanError::Empty, "data, missing or empty"),
        (b"data=%20+%0A".to_vec(), ScanError::Empty, "data, missing or empty"),
        (b"DATA=e30%3D".to_vec(), ScanError::Empty, "data, missing or empty"),
        (b"hello".to_vec(), ScanError::Empty, "data, missing or empty"),
        (b"data=e30!".to_vec(), ScanError::Base64, "data, neither JSON nor valid base64"),
        (
            b"[1,".to_vec(),
            ScanError::Malformed { what: "the text ends too early", at: 3 },
            "data, malformed JSON: the text ends too early at byte 3",
        ),
        (
            gz(b"[]")[..12].to_vec(),
            ScanError::Gzip(GzipFault::Truncated),
            "data, broken gzip: it ends too early",
        ),
        (
            "[".repeat(5000).into_bytes(),
            ScanError::TooDeep { limit: 128, at: 128 },
            "data, nested more than 128 levels deep at byte 128",
        ),
        (
            vec![b' '; (10 << 20) + 1],
            ScanError::TooLarge { limit: 10 << 20 },
            "request exceeds max limit of 10485760 bytes",
        ),
        (
            gz(&vec![b' '; (10 << 20) + 1]),
            ScanError::TooLarge { limit: 10 << 20 },
            "request exceeds max limit of 10485760 bytes",
        ),
    ];
    for (body, want, text) in cases {
        let got = error(Dialect::Track, body);
        assert_eq!(got, want);
        assert_eq!(got.to_string(), text);
    }
    let br = Request { content_encoding: Some(b"br"), ..request(Dialect::Track, "{}") };
    assert_eq!(Scanner::new(Limits::default()).scan(br).unwrap_err().error, ScanError::UnsupportedEncoding);
}

#[test]
fn a_failure_still_tells_what_the_request_asked_for() {
    let mut scanner = Scanner::new(Limits::default());
    let failing = Request { query: b"verbose=1&callback=f", ..request(Dialect::Track, "data=%7Bbad&img=1") };
    let failure = scanner.scan(failing).unwrap_err();
    assert!(failure.params.verbose && failure.params.img);
    assert_eq!(failure.params.callback(), Some("f"));
    // And nothing of it is left in the next.
    assert!(!scanner.scan(request(Dialect::Track, "[1]")).unwrap().params.verbose);
}

#[test]
fn a_body_of_nothing_useful_is_counted_and_not_listed() {
    let limits = Limits { events_max: 10, ..Limits::default() };
    let mut scanner = Scanner::new(limits);
    let body = format!(r#"[{}{{"event":"e","properties":{{"token":"t"}}}}]"#, "0,".repeat(1_000_000));
    let scanned = scanner.scan(request(Dialect::Track, body.clone())).unwrap();
    assert_eq!((scanned.records.len(), scanned.counts.invalid(), scanned.counts.kept), (11, 1_000_000, 1));
    assert_eq!(scanned.refusal(), "data, every record must be an object");
    let failure = scanner.scan(request(Dialect::Import { strict: false }, body)).unwrap_err();
    assert_eq!(failure.error, ScanError::TooManyEvents { found: 1_000_001, limit: 10 });
}

#[test]
fn fields_too_long_for_a_span_are_marked_and_tokens_too_long_are_refused() {
    let long = "x".repeat(70_000);
    let mut scanner = Scanner::new(Limits::default());
    let body = format!(r#"{{"event":"{long}","properties":{{"token":"t"}}}}"#);
    let scanned = scanner.scan(request(Dialect::Track, body)).unwrap();
    assert_eq!(scanned.records[0].entry.name, forebay_record::Span::LONG);
    let body = format!(r#"{{"event":"e","properties":{{"token":"{long}"}}}}"#);
    assert_eq!(verdicts(Dialect::Track, &body), ["token_too_long"]);
}
