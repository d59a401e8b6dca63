//! The scanner: one request after the other, with the same buffers.

use crate::forms::gzip::{self, InflateError, Inflater};
use crate::forms::{base64, percent};
use crate::json::{Job, Reader, Sink, blanks, content_start, may_be_lines, unescape};
use crate::{
    Counts, Dialect, FailedRecord, Failure, Invalid, Level, Limits, Params, Reason, Record, Request,
    ScanError, Verdict, utf8,
};
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;

/// A decoded text above this size gives its memory back, instead of keeping it for the next request.
const KEEP_BYTES_MAX: usize = 1 << 20;
/// The same for what single keys and values are decoded into, and for the list of repairs.
const KEEP_SCRATCH_BYTES_MAX: usize = 64 << 10;

/// Scans requests. Each thread has one of its own: its buffers are used again and again.
pub struct Scanner {
    limits: Limits,
    params: Params,
    sink: Sink,
    /// Where a text was changed when it was repaired.
    changes: Vec<u32>,
    reader: Reader,
    inflater: Inflater,
    /// Decoded texts are cut off its front. It is used again once nobody holds them any more.
    decoded: BytesMut,
    scratch: Vec<u8>,
}

/// A request that was read to its end.
#[derive(Clone, Debug)]
pub struct Scanned<'a> {
    /// What the request asked for beside its data.
    pub params: &'a Params,
    /// What the spans of the records index: the body itself where it was raw JSON and UTF-8.
    pub text: Bytes,
    /// The records in the order sent; at least one. Invalid ones past [`Limits::events_max`] are
    /// counted, not listed.
    pub records: &'a [Record],
    /// How many records met which verdict, all included.
    pub counts: &'a Counts,
    dialect: Dialect,
    tokens: &'a [u8],
}

impl Scanner {
    /// A scanner with empty buffers, as fast as this CPU allows.
    #[must_use]
    pub fn new(limits: Limits) -> Scanner {
        Scanner::with_level(limits, Level::best())
    }

