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
//! A chunk is read in three passes. The first one tells the bytes of each block apart and writes down what is to be looked
//! at one by one ([`Grammar::classify`]). Of that, the brackets say what is open where ([`Grammar::nest`]). The last one
//! checks whether each byte stands where it may ([`Grammar::follow`]).
//!
//! # Invariants
//! * What is passed over without complaint is JSON, save for numbers and literals that are not plain digits: an unusual
//!   byte of each is in the index, and the walk reads it.
//! * Escapes, control characters and UTF-8 in strings are checked here. Whatever else is wrong shows as a scalar that
//!   is none.
//! * No recursion: what is open is a stack of bytes.

use super::index::Index;
use super::masks::{CHUNK_BLOCKS, Follow, Masks, Select, spread};
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
    /// The numbers and literals of the last block.
    scalar: u64,
    follow: Follow,
    /// Every key is asked for, not those alone that have the length of a name.
    all_keys: bool,
    /// For each level whether an object (1) or an array (0) is open there; the outermost is level 1.
    open: [u8; 256],
    depth: u8,
    depth_max: u8,
    /// Where bytes begin of which is not yet known whether they are UTF-8; `usize::MAX` if there are none.
    unchecked: usize,
}

const _: () = assert!(DEPTH_MAX < 255, "a level more than allowed is still counted");

impl Grammar {
    /// For the value that starts at `start`, which must be an object or an array.
    pub(super) fn new(start: usize, depth_max: usize, all_keys: bool) -> Grammar {
        Grammar {
            at: start,
            in_string: 0,
            escaped: 0,
            scalar: 0,
            follow: Follow::new(),
            all_keys,
            open: [0; 256],
            depth: 0,
            depth_max: u8::try_from(depth_max.min(DEPTH_MAX)).unwrap_or(u8::MAX),
            unchecked: usize::MAX,
        }
    }

    /// Reads the next chunk of `text` into `index`.
    #[inline(always)]
    pub(super) fn chunk<S: Simd>(&mut self, simd: S, text: &[u8], index: &mut Index) -> Progress {
        let start = self.at;
        index.begin(start);
        let Some(Found { blocks, blanks }) = self.classify(simd, text, index) else { return Progress::Wrong };
        let Some(nested) = self.nest(text, start, index) else { return Progress::Wrong };
        let (blocks, end) = match nested {
            Nested::Open if blocks < CHUNK_BLOCKS => return Progress::Wrong,
            Nested::Open => (blocks, None),
            Nested::Closed { at } => {
                let (block, place) = ((at - start) / BLOCK_BYTES, (at - start) % BLOCK_BYTES);
                index.masks[block % CHUNK_BLOCKS].valid = u64::MAX >> (BLOCK_BYTES - 1 - place);
                index.truncate(at);
                (block + 1, Some(at + 1))
            }
        };
        let masks = &mut index.masks[..blocks.min(CHUNK_BLOCKS)];
        let Follow { wrong, escaped, .. } =
            if blanks { self.follow::<S, true>(simd, masks) } else { self.follow::<S, false>(simd, masks) };
        index.end(blocks, self.all_keys, escaped != 0, self.follow.within_key());
        match end {
            _ if wrong != 0 => Progress::Wrong,
            None => Progress::Chunk,
            Some(end) if blank(&text[end..]) && self.utf8(text, end) => Progress::Done,
            Some(_) => Progress::Wrong,
        }
    }

