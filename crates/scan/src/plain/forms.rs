//! The forms a payload travels in, one plain function each.

use super::Params;
use crate::params::{CALLBACK_BYTES_MAX, VALUE_BYTES_MAX};
use crate::{GzipFault, Request, ScanError};
use flate2::bufread::GzDecoder;
use std::io::Read;

/// The decoded pairs of a form.
#[must_use]
pub fn form(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode = |bytes: &[u8]| {
        let mut out = Vec::new();
        let mut rest = bytes;
        while let [first, after @ ..] = rest {
            let escape = rest.get(1..3).filter(|_| *first == b'%').and_then(|digits| {
                let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
                u8::from_str_radix(digits, 16).ok()
            });
            match (escape, first) {
                (Some(byte), _) => {
                    out.push(byte);
                    rest = &rest[3..];
                    continue;
                }
                (None, b'+') => out.push(b' '),
                (None, other) => out.push(*other),
            }
            rest = after;
        }
        out
    };
    let pairs = text.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let mut parts = pair.splitn(2, |b| *b == b'=');
            let name = parts.next().unwrap_or_default();
            (decode(name), decode(parts.next().unwrap_or_default()))
        })
        .collect()
}

pub(super) fn first<'a>(form: &'a [(Vec<u8>, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    form.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
}

pub(super) fn params(query: &[(Vec<u8>, Vec<u8>)], body: &[(Vec<u8>, Vec<u8>)]) -> Params {
    let clip = |value: &[u8]| value[..value.len().min(VALUE_BYTES_MAX)].to_vec();
    let get = |name| first(query, name).or(first(body, name)).map(clip);
    let truthy = |name| matches!(get(name).as_deref(), Some(b"1" | b"true"));
    let text = |name| {
        get(name)
            .map(|value| String::from_utf8_lossy(&value).into_owned())
            .filter(|text: &String| !text.is_empty())
    };
    let callback = text("callback").filter(|name| {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_$.[]".contains(c));
        name == "(function(){})" || plain && name.len() <= CALLBACK_BYTES_MAX
    });
    Params {
        verbose: truthy("verbose"),
        img: truthy("img"),
        ip: truthy("ip"),
        strict: first(query, "strict") == Some(b"1"),
        callback,
        project_id: text("project_id"),
        api_key: text("api_key"),
    }
}

pub(super) fn inflated(request: &Request<'_>, limit: usize) -> Result<Vec<u8>, ScanError> {
    let mut body = request.body.to_vec();
    if body.starts_with(&[0x1f, 0x8b]) {
        let mut inflated = Vec::new();
        let mut rest = body.as_slice();
        while rest.starts_with(&[0x1f, 0x8b]) {
            let mut member = GzDecoder::new(rest);
            let room = (limit + 1 - inflated.len()) as u64;
            member
                .by_ref()
                .take(room)
                .read_to_end(&mut inflated)
                .map_err(|_| ScanError::Gzip(GzipFault::Data))?;
            if inflated.len() > limit {
                return Err(ScanError::TooLarge { limit });
            }
            rest = member.into_inner();
        }
        body = inflated;
    } else {
        let encoding = String::from_utf8_lossy(request.content_encoding.unwrap_or_default()).to_lowercase();
        if !["", "identity", "gzip", "x-gzip"].contains(&encoding.trim_ascii()) {
            return Err(ScanError::UnsupportedEncoding);
        }
    }
    if body.len() > limit { Err(ScanError::TooLarge { limit }) } else { Ok(body) }
}

pub(super) fn is_blank(byte: u8) -> bool {
    b" \t\r\n".contains(&byte)
}

pub(super) fn content_start(text: &[u8]) -> usize {
    let bom = if text.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    text[bom..].iter().position(|b| !is_blank(*b)).map_or(text.len(), |at| bom + at)
}

pub(super) fn says_lines(content_type: &[u8]) -> bool {
    String::from_utf8_lossy(content_type).to_lowercase().contains("ndjson")
}

pub(super) fn decode_data(value: &[u8]) -> Result<Vec<u8>, ScanError> {
    let mut value = value[content_start(value)..].to_vec();
    while value.last().is_some_and(|b| is_blank(*b)) {
        value.pop();
    }
    match value.first() {
        None => Err(ScanError::Empty),
        Some(b'{' | b'[') => Ok(value),
        Some(_) => base64(&value).ok_or(ScanError::Base64),
    }
}

/// What a base64 text decodes to, if it is one.
#[must_use]
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text: Vec<u8> = text.iter().copied().filter(|b| !b"\r\n\t".contains(b)).collect();
    while text.last() == Some(&b'=') {
        text.pop();
    }
    if text.is_empty() || text.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text {
        let letter = match byte {
            b' ' | b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let value = LETTERS.iter().position(|l| *l == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}

/// The text as valid UTF-8, and of each of its bytes whether it was put there.
#[must_use]
pub fn repair(text: &[u8]) -> (Vec<u8>, Vec<bool>) {
    let (mut out, mut changed) = (Vec::new(), Vec::new());
    let mut put = |bytes: &[u8], change: bool| {
        out.extend_from_slice(bytes);
        changed.extend(bytes.iter().map(|_| change));
    };
    let lossy = |bytes: &[u8], put: &mut dyn FnMut(&[u8], bool)| {
        for chunk in bytes.utf8_chunks() {
            put(chunk.valid().as_bytes(), false);
            if !chunk.invalid().is_empty() {
                put("\u{fffd}".as_bytes(), true);
            }
        }
    };
    let (mut at, mut from) = (0, 0);
    while at < text.len() {
        let pair = text.get(at..at + 6).and_then(|six| Some((half(&six[..3])?, half(&six[3..])?)));
        match pair {
            Some((high @ 0xd800..=0xdbff, low @ 0xdc00..=0xdfff)) => {
                lossy(&text[from..at], &mut put);
                put(String::from_utf16_lossy(&[high, low]).as_bytes(), true);
                at += 6;
                from = at;
            }
            _ => at += 1,
        }
    }
    lossy(&text[from..], &mut put);
    (out, changed)
}

/// The surrogate that three bytes of CESU-8 encode.
fn half(bytes: &[u8]) -> Option<u16> {
    let &[0xed, a @ 0xa0..=0xbf, b @ 0x80..=0xbf] = bytes else { return None };
    Some(0xd000 | u16::from(a & 0x3f) << 6 | u16::from(b & 0x3f))
}
