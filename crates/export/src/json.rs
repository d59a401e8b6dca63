//! Walking and copying JSON that was checked when it was stored.
//!
//! Nothing is parsed into values: members are found as byte ranges and copied as they were sent. Only two
//! things are changed on the way out, because a line of NDJSON cannot hold the one and strict readers refuse
//! the other: white space that breaks lines, and surrogate escapes without their partner.
//!
//! # Invariants
//! * No input makes these functions panic or recurse.
//! * What [`splice`] writes for valid JSON is valid JSON of the same value, but for U+FFFD.

use memchr::{memchr, memchr2, memchr3};
use std::{borrow::Cow, fmt};

/// The bytes are not the JSON object that was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where it showed, in bytes from the start.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored record is not a JSON object: wrong at byte {}", self.at)
    }
}

impl std::error::Error for Malformed {}

/// One member of an object, both parts raw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// Without its quotes, escapes not resolved.
    pub(crate) key: &'a [u8],
    /// From its first byte to its last.
    pub(crate) value: &'a [u8],
}

/// The members of the object in `bytes`, in order, equal keys and all.
pub(crate) fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>, Malformed> {
    let mut members = Vec::with_capacity(24);
    each_member(bytes, |member| members.push(member))?;
    Ok(members)
}

/// Shows `see` the members of the object in `bytes`, in order, equal keys and all.
pub(crate) fn each_member<'a>(bytes: &'a [u8], mut see: impl FnMut(Member<'a>)) -> Result<(), Malformed> {
    let mut at = expect(bytes, skip_space(bytes, 0), b'{')?;
    at = skip_space(bytes, at);
    if bytes.get(at) == Some(&b'}') {
        return end(bytes, at + 1);
    }
    loop {
        at = skip_space(bytes, at);
        let key_start = expect(bytes, at, b'"')?;
        let key_end = string_end(bytes, key_start)?;
        at = expect(bytes, skip_space(bytes, key_end + 1), b':')?;
        let value_start = skip_space(bytes, at);
        let value_end = value_end(bytes, value_start)?;
        see(Member { key: &bytes[key_start..key_end], value: &bytes[value_start..value_end] });
        at = skip_space(bytes, value_end);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b'}') => return end(bytes, at + 1),
            _ => return Err(Malformed { at }),
        }
    }
}

/// Shows `see` the items of the array in `bytes`, in order.
pub(crate) fn each_item<'a>(bytes: &'a [u8], mut see: impl FnMut(&'a [u8])) -> Result<(), Malformed> {
    let mut at = skip_space(bytes, expect(bytes, 0, b'[')?);
    if bytes.get(at) == Some(&b']') {
        return end(bytes, at + 1);
    }
    loop {
        let start = skip_space(bytes, at);
        let behind = value_end(bytes, start)?;
        see(&bytes[start..behind]);
        at = skip_space(bytes, behind);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b']') => return end(bytes, at + 1),
            _ => return Err(Malformed { at }),
        }
    }
}

fn end(bytes: &[u8], at: usize) -> Result<(), Malformed> {
    let at = skip_space(bytes, at);
    if at == bytes.len() { Ok(()) } else { Err(Malformed { at }) }
}

fn expect(bytes: &[u8], at: usize, byte: u8) -> Result<usize, Malformed> {
    if bytes.get(at) == Some(&byte) { Ok(at + 1) } else { Err(Malformed { at }) }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The place of the quote that closes the string whose content starts at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, Malformed> {
    loop {
        let rest = bytes.get(at..).ok_or(Malformed { at: bytes.len() })?;
        let found = at + memchr2(b'"', b'\\', rest).ok_or(Malformed { at: bytes.len() })?;
        if bytes[found] == b'"' {
            return Ok(found);
        }
        at = found + 2;
    }
}

/// The place behind the value that starts at `at`.
fn value_end(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    match bytes.get(at) {
        Some(b'"') => Ok(string_end(bytes, at + 1)? + 1),
        Some(b'{' | b'[') => {
            let (mut depth, mut here) = (0_usize, at);
            loop {
                match bytes.get(here) {
                    Some(b'"') => here = string_end(bytes, here + 1)?,
                    Some(b'{' | b'[') => depth += 1,
                    Some(b'}' | b']') => depth -= 1,
                    Some(_) => {}
                    None => return Err(Malformed { at: here }),
                }
                here += 1;
                if depth == 0 {
                    return Ok(here);
                }
            }
        }
        Some(_) => {
            let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            let len = bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at);
            if len == 0 { Err(Malformed { at }) } else { Ok(at + len) }
        }
        None => Err(Malformed { at }),
    }
}

/// The text that the inside of a JSON string means; a surrogate without its partner means U+FFFD.
pub(crate) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut text = Vec::with_capacity(raw.len());
    let (mut at, mut next) = (0, first);
    loop {
        text.extend_from_slice(&raw[at..next]);
        let (meaning, len) = escape(&raw[next..]);
        text.extend_from_slice(meaning.encode_utf8(&mut [0; 4]).as_bytes());
        at = next + len;
        match raw.get(at..).and_then(|rest| memchr(b'\\', rest)) {
            Some(found) => next = at + found,
            None => {
                text.extend_from_slice(raw.get(at..).unwrap_or_default());
                return Cow::Owned(text);
            }
        }
    }
}

