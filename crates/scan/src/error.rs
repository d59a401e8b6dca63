//! Why a whole request could not be scanned.
//!
//! Each is the sender's mistake; none is ours. The answer depends on the endpoint and on the parameters,
//! which a [`Failure`] keeps reachable.

use crate::Params;
use std::fmt;

/// A request that could not be scanned, with the parameters that were read before that was known.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// What is wrong with it.
    pub error: ScanError,
    /// `verbose`, `img`, `callback` … as far as they were read.
    pub params: &'a Params,
}

/// What is wrong with a request as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanError {
    /// The body, or what it inflates to, is over the limit.
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// More records than one `/import` request may hold.
    TooManyEvents {
        /// How many the request holds.
        found: u32,
        /// How many it may hold.
        limit: usize,
    },
    /// The `Content-Encoding` is one nobody documents.
    UnsupportedEncoding,
    /// The body starts like gzip and is not.
    Gzip(GzipFault),
    /// No data, or nothing in it.
    Empty,
    /// The data is neither JSON nor base64.
    Base64,
    /// The data is not JSON.
    Malformed {
        /// The rule it breaks.
        what: &'static str,
        /// Where, from the first byte of the decoded text.
        at: usize,
    },
    /// Objects and arrays nested deeper than allowed.
    TooDeep {
        /// In levels.
        limit: usize,
        /// Where, from the first byte of the decoded text.
        at: usize,
    },
}

/// What is wrong with a gzip body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GzipFault {
    /// It ends too early.
    Truncated,
    /// Its header is not one.
    Header,
    /// Its compressed data is not valid.
    Data,
    /// The checksum or the length at its end does not match.
    Checksum,
}

impl ScanError {
    /// A stable name for counters and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            ScanError::TooLarge { .. } => "body_too_large",
            ScanError::TooManyEvents { .. } => "too_many_events",
            ScanError::UnsupportedEncoding => "encoding_unsupported",
            ScanError::Gzip(_) => "gzip_broken",
            ScanError::Empty => "data_missing",
            ScanError::Base64 => "base64_invalid",
            ScanError::Malformed { .. } => "malformed_json",
            ScanError::TooDeep { .. } => "too_deep",
        }
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScanError::TooLarge { limit } => write!(f, "request exceeds max limit of {limit} bytes"),
            ScanError::TooManyEvents { found, limit } => {
                write!(f, "request exceeds max limit of {limit} events: it holds {found}")
            }
            ScanError::UnsupportedEncoding => {
                f.write_str("unsupported Content-Encoding: send gzip, identity or none")
            }
            ScanError::Gzip(fault) => write!(f, "data, broken gzip: {fault}"),
            ScanError::Empty => f.write_str("data, missing or empty"),
            ScanError::Base64 => f.write_str("data, neither JSON nor valid base64"),
            ScanError::Malformed { what, at } => write!(f, "data, malformed JSON: {what} at byte {at}"),
            ScanError::TooDeep { limit, at } => {
                write!(f, "data, nested more than {limit} levels deep at byte {at}")
            }
        }
    }
}

impl std::error::Error for ScanError {}

impl fmt::Display for GzipFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GzipFault::Truncated => "it ends too early",
            GzipFault::Header => "its header is not one",
            GzipFault::Data => "its compressed data is not valid",
            GzipFault::Checksum => "its checksum does not match",
        })
    }
}
