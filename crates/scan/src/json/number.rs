//! Numbers and literals, as the grammar has them: of any length, whatever a double can hold.

/// Where the number at `start` ends; `None` if there is none.
#[inline]
pub(super) fn number_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + usize::from(text.get(start) == Some(&b'-'));
    let whole = at;
    at = digits_end(text, at);
    if at == whole {
        return None;
    }
    if text[whole] == b'0' && at > whole + 1 {
        // A zero in front is a number by itself.
        return Some(whole + 1);
    }
    if text.get(at) == Some(&b'.') {
        at = some_digits_end(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = some_digits_end(text, at + 1 + sign)?;
    }
    Some(at)
}

/// Is `text` exactly one number?
pub(super) fn is_number(text: &[u8]) -> bool {
    number_end(text, 0) == Some(text.len())
}

/// Where the number or literal at `start` ends, if it is one and a blank, a comma or a closing bracket comes behind it. Its
/// first eight bytes are `first`.
#[inline]
pub(super) fn scalar_end(first: u64, text: &[u8], start: usize) -> Option<usize> {
    const TRUE: u64 = u64::from_le_bytes(*b"true\0\0\0\0");
    const NULL: u64 = u64::from_le_bytes(*b"null\0\0\0\0");
    const FALSE: u64 = u64::from_le_bytes(*b"false\0\0\0");
    let word = first & 0xffff_ffff;
    let end = if word == TRUE || word == NULL {
        start + 4
    } else if first & 0xff_ffff_ffff == FALSE {
        start + 5
    } else {
        number_end(text, start)?
    };
    text.get(end).is_some_and(|&byte| may_follow(byte)).then_some(end)
}

#[inline]
fn may_follow(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
}

fn some_digits_end(text: &[u8], start: usize) -> Option<usize> {
    Some(digits_end(text, start)).filter(|&end| end > start)
}

/// The highest bit of the first byte that is no digit; those of later bytes mean nothing.
#[inline]
fn other_than_digits(word: u64) -> u64 {
    const LANES: u64 = 0x0101_0101_0101_0101;
    let value = word ^ (LANES * 0x30);
    // Above 9 the highest bit is set, by the addition or before it. A carry reaches higher bytes only.
    (value.wrapping_add(LANES * 0x76) | value) & (LANES * 0x80)
}

/// The first byte at or after `start` that is no digit.
#[inline]
fn digits_end(text: &[u8], mut start: usize) -> usize {
    while let Some(word) = text.get(start..).and_then(|rest| rest.first_chunk::<8>()) {
        let other = other_than_digits(u64::from_le_bytes(*word));
        if other != 0 {
            return start + other.trailing_zeros() as usize / 8;
        }
        start += 8;
    }
    start + text.get(start..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_the_grammar_ends_them() {
        for (text, want) in [
            ("0", Some(1)),
            ("-0", Some(2)),
            ("7,", Some(1)),
            ("12345678", Some(8)),
            ("1234567890123456789012345678901234567890]", Some(40)),
            ("1760000000.123}", Some(14)),
            ("-12.5e+300 ", Some(10)),
            ("1E5", Some(3)),
            ("0.000000001", Some(11)),
            ("10", Some(2)),
            ("00", Some(1)),
            ("01", Some(1)),
            ("-", None),
            ("-a", None),
            ("1.", None),
            ("1.e5", None),
            ("1e", None),
            ("1e+", None),
            (".5", None),
            ("+1", None),
            ("", None),
            ("1x", Some(1)),
            ("1\u{ff}23456789", Some(1)),
        ] {
            assert_eq!(number_end(text.as_bytes(), 0), want, "{text}");
            // Wherever it stands, and whether or not more can be read behind it.
            let padded = format!("[[{text}    ");
            if want != Some(text.len()) || !text.is_empty() {
                assert_eq!(number_end(padded.as_bytes(), 2), want.map(|end| end + 2), "{text}");
            }
        }
    }

    #[test]
    fn scalars_are_told_from_what_looks_like_them() {
        let end = |text: &str| {
            let mut first = [0; 8];
            first.iter_mut().zip(text.bytes()).for_each(|(byte, b)| *byte = b);
            scalar_end(u64::from_le_bytes(first), text.as_bytes(), 0)
        };
        for text in [
            "1,",
            "-1.5e3}",
            "true]",
            "false ",
            "null\n",
            "0\t",
            "123456789\r",
            "12345678,",
            "1234567,",
            "0,",
            "0.5,",
            "1234567.25]",
        ] {
            assert_eq!(end(text), Some(text.len() - 1), "{text}");
        }
        for text in [
            "", "1", "1x,", "tru,", "truex,", "nul", "None,", "NaN,", "01,", "00,", "-,", "1234567",
            "12345678", "trueX", "falsey,", "\\n,", "\u{e9},", "1\"", "1:",
        ] {
            assert_eq!(end(text), None, "{text}");
        }
    }
}
