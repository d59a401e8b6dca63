//! Finding what a line is made of in one walk over the structure of an ordinary event.
//!
//! Ordinary is what nearly every event is: one line, no key twice, no escapes in keys, no broken surrogates. Then what
//! stays of the properties is a few runs of the sender's bytes between the members that go. Everything else is
//! answered with `None` and done the [long way](super::render), which takes no shortcuts.
//!
//! Events were checked when they were stored, so values are not checked again: they are what stands between a colon
//! and the comma behind it. Keys are told by the [events before](super::keys).
//!
//! # Invariants
//! * Of valid JSON, what is found means the same as what the long way finds. Of other bytes it is some line or none.
//! * Nothing is allocated once the [`Scratch`] is warm, and nothing recurses.

use crate::{
    keys::{Keys, Place, Role, plain_key},
    render::Known,
    tokens::Tokens,
};
use std::ops::Range;

/// An event's parts, each the sender's bytes.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    /// The value of `event`, quotes and all.
    pub(crate) name: &'a [u8],
    pub(crate) known: Known<'a>,
    /// Properties that stay: members with the commas between them, without one around them.
    pub(crate) kept: Runs<'a, 8>,
    /// What stands beside `event` and `properties`, likewise.
    pub(crate) siblings: Runs<'a, 4>,
}

/// A few runs of bytes.
#[derive(Debug)]
pub(crate) struct Runs<'a, const N: usize> {
    runs: [&'a [u8]; N],
    count: usize,
}

impl<const N: usize> Default for Runs<'_, N> {
    fn default() -> Self {
        Runs { runs: [&[]; N], count: 0 }
    }
}

impl<'a, const N: usize> Runs<'a, N> {
    fn push(&mut self, run: &'a [u8]) -> Option<()> {
        *self.runs.get_mut(self.count)? = run;
        self.count += 1;
        Some(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.runs[..self.count].iter().copied()
    }
}

/// Memory that is used again for each event.
#[derive(Debug)]
pub(crate) struct Scratch {
    tokens: Tokens,
    keys: Keys,
    /// Of the last event: where the value of each property asked for stands, with the spaces around it.
    asked: Vec<Option<Range<usize>>>,
}

impl Scratch {
    /// For whoever asks for these properties, by place among them.
    pub(crate) fn asking(asked: Vec<Option<Box<[u8]>>>) -> Scratch {
        Scratch { tokens: Tokens::default(), asked: vec![None; asked.len()], keys: Keys::asking(asked) }
    }

    /// The value that a property asked for has in the event last taken apart.
    pub(crate) fn value<'a>(&self, json: &'a [u8], place: usize) -> Option<&'a [u8]> {
        json.get(self.asked.get(place)?.clone()?).map(trimmed)
    }
}

/// Takes an ordinary event apart; `imported` members are members of their own. `None` if it is not ordinary.
pub(crate) fn take_apart<'a>(json: &'a [u8], imported: bool, scratch: &mut Scratch) -> Option<Parts<'a>> {
    let Scratch { tokens, keys, asked } = scratch;
    let tokens = tokens.find(json)?;
    let found = walk(json, tokens, imported, keys, asked);
    if found.is_none() && keys.forget_if_full() {
        return walk(json, tokens, imported, keys, asked);
    }
    found
}

