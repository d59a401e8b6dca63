//! A JSON tokenizer that validates as it goes, one byte at a time.
//!
//! It accepts halves of surrogate pairs as escapes, integers of any length and numbers beyond a double, as the rules do;
//! and bytes that are not UTF-8 inside strings, which the caller has repaired or will report. It never recurses: what is
//! open is a stack of bits.

use super::number::number_end;
use super::tokens::Tokens;
use crate::{DEPTH_MAX, ScanError};

/// What may come next.
#[derive(Clone, Copy)]
enum Expect {
    Value,
    ValueOrClose,
    KeyOrClose,
    Key,
    Colon,
    CommaOrClose,
    Nothing,
}

/// See the module.
pub(super) struct Scalar<'a> {
    text: &'a [u8],
    /// The current token.
    at: usize,
    /// The first byte not yet looked at.
    next: usize,
    expect: Expect,
    depth: usize,
    depth_max: usize,
    /// One bit for each open object (1) or array (0), the innermost lowest.
    open: u128,
}

const _: () = assert!(DEPTH_MAX <= 128, "one bit of a u128 for each level");

impl<'a> Scalar<'a> {
    /// Over one JSON value in `text[start..]`.
    pub(super) fn new(text: &'a [u8], start: usize, depth_max: usize) -> Result<Scalar<'a>, ScanError> {
        let mut tokens =
            Scalar { text, at: start, next: start, expect: Expect::Value, depth: 0, depth_max, open: 0 };
        tokens.advance()?;
        if tokens.at == text.len() {
            return Err(fault("a value is missing", start));
        }
        Ok(tokens)
    }

    fn opened(&mut self, object: bool) -> Result<(), ScanError> {
        if self.depth == self.depth_max {
            return Err(ScanError::TooDeep { limit: self.depth_max, at: self.at });
        }
        self.depth += 1;
        self.open = self.open << 1 | u128::from(object);
        self.expect = if object { Expect::KeyOrClose } else { Expect::ValueOrClose };
        self.next = self.at + 1;
        Ok(())
    }

    fn closed(&mut self) {
        self.depth -= 1;
        self.open >>= 1;
        self.next = self.at + 1;
        self.after_value();
    }

    fn after_value(&mut self) {
        self.expect = if self.depth == 0 { Expect::Nothing } else { Expect::CommaOrClose };
    }

    fn in_object(&self) -> bool {
        self.open & 1 == 1
    }

    fn value(&mut self, byte: u8) -> Result<(), ScanError> {
        match byte {
            b'{' => return self.opened(true),
            b'[' => return self.opened(false),
            b'"' => self.next = string_end(self.text, self.at)?,
            b'-' | b'0'..=b'9' => {
                self.next = number_end(self.text, self.at).ok_or(fault("not a number", self.at))?
            }
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            b'n' => self.literal(b"null")?,
            b'}' | b']' => return Err(fault("a value is missing", self.at)),
            _ => return Err(fault("not a value", self.at)),
        }
        self.after_value();
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), ScanError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(fault("not a value", self.at));
        }
        self.next = self.at + word.len();
        Ok(())
    }

    fn key(&mut self) -> Result<(), ScanError> {
        self.next = string_end(self.text, self.at)?;
        self.expect = Expect::Colon;
        Ok(())
    }
}

impl Tokens for Scalar<'_> {
    fn at(&self) -> usize {
        self.at
    }

    fn advance(&mut self) -> Result<(), ScanError> {
        let rest = &self.text[self.next..];
        let blank = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at = self.next + blank;
        let Some(&byte) = self.text.get(self.at) else {
            self.next = self.at;
            return match self.expect {
                Expect::Nothing => Ok(()),
                Expect::Value if self.depth == 0 => Ok(()),
                _ => Err(fault("the text ends too early", self.at)),
            };
        };
        match (self.expect, byte) {
            (Expect::ValueOrClose, b']') => self.closed(),
            (Expect::Value | Expect::ValueOrClose, _) => self.value(byte)?,
            (Expect::KeyOrClose, b'}') => self.closed(),
            (Expect::KeyOrClose | Expect::Key, b'"') => self.key()?,
            (Expect::KeyOrClose | Expect::Key, _) => return Err(fault("not a key", self.at)),
            (Expect::Colon, b':') => {
                self.next = self.at + 1;
                self.expect = Expect::Value;
            }
            (Expect::Colon, _) => return Err(fault("a colon is missing", self.at)),
            (Expect::CommaOrClose, b',') => {
                self.next = self.at + 1;
                self.expect = if self.in_object() { Expect::Key } else { Expect::Value };
            }
            (Expect::CommaOrClose, b'}') if self.in_object() => self.closed(),
            (Expect::CommaOrClose, b']') if !self.in_object() => self.closed(),
            (Expect::CommaOrClose, _) => return Err(fault("a comma or the end is missing", self.at)),
            (Expect::Nothing, _) => return Err(fault("more text after the value", self.at)),
        }
        Ok(())
    }
}

