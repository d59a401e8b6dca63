//! The grammar of JSON, checked for 64 bytes and 64 tokens at a time.
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
//! A chunk is read in four passes. The first one finds the strings and checks what is in them ([`Grammar::strings`]), the
//! second one tells the other bytes apart and writes down what is to be looked at one by one, and the tokens
//! ([`Grammar::tokens`]): from there on each token is one byte ([`super::skeleton`]), and so are neighbours in the grammar
//! neighbours in a mask. Of those, the brackets say what is open where ([`Grammar::nest`]); the last pass checks whether
//! each token stands where it may ([`Grammar::follow`]).
//!
//! # Invariants
//! * What is passed over without complaint is JSON, save for numbers and literals that are not plain digits: an unusual
//!   byte of each is in the index, and the walk reads it.
//! * Escapes, control characters and UTF-8 in strings are checked here. Whatever else is wrong shows as a scalar that
//!   is none.
//! * No recursion: what is open is a stack of bytes.

use super::index::Index;
use super::masks::{CHUNK_BLOCKS, Follow, Select, Tokens, spread};
use super::simd::{BLOCK_BYTES, Block, Classes, Simd};
use super::skeleton::Skeleton;
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

/// The blocks of one chunk.
struct Blocks<'t> {
    whole: &'t [Block],
    /// What comes behind them, filled up with blanks.
    last: &'t Block,
    count: usize,
}

impl Blocks<'_> {
    #[inline(always)]
    fn get(&self, number: usize) -> &Block {
        self.whole.get(number).unwrap_or(self.last)
    }
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
    /// The bracket that closes the whole value has been met.
    closed: bool,
    /// For each level whether an object (1) or an array (0) is open there; the outermost is level 1.
    open: [u8; 256],
    depth: u8,
    depth_max: u8,
    /// Where the character begins that the last chunk ended with, if it is not ASCII; else `usize::MAX`.
    unchecked: usize,
}

const _: () = assert!(DEPTH_MAX < 255, "a level more than allowed is still counted");

impl Grammar {
    pub(super) fn new(depth_max: usize) -> Grammar {
        Grammar {
            at: 0,
            in_string: 0,
            escaped: 0,
            scalar: 0,
            follow: Follow::new(),
            all_keys: false,
            closed: false,
            open: [0; 256],
            depth: 0,
            depth_max: u8::try_from(depth_max.min(DEPTH_MAX)).unwrap_or(u8::MAX),
            unchecked: usize::MAX,
        }
    }

    /// Begins with the value that starts at `start`, which must be an object or an array.
    pub(super) fn begin(&mut self, start: usize, all_keys: bool) {
        (self.at, self.in_string, self.escaped, self.scalar) = (start, 0, 0, 0);
        (self.follow, self.all_keys, self.closed) = (Follow::new(), all_keys, false);
        // What is open at other levels is noted when it is opened.
        (self.depth, self.open[0]) = (0, 0);
        self.unchecked = usize::MAX;
    }

    /// Reads the next chunk of `text` into `index`.
    #[inline(always)]
    pub(super) fn chunk<S: Simd>(&mut self, simd: S, text: &[u8], index: &mut Index) -> Progress {
        index.begin(self.at);
        let before = self.follow;
        let rest = text.get(self.at..).unwrap_or_default();
        let (whole, end) = rest[..rest.len().min(CHUNK_BLOCKS * BLOCK_BYTES)].as_chunks();
        let mut last = [0; BLOCK_BYTES];
        if !end.is_empty() {
            simd.fill_up(end, &mut last);
        }
        let blocks = Blocks { whole, last: &last, count: whole.len() + usize::from(!end.is_empty()) };
        if !self.strings(simd, text, &blocks, index) {
            return Progress::Wrong;
        }
        self.tokens(simd, &blocks, index);
        if !self.nest(simd, &mut index.skeleton) || !self.follow(simd, &mut index.skeleton) {
            return Progress::Wrong;
        }
        index.end(simd, self.all_keys, before.keys, self.in_string != 0);
        if self.at < text.len() {
            Progress::Chunk
        } else if self.closed && self.in_string == 0 {
            Progress::Done
        } else {
            Progress::Wrong
        }
    }

    /// Tells which bytes of each block are in strings. False if those are not valid.
    #[inline(always)]
    fn strings<S: Simd>(&mut self, simd: S, text: &[u8], blocks: &Blocks<'_>, index: &mut Index) -> bool {
        let (mut in_string, mut carried, mut at) = (self.in_string, self.escaped, self.at);
        let (mut first_high, mut high_end) = (usize::MAX, 0);
        for (number, masks) in index.masks[..blocks.count].iter_mut().enumerate() {
            let block = blocks.get(number);
            let odd = simd.classify(block, &mut masks.classes);
            let Classes { quote, letter, .. } = masks.classes;
            let (mut quote, backslash, mut escaped) = (quote & !letter, quote & letter, 0);
            let has_escapes = backslash | carried != 0;
            if has_escapes {
                (escaped, carried) = escapes(backslash, carried);
                quote &= !escaped;
            }
            // From each opening quote up to before the closing one.
            let string = simd.parity(quote) ^ in_string;
            in_string = spread(string);
            if has_escapes {
                escaped &= string;
                if escaped & !simd.escapable(block) != 0 || !unicode_is_valid(escaped, text, at) {
                    return false;
                }
                index.escaped |= 1 << (number % CHUNK_BLOCKS);
            }
            if odd != 0 {
                let high = simd.high(block);
                if high & !string != 0 {
                    return false;
                }
                let control = odd & !high;
                if control != 0 {
                    // Outside of strings there are a few blanks among them.
                    let breaks = simd.breaks(block);
                    if control & (string | !breaks) != 0 {
                        return false;
                    }
                    masks.classes.blank |= breaks;
                }
                if high != 0 {
                    first_high = first_high.min(at);
                    high_end = at + BLOCK_BYTES;
                }
            }
            (masks.quote, masks.backslash, masks.string) = (quote, backslash & string, string);
            at += BLOCK_BYTES;
        }
        (self.in_string, self.escaped) = (in_string, carried);
        self.utf8(text, first_high, high_end, at)
    }

