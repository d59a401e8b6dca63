//! One stored event as one line of the raw export.
//!
//! The sender's bytes are copied, member by member; only what the API promises is put in, taken out or
//! replaced:
//! * out: `token`, `ip`; all but the last of equal keys;
//! * in front of the other properties: `time` (whole seconds, or milliseconds if asked), `distinct_id`,
//!   `$insert_id`, `$mp_api_timestamp_ms` (receive time), and `$import` for what came by `/import`;
//! * everything beside `event` and `properties` follows behind them.
//!
//! # What stands in for a missing id
//! * `$insert_id` (absent, null or empty): `<first 8 hex digits of the store's id>-<lane>-<seq>`. The same at
//!   every export, unique among stores, within the 36 characters that imports allow.
//! * `distinct_id` (absent or null): in a project with simplified id merge `$user_id`, else
//!   `$device:<$device_id>`; then, as `/track` documents it, a keyed hash of the client's address where the
//!   event allowed to use it; then the `$insert_id` above, so that unrelated events are never taken for one
//!   person's.

use crate::{
    Condition,
    json::{Malformed, Member, members, splice, unescape},
    keys::Role,
    quick::{Parts, Scratch, take_apart},
};
use forebay_expression::Fault;
use forebay_record::{Position, StoreId};
use std::{borrow::Cow, collections::HashMap, io::Write as _};

/// What one export has in common for all its events.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// The store that is read: its id begins made-up `$insert_id`s.
    pub store: StoreId,
    /// `time` in milliseconds rather than seconds.
    pub time_in_ms: bool,
    /// The project has simplified id merge.
    pub simplified_ids: bool,
}

/// An event to write.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The sender's JSON as stored.
    pub json: &'a [u8],
    /// When it happened: the event's own time, else the receive time.
    pub time_ms: i64,
    /// When it was received.
    pub received_at_ms: u64,
    /// Where it is stored.
    pub position: Position,
    /// It came by `/import`.
    pub imported: bool,
    /// Stands for the client's address, where the event may use it.
    pub address_hash: Option<u64>,
}

/// Writes the events of one export.
#[derive(Debug)]
pub struct Renderer {
    style: Style,
    scratch: Scratch,
    condition: Option<Condition>,
}

impl Renderer {
    /// Writes all events in this style.
    #[must_use]
    pub fn new(style: Style) -> Renderer {
        Renderer { style, scratch: Scratch::asking(Vec::new()), condition: None }
    }

    /// Writes only those that meet this condition.
    pub(crate) fn only(self, condition: Option<Condition>) -> Renderer {
        let asked = condition.as_ref().map(Condition::asked).unwrap_or_default();
        Renderer { scratch: Scratch::asking(asked), condition, ..self }
    }

