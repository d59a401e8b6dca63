//! The masks of one chunk, and what can be said of several blocks at once.
//!
//! Everything here is arithmetic on rows of masks, written so that a compiler turns it into vector instructions: no
//! branch, and nothing that one block has to wait for another for.

use super::simd::BLOCK_BYTES;

/// How many blocks are read before they are walked. What is found in 4 KiB of text stays in the first-level cache until
/// it is read again, and a larger chunk gains nothing.
pub(super) const CHUNK_BLOCKS: usize = 64;
/// How many blocks are looked at together.
const GROUP: usize = 8;

/// One mask for each block.
pub(super) type Row = [u64; CHUNK_BLOCKS];
/// The same, and before them that of the last block of the chunk before.
type Carried = [u64; CHUNK_BLOCKS + 1];

/// See the module. Bits are the bytes of a block, the first one lowest.
#[derive(Clone, Debug)]
pub(super) struct Masks {
    /// Those that start or end a string.
    pub(super) quote: Row,
    pub(super) backslash: Row,
    /// From an opening quote up to before the closing one.
    pub(super) string: Row,
    /// Blanks, in strings too.
    pub(super) space: Row,
    pub(super) colon: Row,
    pub(super) comma: Row,
    /// Brackets, colons and commas.
    pub(super) operator: Row,
    /// Outside of strings.
    pub(super) brackets: Row,
    /// The bytes within an object. An opening bracket belongs to what is outside it, a closing one to what is inside.
    pub(super) object: Row,
    /// The opening brackets.
    pub(super) open: Row,
    /// The closing brackets of what is empty.
    pub(super) empty: Row,
    /// The opening quotes of keys.
    pub(super) keys: Row,
    /// What the walk looks at.
    pub(super) tokens: Row,
    separators: Carried,
    colons: Carried,
    value_ends: Carried,
    scalars: Carried,
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

/// The masks of one group.
#[inline(always)]
fn of(row: &Row, group: usize) -> &[u64; GROUP] {
    &row.as_chunks().0[group]
}

#[inline(always)]
fn of_mut(row: &mut Row, group: usize) -> &mut [u64; GROUP] {
    &mut row.as_chunks_mut().0[group]
}

impl Masks {
    pub(super) fn new() -> Masks {
        let (row, carried) = ([0; CHUNK_BLOCKS], [0; CHUNK_BLOCKS + 1]);
        Masks {
            quote: row,
            backslash: row,
            string: row,
            space: row,
            colon: row,
            comma: row,
            operator: row,
            brackets: row,
            object: row,
            open: row,
            empty: row,
            keys: row,
            tokens: row,
            separators: carried,
            colons: carried,
            value_ends: carried,
            scalars: carried,
        }
    }

    /// Forgets what came before: another text begins.
    pub(super) fn clear(&mut self) {
        for row in [&mut self.separators, &mut self.colons, &mut self.value_ends, &mut self.scalars] {
            row[CHUNK_BLOCKS] = 0;
        }
    }

    /// Leaves of `block` only the bytes in `valid`, and nothing of those behind it in its group: whatever is there is no
    /// part of the value, and not complained of.
    pub(super) fn cut(&mut self, block: usize, valid: u64) {
        self.cut_one(block, valid);
        for behind in block + 1..(block / GROUP + 1) * GROUP {
            self.cut_one(behind, 0);
            (self.object[behind], self.open[behind], self.empty[behind]) = (0, 0, 0);
        }
    }

    fn cut_one(&mut self, block: usize, valid: u64) {
        for row in [
            &mut self.quote,
            &mut self.string,
            &mut self.space,
            &mut self.colon,
            &mut self.comma,
            &mut self.brackets,
            &mut self.backslash,
        ] {
            row[block] &= valid;
        }
        self.operator[block] |= !valid;
    }

