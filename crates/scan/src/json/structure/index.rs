//! What is found in one chunk of text: the places a walk has to look at, and no others.

use super::masks::{CHUNK_BLOCKS, Masks};
use super::simd::{BLOCK_BYTES, Simd};

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
    masks: Box<Masks>,
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
            masks: Box::new(Masks::new()),
            tokens: Box::new([0; PLACES_MAX]),
            found: 0,
            escaped_keys: false,
            deferred: None,
        }
    }

    /// For another text.
    pub(super) fn clear(&mut self) {
        self.masks.clear();
        self.deferred = None;
        self.escaped_keys = false;
        self.found = 0;
        self.blocks = 0;
    }

    /// Begins the chunk at `base`.
    #[inline(always)]
    pub(super) fn begin(&mut self, base: usize) -> (&mut Masks, Chunk<'_>) {
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
        let chunk = Chunk {
            blocks: &mut self.blocks,
            tokens: &mut self.tokens,
            found: self.found,
            result: &mut self.found,
            escaped_keys: &mut self.escaped_keys,
            deferred: &mut self.deferred,
        };
        (&mut self.masks, chunk)
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
            (*self.masks.quote.get(block)? >> within, *self.masks.backslash.get(block)? >> within);
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
        let blocks =
            self.masks.quote.iter().zip(&self.masks.backslash).enumerate().take(self.blocks).skip(first);
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

/// A chunk that is being indexed.
pub(super) struct Chunk<'a> {
    blocks: &'a mut usize,
    tokens: &'a mut [u32; PLACES_MAX],
    /// Kept here while it changes, so that it stays in a register.
    found: usize,
    result: &'a mut usize,
    escaped_keys: &'a mut bool,
    deferred: &'a mut Option<u32>,
}

impl Chunk<'_> {
    /// Adds the places in the block at `base`.
    #[inline(always)]
    pub(super) fn push<S: Simd>(&mut self, simd: S, base: usize, tokens: u64) {
        if let Some(out) = self.tokens.get_mut(self.found..).and_then(|rest| rest.first_chunk_mut()) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a text is at most 1 GiB: the limits see to that"
            )]
            simd.places(tokens, base as u32, out);
            self.found += tokens.count_ones() as usize;
        }
    }

    /// Notes that some key has an escape.
    pub(super) fn has_escaped_keys(&mut self, some: bool) {
        *self.escaped_keys |= some;
    }

    /// Ends the chunk. A key that is still open is the last one found; it is left for the next chunk.
    #[inline(always)]
    pub(super) fn end(self, blocks: usize, within_key: bool) {
        *self.blocks = blocks;
        *self.result = self.found;
        if within_key && self.found > 0 {
            *self.result -= 1;
            *self.deferred = Some(self.tokens[self.found - 1]);
        }
    }
}