    /// A scanner that goes a certain way: they all say the same.
    #[must_use]
    pub fn with_level(limits: Limits, level: Level) -> Scanner {
        let limits = limits.clamped();
        Scanner {
            limits,
            params: Params::default(),
            sink: Sink::default(),
            changes: Vec::new(),
            reader: Reader::new(limits.depth_max, level),
            inflater: Inflater::default(),
            decoded: BytesMut::new(),
            scratch: Vec::new(),
        }
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Reads a query string alone, before there is a body.
    pub fn query(&mut self, query: &[u8]) -> &Params {
        self.params.clear();
        self.params.read_query(query, &mut self.scratch);
        &self.params
    }

    /// Reads a whole request.
    ///
    /// # Errors
    /// When no record can be told apart: the verdicts of single records are in the result.
    pub fn scan(&mut self, request: Request<'_>) -> Result<Scanned<'_>, Failure<'_>> {
        let dialect = request.dialect;
        self.start_over();
        match self.read(request).and_then(|text| self.count(dialect).map(|()| text)) {
            Err(error) => Err(Failure { error, params: &self.params }),
            Ok(text) => Ok(Scanned {
                params: &self.params,
                text,
                records: &self.sink.records,
                counts: &self.sink.counts,
                dialect,
                tokens: &self.sink.tokens,
            }),
        }
    }

    /// Forgets the last request, and gives back memory that only an unusual one needs.
    fn start_over(&mut self) {
        self.params.clear();
        self.sink.clear();
        self.changes.clear();
        self.changes.shrink_to(KEEP_SCRATCH_BYTES_MAX / size_of::<u32>());
        self.scratch.shrink_to(KEEP_SCRATCH_BYTES_MAX);
        self.reader.shrink_to(KEEP_SCRATCH_BYTES_MAX);
        if self.decoded.capacity() > KEEP_BYTES_MAX {
            self.decoded = BytesMut::new();
        }
    }

    fn count(&self, dialect: Dialect) -> Result<(), ScanError> {
        let found = self.sink.counts.total();
        let limit = self.limits.events_max;
        if found == 0 {
            return Err(ScanError::Empty);
        }
        if matches!(dialect, Dialect::Import { .. }) && found as usize > limit {
            return Err(ScanError::TooManyEvents { found, limit });
        }
        Ok(())
    }

    /// Fills the sink; returns the text that its spans index.
    fn read(&mut self, request: Request<'_>) -> Result<Bytes, ScanError> {
        let query_data = self.params.read_query(request.query, &mut self.scratch);
        let body = self.inflated(request.body, request.content_encoding)?;
        let content = &body[content_start(&body)..];
        let lines = request.content_type.is_some_and(says_lines);
        if matches!(content.first(), Some(b'{' | b'[')) || lines && !content.is_empty() {
            return self.read_text(body, lines, request.dialect, request.now_ms);
        }
        let data = self.params.read_body(content, &mut self.scratch).or(query_data);
        let text = self.decode_data(data.ok_or(ScanError::Empty)?)?;
        self.read_text(text, false, request.dialect, request.now_ms)
    }

    /// The body, inflated where its first bytes say so.
    fn inflated(&mut self, body: Bytes, encoding: Option<&[u8]>) -> Result<Bytes, ScanError> {
        let limit = self.limits.body_bytes_max;
        let too_large = ScanError::TooLarge { limit };
        if body.starts_with(&gzip::MAGIC) {
            self.decoded.clear();
            let inflated = self.inflater.inflate(&body, limit, &mut self.decoded);
            let text = self.take_decoded();
            return match inflated {
                Ok(()) => Ok(text),
                Err(InflateError::TooLarge) => Err(too_large),
                Err(InflateError::Broken(fault)) => Err(ScanError::Gzip(fault)),
            };
        }
        if !encoding.is_none_or(is_known_encoding) {
            return Err(ScanError::UnsupportedEncoding);
        }
        if body.len() > limit { Err(too_large) } else { Ok(body) }
    }

    /// The text of a `data` value: JSON as it is, or base64 of it.
    fn decode_data(&mut self, raw: &[u8]) -> Result<Bytes, ScanError> {
        self.decoded.clear();
        if base64::decode_plain(raw, &mut self.decoded) {
            return Ok(self.take_decoded());
        }
        self.decoded.resize(raw.len(), 0);
        let mut end = percent::decode_into(raw, &mut self.decoded);
        let start = content_start(&self.decoded[..end]);
        while end > start && blanks(&self.decoded[end - 1..end]) == 1 {
            end -= 1;
        }
        match self.decoded[start..end].first() {
            None => return Err(ScanError::Empty),
            Some(b'{' | b'[') => {}
            Some(_) => {
                let len =
                    base64::decode_in_place(&mut self.decoded[start..end]).map_err(|_| ScanError::Base64)?;
                end = start + len;
            }
        }
        self.decoded.truncate(end);
        Ok(self.take_decoded().slice(start..))
    }

    fn take_decoded(&mut self) -> Bytes {
        let text = self.decoded.split().freeze();
        if text.len() > KEEP_BYTES_MAX {
            self.decoded = BytesMut::new();
        }
        text
    }

    /// Reads JSON text, repaired where it must be; returns the text that the spans index.
    fn read_text(
        &mut self,
        text: Bytes,
        lines: bool,
        dialect: Dialect,
        now_ms: u64,
    ) -> Result<Bytes, ScanError> {
        let job = Job {
            text: &text,
            dialect,
            limits: self.limits,
            now_ms,
            use_ip: self.params.ip,
            valid_utf8: true,
            changes: &[],
        };
        if !lines && self.reader.fast(&job, &mut self.sink) {
            return Ok(text);
        }
        if utf8::is_valid(&text) {
            self.read_slowly(&job, lines)?;
            return Ok(text);
        }
        if dialect.is_strict() {
            self.read_slowly(&Job { valid_utf8: false, ..job }, lines)?;
            return Ok(text);
        }
        let repaired = self.repaired(&text);
        let changes = std::mem::take(&mut self.changes);
        let job = Job { text: &repaired, changes: &changes, ..job };
        let done = if !lines && self.reader.fast(&job, &mut self.sink) {
            Ok(())
        } else {
            self.read_slowly(&job, lines)
        };
        self.changes = changes;
        done.map(|()| repaired)
    }

    /// A repaired copy; where it was changed is in `self.changes`.
    fn repaired(&mut self, text: &[u8]) -> Bytes {
        self.changes.clear();
        self.decoded.clear();
        self.decoded.reserve(text.len());
        utf8::repair(text, &mut self.decoded, &mut self.changes);
        self.take_decoded()
    }

    /// Reads text that was not taken by its structure, or that is declared to be lines.
    fn read_slowly(&mut self, job: &Job<'_>, lines: bool) -> Result<(), ScanError> {
        let (reader, sink) = (&mut self.reader, &mut self.sink);
        if lines {
            let found = reader.lines(job, sink);
            // Declared as lines and written as one value over several: the content decides, even where
            // one of the lines happens to be a value of its own.
            if found.valid < found.all && found.all > 1 {
                sink.clear();
                if !reader.fast(job, sink) && reader.slow(job, sink).is_err() {
                    reader.lines(job, sink);
                }
            }
            return Ok(());
        }
        let Err(error) = reader.slow(job, sink) else { return Ok(()) };
        if may_be_lines(job.text) {
            if reader.lines(job, sink).valid > 0 {
                return Ok(());
            }
            sink.clear();
        }
        Err(error)
    }
}

/// Does the content type declare lines of JSON?
pub(crate) fn says_lines(content_type: &[u8]) -> bool {
    const NDJSON: &[u8] = b"ndjson";
    content_type.windows(NDJSON.len()).any(|w| w.eq_ignore_ascii_case(NDJSON))
}

/// A body without gzip's first bytes may still be declared as gzip: a proxy has inflated it.
fn is_known_encoding(encoding: &[u8]) -> bool {
    let known: [&[u8]; 4] = [b"", b"identity", b"gzip", b"x-gzip"];
    known.iter().any(|k| k.eq_ignore_ascii_case(encoding.trim_ascii()))
}

impl Scanned<'_> {
    /// The token that routes a record, escapes resolved. Empty for `/import`, where credentials route,
    /// and where there is none.
    #[must_use]
    pub fn token(&self, record: &Record) -> &[u8] {
        let from = if record.token.unescaped { self.tokens } else { &self.text };
        &from[record.token.start as usize..record.token.end as usize]
    }

