//! Rendering against a plain model: parse everything, build everything anew.

use super::*;
use forebay_record::{LaneId, Seq};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const STORE: StoreId = StoreId([0xab, 0xcd, 0xef, 0x01, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);

fn style() -> Style {
    Style { store: STORE, time_in_ms: false, simplified_ids: false }
}

fn event(json: &str) -> Event<'_> {
    Event {
        json: json.as_bytes(),
        time_ms: 1_700_000_000_999,
        received_at_ms: 1_700_000_001_000,
        position: Position { lane: LaneId(3), seq: Seq(77) },
        imported: false,
        address_hash: None,
    }
}

fn line(style: &Style, event: &Event<'_>) -> String {
    let mut out = Vec::new();
    Renderer::new(*style).line(event, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "one line each: {text}");
    assert!(!text.contains('\r'));
    text.trim_end().to_owned()
}

fn parsed(style: &Style, event: &Event<'_>) -> Value {
    serde_json::from_str(&line(style, event)).unwrap()
}

#[test]
fn a_line_has_what_the_api_promises_and_not_what_it_hides() {
    let sent = r#"{"event":"Sign up","properties":{"token":"t","ip":"1.2.3.4","time":1700000000.999,"distinct_id":"u1","$insert_id":"i-1","plan":"pro"}}"#;
    assert_eq!(
        line(&style(), &event(sent)),
        r#"{"event":"Sign up","properties":{"time":1700000000,"distinct_id":"u1","$insert_id":"i-1","$mp_api_timestamp_ms":1700000001000,"plan":"pro"}}"#
    );
    let ms = Style { time_in_ms: true, ..style() };
    assert_eq!(parsed(&ms, &event(sent))["properties"]["time"], json!(1_700_000_000_999_i64));
    let imported = Event { imported: true, ..event(sent) };
    assert_eq!(parsed(&style(), &imported)["properties"]["$import"], json!(true));
}

