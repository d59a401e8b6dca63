//! The plain twins of the small parsers.

use std::net::{IpAddr, SocketAddr};

/// Base64 as senders write it: what [`forebay_scan::forms::base64::decode`] must give.
#[must_use]
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    // Padding and line ends at the end mean nothing.
    let mut text = text.to_vec();
    while matches!(text.last(), Some(b'=' | b'\r' | b'\n' | b'\t')) {
        text.pop();
    }
    let mut bits = Vec::new();
    for byte in text {
        let value = match byte {
            b'\r' | b'\n' | b'\t' => continue,
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' | b' ' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits.extend((0..6).rev().map(|bit| value >> bit & 1));
    }
    let letters = bits.len() / 6;
    if letters == 0 || letters % 4 == 1 {
        return None;
    }
    Some(bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |b, bit| b << 1 | bit)).collect())
}

/// A form's pairs, decoded.
#[must_use]
pub fn form(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = text.split(|&b| b == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let mut half = || halves.next().map(percent).unwrap_or_default();
            (half(), half())
        })
        .collect()
}

fn percent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
        let escape = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match (text[at], escape) {
            (b'%', Some(digits)) => {
                out.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(other),
        }
        at += 1;
    }
    out
}

/// The value of a key: of equal ones the first.
#[must_use]
pub fn first<'a>(pairs: &'a [(Vec<u8>, Vec<u8>)], key: &str) -> Option<&'a [u8]> {
    pairs.iter().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value.as_slice())
}

/// May this callback be echoed?
#[must_use]
pub fn callback(value: &[u8]) -> bool {
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$.[]";
    value == b"(function(){})"
        || !value.is_empty() && value.len() <= 128 && value.iter().all(|b| allowed.contains(b))
}

/// User and password of one reading of a Basic header.
pub type Credential = (String, String);

/// The readings of an `Authorization` header: decoded, plain.
#[must_use]
pub fn basic(header: &[u8]) -> (Option<Credential>, Option<Credential>) {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0c);
    let text: Vec<u8> = {
        let mut bytes: Vec<u8> = header.iter().copied().skip_while(|b| is_space(b)).collect();
        while bytes.last().is_some_and(is_space) {
            bytes.pop();
        }
        bytes
    };
    if text.len() < 6 || !text[..5].eq_ignore_ascii_case(b"basic") || !is_space(&text[5]) {
        return (None, None);
    }
    let rest: Vec<u8> = text[5..].iter().copied().skip_while(|b| is_space(b)).collect();
    let credential = |text: Vec<u8>| {
        let text = String::from_utf8(text).ok().filter(|t| !t.is_empty())?;
        Some(match text.find(':') {
            Some(colon) => (text[..colon].to_owned(), text[colon + 1..].to_owned()),
            None => (text, String::new()),
        })
    };
    (base64(&rest).and_then(credential), credential(rest))
}

/// What the start of a connection is, as far as PROXY headers go.
#[derive(Debug, PartialEq, Eq)]
pub enum Proxy {
    /// A whole header of that length; who it names.
    Whole(usize, Option<SocketAddr>),
    /// The beginning of one, perhaps.
    More,
    /// None.
    Wrong,
}

/// Reads a version 2 header.
#[must_use]
pub fn proxy_v2(bytes: &[u8]) -> Proxy {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let common = bytes.len().min(signature.len());
    if bytes[..common] != signature[..common] {
        return Proxy::Wrong;
    }
    if bytes.len() < 16 {
        return Proxy::More;
    }
    let (version, command) = (bytes[12] >> 4, bytes[12] & 15);
    let (family, transport) = (bytes[13] >> 4, bytes[13] & 15);
    // Unspecified, or one of three families over stream or datagram; the rest is reserved.
    let known = (family, transport) == (0, 0) || (1..=3).contains(&family) && (1..=2).contains(&transport);
    if version != 2 || command > 1 || !known {
        return Proxy::Wrong;
    }
    let len = 16 + (usize::from(bytes[14]) << 8 | usize::from(bytes[15]));
    let Some(rest) = bytes.get(16..len) else { return Proxy::More };
    let port = |at: usize| u16::from(rest[at]) << 8 | u16::from(rest[at + 1]);
    let source = match family {
        1 if rest.len() < 12 => return Proxy::Wrong,
        2 if rest.len() < 36 => return Proxy::Wrong,
        3 if rest.len() < 216 => return Proxy::Wrong,
        1 => Some((IpAddr::from([rest[0], rest[1], rest[2], rest[3]]), port(8))),
        2 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&rest[..16]);
            Some((IpAddr::from(octets), port(32)))
        }
        _ => None,
    };
    Proxy::Whole(len, source.filter(|_| command == 1).map(SocketAddr::from))
}
