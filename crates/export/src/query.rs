//! What an export asks for: parameters to a checked [`Query`], or the text of the 400.
//!
//! Clients match on one text, `to_date cannot be later than today`; it must stay as it is.

use crate::Condition;
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, collections::HashSet, fmt, ops::RangeInclusive};

/// The most events that `limit` may name.
pub const LIMIT_MAX: u64 = 100_000;

/// So many event names the audit is told of.
const EVENTS_TOLD: usize = 10;
/// So much of a condition.
const CONDITION_CHARS_TOLD: usize = 500;

/// A checked request for events.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Both days included, UTC.
    pub days: RangeInclusive<Date>,
    /// Only events of these names.
    pub events: Option<HashSet<String>>,
    /// Only events that meet this.
    pub condition: Option<Condition>,
    /// At most so many.
    pub limit: Option<u64>,
    /// `time` in milliseconds.
    pub time_in_ms: bool,
}

impl Query {
    /// The milliseconds since the epoch that the days span.
    #[must_use]
    pub fn time_ms(&self) -> RangeInclusive<i64> {
        let start = |day: Date| {
            let midnight = DateTime::from_parts(day, jiff::civil::Time::midnight());
            TimeZone::UTC.to_timestamp(midnight).map(Timestamp::as_millisecond)
        };
        let first = start(*self.days.start()).unwrap_or(i64::MIN);
        let next = self.days.end().tomorrow().and_then(start);
        first..=next.map_or(i64::MAX, |ms| ms - 1)
    }
}

impl fmt::Display for Query {
    /// As the audit has it: what is asked for, cut where it is longer than is useful.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from_date {}, to_date {}", self.days.start(), self.days.end())?;
        if let Some(events) = &self.events {
            let mut names: Vec<_> = events.iter().map(|name| clip(name)).collect();
            names.sort_unstable();
            let more = names.len().saturating_sub(EVENTS_TOLD);
            names.truncate(EVENTS_TOLD);
            write!(f, ", events {}", names.join(" "))?;
            if more > 0 {
                write!(f, " and {more} more")?;
            }
        }
        if let Some(condition) = &self.condition {
            let text = condition.to_string();
            let end = text.char_indices().nth(CONDITION_CHARS_TOLD).map_or(text.len(), |(end, _)| end);
            write!(f, ", where {}{}", &text[..end], if end < text.len() { "\u{2026}" } else { "" })?;
        }
        self.limit.map_or(Ok(()), |limit| write!(f, ", limit {limit}"))
    }
}

/// Why a request for events is answered with 400; the text is for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadQuery(pub String);

impl fmt::Display for BadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadQuery {}

/// The UTC day of a clock reading.
#[must_use]
pub(crate) fn utc_day(now_ms: u64) -> Date {
    let now = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    now.map_or(Date::MAX, |t| t.to_zoned(TimeZone::UTC).date())
}

/// The decoded value of `name` in a query string; the first of equal names counts.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let decode = |raw: &'a str| -> Cow<'a, str> {
        if raw.contains('+') {
            let spaced = raw.replace('+', " ");
            return percent_decode_str(&spaced).decode_utf8_lossy().into_owned().into();
        }
        percent_decode_str(raw).decode_utf8_lossy()
    };
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

/// Checks the parameters of `GET /api/2.0/export`.
///
/// # Errors
/// The first parameter that is missing or wrong, with what is accepted.
pub(crate) fn parse(query: &str, today: Date) -> Result<Query, BadQuery> {
    let given = |name| parameter(query, name).filter(|v| !v.is_empty());
    let days = days(given("from_date").as_deref(), given("to_date").as_deref(), today)?;
    let time_in_ms = match given("time_in_ms").as_deref() {
        None => false,
        Some(v) if v.eq_ignore_ascii_case("true") || v == "1" => true,
        Some(v) if v.eq_ignore_ascii_case("false") || v == "0" => false,
        Some(v) => return Err(BadQuery(format!("time_in_ms must be true or false, not {}", clip(v)))),
    };
    Ok(Query {
        days,
        events: given("event").map(|v| event_names(&v)).transpose()?,
        condition: given("where").map(|v| Condition::parse(&v)).transpose()?,
        limit: given("limit").map(|v| limit(&v)).transpose()?,
        time_in_ms,
    })
}

/// Checks the two days of an export.
///
/// # Errors
/// A day that is missing, no day, in the future, or after the last one.
pub fn days(from: Option<&str>, to: Option<&str>, today: Date) -> Result<RangeInclusive<Date>, BadQuery> {
    let (from, to) = (day("from_date", from)?, day("to_date", to)?);
    if to > today {
        return Err(BadQuery("to_date cannot be later than today".to_owned()));
    }
    if from > to {
        return Err(BadQuery(format!("from_date {from} cannot be later than to_date {to}")));
    }
    Ok(from..=to)
}

fn day(name: &str, value: Option<&str>) -> Result<Date, BadQuery> {
    let value =
        value.ok_or_else(|| BadQuery(format!("{name}, missing or empty: a day as YYYY-MM-DD (UTC)")))?;
    let shaped = value.len() == 10
        && value
            .bytes()
            .enumerate()
            .all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    let parsed = if shaped { value.parse().ok() } else { None };
    parsed.ok_or_else(|| BadQuery(format!("{name} must be a day as YYYY-MM-DD (UTC), not {}", clip(value))))
}

