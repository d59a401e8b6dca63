//! The PROXY protocol header (v1 text, v2 binary) that a load balancer writes before the first request.
//!
//! Parsing is the `proxy-header` crate's; this module bounds it and says what it means here. The header
//! is only ever read from trusted networks, and there it is required: guessing whether one is present
//! would let a sender behind a plain TCP balancer write his own address.

use proxy_header::{Error, ParseConfig, ProxyHeader};
use std::{fmt, net::SocketAddr};

/// The longest header that is read: v2 with all the TLVs known balancers send stays far below.
pub const HEADER_BYTES_MAX: usize = 4096;
/// The longest v1 line, by the protocol's own word.
const V1_BYTES_MAX: usize = 107;

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// Who connected to the balancer; `None` when the balancer speaks for itself (health checks) or does
    /// not know.
    pub source: Option<SocketAddr>,
    /// How many bytes the header takes.
    pub len: usize,
}

/// Why bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// They follow neither version.
    Malformed,
    /// It is longer than [`HEADER_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Malformed => f.write_str(
                "the connection does not begin with a PROXY protocol header (v1 or v2); does the load \
                 balancer send one?",
            ),
            ProxyError::TooLong => {
                write!(f, "the PROXY protocol header is longer than {HEADER_BYTES_MAX} bytes")
            }
        }
    }
}

impl std::error::Error for ProxyError {}

/// Reads the header at the start of `bytes`; `None` when more bytes are needed.
///
/// # Errors
/// When no bytes to come could make this a header that is taken.
pub fn parse(bytes: &[u8]) -> Result<Option<Proxied>, ProxyError> {
    let v1 = b"PROXY ";
    let v2 = b"\r\n\r\n\0\r\nQUIT\n";
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(a, b)| a == b);
    if !begins(v1) && !begins(v2) {
        return Err(ProxyError::Malformed);
    }
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    match ProxyHeader::parse(bytes, config) {
        Ok((_, len)) if bytes[0] == b'P' && len > V1_BYTES_MAX => Err(ProxyError::Malformed),
        Ok((_, len)) if len > HEADER_BYTES_MAX => Err(ProxyError::TooLong),
        Ok((header, len)) => Ok(Some(Proxied { source: header.proxied_address().map(|a| a.source), len })),
        Err(Error::BufferTooShort) if bytes.len() >= HEADER_BYTES_MAX => Err(ProxyError::TooLong),
        Err(Error::BufferTooShort) => Ok(None),
        Err(_) => Err(ProxyError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut b = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        b.extend_from_slice(&[command, family]);
        b.extend_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
        b.extend_from_slice(rest);
        b
    }

    const V4: [u8; 12] = [203, 0, 113, 7, 10, 0, 0, 1, 0x9c, 0x40, 0, 80];

    #[test]
    fn whole_headers_name_the_client() {
        let client = Some("203.0.113.7:40000".parse().unwrap());
        let mut six = [0; 36];
        six[..2].copy_from_slice(&[0x20, 0x01]);
        six[15] = 9;
        six[32..34].copy_from_slice(&443u16.to_be_bytes());
        let with_tlv = [&V4[..], &[4, 0, 1, 0]].concat();
        for (bytes, source) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 80\r\n".to_vec(), client),
            (
                b"PROXY TCP6 2001:db8::7 ::1 40000 80\r\n".to_vec(),
                Some("[2001:db8::7]:40000".parse().unwrap()),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &V4), client),
            (v2(0x21, 0x11, &with_tlv), client),
            (v2(0x21, 0x21, &six), Some("[2001::9]:443".parse().unwrap())),
            (v2(0x20, 0x11, &V4), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let mut sent = bytes.clone();
            sent.extend_from_slice(b"GET / HTTP/1.1\r\n");
            assert_eq!(parse(&sent), Ok(Some(Proxied { source, len: bytes.len() })));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused_at_its_first_wrong_byte() {
        for bytes in [
            &b"G"[..],
            b"PO",
            b"\r\n\r\nX",
            b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 70000\r\n",
            &v2(0x31, 0x11, &V4),
            &[&v2(0x21, 0x11, &V4[..8])[..], b"GET / HTTP/1.1\r\n"].concat(),
        ] {
            assert_eq!(parse(bytes), Err(ProxyError::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn a_header_without_end_is_refused() {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(200, b'x');
        assert_eq!(parse(&line), Err(ProxyError::Malformed));
        let whole = [&line[..], b"\r\n"].concat();
        assert_eq!(parse(&whole), Err(ProxyError::Malformed));
        let mut long = v2(0x21, 0x11, &V4);
        long[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        long.resize(HEADER_BYTES_MAX, 0);
        assert_eq!(parse(&long), Err(ProxyError::TooLong));
    }
}
