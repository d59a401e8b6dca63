//! The verdict of each record, by looking its fields up in its tree.

use super::forms::{content_start, is_blank, repair};
use super::json::{Member, Node, Tree, parse};
use super::{Params, Record};
use crate::{
    Dialect, DirectoryEntry, Field, Invalid, Limits, Reason, Request, ScanError, Span, TOKEN_BYTES_MAX,
    Verdict,
};
use std::{collections::HashSet, ops::Range};

const OBJECT_OPERATIONS: [&str; 7] = ["$set", "$set_once", "$add", "$append", "$union", "$remove", "$merge"];
const DENIED: &str = "00000000-0000-0000-0000-000000000000 anon anonymous nil none null n/a na undefined unknown <nil> 0 -1 true \
     false [] {}";

/// What stands in the text where a record is expected.
enum Found {
    Value(Node),
    BadLine(Range<usize>),
}

pub(super) fn records(
    limits: Limits,
    request: &Request<'_>,
    params: &Params,
    text: Vec<u8>,
    lines: bool,
) -> Result<(Vec<u8>, Vec<Record>), ScanError> {
    let strict = request.dialect.is_strict();
    let (text, changed) = if strict { (text.clone(), vec![false; text.len()]) } else { repair(&text) };
    let found = find(&text, lines, limits.depth_max)?;
    if found.is_empty() {
        return Err(ScanError::Empty);
    }
    let import = matches!(request.dialect, Dialect::Import { .. });
    if import && found.len() > limits.events_max {
        let found = u32::try_from(found.len()).unwrap_or(u32::MAX);
        return Err(ScanError::TooManyEvents { found, limit: limits.events_max });
    }
    let records = found.iter().map(|found| {
        let (span, mut record) = match found {
            Found::BadLine(span) => (span, bad(Reason::MalformedLine)),
            Found::Value(node) => match node.tree {
                Tree::Object(_) => (&node.span, judge(limits, request, &text, node)),
                _ => (&node.span, bad(Reason::NotAnObject)),
            },
        };
        record.entry.offset = u32::try_from(span.start).unwrap_or(u32::MAX);
        record.entry.len = u32::try_from(span.len()).unwrap_or(u32::MAX);
        record.entry.repaired = changed[span.clone()].contains(&true);
        record.entry.use_ip = params.ip;
        record
    });
    let records = records.collect();
    Ok((text, records))
}

fn bad(reason: Reason) -> Record {
    let invalid = Invalid { reason, field: Field::None };
    Record { entry: DirectoryEntry::default(), verdict: Verdict::Invalid(invalid), token: Vec::new() }
}

/// The records of the text: of one value, or of its lines.
fn find(text: &[u8], declared_lines: bool, depth_max: usize) -> Result<Vec<Found>, ScanError> {
    let start = content_start(text);
    let whole = parse(text, start..text.len(), depth_max);
    let unpack = |node: Node| match node.tree {
        Tree::Array(nodes) => nodes.into_iter().map(Found::Value).collect(),
        _ => vec![Found::Value(node)],
    };
    if let Some(whole) = whole {
        return Ok(unpack(whole));
    }
    let mut found = Vec::new();
    let mut from = if text.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    for line in text[from..].split(|b| *b == b'\n') {
        let blanks = line.iter().take_while(|b| is_blank(**b)).count();
        let trailing = line[blanks..].iter().rev().take_while(|b| is_blank(**b)).count();
        let span = from + blanks..from + line.len() - trailing;
        from += line.len() + 1;
        if span.is_empty() {
            continue;
        }
        let value = parse(text, span.start + content_start(&text[span.clone()])..span.end, depth_max);
        // A line that holds an array, or a mark in front, is shown whole.
        found.push(value.map_or(Found::BadLine(span), Found::Value));
    }
    let any_good = found.iter().any(|f| matches!(f, Found::Value(_)));
    let undeclared_lines = any_good && text[start] == b'{' && found.len() > 1;
    if !declared_lines && !undeclared_lines {
        return Err(ScanError::Malformed { what: "not JSON", at: 0 });
    }
    if found.len() == 1 {
        let only = found.remove(0);
        return Ok(if let Found::Value(node) = only { unpack(node) } else { vec![only] });
    }
    Ok(found)
}