pub(super) fn fault(what: &'static str, at: usize) -> ScanError {
    ScanError::Malformed { what, at }
}

/// The first byte after the string that opens at `open`.
fn string_end(text: &[u8], open: usize) -> Result<usize, ScanError> {
    let mut at = open + 1;
    loop {
        match text.get(at) {
            None => return Err(fault("a string does not end", open)),
            Some(b'"') => return Ok(at + 1),
            Some(0..0x20) => return Err(fault("a control character in a string", at)),
            Some(b'\\') => at += escape_len(text, at)?,
            Some(_) => at += 1,
        }
    }
}

fn escape_len(text: &[u8], at: usize) -> Result<usize, ScanError> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') if text.get(at + 2..at + 6).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) => Ok(6),
        _ => Err(fault("not an escape", at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<usize>, ScanError> {
        let mut tokens = Scalar::new(text.as_bytes(), 0, DEPTH_MAX)?;
        let mut found = Vec::new();
        while tokens.at() < text.len() {
            found.push(tokens.at());
            tokens.advance()?;
        }
        Ok(found)
    }

    #[test]
    fn what_other_parsers_refuse_and_senders_send_is_accepted() {
        for text in [
            r#"["\ud83d","\ude00\ud83d"]"#,
            "[123456789012345678901234567890123456789012345678901234567890]",
            "[1e400,-1E-400,-0,0.0e+0]",
            "[\"\u{7f}\"]",
        ] {
            assert!(tokens(text).is_ok(), "{text}");
        }
        let bytes = b"[\"\xff\xed\xa0\x80\"]";
        let mut bad_utf8 = Scalar::new(bytes, 0, DEPTH_MAX).unwrap();
        while bad_utf8.at() < bytes.len() {
            bad_utf8.advance().unwrap();
        }
    }

    #[test]
    fn what_is_not_json_is_named_with_its_place() {
        for (text, what, at) in [
            ("", "a value is missing", 0),
            ("  ", "a value is missing", 0),
            ("[1,]", "a value is missing", 3),
            ("{\"a\":}", "a value is missing", 5),
            ("[,1]", "not a value", 1),
            ("[1 2]", "a comma or the end is missing", 3),
            ("[1}", "a comma or the end is missing", 2),
            ("{\"a\":1]", "a comma or the end is missing", 6),
            ("{\"a\" 1}", "a colon is missing", 5),
            ("{a:1}", "not a key", 1),
            ("{\"a\":1,}", "not a key", 7),
            ("[1", "the text ends too early", 2),
            ("{\"a\":", "the text ends too early", 5),
            ("[] []", "more text after the value", 3),
            ("[NaN]", "not a value", 1),
            ("[nul]", "not a value", 1),
            ("[truex]", "a comma or the end is missing", 5),
            ("[01]", "a comma or the end is missing", 2),
            ("[-]", "not a number", 1),
            ("[1.]", "not a number", 1),
            ("[1e]", "not a number", 1),
            ("[+1]", "not a value", 1),
            ("['a']", "not a value", 1),
            ("[\"a\nb\"]", "a control character in a string", 3),
            ("[\"\\x\"]", "not an escape", 2),
            ("[\"\\u12g4\"]", "not an escape", 2),
            ("[\"open", "a string does not end", 1),
            ("[1]/*c*/", "more text after the value", 3),
            ("[\u{b}1]", "not a value", 1),
            ("\u{feff}[]", "not a value", 0),
        ] {
            assert_eq!(tokens(text), Err(fault(what, at)), "{text:?}");
        }
    }

    #[test]
    fn depth_is_limited_without_recursion() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(tokens(&nested(128)).is_ok());
        assert_eq!(tokens(&nested(129)), Err(ScanError::TooDeep { limit: 128, at: 128 }));
        assert_eq!(tokens(&nested(1_000_000)), Err(ScanError::TooDeep { limit: 128, at: 128 }));
    }
}
