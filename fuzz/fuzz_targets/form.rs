//! Forms: the pairs, and whole form bodies through the scanner.
#![no_main]

use forebay_fuzz::{requests, twins};
use forebay_scan::forms::{Pairs, percent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|form: &[u8]| {
    let mut scratch = Vec::new();
    let pairs: Vec<_> = Pairs::of(form)
        .map(|(name, value)| {
            let name = percent::decoded(name, &mut scratch).to_vec();
            (name, percent::decoded(value, &mut scratch).to_vec())
        })
        .collect();
    assert_eq!(pairs, twins::form(form));
    requests::form(form);
});