fn event_names(value: &str) -> Result<HashSet<String>, BadQuery> {
    let names: HashSet<String> = serde_json::from_str(value).map_err(|_| {
        BadQuery(format!(
            "event must be a JSON array of event names such as [\"Sign up\"], not {}",
            clip(value)
        ))
    })?;
    if names.is_empty() {
        return Err(BadQuery("event names no event: leave it out to export all".to_owned()));
    }
    Ok(names)
}

fn limit(value: &str) -> Result<u64, BadQuery> {
    let parsed = value.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n));
    parsed.ok_or_else(|| {
        BadQuery(format!("limit must be a whole number from 1 to {LIMIT_MAX}, not {}", clip(value)))
    })
}

/// A caller's value for an error text: quoted, and not longer than is useful.
pub(crate) fn clip(value: &str) -> String {
    match value.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> Date {
        utc_day(1_760_000_000_000) // 2025-10-09T08:53:20Z
    }

    #[test]
    fn days_are_whole_utc_days_both_included() {
        let q = parse("from_date=2025-10-08&to_date=2025-10-09", today()).unwrap();
        assert_eq!(q.time_ms(), 1_759_881_600_000..=1_760_054_399_999);
        assert_eq!((q.events, q.limit, q.time_in_ms), (None, None, false));
        let all = parse("from_date=0000-01-01&to_date=2025-10-09", today()).unwrap();
        assert!(*all.time_ms().start() < 0);
    }

    #[test]
    fn all_parameters_are_read_and_the_first_of_equal_ones_counts() {
        let q = parse(
            "from_date=2025-10-01&to_date=2025-10-02&to_date=nonsense&event=%5B%22a%22%2C+%22b%20%E2%9C%93%22%5D&limit=7&time_in_ms=True&where=%28boolean%28properties%5B%22X%22%5D%29+%3D%3D+true%29&x=1",
            today(),
        )
        .unwrap();
        assert_eq!(q.events, Some(["a".to_owned(), "b ✓".to_owned()].into()));
        assert_eq!((q.limit, q.time_in_ms), (Some(7), true));
        assert_eq!(q.condition, Some(Condition::parse(r#"boolean(properties["X"]) == true"#).unwrap()));
        let empty = parse("from_date=2025-10-01&to_date=2025-10-02&where=", today()).unwrap();
        assert_eq!(empty.condition, None);
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_is_accepted() {
        let dates = "from_date=2025-10-01&to_date=2025-10-02";
        for (query, text) in [
            (String::new(), "from_date, missing or empty: a day as YYYY-MM-DD (UTC)"),
            ("from_date=2025-10-01&to_date=".into(), "to_date, missing or empty: a day as YYYY-MM-DD (UTC)"),
            ("from_date=20251001".into(), "from_date must be a day as YYYY-MM-DD (UTC), not \"20251001\""),
            (
                "from_date=2025-02-30".into(),
                "from_date must be a day as YYYY-MM-DD (UTC), not \"2025-02-30\"",
            ),
            ("from_date=2025-10-01&to_date=2025-10-10".into(), "to_date cannot be later than today"),
            (
                "from_date=2025-10-03&to_date=2025-10-02".into(),
                "from_date 2025-10-03 cannot be later than to_date 2025-10-02",
            ),
            (
                format!("{dates}&event=abc"),
                "event must be a JSON array of event names such as [\"Sign up\"], not \"abc\"",
            ),
            (format!("{dates}&event=[]"), "event names no event: leave it out to export all"),
            (format!("{dates}&limit=0"), "limit must be a whole number from 1 to 100000, not \"0\""),
            (
                format!("{dates}&limit=100001"),
                "limit must be a whole number from 1 to 100000, not \"100001\"",
            ),
            (format!("{dates}&time_in_ms=yes"), "time_in_ms must be true or false, not \"yes\""),
            (
                format!("{dates}&where=1"),
                "where, column 1: a number is neither true nor false, which a filter needs: compare it, or write boolean(…)",
            ),
        ] {
            assert_eq!(parse(&query, today()).unwrap_err().0, text, "{query}");
        }
    }

    #[test]
    fn the_audit_is_told_what_was_asked_for_and_no_more_than_is_useful() {
        let dates = "from_date=2025-10-01&to_date=2025-10-02";
        let told = |more: &str| parse(&format!("{dates}{more}"), today()).unwrap().to_string();
        assert_eq!(told(""), "from_date 2025-10-01, to_date 2025-10-02");
        assert_eq!(
            told("&event=[\"b\",\"a\"]&limit=7&where=(properties[\"x\"]==1)"),
            "from_date 2025-10-01, to_date 2025-10-02, events \"a\" \"b\", where properties[\"x\"] == 1, limit 7"
        );
        let names: Vec<String> = (0..500).map(|n| format!("\"{n}\"")).collect();
        let long = told(&format!("&event=[{}]&where=1 in [{}]", names.join(","), names.join(",")));
        assert!(long.len() < 800 && long.contains(" and 490 more") && long.ends_with('\u{2026}'), "{long}");
    }

    #[test]
    fn a_long_wrong_value_is_clipped() {
        let text = parse(&format!("from_date={}", "é".repeat(500)), today()).unwrap_err().0;
        assert!(text.len() < 250 && text.ends_with('…'), "{text}");
    }
}
