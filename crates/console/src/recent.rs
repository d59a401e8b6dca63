//! The last events of a project with their verdicts: what was stored, read from the end of its lane and of the
//! unclaimed one, and what was refused, from the accounting.
//!
//! # Invariants
//! * Looking back is bounded: in a lane where others send much, a project that sends little shows fewer of its events.

use std::collections::VecDeque;

use forebay_control::{ProjectInfo, StoreError, chain};
use forebay_log::{Filter, KindSet, ReadError, RouteKey, Step};
use forebay_record::{Endpoint, LaneId, ProjectId, Seq};
use forebay_route::Owner;
use serde_json::Value;

use crate::{site::Site, when};

/// How far back in a lane the last events of a project are looked for.
const BACK_MAX: u64 = 65_536;
/// Of a record's text.
const SHOWN_CHARS: usize = 2000;

/// An event, as far as it is shown.
pub(crate) struct Seen {
    pub(crate) at_ms: u64,
    /// When, for people.
    pub(crate) clock: String,
    pub(crate) endpoint: String,
    /// The event's name, or what it does to a profile.
    pub(crate) what: String,
    /// Whose.
    pub(crate) whom: String,
    /// Why it was refused; `None`: it is stored.
    pub(crate) refused: Option<String>,
    /// How many were refused together.
    pub(crate) events: u64,
    /// The record, or the beginning of what was refused.
    pub(crate) text: String,
    /// Tells it from the others on the page.
    pub(crate) key: String,
}

/// The last events of a project, newest first.
pub(crate) fn of_project(site: &Site, info: &ProjectInfo, count: usize) -> Vec<Seen> {
    let Some(id) = ProjectId::new(info.id) else { return Vec::new() };
    let mut seen = stored(site, id, count).unwrap_or_else(|error| {
        tracing::warn!(project = info.id, error = chain(&error), "the end of the log cannot be read");
        VecDeque::new()
    });
    match refused(site, Owner::Project(id), count) {
        Ok(refused) => seen.extend(refused),
        Err(error) => tracing::warn!(project = info.id, error = chain(&error), "refusals cannot be read"),
    }
    let mut seen: Vec<_> = seen.into();
    seen.sort_by_key(|one| std::cmp::Reverse(one.at_ms));
    seen.truncate(count);
    seen
}

/// What is stored, in the project's lane, and in that of unclaimed events under a token that is the project's by now.
fn stored(site: &Site, id: ProjectId, count: usize) -> Result<VecDeque<Seen>, ReadError> {
    let Some(project) = site.collector.registry.project(id) else { return Ok(VecDeque::new()) };
    let mut seen = stored_in(site, project.lane, vec![RouteKey::Project(id)], count)?;
    if site.store.lanes()?.contains(&LaneId::UNCLAIMED) {
        let tokens = project.settings.tokens.iter().map(|token| RouteKey::Token(token.to_vec().into()));
        seen.extend(stored_in(site, LaneId::UNCLAIMED, tokens.collect(), count)?);
    }
    Ok(seen)
}

fn stored_in(
    site: &Site,
    lane: LaneId,
    routes: Vec<RouteKey>,
    count: usize,
) -> Result<VecDeque<Seen>, ReadError> {
    let end = site.store.durable(lane)?.seq;
    let mut back = count as u64;
    loop {
        let start = Seq(end.0.saturating_sub(back));
        let filter = Filter { kinds: KindSet::RECORDS, routes: Some(routes.clone()), event_time_ms: None };
        let mut cursor = site.store.cursor(lane, start, filter)?;
        let mut found: VecDeque<Seen> = VecDeque::new();
        while let Some(step) = cursor.next()? {
            let Step::Frame(frame) = step else { continue };
            let header = frame.header();
            if header.first_seq >= end {
                break;
            }
            // Tokens are told apart by their digests until here.
            let is_theirs = header.project.is_some()
                || routes.iter().any(|r| matches!(r, RouteKey::Token(token) if **token == *frame.token()));
            for record in frame.records().filter(|_| is_theirs) {
                let key = format!("{lane}-{}", record.seq.0);
                found.push_back(seen_of(record.json, header.endpoint, header.received_at_ms, key));
                if found.len() > count {
                    found.pop_front();
                }
            }
        }
        if found.len() >= count || start == Seq(0) || back >= BACK_MAX {
            return Ok(found);
        }
        back = back.saturating_mul(16).min(BACK_MAX);
    }
}

fn seen_of(json: &[u8], endpoint: Endpoint, at_ms: u64, key: String) -> Seen {
    let value: Value = serde_json::from_slice(json).unwrap_or(Value::Null);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let whom = [&value["properties"]["distinct_id"], &value["$distinct_id"], &value["$group_id"]]
        .into_iter()
        .find(|value| !value.is_null());
    let what = match value.get("event") {
        Some(name) => text(name),
        // An update names its operation by a key: `$set`, `$add` and the like.
        None => operation(&value).unwrap_or_else(|| "update".to_owned()),
    };
    Seen {
        at_ms,
        clock: when::clock(at_ms),
        endpoint: endpoint.as_str().to_owned(),
        what: clipped(&what, 120),
        whom: whom.map(|value| clipped(&text(value), 120)).unwrap_or_default(),
        refused: None,
        events: 1,
        text: clipped(&String::from_utf8_lossy(json), SHOWN_CHARS),
        key,
    }
}

/// The operation of a profile's update.
fn operation(value: &Value) -> Option<String> {
    const NAMES: [&str; 8] =
        ["$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete"];
    NAMES.into_iter().find(|name| value.get(name).is_some()).map(str::to_owned)
}

/// What was refused of late, newest first. A running server books it once a second.
pub(crate) fn refused(site: &Site, owner: Owner, count: usize) -> Result<Vec<Seen>, StoreError> {
    let rejects = site.collector.control.rejects(Some(owner), count)?;
    let seen = rejects.into_iter().enumerate().map(|(at, refusal)| Seen {
        at_ms: refusal.at_ms,
        clock: when::clock(refusal.at_ms),
        endpoint: refusal.endpoint,
        what: refusal.reason,
        whom: String::new(),
        refused: Some(refusal.detail),
        events: refusal.events,
        text: refusal.sample,
        key: format!("r{}-{at}", refusal.at_ms),
    });
    Ok(seen.collect())
}

fn clipped(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, what: &str, whom: &str) {
        let seen = seen_of(json.as_bytes(), Endpoint::Track, 0, String::new());
        assert_eq!((seen.what.as_str(), seen.whom.as_str()), (what, whom), "{json}");
    }

    #[test]
    fn an_event_is_called_by_its_name_and_an_update_by_what_it_does() {
        check(r#"{"event":"Signed up","properties":{"distinct_id":"u1"}}"#, "Signed up", "u1");
        check(r#"{"event":7,"properties":{"distinct_id":42}}"#, "7", "42");
        check(r#"{"$token":"t","$distinct_id":"u2","$set":{"a":1}}"#, "$set", "u2");
        check(r#"{"$token":"t","$group_id":"acme","$group_key":"company","$unset":[]}"#, "$unset", "acme");
        check("not JSON", "update", "");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(clipped("äöü", 2), "äö…");
        assert_eq!(clipped("äöü", 3), "äöü");
    }
}