    /// Tells the bytes of each block apart, and which are in strings; picks out the tokens and the brackets. `None` if the
    /// strings are not valid.
    #[inline(always)]
    fn classify<S: Simd>(&mut self, simd: S, text: &[u8], index: &mut Index) -> Option<Found> {
        let rest = text.get(self.at..).unwrap_or_default();
        let (whole, end) = rest[..rest.len().min(CHUNK_BLOCKS * BLOCK_BYTES)].as_chunks();
        let mut last = [b' '; BLOCK_BYTES];
        last[..end.len()].copy_from_slice(end);
        let blocks = whole.len() + usize::from(!end.is_empty());
        let (mut in_string, mut carried, mut at) = (self.in_string, self.escaped, self.at);
        let (mut scalar, mut blank, mut select) = (self.scalar, 0, Select::default());
        for (block, slot) in index.masks.iter_mut().enumerate().take(blocks) {
            let block = whole.get(block).unwrap_or(&last);
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
                let high = simd.high(block);
                let control = class.odd & !high;
                if control != 0 {
                    space |= control_blanks(control, string, block)?;
                }
                if high != 0 {
                    self.unchecked = self.unchecked.min(at);
                } else if !self.utf8(text, at) {
                    return None;
                }
            }
            let masks;
            (masks, scalar) = Masks::new(&class, quote, string, space, scalar);
            blank |= masks.blank;
            let tokens = select.next(&masks, &class, space);
            index.tokens.push(simd, tokens, at.wrapping_sub(BLOCK_BYTES));
            index.brackets.push(simd, masks.bracket, at);
            *slot = masks;
            at += BLOCK_BYTES;
        }
        index.tokens.push(simd, select.last(), at.wrapping_sub(BLOCK_BYTES));
        (self.in_string, self.escaped, self.scalar, self.at) = (in_string, carried, scalar, at);
        Some(Found { blocks, blanks: blank != 0 })
    }

    /// Follows the brackets of the chunk at `start`. `None` if one closes what is not open, or too many are open.
    ///
    /// Which bracket comes next is hard to guess: there is one branch, and that is taken once.
    #[inline(always)]
    fn nest(&mut self, text: &[u8], start: usize, index: &mut Index) -> Option<Nested> {
        let (brackets, masks) = (index.brackets.all(), &mut index.masks);
        let (mut depth, mut deepest, mut mismatched) = (self.depth, self.depth, 0);
        let mut nested = Nested::Open;
        for &at in brackets {
            let at = at as usize;
            let bracket = *text.get(at)?;
            let (opens, object) = (bracket >> 1 & 1, bracket >> 5 & 1);
            let (outer, level) = (depth, depth.wrapping_add(opens));
            // Nothing but what was opened there is closed.
            mismatched |= (opens ^ 1) & (self.open[usize::from(level)] ^ object);
            self.open[usize::from(level)] = object;
            depth = level.wrapping_add(opens).wrapping_sub(1);
            deepest = deepest.max(depth);
            let flips = self.open[usize::from(outer)] ^ self.open[usize::from(depth)];
            let offset = at.wrapping_sub(start);
            let (block, place) = (offset / BLOCK_BYTES % CHUNK_BLOCKS, offset % BLOCK_BYTES);
            masks[block].open |= u64::from(opens) << place;
            masks[block].flips |= u64::from(flips) << place;
            if depth == 0 {
                nested = Nested::Closed { at };
                break;
            }
        }
        self.depth = depth;
        (mismatched == 0 && deepest <= self.depth_max).then_some(nested)
    }

    /// Checks what follows what.
    #[inline(always)]
    fn follow<S: Simd, const BLANKS: bool>(&mut self, simd: S, masks: &mut [Masks]) -> Follow {
        let mut follow = self.follow;
        follow.escaped = 0;
        for masks in masks {
            let from_brackets = simd.parity(masks.flips);
            follow.next::<BLANKS>(masks, from_brackets);
        }
        self.follow = follow;
        follow
    }

    /// Is it UTF-8, from where that was not known up to `end`? Before and at `end` is ASCII: no character is cut.
    fn utf8(&mut self, text: &[u8], end: usize) -> bool {
        let from = std::mem::replace(&mut self.unchecked, usize::MAX);
        from == usize::MAX || utf8::is_valid(&text[from.min(end)..end])
    }
}

/// The blanks among the control characters in `control`; `None` if one is within a string.
#[cold]
fn control_blanks(mut control: u64, string: u64, block: &Block) -> Option<u64> {
    let mut blanks = 0;
    if control & string != 0 {
        return None;
    }
    while control != 0 {
        let bit = control & control.wrapping_neg();
        // Whatever else it is, it will be a scalar that is none.
        if matches!(block[control.trailing_zeros() as usize], b'\t' | b'\n' | b'\r') {
            blanks |= bit;
        }
        control ^= bit;
    }
    Some(blanks)
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

/// What the brackets of a chunk say.
enum Nested {
    /// The value goes on behind the chunk.
    Open,
    /// It ends with the bracket at this place.
    Closed { at: usize },
}

/// What a chunk has.
struct Found {
    blocks: usize,
    /// There are blanks outside of strings.
    blanks: bool,
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
