//! From the structure of a text to its records: notes, of each, the few fields that are looked at.
//!
//! It sees brackets and few keys. What stands between them is known to be valid by the time it is asked for, save for
//! literals and unusual numbers, which are checked here.

use super::facts::{Facts, Kind, NO_FACTS, Slot, Value, unescaped};
use super::job::Job;
use super::judge::judge;
use super::names::{self, Name, Names};
use super::number::{number_end, scalar_end};
use super::sink::Sink;
use super::strict;
use super::structure::{More, NotValid, Structure, Task};
use std::ops::Range;

/// How deep a token stands: of a record's own keys, and of its properties'.
const RECORD: usize = 1;
const PROPERTIES: usize = 2;

/// Reads the object or array in `text` that starts at `start`: a record, or an array of nothing but records. Whatever
/// else it is, valid or not, is left to [`super::walk`].
pub(super) fn read(
    job: &Job<'_>,
    range: Range<usize>,
    structure: &mut Structure,
    sink: &mut Sink,
    scratch: &mut Vec<u8>,
) -> Result<(), NotValid> {
    let level = structure.level();
    if job.dialect.is_strict() {
        level.run(Read::<true> { job, range, structure, sink, scratch })
    } else {
        level.run(Read::<false> { job, range, structure, sink, scratch })
    }
}

/// What there is to do; with what strict rules count if they are in force.
struct Read<'r, 'j, const STRICT: bool> {
    job: &'r Job<'j>,
    range: Range<usize>,
    structure: &'r mut Structure,
    sink: &'r mut Sink,
    scratch: &'r mut Vec<u8>,
}

impl<const STRICT: bool> Task for Read<'_, '_, STRICT> {
    type Output = Result<(), NotValid>;

    #[inline(always)]
    fn run(self) -> Result<(), NotValid> {
        let Read { job, range, structure, sink, scratch } = self;
        let text = &job.text[..range.end];
        // Strict rules count the properties; only events have names that are told by their length.
        structure.begin(range.start, STRICT || !job.dialect.holds_events());
        let in_array = text.get(range.start) == Some(&b'[');
        let mut records = Records::<'_, STRICT> {
            job,
            text,
            sink,
            scratch,
            of_record: if job.dialect.holds_events() { &names::EVENT } else { &names::PROFILE },
            names: &names::NONE,
            // The array around the records is no level of theirs: its bracket is the first token.
            before: in_array.then_some(range.start),
            level: 0,
            in_properties: false,
            start: 0,
            between: range.start + usize::from(in_array),
            facts: NO_FACTS,
            open: None,
            scalar_end: 0,
            property: Property::default(),
        };
        loop {
            let more = structure.next(text)?;
            records.chunk(structure)?;
            if more == More::No {
                return Ok(());
            }
        }
    }
}

/// A walk over the chunks of one text.
struct Records<'w, const STRICT: bool> {
    job: &'w Job<'w>,
    text: &'w [u8],
    sink: &'w mut Sink,
    scratch: &'w mut Vec<u8>,
    /// The keys of a record that are looked for.
    of_record: &'static Names,
    /// The keys that are looked for where the walk stands.
    names: &'static Names,
    /// The bracket of the array around the records, until it is met.
    before: Option<usize>,
    /// How many brackets of the record are open.
    level: usize,
    /// One of them is that of its properties.
    in_properties: bool,
    /// Where the record starts.
    start: usize,
    /// Where the last one ended.
    between: usize,
    facts: Facts,
    /// A string whose end is not known yet.
    open: Option<(Slot, usize)>,
    /// Where the number or literal ends that was looked at last.
    scalar_end: usize,
    /// Under strict rules, the property that is open.
    property: Property,
}

/// What strict rules need to know of an object or array among the properties.
#[derive(Clone, Copy, Default)]
struct Property {
    start: usize,
    /// Where what it holds itself was not yet looked at.
    from: usize,
    /// The commas in what it holds itself, not deeper; those in strings, too.
    commas: usize,
    /// One bit for each level that is open, the innermost lowest: an object (1) or an array.
    open: u128,
    /// How many objects are open, and how many were at most.
    objects: u32,
    objects_max: u32,
}