fn walk<'a>(
    json: &'a [u8],
    tokens: &[u32],
    imported: bool,
    keys: &mut Keys,
    asked: &mut [Option<Range<usize>>],
) -> Option<Parts<'a>> {
    asked.fill(None);
    let mut walk = Walk { text: json, tokens };
    let mut parts = Parts::default();
    let (mut name, mut properties) = (None, false);
    let mut siblings: [&[u8]; 4] = [&[]; 4];
    let (open, b'{') = walk.token()? else { return None };
    let mut at = open + 1;
    let end = loop {
        let start = walk.skip_spaces(at);
        let key = plain_key(json, start)?;
        let mut behind = walk.skip_colon(key.end + 1)?;
        let key = &json[key];
        if key == b"properties" {
            behind = walk.properties(behind, imported, keys, asked, &mut parts)?;
        }
        let (end, more) = walk.member_end()?;
        let value = trimmed(&json[behind..end]);
        match key {
            b"event" if name.is_none() => name = Some(value),
            b"properties" if !properties && value.is_empty() => properties = true,
            b"event" | b"properties" => return None,
            other => {
                let count = parts.siblings.count;
                if siblings[..count].contains(&other) {
                    return None;
                }
                parts.siblings.push(trimmed(&json[start..end]))?;
                siblings[count] = other;
            }
        }
        if !more {
            break end;
        }
        at = end + 1;
    };
    parts.name = name?;
    let alone = trimmed(&json[..open]).is_empty() && trimmed(&json[end + 1..]).is_empty();
    (properties && alone && walk.tokens.is_empty()).then_some(parts)
}

/// Without the spaces around it.
#[inline]
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

struct Walk<'a, 't> {
    text: &'a [u8],
    /// The places of those that are still ahead.
    tokens: &'t [u32],
}

impl<'a> Walk<'a, '_> {
    /// The next token, and where it stands.
    #[inline]
    fn token(&mut self) -> Option<(usize, u8)> {
        let (&place, ahead) = self.tokens.split_first()?;
        self.tokens = ahead;
        Some((place as usize, *self.text.get(place as usize)?))
    }

    #[inline]
    fn skip_spaces(&self, mut at: usize) -> usize {
        while self.text.get(at) == Some(&b' ') {
            at += 1;
        }
        at
    }

    /// From behind a key to behind its colon.
    #[inline]
    fn skip_colon(&self, at: usize) -> Option<usize> {
        let at = self.skip_spaces(at);
        (self.text.get(at) == Some(&b':')).then_some(at + 1)
    }

    /// Behind a key: where the member ends, and whether another one follows.
    #[inline]
    fn member_end(&mut self) -> Option<(usize, bool)> {
        let (mut end, mut token) = self.token()?;
        if token == b'{' || token == b'[' {
            self.close()?;
            (end, token) = self.token()?;
        }
        match token {
            b',' => Some((end, true)),
            b'}' => Some((end, false)),
            _ => None,
        }
    }

    /// Goes on behind the bracket that closes the one just met.
    fn close(&mut self) -> Option<()> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.token()?.1 {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        Some(())
    }

    /// The object that begins at `at`, or behind spaces; returns the place behind it.
    fn properties(
        &mut self,
        at: usize,
        imported: bool,
        keys: &mut Keys,
        asked: &mut [Option<Range<usize>>],
        parts: &mut Parts<'a>,
    ) -> Option<usize> {
        let (open, b'{') = self.token()? else { return None };
        let first = self.skip_spaces(open + 1);
        if self.skip_spaces(at) != open {
            return None;
        }
        if self.text.get(first) == Some(&b'}') {
            self.token()?;
            return Some(first + 1);
        }
        // Where the next member begins, and the first one of a run of members that stay.
        let (mut at, mut run) = (open + 1, open + 1);
        let mut place = Place::START;
        loop {
            let start = self.skip_spaces(at);
            let (next, len, role) = keys.follow(place, self.text, start)?;
            place = next;
            let behind = self.skip_colon(start + len)?;
            let (end, more) = self.member_end()?;
            if role != Role::Stays {
                if let Some(slot) = keys.asked(place).and_then(|nth| asked.get_mut(nth)) {
                    *slot = Some(behind..end);
                }
                let key = &self.text[start + 1..start + len - 1];
                parts.known.look_at(key, trimmed(&self.text[behind..end]));
                if role == Role::Goes || (role == Role::GoesIfImported && imported) {
                    if run < at {
                        // Without the comma in front of this member.
                        parts.kept.push(&self.text[run..at - 1])?;
                    }
                    run = end + 1;
                }
            }
            at = end + 1;
            if !more {
                return if run < end { parts.kept.push(&self.text[run..end]).map(|()| at) } else { Some(at) };
            }
        }
    }
}