fn judge(limits: Limits, request: &Request<'_>, text: &[u8], node: &Node) -> Record {
    let nowhere = Node { span: 0..0, tree: Tree::Null };
    let properties = node.get("properties").unwrap_or(&nowhere);
    let mut entry = DirectoryEntry::default();
    let (token, time) = if request.dialect.holds_events() {
        entry.name = span(node, node.get("event"), false);
        entry.distinct_id = span(node, properties.get("distinct_id"), true);
        entry.insert_id = span(node, properties.get("$insert_id"), true);
        (properties.get("token"), properties.get("time"))
    } else {
        let id = if request.dialect == Dialect::Groups { "$group_id" } else { "$distinct_id" };
        entry.distinct_id = span(node, node.get(id), true);
        (node.get("$token"), node.get("$time"))
    };
    entry.time_ms = time.and_then(|time| time_ms(text, time));
    let json = &text[node.span.clone()];
    entry.escaped = [entry.name, entry.distinct_id, entry.insert_id].iter().any(|span| {
        // A span too long to be stored is taken to have escapes when the text has any.
        span.get(json).is_some_and(|raw| raw.contains(&b'\\')) || *span == Span::LONG && text.contains(&b'\\')
    });
    let token = match request.dialect {
        Dialect::Import { .. } => b"",
        _ => filled(token).unwrap_or_default(),
    };
    let verdict = match check(limits, request, text, node, token) {
        Err((reason, field)) => Verdict::Invalid(Invalid { reason, field }),
        Ok(()) if request.dialect.holds_events() && ignored(text, properties.get("$ignore")) => {
            Verdict::Ignored
        }
        Ok(()) => Verdict::Keep,
    };
    Record { entry, verdict, token: token.to_vec() }
}

fn span(record: &Node, value: Option<&Node>, numbers: bool) -> Span {
    let Some(value) = value else { return Span::NONE };
    let (start, end) = (value.span.start - record.span.start, value.span.end - record.span.start);
    match value.tree {
        Tree::String(_) => Span::of(start + 1..end - 1),
        Tree::Number if numbers => Span::of(start..end),
        _ => Span::NONE,
    }
}

