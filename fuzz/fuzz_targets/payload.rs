//! Whole requests in any form: the scanner against its plain twin.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| forebay_fuzz::requests::any(data));
