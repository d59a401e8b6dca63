//! Walks the tokens of a text one by one and notes, of each record, the few fields that are looked at. Everything else
//! is stepped over, whatever its depth.
//!
//! The slow way: see [`super::records`] for the one that nearly all text takes.

use super::facts::{Facts, Kind, Value, unescaped};
use super::job::Job;
use super::judge::{judge, judge_other};
use super::names::{self, Name, Names};
use super::scalar::fault;
use super::sink::Sink;
use super::tokens::Tokens;
use crate::ScanError;

/// One walk over one text, or a piece of it.
pub(super) struct Walk<'w, T> {
    pub(super) job: &'w Job<'w>,
    /// The job's text, up to where the tokens end.
    pub(super) text: &'w [u8],
    pub(super) tokens: T,
    pub(super) sink: &'w mut Sink,
    /// For keys and names written with escapes.
    pub(super) scratch: &'w mut Vec<u8>,
}

/// A key as written, without its quotes.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<T: Tokens> Walk<'_, T> {
    /// One value: a record, or an array of them.
    pub(super) fn document(mut self) -> Result<(), ScanError> {
        if self.byte() != b'[' {
            return self.element();
        }
        self.tokens.advance()?;
        while !self.ended() && self.byte() != b']' {
            self.element()?;
            if self.byte() == b',' {
                self.tokens.advance()?;
            }
        }
        self.tokens.advance()
    }

    /// One record, whatever it is.
    fn element(&mut self) -> Result<(), ScanError> {
        let start = self.tokens.at();
        if self.byte() != b'{' {
            let end = self.value()?.end();
            judge_other(self.job, start..end, self.sink);
            return Ok(());
        }
        let mut facts = Facts::default();
        let end =
            if self.job.dialect.holds_events() { self.event(&mut facts)? } else { self.profile(&mut facts)? };
        judge(self.job, start..end, &facts, self.sink, self.scratch);
        Ok(())
    }

    fn event(&mut self, facts: &mut Facts) -> Result<usize, ScanError> {
        self.tokens.advance()?;
        while let Some(key) = self.key()? {
            facts.has_keys = true;
            match self.name(key, &names::EVENT) {
                Some(Name::Properties) => {
                    facts.begin_properties(Kind::of(self.byte()), self.tokens.at());
                    if facts.properties == Kind::Object {
                        self.properties(facts)?;
                    } else {
                        self.value()?;
                    }
                }
                Some(Name::Field(slot)) => facts.set(slot, self.value()?),
                _ => {
                    self.value()?;
                }
            }
        }
        self.close()
    }

    fn properties(&mut self, facts: &mut Facts) -> Result<(), ScanError> {
        let strict = self.job.dialect.is_strict();
        self.tokens.advance()?;
        while let Some(key) = self.key()? {
            let value = if strict { self.checked_property(key, facts)? } else { self.value()? };
            if let Some(Name::Field(slot)) = self.name(key, &names::PROPERTIES) {
                facts.set(slot, value);
            }
        }
        self.close()?;
        Ok(())
    }

    fn profile(&mut self, facts: &mut Facts) -> Result<usize, ScanError> {
        self.tokens.advance()?;
        while let Some(key) = self.key()? {
            facts.has_keys = true;
            let value = self.value()?;
            match self.name(key, &names::PROFILE) {
                Some(Name::Field(slot)) => facts.set(slot, value),
                Some(Name::Operation(which)) => facts.operations[usize::from(which)] = value.kind,
                _ => {}
            }
        }
        self.close()
    }

    /// The next key of the object that is open, standing on its value then; `None` on its closing brace.
    pub(super) fn key(&mut self) -> Result<Option<Key>, ScanError> {
        if self.byte() == b',' {
            self.tokens.advance()?;
        }
        match self.byte() {
            b'}' => return Ok(None),
            b'"' => {}
            _ => return Err(self.cut_short()),
        }
        let start = self.tokens.at() + 1;
        self.tokens.advance()?;
        let end = self.end_of_scalar(start) - 1;
        self.tokens.advance()?;
        Ok(Some(Key { start, end: end.max(start) }))
    }

    /// Which of the names a key is, escapes resolved.
    fn name(&mut self, key: Key, names: &Names) -> Option<Name> {
        names.named(unescaped(&self.text[key.start..key.end], self.scratch))
    }

    /// Steps over the closing brace; returns the place after it.
    fn close(&mut self) -> Result<usize, ScanError> {
        let end = self.tokens.at() + 1;
        self.tokens.advance()?;
        Ok(end)
    }

    /// Steps over the value under the current token.
    pub(super) fn value(&mut self) -> Result<Value, ScanError> {
        let start = self.tokens.at();
        let kind = Kind::of(self.byte());
        let end = if matches!(kind, Kind::Object | Kind::Array) {
            self.step_over(|_| {})?
        } else {
            self.tokens.advance()?;
            self.end_of_scalar(start)
        };
        let escaped = kind == Kind::String && memchr::memchr(b'\\', &self.text[start..end]).is_some();
        Ok(Value::new(kind, start, end, escaped))
    }

    /// Steps over the object or array under the current token, showing every token inside it, and its
    /// closing one, to `see`.
    pub(super) fn step_over(&mut self, mut see: impl FnMut(u8)) -> Result<usize, ScanError> {
        let mut depth = 1u32;
        while depth > 0 {
            self.tokens.advance()?;
            let byte = self.byte();
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                0 if self.ended() => return Err(self.cut_short()),
                _ => {}
            }
            see(byte);
        }
        self.close()
    }

    /// Where the string, number or literal that starts at `start` ends, standing on the token after it.
    fn end_of_scalar(&self, start: usize) -> usize {
        let mut end = self.tokens.at();
        while end > start && matches!(self.text[end - 1], b' ' | b'\t' | b'\r' | b'\n') {
            end -= 1;
        }
        end
    }

    /// The current token's byte; 0 where they end.
    #[inline]
    pub(super) fn byte(&self) -> u8 {
        self.text.get(self.tokens.at()).copied().unwrap_or(0)
    }

    fn ended(&self) -> bool {
        self.tokens.at() >= self.text.len()
    }

    /// Validated text never comes here; a walk that goes astray ends here instead of not at all.
    fn cut_short(&self) -> ScanError {
        fault("the text ends too early", self.tokens.at())
    }
}
