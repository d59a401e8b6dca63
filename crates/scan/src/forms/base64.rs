//! Base64 as senders write it.
//!
//! Both alphabets, padded or not, folded at any column, `+` turned into a space by a form decoder: all of
//! it decodes. Anything else is an error, and so is a length that no base64 text has.

use base64_simd::AsOut;
use bytes::BytesMut;
use std::fmt;

/// The text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not base64: a character outside both alphabets, or an impossible length")
    }
}

impl std::error::Error for Invalid {}

/// Decodes `text` into `out`, which is overwritten.
///
/// # Errors
/// When the text is empty or not base64; `out` then holds nothing of use.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    out.clear();
    out.extend_from_slice(text);
    let len = decode_in_place(out)?;
    out.truncate(len);
    Ok(())
}

/// Decodes `text` over its own start; returns the length of the result.
///
/// # Errors
/// When the text is empty or not base64; it is then overwritten in part.
pub fn decode_in_place(text: &mut [u8]) -> Result<usize, Invalid> {
    let mut len = match text.iter().rposition(|b| !matches!(b, b'=' | b'\r' | b'\n' | b'\t')) {
        Some(last) => last + 1,
        None => return Err(Invalid),
    };
    // Nearly all text is of the standard alphabet; the check is as fast as reading it. What it takes does decode.
    if base64_simd::STANDARD_NO_PAD.check(&text[..len]).is_ok() {
        let decoded = base64_simd::STANDARD_NO_PAD.decode_inplace(&mut text[..len]);
        return decoded.map(|decoded| decoded.len()).map_err(|_| Invalid);
    }
    len = normalise(&mut text[..len])?;
    if len % 4 == 1 {
        return Err(Invalid);
    }
    match base64_simd::forgiving_decode_inplace(&mut text[..len]) {
        Ok(decoded) => Ok(decoded.len()),
        Err(_) => Err(Invalid),
    }
}

/// Decodes a form's value as it was sent, if it is what nearly all senders write: the standard alphabet, nothing escaped but
/// the padding. It is read once then. Otherwise `out` is left empty, and nothing is said of the value.
pub(crate) fn decode_plain(raw: &[u8], out: &mut BytesMut) -> bool {
    let mut text = raw;
    while let Some(rest) = [&b"="[..], b"%3D", b"%3d"].iter().find_map(|pad| text.strip_suffix(*pad)) {
        text = rest;
    }
    // At either end a plus is a blank, and not part of it. Whatever else is escaped is found before anything is decoded.
    if matches!(text, [] | [b'+', ..] | [.., b'+']) || memchr::memchr(b'%', text).is_some() {
        return false;
    }
    out.resize(text.len() / 4 * 3 + 2, 0);
    let decoded = base64_simd::STANDARD_NO_PAD.decode(text, out.as_mut().as_out());
    let len = decoded.as_deref().map_or(0, |decoded| decoded.len());
    out.truncate(len);
    len > 0
}

const DROP: u8 = 0;
const WRONG: u8 = 1;

/// What each byte stands for in the standard alphabet.
static STANDARD: [u8; 256] = {
    let mut table = [WRONG; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop ends at 256")]
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b == b'+' || b == b'/' {
            table[byte] = b;
        }
        byte += 1;
    }
    table[b' ' as usize] = b'+';
    table[b'-' as usize] = b'+';
    table[b'_' as usize] = b'/';
    table[b'\r' as usize] = DROP;
    table[b'\n' as usize] = DROP;
    table[b'\t' as usize] = DROP;
    table
};

/// Rewrites `text`, whose padding is off, in the standard alphabet; returns its new length.
fn normalise(text: &mut [u8]) -> Result<usize, Invalid> {
    let mut written = 0;
    for read in 0..text.len() {
        match STANDARD[usize::from(text[read])] {
            DROP => {}
            WRONG => return Err(Invalid),
            letter => {
                text[written] = letter;
                written += 1;
            }
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Option<&[u8]>) {
        let mut out = Vec::new();
        let got = decode(text.as_bytes(), &mut out).ok().map(|()| out.as_slice());
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn every_spelling_of_the_same_bytes_decodes_alike() {
        let want = Some(&b"\xfb\xff\xbe~"[..]);
        for text in [
            "+/++fg==",
            "+/++fg",
            "-_--fg",
            "-_--fg==",
            " / + fg".replace(" + ", "  ").as_str(),
            "+/\r\n++\r\nfg==\r\n",
            "+/+\t+fg=\n=",
            "-/ +fg=",
        ] {
            check(text, want);
        }
        // Bits left over at the end are not looked at.
        check("YQ", Some(b"a"));
        check("YR", Some(b"a"));
    }

    #[test]
    fn what_is_decoded_as_it_was_sent_is_what_a_form_says() {
        let mut out = BytesMut::new();
        for (raw, want) in [
            (&b"eyJhIjoxfQ=="[..], Some(&b"{\"a\":1}"[..])),
            (b"eyJhIjoxfQ", Some(b"{\"a\":1}")),
            (b"eyJhIjoxfQ%3D%3d", Some(b"{\"a\":1}")),
            (b"eyJhIjoxfQ%3D=", Some(b"{\"a\":1}")),
            (b"a+/a", Some(b"k\xef\xda")),
            // Left to the other way.
            (b"+/aa", None),
            (b"aaa+", None),
            (b"aaa%2B", None),
            (b"aa_-", None),
            (b"aaaaa", None),
            (b"aa aa", None),
            (b"YR", None),
            (b"{\"a\":1}", None),
            (b"%3D", None),
            (b"", None),
        ] {
            out.clear();
            assert_eq!(decode_plain(raw, &mut out).then_some(&out[..]), want, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn other_characters_and_impossible_lengths_are_errors() {
        for text in ["", "=", "A", "AAAAA", "AA=A", "AA!A", "%AAA", "AA\u{b}AA", "AAé", "AA\0A"] {
            check(text, None);
        }
    }
}
