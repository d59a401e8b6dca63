//! From JSON text to records.
//!
//! Nearly all text is read by its structure ([`structure`], [`records`]): checked 64 bytes at a time, with a look at the
//! few fields of interest. What is not taken there is read again by a scalar tokenizer ([`scalar`], [`walk`]), which
//! takes whatever the rules accept, and names the fault of the rest.

mod distinct;
mod escape;
mod facts;
mod job;
mod judge;
mod names;
mod number;
mod records;
mod scalar;
mod sink;
mod strict;
mod structure;
mod time;
mod tokens;
mod walk;

pub(crate) use escape::unescape;
pub(crate) use job::Job;
pub(crate) use sink::Sink;
pub use structure::Level;

use crate::{Invalid, Reason, ScanError};
use scalar::Scalar;
use std::ops::Range;
use structure::Structure;
use walk::Walk;

pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads one text after the other.
pub(crate) struct Reader {
    structure: Structure,
    scratch: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(depth_max: usize, level: Level) -> Reader {
        Reader { structure: Structure::new(level, depth_max), scratch: Vec::new() }
    }

    /// Gives back memory above `bytes` that single keys and names were unescaped into.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        self.scratch.clear();
        self.scratch.shrink_to(bytes);
    }

    /// Reads the text by its structure. When it is not valid, or not a record or an array of records alone, returns
    /// false and leaves the sink as it was.
    pub(crate) fn fast(&mut self, job: &Job<'_>, sink: &mut Sink) -> bool {
        self.fast_value(job, content_start(job.text)..job.text.len(), sink)
    }

    /// Reads the text as one value, by the scalar tokenizer.
    pub(crate) fn slow(&mut self, job: &Job<'_>, sink: &mut Sink) -> Result<(), ScanError> {
        let mark = sink.mark();
        let range = content_start(job.text)..job.text.len();
        self.slow_value(job, range, sink).inspect_err(|_| sink.rewind(mark))
    }

    /// Reads the text as lines, each a value. Returns how many lines there are, and how many of them are
    /// JSON. A line that is not is an invalid record. A single line may hold an array of records.
    pub(crate) fn lines(&mut self, job: &Job<'_>, sink: &mut Sink) -> Lines {
        let mut lines = Lines { all: 0, valid: 0 };
        let single = each_line(job.text).nth(1).is_none();
        for line in each_line(job.text) {
            lines.all += 1;
            let start = line.start + content_start(&job.text[line.clone()]);
            let is_array = job.text.get(start) == Some(&b'[');
            if is_array && !single {
                // One line of many is one record: an array is none, but must be valid all the same.
                if self.is_value(job, start..line.end) {
                    lines.valid += 1;
                    judge::judge_other(job, start..line.end, sink);
                } else {
                    judge::reject(job, line, Invalid::of(Reason::MalformedLine), sink);
                }
                continue;
            }
            let mark = sink.mark();
            let content = start..line.end;
            if self.fast_value(job, content.clone(), sink) || self.slow_value(job, content, sink).is_ok() {
                lines.valid += 1;
            } else {
                sink.rewind(mark);
                judge::reject(job, line, Invalid::of(Reason::MalformedLine), sink);
            }
        }
        lines
    }

    fn fast_value(&mut self, job: &Job<'_>, range: Range<usize>, sink: &mut Sink) -> bool {
        if !matches!(job.text.get(range.start), Some(b'{' | b'[')) {
            return false;
        }
        let mark = sink.mark();
        let done = records::read(job, range, &mut self.structure, sink, &mut self.scratch).is_ok();
        if !done {
            sink.rewind(mark);
        }
        done
    }

    fn slow_value(&mut self, job: &Job<'_>, range: Range<usize>, sink: &mut Sink) -> Result<(), ScanError> {
        let tokens = Scalar::new(&job.text[..range.end], range.start, job.limits.depth_max)?;
        walk(job, range.end, tokens, sink, &mut self.scratch).document()
    }

    /// Is this one JSON value?
    fn is_value(&mut self, job: &Job<'_>, range: Range<usize>) -> bool {
        let mut nowhere = Sink::default();
        self.slow_value(job, range, &mut nowhere).is_ok()
    }
}

/// How a text of lines turned out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    pub(crate) all: usize,
    pub(crate) valid: usize,
}

fn walk<'w, T>(
    job: &'w Job<'w>,
    end: usize,
    tokens: T,
    sink: &'w mut Sink,
    scratch: &'w mut Vec<u8>,
) -> Walk<'w, T> {
    Walk { job, text: &job.text[..end], tokens, sink, scratch }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// How many blanks `text` starts with.
pub(crate) fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|b| is_blank(**b)).count()
}

/// Where the content of `text` starts, behind a byte order mark and blanks.
pub(crate) fn content_start(text: &[u8]) -> usize {
    let bom = if text.starts_with(BOM) { BOM.len() } else { 0 };
    bom + blanks(&text[bom..])
}

/// The lines of `text` that are not blank, without the blanks around them.
fn each_line(text: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = if text.starts_with(BOM) { BOM.len() } else { 0 };
    std::iter::from_fn(move || {
        while from < text.len() {
            let end = memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |at| from + at);
            let start = from + blanks(&text[from..end]);
            from = end + 1;
            let last = text[start..end].iter().rposition(|b| !is_blank(*b));
            if let Some(last) = last {
                return Some(start..start + last + 1);
            }
        }
        None
    })
}

/// Could the text, which is not one value, be lines of records?
pub(crate) fn may_be_lines(text: &[u8]) -> bool {
    text.get(content_start(text)) == Some(&b'{') && each_line(text).nth(1).is_some()
}
