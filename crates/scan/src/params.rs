//! The parameters of a request, from its query and its form body.
//!
//! The query wins over the body; of equal keys the first wins; keys match exactly, once decoded.

use crate::forms::{Pairs, percent};

/// The longest callback name that is echoed.
pub const CALLBACK_BYTES_MAX: usize = 128;
/// The longest key that is looked for, with every letter escaped.
const KEY_BYTES_MAX: usize = 3 * "project_id".len();
/// No value of use is longer: a longer one is cut here, and what is cut off cannot make it valid.
pub const VALUE_BYTES_MAX: usize = 4096;
/// What the JS SDK literally sends when it wants no callback.
const EMPTY_CALLBACK: &[u8] = b"(function(){})";

/// What a request asked for, beside its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// `verbose=1`: the answer is a JSON object.
    pub verbose: bool,
    /// `img=1`: the answer is a pixel.
    pub img: bool,
    /// `ip=1`: the client's address may be used.
    pub ip: bool,
    /// `strict=1`, in the query.
    pub strict: bool,
    callback: Vec<u8>,
    project_id: String,
    api_key: String,
    /// Keys that were met: of equal ones the first wins.
    seen: u8,
}

/// The keys that are looked at; the number is the bit in [`Params::seen`].
#[derive(Clone, Copy)]
enum Key {
    Verbose,
    Img,
    Ip,
    Strict,
    Callback,
    ProjectId,
    LegacyCredential,
    Data,
}

impl Key {
    fn of(name: &[u8]) -> Option<Key> {
        Some(match name {
            b"verbose" => Key::Verbose,
            b"img" => Key::Img,
            b"ip" => Key::Ip,
            b"strict" => Key::Strict,
            b"callback" => Key::Callback,
            b"project_id" => Key::ProjectId,
            b"api_key" => Key::LegacyCredential,
            b"data" => Key::Data,
            _ => return None,
        })
    }
}

impl Params {
    /// Reads a query string. For one use; a [`crate::Scanner`] reuses its own.
    #[must_use]
    pub fn of_query(query: &[u8]) -> Params {
        let mut params = Params::default();
        params.read_query(query, &mut Vec::new());
        params
    }

    /// The function that the answer is to call, if it is one that may be echoed.
    #[must_use]
    pub fn callback(&self) -> Option<&str> {
        // Only ASCII names are kept, so this never falls back.
        std::str::from_utf8(&self.callback).ok().filter(|name| !name.is_empty())
    }

    /// The project that goes with the credentials.
    #[must_use]
    pub fn project_id(&self) -> Option<&str> {
        Some(self.project_id.as_str()).filter(|id| !id.is_empty())
    }

    /// The legacy credential of `/import`.
    #[must_use]
    pub fn api_key(&self) -> Option<&str> {
        Some(self.api_key.as_str()).filter(|key| !key.is_empty())
    }

    pub(crate) fn clear(&mut self) {
        self.verbose = false;
        self.img = false;
        self.ip = false;
        self.strict = false;
        self.callback.clear();
        self.project_id.clear();
        self.api_key.clear();
        self.seen = 0;
    }

    /// Reads the query; returns the raw value of its first `data`.
    pub(crate) fn read_query<'a>(&mut self, query: &'a [u8], scratch: &mut Vec<u8>) -> Option<&'a [u8]> {
        self.read(query, true, scratch)
    }

    /// Reads a form body, after the query; returns the raw value of its first `data`.
    pub(crate) fn read_body<'a>(&mut self, form: &'a [u8], scratch: &mut Vec<u8>) -> Option<&'a [u8]> {
        // The body's own data counts, whatever the query had.
        self.seen &= !(1 << Key::Data as u8);
        self.read(form, false, scratch)
    }

    fn read<'a>(&mut self, form: &'a [u8], query: bool, scratch: &mut Vec<u8>) -> Option<&'a [u8]> {
        let mut data = None;
        for (name, value) in Pairs::of(form) {
            if name.len() > KEY_BYTES_MAX {
                continue;
            }
            let Some(key) = Key::of(percent::decoded(name, scratch)) else { continue };
            // `strict` also decides how the answer looks, before a body is read: the query alone says it.
            if matches!(key, Key::Strict) && !query {
                continue;
            }
            let bit = 1 << key as u8;
            if self.seen & bit != 0 {
                continue;
            }
            self.seen |= bit;
            if let Key::Data = key {
                data = Some(value);
            } else {
                let value = percent::decoded(value, scratch);
                self.set(key, &value[..value.len().min(VALUE_BYTES_MAX)]);
            }
        }
        data
    }

    fn set(&mut self, key: Key, value: &[u8]) {
        let truthy = matches!(value, b"1" | b"true");
        match key {
            Key::Verbose => self.verbose = truthy,
            Key::Img => self.img = truthy,
            Key::Ip => self.ip = truthy,
            Key::Strict => self.strict = value == b"1",
            Key::Callback if is_callback(value) => self.callback.extend_from_slice(value),
            Key::ProjectId => self.project_id.push_str(&String::from_utf8_lossy(value)),
            Key::LegacyCredential => self.api_key.push_str(&String::from_utf8_lossy(value)),
            Key::Callback | Key::Data => {}
        }
    }
}

/// Only a plain name may be echoed into a script, or the one literal that the JS SDK sends.
fn is_callback(value: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_$.[]".contains(b);
    value == EMPTY_CALLBACK || (1..=CALLBACK_BYTES_MAX).contains(&value.len()) && value.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_keys_wins_and_escaped_keys_match() {
        let p = Params::of_query(b"verbose=0&verbose=1&%69%70=1&img=true&project_id=10+01&x=y");
        assert!(!p.verbose && p.ip && p.img && !p.strict);
        assert_eq!(p.project_id(), Some("10 01"));
    }

    #[test]
    fn the_query_wins_over_the_body_save_for_data() {
        let (mut p, mut scratch) = (Params::default(), Vec::new());
        assert_eq!(p.read_query(b"verbose=0&data=a&strict=0", &mut scratch), Some(&b"a"[..]));
        assert_eq!(p.read_body(b"verbose=1&data=b&api_key=k&data=c&strict=1", &mut scratch), Some(&b"b"[..]));
        assert!(!p.verbose && !p.strict);
        assert_eq!(p.api_key(), Some("k"));
    }

    #[test]
    fn strict_is_said_by_the_query_alone() {
        let (mut p, mut scratch) = (Params::default(), Vec::new());
        p.read_body(b"strict=1", &mut scratch);
        assert!(!p.strict);
        assert!(Params::of_query(b"strict=1").strict);
        assert!(!Params::of_query(b"strict=true").strict);
    }

    #[test]
    fn a_value_longer_than_any_of_use_is_cut() {
        let query = [b"project_id=".as_slice(), &[b'7'; VALUE_BYTES_MAX + 1]].concat();
        assert_eq!(Params::of_query(&query).project_id().map(str::len), Some(VALUE_BYTES_MAX));
    }

    #[test]
    fn only_plain_callbacks_are_echoed() {
        for (query, want) in [
            ("callback=mixpanel._jsc%5B123%5D", Some("mixpanel._jsc[123]")),
            ("callback=(function()%7B%7D)", Some("(function(){})")),
            ("callback=alert(1)", None),
            ("callback=", None),
            ("callback=%3Cscript%3E", None),
            ("callback=f%0A", None),
        ] {
            assert_eq!(Params::of_query(query.as_bytes()).callback(), want, "{query}");
        }
        let long = format!("callback={}", "f".repeat(129));
        assert_eq!(Params::of_query(long.as_bytes()).callback(), None);
    }
}
