//! What a setting is: a name, what it accepts, where that goes.

use super::Config;
use std::{fmt, time::Duration};

/// A setting.
pub struct Key {
    /// Dotted, as in the file; with `FOREBAY_`, capitals and underscores in the environment.
    pub name: &'static str,
    /// What it accepts and where that goes.
    pub takes: Takes,
    /// What it is for.
    pub help: &'static str,
}

/// What a setting accepts. `put` returns `None` for a value that is not accepted.
pub enum Takes {
    /// A whole number in a range.
    Whole {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
        /// Where it goes.
        put: fn(&mut Config, u64),
    },
    /// `true` or `false`.
    Flag(fn(&mut Config, bool)),
    /// A text of some form.
    Text {
        /// Which form.
        form: &'static str,
        /// Where it goes.
        put: fn(&mut Config, &str) -> Option<()>,
    },
    /// A list of texts of some form; separated by commas outside of a file.
    Texts {
        /// Which form.
        form: &'static str,
        /// Where it goes.
        put: fn(&mut Config, &[String]) -> Option<()>,
    },
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Takes::Whole { least, most: u64::MAX, .. } => write!(f, "a whole number from {least}"),
            Takes::Whole { least, most, .. } => write!(f, "a whole number from {least} to {most}"),
            Takes::Flag(_) => f.write_str("true or false"),
            Takes::Text { form, .. } => f.write_str(form),
            Takes::Texts { form, .. } => write!(f, "a list of {form}"),
        }
    }
}

pub(super) const fn whole(
    name: &'static str,
    least: u64,
    most: u64,
    put: fn(&mut Config, u64),
    help: &'static str,
) -> Key {
    Key { name, takes: Takes::Whole { least, most, put }, help }
}

pub(super) const fn flag(name: &'static str, put: fn(&mut Config, bool), help: &'static str) -> Key {
    Key { name, takes: Takes::Flag(put), help }
}

pub(super) const fn text(
    name: &'static str,
    form: &'static str,
    put: fn(&mut Config, &str) -> Option<()>,
    help: &'static str,
) -> Key {
    Key { name, takes: Takes::Text { form, put }, help }
}

pub(super) const fn texts(
    name: &'static str,
    form: &'static str,
    put: fn(&mut Config, &[String]) -> Option<()>,
    help: &'static str,
) -> Key {
    Key { name, takes: Takes::Texts { form, put }, help }
}

/// A count for a field that counts in memory; more than memory holds is as good as no limit.
pub(super) fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// 0 stands for "no limit".
pub(super) fn some(n: u64) -> Option<u64> {
    (n != 0).then_some(n)
}

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
