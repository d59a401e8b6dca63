//! PROXY headers: version 2 against reading it field by field; both versions against their own prefixes.
#![no_main]

use forebay_fuzz::twins::{Proxy, proxy_v2};
use libfuzzer_sys::fuzz_target;
use proxy_protocol::{HEADER_BYTES_MAX, ProxyError, parse};

// The module alone: the crate around it would bring a whole server along.
#[allow(dead_code)]
#[path = "../../crates/http/src/proxy_protocol.rs"]
mod proxy_protocol;

fuzz_target!(|bytes: &[u8]| {
    let parsed = parse(bytes);
    if let Ok(Some(header)) = parsed {
        assert!(header.len <= bytes.len().min(HEADER_BYTES_MAX));
        assert_eq!(parse(&bytes[..header.len]), parsed, "what follows changes nothing");
        for cut in 0..header.len {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut} bytes are not enough");
        }
    }
    if bytes.first() == Some(&b'\r') {
        match proxy_v2(bytes) {
            Proxy::Whole(len, _) if len > HEADER_BYTES_MAX => assert!(parsed.is_err()),
            Proxy::Whole(len, source) => {
                let got = parsed.map(|header| header.map(|h| (h.len, h.source)));
                assert_eq!(got, Ok(Some((len, source))));
            }
            Proxy::More => assert!(matches!(parsed, Ok(None) | Err(ProxyError::TooLong))),
            Proxy::Wrong => assert!(!matches!(parsed, Ok(Some(_)))),
        }
    }
});
