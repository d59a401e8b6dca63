//! The keys that are looked for.
//!
//! Every key of every event is compared, and nearly all are of no interest: one multiplication finds the only name it
//! could be, one comparison of its first eight bytes says that it is not.

use super::facts::{DELETE, Slot, UNSET};

/// What a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A value that is noted.
    Field(Slot),
    /// An event's properties.
    Properties,
    /// An operation of a profile update, by its place. Small, so that a name is moved in a register.
    Operation(u8),
}

/// The keys of an event itself.
pub(super) static EVENT: Names =
    Names::of(&[("event", Name::Field(Slot::Event)), ("properties", Name::Properties)]);

/// The keys among an event's properties.
pub(super) static PROPERTIES: Names = Names::of(&[
    ("token", Name::Field(Slot::Token)),
    ("time", Name::Field(Slot::Time)),
    ("distinct_id", Name::Field(Slot::DistinctId)),
    ("$insert_id", Name::Field(Slot::InsertId)),
    ("$ignore", Name::Field(Slot::Ignore)),
    ("$user_id", Name::Field(Slot::UserId)),
    ("$device_id", Name::Field(Slot::DeviceId)),
]);

/// The keys of a profile update.
pub(super) static PROFILE: Names = Names::of(&[
    ("$token", Name::Field(Slot::Token)),
    ("$distinct_id", Name::Field(Slot::DistinctId)),
    ("$time", Name::Field(Slot::Time)),
    ("$group_key", Name::Field(Slot::GroupKey)),
    ("$group_id", Name::Field(Slot::GroupId)),
    ("$set", Name::Operation(0)),
    ("$set_once", Name::Operation(1)),
    ("$add", Name::Operation(2)),
    ("$append", Name::Operation(3)),
    ("$union", Name::Operation(4)),
    ("$remove", Name::Operation(5)),
    ("$merge", Name::Operation(6)),
    ("$unset", Name::Operation(UNSET)),
    ("$delete", Name::Operation(DELETE)),
]);

/// No key at all.
pub(super) static NONE: Names = Names::of(&[]);

/// A set of names.
#[derive(Debug)]
pub(super) struct Names {
    table: [Entry; 1 << TABLE_BITS],
    factor: u64,
    names: [Whole; NAMES_MAX],
}

/// How many places the table has, as a power of two: twice as many as names, so that a factor is found.
const TABLE_BITS: u32 = 5;
const NAMES_MAX: usize = 14;
/// How many bytes of a key are multiplied, its opening quote included: no name is shorter, with its quotes.
const HASHED_BYTES: u32 = 6;

/// The names that begin with the same bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u64,
    mask: u64,
    first: usize,
    count: usize,
}

/// A name with its quotes, as the first bytes of a number.
#[derive(Clone, Copy, Debug)]
struct Whole {
    bytes: u128,
    mask: u128,
    name: Name,
    len: usize,
}

impl Whole {
    const fn of(text: &str, name: Name) -> Whole {
        let text = text.as_bytes();
        let len = text.len() + 2;
        assert!(len >= HASHED_BYTES as usize && len <= 16, "it is compared as sixteen bytes");
        let (mut bytes, mut i) = (b'"' as u128, text.len());
        while i > 0 {
            i -= 1;
            bytes = bytes << 8 | text[i] as u128;
        }
        bytes = bytes << 8 | b'"' as u128;
        Whole { bytes, mask: u128::MAX >> (8 * (16 - len)), name, len }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the first bytes are meant")]
    const fn entry(&self, first: usize) -> Entry {
        Entry { bytes: self.bytes as u64, mask: self.mask as u64, first, count: 1 }
    }
}

impl Names {
    /// Names that begin alike stand next to each other.
    const fn of(list: &[(&str, Name)]) -> Names {
        // Equal to nothing that begins with a quote.
        const NOTHING: Entry = Entry { bytes: 0, mask: 0xff, first: 0, count: 0 };
        let mut names = [Whole { bytes: 0, mask: 0xff, name: Name::Properties, len: 0 }; NAMES_MAX];
        let mut i = 0;
        while i < list.len() {
            names[i] = Whole::of(list[i].0, list[i].1);
            i += 1;
        }
        let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
        loop {
            let mut table = [NOTHING; 1 << TABLE_BITS];
            let (mut i, mut placed) = (0, true);
            while i < list.len() && placed {
                let entry = names[i].entry(i);
                let taken = &mut table[place(entry.bytes, factor)];
                if taken.count == 0 {
                    *taken = entry;
                } else if hashed(taken.bytes) == hashed(entry.bytes) && taken.first + taken.count == i {
                    taken.mask = u64::MAX >> (64 - 8 * HASHED_BYTES);
                    taken.bytes &= taken.mask;
                    taken.count += 1;
                } else {
                    placed = false;
                }
                i += 1;
            }
            if placed {
                return Names { table, factor, names };
            }
            factor = factor.wrapping_mul(0xd134_2543_de82_ef95) | 1;
        }
    }

