//! From the bytes of a request to its events.
//!
//! A sender may pack events in a dozen ways: raw JSON, lines of JSON, a form field, base64 in either
//! alphabet, percent-encoded or not, gzip around any of it. [`Scanner::scan`] finds out which from the
//! bytes, validates every record, and says of each where it lies in the text, which token routes it, and
//! whether it is to be kept.
//!
//! # Invariants
//! * No I/O, no HTTP types; nothing panics on input and nothing recurses on its depth.
//! * Spans index [`Scanned::text`]; where that is the sender's own text, its bytes are untouched.
//! * Text that was not valid UTF-8 is a repaired copy, and the records it concerns say so.
//! * Every limit is checked before the memory it bounds is spent; once warm, nothing is allocated per
//!   event.
//! * [`plain`] does the same slowly and simply, and says the same of every input.
//!
//! The rules are those of Mixpanel's wire; `tests/data/vectors` holds them as cases.
//!
//! ```
//! use bytes::Bytes;
//! use forebay_scan::{Dialect, Limits, Request, Scanner, Verdict};
//!
//! let mut scanner = Scanner::new(Limits::default());
//! let body = Bytes::from_static(br#"{"event":"Signed up","properties":{"token":"t1","time":1760000000}}"#);
//! let scanned = scanner.scan(Request { body, ..Request::new(Dialect::Track) }).expect("valid");
//! let record = &scanned.records[0];
//! assert_eq!(record.verdict, Verdict::Keep);
//! assert_eq!(scanned.token(record), b"t1");
//! assert_eq!(record.entry.time_ms, Some(1_760_000_000_000));
//! assert_eq!(record.entry.name.get(scanned.json(record)), Some(&b"Signed up"[..]));
//! ```

pub mod basic;
mod error;
pub mod forms;
mod json;
mod params;
pub mod plain;
mod sample;
mod scanner;
mod utf8;
mod verdict;

pub use error::{Failure, GzipFault, ScanError};
pub use json::Level;
pub use params::{CALLBACK_BYTES_MAX, Params, VALUE_BYTES_MAX};
pub use sample::clip;
pub use scanner::{Scanned, Scanner};
pub use verdict::{Counts, FailedRecord, Field, Invalid, Reason, Record, Verdict};

use bytes::Bytes;
use forebay_record::{DirectoryEntry, Span};

/// What a scanner refuses before spending memory on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the body, and of what it inflates to. At most 1 GiB: offsets are 32 bits wide.
    pub body_bytes_max: usize,
    /// Levels of objects and arrays. At most 128.
    pub depth_max: usize,
    /// Of one event under strict `/import`.
    pub event_bytes_max: usize,
    /// Events of one `/import` request; elsewhere, how many invalid records are listed one by one.
    pub events_max: usize,
}

impl Default for Limits {
    /// The documented limits of the API.
    fn default() -> Limits {
        Limits { body_bytes_max: 10 << 20, depth_max: DEPTH_MAX, event_bytes_max: 1 << 20, events_max: 2000 }
    }
}

/// The deepest nesting any configuration may allow.
pub const DEPTH_MAX: usize = 128;
/// The longest routing token: its length is stored in 16 bits.
pub const TOKEN_BYTES_MAX: usize = u16::MAX as usize;

impl Limits {
    /// These limits, with each brought into the range the code is built for.
    #[must_use]
    pub fn clamped(self) -> Limits {
        Limits {
            body_bytes_max: self.body_bytes_max.min(1 << 30),
            depth_max: self.depth_max.clamp(1, DEPTH_MAX),
            ..self
        }
    }
}

/// Which rules the records of a request follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/track`: events that carry their project's token.
    Track,
    /// `/engage`: user profile updates.
    Engage,
    /// `/groups`: group profile updates.
    Groups,
    /// `/import`: events whose project the credentials name.
    Import {
        /// `strict=1`: every documented check; nothing is repaired.
        strict: bool,
    },
}

impl Dialect {
    /// Are its records events, rather than profile updates?
    #[must_use]
    pub fn holds_events(self) -> bool {
        matches!(self, Dialect::Track | Dialect::Import { .. })
    }

    /// `/import` with `strict=1`?
    #[must_use]
    pub fn is_strict(self) -> bool {
        self == Dialect::Import { strict: true }
    }
}

/// One request, as far as the scanner needs it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// From the path, and for `/import` from the query's `strict`.
    pub dialect: Dialect,
    /// As sent, without the `?`.
    pub query: &'a [u8],
    /// The `Content-Type` header.
    pub content_type: Option<&'a [u8]>,
    /// The `Content-Encoding` header.
    pub content_encoding: Option<&'a [u8]>,
    /// The whole body; empty for GET.
    pub body: Bytes,
    /// The clock, for the strict checks of `time`; milliseconds since the epoch.
    pub now_ms: u64,
}

impl Request<'_> {
    /// A request without query, headers or body.
    #[must_use]
    pub fn new(dialect: Dialect) -> Request<'static> {
        Request {
            dialect,
            query: b"",
            content_type: None,
            content_encoding: None,
            body: Bytes::new(),
            now_ms: 0,
        }
    }
}
