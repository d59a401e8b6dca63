//! What `where` asks of events: an expression, and where its names are found in what is stored.
//!
//! An event is judged by the properties that its line shows: `time` is in seconds, ids that the export makes up are
//! there, `token` and `ip` are not. Whatever else is asked for is looked up in the sender's own bytes, in one walk over
//! them.
//!
//! # Invariants
//! * Of equal keys the last counts, as on the line.
//! * What a walk holds is a value for each name, and the items of the lists among them.

use crate::{
    BadQuery,
    json::{Malformed, each_item, each_member, unescape},
    render::{Event, Known, Style},
};
use forebay_expression::{Expression, Fault, Name, Source, Value};
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

/// Why an event could not be judged.
#[derive(Debug)]
pub(crate) enum Unjudged {
    /// It is not what was promised.
    Malformed(Malformed),
    /// It holds what the expression cannot mean.
    Fault(Fault),
}

impl From<Malformed> for Unjudged {
    fn from(e: Malformed) -> Unjudged {
        Unjudged::Malformed(e)
    }
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

    /// Whether the event meets it.
    pub(crate) fn holds(&self, style: &Style, event: &Event<'_>) -> Result<bool, Unjudged> {
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
        let (distinct_id, insert_id);
        let made = |wanted: fn(&Place) -> bool, make: &dyn Fn() -> Vec<u8>| {
            if self.places.iter().any(wanted) { make() } else { Vec::new() }
        };
        distinct_id = made(|p| matches!(p, Place::DistinctId), &|| known.distinct_id(style, event));
        insert_id = made(|p| matches!(p, Place::InsertId), &|| known.insert_id(style, event));
        let values: Vec<_> = self
            .places
            .iter()
            .zip(&sent)
            .map(|(place, sent)| match place {
                Place::Sent => sent.map_or(Value::Undefined, value),
                Place::Seconds => number(event.time_ms.div_euclid(1000)),
                Place::Moment => Value::Datetime(event.time_ms),
                Place::EventName => value(name),
                Place::DistinctId => value(&distinct_id),
                Place::InsertId => value(&insert_id),
                Place::ReceivedAt => number(i64::try_from(event.received_at_ms).unwrap_or(i64::MAX)),
                Place::Import if event.imported => Value::Boolean(true),
                Place::Import => sent.map_or(Value::Undefined, value),
                Place::Nowhere => Value::Undefined,
            })
            .collect();
        self.expression.holds(&values).map_err(Unjudged::Fault)
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
    use forebay_record::{LaneId, Position, Seq, StoreId};

    const STYLE: Style = Style { store: StoreId([1; 16]), time_in_ms: false, simplified_ids: true };

    fn judge(text: &str, json: &str, imported: bool) -> Result<bool, Unjudged> {
        let event = Event {
            json: json.as_bytes(),
            time_ms: 1_772_366_400_999,
            received_at_ms: 1_772_366_401_000,
            position: Position { lane: LaneId(2), seq: Seq(7) },
            imported,
            address_hash: None,
        };
        Condition::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).holds(&STYLE, &event)
    }

    fn check(json: &str, rows: &[(&str, bool)]) {
        for (text, holds) in rows {
            assert_eq!(judge(text, json, true).unwrap(), *holds, "{text}");
        }
    }

    #[test]
    fn an_event_is_judged_by_what_its_line_shows() {
        let json = r#"{ "event":"B\u0075y","pr\u006fperties" : {"token":"t","ip":"1.2.3.4","time":1,"pl\u0061n":"free",
            "plan":"pr\u006f","n":12.5e0,"big":1e400,"on":true,"off":false,"none":null,"list":["a",1,["b"],null],
            "deep":{"x":1},"$device_id":"d-1","$import":false}, "x":1 }"#;
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

    #[test]
    fn what_cannot_be_judged_is_told_from_what_does_not_hold() {
        let json = r#"{"event":"e","properties":{"n":1}}"#;
        assert!(matches!(judge(r#"properties["n"]"#, json, false), Err(Unjudged::Fault(_))));
        assert!(matches!(
            judge(r#"properties["n"] == 1"#, "{\"event\":", false),
            Err(Unjudged::Malformed(_))
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
}