    /// Appends `event` and a newline to `out`, if it is wanted: says whether it was.
    ///
    /// # Errors
    /// If the stored bytes are not an event, or cannot be judged; `out` is then as before.
    pub fn line(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<bool, Unwritten> {
        let Renderer { style, scratch, condition } = self;
        if let Some(parts) = take_apart(event.json, event.imported, scratch) {
            if let Some(condition) = condition
                && !condition
                    .holds(style, event, parts.name, &parts.known, |at| scratch.value(event.json, at))?
            {
                return Ok(false);
            }
            write_parts(style, event, &parts, out);
            return Ok(true);
        }
        if let Some(condition) = condition
            && !condition.holds_the_long_way(style, event)?
        {
            return Ok(false);
        }
        let start = out.len();
        write_event(style, event, out).inspect_err(|_| out.truncate(start))?;
        Ok(true)
    }
}

/// Why there is no line of an event.
#[derive(Debug)]
pub enum Unwritten {
    /// It is not what was promised.
    Malformed(Malformed),
    /// It holds what the condition cannot mean.
    Fault(Fault),
}

impl From<Malformed> for Unwritten {
    fn from(e: Malformed) -> Unwritten {
        Unwritten::Malformed(e)
    }
}

/// What a line has beside the sender's bytes, at most.
const ADDED_BYTES_MAX: usize = 256;

/// Of an ordinary event: its parts are plain, and copied as they are.
fn write_parts(style: &Style, event: &Event<'_>, parts: &Parts<'_>, out: &mut Vec<u8>) {
    out.reserve(event.json.len() + ADDED_BYTES_MAX);
    out.extend_from_slice(b"{\"event\":");
    out.extend_from_slice(parts.name);
    out.extend_from_slice(b",\"properties\":{");
    write_head(style, event, &parts.known, out, |raw, out| out.extend_from_slice(raw));
    for run in parts.kept.iter() {
        out.push(b',');
        out.extend_from_slice(run);
    }
    out.push(b'}');
    for sibling in parts.siblings.iter() {
        out.push(b',');
        out.extend_from_slice(sibling);
    }
    out.extend_from_slice(b"}\n");
}

/// Of any event, without shortcuts.
fn write_event(style: &Style, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let outer = last_of_equal_keys(members(event.json)?);
    let find = |key: &[u8]| outer.iter().find(|m| *m.key == *key).map(|m| m.value);
    let (Some(name), Some(properties)) = (find(b"event"), find(b"properties")) else {
        return Err(Malformed { at: event.json.len() });
    };
    let properties = last_of_equal_keys(members(properties)?);
    out.extend_from_slice(b"{\"event\":");
    splice(name, out);
    out.extend_from_slice(b",\"properties\":{");
    let mut known = Known::default();
    for p in &properties {
        known.look_at(&p.key, p.value);
    }
    write_head(style, event, &known, out, splice);
    for p in properties.iter().filter(|p| !is_replaced(&p.key, event.imported)) {
        p.write(out);
    }
    out.push(b'}');
    for sibling in outer.iter().filter(|m| !matches!(&*m.key, b"event" | b"properties")) {
        sibling.write(out);
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Does the line leave this property out, or say it in its own words?
fn is_replaced(key: &[u8], imported: bool) -> bool {
    match Role::of(key) {
        Role::Goes => true,
        Role::GoesIfImported => imported,
        Role::Stays | Role::Read => false,
    }
}

/// The properties that stand in front; `copy` appends what the sender wrote.
fn write_head(
    style: &Style,
    event: &Event<'_>,
    known: &Known<'_>,
    out: &mut Vec<u8>,
    copy: impl Fn(&[u8], &mut Vec<u8>),
) {
    let mut digits = itoa::Buffer::new();
    let time = if style.time_in_ms { event.time_ms } else { event.time_ms.div_euclid(1000) };
    out.extend_from_slice(b"\"time\":");
    out.extend_from_slice(digits.format(time).as_bytes());
    out.extend_from_slice(b",\"distinct_id\":");
    known.write_distinct_id(style, event, out, &copy);
    out.extend_from_slice(b",\"$insert_id\":");
    known.write_insert_id(style, event, out, &copy);
    out.extend_from_slice(b",\"$mp_api_timestamp_ms\":");
    out.extend_from_slice(digits.format(event.received_at_ms).as_bytes());
    if event.imported {
        out.extend_from_slice(b",\"$import\":true");
    }
}

/// The event's name, escapes resolved; the slow way, for names too long for the directory.
pub(crate) fn name(json: &[u8]) -> Option<Cow<'_, [u8]>> {
    let member = members(json).ok()?.into_iter().rfind(|m| *unescape(m.key) == *b"event")?;
    Some(unescape(member.value.strip_prefix(b"\"")?.strip_suffix(b"\"")?))
}

/// The properties that the line's first members are made from.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    distinct_id: Option<&'a [u8]>,
    insert_id: Option<&'a [u8]>,
    user_id: Option<&'a [u8]>,
    device_id: Option<&'a [u8]>,
}

impl<'a> Known<'a> {
    /// The `distinct_id` that the event's line has, as JSON.
    pub(crate) fn distinct_id(&self, style: &Style, event: &Event<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_distinct_id(style, event, &mut out, splice);
        out
    }

