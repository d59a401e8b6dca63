//! Query strings: the parameters, against looking each up in the list of pairs.
#![no_main]

use forebay_fuzz::twins::{callback, first, form};
use forebay_scan::{Params, VALUE_BYTES_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &[u8]| {
    let params = Params::of_query(query);
    let pairs = form(query);
    let is = |key: &str, values: &[&[u8]]| first(&pairs, key).is_some_and(|v| values.contains(&v));
    // What is longer than anything of use is cut, before it is read as text.
    let cut =
        |value: &'_ [u8]| String::from_utf8_lossy(&value[..value.len().min(VALUE_BYTES_MAX)]).into_owned();
    let text = |key: &str| first(&pairs, key).map(cut).filter(|v| !v.is_empty());
    assert_eq!(params.verbose, is("verbose", &[b"1", b"true"]));
    assert_eq!(params.img, is("img", &[b"1", b"true"]));
    assert_eq!(params.ip, is("ip", &[b"1", b"true"]));
    assert_eq!(params.strict, is("strict", &[b"1"]));
    assert_eq!(params.project_id(), text("project_id").as_deref());
    assert_eq!(params.api_key(), text("api_key").as_deref());
    let echoed = first(&pairs, "callback").filter(|v| callback(v));
    assert_eq!(params.callback().map(str::as_bytes), echoed);
});
