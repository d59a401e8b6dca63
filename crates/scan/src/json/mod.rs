//! From JSON text to records.
//!
//! simd-json validates first and finds the tokens; what it refuses is read again by a scalar tokenizer,
//! which accepts all that the rules accept and names the fault of the rest. One walk over the tokens
//! looks at the few fields of interest, whichever found them.

mod distinct;
mod escape;
mod facts;
mod job;
mod judge;
mod scalar;
mod simd;
mod sink;
mod strict;
mod time;
mod tokens;
mod walk;

pub(crate) use escape::unescape;
pub(crate) use job::Job;
pub(crate) use sink::Sink;

use crate::{Invalid, Reason, ScanError};
use memchr::memmem;
use scalar::Scalar;
use simd::Fast;
use std::ops::Range;
use tokens::Indexed;
use walk::Walk;

/// How much text simd-json is given at once. Its tape takes 24 bytes for each token, and a text may be
/// all tokens: this bounds it to about 4 MiB, and keeps it in the cache.
const WINDOW_BYTES: usize = 128 << 10;
/// How much of a record's beginning must come again to look like the beginning of the next record.
const PREFIX_BYTES: usize = 8;

pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads one text after the other.
pub(crate) struct Reader {
    fast: Fast,
    scratch: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(depth_max: usize) -> Reader {
        Reader { fast: Fast::new(depth_max), scratch: Vec::new() }
    }

    /// Gives back memory above `bytes` that single keys and names were unescaped into.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        self.scratch.clear();
        self.scratch.shrink_to(bytes);
    }

    /// Reads the text by simd-json. When it is not valid to it, returns false and leaves the sink as it
    /// was.
    pub(crate) fn fast(&mut self, job: &Job<'_>, sink: &mut Sink) -> bool {
        let mark = sink.mark();
        let start = content_start(job.text);
        let done = if job.text.len() - start <= WINDOW_BYTES {
            self.fast_value(job, start..job.text.len(), sink)
        } else {
            job.text.get(start) == Some(&b'[') && self.fast_windows(job, start + 1, sink)
        };
        if !done {
            sink.rewind(mark);
        }
        done
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
        if range.len() > WINDOW_BYTES {
            return false;
        }
        let (start, end) = (range.start, range.end);
        let Some(index) = self.fast.index(b"", &job.text[range], b"") else { return false };
        let tokens = Indexed::new(index, start, end);
        walk(job, end, tokens, sink, &mut self.scratch).document().is_ok()
    }

    /// The records of an array, from the first one on, a window at a time.
    ///
    /// A window is cut where a comma is followed by what the first record began with. Whether that comma
    /// really stands between two records shows in the parse: JSON is read from left to right, so a piece
    /// that is whole when brackets are put around it is whole in its place.
    fn fast_windows(&mut self, job: &Job<'_>, first: usize, sink: &mut Sink) -> bool {
        let mut at = first + blanks(&job.text[first..]);
        loop {
            let rest = &job.text[at..];
            if rest.first() != Some(&b'{') {
                return false;
            }
            let (len, cut, after) = if rest.len() <= WINDOW_BYTES {
                (rest.len(), 0, &b""[..])
            } else if let Some((len, next)) = find_cut(&rest[..WINDOW_BYTES]) {
                (len, next, &b"]"[..])
            } else {
                return false;
            };
            let Some(index) = self.fast.index(b"[", &rest[..len], after) else { return false };
            // The brackets around the records are no tokens of theirs. The closing one of the last
            // window is the text's own, and where its tokens end.
            let [_, inner @ .., last] = index else { return false };
            let end = at + (*last as usize).saturating_sub(1);
            // Positions in the piece are one more than in `rest`, for the bracket in front.
            let tokens = Indexed::new(inner, at.wrapping_sub(1), end);
            if walk(job, end, tokens, sink, &mut self.scratch).elements().is_err() {
                return false;
            }
            if cut == 0 {
                return true;
            }
            at += cut;
        }
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

/// Where the last record of a window ends, and where the one after it starts.
fn find_cut(window: &[u8]) -> Option<(usize, usize)> {
    let prefix = window.get(..PREFIX_BYTES)?;
    let next = memmem::rfind(&window[PREFIX_BYTES..], prefix)? + PREFIX_BYTES;
    let before = window[..next].iter().rposition(|b| !is_blank(*b))?;
    (window[before] == b',').then_some((before, next))
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