    /// May a key that begins with these bytes, its opening quote first, be one of the names?
    #[inline(always)]
    pub(super) fn may_hold(&self, first: u64) -> bool {
        let entry = &self.table[place(first, self.factor)];
        first & entry.mask == entry.bytes
    }

    /// The name that a text of these sixteen bytes begins with, quotes included; and its length with them.
    #[inline(always)]
    pub(super) fn find(&self, key: u128) -> Option<(Name, usize)> {
        #[expect(clippy::cast_possible_truncation, reason = "the first bytes are meant")]
        let entry = &self.table[place(key as u64, self.factor)];
        let name = self.names.get(entry.first)?;
        if key & name.mask == name.bytes {
            return Some((name.name, name.len));
        }
        if entry.count < 2 {
            return None;
        }
        let others = self.names.get(entry.first + 1..entry.first + entry.count)?;
        others.iter().find(|name| key & name.mask == name.bytes).map(|name| (name.name, name.len))
    }

    /// The name that is exactly this key.
    pub(super) fn named(&self, key: &[u8]) -> Option<Name> {
        let mut bytes = [b'"'; 16];
        bytes.get_mut(1..)?.get_mut(..key.len())?.copy_from_slice(key);
        self.find(u128::from_le_bytes(bytes)).filter(|&(_, len)| len == key.len() + 2).map(|(name, _)| name)
    }
}

#[inline(always)]
const fn hashed(first: u64) -> u64 {
    first << (64 - 8 * HASHED_BYTES)
}

#[inline(always)]
const fn place(first: u64, factor: u64) -> usize {
    (hashed(first).wrapping_mul(factor) >> (64 - TABLE_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::structure::{Level, Structure};

    #[test]
    fn names_are_found_whole_and_nothing_else_is() {
        let sixteen = |text: &str| {
            let mut bytes = [b'"'; 16];
            bytes.iter_mut().skip(1).zip(text.bytes()).for_each(|(byte, b)| *byte = b);
            u128::from_le_bytes(bytes)
        };
        let found = |names: &Names, text: &str| {
            let key = sixteen(text);
            let found = names.find(key).map(|(_, len)| len - 2);
            let first = u64::from_le_bytes(*key.to_le_bytes().first_chunk().unwrap());
            assert!(found.is_none() || names.may_hold(first), "{text}");
            found
        };
        for (names, known) in [
            (&EVENT, &["event", "properties"][..]),
            (
                &PROPERTIES,
                &["token", "time", "distinct_id", "$insert_id", "$ignore", "$user_id", "$device_id"],
            ),
            (
                &PROFILE,
                &[
                    "$token",
                    "$distinct_id",
                    "$time",
                    "$group_key",
                    "$group_id",
                    "$set",
                    "$set_once",
                    "$add",
                    "$append",
                    "$union",
                    "$remove",
                    "$merge",
                    "$unset",
                    "$delete",
                ],
            ),
            (&NONE, &[]),
        ] {
            for name in known {
                assert_eq!(found(names, &format!("{name}\":1,\"x")), Some(name.len()), "{name}");
                assert!(names.named(name.as_bytes()).is_some(), "{name}");
            }
            for other in [
                "",
                "t",
                "tim",
                "timer",
                "Time",
                "time\\",
                "$set_",
                "$group",
                "$group_i",
                "a key of twenty by",
            ] {
                assert_eq!(found(names, other), None, "{other}");
                assert_eq!(names.named(other.as_bytes()), None, "{other}");
            }
            for name in ["event", "properties", "token", "$token", "$group_id"] {
                assert_eq!(names.named(name.as_bytes()).is_some(), known.contains(&name), "{name}");
            }
            assert_eq!(names.named(b"time\":1"), None);
        }
    }

    /// The structure leaves out most keys by their length and second letter: never one of these.
    #[test]
    fn names_of_events_are_listed_wherever_they_stand() {
        for level in Level::all() {
            let mut structure = Structure::new(level, 16);
            for (names, pad) in
                [&EVENT, &PROPERTIES].into_iter().flat_map(|n| (0..140).map(move |pad| (n, pad)))
            {
                for whole in names.names.iter().filter(|whole| whole.len > 0) {
                    let bytes = whole.bytes.to_le_bytes();
                    let name = std::str::from_utf8(&bytes[1..whole.len - 1]).unwrap();
                    for (before, behind) in [("", ""), (" ", ""), ("", " "), ("\n", "\t")] {
                        let text = format!("{{{0:1$}\"{name}\"{before}:{behind}1}}", "", pad);
                        structure.begin(0, false);
                        structure.next(text.as_bytes()).unwrap();
                        let at = u32::try_from(pad + 1).unwrap();
                        assert!(structure.tokens().contains(&at), "{level}: {text:?}");
                    }
                }
            }
        }
    }
}
