//! Lines of JSON, said to be lines or found to be: the scanner against its plain twin.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: &[u8]| forebay_fuzz::requests::lines(lines));
