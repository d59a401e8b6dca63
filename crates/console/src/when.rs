//! Times and amounts as people read them: always UTC, which is what the log and the export are in.

use jiff::Timestamp;

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

fn format(at_ms: u64, form: &str) -> String {
    let stamp = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(|| "an unknown time".to_owned(), |stamp| stamp.strftime(form).to_string())
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
        assert_eq!(minute(u64::MAX), "an unknown time");
        assert_eq!((count(1_234_567).as_str(), count(0).as_str()), ("1\u{202f}234\u{202f}567", "0"));
        assert_eq!((of(1, "event"), of(2, "event")), ("1 event".into(), "2 events".into()));
    }
}
