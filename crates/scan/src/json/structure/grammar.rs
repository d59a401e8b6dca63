//! The grammar of JSON, checked for 64 bytes at a time.
//!
//! What may follow what depends on two neighbouring tokens and on whether an object or an array is open. Both are masks
//! here ([`super::masks`]), so that a token costs nothing by itself.
//!
//! | after | comes |
//! |---|---|
//! | `,` or `{` in an object | a key; after `{` also `}` |
//! | a key | `:` |
//! | `:`; `,` or `[` in an array | a value; after `[` also `]` |
//! | a value | `,` or the end of what is open |
//!
//! A chunk is read in four passes over its blocks. Which bytes are in strings follows from each block to the next, and so
//! does what is open ([`Grammar::classify`], [`Grammar::nest`]); whether each byte stands where it may does not, and is
//! computed for several blocks at once ([`Masks::check`]); then keys are told from other strings, and the places written
//! down ([`Grammar::places`]).
//!
//! # Invariants
//! * What is passed over without complaint is JSON, save for numbers and literals: their first bytes are in the index,
//!   and the walk reads each.
//! * Escapes, control characters and UTF-8 in strings are checked here. Whatever else is wrong shows as a scalar that
//!   is none.
//! * No recursion: what is open is a stack of bits.

use super::index::{Chunk, Index};
use super::masks::{CHUNK_BLOCKS, Masks, spread};
use super::simd::{BLOCK_BYTES, Block, Simd};
use crate::{DEPTH_MAX, utf8};

/// How far a text was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A whole chunk is in the index, and there is more.
    Chunk,
    /// The rest of the value is in the index.
    Done,
    /// The text is not valid.
    Wrong,
}

/// What one chunk leaves to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grammar {
    /// Where the next block starts.
    at: usize,
    /// All ones within a string.
    in_string: u64,
    /// The next byte is escaped: 1.
    escaped: u64,
    /// All ones from a key's opening quote up to its colon.
    in_key: u64,
    /// One bit for each open object (1) or array (0), the innermost lowest.
    open: u128,
    depth: usize,
    depth_max: usize,
    /// Where bytes begin of which is not yet known whether they are UTF-8; `usize::MAX` if there are none.
    unchecked: usize,
}

const _: () = assert!(DEPTH_MAX <= 128, "one bit of a u128 for each level");

impl Grammar {
    /// For the value that starts at `start`, which must be an object or an array.
    pub(super) fn new(start: usize, depth_max: usize) -> Grammar {
        Grammar {
            at: start,
            in_string: 0,
            escaped: 0,
            in_key: 0,
            open: 0,
            depth: 0,
            depth_max: depth_max.min(DEPTH_MAX),
            unchecked: usize::MAX,
        }
    }

    /// Reads the next chunk of `text` into `index`.
    #[inline(always)]
    pub(super) fn chunk<S: Simd>(&mut self, simd: S, text: &[u8], index: &mut Index) -> Progress {
        let start = self.at;
        let (masks, mut chunk) = index.begin(start);
        let Some(classified) = self.classify(simd, text, masks) else { return Progress::Wrong };
        let Some(nested) = self.nest(text, start, classified, masks) else { return Progress::Wrong };
        let (blocks, end) = nested;
        if end.is_none() && blocks < CHUNK_BLOCKS {
            // The text ends before the value does.
            return Progress::Wrong;
        }
        let wrong = masks.check(blocks) | self.places(simd, start, blocks, masks, &mut chunk);
        chunk.end(blocks, self.in_key & self.in_string != 0);
        match end {
            _ if wrong != 0 => Progress::Wrong,
            None => Progress::Chunk,
            Some(end) if blank(&text[end..]) && self.utf8(text, end) => Progress::Done,
            Some(_) => Progress::Wrong,
        }
    }

