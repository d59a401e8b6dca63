//! Measures an event's properties again, equal keys taken for one.
//!
//! The strict limits are counted while the tokens go by, where a key that is written twice counts twice.
//! Only the last of equal keys counts, though: so what is found to be too much is measured here once more,
//! exactly, before it is refused.

use super::facts::unescaped;
use super::job::Job;
use super::scalar::Scalar;
use super::sink::Sink;
use super::strict::{ENTRIES_MAX, NESTED_OBJECTS_MAX};
use super::tokens::Tokens;
use super::walk::Walk;
use crate::{Reason, ScanError};
use std::collections::HashMap;

/// What an event's properties come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Distinct {
    /// How many there are.
    pub(super) count: usize,
    /// The first one over a limit, with the place of its key.
    pub(super) over: Option<(Reason, (usize, usize))>,
}

/// Measures the object of properties that starts at `start`.
pub(super) fn measure(job: &Job<'_>, start: usize) -> Result<Distinct, ScanError> {
    let tokens = Scalar::new(job.text, start, job.limits.depth_max)?;
    let (mut sink, mut scratch) = (Sink::default(), Vec::new());
    Walk { job, text: job.text, tokens, sink: &mut sink, scratch: &mut scratch }.distinct()
}

/// A value, as far as limits go.
#[derive(Clone, Copy, Default)]
struct Size {
    reason: Option<Reason>,
    /// Levels of objects; arrays do not count.
    levels: u32,
    /// Where its key is.
    key: (usize, usize),
}

/// An object or array whose end has not come yet.
#[derive(Default)]
struct Open {
    is_object: bool,
    key: Vec<u8>,
    key_place: (usize, usize),
    members: HashMap<Vec<u8>, Size>,
    elements: usize,
    levels: u32,
}

impl Open {
    fn take(&mut self, value: Size) {
        if self.is_object {
            let size = Size { key: self.key_place, ..value };
            self.members.insert(std::mem::take(&mut self.key), size);
        } else {
            self.elements += 1;
            self.levels = self.levels.max(value.levels);
        }
    }

    fn size(&self) -> Size {
        if !self.is_object {
            let reason = (self.elements > ENTRIES_MAX).then_some(Reason::StrictArrayTooLong);
            return Size { reason, levels: self.levels, ..Size::default() };
        }
        let levels = 1 + self.members.values().map(|size| size.levels).max().unwrap_or(0);
        let reason = if self.members.len() > ENTRIES_MAX {
            Some(Reason::StrictTooManyKeys)
        } else {
            (levels > NESTED_OBJECTS_MAX).then_some(Reason::StrictTooDeep)
        };
        Size { reason, levels, ..Size::default() }
    }

    fn distinct(&self) -> Distinct {
        let over = self.members.values().filter_map(|size| Some((size.reason?, size.key)));
        Distinct { count: self.members.len(), over: over.min_by_key(|(_, key)| *key) }
    }
}

impl<T: Tokens> Walk<'_, T> {
    /// Of the object under the current token. What is open is a stack of its own: depth costs no calls.
    fn distinct(&mut self) -> Result<Distinct, ScanError> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            // Here stands a value, or the end of what is open.
            let byte = self.byte();
            match (byte, open.last_mut()) {
                (b'{' | b'[', _) => {
                    open.push(Open { is_object: byte == b'{', ..Open::default() });
                    self.tokens.advance()?;
                }
                (b'}' | b']', Some(inner)) => {
                    let size = inner.size();
                    match &mut open[..] {
                        [.., outer, _] => outer.take(size),
                        whole => return Ok(whole.first().map(Open::distinct).unwrap_or_default()),
                    }
                    open.pop();
                    self.tokens.advance()?;
                }
                (_, Some(inner)) => {
                    inner.take(Size::default());
                    self.value()?;
                }
                (_, None) => return Ok(Distinct::default()),
            }
            match open.last_mut() {
                Some(inner) if inner.is_object => {
                    if let Some(key) = self.key()? {
                        let raw = &self.text[key.start..key.end];
                        inner.key = unescaped(raw, self.scratch).to_vec();
                        inner.key_place = (key.start, key.end);
                    }
                }
                _ if self.byte() == b',' => self.tokens.advance()?,
                _ => {}
            }
        }
    }
}
