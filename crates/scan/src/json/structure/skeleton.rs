//! A text without what is in its strings, and without blanks: a byte for each token.
//!
//! Brackets, colons and commas are there as they are, a string is its opening quote, a number or literal its first byte:
//! `{"a": [1, "b"]}` becomes `{":[1,"]}`. So neighbours in the grammar are neighbours here, and there are five times fewer
//! bytes to look at.
//!
//! # Invariants
//! * Tokens are in the order of the text. Those of a word that is not full are kept for the next chunk, which fills it up.

use super::index::Places;
use super::masks::CHUNK_BLOCKS;
use super::simd::{BLOCK_BYTES, Block, Kinds, Simd};

/// The tokens of a chunk of nothing but tokens, and of the word that was left over before it.
const WORDS: usize = CHUNK_BLOCKS + 1;
/// Bits are written eight bytes at a time, from the one on that the first goes to.
const PLANE_BYTES: usize = (WORDS + 1) * size_of::<u64>();

/// What is known of 64 tokens: one bit for each, the first one lowest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Word {
    pub(super) quote: u64,
    pub(super) colon: u64,
    pub(super) comma: u64,
    pub(super) bracket: u64,
    /// The opening brackets.
    pub(super) open: u64,
    /// The brackets of objects.
    pub(super) object: u64,
    /// The brackets behind which another kind of thing is open than before: an object or an array.
    pub(super) flips: u64,
    /// The strings that are keys.
    pub(super) keys: u64,
    /// The tokens there are.
    pub(super) valid: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Skeleton {
    /// The tokens themselves, for CPUs that move bytes together,
    bytes: Box<[Block; WORDS]>,
    /// or the bits of [`Kinds`], for those that move bits.
    planes: Box<[[u8; PLANE_BYTES]; 3]>,
    words: Box<[Word; WORDS]>,
    end: End,
    /// How many are left over from the chunk before.
    left_over: usize,
    /// The places of the brackets that are new, counted in tokens.
    brackets: Places,
}

/// Where a skeleton ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    count: usize,
    /// The bits of the last byte of each plane, if it is not full.
    last: [u64; 3],
}

/// Tokens being gathered.
pub(super) struct Gathered<'s> {
    bytes: &'s mut [u8],
    planes: &'s mut [[u8; PLANE_BYTES]; 3],
    end: End,
}

impl Gathered<'_> {
    /// How many tokens there are.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.end.count
    }

    /// Where they end now.
    #[inline(always)]
    pub(super) fn done(self) -> End {
        self.end
    }

    /// Adds tokens that `write` writes to the front of a block. What is behind them there is not kept.
    #[inline(always)]
    pub(super) fn with(&mut self, tokens: u64, write: impl FnOnce(&mut Block)) {
        if let Some(out) = self.bytes.get_mut(self.end.count..).and_then(|rest| rest.first_chunk_mut()) {
            write(out);
            self.end.count += tokens.count_ones() as usize;
        }
    }

    /// Adds tokens, byte by byte; as many as most blocks have at once.
    #[inline(always)]
    pub(super) fn bytes(&mut self, block: &Block, mut tokens: u64) {
        const MOST: usize = 16;
        let count = tokens.count_ones() as usize;
        self.with(tokens, |out| {
            for byte in &mut out[..MOST] {
                *byte = block[tokens.trailing_zeros() as usize % BLOCK_BYTES];
                tokens &= tokens.wrapping_sub(1);
            }
            if count > MOST {
                more_bytes(block, tokens, &mut out[MOST..count]);
            }
        });
    }

    /// Adds tokens as bits; `extract` moves those of them that are set in its argument together.
    #[inline(always)]
    pub(super) fn bits(&mut self, kinds: &Kinds, tokens: u64, extract: impl Fn(u64, u64) -> u64) {
        /// With the bits of a byte that is not full they are 64 at most.
        const MOST: u32 = 56;
        if tokens.count_ones() <= MOST {
            self.few_bits(kinds, tokens, &extract);
        } else {
            self.few_bits(kinds, tokens & u64::from(u32::MAX), &extract);
            self.few_bits(kinds, tokens & !u64::from(u32::MAX), &extract);
        }
    }

    #[inline(always)]
    fn few_bits(&mut self, kinds: &Kinds, tokens: u64, extract: impl Fn(u64, u64) -> u64) {
        let (byte, within) = (self.end.count / 8, self.end.count % 8);
        let count = tokens.count_ones() as usize;
        let full = (within + count) & !7;
        let kinds = [kinds.bracket, kinds.opening, kinds.object];
        for ((plane, last), kind) in self.planes.iter_mut().zip(&mut self.end.last).zip(kinds) {
            if let Some(out) = plane.get_mut(byte..).and_then(|rest| rest.first_chunk_mut()) {
                let bits = *last | extract(kind, tokens) << within;
                *out = bits.to_le_bytes();
                *last = bits >> full;
            }
        }
        self.end.count += count;
    }
}

