//! Resolves the escapes of JSON strings.

use crate::utf8::REPLACEMENT;

/// Appends the characters that `raw`, the inside of a valid JSON string, stands for.
///
/// Half a surrogate pair stands for U+FFFD. What is not an escape after all is taken as it is, so every
/// input has a result.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let escape = &rest[at..];
        let (byte, len) = match escape.get(1) {
            Some(b'u') => {
                rest = &escape[unicode(escape, out)..];
                continue;
            }
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0c, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(&itself @ (b'"' | b'\\' | b'/')) => (itself, 2),
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = &escape[len..];
    }
    out.extend_from_slice(rest);
}

/// Appends the character of the `\uXXXX` escape, or pair of them, at the start of `escape`; returns its
/// length.
fn unicode(escape: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(first) = hex4(escape, 0) else {
        out.push(b'\\');
        return 1;
    };
    if let 0xd800..=0xdbff = first
        && let Some(second @ 0xdc00..=0xdfff) = hex4(escape, 6)
        && let Some(joined) = char::from_u32(0x1_0000 + ((first - 0xd800) << 10 | (second - 0xdc00)))
    {
        out.extend_from_slice(joined.encode_utf8(&mut [0; 4]).as_bytes());
        return 12;
    }
    match char::from_u32(first) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend_from_slice(REPLACEMENT),
    }
    6
}

/// The number of the `\uXXXX` escape at `at`.
fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |n, &d| Some(n << 4 | char::from(d).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes_are_resolved_and_lone_halves_replaced() {
        for (raw, want) in [
            ("", ""),
            ("plain", "plain"),
            (r"tok\u0065n", "token"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\uD83D\uDE00", "😀"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00x", "\u{fffd}x"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\u0000", "\0"),
            // Not JSON: still a result.
            (r"\x\u12", r"\x\u12"),
            ("\\", "\\"),
        ] {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out);
            assert_eq!(out, want.as_bytes(), "{raw}");
        }
    }
}