impl Property {
    /// At the place `at`, `bracket` opens.
    fn opened(&mut self, at: usize, bracket: u8) {
        let object = u32::from(bracket == b'{');
        self.open = self.open << 1 | u128::from(object);
        self.objects += object;
        self.objects_max = self.objects_max.max(self.objects);
        self.from = at + 1;
    }

    fn closed(&mut self, at: usize) {
        self.objects -= u32::from(self.open & 1 == 1);
        self.open >>= 1;
        self.from = at + 1;
    }

    /// Looks at what it holds itself, up to `at`.
    fn holds(&mut self, text: &[u8], at: usize) {
        let held = text.get(self.from..at).unwrap_or_default();
        self.commas += held.iter().filter(|&&byte| byte == b',').count();
    }

    /// It is to be looked at again, token by token.
    fn may_be_over(&self) -> bool {
        self.commas >= strict::ENTRIES_MAX || self.objects_max > strict::NESTED_OBJECTS_MAX
    }
}

impl<const STRICT: bool> Records<'_, STRICT> {
    #[inline(always)]
    fn chunk(&mut self, structure: &Structure) -> Result<(), NotValid> {
        if let Some((slot, start)) = self.open {
            self.close_string(slot, start, structure);
        }
        for &at in structure.tokens() {
            let at = at as usize;
            let first = eight(self.text, at);
            let [byte, ..] = first.to_le_bytes();
            if byte == b'"' {
                self.key(at, first, structure);
                continue;
            }
            // What comes next is hard to guess, and a table of places to jump to even harder.
            if byte | 0x20 == b'{' {
                self.opened(at)?;
            } else if byte | 0x20 == b'}' {
                self.closed(at)?;
            } else {
                self.scalar(at)?;
            }
        }
        Ok(())
    }

    /// Checks the number or literal that `at` is in: its first byte most often, but not always.
    fn scalar(&mut self, at: usize) -> Result<(), NotValid> {
        if at < self.scalar_end {
            return Ok(());
        }
        // There is such a place in each block it reaches: this is never far.
        let before = |byte: &u8| {
            !matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',' | b'"' | b' ' | b'\t' | b'\n' | b'\r')
        };
        let start = at - self.text[..at].iter().rev().take_while(|byte| before(byte)).count();
        self.scalar_end = scalar_end(eight(self.text, start), self.text, start).ok_or(NotValid)?;
        Ok(())
    }

    /// The key at `at`, which begins with the bytes `first`.
    #[inline(always)]
    fn key(&mut self, at: usize, first: u64, structure: &Structure) {
        if STRICT && self.level == PROPERTIES {
            self.facts.count += usize::from(self.in_properties);
        }
        if structure.has_escaped_keys() {
            self.escaped_key(at, structure);
        } else if self.names.may_hold(first)
            && let Some((name, len)) = self.names.find(sixteen(self.text, at))
        {
            self.named(name, at + len, structure);
        }
    }

    /// The key at `at`, escapes resolved.
    #[cold]
    fn escaped_key(&mut self, at: usize, structure: &Structure) {
        if let Some((end, _)) = structure.string(at + 1)
            && let Some(name) = self.names.named(unescaped(&self.text[at + 1..end], self.scratch))
        {
            self.named(name, end + 1, structure);
        }
    }

    /// Notes the value of a key; `behind` is the place behind the key. Where there is no colon, it was none.
    #[inline(always)]
    fn named(&mut self, name: Name, behind: usize, structure: &Structure) {
        let start = match self.text.get(behind..behind + 2) {
            Some(&[b':', first]) if first > b' ' => behind + 1,
            _ => {
                let colon = skip_blanks(self.text, behind);
                if self.text.get(colon) != Some(&b':') {
                    return;
                }
                skip_blanks(self.text, colon + 1)
            }
        };
        let kind = self.text.get(start).map_or(Kind::Absent, |&first| Kind::of(first));
        match name {
            Name::Field(slot) => {
                let end = match kind {
                    Kind::String => return self.string(slot, start, structure),
                    Kind::Number => number_end(self.text, start).unwrap_or(start),
                    _ => start,
                };
                self.facts.set(slot, Value::new(kind, start, end, false));
            }
            Name::Properties => self.facts.begin_properties(kind, start),
            Name::Operation(which) => self.facts.operations[usize::from(which)] = kind,
        }
    }

    /// Notes the string that starts at `start`.
    #[inline(always)]
    fn string(&mut self, slot: Slot, start: usize, structure: &Structure) {
        match structure.string(start + 1) {
            Some((end, escaped)) => self.facts.set(slot, Value::new(Kind::String, start, end + 1, escaped)),
            None => self.open = Some((slot, start)),
        }
    }

    /// Notes the string whose end was not known, if it is now.
    #[cold]
    fn close_string(&mut self, slot: Slot, start: usize, structure: &Structure) {
        if let Some((end, maybe_escaped)) = structure.string(start + 1) {
            let escaped = maybe_escaped && memchr::memchr(b'\\', &self.text[start..end]).is_some();
            self.facts.set(slot, Value::new(Kind::String, start, end + 1, escaped));
            self.open = None;
        }
    }

    #[inline(always)]
    fn opened(&mut self, at: usize) -> Result<(), NotValid> {
        match self.level {
            0 => {
                if self.before.take().is_some() {
                    return Ok(());
                }
                if self.text[at] != b'{' || !self.is_between(at) {
                    return Err(NotValid);
                }
                self.start = at;
                self.facts = NO_FACTS;
                self.names = self.of_record;
            }
            RECORD => {
                self.in_properties = self.facts.properties == Kind::Object && self.facts.properties_at == at;
                self.names = self.of_properties();
            }
            PROPERTIES => {
                self.names = &names::NONE;
                if STRICT {
                    self.property = Property { start: at, ..Property::default() };
                    self.property.opened(at, self.text[at]);
                }
            }
            level if STRICT => {
                if level == PROPERTIES + 1 {
                    self.property.holds(self.text, at);
                }
                self.property.opened(at, self.text[at]);
            }
            _ => {}
        }
        self.level += 1;
        Ok(())
    }

    #[inline(always)]
    fn closed(&mut self, at: usize) -> Result<(), NotValid> {
        if self.level == 0 {
            // The end of the array around the records.
            return if self.is_between(at) { Ok(()) } else { Err(NotValid) };
        }
        self.level -= 1;
        match self.level {
            0 => {
                self.between = at + 1;
                self.facts.has_keys = skip_blanks(self.text, self.start + 1) != at;
                judge(self.job, self.start..at + 1, &self.facts, self.sink, self.scratch);
            }
            RECORD => {
                self.names = self.of_record;
                self.in_properties = false;
            }
            PROPERTIES => {
                self.names = self.of_properties();
                if STRICT && self.in_properties {
                    self.property.holds(self.text, at);
                    // Nearly all are seen to be within the limits by that.
                    if self.property.may_be_over() {
                        self.facts.over |= strict::may_be_over(self.job, self.property.start..at + 1);
                    }
                }
            }
            _ if STRICT => self.property.closed(at),
            _ => {}
        }
        Ok(())
    }

    fn of_properties(&self) -> &'static Names {
        if self.in_properties { &names::PROPERTIES } else { &names::NONE }
    }

    /// Is there nothing but a comma between the last record and `at`? That it stands in its place is known.
    #[inline]
    fn is_between(&self, at: usize) -> bool {
        let between = &self.text[self.between..at];
        matches!(between, b"" | b",")
            || between.iter().all(|b| matches!(b, b',' | b' ' | b'\t' | b'\n' | b'\r'))
    }
}

/// The eight bytes at `at`; zeros behind the end of the text.
#[inline(always)]
fn eight(text: &[u8], at: usize) -> u64 {
    match text.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        #[expect(clippy::cast_possible_truncation, reason = "the first bytes are meant")]
        None => sixteen(text, at) as u64,
    }
}

/// The sixteen bytes at `at`; zeros behind the end of the text.
#[inline(always)]
fn sixteen(text: &[u8], at: usize) -> u128 {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => last(rest),
    }
}

#[cold]
fn last(rest: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes[..rest.len()].copy_from_slice(rest);
    u128::from_le_bytes(bytes)
}

#[inline]
fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}