#[inline(never)]
fn more_bytes(block: &Block, mut tokens: u64, out: &mut [u8]) {
    for byte in out {
        *byte = block[tokens.trailing_zeros() as usize % BLOCK_BYTES];
        tokens &= tokens.wrapping_sub(1);
    }
}

impl Skeleton {
    pub(super) fn new() -> Skeleton {
        Skeleton {
            bytes: Box::new([[0; BLOCK_BYTES]; WORDS]),
            planes: Box::new([[0; PLANE_BYTES]; 3]),
            words: Box::new([Word::default(); WORDS]),
            end: End::default(),
            left_over: 0,
            brackets: Places::new(),
        }
    }

    /// For another text.
    pub(super) fn clear(&mut self) {
        self.end = End::default();
    }

    /// Begins a chunk with the tokens of the word that is not full.
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        let last = self.end.count / BLOCK_BYTES;
        self.end.count %= BLOCK_BYTES;
        self.left_over = self.end.count;
        if last > 0
            && let (Some(&bytes), Some(&word)) = (self.bytes.get(last), self.words.get(last))
        {
            (self.bytes[0], self.words[0]) = (bytes, word);
            for plane in &mut *self.planes {
                let at = last * size_of::<u64>();
                plane.copy_within(at..at + size_of::<u64>(), 0);
            }
        }
    }

    /// Gathers more tokens, until [`Skeleton::end`].
    #[inline(always)]
    pub(super) fn gather(&mut self) -> Gathered<'_> {
        Gathered { bytes: self.bytes.as_flattened_mut(), planes: &mut self.planes, end: self.end }
    }

    /// Takes over what was gathered.
    #[inline(always)]
    pub(super) fn end(&mut self, end: End) {
        self.end = end;
    }

    /// How many tokens there are, those left over included.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.end.count
    }

    /// How many of them are left over from the chunk before.
    #[inline(always)]
    pub(super) fn left_over(&self) -> usize {
        self.left_over
    }

    /// The bytes of 64 tokens.
    #[inline(always)]
    pub(super) fn bytes(&self, word: usize) -> &Block {
        &self.bytes[word % WORDS]
    }

    /// The bits of 64 tokens.
    #[inline(always)]
    pub(super) fn bits(&self, word: usize) -> Kinds {
        let plane = |plane: &[u8; PLANE_BYTES]| {
            let bytes = plane.as_chunks().0.get(word).copied().unwrap_or_default();
            u64::from_le_bytes(bytes)
        };
        let [bracket, opening, object] = &*self.planes;
        Kinds { bracket: plane(bracket), opening: plane(opening), object: plane(object) }
    }

    /// Tells the tokens apart, and writes down where the new brackets are.
    #[inline(always)]
    pub(super) fn classify<S: Simd>(&mut self, simd: S) {
        self.brackets.clear();
        let mut new = u64::MAX << self.left_over;
        for i in 0..self.end.count.div_ceil(BLOCK_BYTES).min(WORDS) {
            let Kinds { bracket, opening, object } = simd.kinds(self, i);
            let base = i * BLOCK_BYTES;
            let valid = u64::MAX >> (BLOCK_BYTES - (self.end.count - base).min(BLOCK_BYTES));
            let word = &mut self.words[i];
            *word = Word {
                quote: opening & object & !bracket,
                colon: opening & !object & !bracket,
                comma: object & !opening & !bracket,
                bracket,
                open: opening & bracket,
                object: object & bracket,
                flips: word.flips & !new,
                keys: 0,
                valid,
            };
            self.brackets.push(simd, bracket & valid & new, base);
            new = u64::MAX;
        }
    }

    #[inline(always)]
    pub(super) fn words(&mut self) -> &mut [Word] {
        &mut self.words[..self.end.count.div_ceil(BLOCK_BYTES).min(WORDS)]
    }

    /// The brackets that are new, and the words to note in what they do.
    #[inline(always)]
    pub(super) fn nesting(&mut self) -> (&[u32], &mut [Word; WORDS]) {
        (self.brackets.all(), &mut self.words)
    }

    /// Which of the 64 tokens from `from` on are keys; `from` is at most [`Skeleton::len`].
    #[inline]
    pub(super) fn keys(&self, from: usize) -> u64 {
        let (word, within) = (from / BLOCK_BYTES, from % BLOCK_BYTES);
        let keys = |word: usize| self.words.get(word).map_or(0, |word| word.keys & word.valid);
        keys(word) >> within | keys(word + 1) << 1 << (BLOCK_BYTES - 1 - within)
    }
}
