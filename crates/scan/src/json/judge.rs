//! From the facts of a record to its verdict and its directory entry.

use super::facts::{DELETE, Facts, Kind, Slot, UNSET, Value};
use super::job::Job;
use super::sink::{Sink, offset};
use super::{number, strict, time};
use crate::{Dialect, Field, Invalid, Reason, Record, TOKEN_BYTES_MAX, Verdict, verdict::Token};
use forebay_record::{DirectoryEntry, Span};
use std::ops::Range;

/// Judges an object.
pub(super) fn judge(
    job: &Job<'_>,
    range: Range<usize>,
    facts: &Facts,
    sink: &mut Sink,
    scratch: &mut Vec<u8>,
) {
    let mut entry = bare_entry(job, &range);
    let id = if job.dialect == Dialect::Groups { Slot::GroupId } else { Slot::DistinctId };
    entry.distinct_id = identity_span(facts.get(id), range.start);
    if job.dialect.holds_events() {
        entry.name = filled_span(facts.get(Slot::Event), range.start);
        entry.insert_id = identity_span(facts.get(Slot::InsertId), range.start);
    }
    entry.time_ms = time_ms(facts.get(Slot::Time), job);
    // A span too long to be stored is taken to have escapes when the text has any.
    let escaped = |slot, span| {
        if span == Span::LONG { job.has_escapes() } else { span != Span::NONE && facts.get(slot).escaped }
    };
    entry.escaped = escaped(Slot::Event, entry.name)
        || escaped(id, entry.distinct_id)
        || escaped(Slot::InsertId, entry.insert_id);

    // Credentials route an import, whatever its events say.
    let token = facts.get(Slot::Token);
    let routed = !matches!(job.dialect, Dialect::Import { .. }) && token.is_filled();
    let (token, token_len) = if routed { sink.token(token, job.text) } else { (Token::default(), 0) };
    let verdict = match check(job, &range, facts, token_len, scratch) {
        Err(invalid) => Verdict::Invalid(invalid),
        Ok(()) if job.dialect.holds_events() && ignored(facts.get(Slot::Ignore), job.text) => {
            Verdict::Ignored
        }
        Ok(()) => Verdict::Keep,
    };
    sink.push(Record { entry, verdict, token }, job);
}

/// Judges what stands where a record should and is not an object.
pub(super) fn judge_other(job: &Job<'_>, range: Range<usize>, sink: &mut Sink) {
    reject(job, range, Invalid::of(Reason::NotAnObject), sink);
}

/// Lists a piece of text as an invalid record.
pub(super) fn reject(job: &Job<'_>, range: Range<usize>, invalid: Invalid, sink: &mut Sink) {
    let entry = bare_entry(job, &range);
    sink.push(Record { entry, verdict: Verdict::Invalid(invalid), token: Token::default() }, job);
}

fn bare_entry(job: &Job<'_>, range: &Range<usize>) -> DirectoryEntry {
    DirectoryEntry {
        offset: offset(range.start),
        len: offset(range.len()),
        repaired: job.was_repaired(range),
        use_ip: job.use_ip,
        ..DirectoryEntry::default()
    }
}

fn span(value: Value, record_start: usize) -> Span {
    let (start, end) = value.inside();
    Span::of(start - record_start..end - record_start)
}

/// A string's span, empty or not.
fn filled_span(value: Value, record_start: usize) -> Span {
    if value.kind == Kind::String { span(value, record_start) } else { Span::NONE }
}

/// A string's or a number's span.
fn identity_span(value: Value, record_start: usize) -> Span {
    match value.kind {
        Kind::String | Kind::Number => span(value, record_start),
        _ => Span::NONE,
    }
}

/// A number, or a string that is one: senders that build their JSON by hand quote it.
fn time_ms(value: Value, job: &Job<'_>) -> Option<i64> {
    let raw = value.raw(job.text);
    match value.kind {
        Kind::Number => time::millis(raw),
        Kind::String if number::is_number(raw) => time::millis(raw),
        _ => None,
    }
}

/// `$ignore`: true, any filled string, any number but zero.
fn ignored(value: Value, text: &[u8]) -> bool {
    match value.kind {
        Kind::Absent | Kind::False | Kind::Null => false,
        Kind::True | Kind::Object | Kind::Array => true,
        Kind::String => value.is_filled(),
        Kind::Number => time::exact_millis(value.raw(text)) != Some(0.0),
    }
}

fn check(
    job: &Job<'_>,
    range: &Range<usize>,
    facts: &Facts,
    token_len: usize,
    scratch: &mut Vec<u8>,
) -> Result<(), Invalid> {
    if !facts.has_keys && !job.dialect.is_strict() {
        return Err(Invalid::of(Reason::Empty));
    }
    match job.dialect {
        Dialect::Track => {
            check_event(facts)?;
            check_token(token_len, Reason::TokenMissing)?;
            if facts.get(Slot::Event).is(b"$merge", job.text, scratch) {
                return Err(Invalid::of(Reason::MergeOutsideImport));
            }
            Ok(())
        }
        Dialect::Import { strict: false } => check_event(facts),
        Dialect::Import { strict: true } => {
            check_event(facts)?;
            strict::check(job, range, facts, scratch)
        }
        Dialect::Engage | Dialect::Groups => {
            check_token(token_len, Reason::ProfileTokenMissing)?;
            check_profile(job.dialect, facts).map_err(Invalid::of)
        }
    }
}

fn check_event(facts: &Facts) -> Result<(), Invalid> {
    if !facts.get(Slot::Event).is_filled() {
        return Err(Invalid { reason: Reason::EventMissing, field: Field::Event });
    }
    if facts.properties != Kind::Object {
        return Err(Invalid { reason: Reason::PropertiesMissing, field: Field::Properties });
    }
    Ok(())
}

fn check_token(len: usize, missing: Reason) -> Result<(), Invalid> {
    match len {
        0 => Err(Invalid::of(missing)),
        1..=TOKEN_BYTES_MAX => Ok(()),
        _ => Err(Invalid::of(Reason::TokenTooLong)),
    }
}

fn check_profile(dialect: Dialect, facts: &Facts) -> Result<(), Reason> {
    if dialect == Dialect::Groups {
        if !facts.get(Slot::GroupKey).is_filled() {
            return Err(Reason::GroupKeyMissing);
        }
        if !facts.get(Slot::GroupId).is_identity() {
            return Err(Reason::GroupIdMissing);
        }
    } else if !facts.get(Slot::DistinctId).is_identity() {
        return Err(Reason::DistinctIdMissing);
    }
    if facts.operations.iter().all(|&kind| kind == Kind::Absent) {
        return Err(Reason::OperationMissing);
    }
    let fits = |(which, &kind): (u8, &Kind)| match which {
        DELETE => true,
        UNSET => matches!(kind, Kind::Absent | Kind::Array | Kind::String),
        _ => matches!(kind, Kind::Absent | Kind::Object),
    };
    if (0..).zip(&facts.operations).all(fits) { Ok(()) } else { Err(Reason::OperationInvalid) }
}
