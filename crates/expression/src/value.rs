//! What a part of an expression comes to.

use std::{borrow::Cow, sync::Arc};

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::Kind;

/// A value: of an event's property, of a literal, or worked out.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'v> {
    /// There is none.
    Undefined,
    /// JSON's `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number; all are kept as the nearest that 64 bits of floating point can say.
    Number(f64),
    /// A string.
    Text(Cow<'v, str>),
    /// A moment, in milliseconds since the epoch.
    Datetime(i64),
    /// A list. Lists within lists are [`Value::Object`]s.
    List(Arc<[Value<'v>]>),
    /// An object: it is there, and that is all that can be asked of it.
    Object,
}

impl<'v> Value<'v> {
    /// A string.
    #[must_use]
    pub fn text(text: &'v str) -> Value<'v> {
        Value::Text(Cow::Borrowed(text))
    }

    /// The same without copying what it holds.
    pub(crate) fn lent(&'v self) -> Value<'v> {
        match self {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            other => other.clone(),
        }
    }

    /// Which kind of value it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Value::Undefined => Kind::UNDEFINED,
            Value::Null => Kind::NULL,
            Value::Boolean(_) => Kind::BOOLEAN,
            Value::Number(_) => Kind::NUMBER,
            Value::Text(_) => Kind::TEXT,
            Value::Datetime(_) => Kind::DATETIME,
            Value::List(_) => Kind::LIST,
            Value::Object => Kind::OBJECT,
        }
    }

    /// A moment that this says: itself, a date or time in ISO 8601 (UTC where it names no zone), or seconds since the
    /// epoch.
    pub(crate) fn moment_ms(&self) -> Option<i64> {
        match self {
            Value::Datetime(ms) => Some(*ms),
            Value::Number(seconds) => {
                let ms = (seconds * 1000.0).round();
                // Beyond these there is no day to name; within them a float holds every millisecond.
                #[expect(clippy::cast_possible_truncation, reason = "whole, and of 53 bits at most")]
                (ms.abs() < 9e15).then_some(ms as i64)
            }
            Value::Text(text) => moment_ms(text.trim()),
            _ => None,
        }
    }
}

/// The moment that a text names.
fn moment_ms(text: &str) -> Option<i64> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_millisecond());
    }
    // A date alone is its midnight.
    let moment: civil::DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(moment).ok().map(Timestamp::as_millisecond)
}

/// A moment as text.
pub(crate) fn moment_text(ms: i64) -> Option<String> {
    Timestamp::from_millisecond(ms).ok().map(|moment| moment.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}
