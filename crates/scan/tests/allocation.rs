//! Once its buffers are warm, the scanner allocates nothing per event.

#![expect(unsafe_code, reason = "a global allocator that counts cannot be written without")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use bytes::Bytes;
use forebay_scan::{Dialect, Limits, Request, Scanner};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promises are the callee's demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn batch(count: usize, extra: &str) -> String {
    let each = (0..count).map(|i| {
        format!(
            r#"{{"event":"Viewed","properties":{{"token":"t","time":1700000000.{i:03},"distinct_id":"u{i}","$insert_id":"i-{i}","list":[1,{{"a":null}}],"name":"Zürich"{extra}}}}}"#
        )
    });
    format!("[{}]", each.collect::<Vec<_>>().join(","))
}

/// Allocations of one scan, after others of the same kind.
fn allocations(dialect: Dialect, body: impl Fn() -> Vec<u8>) -> usize {
    let mut scanner = Scanner::new(Limits::default());
    let mut counted = 0;
    for _ in 0..4 {
        let request =
            Request { body: Bytes::from(body()), now_ms: 1_760_000_000_000, ..Request::new(dialect) };
        let before = ALLOCATIONS.get();
        let scanned = scanner.scan(request).unwrap();
        assert!(scanned.counts.kept > 0);
        drop(scanned);
        counted = ALLOCATIONS.get() - before;
    }
    counted
}

#[test]
fn nothing_is_allocated_per_event_once_warm() {
    let form = |text: String| format!("data={}", base64_simd::STANDARD.encode_to_string(text)).into_bytes();
    let lines = |text: String| text[1..text.len() - 1].replace("}},{", "}}\n{").into_bytes();
    let cesu8 = |text: String| {
        let text = text.into_bytes();
        let split: Vec<_> = text.split(|b| *b == b'Z').collect();
        split.join(&b"\xed\xa0\xbd\xed\xb8\x80"[..])
    };
    type Wrap<'a> = &'a dyn Fn(String) -> Vec<u8>;
    let cases: [(&str, Dialect, &str, Wrap<'_>); 8] = [
        ("raw", Dialect::Track, "", &String::into_bytes),
        ("form", Dialect::Track, "", &form),
        ("lines", Dialect::Track, "", &lines),
        ("cesu-8", Dialect::Track, "", &cesu8),
        ("escaped key", Dialect::Track, r#","tok\u0065n":"t\u0031""#, &String::into_bytes),
        ("lone surrogate", Dialect::Track, r#","s":"\ud83d""#, &String::into_bytes),
        ("import", Dialect::Import { strict: false }, "", &String::into_bytes),
        ("strict import", Dialect::Import { strict: true }, "", &String::into_bytes),
    ];
    for (name, dialect, extra, wrap) in cases {
        let few = allocations(dialect, || wrap(batch(20, extra)));
        let many = allocations(dialect, || wrap(batch(2000, extra)));
        assert!(few <= 4, "{name}: {few} allocations for 20 events");
        assert!(many <= 4, "{name}: {many} allocations for 2000 events");
    }
}
