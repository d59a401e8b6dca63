//! Times and amounts as people read them: UTC, which is what the log and the export are in. A project's own pages show its
//! zone beside it, see [`times`](crate::times); the others that of the browser, see [`moment`](crate::moment).

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A moment to the minute, such as `2026-03-01 14:05 UTC`.
pub(crate) fn minute(at_ms: u64) -> String {
    format(at_ms, "%Y-%m-%d %H:%M UTC")
}

/// A moment's time of day, such as `14:05:09`.
pub(crate) fn clock(at_ms: u64) -> String {
    format(at_ms, "%H:%M:%S")
}

/// A moment's day, such as `2026-03-01`.
pub(crate) fn day(at_ms: u64) -> String {
    format(at_ms, "%Y-%m-%d")
}

/// How often something was used, and when last, for a sentence.
pub(crate) fn used(times: u64, thing: &str, last_ms: Option<u64>) -> String {
    match last_ms {
        None if times == 0 => format!("no {thing} so far"),
        None => format!("{} so far", of(times, thing)),
        Some(last_ms) => format!("{} so far, the last one {}", of(times, thing), minute(last_ms)),
    }
}

/// A moment as programs read it (RFC 3339).
pub(crate) fn rfc3339(at_ms: u64) -> String {
    format(at_ms, "%Y-%m-%dT%H:%M:%SZ")
}

fn format(at_ms: u64, form: &str) -> String {
    let stamp = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(|| "an unknown time".to_owned(), |stamp| stamp.strftime(form).to_string())
}

/// The first millisecond of a day written `YYYY-MM-DD`.
pub(crate) fn day_start_ms(text: &str) -> Option<u64> {
    let date: Date = text.parse().ok()?;
    let start = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    u64::try_from(start.as_millisecond()).ok()
}

/// A moment as programs write it, in milliseconds.
pub(crate) fn parse_rfc3339(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_millisecond()).ok()
}

/// A count with its thousands set apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// An amount of bytes, such as `1.5 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    let power = (n.max(1).ilog2() / 10).min(4);
    if power == 0 {
        return of(n, "byte");
    }
    let tenths = (u128::from(n) * 10) >> (10 * power);
    format!("{}.{} {}", tenths / 10, tenths % 10, ["", "KiB", "MiB", "GiB", "TiB"][power as usize])
}

/// A count of things: `1 event`, `2 events`.
pub(crate) fn of(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_read_well() {
        let at_ms = 1_772_374_509_123;
        assert_eq!(minute(at_ms), "2026-03-01 14:15 UTC");
        assert_eq!(clock(at_ms), "14:15:09");
        assert_eq!(rfc3339(at_ms), "2026-03-01T14:15:09Z");
        assert_eq!(parse_rfc3339("2026-03-01T14:15:09.123Z"), Some(at_ms));
        assert_eq!(day_start_ms(&day(at_ms)).map(minute).as_deref(), Some("2026-03-01 00:00 UTC"));
        assert_eq!((day_start_ms("tomorrow"), parse_rfc3339("soon")), (None, None));
        assert_eq!(used(0, "event", None), "no event so far");
        assert_eq!(used(2, "event", Some(at_ms)), "2 events so far, the last one 2026-03-01 14:15 UTC");
        assert_eq!(minute(u64::MAX), "an unknown time");
        assert_eq!((count(1_234_567).as_str(), count(0).as_str()), ("1\u{202f}234\u{202f}567", "0"));
        let sizes = [0, 1023, 1024, 1_600_000, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 bytes", "1\u{202f}023 bytes", "1.0 KiB", "1.5 MiB", "16777215.9 TiB"]);
        assert_eq!((of(1, "event"), of(2, "event")), ("1 event".into(), "2 events".into()));
    }
}
