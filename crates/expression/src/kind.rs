//! Which kinds of values a part of an expression can come to.

use std::{fmt, ops::BitOr};

/// A set of kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(u8);

impl Kind {
    /// No value at all.
    pub const UNDEFINED: Kind = Kind(1);
    /// `null`.
    pub const NULL: Kind = Kind(1 << 1);
    /// `true` and `false`.
    pub const BOOLEAN: Kind = Kind(1 << 2);
    /// Numbers.
    pub const NUMBER: Kind = Kind(1 << 3);
    /// Strings.
    pub const TEXT: Kind = Kind(1 << 4);
    /// Moments.
    pub const DATETIME: Kind = Kind(1 << 5);
    /// Lists.
    pub const LIST: Kind = Kind(1 << 6);
    /// Objects.
    pub const OBJECT: Kind = Kind(1 << 7);
    /// Whatever an event may hold.
    pub const ANY: Kind = Kind(!0);
    /// What counts as true or false: a value that is not there is false.
    pub const TRUTH: Kind = Kind(Kind::BOOLEAN.0 | Kind::UNDEFINED.0 | Kind::NULL.0);

    /// Is any of these among those?
    #[must_use]
    pub const fn meets(self, other: Kind) -> bool {
        self.0 & other.0 != 0
    }

    /// Are all of these among those?
    #[must_use]
    pub const fn is_within(self, other: Kind) -> bool {
        self.0 & !other.0 == 0
    }
}

impl BitOr for Kind {
    type Output = Kind;

    fn bitor(self, other: Kind) -> Kind {
        Kind(self.0 | other.0)
    }
}

impl fmt::Display for Kind {
    /// As a sentence names it: the first that is not `undefined`, which nearly every part can be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Kind::BOOLEAN, "a boolean"),
            (Kind::NUMBER, "a number"),
            (Kind::TEXT, "a string"),
            (Kind::DATETIME, "a datetime"),
            (Kind::LIST, "a list"),
            (Kind::OBJECT, "an object"),
            (Kind::NULL, "null"),
            (Kind::UNDEFINED, "undefined"),
        ];
        let mut named = names.iter().filter(|(kind, _)| self.meets(*kind)).map(|(_, name)| *name);
        let first = named.next().unwrap_or("nothing");
        let others: Vec<&str> = named.filter(|name| !matches!(*name, "null" | "undefined")).collect();
        f.write_str(first)?;
        others.iter().try_for_each(|other| write!(f, " or {other}"))
    }
}
