//! The Basic forms of `Authorization`.
#![no_main]

use forebay_fuzz::twins;
use forebay_scan::basic::{self, Credential};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &[u8]| {
    let found = basic::parse(header);
    let pair = |c: Option<Credential>| c.map(|c| (c.user, c.password));
    assert_eq!((pair(found.decoded), pair(found.plain)), twins::basic(header));
});