    /// Tells the bytes of each block apart, and which are in strings. Returns how many blocks there are, or `None` if the
    /// strings are not valid.
    #[inline(always)]
    fn classify<S: Simd>(&mut self, simd: S, text: &[u8], masks: &mut Masks) -> Option<usize> {
        let mut last = [b' '; BLOCK_BYTES];
        let (mut in_string, mut carried, mut at) = (self.in_string, self.escaped, self.at);
        let mut blocks = 0;
        while blocks < CHUNK_BLOCKS {
            let rest = text.get(at..).unwrap_or_default();
            let block = match rest.first_chunk() {
                Some(block) => block,
                None if rest.is_empty() => break,
                None => {
                    last[..rest.len()].copy_from_slice(rest);
                    &last
                }
            };
            let class = simd.classify(block);
            let (mut quote, mut space, mut escaped) = (class.quote, class.space, 0);
            if class.backslash | carried != 0 {
                (escaped, carried) = escapes(class.backslash, carried);
                quote &= !escaped;
            }
            // From each opening quote up to before the closing one.
            let string = simd.parity(quote) ^ in_string;
            in_string = spread(string);
            if escaped != 0 && !escapes_are_valid(escaped & string, text, at) {
                return None;
            }
            if class.odd != 0 || self.unchecked != usize::MAX {
                space |= self.odd(class.odd, string, block, text, at)?;
            }
            masks.quote[blocks] = quote;
            masks.backslash[blocks] = class.backslash;
            masks.string[blocks] = string;
            masks.space[blocks] = space;
            masks.colon[blocks] = class.colon;
            masks.comma[blocks] = class.comma;
            masks.operator[blocks] = class.operator;
            masks.brackets[blocks] = (class.operator ^ class.colon ^ class.comma) & !(string | quote);
            blocks += 1;
            at += BLOCK_BYTES;
        }
        (self.in_string, self.escaped, self.at) = (in_string, carried, at);
        Some(blocks)
    }

    /// Looks at the bytes that are not printable ASCII; returns the blanks among them. `None` if a string has a control
    /// character, or text that just ended was not UTF-8.
    #[inline(never)]
    fn odd(&mut self, odd: u64, string: u64, block: &Block, text: &[u8], at: usize) -> Option<u64> {
        let (mut rest, mut high, mut blanks) = (odd, 0, 0);
        while rest != 0 {
            let place = rest.trailing_zeros();
            let bit = rest & rest.wrapping_neg();
            rest ^= bit;
            match block[place as usize] {
                0x80.. => high |= bit,
                _ if string & bit != 0 => return None,
                b'\t' | b'\n' | b'\r' => blanks |= bit,
                // Whatever it is, it will be a scalar that is none.
                _ => {}
            }
        }
        if high != 0 {
            self.unchecked = self.unchecked.min(at);
            return Some(blanks);
        }
        self.utf8(text, at).then_some(blanks)
    }

    /// Follows the brackets. Returns how many blocks the value takes of these, and where it ends if it does; `None` if a
    /// bracket closes what is not open, or too many are open.
    #[inline(always)]
    fn nest(
        &mut self,
        text: &[u8],
        start: usize,
        blocks: usize,
        masks: &mut Masks,
    ) -> Option<(usize, Option<usize>)> {
        let mut object = if self.open & 1 == 0 { 0 } else { u64::MAX };
        for block in 0..blocks.min(CHUNK_BLOCKS) {
            masks.object[block] = object;
            masks.open[block] = 0;
            masks.empty[block] = 0;
            let brackets = masks.brackets[block];
            if brackets != 0 {
                let nested = self.nest_block(brackets, text, start + block * BLOCK_BYTES, object)?;
                object = if self.open & 1 == 0 { 0 } else { u64::MAX };
                masks.object[block] = nested.object;
                masks.open[block] = nested.open;
                masks.empty[block] = nested.empty;
                if self.depth == 0 {
                    masks.cut(block, nested.valid);
                    let end = start + block * BLOCK_BYTES + nested.valid.count_ones() as usize;
                    return Some((block + 1, Some(end)));
                }
            }
        }
        Some((blocks, None))
    }

