//! Where the records of a request are gathered.

use super::escape::unescape;
use super::facts::Value;
use super::job::Job;
use crate::{Counts, Dialect, Record, Verdict, verdict::Token};

/// Room for more than these is given back before the next request.
const KEEP_RECORDS_MAX: usize = 8192;
const KEEP_TOKEN_BYTES_MAX: usize = 64 << 10;

/// The records of one request; its memory is used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub(crate) records: Vec<Record>,
    pub(crate) counts: Counts,
    /// The tokens that were written with escapes, resolved.
    pub(crate) tokens: Vec<u8>,
    listed_invalid: usize,
}

/// Where a sink stood.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    records: usize,
    tokens: usize,
    listed_invalid: usize,
    counts: Counts,
}

impl Sink {
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.records.shrink_to(KEEP_RECORDS_MAX);
        self.counts = Counts::default();
        self.tokens.clear();
        self.tokens.shrink_to(KEEP_TOKEN_BYTES_MAX);
        self.listed_invalid = 0;
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            records: self.records.len(),
            tokens: self.tokens.len(),
            listed_invalid: self.listed_invalid,
            counts: self.counts.clone(),
        }
    }

    /// Forgets what came after the mark.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.records.truncate(mark.records);
        self.tokens.truncate(mark.tokens);
        self.listed_invalid = mark.listed_invalid;
        self.counts = mark.counts;
    }

    /// Counts a record, and lists it within bounds: a body of nothing but `0,0,0` must not become
    /// millions of entries, nor an import more than it may hold.
    pub(super) fn push(&mut self, record: Record, job: &Job<'_>) {
        self.counts.add(record.verdict);
        let listed = match record.verdict {
            Verdict::Invalid(_) => {
                self.listed_invalid += 1;
                self.listed_invalid <= job.limits.events_max
            }
            Verdict::Keep | Verdict::Ignored => {
                !matches!(job.dialect, Dialect::Import { .. }) || self.records.len() < job.limits.events_max
            }
        };
        if listed {
            self.records.push(record);
        }
    }

    /// Notes where a token lies; one with escapes is resolved. Returns its length too.
    pub(super) fn token(&mut self, value: Value, text: &[u8]) -> (Token, usize) {
        let raw = value.raw(text);
        let unescaped = value.escaped;
        let (start, end) = if unescaped {
            let start = self.tokens.len();
            unescape(raw, &mut self.tokens);
            (start, self.tokens.len())
        } else {
            value.inside()
        };
        (Token { start: offset(start), end: offset(end), unescaped }, end - start)
    }
}

/// A position in a text, which is never larger than 4 GiB: the limits see to that.
pub(super) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
