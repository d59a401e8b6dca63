//! What can be said of 64 bytes, or of 64 tokens, by arithmetic on masks, given the last bit of each mask before.
//!
//! No branch depends on the text: 64 bytes cost the same whatever they are. All of it happens in ordinary registers; rows
//! of masks in vector registers would be less work, but a vector that is loaded right after its parts were stored waits
//! for all of them, which costs a short text more than is saved.

use super::simd::{BLOCK_BYTES, Classes};
use super::skeleton::Word;

/// How many blocks are read before they are walked. What is found in 4 KiB of text stays in the first-level cache until
/// it is read again, and a larger chunk gains nothing.
pub(super) const CHUNK_BLOCKS: usize = 64;

/// What is kept of one block. Bits are the bytes, the first one lowest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Masks {
    /// Those that start or end a string.
    pub(super) quote: u64,
    /// Those in strings.
    pub(super) backslash: u64,
    /// From an opening quote up to before the closing one.
    pub(super) string: u64,
    /// The first byte of each token.
    pub(super) tokens: u64,
    /// The brackets, and the bytes of a number or literal that it has to be looked at for.
    pub(super) certain: u64,
    /// How many tokens the skeleton has before those of the block.
    pub(super) before: usize,
    pub(super) classes: Classes,
}

/// Each bit moved to the next one, the last one of the mask before to the first.
#[inline(always)]
fn shifted(bits: u64, before: u64) -> u64 {
    bits << 1 | before >> (BLOCK_BYTES - 1)
}

/// All ones if the last bit is set, else none.
#[inline(always)]
pub(super) fn spread(bits: u64) -> u64 {
    (bits.cast_signed() >> (BLOCK_BYTES - 1)).cast_unsigned()
}

/// The tokens of a block, as far as it says itself.
pub(super) struct Tokens {
    pub(super) all: u64,
    pub(super) certain: u64,
    /// The bytes of numbers and literals.
    pub(super) scalar: u64,
}

impl Tokens {
    /// Of a block whose bytes are `class`, those in `string` and `quote` being strings. `scalar_before` are the numbers
    /// and literals of the block before.
    #[inline(always)]
    pub(super) fn new(class: &Classes, quote: u64, string: u64, scalar_before: u64) -> Tokens {
        let strings = string | quote;
        let marks = class.kinds.bracket | class.kinds.opening | class.kinds.object;
        let numbers = Scalars::new(!(strings | marks | class.blank), scalar_before, class);
        Tokens {
            all: marks & !strings | quote & string | numbers.starts,
            certain: class.kinds.bracket & !strings | numbers.unusual,
            scalar: numbers.all,
        }
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

/// Picks out what of a block is to be looked at: all brackets, what is unusual, and the opening quotes of strings that have
/// the length of a name of interest, a second letter of one, and a colon or a blank behind them. Where the end of the
/// block hides that, or nearly, a string is taken to be one.
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
    /// Takes a block in, and gives back what is to be looked at of the one before.
    #[inline(always)]
    pub(super) fn next(&mut self, certain: u64, class: &Classes, quote: u64, string: u64) -> u64 {
        const LAST: usize = BLOCK_BYTES - 1;
        let behind = (class.kinds.opening | class.blank) >> 1 | 1 << LAST;
        let ends = quote & !string & behind;
        let ahead = ends & ((1 << FAR) - 1) != 0;
        let before = self.selected(if ahead { u64::MAX << (BLOCK_BYTES - FAR) } else { 0 });
        let second = class.letter >> 2 | 3 << (LAST - 1);
        // Names have 4, 5, 7, 8, 10 or 11 letters, so the closing quote is 5, 6, 8, 9, 11 or 12 bytes behind the opening
        // one: here, or at the next byte.
        let either = ends | ends >> 1;
        *self = Select {
            certain,
            opening: quote & string & second,
            near: either >> 5 | either >> 8 | either >> 11,
        };
        before
    }

    /// The same of the last block of a chunk. Anything may come behind it.
    #[inline(always)]
    pub(super) fn last(&self) -> u64 {
        self.selected(u64::MAX << (BLOCK_BYTES - FAR))
    }

    #[inline(always)]
    fn selected(&self, hidden: u64) -> u64 {
        self.certain | self.opening & (self.near | hidden)
    }
}

/// Checks what may follow what, and tells keys from other strings: what 64 tokens leave to the next. Only the last bit is
/// looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follow {
    open: u64,
    comma: u64,
    colon: u64,
    pub(super) keys: u64,
    /// All ones within an object, where no array is open in it.
    object: u64,
}

impl Follow {
    /// At the start of a value, as behind a colon.
    pub(super) fn new() -> Follow {
        Follow { open: 0, comma: 0, colon: u64::MAX, keys: 0, object: 0 }
    }

    /// Looks at the next tokens, and fills in which are keys. `from_brackets` is each flip spread up to before the next
    /// one. Returns the tokens that stand where they must not.
    #[inline(always)]
    pub(super) fn next(&mut self, word: &mut Word, from_brackets: u64) -> u64 {
        let Word { quote, colon, comma, bracket, open, flips, valid, .. } = *word;
        let (after_open, after_comma) = (shifted(open, self.open), shifted(comma, self.comma));
        let after_colon = shifted(colon, self.colon);
        // Of what is empty, the closing bracket.
        let empty = after_open & bracket & !open;
        let after_separator = (after_open | after_comma) & !empty;
        // Behind an opening bracket, a comma or a colon a value starts, or a key. Behind anything else none does.
        let starts = !(colon | comma | bracket) | open;
        let misplaced = (after_separator | after_colon) ^ starts;

        // An opening bracket belongs to what is outside it, a closing one to what is inside.
        let from_brackets = from_brackets ^ self.object;
        let key_places = after_separator & (from_brackets ^ flips);
        let keys = key_places & quote;
        // In an object, a key must be there; each key has its colon, and each colon its key.
        let wrong = misplaced | key_places & !quote | shifted(keys, self.keys) ^ colon;
        word.keys = keys;
        *self = Follow { open, comma, colon, keys, object: spread(from_brackets) };
        wrong & valid
    }
}