    /// Fills in `keys` and `tokens` of the first `blocks`. Returns the bytes that must not stand where they stand, all
    /// blocks taken together: 0 if there are none.
    #[inline(always)]
    pub(super) fn check(&mut self, blocks: usize) -> u64 {
        let groups = blocks.div_ceil(GROUP).min(CHUNK_BLOCKS / GROUP);
        for carried in [&mut self.separators, &mut self.colons, &mut self.value_ends, &mut self.scalars] {
            carried[0] = carried[CHUNK_BLOCKS];
        }
        let mut blanks = 0;
        for group in 0..groups {
            blanks |= self.derive(group);
        }
        let mut wrong = 0;
        for group in 0..groups {
            wrong |=
                if blanks == 0 { self.check_group::<false>(group) } else { self.check_group::<true>(group) };
        }
        wrong
    }

    /// Fills in the masks whose next bytes matter, and takes what is in strings out of `colon`. Returns the blanks.
    #[inline(always)]
    fn derive(&mut self, group: usize) -> u64 {
        let (quote, string, space) =
            (of(&self.quote, group), of(&self.string, group), of(&self.space, group));
        let (comma, operator) = (of(&self.comma, group), of(&self.operator, group));
        let (brackets, open) = (of(&self.brackets, group), of(&self.open, group));
        let colon = of_mut(&mut self.colon, group);
        let (separators, colons) = (carried(&mut self.separators, group), carried(&mut self.colons, group));
        let (value_ends, scalars) = (carried(&mut self.value_ends, group), carried(&mut self.scalars, group));
        let mut blanks = 0;
        for i in 0..GROUP {
            let outside = !(string[i] | quote[i]);
            blanks |= space[i] & outside;
            separators[i] = comma[i] & outside | open[i];
            colon[i] &= outside;
            colons[i] = colon[i];
            value_ends[i] = quote[i] & !string[i] | brackets[i] & !open[i];
            scalars[i] = outside & !(operator[i] | space[i]);
        }
        blanks
    }

    #[inline(always)]
    fn check_group<const BLANKS: bool>(&mut self, group: usize) -> u64 {
        let (quote, string, space) =
            (of(&self.quote, group), of(&self.string, group), of(&self.space, group));
        let (object, operator) = (of(&self.object, group), of(&self.operator, group));
        let (brackets, open, empty) =
            (of(&self.brackets, group), of(&self.open, group), of(&self.empty, group));
        let mut wrong = 0;
        let (mut keys, mut tokens) = ([0; GROUP], [0; GROUP]);
        for i in 0..GROUP {
            let at = group * GROUP + i;
            let scalar = self.scalars[at + 1];
            let behind_scalar = shifted(scalar, self.scalars[at]);
            let scalars = scalar & !behind_scalar;
            let mut after_separator = shifted(self.separators[at + 1], self.separators[at]);
            let mut after_colon = shifted(self.colons[at + 1], self.colons[at]);
            let mut after_value =
                shifted(self.value_ends[at + 1], self.value_ends[at]) | behind_scalar & !scalar;
            if BLANKS {
                let blank = space[i] & !(string[i] | quote[i]);
                after_separator = over_blanks(after_separator, blank, &mut self.separators[at + 1]);
                after_colon = over_blanks(after_colon, blank, &mut self.colons[at + 1]);
                after_value = over_blanks(after_value, blank, &mut self.value_ends[at + 1]);
            }
            let opening = quote[i] & string[i];
            keys[i] = after_separator & object[i] & opening;
            let starts = opening | open[i] | scalars;
            let misplaced =
                (after_separator | after_colon) & !starts | after_separator & object[i] & !opening;
            // A key's end is the end of a string, as a value's may be: a colon after it is looked at with the keys.
            let outside = !(string[i] | quote[i]);
            wrong |= misplaced & !empty[i] | after_value & !(operator[i] & outside & !open[i]);
            tokens[i] = brackets[i] | keys[i] | scalars;
        }
        *of_mut(&mut self.keys, group) = keys;
        *of_mut(&mut self.tokens, group) = tokens;
        wrong
    }
}

/// The masks of one group in a row that begins with another one.
#[inline(always)]
fn carried(row: &mut Carried, group: usize) -> &mut [u64; GROUP] {
    let (_, row) = row.split_at_mut(1);
    &mut row.as_chunks_mut().0[group]
}
