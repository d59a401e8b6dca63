//! What `where` asks of events: an expression, and where its names are found in what is stored.
//!
//! An event is judged by the properties that its line shows: `time` is in seconds, ids that the export makes up are
//! there, `token` and `ip` are not. Whatever else is asked for is looked up in the sender's own bytes: of an ordinary
//! event in the [walk](super::quick) that its line is written from, of any other in a walk over all of them.
//!
//! # Invariants
//! * Of equal keys the last counts, as on the line.
//! * What a walk holds is a value for each name, and the items of the lists among them.

use crate::{
    BadQuery,
    json::{each_item, each_member, unescape},
    render::{Event, Known, Style, Unwritten},
};
use forebay_expression::{Expression, Name, Source, Value};
use std::{borrow::Cow, fmt, str};

/// A condition on events.
#[derive(Clone, Debug)]
pub struct Condition {
    expression: Expression,
    /// For each of its names, in order.
    places: Vec<Place>,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Condition) -> bool {
        self.expression == other.expression
    }
}

/// Where a name is found.
#[derive(Clone, Debug)]
enum Place {
    /// Among the properties as they were sent.
    Sent,
    /// `properties["time"]`
    Seconds,
    /// `event["$time"]`
    Moment,
    /// `event["$event_name"]`
    EventName,
    /// `properties["distinct_id"]`, `event["$distinct_id"]`
    DistinctId,
    /// `properties["$insert_id"]`
    InsertId,
    /// `properties["$mp_api_timestamp_ms"]`
    ReceivedAt,
    /// `properties["$import"]`
    Import,
    /// Never on a line.
    Nowhere,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

impl Condition {
    /// Reads what `where` says.
    ///
    /// # Errors
    /// What is wrong first, where, and what to do.
    pub fn parse(text: &str) -> Result<Condition, BadQuery> {
        let told = |column: usize, what: &str| BadQuery(format!("where, column {column}: {what}"));
        let expression = Expression::parse(text).map_err(|e| told(e.column, &e.what))?;
        let place = |name: &Name| Place::of(name).map_err(|what| told(name.column, what));
        let places = expression.names().iter().map(place).collect::<Result<_, _>>()?;
        Ok(Condition { expression, places })
    }

    /// Whether an event may turn out to hold what makes the condition meaningless.
    pub(crate) fn can_fault(&self) -> bool {
        self.expression.can_fault()
    }

    /// The properties whose values it wants as they were sent, each in the place of its name.
    pub(crate) fn asked(&self) -> Vec<Option<Box<[u8]>>> {
        let asked = |(name, place): (&Name, &Place)| {
            matches!(place, Place::Sent | Place::Import).then(|| name.name.as_bytes().into())
        };
        self.expression.names().iter().zip(&self.places).map(asked).collect()
    }

    /// Whether the event meets it, after one walk over all of its bytes.
    pub(crate) fn holds_the_long_way(&self, style: &Style, event: &Event<'_>) -> Result<bool, Unwritten> {
        let (mut name, mut properties): (&[u8], &[u8]) = (b"", b"{}");
        each_member(event.json, |member| match &*unescape(member.key) {
            b"event" => name = member.value,
            b"properties" => properties = member.value,
            _ => {}
        })?;
        let names = self.expression.names();
        let mut sent: Vec<Option<&[u8]>> = vec![None; names.len()];
        let mut known = Known::default();
        each_member(properties, |member| {
            let key = unescape(member.key);
            known.look_at(&key, member.value);
            for (slot, wanted) in sent.iter_mut().zip(names) {
                if *wanted.name.as_bytes() == *key {
                    *slot = Some(member.value);
                }
            }
        })?;
        self.holds(style, event, name, &known, |at| sent[at])
    }

