//! The grammar of JSON, checked for 64 bytes at a time.
//!
//! What may follow what depends on two neighbouring tokens and on whether an object or an array is open. Both are
//! masks here, so that one block takes some fifty instructions whatever is in it: a token costs nothing by itself.
//!
//! | after | comes |
//! |---|---|
//! | `,` or `{` in an object | a key; after `{` also `}` |
//! | a key | `:` |
//! | `:`; `,` or `[` in an array | a value; after `[` also `]` |
//! | a value | `,` or the end of what is open |
//!
//! # Invariants
//! * What is passed over without complaint is JSON, save for numbers and literals: their first bytes are in the index,
//!   and the walk reads each.
//! * Escapes, control characters and UTF-8 in strings are checked here. Whatever else is wrong shows as a scalar that
//!   is none.
//! * No recursion: what is open is a stack of bits.

use super::index::{CHUNK_BLOCKS, Index, Masks};
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

/// What one block leaves to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grammar {
    /// Where the next block starts.
    at: usize,
    /// All ones within a string.
    in_string: u64,
    /// All ones within an object.
    in_object: u64,
    /// The next byte is escaped: 1.
    escaped: u64,
    /// A key has begun and not ended.
    in_key: bool,
    /// The last block's numbers and literals; only its last byte counts.
    scalar: u64,
    /// Where the last block's separators, colons, keys and values end: only the last byte counts, and it is set too if
    /// nothing but blanks followed.
    separator: u64,
    colon: u64,
    key_end: u64,
    value_end: u64,
    /// One bit for each open object (1) or array (0), the innermost lowest.
    open: u128,
    depth: usize,
    depth_max: usize,
    /// Where bytes begin of which is not yet known whether they are UTF-8; `usize::MAX` if there are none.
    unchecked: usize,
}

const _: () = assert!(DEPTH_MAX <= 128, "one bit of a u128 for each level");

/// Each bit moved to the next byte, the last one of the block before to the first.
#[inline(always)]
fn shifted(bits: u64, before: u64) -> u64 {
    bits << 1 | before >> 63
}

/// Moves each bit that stands on a blank to the first byte behind that is none. One that leaves the block is left in the
/// last bit of `ends`.
#[inline(always)]
fn over_blanks(bits: u64, blank: u64, ends: &mut u64) -> u64 {
    // The addition carries the bit through the run of blanks.
    let (sum, over) = bits.overflowing_add(blank);
    *ends |= u64::from(over) << 63;
    sum & !blank
}

/// All ones if the last bit is set, else none.
#[inline(always)]
fn spread(bits: u64) -> u64 {
    (bits.cast_signed() >> 63).cast_unsigned()
}

impl Grammar {
    /// For the value that starts at `start`, which must be an object or an array.
    pub(super) fn new(start: usize, depth_max: usize) -> Grammar {
        Grammar {
            at: start,
            in_string: 0,
            in_object: 0,
            escaped: 0,
            in_key: false,
            scalar: 0,
            separator: 0,
            colon: 0,
            key_end: 0,
            value_end: 0,
            open: 0,
            depth: 0,
            depth_max: depth_max.min(DEPTH_MAX),
            unchecked: usize::MAX,
        }
    }

    /// Reads the next chunk of `text` into `index`.
    #[inline(always)]
    pub(super) fn chunk<S: Simd>(&mut self, simd: S, text: &[u8], index: &mut Index) -> Progress {
        // A copy: what is behind a reference would be written back after each block.
        let mut state = *self;
        let mut chunk = index.begin(state.at);
        let mut found = Found { wrong: 0, escaped_keys: 0, end: 0 };
        let mut last = [b' '; BLOCK_BYTES];
        for number in 0..CHUNK_BLOCKS {
            let rest = text.get(state.at..).unwrap_or_default();
            let block = match rest.first_chunk() {
                Some(block) => block,
                // The value has not ended, so its end is missing.
                None if rest.is_empty() => return Progress::Wrong,
                None => {
                    last[..rest.len()].copy_from_slice(rest);
                    &last
                }
            };
            let Some(masks) = state.block(simd, block, text, &mut found) else { return Progress::Wrong };
            chunk.push(simd, number, state.at, masks);
            state.at += BLOCK_BYTES;
            if state.depth == 0 {
                chunk.end(false, found.escaped_keys != 0);
                let good = found.wrong == 0 && blank(&text[found.end..]) && state.utf8(text, found.end);
                return if good { Progress::Done } else { Progress::Wrong };
            }
        }
        chunk.end(state.in_key, found.escaped_keys != 0);
        *self = state;
        if found.wrong == 0 { Progress::Chunk } else { Progress::Wrong }
    }

    /// Reads one block. `None` if the text is wrong or too deep: what is only misplaced shows in `found`.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, block: &Block, text: &[u8], found: &mut Found) -> Option<Masks> {
        let class = simd.classify(block);
        let (mut quote, mut space) = (class.quote, class.space);
        let mut escaped = 0;
        if class.backslash | self.escaped != 0 {
            escaped = self.escaped(class.backslash);
            quote &= !escaped;
        }
        // From each opening quote up to before the closing one.
        let mut string = simd.parity(quote) ^ self.in_string;
        self.in_string = spread(string);
        if escaped != 0 && !escapes_are_valid(escaped & string, text, self.at) {
            return None;
        }
        if (class.odd != 0 || self.unchecked != usize::MAX)
            && !self.odd(class.odd, string, block, text, &mut space)
        {
            return None;
        }

