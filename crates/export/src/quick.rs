//! Finding what a line is made of in one walk over an ordinary event.
//!
//! Ordinary is what nearly every event is: one line, no key twice, no escapes in keys, no broken surrogates. Then what
//! stays of the properties is a few runs of the sender's bytes between the members that go. Everything else is
//! answered with `None` and done the [long way](super::render), which takes no shortcuts.
//!
//! # Invariants
//! * What is found means the same as what the long way finds.
//! * Nothing is allocated once the [`Scratch`] is warm, and nothing recurses.

use crate::{
    quotes::Quotes,
    render::{Known, is_replaced},
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

/// Members that one object may have; more are left to the long way, which hashes them.
const MEMBERS_MAX: usize = 1024;
/// Bits of the filter in front of the list of keys; a multiple of 64.
const FILTER_BITS: u32 = 2048;

/// Memory that is used again for each event.
#[derive(Debug)]
pub(crate) struct Scratch {
    filter: [u64; (FILTER_BITS / 64) as usize],
    keys: Vec<Key>,
}

/// A key's hash, and where it stands.
#[derive(Clone, Copy, Debug)]
struct Key {
    hash: u32,
    start: u32,
    end: u32,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { filter: [0; (FILTER_BITS / 64) as usize], keys: Vec::new() }
    }
}

impl Scratch {
    fn clear(&mut self) {
        self.filter.fill(0);
        self.keys.clear();
    }

    /// Adds a key; `None` if it was there, or they are too many.
    #[inline]
    fn add(&mut self, text: &[u8], key: Range<usize>) -> Option<()> {
        let hash = hash(&text[key.clone()]);
        let bit = hash % FILTER_BITS;
        let word = &mut self.filter[(bit / 64) as usize];
        let seen = *word >> (bit % 64) & 1 != 0;
        *word |= 1 << (bit % 64);
        if seen && self.holds(text, hash, &text[key.clone()]) {
            return None;
        }
        if self.keys.len() == MEMBERS_MAX {
            return None;
        }
        let (start, end) = (u32::try_from(key.start).ok()?, u32::try_from(key.end).ok()?);
        self.keys.push(Key { hash, start, end });
        Some(())
    }

    #[inline(never)]
    fn holds(&self, text: &[u8], hash: u32, key: &[u8]) -> bool {
        let mut known = self.keys.iter();
        known.any(|k| k.hash == hash && &text[k.start as usize..k.end as usize] == key)
    }
}

/// Of a key's length, its beginning and its end: those of one event rarely agree in all three.
#[inline]
fn hash(key: &[u8]) -> u32 {
    let (first, last) = if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
    } else {
        let at = |i: usize| u64::from(key.get(i).copied().unwrap_or(0));
        (at(0) | at(1) << 8 | at(2) << 16, 0)
    };
    let mixed =
        (first ^ last.rotate_left(29)).wrapping_add(key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// Takes an ordinary event apart; `imported` members are members of their own. `None` if it is not ordinary.
pub(crate) fn take_apart<'a>(json: &'a [u8], imported: bool, scratch: &mut Scratch) -> Option<Parts<'a>> {
    let mut walk = Walk { text: json, at: 0, quotes: Quotes::of(json) };
    let mut parts = Parts::default();
    let (mut name, mut properties) = (None, false);
    let mut siblings: [&[u8]; 4] = [&[]; 4];
    walk.skip_spaces();
    walk.expect(b'{')?;
    walk.skip_spaces();
    loop {
        let start = walk.at;
        let key = walk.key()?;
        match &json[key.clone()] {
            b"event" if name.is_none() => name = Some(walk.value()?),
            b"properties" if !properties => {
                scratch.clear();
                walk.properties(imported, scratch, &mut parts)?;
                properties = true;
            }
            b"event" | b"properties" => return None,
            other => {
                let count = parts.siblings.count;
                if siblings[..count].contains(&other) {
                    return None;
                }
                walk.value()?;
                parts.siblings.push(&json[start..walk.at])?;
                siblings[count] = other;
            }
        }
        if !walk.another()? {
            break;
        }
    }
    walk.skip_spaces();
    parts.name = &json[name?];
    (properties && walk.at == json.len() && walk.quotes.next().is_none() && walk.quotes.is_plain())
        .then_some(parts)
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    quotes: Quotes<'a>,
}

impl<'a> Walk<'a> {
    #[inline]
    fn here(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn skip_spaces(&mut self) {
        while self.here() == Some(b' ') {
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.here()? == byte).then(|| self.at += 1)
    }

    /// Behind a member: goes on to the next one, or behind the object's end.
    #[inline]
    fn another(&mut self) -> Option<bool> {
        self.skip_spaces();
        match self.here()? {
            b',' => {
                self.at += 1;
                self.skip_spaces();
                Some(true)
            }
            b'}' => {
                self.at += 1;
                Some(false)
            }
            _ => None,
        }
    }

    /// A string's inside.
    #[inline]
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.quotes.next()?;
        if start != self.at {
            return None;
        }
        let end = self.quotes.next()?;
        self.at = end + 1;
        Some(start + 1..end)
    }

    /// A key without escapes, and the colon behind it.
    #[inline]
    fn key(&mut self) -> Option<Range<usize>> {
        let key = self.string()?;
        if self.quotes.has_escapes() && self.text[key.clone()].contains(&b'\\') {
            return None;
        }
        self.skip_spaces();
        self.expect(b':')?;
        self.skip_spaces();
        Some(key)
    }

    #[inline]
    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        match self.here()? {
            b'"' => {
                self.string()?;
            }
            b'{' | b'[' => self.nested()?,
            _ => self.scalar()?,
        }
        Some(start..self.at)
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.here()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    #[inline]
    fn scalar(&mut self) -> Option<()> {
        let start = self.at;
        // A quote in a scalar is none of the quotes that strings ask for: it shows at the next one.
        while !matches!(self.here(), None | Some(b',' | b'}' | b']' | b' ')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn properties(&mut self, imported: bool, scratch: &mut Scratch, parts: &mut Parts<'a>) -> Option<()> {
        self.expect(b'{')?;
        self.skip_spaces();
        if self.here()? == b'}' {
            self.at += 1;
            return Some(());
        }
        // The run of members that stay: from its first one, to behind its last one.
        let (mut run, mut run_end) = (self.at, self.at);
        loop {
            let key = self.key()?;
            scratch.add(self.text, key.clone())?;
            let value = self.value()?;
            let value = &self.text[value];
            let key = &self.text[key];
            parts.known.look_at(key, value);
            let goes = is_replaced(key, imported);
            let end = self.at;
            let more = self.another()?;
            if goes {
                if run < run_end {
                    parts.kept.push(&self.text[run..run_end])?;
                }
                (run, run_end) = (self.at, self.at);
            } else {
                run_end = end;
            }
            if !more {
                return if run < run_end { parts.kept.push(&self.text[run..run_end]) } else { Some(()) };
            }
        }
    }
}
