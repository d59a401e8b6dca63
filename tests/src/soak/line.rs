//! An event of the soak, on its way in and on its way out.
//!
//! # Invariants
//! * An event says its id and a number made from it: bytes of two events mixed up are no event.
//! * Its day follows from its id, so that an export of a day can be checked to the event.

use std::fmt;

use crate::random::mix;

/// The lane of events that belong to no project, as `log cat --json` writes it.
pub(crate) const UNCLAIMED: u16 = u16::MAX;
/// Events lie on that many days.
pub(crate) const DAYS: u64 = 8;
/// 2026-09-21, in UTC: see [`date`].
const FIRST_DAY_S: u64 = 20_717 * 86_400;
const MARK: &str = "\"distinct_id\":\"s-";

/// A lane and a sequence in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The lane.
    pub lane: u16,
    /// The sequence.
    pub seq: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", lane_name(self.lane), self.seq)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A lane as the command line names it.
pub(crate) fn lane_name(lane: u16) -> String {
    if lane == UNCLAIMED { "unclaimed".to_owned() } else { lane.to_string() }
}

/// The lane of that name.
pub(crate) fn lane_of_name(name: &str) -> Option<u16> {
    if name == "unclaimed" { Some(UNCLAIMED) } else { name.parse().ok() }
}

/// The JSON of event `id` with `pad` bytes more.
pub(crate) fn event(id: u64, token: &str, pad: usize) -> String {
    let check = mix(id);
    let time = FIRST_DAY_S + id % DAYS * 86_400 + mix(id) % 86_400;
    let padding: String = format!("{check:016x}").chars().cycle().take(pad).collect();
    format!(
        r#"{{"event":"Soak","properties":{{"token":"{token}","time":{time},{MARK}{id}-{check:016x}","$insert_id":"i-{id}","pad":"{padding}"}}}}"#
    )
}

/// A day that events lie on, as `YYYY-MM-DD`.
pub(crate) fn date(day: u64) -> String {
    format!("2026-09-{}", 21 + day % DAYS)
}

/// The id in a text that holds one event.
///
/// # Errors
/// If there is none, or it does not fit its number.
pub(crate) fn id(text: &str) -> Result<u64, String> {
    let bad = || format!("no event of this soak: {:.300}", text);
    let rest = &text[text.find(MARK).ok_or_else(bad)? + MARK.len()..];
    let (id, rest) = rest.split_once('-').ok_or_else(bad)?;
    let id: u64 = id.parse().map_err(|_| bad())?;
    let check = rest.split('"').next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    if check == Some(mix(id)) { Ok(id) } else { Err(format!("event {id} is not itself: {text:.300}")) }
}

/// A line of `log cat --json` and `log tail --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Where the record lies.
    pub place: Place,
    /// Its project, if its token belongs to one.
    pub project: Option<u64>,
    /// Its id.
    pub id: u64,
    /// The token it was sent with.
    pub token: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart.
    ///
    /// # Errors
    /// With the line, if it is no record of this soak.
    pub(crate) fn parse(line: &'a str) -> Result<Line<'a>, String> {
        let bad = || format!("no record: {line:.300}");
        let number = |key: &str| {
            let rest = line.get(line.find(key)? + key.len()..)?;
            rest.split([',', '}']).next()?.parse::<u64>().ok()
        };
        let lane = number("\"lane\":").and_then(|n| u16::try_from(n).ok()).ok_or_else(bad)?;
        let place = Place { lane, seq: number("\"seq\":").ok_or_else(bad)? };
        let project = number("\"project_id\":");
        let token = line.split_once("\"token\":\"").and_then(|(_, rest)| rest.split('"').next());
        Ok(Line { place, project, id: id(line)?, token: token.ok_or_else(bad)? })
    }
}

/// A gap, as `log cat` and `log tail` warn of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The lane.
    pub lane: u16,
    /// The first sequence.
    pub from: u64,
    /// The first one behind it.
    pub to: u64,
    /// Why.
    pub reason: String,
}

impl Gap {
    /// Reads a warning of stderr; `None` if it is another one.
    pub(crate) fn parse(line: &str) -> Option<Gap> {
        let rest = line.strip_prefix("warning: lane ")?.strip_suffix(" (not shown)")?;
        let (lane, rest) = rest.split_once(" records ")?;
        let (from, rest) = rest.split_once("..")?;
        let (to, reason) = rest.split_once(": ")?;
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        Some(Gap { lane: lane_of_name(lane)?, from, to, reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_from_its_line() {
        let record = event(77, "tok", 20);
        let line = format!(
            r#"{{"lane":65535,"seq":9,"project_id":null,"token":"tok","endpoint":"track","record":{record}}}"#
        );
        let read = Line::parse(&line).expect("it is one");
        assert_eq!((read.place.to_string().as_str(), read.id, read.token), ("unclaimed:9", 77, "tok"));
        assert_eq!(read.project, None);
        let mixed = line.replace("s-77-", "s-78-");
        assert!(Line::parse(&mixed).is_err(), "the number is another event's");
    }

    #[test]
    fn a_warning_of_a_gap_is_read() {
        let gap = Gap::parse("warning: lane 2 records 5..90: retention (not shown)").expect("it is one");
        assert_eq!((gap.lane, gap.from, gap.to, gap.reason.as_str()), (2, 5, 90, "retention"));
        assert_eq!(Gap::parse("warning: something else"), None);
    }
}