    /// Picks out the tokens of each block.
    #[inline(always)]
    fn tokens<S: Simd>(&mut self, simd: S, blocks: &Blocks<'_>, index: &mut Index) {
        let (mut at, mut scalar, mut select) = (self.at, self.scalar, Select::default());
        let mut places = index.tokens.add();
        let mut gathered = index.skeleton.gather();
        for (number, masks) in index.masks[..blocks.count].iter_mut().enumerate() {
            let (class, quote, string) = (&masks.classes, masks.quote, masks.string);
            let tokens = Tokens::new(class, quote, string, scalar);
            scalar = tokens.scalar;
            let selected = select.next(tokens.certain, class, quote, string);
            places.push(simd, selected, at.wrapping_sub(BLOCK_BYTES));
            let before = gathered.len();
            simd.gather(blocks.get(number), class, tokens.all, &mut gathered);
            (masks.tokens, masks.certain, masks.before) = (tokens.all, tokens.certain, before);
            at += BLOCK_BYTES;
        }
        places.push(simd, select.last(), at.wrapping_sub(BLOCK_BYTES));
        let (count, end) = (places.count, gathered.done());
        index.tokens.count = count;
        index.skeleton.end(end);
        index.blocks = blocks.count;
        (self.scalar, self.at) = (scalar, at);
    }

    /// Follows the brackets of the chunk. False if one closes what is not open, too many are open, or there is anything
    /// behind the bracket that closes the value.
    ///
    /// Which bracket comes next is hard to guess: there is one branch, and that is taken once.
    #[inline(always)]
    fn nest<S: Simd>(&mut self, simd: S, skeleton: &mut Skeleton) -> bool {
        skeleton.classify(simd);
        let end = skeleton.len();
        if self.closed {
            return end == skeleton.left_over();
        }
        let (brackets, words) = skeleton.nesting();
        let (mut depth, mut deepest, mut mismatched) = (self.depth, self.depth, 0);
        for &at in brackets {
            let at = at as usize;
            let (word, place) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
            let Some(word) = words.get_mut(word) else { return false };
            let bit = |bits: u64| u8::from(bits >> place & 1 != 0);
            let (opens, object) = (bit(word.open), bit(word.object));
            let (outer, level) = (depth, depth.wrapping_add(opens));
            // Nothing but what was opened there is closed.
            mismatched |= (opens ^ 1) & (self.open[usize::from(level)] ^ object);
            self.open[usize::from(level)] = object;
            depth = level.wrapping_add(opens).wrapping_sub(1);
            deepest = deepest.max(depth);
            let flips = self.open[usize::from(outer)] ^ self.open[usize::from(depth)];
            word.flips |= u64::from(flips) << place;
            if depth == 0 {
                self.closed = true;
                if at + 1 != end {
                    return false;
                }
            }
        }
        self.depth = depth;
        mismatched == 0 && deepest <= self.depth_max
    }

    /// Checks what follows what. The tokens of a word that is not full are looked at again with the next chunk.
    #[inline(always)]
    fn follow<S: Simd>(&mut self, simd: S, skeleton: &mut Skeleton) -> bool {
        let (mut follow, mut wrong) = (self.follow, 0);
        for word in skeleton.words() {
            let from_brackets = simd.parity(word.flips);
            let mut next = follow;
            wrong |= next.next(word, from_brackets);
            self.follow = follow;
            follow = next;
        }
        if skeleton.len().is_multiple_of(BLOCK_BYTES) {
            self.follow = follow;
        }
        wrong == 0
    }

    /// Is the chunk that ends at `end` UTF-8? Blocks with bytes above 0x7f are from `first` to before `last`. A character
    /// at the end, which may be cut there, is left to the next chunk.
    #[inline(always)]
    fn utf8(&mut self, text: &[u8], first: usize, last: usize, end: usize) -> bool {
        let from = first.min(std::mem::replace(&mut self.unchecked, usize::MAX));
        from == usize::MAX || self.range_is_utf8(text, from, last.max(self.at), end)
    }

    #[inline(never)]
    fn range_is_utf8(&mut self, text: &[u8], from: usize, last: usize, end: usize) -> bool {
        const CHARACTER_BYTES_MAX: usize = 4;
        let mut to = if last < end { last } else { end.min(text.len()) };
        // What is behind the whole blocks without such bytes is ASCII, and so is what is behind the text: strings end there.
        if last >= end && end < text.len() {
            let cut = text[from..to]
                .iter()
                .rev()
                .take(CHARACTER_BYTES_MAX - 1)
                .take_while(|b| is_continuation(**b));
            let lead = to.saturating_sub(cut.count() + 1);
            if lead >= from && text[lead] >= 0xc0 {
                to = lead;
                self.unchecked = lead;
            }
        }
        utf8::is_valid(&text[from..to])
    }
}

/// Is this byte within a character, and not its first?
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
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

/// Do four hexadecimal digits follow each `u` among these escaped characters?
#[inline(always)]
fn unicode_is_valid(mut escaped: u64, text: &[u8], start: usize) -> bool {
    while escaped != 0 {
        let at = start + escaped.trailing_zeros() as usize;
        escaped &= escaped - 1;
        if text.get(at) == Some(&b'u')
            && !text.get(at + 1..at + 5).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        {
            return false;
        }
    }
    true
}
