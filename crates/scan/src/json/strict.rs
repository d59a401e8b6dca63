//! The checks of `/import` with `strict=1`.

use super::distinct;
use super::facts::{Facts, Kind, Slot, Value};
use super::job::Job;
use super::scalar::Scalar;
use super::sink::Sink;
use super::time;
use super::tokens::Tokens;
use super::walk::{Key, Walk};
use crate::{Field, Invalid, Reason, ScanError, utf8};
use forebay_record::Span;
use std::ops::Range;

/// Of an event's properties, an object's keys, an array's elements.
pub(crate) const ENTRIES_MAX: usize = 255;
/// Levels of objects within a property.
pub(crate) const NESTED_OBJECTS_MAX: u32 = 3;
/// Of an `$insert_id`.
pub(crate) const INSERT_ID_BYTES_MAX: usize = 36;
/// 1971-01-01.
pub(crate) const TIME_MS_MIN: f64 = 31_536_000_000.0;
/// One hour.
pub(crate) const AHEAD_MS_MAX: f64 = 3_600_000.0;
/// Events about identity carry neither time nor `$insert_id`.
pub(crate) const IDENTITY_EVENTS: [&[u8]; 3] = [b"$identify", b"$create_alias", b"$merge"];
/// Placeholders that identify nobody, in lower case.
pub(crate) const DENIED: [&[u8]; 17] = [
    b"00000000-0000-0000-0000-000000000000",
    b"anon",
    b"anonymous",
    b"nil",
    b"none",
    b"null",
    b"n/a",
    b"na",
    b"undefined",
    b"unknown",
    b"<nil>",
    b"0",
    b"-1",
    b"true",
    b"false",
    b"[]",
    b"{}",
];

impl<T: Tokens> Walk<'_, T> {
    /// Steps over a property's value, counting what strict rules limit.
    pub(super) fn checked_property(&mut self, key: Key, facts: &mut Facts) -> Result<Value, ScanError> {
        let start = self.tokens.at();
        let kind = Kind::of(self.byte());
        let value = match kind {
            Kind::Object | Kind::Array => {
                let mut size = Size::of(kind);
                let end = self.step_over(|byte| size.see(byte))?;
                facts.over |= size.over();
                Value::new(kind, start, end, false)
            }
            _ => self.value()?,
        };
        facts.count += 1;
        if !self.job.valid_utf8
            && facts.not_utf8.is_none()
            && !utf8::is_valid(&self.text[key.start..value.end()])
        {
            facts.not_utf8 = Some((key.start, key.end));
        }
        Ok(value)
    }
}

/// Looks at the object or array in `range`, which is valid, token by token.
pub(super) fn may_be_over(job: &Job<'_>, range: Range<usize>) -> bool {
    let text = &job.text[..range.end];
    let mut size = Size::of(Kind::of(text[range.start]));
    let (mut sink, mut scratch) = (Sink::default(), Vec::new());
    let walked = Scalar::new(text, range.start, job.limits.depth_max).and_then(|tokens| {
        Walk { job, text, tokens, sink: &mut sink, scratch: &mut scratch }.step_over(|byte| size.see(byte))
    });
    // It never fails; if it did, the value would be measured exactly.
    walked.is_err() || size.over()
}

/// How many entries an object or array has, and how deep objects nest in it. Arrays do not count as
/// levels.
struct Size {
    kind: Kind,
    depth: u32,
    empty: bool,
    commas: usize,
    /// One bit for each open object (1) or array (0), the innermost lowest. Depth is limited to 128.
    open: u128,
    objects: u32,
    objects_max: u32,
}

impl Size {
    fn of(kind: Kind) -> Size {
        let object = u32::from(kind == Kind::Object);
        Size {
            kind,
            depth: 1,
            empty: true,
            commas: 0,
            open: u128::from(object),
            objects: object,
            objects_max: object,
        }
    }

    fn see(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => {
                let object = u32::from(byte == b'{');
                self.depth += 1;
                self.open = self.open << 1 | u128::from(object);
                self.objects += object;
                self.objects_max = self.objects_max.max(self.objects);
            }
            b'}' | b']' => {
                self.depth -= 1;
                self.objects -= u32::from(self.open & 1 == 1);
                self.open >>= 1;
            }
            b',' if self.depth == 1 => self.commas += 1,
            _ => {}
        }
        // The closing token of the whole is the only one seen at depth 0.
        self.empty &= self.depth == 0;
    }

    /// Counted with equal keys apart, so perhaps not more than allowed after all.
    fn over(&self) -> bool {
        let entries = if self.empty { 0 } else { self.commas + 1 };
        entries > ENTRIES_MAX || self.kind == Kind::Object && self.objects_max > NESTED_OBJECTS_MAX
    }
}

