//! Percent escapes of forms: `+` is a space, `%XX` a byte, a broken escape stays as it is.

/// `raw` decoded: itself where there is nothing to decode, else `scratch` overwritten.
///
/// ```
/// use forebay_scan::forms::percent::decoded;
/// assert_eq!(decoded(b"a+b%20c%2Xd", &mut Vec::new()), b"a b c%2Xd");
/// ```
pub fn decoded<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr::memchr2(b'%', b'+', raw).is_none() {
        return raw;
    }
    scratch.clear();
    scratch.resize(raw.len(), 0);
    let len = decode_into(raw, scratch);
    &scratch[..len]
}

/// Decodes `raw` into the start of `out`, which must be as long; returns the length of the result.
///
/// # Panics
/// When `out` is shorter than `raw`.
pub fn decode_into(raw: &[u8], out: &mut [u8]) -> usize {
    let out = &mut out[..raw.len()];
    let (mut read, mut written) = (0, 0);
    while let Some(&byte) = raw.get(read) {
        let (value, width) = match byte {
            b'+' => (b' ', 1),
            b'%' => match raw.get(read + 1..read + 3) {
                Some(&[high, low]) => match (hex(high), hex(low)) {
                    (Some(high), Some(low)) => (high << 4 | low, 3),
                    _ => (byte, 1),
                },
                _ => (byte, 1),
            },
            _ => {
                // Up to the next escape at once. Many stand side by side: the one above is looked at first.
                let rest = &raw[read..];
                let plain = memchr::memchr2(b'%', b'+', rest).unwrap_or(rest.len());
                out[written..written + plain].copy_from_slice(&rest[..plain]);
                (read, written) = (read + plain, written + plain);
                continue;
            }
        };
        out[written] = value;
        written += 1;
        read += width;
    }
    written
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn broken_escapes_stay_and_nothing_is_decoded_twice() {
        for (raw, want) in [
            ("plain", "plain"),
            ("%7B%22a%22%3a1%7d", "{\"a\":1}"),
            ("a+b", "a b"),
            ("%2B+", "+ "),
            ("100%", "100%"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%2541", "%41"),
            ("", ""),
        ] {
            assert_eq!(decoded(raw.as_bytes(), &mut Vec::new()), want.as_bytes(), "{raw}");
        }
    }
}