    /// A record's bytes.
    #[must_use]
    pub fn json(&self, record: &Record) -> &[u8] {
        &self.text[record.range()]
    }

    /// The invalid records that are listed, each with its place in the request.
    pub fn invalid(&self) -> impl Iterator<Item = (usize, &Record, Invalid)> {
        self.records.iter().enumerate().filter_map(|(index, record)| match record.verdict {
            Verdict::Invalid(invalid) => Some((index, record, invalid)),
            _ => None,
        })
    }

    /// What a verbose answer says when no record is valid: what is wrong with the first one.
    #[must_use]
    pub fn refusal(&self) -> &'static str {
        self.invalid().next().map_or(Reason::Empty, |(_, _, invalid)| invalid.reason).text()
    }

    /// The `failed_records` of a strict answer.
    pub fn failed(&self) -> impl Iterator<Item = FailedRecord<'_>> {
        self.invalid().map(|(index, record, invalid)| {
            let json = self.json(record);
            FailedRecord {
                index,
                insert_id: self.insert_id(record),
                field: invalid.field_name(json),
                message: invalid.message(self.dialect, json),
            }
        })
    }

    /// A record's `$insert_id`, if it is a filled string.
    #[must_use]
    pub fn insert_id(&self, record: &Record) -> Option<Cow<'_, str>> {
        let json = self.json(record);
        let span = record.entry.insert_id;
        let raw = span.get(json).filter(|raw| !raw.is_empty())?;
        // A string has a quote before it, a number has not.
        if json.get((span.offset as usize).checked_sub(1)?) != Some(&b'"') {
            return None;
        }
        if !raw.contains(&b'\\') {
            return Some(String::from_utf8_lossy(raw));
        }
        let mut resolved = Vec::new();
        unescape(raw, &mut resolved);
        Some(Cow::Owned(String::from_utf8_lossy(&resolved).into_owned()))
    }
}
