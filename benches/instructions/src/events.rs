//! Fifty events of web and mobile shape, 750 bytes on average, in every form that a sender may choose.
//!
//! The bytes are fixed in `events.ndjson`, apart from the load generator's: when its events change, these counts
//! must not.

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use forebay_log::Append;
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, ProjectId};
use std::io::Write as _;

/// The token in all of them.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// A time after all of them, milliseconds since the epoch.
pub(crate) const NOW_MS: u64 = 1_762_000_000_000;

const EVENTS: &str = include_str!("../events.ndjson");

/// Endlessly, from the first.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    EVENTS.lines().cycle()
}

/// The JSON of so many: the bare object for one, an array for more.
pub(crate) fn json(count: usize) -> String {
    let events: Vec<_> = all().take(count).collect();
    if count == 1 { events.concat() } else { format!("[{}]", events.join(",")) }
}

/// As browsers without `sendBeacon` post it.
pub(crate) fn base64_form(json: &str) -> Vec<u8> {
    // `+`, `/` and `=` stand for something else in a form.
    let text = base64_simd::STANDARD.encode_to_string(json);
    let text = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("data={text}&verbose=1").into_bytes()
}

/// Compressed as most senders do it.
pub(crate) fn gzip(json: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(json.as_bytes()).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// What the log gets of a request of so many.
pub(crate) fn append(count: usize) -> Append {
    let (mut text, mut entries) = (String::new(), Vec::new());
    let u32_of = |n: usize| u32::try_from(n).expect("a few MiB");
    for event in all().take(count) {
        let (offset, len) = (u32_of(text.len()), u32_of(event.len()));
        entries.push(DirectoryEntry { offset, len, ..DirectoryEntry::default() });
        text.push_str(event);
    }
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: ProjectId::new(1),
        token: Bytes::from_static(TOKEN.as_bytes()),
        meta: Bytes::new(),
        received_at_ms: NOW_MS,
        client_ip: None,
        text: text.into(),
        events: entries,
        outcome: None,
    }
}
