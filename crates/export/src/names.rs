//! `GET /api/query/events/names`: what a project's events are called.
//!
//! The answer is a JSON array of names that occur in the days asked for, those last in the alphabet first, as Mixpanel
//! documents it. `Age` says for how many seconds events that have gone since may still count; where there are more names
//! than are counted, `Forebay-Incomplete` says so.

use crate::{
    BadQuery, Names,
    query::{self, clip, parameter},
    refused::with_type,
};
use forebay_http::Body;
use hyper::{
    Response,
    header::{AGE, HeaderName, HeaderValue},
};
use jiff::{ToSpan, civil::Date};
use std::ops::RangeInclusive;

/// So many names are given where nothing else is asked for.
const LIMIT: usize = 255;
/// The most that are given, whatever is asked for.
const LIMIT_MAX: usize = 5000;
/// So many days are looked at where nothing else is asked for, today's included.
const DAYS: i32 = 31;
const INCOMPLETE: HeaderName = HeaderName::from_static("forebay-incomplete");

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamesQuery {
    pub(crate) days: RangeInclusive<Date>,
    limit: usize,
}

/// Checks the parameters.
pub(crate) fn parse(query: &str, today: Date) -> Result<NamesQuery, BadQuery> {
    let given = |name| parameter(query, name).filter(|v| !v.is_empty());
    if let Some(kind) = given("type").filter(|v| !matches!(&**v, "general" | "unique" | "average")) {
        return Err(BadQuery(format!("type must be general, unique or average, not {}", clip(&kind))));
    }
    let limit = match given("limit") {
        None => LIMIT,
        Some(v) => match v.parse::<usize>() {
            Ok(limit) if limit > 0 => limit.min(LIMIT_MAX),
            _ => {
                return Err(BadQuery(format!(
                    "limit must be a whole number of at least 1, not {}",
                    clip(&v)
                )));
            }
        },
    };
    let to = given("to_date").unwrap_or_else(|| today.to_string().into());
    let from = match given("from_date") {
        Some(from) => from,
        None => {
            let last: Date = to.parse().unwrap_or(today);
            last.saturating_sub((DAYS - 1).days()).to_string().into()
        }
    };
    Ok(NamesQuery { days: query::days(Some(&from), Some(&to), today)?, limit })
}

/// The answer.
pub(crate) fn answer(query: &NamesQuery, names: &Names) -> Response<Body> {
    let listed: Vec<&String> = names.events.keys().rev().take(query.limit).collect();
    let mut answer =
        with_type("application/json", serde_json::Value::from_iter(listed.into_iter().cloned()).to_string());
    let headers = answer.headers_mut();
    headers.insert(AGE, HeaderValue::from(names.age_ms / 1000));
    if names.is_partial {
        headers.insert(INCOMPLETE, HeaderValue::from_static("more names than are counted, or longer ones"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn today() -> Date {
        Date::constant(2025, 10, 9)
    }

    #[test]
    fn what_is_not_asked_for_is_the_last_month_and_255_names() {
        for (query, days, limit) in [
            ("", "2025-09-09 2025-10-09", 255),
            ("type=general&limit=10", "2025-09-09 2025-10-09", 10),
            ("limit=99999", "2025-09-09 2025-10-09", 5000),
            ("to_date=2025-03-01", "2025-01-30 2025-03-01", 255),
            ("from_date=2025-10-01", "2025-10-01 2025-10-09", 255),
            ("from_date=2024-01-01&to_date=2024-01-02", "2024-01-01 2024-01-02", 255),
        ] {
            let got = parse(query, today()).unwrap();
            let told = format!("{} {}", got.days.start(), got.days.end());
            assert_eq!((&*told, got.limit), (days, limit), "{query}");
        }
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_is_accepted() {
        for (query, text) in [
            ("type=all", "type must be general, unique or average, not \"all\""),
            ("limit=0", "limit must be a whole number of at least 1, not \"0\""),
            ("limit=few", "limit must be a whole number of at least 1, not \"few\""),
            ("to_date=2025-10-10", "to_date cannot be later than today"),
            ("to_date=soon", "to_date must be a day as YYYY-MM-DD (UTC), not \"soon\""),
            ("from_date=2025-10-10", "from_date 2025-10-10 cannot be later than to_date 2025-10-09"),
        ] {
            assert_eq!(parse(query, today()).unwrap_err().0, text, "{query}");
        }
    }

    #[test]
    fn names_come_last_in_the_alphabet_first_and_say_their_age_and_what_is_missing() {
        let names = Names {
            events: [("a", 1), ("c \"q\"", 9), ("b", 2)].map(|(name, n)| (name.to_owned(), n)).into(),
            is_partial: true,
            age_ms: 7_999,
        };
        let query = parse("limit=2", today()).unwrap();
        let answered = answer(&query, &names);
        assert_eq!(answered.headers()[AGE], "7");
        assert!(answered.headers().contains_key(INCOMPLETE));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(answered.into_body().collect()).ok().unwrap().to_bytes();
        assert_eq!(&body[..], br#"["c \"q\"","b"]"#);
        let whole = answer(&query, &Names { is_partial: false, ..names });
        assert!(!whole.headers().contains_key(INCOMPLETE));
    }
}
