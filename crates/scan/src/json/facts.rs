//! What is noted of a record while its tokens go by.

use super::escape::unescape;
use super::sink::offset;

/// The type of a value, by its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Absent,
    String,
    Number,
    True,
    False,
    Null,
    Object,
    Array,
}

impl Kind {
    pub(super) fn of(first: u8) -> Kind {
        match first {
            b'"' => Kind::String,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b't' => Kind::True,
            b'f' => Kind::False,
            b'n' => Kind::Null,
            _ => Kind::Number,
        }
    }
}

/// A value in the text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Value {
    pub(super) kind: Kind,
    /// A string with escapes in it.
    pub(super) escaped: bool,
    start: u32,
    end: u32,
}

impl Value {
    /// Of `text[start..end]`. The end of an object or array is not looked at.
    #[inline]
    pub(super) fn new(kind: Kind, start: usize, end: usize, escaped: bool) -> Value {
        Value { kind, escaped, start: offset(start), end: offset(end) }
    }

    /// The place behind it.
    pub(super) fn end(self) -> usize {
        self.end as usize
    }

    /// Its bytes; a string's without the quotes.
    pub(super) fn raw(self, text: &[u8]) -> &[u8] {
        let (start, end) = self.inside();
        text.get(start..end).unwrap_or_default()
    }

    /// Where [`Value::raw`] lies.
    pub(super) fn inside(self) -> (usize, usize) {
        let (start, end) = (self.start as usize, self.end as usize);
        match self.kind {
            Kind::String => (start + 1, end.saturating_sub(1)),
            _ => (start, end),
        }
    }

    /// A string with something in it. Escaped or not: an escape always stands for something.
    pub(super) fn is_filled(self) -> bool {
        self.kind == Kind::String && self.end - self.start > 2
    }

    /// What may identify somebody: a filled string or a number.
    pub(super) fn is_identity(self) -> bool {
        self.is_filled() || self.kind == Kind::Number
    }

    /// A string equal to `want` once its escapes are resolved.
    pub(super) fn is(self, want: &[u8], text: &[u8], scratch: &mut Vec<u8>) -> bool {
        if self.kind != Kind::String {
            return false;
        }
        let raw = self.raw(text);
        if raw == want {
            return true;
        }
        self.escaped && unescaped(raw, scratch) == want
    }
}

/// `raw` with its escapes resolved: itself where it has none.
pub(super) fn unescaped<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr::memchr(b'\\', raw).is_none() {
        return raw;
    }
    scratch.clear();
    unescape(raw, scratch);
    scratch
}

/// How many operations a profile update may carry.
pub(super) const OPERATIONS: usize = 9;
/// The place of `$unset`, which takes an array of names, or one.
pub(super) const UNSET: u8 = 7;
/// The place of `$delete`, which takes anything.
pub(super) const DELETE: u8 = 8;

/// The values that are noted, whatever the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The name of an event.
    Event,
    Token,
    Time,
    DistinctId,
    InsertId,
    Ignore,
    UserId,
    DeviceId,
    GroupKey,
    GroupId,
}

impl Slot {
    const COUNT: usize = Slot::GroupId as usize + 1;
}

/// The fields of one record. Of equal keys the last one's value is here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// It has any key at all.
    pub(super) has_keys: bool,
    pub(super) properties: Kind,
    /// Where they start.
    pub(super) properties_at: usize,
    values: [Value; Slot::COUNT],
    /// Of a profile update.
    pub(super) operations: [Kind; OPERATIONS],
    /// How many properties there are; counted under strict rules only, like the next two.
    pub(super) count: usize,
    /// One of them may be over a limit: it is to be measured.
    pub(super) over: bool,
    /// The first one that is not UTF-8.
    pub(super) not_utf8: Option<(usize, usize)>,
}

/// Those of a record that has none. To be copied: made in place, they would be written piece by piece and read again as a
/// whole, which waits for the last piece.
pub(super) static NO_FACTS: Facts = Facts {
    has_keys: false,
    properties: Kind::Absent,
    properties_at: 0,
    values: [Value { kind: Kind::Absent, escaped: false, start: 0, end: 0 }; Slot::COUNT],
    operations: [Kind::Absent; OPERATIONS],
    count: 0,
    over: false,
    not_utf8: None,
};

impl Facts {
    /// The value of one field.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Value {
        self.values[slot as usize]
    }

    /// Notes the value of one field.
    #[inline]
    pub(super) fn set(&mut self, slot: Slot, value: Value) {
        self.values[slot as usize] = value;
    }

    /// Forgets the properties met before: of equal keys, the last one counts.
    pub(super) fn begin_properties(&mut self, kind: Kind, at: usize) {
        if self.properties != Kind::Absent {
            let event = self.get(Slot::Event);
            *self = Facts { has_keys: true, ..Facts::default() };
            self.set(Slot::Event, event);
        }
        self.properties = kind;
        self.properties_at = at;
    }
}