#[test]
fn times_before_the_epoch_round_down() {
    let early = Event { time_ms: -1, ..event(r#"{"event":"e","properties":{}}"#) };
    assert_eq!(parsed(&style(), &early)["properties"]["time"], json!(-1));
}

#[test]
fn numbers_and_escapes_are_copied_as_sent() {
    let sent = r#"{"event":"e\u0301","properties":{"distinct_id":1,"n":1e400,"big":123456789012345678901234567890,"z":1.10,"s":"\u00e9\/"}}"#;
    let got = line(&style(), &event(sent));
    for kept in [
        r#""event":"e\u0301""#,
        r#""distinct_id":1,"#,
        r#""n":1e400,"big":123456789012345678901234567890,"z":1.10,"s":"\u00e9\/""#,
    ] {
        assert!(got.contains(kept), "{kept} in {got}");
    }
}

#[test]
fn the_last_of_equal_keys_wins_after_unescaping() {
    let sent = r#"{"event":"a","properties":{"x":0},"event":"b","properties":{"tok\u0065n":"t","x":1,"\u0078":2,"time":1,"i\u0070":"9"}}"#;
    let got = parsed(&style(), &event(sent));
    assert_eq!(got["event"], "b");
    let mut keys: Vec<_> = got["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["$insert_id", "$mp_api_timestamp_ms", "distinct_id", "time", "x"]);
    assert_eq!(got["properties"]["x"], 2);
}

#[test]
fn what_stands_beside_event_and_properties_is_kept() {
    let sent = r#"{"$mp_metadata":{"$mp_event_id":"1"},"event":"e","properties":{},"id":7}"#;
    let got = parsed(&style(), &event(sent));
    assert_eq!((&got["$mp_metadata"]["$mp_event_id"], &got["id"]), (&json!("1"), &json!(7)));
}

#[test]
fn missing_ids_are_made_the_same_way_each_time() {
    let id = "abcdef01-3-77";
    for (properties, simplified, address, distinct_id) in [
        ("{}", false, None, id),
        (r#"{"distinct_id":null}"#, false, None, id),
        (r#"{"distinct_id":""}"#, false, Some(1), ""),
        ("{}", false, Some(0xfeed), "000000000000feed"),
        (r#"{"$user_id":"u","$device_id":"d"}"#, false, None, id),
        (r#"{"$user_id":"u","$device_id":"d"}"#, true, Some(1), "u"),
        (r#"{"$user_id":null,"$device_id":"d"}"#, true, Some(1), "$device:d"),
        (r#"{"$device_id":"$device:d"}"#, true, None, "$device:d"),
        (r#"{"$device_id":17}"#, true, None, "$device:17"),
        (r#"{"distinct_id":"x","$user_id":"u"}"#, true, None, "x"),
        ("{}", true, None, id),
    ] {
        let sent = format!("{{\"event\":\"e\",\"properties\":{properties}}}");
        let style = Style { simplified_ids: simplified, ..style() };
        let got = parsed(&style, &Event { address_hash: address, ..event(&sent) });
        assert_eq!(got["properties"]["distinct_id"], distinct_id, "{properties}");
        assert_eq!(got["properties"]["$insert_id"], id, "{properties}");
    }
    let mut longest = Vec::new();
    write_made_up(STORE, Position { lane: LaneId(u16::MAX), seq: Seq(u64::MAX) }, &mut longest);
    let longest = String::from_utf8(longest).unwrap();
    assert!(
        longest.len() <= 36 + 2
            && longest.trim_matches('"').bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        "{longest}"
    );
}

#[test]
fn lone_surrogates_read_as_the_replacement_everywhere() {
    let sent = r#"{"event":"\ud83d","properties":{"\udc00k":["\ud83d\ude00",{"a":"x\ud800"}]}}"#;
    let got = parsed(&style(), &event(sent));
    assert_eq!(got["event"], "\u{fffd}");
    assert_eq!(got["properties"]["\u{fffd}k"], json!(["😀", {"a": "x\u{fffd}"}]));
}

#[test]
fn what_is_no_event_is_an_error_and_leaves_nothing_behind() {
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"event":"e"}"#,
        r#"{"event":"e","properties":1}"#,
        r#"{"event":"e","properties":{"a"}}"#,
    ] {
        let mut out = b"kept".to_vec();
        assert!(Renderer::new(style()).line(&event(bad), &mut out).is_err(), "{bad}");
        assert_eq!(out, b"kept");
    }
}

/// The same line the slow way.
fn model(style: &Style, event: &Event<'_>) -> Value {
    let mut sent: Map<String, Value> = serde_json::from_slice(event.json).unwrap();
    let mut properties = match sent.remove("properties") {
        Some(Value::Object(p)) => p,
        other => panic!("{other:?}"),
    };
    for key in ["token", "ip"] {
        properties.remove(key);
    }
    let made_up = "abcdef01-3-77";
    let given = |v: Option<&Value>| v.filter(|v| !v.is_null() && *v != "").cloned();
    let mut distinct_id = properties.get("distinct_id").filter(|v| !v.is_null()).cloned();
    if style.simplified_ids && distinct_id.is_none() {
        distinct_id = given(properties.get("$user_id")).or_else(|| {
            let device = given(properties.get("$device_id"))?;
            let text = device.as_str().map_or_else(|| device.to_string(), str::to_owned);
            Some(json!(format!("$device:{}", text.strip_prefix("$device:").unwrap_or(&text))))
        });
    }
    let insert_id = given(properties.get("$insert_id")).unwrap_or_else(|| json!(made_up));
    properties.insert("time".into(), json!(event.time_ms.div_euclid(1000)));
    properties.insert("distinct_id".into(), distinct_id.unwrap_or_else(|| json!(made_up)));
    properties.insert("$insert_id".into(), insert_id);
    properties.insert("$mp_api_timestamp_ms".into(), json!(event.received_at_ms));
    if event.imported {
        properties.insert("$import".into(), json!(true));
    }
    sent.insert("properties".into(), Value::Object(properties));
    Value::Object(sent)
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "token",
            "ip",
            "time",
            "distinct_id",
            "$insert_id",
            "$user_id",
            "$device_id",
            "$import",
            "a",
            "\"",
            "\\"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("")),
        Just(json!("$device:d")),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// An object as text with its members in the given order, equal keys included.
fn object(members: &[(String, Value)], pretty: bool) -> String {
    let one = |(k, v): &(String, Value)| {
        let v = if pretty { serde_json::to_string_pretty(v) } else { serde_json::to_string(v) };
        format!("{}{}{}", json!(k), if pretty { " :\r\n\t" } else { ":" }, v.unwrap())
    };
    format!("{{{}}}", members.iter().map(one).collect::<Vec<_>>().join(if pretty { "\n,\n" } else { "," }))
}

proptest! {
    #[test]
    fn splicing_equals_parsing_and_rebuilding(
        properties in prop::collection::vec((key(), value()), 0..40),
        siblings in prop::collection::vec((any::<String>(), value()), 0..3),
        name in any::<String>(),
        pretty: bool, imported: bool, simplified_ids: bool,
    ) {
        let mut outer = siblings;
        outer.retain(|(k, _)| k != "event" && k != "properties");
        outer.push(("event".into(), json!(name)));
        let mut text = object(&outer, pretty);
        text.pop();
        text.push_str(&format!(",\"properties\":{}}}", object(&properties, pretty)));
        // The model's device ids are plain text; numbers and strings print alike there.
        let event = Event { imported, ..event(&text) };
        let style = Style { simplified_ids, ..style() };
        let device_is_scalar = properties.iter().rfind(|(k, _)| k == "$device_id").is_none_or(|(_, v)| v.is_string() || v.is_i64());
        prop_assume!(device_is_scalar);
        prop_assert_eq!(parsed(&style, &event), model(&style, &event));
        prop_assert_eq!(ways(&style, &event).1, Some(model(&style, &event)));
    }

    #[test]
    fn no_bytes_make_rendering_panic_or_break_a_line_and_both_ways_agree_on_json(
        json in prop::collection::vec(prop::sample::select(b"{}[]\":,\\u d8\n1eventproperties".to_vec()), 0..60),
        wrapped: bool,
    ) {
        let mut text = String::from_utf8(json).unwrap();
        if wrapped {
            text = format!(r#"{{"event":"e","properties":{{"a":1,{text}}}}}"#);
        }
        let (quick, long) = lines(&style(), &event(&text));
        if let Some(quick) = quick {
            prop_assert_eq!(quick.find('\n'), Some(quick.len() - 1));
            if serde_json::from_str::<Value>(&text).is_ok() {
                // The long way leaves out spaces between members.
                let packed = |line: String| line.replace(' ', "");
                prop_assert_eq!(Some(packed(quick)), long.map(packed));
            }
        }
    }
}

/// The line by the quick way, if the event is ordinary, and by the long way.
fn lines(style: &Style, event: &Event<'_>) -> (Option<String>, Option<String>) {
    let text = |out: Vec<u8>| String::from_utf8(out).unwrap();
    let quick = take_apart(event.json, event.imported, &mut Scratch::asking(Vec::new())).map(|parts| {
        let mut out = Vec::new();
        write_parts(style, event, &parts, &mut out);
        text(out)
    });
    let mut out = Vec::new();
    let long = write_event(style, event, &mut out).ok().map(|()| text(out));
    (quick, long)
}

/// As [`lines`], as values.
fn ways(style: &Style, event: &Event<'_>) -> (Option<Value>, Option<Value>) {
    let (quick, long) = lines(style, event);
    let value = |line: String| serde_json::from_str(&line).unwrap();
    (quick.map(value), long.map(value))
}

#[test]
fn ordinary_events_go_the_quick_way_and_read_the_same() {
    let wide = (0..MANY).map(|i| format!("\"key {i}\":{i}")).collect::<Vec<_>>().join(",");
    let ordinary = [
        r#"{"event":"e","properties":{}}"#.to_owned(),
        r#"{"event":"e","properties":{"token":"t"}}"#.into(),
        r#"{"event":"e","properties":{"token":"t","a":1,"b":[{"x":"]}"},null],"ip":"1","c":"d"}}"#.into(),
        r#"{"properties":{"a":"\\","b":"\"","time":1},"event":"said \"e\"","$mp_metadata":{"a":[1]},"id":7}"#
            .into(),
        r#"{"event":"é😀\ud83d\ude00\u00e9","properties":{"distinct_id":1,"$insert_id":"","ключ":1e400}}"#
            .into(),
        r#"{"event":null,"properties":{"time":1,"$import":1,"$mp_api_timestamp_ms":0,"a":{"a":{}}}}"#.into(),
        format!(r#"{{"event":"e","properties":{{{wide},"ip":1}}}}"#),
        format!(r#"{{"event":"{}","properties":{{"token":"{}"}}}}"#, "long ".repeat(99), "t".repeat(64)),
    ];
    for text in ordinary {
        for (imported, simplified_ids) in [(false, false), (true, true)] {
            let style = Style { simplified_ids, ..style() };
            let event = Event { imported, ..event(&text) };
            let (quick, long) = lines(&style, &event);
            assert!(quick.is_some(), "{text}");
            assert_eq!(quick, long, "{text}");
        }
        // Spaces between the parts stay where the sender wrote them.
        let spaced: Value = serde_json::from_str(&text.replace("1e400", "1")).unwrap();
        let spaced = spaced.to_string().replace("\":", "\" : ").replace(",\"", " , \"");
        let (quick, long) = ways(&style(), &event(&spaced));
        assert!(quick.is_some(), "{spaced}");
        assert_eq!(quick, long, "{spaced}");
    }
}

const MANY: usize = 200;

#[test]
fn what_is_not_ordinary_goes_the_long_way() {
    let wide = (0..5000).map(|i| format!("\"{i}\":{i}")).collect::<Vec<_>>().join(",");
    for text in [
        "{\"event\":\"e\",\n\"properties\":{}}",
        r#"{"event":"e","properties":{"a":1,"b":2,"a":3}}"#,
        r#"{"event":"e","properties":{"tok\u0065n":1}}"#,
        r#"{"event":"e","properties":{"a":"\ud83d"}}"#,
        r#"{"event":"e","properties":{},"event":"f"}"#,
        r#"{"event":"e","properties":{},"a":1,"a":2}"#,
        r#"{"event":"e","properties":{},"a":1,"b":2,"c":3,"d":4,"e":5}"#,
        &format!(r#"{{"event":"e","properties":{{"{}":1}}}}"#, "long ".repeat(20)),
        &format!(r#"{{"event":"e","properties":{{{wide}}}}}"#),
    ] {
        let (quick, long) = lines(&style(), &event(text));
        assert_eq!((quick, long.is_some()), (None, true), "{text}");
        assert_eq!(parsed(&style(), &event(text)), ways(&style(), &event(text)).1.unwrap(), "{text}");
    }
}