fn filled(value: Option<&Node>) -> Option<&[u8]> {
    match &value?.tree {
        Tree::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn number(text: &[u8], node: &Node) -> Option<f64> {
    std::str::from_utf8(&text[node.span.clone()]).ok()?.parse().ok()
}

fn time_ms(text: &[u8], time: &Node) -> Option<i64> {
    let number: f64 = match &time.tree {
        Tree::Number => number(text, time)?,
        // As it is written: an escaped digit is none.
        Tree::String(_) => {
            let inside = &text[time.span.start + 1..time.span.end - 1];
            let node = parse(inside, 0..inside.len(), 1).filter(|n| n.span == (0..inside.len()))?;
            matches!(node.tree, Tree::Number).then_some(())?;
            std::str::from_utf8(inside).ok()?.parse().ok()?
        }
        _ => return None,
    };
    let ms = if number.abs() >= 1e11 { number } else { number * 1000.0 };
    #[expect(clippy::cast_possible_truncation, reason = "in range: just checked")]
    (ms.round().abs() <= 9_007_199_254_740_992.0).then(|| ms.round() as i64)
}

fn ignored(text: &[u8], value: Option<&Node>) -> bool {
    value.is_some_and(|value| match &value.tree {
        Tree::Null => false,
        Tree::Bool(yes) => *yes,
        Tree::Number => number(text, value) != Some(0.0),
        Tree::String(text) => !text.is_empty(),
        Tree::Array(_) | Tree::Object(_) => true,
    })
}

fn is_identity(value: Option<&Node>) -> bool {
    filled(value).is_some() || value.is_some_and(|v| matches!(v.tree, Tree::Number))
}

type Checked = Result<(), (Reason, Field)>;

fn check(limits: Limits, request: &Request<'_>, text: &[u8], node: &Node, token: &[u8]) -> Checked {
    let ensure =
        |holds: bool, reason: Reason, field: Field| if holds { Ok(()) } else { Err((reason, field)) };
    let dialect = request.dialect;
    ensure(!node.members().is_empty() || dialect.is_strict(), Reason::Empty, Field::None)?;
    if dialect.holds_events() {
        let event = filled(node.get("event")).ok_or((Reason::EventMissing, Field::Event))?;
        let properties = node.get("properties").filter(|p| matches!(p.tree, Tree::Object(_)));
        let properties = properties.ok_or((Reason::PropertiesMissing, Field::Properties))?;
        if dialect == Dialect::Track {
            ensure(!token.is_empty(), Reason::TokenMissing, Field::None)?;
            ensure(token.len() <= TOKEN_BYTES_MAX, Reason::TokenTooLong, Field::None)?;
            ensure(event != b"$merge", Reason::MergeOutsideImport, Field::None)?;
        }
        if dialect.is_strict() {
            if ![&b"$identify"[..], b"$create_alias", b"$merge"].contains(&event) {
                check_identity(request.now_ms, text, properties)?;
            }
            check_shape(limits, text, node, properties)?;
        }
        return Ok(());
    }
    ensure(!token.is_empty(), Reason::ProfileTokenMissing, Field::None)?;
    ensure(token.len() <= TOKEN_BYTES_MAX, Reason::TokenTooLong, Field::None)?;
    if dialect == Dialect::Groups {
        ensure(filled(node.get("$group_key")).is_some(), Reason::GroupKeyMissing, Field::None)?;
        ensure(is_identity(node.get("$group_id")), Reason::GroupIdMissing, Field::None)?;
    } else {
        ensure(is_identity(node.get("$distinct_id")), Reason::DistinctIdMissing, Field::None)?;
    }
    let operations: Vec<(&str, &Node)> = OBJECT_OPERATIONS
        .into_iter()
        .chain(["$unset", "$delete"])
        .filter_map(|name| node.get(name).map(|value| (name, value)))
        .collect();
    ensure(!operations.is_empty(), Reason::OperationMissing, Field::None)?;
    let fits = operations.iter().all(|(name, value)| match *name {
        "$delete" => true,
        "$unset" => matches!(value.tree, Tree::Array(_) | Tree::String(_)),
        _ => matches!(value.tree, Tree::Object(_)),
    });
    ensure(fits, Reason::OperationInvalid, Field::None)
}

/// What strict demands of every event but those about identity.
fn check_identity(now_ms: u64, text: &[u8], properties: &Node) -> Checked {
    let fail = |reason, field| Err((reason, field));
    let time = properties.get("time").filter(|t| !matches!(t.tree, Tree::Null));
    let time = time.ok_or((Reason::StrictTimeMissing, Field::Time))?;
    if !matches!(time.tree, Tree::Number) {
        return fail(Reason::StrictTimeNotNumber, Field::Time);
    }
    let seconds = number(text, time).unwrap_or_default();
    let ms = if seconds.abs() >= 1e11 { seconds } else { seconds * 1000.0 };
    if ms < 31_536_000_000.0 {
        return fail(Reason::StrictTimeTooOld, Field::Time);
    }
    #[expect(clippy::cast_precision_loss, reason = "a clock is far below 2^53 ms")]
    if ms > now_ms as f64 + 3_600_000.0 {
        return fail(Reason::StrictTimeInFuture, Field::Time);
    }
    let denied = |value: &[u8]| {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        !value.is_empty() && DENIED.split(' ').any(|word| word == value)
    };
    match properties.get("distinct_id").filter(|id| !matches!(id.tree, Tree::Null)) {
        None if is_identity(properties.get("$user_id")) || is_identity(properties.get("$device_id")) => {}
        None => return fail(Reason::StrictDistinctIdMissing, Field::DistinctId),
        Some(Node { tree: Tree::String(id), .. }) if !denied(id) => {}
        Some(Node { tree: Tree::Number, span }) => {
            let raw = &text[span.clone()];
            if denied(raw) || raw == b"-0" {
                return fail(Reason::StrictDistinctIdInvalid, Field::DistinctId);
            }
        }
        Some(_) => return fail(Reason::StrictDistinctIdInvalid, Field::DistinctId),
    }
    let id = filled(properties.get("$insert_id")).ok_or((Reason::StrictInsertIdMissing, Field::InsertId))?;
    if id.len() > 36 {
        return fail(Reason::StrictInsertIdTooLong, Field::InsertId);
    }
    if !id.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-') {
        return fail(Reason::StrictInsertIdChars, Field::InsertId);
    }
    if denied(id) {
        return fail(Reason::StrictInsertIdDenied, Field::InsertId);
    }
    Ok(())
}

/// What strict demands of all events.
fn check_shape(limits: Limits, text: &[u8], record: &Node, properties: &Node) -> Checked {
    let fail = |reason, field| Err((reason, field));
    let property = |key: &Range<usize>| {
        Field::Property(Span::of(key.start - record.span.start..key.end - record.span.start))
    };
    let is_utf8 = |range: Range<usize>| std::str::from_utf8(&text[range]).is_ok();
    if !is_utf8(record.span.clone()) {
        let whose = properties.members().iter().find(|m| !is_utf8(m.key_span.start..m.value.span.end));
        return fail(Reason::StrictUtf8, whose.map_or(Field::None, |m| property(&m.key_span)));
    }
    let members = distinct(properties.members());
    if members.len() > 255 {
        return fail(Reason::StrictTooManyProperties, Field::Properties);
    }
    for member in members {
        let over = match &member.value.tree {
            Tree::Array(items) if items.len() > 255 => Reason::StrictArrayTooLong,
            Tree::Object(members) if distinct(members).len() > 255 => Reason::StrictTooManyKeys,
            Tree::Object(_) if object_levels(&member.value) > 3 => Reason::StrictTooDeep,
            _ => continue,
        };
        return fail(over, property(&member.key_span));
    }
    if record.span.len() > limits.event_bytes_max {
        return fail(Reason::StrictEventTooLarge, Field::None);
    }
    Ok(())
}

/// Without those that a later one of the same key replaces.
fn distinct(members: &[Member]) -> Vec<&Member> {
    let mut met = HashSet::new();
    let mut last: Vec<&Member> = members.iter().rev().filter(|m| met.insert(&m.key)).collect();
    last.reverse();
    last
}

fn object_levels(node: &Node) -> usize {
    match &node.tree {
        Tree::Object(members) => {
            1 + distinct(members).iter().map(|m| object_levels(&m.value)).max().unwrap_or(0)
        }
        Tree::Array(items) => items.iter().map(object_levels).max().unwrap_or(0),
        _ => 0,
    }
}