/// The strict checks of an event that has a name and properties.
pub(super) fn check(
    job: &Job<'_>,
    range: &Range<usize>,
    facts: &Facts,
    scratch: &mut Vec<u8>,
) -> Result<(), Invalid> {
    let invalid = |field, reason| Err(Invalid { reason, field });
    if !IDENTITY_EVENTS.iter().any(|name| facts.get(Slot::Event).is(name, job.text, scratch)) {
        if let Some(reason) = check_time(facts.get(Slot::Time), job) {
            return invalid(Field::Time, reason);
        }
        if let Some(reason) = check_distinct_id(facts, job.text, scratch) {
            return invalid(Field::DistinctId, reason);
        }
        if let Some(reason) = check_insert_id(facts.get(Slot::InsertId), job.text, scratch) {
            return invalid(Field::InsertId, reason);
        }
    }
    let property =
        |(start, end): (usize, usize)| Field::Property(Span::of(start - range.start..end - range.start));
    if !job.valid_utf8 && !utf8::is_valid(&job.text[range.clone()]) {
        return invalid(facts.not_utf8.map_or(Field::None, property), Reason::StrictUtf8);
    }
    if facts.count > ENTRIES_MAX || facts.over {
        // Counted with equal keys apart. Text that was walked once never fails to be walked again.
        let found = distinct::measure(job, facts.properties_at).unwrap_or_default();
        if found.count > ENTRIES_MAX {
            return invalid(Field::Properties, Reason::StrictTooManyProperties);
        }
        if let Some((reason, key)) = found.over {
            return invalid(property(key), reason);
        }
    }
    if range.len() > job.limits.event_bytes_max {
        return invalid(Field::None, Reason::StrictEventTooLarge);
    }
    Ok(())
}

fn check_time(time: Value, job: &Job<'_>) -> Option<Reason> {
    match time.kind {
        Kind::Absent | Kind::Null => return Some(Reason::StrictTimeMissing),
        Kind::Number => {}
        _ => return Some(Reason::StrictTimeNotNumber),
    }
    let Some(millis) = time::exact_millis(time.raw(job.text)) else {
        return Some(Reason::StrictTimeNotNumber);
    };
    #[expect(clippy::cast_precision_loss, reason = "a clock is far below 2^53 ms")]
    let latest = job.now_ms as f64 + AHEAD_MS_MAX;
    if millis < TIME_MS_MIN {
        Some(Reason::StrictTimeTooOld)
    } else if millis > latest {
        Some(Reason::StrictTimeInFuture)
    } else {
        None
    }
}

fn check_distinct_id(facts: &Facts, text: &[u8], scratch: &mut Vec<u8>) -> Option<Reason> {
    let id = facts.get(Slot::DistinctId);
    let others = || [Slot::UserId, Slot::DeviceId].into_iter().any(|slot| facts.get(slot).is_identity());
    match id.kind {
        Kind::Absent | Kind::Null if others() => None,
        Kind::Absent | Kind::Null => Some(Reason::StrictDistinctIdMissing),
        Kind::String | Kind::Number => denied(id, text, scratch).then_some(Reason::StrictDistinctIdInvalid),
        _ => Some(Reason::StrictDistinctIdInvalid),
    }
}

fn check_insert_id(id: Value, text: &[u8], scratch: &mut Vec<u8>) -> Option<Reason> {
    if !id.is_filled() {
        return Some(Reason::StrictInsertIdMissing);
    }
    let bytes = super::facts::unescaped(id.raw(text), scratch);
    if bytes.len() > INSERT_ID_BYTES_MAX {
        Some(Reason::StrictInsertIdTooLong)
    } else if !bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-') {
        Some(Reason::StrictInsertIdChars)
    } else if denied(id, text, scratch) {
        Some(Reason::StrictInsertIdDenied)
    } else {
        None
    }
}

/// Is it a placeholder? Letters of either case; a number as it is written, and minus zero.
fn denied(id: Value, text: &[u8], scratch: &mut Vec<u8>) -> bool {
    let id_text = super::facts::unescaped(id.raw(text), scratch);
    let id_text = if id.kind == Kind::Number && id_text == b"-0" { b"0" } else { id_text };
    DENIED.iter().any(|placeholder| placeholder.eq_ignore_ascii_case(id_text))
}
