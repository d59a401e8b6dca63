//! Calls about what is sent: counts, the last events, what was rejected, and tokens that belong to no project.

use std::collections::BTreeMap;

use forebay_control::StatsFilter;
use forebay_record::ProjectId;
use forebay_route::Owner;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    answer::Answer,
    api::{ok, schema::Parameter},
    page::export,
    recent::{self, Seen},
    refusal::Refusal,
    visit::Visit,
    when,
};

const DAY_MS: u64 = 24 * 3_600_000;
/// Of each list.
const SHOWN: usize = 100;

/// What became of a project's events in the last day.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Counts {
    /// Since when they are counted.
    from: String,
    received: u64,
    stored: u64,
    stored_bytes: u64,
    /// By reason.
    rejected: BTreeMap<String, u64>,
    /// By rules of the project.
    dropped: u64,
}

fn owner(visit: &Visit<'_>) -> Result<Owner, Refusal> {
    ProjectId::new(visit.project()?.id).map(Owner::Project).ok_or(Refusal::NotFound)
}

/// Counts them.
pub(crate) fn stats(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let from_ms = visit.now_ms().saturating_sub(DAY_MS);
    let filter =
        StatsFilter { owners: vec![owner(visit)?], from_ms: Some(from_ms), ..StatsFilter::default() };
    let counts = visit.control().stats(&filter)?.totals;
    Ok(ok(&Counts {
        from: when::rfc3339(from_ms),
        received: counts.received,
        stored: counts.stored,
        stored_bytes: counts.stored_bytes,
        rejected: counts.rejected.iter().map(|(why, events)| (why.as_str().to_owned(), *events)).collect(),
        dropped: counts.dropped_total(),
    }))
}

/// How many events of each name a project has on some days.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EventCounts {
    /// The first day, UTC, by the time that events carry.
    from_date: String,
    /// The last, included.
    to_date: String,
    events: BTreeMap<String, u64>,
    /// All of them together.
    total: u64,
    /// Some are left out: there are more names than are counted.
    is_partial: bool,
}

/// What [`event_counts`] takes.
pub(crate) const DAYS: &[Parameter] = &[
    Parameter {
        name: "from_date",
        about: "The first day, UTC, such as 2026-03-01; left out, a week ago",
        is_number: false,
    },
    Parameter { name: "to_date", about: "The last, included; left out, today", is_number: false },
];

/// Counts them, as an export of these days would bring them.
pub(crate) fn event_counts(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let day = |name: &str, otherwise_ms: u64| {
        visit.query.given(name).map_or_else(|| when::day(otherwise_ms), str::to_owned)
    };
    let now_ms = visit.now_ms();
    let (from, to) = (day("from_date", now_ms.saturating_sub(6 * DAY_MS)), day("to_date", now_ms));
    let days = forebay_export::days(Some(&from), Some(&to), Date::MAX);
    let days = days.map_err(|wrong| Refusal::Invalid(wrong.to_string()))?;
    let names = export::names(visit, &export::settings(visit)?, &days);
    let names = names.map_err(|why| Refusal::Unavailable(why.to_string()))?;
    Ok(ok(&EventCounts {
        from_date: from,
        to_date: to,
        total: names.events.values().sum(),
        events: names.events,
        is_partial: names.is_partial,
    }))
}

/// An event, as far as it is shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Event {
    at_ms: u64,
    endpoint: String,
    /// The event's name, or what it does to a profile.
    event: String,
    distinct_id: String,
    /// Why it was refused; null: it is stored.
    refused: Option<String>,
    /// How many were refused together.
    events: u64,
    /// The record, or the beginning of what was refused.
    text: String,
}

impl From<Seen> for Event {
    fn from(seen: Seen) -> Event {
        Event {
            at_ms: seen.at_ms,
            endpoint: seen.endpoint,
            event: seen.what,
            distinct_id: seen.whom,
            refused: seen.refused,
            events: seen.events,
            text: seen.text,
        }
    }
}

/// The last events with their verdicts, newest first.
pub(crate) fn last(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let seen = recent::of_project(visit.site, visit.project()?, SHOWN);
    Ok(ok(&seen.into_iter().map(Event::from).collect::<Vec<_>>()))
}

/// What was rejected of late, newest first.
pub(crate) fn rejected(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let seen = recent::refused(visit.site, owner(visit)?, SHOWN)?;
    Ok(ok(&seen.into_iter().map(Event::from).collect::<Vec<_>>()))
}

/// Messages to people, newest first, with what became of them; never what they say.
pub(crate) fn messages(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    // The route is for those who look after the server.
    Ok(ok(&visit.control().host().messages(None, SHOWN)?))
}

/// A token under which events arrive that belong to no project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UnclaimedToken")]
pub(crate) struct Unclaimed {
    /// As text; what is none is replaced.
    token: String,
    /// It is text as a token may be, so that a project can have it.
    can_be_claimed: bool,
    events: u64,
    first_seen_ms: u64,
    last_seen_ms: u64,
}

/// Those seen most.
pub(crate) fn unclaimed(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let tokens = visit.control().unknown_tokens(SHOWN)?.into_iter().map(|unknown| {
        let text = String::from_utf8(unknown.token);
        Unclaimed {
            can_be_claimed: text.is_ok(),
            token: text.unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned()),
            events: unknown.events,
            first_seen_ms: unknown.first_seen_ms,
            last_seen_ms: unknown.last_seen_ms,
        }
    });
    Ok(ok(&tokens.collect::<Vec<_>>()))
}
