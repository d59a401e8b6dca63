//! What can be said of one block by arithmetic on masks, given the last bit of each mask of the block before.
//!
//! No branch depends on the text: 64 bytes cost the same whatever they are. All of it happens in ordinary registers; rows
//! of masks in vector registers would be less work, but a vector that is loaded right after its parts were stored waits
//! for all of them, which costs a short text more than is saved.

use super::simd::{BLOCK_BYTES, Classes};

/// How many blocks are read before they are walked. What is found in 4 KiB of text stays in the first-level cache until
/// it is read again, and a larger chunk gains nothing.
pub(super) const CHUNK_BLOCKS: usize = 64;

/// The masks of one block, all but the first four outside of strings. Bits are the bytes, the first one lowest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Masks {
    /// Those that start or end a string.
    pub(super) quote: u64,
    pub(super) backslash: u64,
    /// From an opening quote up to before the closing one.
    pub(super) string: u64,
    /// The opening quotes of keys.
    pub(super) keys: u64,
    pub(super) blank: u64,
    pub(super) colon: u64,
    pub(super) comma: u64,
    pub(super) bracket: u64,
    /// Where a value starts that is no object and no array.
    starts: u64,
    /// The bytes of a number or literal that it has to be looked at for.
    pub(super) unusual: u64,
    /// The opening brackets.
    pub(super) open: u64,
    /// The brackets behind which another kind of thing is open than before: an object or an array.
    pub(super) flips: u64,
    /// The bytes up to where the whole value ends. What is behind is not looked at.
    pub(super) valid: u64,
}

/// Each bit moved to the next byte, the last one of the block before to the first.
#[inline(always)]
fn shifted(bits: u64, before: u64) -> u64 {
    bits << 1 | before >> (BLOCK_BYTES - 1)
}

/// Moves each bit that stands on a blank to the first byte behind that is none. One that leaves the block is left in the
/// last bit of `ends`.
#[inline(always)]
fn over_blanks(bits: u64, blank: u64, ends: &mut u64) -> u64 {
    // The addition carries the bit through the run of blanks.
    let (sum, over) = bits.overflowing_add(blank);
    *ends |= u64::from(over) << (BLOCK_BYTES - 1);
    sum & !blank
}

/// All ones if the last bit is set, else none.
#[inline(always)]
pub(super) fn spread(bits: u64) -> u64 {
    (bits.cast_signed() >> (BLOCK_BYTES - 1)).cast_unsigned()
}

impl Masks {
    /// Of a block whose bytes are `class`, those in `string` and `quote` being strings. Returns its numbers and literals,
    /// too: `scalar_before` are those of the block before.
    #[inline(always)]
    pub(super) fn new(
        class: &Classes,
        quote: u64,
        string: u64,
        space: u64,
        scalar_before: u64,
    ) -> (Masks, u64) {
        let outside = !(string | quote);
        let (colon, comma, bracket) = (class.colon & outside, class.comma & outside, class.bracket & outside);
        let numbers = Scalars::new(outside & !(colon | comma | bracket | space), scalar_before, class);
        let masks = Masks {
            quote,
            backslash: class.backslash,
            string,
            keys: 0,
            blank: space & outside,
            colon,
            comma,
            bracket,
            starts: quote & string | numbers.starts,
            unusual: numbers.unusual,
            open: 0,
            flips: 0,
            valid: u64::MAX,
        };
        (masks, numbers.all)
    }
}

/// The numbers and literals of a block, and whatever else is there that should not.
struct Scalars {
    all: u64,
    starts: u64,
    unusual: u64,
}

impl Scalars {
    /// Digits, with or without decimals, are checked here if they lie within the block. Of whatever else there is, the
    /// first byte that says so is unusual: most often the first one of all.
    #[inline(always)]
    fn new(all: u64, before: u64, class: &Classes) -> Scalars {
        let behind = shifted(all, before);
        let starts = all & !behind;
        let digits = all & class.digit;
        // Each start is carried through its digits, to what is behind them.
        let ends = starts.wrapping_add(digits) & !digits;
        let points = ends & class.mark & all & !starts;
        let decimals = points << 1 & digits;
        let decimals_end = decimals.wrapping_add(digits) & !digits;
        let unusual = (ends & !points | decimals_end) & all
            // A point wants digits behind it, and a zero in front none.
            | points & !(digits >> 1)
            | (starts & class.mark & digits) << 1 & digits
            // What began in the block before.
            | all & behind & 1;
        Scalars { all, starts, unusual }
    }
}

/// Picks out the tokens of a block: all brackets, what is `unusual`, and the opening quotes of strings that have the
/// length of a name of interest, a second letter of one, and a colon or a blank behind them. Where the end of the block
/// hides that, or nearly, a string is taken to be one.
///
/// A string may end in the next block: each block waits here for that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Select {
    certain: u64,
    /// The opening quotes that have the second letter.
    opening: u64,
    near: u64,
}

