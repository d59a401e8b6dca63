//! Times as they are given on the command line.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Reads a time, or a day for its first moment; both are UTC unless the time says otherwise.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let midnight = |day: Date| day.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
    let read = text.parse().ok().or_else(|| text.parse().ok().and_then(midnight));
    read.ok_or_else(|| {
        "it must be a time such as 2026-11-01T00:00:00Z, or a day such as 2026-11-01".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_a_day_is_taken_and_anything_else_is_told_what_would_be() {
        for (text, ms) in [
            ("2026-11-01T00:00:00Z", 1_793_491_200_000),
            ("2026-11-01", 1_793_491_200_000),
            ("2026-11-01T01:00:00+01:00", 1_793_491_200_000),
        ] {
            assert_eq!(moment(text).map(Timestamp::as_millisecond), Ok(ms), "{text}");
        }
        for text in ["", "now", "2026-13-01", "1793491200"] {
            assert!(moment(text).unwrap_err().contains("2026-11-01T00:00:00Z"), "{text}");
        }
    }
}
