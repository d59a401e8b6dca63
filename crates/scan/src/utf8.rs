//! Repairs text that is not UTF-8.
//!
//! Browsers write a character above U+FFFF as the two halves of its surrogate pair, three bytes each
//! (CESU-8): such a pair is joined into the character it means. Whatever else is wrong becomes U+FFFD.

use bytes::BytesMut;

/// U+FFFD.
pub(crate) const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
/// A surrogate pair takes six bytes in CESU-8.
const PAIR_BYTES: usize = 6;

/// Is it UTF-8?
pub(crate) fn is_valid(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok()
}

/// Appends `text` to `out`, repaired, and to `changes` the place in the appended text of each change.
pub(crate) fn repair(text: &[u8], out: &mut BytesMut, changes: &mut Vec<u32>) {
    let start = out.len();
    let mut rest = text;
    loop {
        let error = match simdutf8::compat::from_utf8(rest) {
            Ok(_) => return out.extend_from_slice(rest),
            Err(error) => error,
        };
        let (good, bad) = rest.split_at(error.valid_up_to());
        out.extend_from_slice(good);
        changes.push(u32::try_from(out.len() - start).unwrap_or(u32::MAX));
        if let Some(joined) = join_pair(bad) {
            out.extend_from_slice(joined.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &bad[PAIR_BYTES..];
        } else {
            out.extend_from_slice(REPLACEMENT);
            rest = &bad[error.error_len().unwrap_or(bad.len())..];
        }
    }
}

/// The character that a CESU-8 pair at the start of `bytes` means.
fn join_pair(bytes: &[u8]) -> Option<char> {
    let &[0xed, a @ 0xa0..=0xaf, b @ 0x80..=0xbf, 0xed, c @ 0xb0..=0xbf, d @ 0x80..=0xbf] =
        bytes.first_chunk::<PAIR_BYTES>()?
    else {
        return None;
    };
    let high = u32::from(a & 0x0f) << 6 | u32::from(b & 0x3f);
    let low = u32::from(c & 0x0f) << 6 | u32::from(d & 0x3f);
    char::from_u32(0x1_0000 + (high << 10 | low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], want: &str, want_changes: &[u32]) {
        let (mut out, mut changes) = (BytesMut::from(&b"before"[..]), Vec::new());
        repair(text, &mut out, &mut changes);
        assert_eq!(std::str::from_utf8(&out[6..]), Ok(want), "{text:x?}");
        assert_eq!(changes, want_changes, "{text:x?}");
    }

    #[test]
    fn pairs_are_joined_and_the_rest_is_replaced() {
        check(b"plain", "plain", &[]);
        check(b"a\xed\xa0\xbd\xed\xb8\x80b", "a😀b", &[1]);
        check(b"\xed\xa0\xbd\xed\xb8\x80\xed\xa0\xbd\xed\xb8\x81", "😀😁", &[0, 4]);
        check(b"\xed\xa0\xbdx", "\u{fffd}\u{fffd}\u{fffd}x", &[0, 3, 6]);
        check(b"\xed\xb8\x80", "\u{fffd}\u{fffd}\u{fffd}", &[0, 3, 6]);
        check(b"caf\xe9!", "caf\u{fffd}!", &[3]);
        check(b"\xf0\x9f\xed\xa0\xbd\xed\xb8\x80", "\u{fffd}😀", &[0, 3]);
        check(b"cut \xe2\x82", "cut \u{fffd}", &[4]);
        check("\u{10ffff}".as_bytes(), "\u{10ffff}", &[]);
        check(b"\xed\xaf\xbf\xed\xbf\xbf", "\u{10ffff}", &[0]);
    }
}
