//! Times of a project's pages: in its time zone, with UTC beside it, which is what the log and the export are in.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::when;

/// A time zone to show times in.
#[derive(Clone, Debug)]
pub(crate) struct Times(TimeZone);

impl Times {
    /// In the zone of that IANA name; in UTC, if there is none.
    pub(crate) fn in_zone(name: &str) -> Times {
        Times(TimeZone::get(name).unwrap_or(TimeZone::UTC))
    }

    /// A moment to the minute, such as `2026-03-01 15:05 CET (14:05 UTC)`.
    pub(crate) fn minute(&self, at_ms: u64) -> String {
        let Some(stamp) = stamp(at_ms) else { return when::minute(at_ms) };
        let (here, utc) = (stamp.to_zoned(self.0.clone()), stamp.to_zoned(TimeZone::UTC));
        if here.datetime() == utc.datetime() {
            return when::minute(at_ms);
        }
        let beside = if here.date() == utc.date() { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" };
        format!("{} ({})", here.strftime("%Y-%m-%d %H:%M %Z"), utc.strftime(beside))
    }

    /// A moment or that there is none.
    pub(crate) fn minute_or(&self, at_ms: Option<u64>, none: &str) -> String {
        at_ms.map_or_else(|| none.to_owned(), |at_ms| self.minute(at_ms))
    }

    /// A moment's time of day, such as `15:05:09`; UTC is said beside it by [`when::clock`].
    pub(crate) fn clock(&self, at_ms: u64) -> String {
        stamp(at_ms).map_or_else(
            || when::clock(at_ms),
            |stamp| stamp.to_zoned(self.0.clone()).strftime("%H:%M:%S").to_string(),
        )
    }

    /// How often something was used, and when last, for a sentence.
    pub(crate) fn used(&self, times: u64, thing: &str, last_ms: Option<u64>) -> String {
        match last_ms {
            None if times == 0 => format!("no {thing} so far"),
            None => format!("{} so far", when::of(times, thing)),
            Some(last_ms) => {
                format!("{} so far, the last one {}", when::of(times, thing), self.minute(last_ms))
            }
        }
    }

    /// A moment as a field of a form has it: in the zone, without saying so.
    pub(crate) fn field(&self, at_ms: u64) -> String {
        stamp(at_ms)
            .map(|stamp| stamp.to_zoned(self.0.clone()).strftime("%Y-%m-%dT%H:%M").to_string())
            .unwrap_or_default()
    }

    /// What a field of a form means. Of a time that a clock shows twice the first is meant.
    pub(crate) fn parse_field(&self, text: &str) -> Option<u64> {
        let at: DateTime = text.parse().ok()?;
        u64::try_from(at.to_zoned(self.0.clone()).ok()?.timestamp().as_millisecond()).ok()
    }
}

fn stamp(at_ms: u64) -> Option<Timestamp> {
    i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01T14:15:09.123Z
    const AT_MS: u64 = 1_772_374_509_123;

    #[test]
    fn a_moment_reads_in_the_zone_with_utc_beside_it() {
        for (zone, want) in [
            ("Europe/Vienna", "2026-03-01 15:15 CET (14:15 UTC)"),
            ("Asia/Tokyo", "2026-03-01 23:15 JST (14:15 UTC)"),
            ("Pacific/Auckland", "2026-03-02 03:15 NZDT (2026-03-01 14:15 UTC)"),
            ("UTC", "2026-03-01 14:15 UTC"),
            ("No/Where", "2026-03-01 14:15 UTC"),
        ] {
            assert_eq!(Times::in_zone(zone).minute(AT_MS), want);
        }
        let vienna = Times::in_zone("Europe/Vienna");
        assert_eq!(
            (vienna.clock(AT_MS).as_str(), vienna.minute_or(None, "never").as_str()),
            ("15:15:09", "never")
        );
        assert_eq!(vienna.minute(u64::MAX), "an unknown time");
        assert_eq!(vienna.used(0, "event", None), "no event so far");
        let used = vienna.used(2, "event", Some(AT_MS));
        assert_eq!(used, "2 events so far, the last one 2026-03-01 15:15 CET (14:15 UTC)");
    }

    #[test]
    fn what_a_field_says_is_meant_in_the_zone() {
        let vienna = Times::in_zone("Europe/Vienna");
        assert_eq!(vienna.field(AT_MS), "2026-03-01T15:15");
        assert_eq!(vienna.parse_field("2026-03-01T15:15"), Some(AT_MS / 60_000 * 60_000));
        assert_eq!(vienna.parse_field("2026-03-01"), Some(1_772_319_600_000), "midnight there");
        assert_eq!((vienna.parse_field("soon"), vienna.parse_field("")), (None, None));
    }
}