    /// Whether an event of this name meets it, where `sent` has the values of what was [asked](Condition::asked).
    pub(crate) fn holds<'a>(
        &self,
        style: &Style,
        event: &Event<'_>,
        name: &'a [u8],
        known: &Known<'a>,
        sent: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Result<bool, Unwritten> {
        let (distinct_id, insert_id);
        let made = |wanted: fn(&Place) -> bool, make: &dyn Fn() -> Vec<u8>| {
            if self.places.iter().any(wanted) { make() } else { Vec::new() }
        };
        distinct_id = made(|p| matches!(p, Place::DistinctId), &|| known.distinct_id(style, event));
        insert_id = made(|p| matches!(p, Place::InsertId), &|| known.insert_id(style, event));
        let values: Vec<_> = self
            .places
            .iter()
            .enumerate()
            .map(|(at, place)| match place {
                Place::Sent => sent(at).map_or(Value::Undefined, value),
                Place::Seconds => number(event.time_ms.div_euclid(1000)),
                Place::Moment => Value::Datetime(event.time_ms),
                Place::EventName => value(name),
                Place::DistinctId => value(&distinct_id),
                Place::InsertId => value(&insert_id),
                Place::ReceivedAt => number(i64::try_from(event.received_at_ms).unwrap_or(i64::MAX)),
                Place::Import if event.imported => Value::Boolean(true),
                Place::Import => sent(at).map_or(Value::Undefined, value),
                Place::Nowhere => Value::Undefined,
            })
            .collect();
        self.expression.holds(&values).map_err(Unwritten::Fault)
    }
}

impl Place {
    fn of(name: &Name) -> Result<Place, &'static str> {
        match (name.source, &*name.name) {
            (Source::User, _) => Err(
                "user[\u{2026}] is a profile's property, and the export has events only: ask for properties[\u{2026}]",
            ),
            (Source::Event, "$time") => Ok(Place::Moment),
            (Source::Event, "$event_name" | "$name") => Ok(Place::EventName),
            (Source::Event, "$distinct_id") | (Source::Properties, "distinct_id") => Ok(Place::DistinctId),
            (Source::Event, _) => Err(
                "of event[\u{2026}] there are $time, $event_name and $distinct_id: write properties[\u{2026}] for all else",
            ),
            (Source::Properties, "time") => Ok(Place::Seconds),
            (Source::Properties, "$insert_id") => Ok(Place::InsertId),
            (Source::Properties, "$mp_api_timestamp_ms") => Ok(Place::ReceivedAt),
            (Source::Properties, "$import") => Ok(Place::Import),
            (Source::Properties, "token" | "ip") => Ok(Place::Nowhere),
            (Source::Properties, _) => Ok(Place::Sent),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "times of the years that can be named lose nothing")]
fn number<'v>(number: i64) -> Value<'v> {
    Value::Number(number as f64)
}

/// What JSON says.
fn value(raw: &[u8]) -> Value<'_> {
    match raw.first() {
        Some(b'[') => {
            let mut items = Vec::new();
            // It was checked when it was stored; of one that is broken all the same the rest is left out.
            let _ = each_item(raw, |item| {
                items.push(if item.first() == Some(&b'[') { Value::Object } else { value(item) })
            });
            Value::List(items.into())
        }
        Some(b'{') => Value::Object,
        Some(b'"') => {
            let inside =
                raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or_default();
            Value::Text(match unescape(inside) {
                Cow::Borrowed(text) => String::from_utf8_lossy(text),
                Cow::Owned(text) => String::from_utf8_lossy(&text).into_owned().into(),
            })
        }
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'n') => Value::Null,
        _ => {
            let number = str::from_utf8(raw).ok().and_then(|digits| digits.parse().ok());
            number.map_or(Value::Undefined, Value::Number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Renderer;
    use forebay_record::{LaneId, Position, Seq, StoreId};
    use proptest::prelude::*;

    const STYLE: Style = Style { store: StoreId([1; 16]), time_in_ms: false, simplified_ids: true };

    fn event(json: &str, imported: bool) -> Event<'_> {
        Event {
            json: json.as_bytes(),
            time_ms: 1_772_366_400_999,
            received_at_ms: 1_772_366_401_000,
            position: Position { lane: LaneId(2), seq: Seq(7) },
            imported,
            address_hash: None,
        }
    }

    fn parsed(text: &str) -> Condition {
        Condition::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// By the long way, and by that of an export.
    fn judge(text: &str, json: &str, imported: bool) -> Result<bool, Unwritten> {
        let (condition, event) = (parsed(text), event(json, imported));
        let long = condition.holds_the_long_way(&STYLE, &event);
        let mut line = Vec::new();
        let exported = Renderer::new(STYLE).only(Some(condition)).line(&event, &mut line);
        assert_eq!(exported.as_ref().ok(), long.as_ref().ok(), "{text}");
        assert_eq!(exported.is_ok_and(|written| written), !line.is_empty(), "{text}");
        long
    }

    fn check(json: &str, rows: &[(&str, bool)]) {
        for (text, holds) in rows {
            assert_eq!(judge(text, json, true).unwrap(), *holds, "{text}");
        }
    }

    #[test]
    fn an_event_is_judged_by_what_its_line_shows() {
        let odd = r#"{ "event":"B\u0075y","pr\u006fperties" : {"token":"t","ip":"1.2.3.4","time":1,"pl\u0061n":"free",
            "plan":"pr\u006f","n":12.5e0,"big":1e400,"on":true,"off":false,"none":null,"list":["a",1,["b"],null],
            "deep":{"x":1},"$device_id":"d-1","$import":false}, "x":1 }"#;
        let ordinary = r#"{"event":"Buy","properties":{"token":"t","ip":"1.2.3.4","time":1,"plan": "pro" ,"n":12.5,"big":1e400,"on":true,"off":false,"none":null,"list":["a",1,["b"],null],"deep":{"x":1},"$device_id":"d-1","$import":false},"x":1}"#;
        for json in [odd, ordinary] {
            check(
                json,
                &[
                    (r#"properties["plan"] == "pro""#, true),
                    (r#"properties["n"] == 12.5 and properties["on"] and not properties["off"]"#, true),
                    (r#"properties["big"] > 1e300"#, true),
                    (r#"defined(properties["none"])"#, false),
                    (r#"defined(properties["x"])"#, false),
                    (r#"defined(properties["deep"])"#, true),
                    (r#""a" in properties["list"] and 1 in properties["list"]"#, true),
                    (r#""b" in properties["list"]"#, false),
                    (r#"properties["time"] == 1772366400"#, true),
                    (r#"event["$time"] > datetime("2026-03-01T12:00:00")"#, true),
                    (r#"event["$time"] < datetime("2026-03-01T12:00:01")"#, true),
                    (r#"event["$event_name"] == "Buy""#, true),
                    (r#"properties["$mp_api_timestamp_ms"] == 1772366401000"#, true),
                    (r#"properties["$import"]"#, true),
                    (r#"defined(properties["token"]) or defined(properties["ip"])"#, false),
                    (r#"properties["distinct_id"] == "$device:d-1""#, true),
                    (r#"event["$distinct_id"] == "$device:d-1""#, true),
                    (r#"properties["$insert_id"] == "01010101-2-7""#, true),
                ],
            );
            assert!(!judge(r#"properties["$import"]"#, json, false).unwrap());
        }
    }

    #[test]
    fn what_cannot_be_judged_is_told_from_what_does_not_hold() {
        let json = r#"{"event":"e","properties":{"n":1}}"#;
        assert!(matches!(judge(r#"properties["n"]"#, json, false), Err(Unwritten::Fault(_))));
        assert!(matches!(
            judge(r#"properties["n"] == 1"#, "{\"event\":", false),
            Err(Unwritten::Malformed(_))
        ));
    }

    #[test]
    fn what_the_export_has_not_is_refused_with_its_column() {
        for (text, told) in [
            (
                r#"properties["a"] == 1 and user["$email"] == "x""#,
                "where, column 26: user[…] is a profile's property, and the export has events only: ask for properties[…]",
            ),
            (
                r#"event["plan"] == 1"#,
                "where, column 1: of event[…] there are $time, $event_name and $distinct_id: write properties[…] for all else",
            ),
            ("a", "where, column 1: `a` is not known: "),
        ] {
            let error = Condition::parse(text).unwrap_err().0;
            assert!(error.starts_with(told), "{error}");
        }
    }

    const CONDITIONS: &[&str] = &[
        r#"properties["a"] == "x""#,
        r#"properties["a"] == 1 or properties["b"] == 1"#,
        r#"defined(properties["$import"]) and not defined(properties["token"])"#,
        r#""x" in properties["b"]"#,
        r#"properties["a"]"#,
        r#"properties["distinct_id"] == "x" or properties["$insert_id"] == "x" or event["$event_name"] == "e""#,
        r#"properties["$user_id"] == "x""#,
    ];
    const KEYS: &[&str] = &[
        "a",
        "b",
        "c",
        r"\u0061",
        "token",
        "$import",
        "$user_id",
        "$device_id",
        "distinct_id",
        "$insert_id",
    ];
    const VALUES: &[&str] =
        &["1", r#""x""#, r#"  "x" "#, r#""\u0078""#, "true", "null", r#"["x",1]"#, r#"{"a":"x"}"#];

    proptest! {
        #[test]
        fn both_ways_judge_alike_whatever_was_judged_before(
            events in prop::collection::vec(
                prop::collection::vec((prop::sample::select(KEYS), prop::sample::select(VALUES)), 0..6),
                1..8,
            ),
            condition in prop::sample::select(CONDITIONS),
            imported: bool,
        ) {
            let condition = parsed(condition);
            let mut renderer = Renderer::new(STYLE).only(Some(condition.clone()));
            for properties in events {
                let members: Vec<_> =
                    properties.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                let json = format!("{{\"event\":\"e\",\"properties\":{{{}}}}}", members.join(","));
                let event = event(&json, imported);
                let exported = renderer.line(&event, &mut Vec::new());
                let long = condition.holds_the_long_way(&STYLE, &event);
                prop_assert_eq!(exported.ok(), long.ok(), "{}", json);
            }
        }
    }
}
