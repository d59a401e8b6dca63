//! What is found in one chunk of text: the places a walk has to look at, and no others.

use super::simd::{BLOCK_BYTES, Simd};

/// How many blocks are indexed before they are walked. What is found in 4 KiB of text stays in the first-level cache
/// until it is read again, and a larger chunk gains nothing.
pub(super) const CHUNK_BLOCKS: usize = 64;
/// A block may hold nothing but brackets; a key is left over from the chunk before; and places are written a block's
/// worth at a time.
const PLACES_MAX: usize = (CHUNK_BLOCKS + 1) * BLOCK_BYTES + 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    /// Where the chunk starts in the text.
    base: usize,
    /// How many blocks are indexed.
    blocks: usize,
    /// The quotes of each block that start or end a string.
    quotes: Box<[u64; CHUNK_BLOCKS]>,
    /// The backslashes of each block.
    backslashes: Box<[u64; CHUNK_BLOCKS]>,
    /// Ascending: see [`Index::tokens`].
    tokens: Box<[u32; PLACES_MAX]>,
    found: usize,
    escaped_keys: bool,
    /// The last chunk ended within this key: it belongs to the next one.
    deferred: Option<u32>,
}

impl Index {
    pub(super) fn new() -> Index {
        Index {
            base: 0,
            blocks: 0,
            quotes: Box::new([0; CHUNK_BLOCKS]),
            backslashes: Box::new([0; CHUNK_BLOCKS]),
            tokens: Box::new([0; PLACES_MAX]),
            found: 0,
            escaped_keys: false,
            deferred: None,
        }
    }

    /// For another text.
    pub(super) fn clear(&mut self) {
        self.deferred = None;
        self.escaped_keys = false;
        self.found = 0;
        self.blocks = 0;
    }

    /// Begins the chunk at `base`.
    #[inline(always)]
    pub(super) fn begin(&mut self, base: usize) -> Chunk<'_> {
        self.base = base;
        self.blocks = 0;
        self.found = 0;
        match self.deferred.take() {
            // With what is known of it so far: `escaped_keys` stays.
            Some(key) => {
                self.tokens[0] = key;
                self.found = 1;
            }
            None => self.escaped_keys = false,
        }
        Chunk {
            blocks: &mut self.blocks,
            quotes: &mut self.quotes,
            backslashes: &mut self.backslashes,
            tokens: &mut self.tokens,
            found: self.found,
            result: &mut self.found,
            escaped_keys: &mut self.escaped_keys,
            deferred: &mut self.deferred,
        }
    }

    /// Every bracket, the opening quote of every key, and the first byte of every number and literal.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens[..self.found]
    }

    /// Some key of the chunk has an escape.
    pub(super) fn has_escaped_keys(&self) -> bool {
        self.escaped_keys
    }

    /// Where the string that is open at `from` ends, and whether there is a backslash in it; `None` if it ends behind the
    /// chunk.
    #[inline]
    pub(super) fn string(&self, from: usize) -> Option<(usize, bool)> {
        let Some(offset) = from.checked_sub(self.base) else { return self.string_begun_before() };
        let (block, within) = (offset / BLOCK_BYTES, offset % BLOCK_BYTES);
        if block >= self.blocks {
            return None;
        }
        let (quotes, backslashes) =
            (*self.quotes.get(block)? >> within, *self.backslashes.get(block)? >> within);
        if quotes != 0 {
            let before = quotes ^ (quotes - 1);
            return Some((from + quotes.trailing_zeros() as usize, backslashes & before != 0));
        }
        self.string_over_blocks(block + 1, backslashes != 0)
    }

    /// The rest of a string that began before this chunk, as if it had a backslash there: that is looked for again.
    #[cold]
    fn string_begun_before(&self) -> Option<(usize, bool)> {
        self.string_over_blocks(0, true)
    }

    fn string_over_blocks(&self, first: usize, mut backslash: bool) -> Option<(usize, bool)> {
        let blocks = self.quotes.iter().zip(&*self.backslashes).enumerate().take(self.blocks).skip(first);
        for (block, (&quotes, &backslashes)) in blocks {
            if quotes != 0 {
                backslash |= backslashes & (quotes ^ (quotes - 1)) != 0;
                return Some((self.base + block * BLOCK_BYTES + quotes.trailing_zeros() as usize, backslash));
            }
            backslash |= backslashes != 0;
        }
        None
    }
}

/// What is kept of one block.
pub(super) struct Masks {
    /// See [`Index::tokens`].
    pub(super) tokens: u64,
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
}

/// A chunk that is being indexed.
pub(super) struct Chunk<'a> {
    blocks: &'a mut usize,
    quotes: &'a mut [u64; CHUNK_BLOCKS],
    backslashes: &'a mut [u64; CHUNK_BLOCKS],
    tokens: &'a mut [u32; PLACES_MAX],
    /// Kept here while it changes, so that it stays in a register.
    found: usize,
    result: &'a mut usize,
    escaped_keys: &'a mut bool,
    deferred: &'a mut Option<u32>,
}

impl Chunk<'_> {
    /// Adds the block at `base`, the `number`th of the chunk.
    #[inline(always)]
    pub(super) fn push<S: Simd>(&mut self, simd: S, number: usize, base: usize, masks: Masks) {
        self.quotes[number] = masks.quotes;
        self.backslashes[number] = masks.backslashes;
        *self.blocks = number + 1;
        if let Some(out) = self.tokens.get_mut(self.found..).and_then(|rest| rest.first_chunk_mut()) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a text is at most 1 GiB: the limits see to that"
            )]
            simd.places(masks.tokens, base as u32, out);
            self.found += masks.tokens.count_ones() as usize;
        }
    }

    /// Ends the chunk. A key that is still open is the last one found; it is left for the next chunk.
    #[inline(always)]
    pub(super) fn end(self, within_key: bool, escaped_keys: bool) {
        *self.escaped_keys |= escaped_keys;
        *self.result = self.found;
        if within_key && self.found > 0 {
            *self.result -= 1;
            *self.deferred = Some(self.tokens[self.found - 1]);
        }
    }
}
