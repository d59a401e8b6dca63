//! JSON as the tests compare it: values, not spelling, and everything that senders send.
//!
//! A reader of its own, because the oracle of a test must not share code with what it judges, and because
//! senders write what serde_json refuses: lone surrogate escapes and numbers beyond 64 bits.
//!
//! # Invariants
//! * Equal values are equal [`Json`]s, whatever their spelling: `1e+21` and `1e21`, `"\u0041"` and `"A"`.
//! * A lone surrogate, as an escape or as bytes, reads as U+FFFD. The last of equal keys counts.
//! * An integer keeps all its digits and never equals a float.

use std::collections::BTreeMap;
use std::fmt;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number: its digits if it is an integer, else the shortest text of the nearest f64.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads one value that fills `text`.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn read(text: impl AsRef<[u8]>) -> Result<Json, String> {
        let mut reader = Reader { text: text.as_ref(), at: 0 };
        let value = reader.value()?;
        reader.space();
        if reader.at < reader.text.len() {
            return Err(reader.wrong("more text after the value"));
        }
        Ok(value)
    }

    /// Reads one value that must be there.
    ///
    /// # Panics
    /// With the text, if it is no JSON.
    #[track_caller]
    pub fn parse(text: impl AsRef<[u8]>) -> Json {
        let text = text.as_ref();
        Json::read(text).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(clip(text))))
    }

    /// Reads NDJSON: a value from each line that is not empty.
    ///
    /// # Panics
    /// With the line, if one is no JSON.
    #[track_caller]
    pub fn lines(text: impl AsRef<[u8]>) -> Vec<Json> {
        text.as_ref().split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(Json::parse).collect()
    }

    /// The member `key` of an object, if this is one that has it.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.get(key),
            _ => None,
        }
    }

    /// The value below a path of keys, such as `properties.plan`.
    pub fn at(&self, path: &str) -> Option<&Json> {
        path.split('.').try_fold(self, |value, key| value.get(key))
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The value of any number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&BTreeMap<String, Json>> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    /// True if the value is there and is none of `null`, `false`.
    pub fn is_set(&self) -> bool {
        !matches!(self, Json::Null | Json::Bool(false))
    }

    /// The string member `key`.
    ///
    /// # Panics
    /// If there is none: with the whole value.
    #[track_caller]
    pub fn str(&self, key: &str) -> &str {
        self.get(key).and_then(Json::as_str).unwrap_or_else(|| panic!("no string {key:?} in {self}"))
    }

    /// The integer member `key`.
    ///
    /// # Panics
    /// If there is none: with the whole value.
    #[track_caller]
    pub fn u64(&self, key: &str) -> u64 {
        self.get(key).and_then(Json::as_u64).unwrap_or_else(|| panic!("no integer {key:?} in {self}"))
    }

    /// Where `got` lacks something that `self` wants, or `None`. Objects may have more keys than wanted; `"*"`
    /// wants any string that is not empty.
    pub fn missing_in(&self, got: &Json) -> Option<String> {
        match (self, got) {
            (Json::String(star), Json::String(text)) if star == "*" && !text.is_empty() => None,
            (Json::Object(want), Json::Object(got)) => {
                want.iter().find_map(|(key, want)| match got.get(key) {
                    None => Some(format!("key {key:?} is missing")),
                    Some(got) => want.missing_in(got).map(|bad| format!("{key}: {bad}")),
                })
            }
            (Json::Array(want), Json::Array(got)) if want.len() == got.len() => {
                want.iter().zip(got).find_map(|(want, got)| want.missing_in(got))
            }
            (want, got) if want == got => None,
            (want, got) => Some(format!("want {want}, got {got}")),
        }
    }
}

/// Compact JSON with sorted keys.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Number(text) => f.write_str(text),
            Json::String(text) => f.write_str(&quoted(text)),
            Json::Array(elements) => {
                f.write_str("[")?;
                for (i, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if i == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Json::Object(members) => {
                f.write_str("{")?;
                for (i, (key, value)) in members.iter().enumerate() {
                    write!(f, "{}{}:{value}", if i == 0 { "" } else { "," }, quoted(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// `text` as a JSON string literal.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn clip(text: &[u8]) -> &[u8] {
    &text[..text.len().min(300)]
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("no JSON: {what} at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` and the space before it, if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<Json, String> {
        self.space();
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.literal(),
        }
    }

    fn literal(&mut self) -> Result<Json, String> {
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong("no value"))
    }

    fn number(&mut self) -> Result<Json, String> {
        let rest = &self.text[self.at..];
        let end = rest.iter().position(|b| !b"+-.eE0123456789".contains(b)).unwrap_or(rest.len());
        let text = std::str::from_utf8(&rest[..end]).expect("only ASCII was taken");
        let value: f64 = text.parse().map_err(|_| self.wrong("a bad number"))?;
        self.at += end;
        let integer = !text.contains(['.', 'e', 'E']);
        Ok(Json::Number(if integer { text.to_owned() } else { format!("{value:?}") }))
    }

    fn array(&mut self) -> Result<Json, String> {
        let mut elements = Vec::new();
        self.at += 1;
        if self.take(b']') {
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.take(b']') {
                return Ok(Json::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.wrong("neither ',' nor ']'"));
            }
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut members = BTreeMap::new();
        self.at += 1;
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("no key"));
            }
            let key = self.string()?;
            if !self.take(b':') {
                return Err(self.wrong("no ':'"));
            }
            members.insert(key, self.value()?);
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return Err(self.wrong("neither ',' nor '}'"));
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.wrong("a string without an end")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(String::from_utf8_lossy(&out).into_owned());
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let letter =
            self.text.get(self.at + 1).copied().ok_or_else(|| self.wrong("a string without an end"))?;
        self.at += 2;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.wrong("an unknown escape")),
        })
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex4(self.at).ok_or_else(|| self.wrong("a bad \\u escape"))?;
        self.at += 4;
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        // A surrogate: one character with the next escape, or lone.
        if high < 0xdc00
            && self.text[self.at..].starts_with(b"\\u")
            && let Some(low @ 0xdc00..=0xdfff) = self.hex4(self.at + 2)
        {
            self.at += 6;
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return Ok(char::from_u32(code).expect("two surrogates make a character"));
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = std::str::from_utf8(self.text.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_matter_and_values_do() {
        for (a, b, same) in [
            ("1e+21", "1E21", true),
            ("0.10", "0.1", true),
            ("1", "1.0", false),
            ("12345678901234567890123", "12345678901234567890124", false),
            (r#""\u0041\/""#, r#""A/""#, true),
            (r#""\ud83d\ude80""#, "\"\u{1f680}\"", true),
            (r#""\ud83d""#, "\"\u{fffd}\"", true),
            (r#""\ud83dx\ude80""#, "\"\u{fffd}x\u{fffd}\"", true),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{ "b" : 2, "a" : 3 }"#, true),
            ("[1, 2]", "[2, 1]", false),
        ] {
            assert_eq!(Json::parse(a) == Json::parse(b), same, "{a} and {b}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"\\x\"", "\"\\u12\"", "\"", "-"] {
            assert!(Json::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wanted_part_is_found_or_named() {
        let got = Json::parse(r#"{"status":0,"error":"why","more":[1]}"#);
        assert_eq!(Json::parse(r#"{"status":0,"error":"*"}"#).missing_in(&got), None);
        assert!(Json::parse(r#"{"status":1}"#).missing_in(&got).is_some_and(|bad| bad.contains("status")));
        assert!(Json::parse(r#"{"code":1}"#).missing_in(&got).is_some_and(|bad| bad.contains("code")));
    }
}