/// What the escape at the start of `raw` means, and how many bytes it takes.
fn escape(raw: &[u8]) -> (char, usize) {
    let meaning = match raw.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return unit_escape(raw),
        Some(&other) => char::from(other),
        None => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (meaning, 2)
}

fn unit_escape(raw: &[u8]) -> (char, usize) {
    match (code_unit(raw), raw.get(6..).and_then(code_unit)) {
        (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        (Some(unit), _) => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        (None, _) => (char::REPLACEMENT_CHARACTER, 2),
    }
}

/// The number in `\uXXXX` at the start of `raw`.
fn code_unit(raw: &[u8]) -> Option<u32> {
    let digits = raw.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |n, &d| Some(n * 16 + char::from(d).to_digit(16)?))
}

/// Appends `raw` as it is, on one line: line breaks between the parts of a value become spaces (inside of
/// strings JSON allows none).
pub fn one_line(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(raw);
    let mut at = start;
    while let Some(found) = memchr2(b'\n', b'\r', &out[at..]) {
        out[at + found] = b' ';
        at += found + 1;
    }
}

/// Appends `raw` on one line, surrogate escapes without their partner as `\ufffd`.
pub(crate) fn splice(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(found) = memchr3(b'\\', b'\n', b'\r', &raw[at..]) {
        out.extend_from_slice(&raw[at..at + found]);
        at += found;
        if raw[at] != b'\\' {
            out.push(b' ');
            at += 1;
            continue;
        }
        let len = match code_unit(&raw[at..]) {
            Some(0xd800..=0xdfff) => match unit_escape(&raw[at..]) {
                (_, 12) => 12,
                (_, lone) => {
                    out.extend_from_slice(b"\\ufffd");
                    at += lone;
                    continue;
                }
            },
            Some(_) => 6,
            None => 2,
        };
        let len = len.min(raw.len() - at);
        out.extend_from_slice(&raw[at..at + len]);
        at += len;
    }
    out.extend_from_slice(&raw[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_whatever_lies_between_them() {
        let found = |text: &'static str| -> Vec<(String, String)> {
            let text_of = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
            members(text.as_bytes()).unwrap().iter().map(|m| (text_of(m.key), text_of(m.value))).collect()
        };
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(found(" { } "), []);
        assert_eq!(
            found("{\"a\" :\n1 , \"b\\\"\":[{\"x\":\"]}\"}],\r\n\"c\":\"\\\\\"}"),
            [pair("a", "1"), pair("b\\\"", "[{\"x\":\"]}\"}]"), pair("c", "\"\\\\\"")]
        );
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        for (text, at) in [
            ("", 0),
            ("[]", 0),
            ("{", 1),
            ("{\"a", 3),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1", 6),
            ("{\"a\":1,}", 7),
            ("{\"a\":[1}", 8),
            ("{\"a\":\"\\", 7),
            ("{} x", 3),
        ] {
            assert_eq!(members(text.as_bytes()).map(|m| m.len()), Err(Malformed { at }), "{text}");
        }
    }

    #[test]
    fn items_are_found_whatever_lies_between_them() {
        for (text, found) in [
            ("[]", Ok(vec![])),
            ("[ ]", Ok(vec![])),
            ("[1,\n\"a]\" , {\"b\":[2]} ]", Ok(vec!["1", "\"a]\"", "{\"b\":[2]}"])),
            ("[1 2]", Err(Malformed { at: 3 })),
            ("[1,", Err(Malformed { at: 3 })),
            ("{}", Err(Malformed { at: 0 })),
        ] {
            let mut items = Vec::new();
            let outcome = each_item(text.as_bytes(), |item| items.push(std::str::from_utf8(item).unwrap()));
            assert_eq!(outcome.map(|()| items), found, "{text}");
        }
    }

    #[test]
    fn escapes_mean_what_json_says_and_lone_surrogates_mean_the_replacement() {
        for (raw, text) in [
            (r"plain", "plain"),
            (r"tok\u0065n", "token"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\ud83d\uDE00!", "😀!"),
            (r"a\ud83d", "a\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ude00\u0041", "\u{fffd}A"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\u12", "\u{fffd}12"),
            ("\\", "\u{fffd}"),
        ] {
            assert_eq!(String::from_utf8_lossy(&unescape(raw.as_bytes())), text, "{raw}");
        }
    }

    #[test]
    fn a_spliced_value_stays_on_one_line_and_loses_only_lone_surrogates() {
        for (raw, line) in [
            ("{\n\"a\":\r\n1}", "{ \"a\":  1}"),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d x""#, r#""\ufffd x""#),
            (r#""\udc00""#, r#""\ufffd""#),
            (r#""\\ud800""#, r#""\\ud800""#),
            (r#""\u00e9\n""#, r#""\u00e9\n""#),
            ("\\", "\\"),
        ] {
            let mut out = Vec::new();
            splice(raw.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), line, "{raw}");
        }
        let mut out = b"a\n".to_vec();
        one_line(b"{\r\n\"k\":\"\\ud800\"}", &mut out);
        assert_eq!(out, b"a\n{  \"k\":\"\\ud800\"}");
    }
}