    /// Follows the brackets of the block at `start`, `object` saying what is open there.
    #[inline(always)]
    fn nest_block(&mut self, mut brackets: u64, text: &[u8], start: usize, object: u64) -> Option<Nested> {
        let mut nested = Nested { object, open: 0, empty: 0, valid: u64::MAX };
        while brackets != 0 {
            let place = brackets.trailing_zeros();
            let bit = brackets & brackets.wrapping_neg();
            brackets ^= bit;
            let at = start + place as usize;
            let bracket = *text.get(at)?;
            if bracket & OPENS != 0 {
                if self.depth == self.depth_max {
                    return None;
                }
                self.depth += 1;
                self.open = self.open << 1 | u128::from(bracket & BRACE != 0);
                nested.open |= bit;
            } else {
                if self.depth == 0 || (self.open & 1 != 0) != (bracket & BRACE != 0) {
                    return None;
                }
                self.depth -= 1;
                self.open >>= 1;
                if follows_opening(&text[..at]) {
                    nested.empty |= bit;
                }
            }
            let behind = u64::MAX << place << 1;
            nested.object = if self.open & 1 != 0 { nested.object | behind } else { nested.object & !behind };
            if self.depth == 0 {
                nested.valid = !behind;
                break;
            }
        }
        Some(nested)
    }

    /// Checks that each key has its colon and each colon its key, and writes down the places. Returns the bytes that are
    /// wrong.
    #[inline(always)]
    fn places<S: Simd>(
        &mut self,
        simd: S,
        start: usize,
        blocks: usize,
        masks: &Masks,
        chunk: &mut Chunk<'_>,
    ) -> u64 {
        let (mut in_key, mut wrong, mut escaped) = (self.in_key, 0, 0);
        for block in 0..blocks.min(CHUNK_BLOCKS) {
            // From each key's opening quote up to before the colon is nothing but the one string, and blanks. That no
            // other string follows without a comma is known.
            let key = simd.parity(masks.keys[block] | masks.colon[block]) ^ in_key;
            in_key = spread(key);
            wrong |= key & !(masks.string[block] | masks.quote[block] | masks.space[block]);
            escaped |= key & masks.backslash[block];
            chunk.push(simd, start + block * BLOCK_BYTES, masks.tokens[block]);
        }
        self.in_key = in_key;
        chunk.has_escaped_keys(escaped != 0);
        wrong
    }

    /// Is it UTF-8, from where that was not known up to `end`? Before and at `end` is ASCII: no character is cut.
    fn utf8(&mut self, text: &[u8], end: usize) -> bool {
        let from = std::mem::replace(&mut self.unchecked, usize::MAX);
        from == usize::MAX || utf8::is_valid(&text[from.min(end)..end])
    }
}

/// Which bytes are escaped, every second one of a run of backslashes and what comes after an odd run; and 1 if the next
/// block's first one is. `carried` says so of this block.
#[inline(always)]
fn escapes(backslash: u64, carried: u64) -> (u64, u64) {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let starts = backslash & !carried;
    // Subtracting borrows through each run; whether it began at an odd place decides which of its bits remain.
    let ends = ((starts << 1 | ODD).wrapping_sub(starts)) ^ ODD;
    (ends ^ (backslash | carried), (ends & backslash) >> 63)
}

/// The bit in which `{` and `[` differ from `}` and `]`.
const OPENS: u8 = 0x02;
/// The bit in which `{` and `}` differ from `[` and `]`.
const BRACE: u8 = 0x20;

/// What the brackets of a block say.
struct Nested {
    /// The bytes within an object. An opening bracket belongs to what is outside it, a closing one to what is inside.
    object: u64,
    /// The opening brackets.
    open: u64,
    /// The closing brackets of what is empty.
    empty: u64,
    /// The bytes up to where the whole value ends.
    valid: u64,
}

/// Does the text end with an opening bracket and blanks?
#[inline(always)]
fn follows_opening(text: &[u8]) -> bool {
    matches!(text.iter().rev().find(|&&b| !is_blank(b)), Some(b'{' | b'['))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Is each of these characters one that a backslash may stand before?
fn escapes_are_valid(mut escaped: u64, text: &[u8], start: usize) -> bool {
    while escaped != 0 {
        let at = start + escaped.trailing_zeros() as usize;
        escaped &= escaped - 1;
        match text.get(at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
            Some(b'u')
                if text
                    .get(at + 1..at + 5)
                    .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) => {}
            _ => return false,
        }
    }
    true
}

fn blank(text: &[u8]) -> bool {
    text.iter().all(|&b| is_blank(b))
}
