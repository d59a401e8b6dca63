//! Base64 in every spelling, against decoding bit by bit.
#![no_main]

use forebay_fuzz::twins;
use forebay_scan::forms::base64;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut out = Vec::new();
    let decoded = base64::decode(text, &mut out).ok().map(|()| out);
    assert_eq!(decoded, twins::base64(text));
});