    /// The `$insert_id` that the event's line has, as JSON.
    pub(crate) fn insert_id(&self, style: &Style, event: &Event<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_insert_id(style, event, &mut out, splice);
        out
    }

    fn write_insert_id(
        &self,
        style: &Style,
        event: &Event<'_>,
        out: &mut Vec<u8>,
        copy: impl Fn(&[u8], &mut Vec<u8>),
    ) {
        match self.insert_id.filter(|v| !matches!(*v, b"null" | b"\"\"")) {
            Some(sent) => copy(sent, out),
            None => write_made_up(style.store, event.position, out),
        }
    }

    #[inline]
    pub(crate) fn look_at(&mut self, key: &[u8], value: &'a [u8]) {
        match key {
            b"distinct_id" => self.distinct_id = Some(value),
            b"$insert_id" => self.insert_id = Some(value),
            b"$user_id" => self.user_id = Some(value),
            b"$device_id" => self.device_id = Some(value),
            _ => {}
        }
    }

    fn write_distinct_id(
        &self,
        style: &Style,
        event: &Event<'_>,
        out: &mut Vec<u8>,
        copy: impl Fn(&[u8], &mut Vec<u8>),
    ) {
        let given = |v: Option<&'a [u8]>| v.filter(|v| !matches!(*v, b"null" | b"\"\""));
        if let Some(sent) = self.distinct_id.filter(|v| *v != b"null") {
            return copy(sent, out);
        }
        if style.simplified_ids {
            if let Some(user) = given(self.user_id) {
                return copy(user, out);
            }
            if let Some(device) = given(self.device_id) {
                // A number has no quotes to strip; its digits are its name.
                let id = device.strip_prefix(b"\"").and_then(|d| d.strip_suffix(b"\"")).unwrap_or(device);
                out.extend_from_slice(b"\"$device:");
                copy(id.strip_prefix(b"$device:").unwrap_or(id), out);
                return out.push(b'"');
            }
        }
        match event.address_hash {
            Some(hash) => write_formatted(out, format_args!("\"{hash:016x}\"")),
            None => write_made_up(style.store, event.position, out),
        }
    }
}

/// The `$insert_id` of an event that was sent without one.
fn write_made_up(store: StoreId, position: Position, out: &mut Vec<u8>) {
    let [a, b, c, d, ..] = store.0;
    let (lane, seq) = (position.lane.0, position.seq.0);
    write_formatted(out, format_args!("\"{a:02x}{b:02x}{c:02x}{d:02x}-{lane}-{seq}\""));
}

fn write_formatted(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every byte");
}

/// A member whose key has been compared.
struct Keyed<'a> {
    /// Escapes resolved.
    key: Cow<'a, [u8]>,
    raw_key: &'a [u8],
    value: &'a [u8],
}

impl Keyed<'_> {
    /// `,"key":value`
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"");
        splice(self.raw_key, out);
        out.extend_from_slice(b"\":");
        splice(self.value, out);
    }
}

/// Up to this many members are compared pair by pair: cheaper than hashing each key.
const PAIRWISE_MAX: usize = 24;

fn keyed(m: Member<'_>) -> Keyed<'_> {
    Keyed { key: unescape(m.key), raw_key: m.key, value: m.value }
}

/// Of members with equal keys (escapes resolved) only the last is left.
fn last_of_equal_keys(members: Vec<Member<'_>>) -> Vec<Keyed<'_>> {
    let mut all: Vec<Keyed<'_>> = Vec::with_capacity(members.len());
    if members.len() <= PAIRWISE_MAX {
        for member in members.into_iter().map(keyed) {
            match all.iter_mut().find(|m| m.key == member.key) {
                Some(earlier) => *earlier = member,
                None => all.push(member),
            }
        }
    } else {
        let mut place: HashMap<Cow<'_, [u8]>, usize> = HashMap::with_capacity(members.len());
        for member in members.into_iter().map(keyed) {
            let next = all.len();
            match *place.entry(member.key.clone()).or_insert(next) {
                at if at < next => all[at] = member,
                _ => all.push(member),
            }
        }
    }
    all
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
