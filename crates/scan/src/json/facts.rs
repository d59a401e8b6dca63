//! What is noted of a record while its tokens go by.

use super::escape::unescape;

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
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Value {
    /// Its bytes; a string's without the quotes.
    pub(super) fn raw(self, text: &[u8]) -> &[u8] {
        let (start, end) = self.inside();
        text.get(start..end).unwrap_or_default()
    }

    /// Where [`Value::raw`] lies.
    pub(super) fn inside(self) -> (usize, usize) {
        match self.kind {
            Kind::String => (self.start + 1, self.end.saturating_sub(1)),
            _ => (self.start, self.end),
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
        // An escape is never shorter than what it stands for.
        raw.len() > want.len() && unescaped(raw, scratch) == want
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
pub(super) const UNSET: usize = 7;
/// The place of `$delete`, which takes anything.
pub(super) const DELETE: usize = 8;

/// The operation that a key names.
pub(super) fn operation(key: &[u8]) -> Option<usize> {
    Some(match key {
        b"$set" => 0,
        b"$set_once" => 1,
        b"$add" => 2,
        b"$append" => 3,
        b"$union" => 4,
        b"$remove" => 5,
        b"$merge" => 6,
        b"$unset" => UNSET,
        b"$delete" => DELETE,
        _ => return None,
    })
}

/// The fields of one record. Of equal keys the last one's value is here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// It has any key at all.
    pub(super) has_keys: bool,
    pub(super) event: Value,
    pub(super) properties: Kind,
    /// Where they start.
    pub(super) properties_at: usize,
    /// Those of the last `properties`.
    pub(super) inner: Properties,
    pub(super) profile: Profile,
}

/// The fields of an event's properties.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Properties {
    pub(super) token: Value,
    pub(super) time: Value,
    pub(super) distinct_id: Value,
    pub(super) insert_id: Value,
    pub(super) ignore: Value,
    pub(super) user_id: Value,
    pub(super) device_id: Value,
    /// How many there are; counted under strict rules only, like the next two.
    pub(super) count: usize,
    /// The first one that breaks a limit.
    pub(super) over: Option<(crate::Reason, (usize, usize))>,
    /// The first one that is not UTF-8.
    pub(super) not_utf8: Option<(usize, usize)>,
}

/// The fields of a profile update.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Profile {
    pub(super) token: Value,
    pub(super) distinct_id: Value,
    pub(super) group_key: Value,
    pub(super) group_id: Value,
    pub(super) time: Value,
    pub(super) operations: [Kind; OPERATIONS],
}
