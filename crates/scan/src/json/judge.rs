//! From the facts of a record to its verdict and its directory entry.

use super::facts::{DELETE, Facts, Kind, Profile, UNSET, Value};
use super::job::Job;
use super::sink::{Sink, offset};
use super::{scalar, strict, time};
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
    let (token, time) = if job.dialect.holds_events() {
        entry.name = filled_span(facts.event, range.start);
        entry.distinct_id = identity_span(facts.inner.distinct_id, range.start);
        entry.insert_id = identity_span(facts.inner.insert_id, range.start);
        (facts.inner.token, facts.inner.time)
    } else {
        let id =
            if job.dialect == Dialect::Groups { facts.profile.group_id } else { facts.profile.distinct_id };
        entry.distinct_id = identity_span(id, range.start);
        (facts.profile.token, facts.profile.time)
    };
    entry.time_ms = time_ms(time, job);
    let json = &job.text[range.clone()];
    entry.escaped = job.escapes
        && [entry.name, entry.distinct_id, entry.insert_id]
            .into_iter()
            .any(|span| span == Span::LONG || span.get(json).is_some_and(|raw| raw.contains(&b'\\')));

    // Credentials route an import, whatever its events say.
    let routed = !matches!(job.dialect, Dialect::Import { .. }) && token.is_filled();
    let (token, token_len) = if routed { sink.token(token, job.text) } else { (Token::default(), 0) };
    let verdict = match check(job, &range, facts, token_len, scratch) {
        Err(invalid) => Verdict::Invalid(invalid),
        Ok(()) if job.dialect.holds_events() && ignored(facts.inner.ignore, job.text) => Verdict::Ignored,
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
        Kind::String if scalar::is_number(raw) => time::millis(raw),
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
            if facts.event.is(b"$merge", job.text, scratch) {
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
            check_profile(job.dialect, &facts.profile).map_err(Invalid::of)
        }
    }
}

fn check_event(facts: &Facts) -> Result<(), Invalid> {
    if !facts.event.is_filled() {
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

fn check_profile(dialect: Dialect, profile: &Profile) -> Result<(), Reason> {
    if dialect == Dialect::Groups {
        if !profile.group_key.is_filled() {
            return Err(Reason::GroupKeyMissing);
        }
        if !profile.group_id.is_identity() {
            return Err(Reason::GroupIdMissing);
        }
    } else if !profile.distinct_id.is_identity() {
        return Err(Reason::DistinctIdMissing);
    }
    if profile.operations.iter().all(|&kind| kind == Kind::Absent) {
        return Err(Reason::OperationMissing);
    }
    let fits = |(which, &kind): (usize, &Kind)| match which {
        DELETE => true,
        UNSET => matches!(kind, Kind::Absent | Kind::Array | Kind::String),
        _ => matches!(kind, Kind::Absent | Kind::Object),
    };
    if profile.operations.iter().enumerate().all(fits) { Ok(()) } else { Err(Reason::OperationInvalid) }
}