        let outside = !(string | quote);
        let mut operator = class.operator & outside;
        let mut comma = class.comma & outside;
        let mut colon = class.colon & outside;
        let mut blank = space & outside;
        let mut scalar = outside & !(class.operator | space);
        let mut brackets = operator ^ comma ^ colon;
        let (mut open, mut empty) = (0, 0);
        let mut object = self.in_object;
        if brackets != 0 {
            let nested = self.nest(brackets, block, text, object)?;
            (object, open, empty) = (nested.object, nested.open, nested.empty);
            self.in_object = if self.open & 1 == 0 { 0 } else { u64::MAX };
            if self.depth == 0 {
                // What follows the value is looked at separately.
                for mask in [
                    &mut quote,
                    &mut string,
                    &mut operator,
                    &mut comma,
                    &mut colon,
                    &mut scalar,
                    &mut brackets,
                ] {
                    *mask &= nested.valid;
                }
                blank |= !nested.valid;
                found.end = self.at + nested.valid.count_ones() as usize;
            }
        }

        let (opening, closing) = (quote & string, quote & !string);
        let behind_scalar = shifted(scalar, self.scalar);
        let scalars = scalar & !behind_scalar;
        self.scalar = scalar;
        let separator = comma | open;
        let value_end = closing | brackets & !open;
        let mut after_separator = shifted(separator, self.separator);
        let mut after_colon = shifted(colon, self.colon);
        let mut after_value = shifted(value_end, self.value_end) | behind_scalar & !scalar;
        (self.separator, self.colon, self.value_end) = (separator, colon, value_end);
        if blank != 0 {
            after_separator = over_blanks(after_separator, blank, &mut self.separator);
            after_colon = over_blanks(after_colon, blank, &mut self.colon);
            after_value = over_blanks(after_value, blank, &mut self.value_end);
        }

        let keys = after_separator & object & opening;
        // Added to the bits of its string, the bit of a key's quote is carried to its closing quote, and clears the bits
        // on its way.
        let (sum, over) = string.overflowing_add(keys);
        let (sum, over_more) = sum.overflowing_add(u64::from(self.in_key));
        self.in_key = over | over_more;
        let key_end = sum & !string;
        let mut after_key = shifted(key_end, self.key_end);
        self.key_end = key_end;
        if blank != 0 {
            after_key = over_blanks(after_key, blank, &mut self.key_end);
        }
        found.escaped_keys |= class.backslash & string & !sum;

        // A key's end is the end of a string, as a value's is: only where a colon stands are the two told apart.
        let starts = opening | open | scalars;
        let misplaced = (after_separator | after_colon) & !starts | after_separator & object & !opening;
        found.wrong |= misplaced & !empty | after_key ^ colon | after_value & !(operator ^ open);

        Some(Masks { tokens: brackets | keys | scalars, quotes: quote, backslashes: class.backslash })
    }

    /// Looks at the bytes that are not printable ASCII; adds the blanks among them to `space`. False if a string has a
    /// control character, or text that just ended was not UTF-8.
    #[inline(never)]
    fn odd(&mut self, odd: u64, string: u64, block: &Block, text: &[u8], space: &mut u64) -> bool {
        let (mut rest, mut high) = (odd, 0);
        while rest != 0 {
            let place = rest.trailing_zeros();
            let bit = rest & rest.wrapping_neg();
            rest ^= bit;
            match block[place as usize] {
                0x80.. => high |= bit,
                _ if string & bit != 0 => return false,
                b'\t' | b'\n' | b'\r' => *space |= bit,
                // Whatever it is, it will be a scalar that is none.
                _ => {}
            }
        }
        if high != 0 {
            self.unchecked = self.unchecked.min(self.at);
            return true;
        }
        self.utf8(text, self.at)
    }

    /// Which bytes are escaped: every second one of a run of backslashes, and what comes after an odd run.
    #[inline(always)]
    fn escaped(&mut self, backslash: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let starts = backslash & !self.escaped;
        // Subtracting borrows through each run; whether it began at an odd place decides which of its bits remain.
        let ends = ((starts << 1 | ODD).wrapping_sub(starts)) ^ ODD;
        let escaped = ends ^ (backslash | self.escaped);
        self.escaped = (ends & backslash) >> 63;
        escaped
    }

    /// Follows the brackets of a block, `object` being what is open at its start. `None` if one closes what is not open,
    /// or too many are open.
    #[inline(always)]
    fn nest(&mut self, mut brackets: u64, block: &Block, text: &[u8], object: u64) -> Option<Nested> {
        let mut nested = Nested { object, open: 0, empty: 0, valid: u64::MAX };
        while brackets != 0 {
            let place = brackets.trailing_zeros();
            let bit = brackets & brackets.wrapping_neg();
            brackets ^= bit;
            let bracket = block[place as usize];
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
                if follows_opening(&text[..self.at + place as usize]) {
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

    /// Is it UTF-8, from where that was not known up to `end`? Before and at `end` is ASCII: no character is cut.
    fn utf8(&mut self, text: &[u8], end: usize) -> bool {
        let from = std::mem::replace(&mut self.unchecked, usize::MAX);
        from == usize::MAX || utf8::is_valid(&text[from.min(end)..end])
    }
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

/// What was found in a chunk.
struct Found {
    /// What must not stand where it stands.
    wrong: u64,
    /// Backslashes in keys.
    escaped_keys: u64,
    /// Where the value ends.
    end: usize,
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
