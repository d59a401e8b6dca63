//! Segments that a disk damaged: what is read was written, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| forebay_fuzz::damage::check(data));