/// The longest way from an opening quote to the closing one that is looked at: 11 letters are between them.
const FAR: usize = 12;

impl Select {
    /// Takes a block in, and gives back the tokens of the one before.
    #[inline(always)]
    pub(super) fn next(&mut self, masks: &Masks, class: &Classes, space: u64) -> u64 {
        const LAST: usize = BLOCK_BYTES - 1;
        let behind = (class.colon | space) >> 1 | 1 << LAST;
        let ends = masks.quote & !masks.string & behind;
        let ahead = ends & ((1 << FAR) - 1) != 0;
        let before = self.tokens(if ahead { u64::MAX << (BLOCK_BYTES - FAR) } else { 0 });
        let second = class.letter >> 2 | 3 << (LAST - 1);
        // Names have 4, 5, 7, 8, 10 or 11 letters, so the closing quote is 5, 6, 8, 9, 11 or 12 bytes behind the opening
        // one: here, or at the next byte.
        let either = ends | ends >> 1;
        *self = Select {
            certain: masks.bracket | masks.unusual,
            opening: masks.quote & masks.string & second,
            near: either >> 5 | either >> 8 | either >> 11,
        };
        before
    }

    /// The tokens of the last block of a chunk. Anything may come behind it.
    #[inline(always)]
    pub(super) fn last(&self) -> u64 {
        self.tokens(u64::MAX << (BLOCK_BYTES - FAR))
    }

    #[inline(always)]
    fn tokens(&self, hidden: u64) -> u64 {
        self.certain | self.opening & (self.near | hidden)
    }
}

/// Checks what may follow what, and tells keys from other strings: what one block leaves to the next. Of most, only the
/// last bit is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follow {
    open: u64,
    comma: u64,
    colon: u64,
    key_ends: u64,
    /// All ones within an object, where no array is open in it.
    object: u64,
    /// Within a key: 1.
    in_key: u64,
    /// The bytes that stand where they must not, all blocks taken together: 0 if there are none.
    pub(super) wrong: u64,
    /// The backslashes in keys, likewise.
    pub(super) escaped: u64,
}

impl Follow {
    /// At the start of a value, as behind a colon.
    pub(super) fn new() -> Follow {
        Follow { open: 0, comma: 0, colon: u64::MAX, key_ends: 0, object: 0, in_key: 0, wrong: 0, escaped: 0 }
    }

    /// Was a key begun, and not ended?
    pub(super) fn within_key(&self) -> bool {
        self.in_key != 0
    }

    /// Looks at the next block, and fills in its `keys`. `from_brackets` is each flip spread up to before the next one;
    /// `BLANKS` says whether there may be any.
    #[inline(always)]
    pub(super) fn next<const BLANKS: bool>(&mut self, masks: &mut Masks, from_brackets: u64) {
        let Masks { quote, string, blank, colon, comma, bracket, open, .. } = *masks;
        let mut after_open = shifted(open, self.open);
        let mut after_comma = shifted(comma, self.comma);
        let mut after_colon = shifted(colon, self.colon);
        (self.open, self.comma, self.colon) = (open, comma, colon);
        let mut within = string ^ quote;
        if BLANKS {
            after_open = over_blanks(after_open, blank, &mut self.open);
            after_comma = over_blanks(after_comma, blank, &mut self.comma);
            after_colon = over_blanks(after_colon, blank, &mut self.colon);
            within |= blank;
        }
        // Of what is empty, the closing bracket.
        let empty = after_open & bracket & !open;
        let after_separator = (after_open | after_comma) & !empty;
        // Behind an opening bracket, a comma or a colon a value starts, or a key. Behind anything else none does. That
        // leaves no byte out: those of a string, or of a number, that are not its first are behind what is no such thing,
        // and only those that end strings and those within are no start of anything.
        let starts = masks.starts | open;
        let misplaced = ((after_separator | after_colon) ^ starts) & !within;

        // An opening bracket belongs to what is outside it, a closing one to what is inside.
        let from_brackets = from_brackets ^ self.object;
        self.object = spread(from_brackets);
        let key_places = after_separator & (from_brackets ^ masks.flips);
        let opening = quote & string;
        // The addition carries each key's first bit through the key, to its closing quote.
        let keys = key_places & opening;
        masks.keys = keys;
        let (sum, over) = string.overflowing_add(keys);
        let (sum, over_too) = sum.overflowing_add(self.in_key);
        self.in_key = u64::from(over | over_too);
        self.escaped |= string & !sum & masks.backslash;
        let key_ends = sum & !string;
        let mut after_key = shifted(key_ends, self.key_ends);
        self.key_ends = key_ends;
        if BLANKS {
            after_key = over_blanks(after_key, blank, &mut self.key_ends);
        }
        // In an object, a key must be there; each key has its colon, and each colon its key.
        self.wrong |= (misplaced | key_places & !opening | after_key ^ colon) & masks.valid;
    }
}
