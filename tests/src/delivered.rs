//! Compares what an SDK believes delivered with what the server gives back, record by record.
//!
//! # Invariants
//! * Every believed record is found once for each time it was believed, and nothing is found beside them.
//! * Of an exported event only what the export promises to change may differ: see [`events`].

use std::collections::BTreeMap;

use crate::{Json, now_ms};

/// What the export takes out (`token`, `ip`), puts in or may stand for: compared apart from the rest.
const APART: [&str; 7] =
    ["token", "ip", "time", "distinct_id", "$insert_id", "$mp_api_timestamp_ms", "$import"];

/// Checks events believed delivered against those exported with `time_in_ms`. Properties named in `added` were put in
/// by the SDK after it told us the event.
///
/// # Panics
/// With the first event that is missing, or is there though nobody sent it.
#[track_caller]
pub fn events(believed: &[Json], exported: &[Json], added: &[&str]) {
    let mut left: BTreeMap<String, Vec<&Json>> = BTreeMap::new();
    for event in exported {
        left.entry(rest(event, added)).or_default().push(event);
    }
    for event in believed {
        let candidates = left.entry(rest(event, added)).or_default();
        let found = candidates.iter().position(|candidate| differs(event, candidate).is_none());
        let Some(found) = found else {
            let why =
                candidates.first().map_or_else(|| nearest(event, exported), |other| differs(event, other));
            panic!("believed delivered, not exported ({}): {event}", why.unwrap_or_default());
        };
        candidates.swap_remove(found);
    }
    if let Some(event) = left.values().flatten().next() {
        panic!("exported, though nobody sent it: {event}");
    }
    assert_eq!(believed.len(), exported.len());
}

/// Checks profile or group updates believed delivered against the records of that endpoint in the log.
///
/// # Panics
/// With the first update that is missing, or is there though nobody sent it.
#[track_caller]
pub fn updates(believed: &[Json], records: &[Json], endpoint: &str) {
    let mut left: BTreeMap<String, i64> = BTreeMap::new();
    for record in records.iter().filter(|r| r.str("endpoint") == endpoint) {
        *left.entry(record.get("record").unwrap_or(&Json::Null).to_string()).or_default() += 1;
    }
    for update in believed {
        *left.entry(update.to_string()).or_default() -= 1;
    }
    if let Some((update, count)) = left.iter().find(|(_, count)| **count != 0) {
        panic!("{endpoint}: stored {count} times more often than believed delivered: {update}");
    }
}

/// All of an event but what is compared apart, as one text.
fn rest(event: &Json, added: &[&str]) -> String {
    let Json::Object(mut members) = event.clone() else { panic!("no event: {event}") };
    if let Some(Json::Object(properties)) = members.get_mut("properties") {
        properties.retain(|key, _| !APART.contains(&key.as_str()) && !added.contains(&key.as_str()));
    }
    Json::Object(members).to_string()
}

/// What of the parts compared apart differs, if anything does.
fn differs(sent: &Json, exported: &Json) -> Option<String> {
    let (sent, exported) = (sent.get("properties")?, exported.get("properties")?);
    if ["token", "ip"].iter().any(|key| exported.get(key).is_some()) {
        return Some("token or ip is still in it".to_owned());
    }
    for key in ["distinct_id", "$insert_id"] {
        match (sent.get(key), exported.get(key)) {
            (_, None) => return Some(format!("it has no {key}")),
            (None | Some(Json::Null), Some(_)) => {} // made by the server
            (Some(sent), Some(exported)) if sent == exported => {}
            (Some(sent), Some(exported)) => return Some(format!("{key} is {exported}, sent was {sent}")),
        }
    }
    let Some(time) = exported.get("time").and_then(Json::as_f64) else {
        return Some("it has no time".to_owned());
    };
    let received = exported.get("$mp_api_timestamp_ms").and_then(Json::as_f64).unwrap_or(0.0);
    let now = now_ms().to_string().parse::<f64>().unwrap_or(0.0);
    if !(now - 600_000.0..=now).contains(&received) {
        return Some(format!("received at {received}, which is not of late"));
    }
    // Ten digits are seconds, thirteen are milliseconds; none at all is the time of receipt.
    let wanted = match sent.get("time").and_then(Json::as_f64) {
        None => received,
        Some(time) if time < 1e11 => time * 1000.0,
        Some(time) => time,
    };
    ((time - wanted).abs() > 1.0).then(|| format!("time is {time} ms, sent was {wanted} ms"))
}

/// The exported event that begins most like this one, for the message.
fn nearest(event: &Json, exported: &[Json]) -> Option<String> {
    let text = rest(event, &[]);
    let alike =
        |other: &&Json| rest(other, &[]).bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
    let nearest = exported.iter().max_by_key(alike).map_or_else(|| "nothing".to_owned(), ToString::to_string);
    Some(format!("of {} exported the nearest is {nearest}", exported.len()))
}
