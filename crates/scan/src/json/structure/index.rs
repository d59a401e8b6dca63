//! What is found in one chunk of text: the places a walk has to look at, and no others.

use super::masks::{CHUNK_BLOCKS, Masks};
use super::simd::{BLOCK_BYTES, Simd};
use super::skeleton::Skeleton;

/// A block may hold nothing but brackets; a key is left over from the chunk before; and places are written a block's
/// worth at a time.
const PLACES_MAX: usize = (CHUNK_BLOCKS + 1) * BLOCK_BYTES + 1;

/// Places in the text, ascending.
#[derive(Debug)]
pub(super) struct Places {
    places: Box<[u32; PLACES_MAX]>,
    pub(super) count: usize,
}

impl Places {
    pub(super) fn new() -> Places {
        Places { places: Box::new([0; PLACES_MAX]), count: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds more places; their count is to be taken over.
    #[inline(always)]
    pub(super) fn add(&mut self) -> Adding<'_> {
        Adding { places: &mut self.places, count: self.count }
    }

    /// Adds the places of the bits of the block at `base`.
    #[inline(always)]
    pub(super) fn push<S: Simd>(&mut self, simd: S, bits: u64, base: usize) {
        let mut adding = self.add();
        adding.push(simd, bits, base);
        self.count = adding.count;
    }

    #[inline(always)]
    pub(super) fn all(&self) -> &[u32] {
        &self.places[..self.count]
    }
}

/// Places being added: what changes with each block is in registers.
pub(super) struct Adding<'p> {
    places: &'p mut [u32; PLACES_MAX],
    pub(super) count: usize,
}

impl Adding<'_> {
    /// Adds the places of the bits of the block at `base`.
    #[inline(always)]
    pub(super) fn push<S: Simd>(&mut self, simd: S, bits: u64, base: usize) {
        if let Some(out) = self.places.get_mut(self.count..).and_then(|rest| rest.first_chunk_mut()) {
            simd.places(bits, place(base), out);
            self.count += bits.count_ones() as usize;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    /// Where the chunk starts in the text.
    base: usize,
    /// How many blocks are indexed.
    pub(super) blocks: usize,
    pub(super) masks: Box<[Masks; CHUNK_BLOCKS]>,
    pub(super) skeleton: Skeleton,
    /// See [`super::Structure::tokens`].
    pub(super) tokens: Places,
    /// The blocks with a backslash in a string, one bit for each.
    pub(super) escaped: u64,
    /// How many tokens are left over from the chunk before: 0 or 1.
    left_over: usize,
    escaped_keys: bool,
    /// The last chunk ended within this key: it belongs to the next one.
    deferred: Option<u32>,
}

impl Index {
    pub(super) fn new() -> Index {
        const { assert!(CHUNK_BLOCKS <= 64, "a bit for each block") };
        Index {
            base: 0,
            blocks: 0,
            masks: Box::new([Masks::default(); CHUNK_BLOCKS]),
            skeleton: Skeleton::new(),
            tokens: Places::new(),
            escaped: 0,
            left_over: 0,
            escaped_keys: false,
            deferred: None,
        }
    }

    /// For another text.
    pub(super) fn clear(&mut self) {
        self.deferred = None;
        self.escaped_keys = false;
        self.tokens.clear();
        self.skeleton.clear();
        self.blocks = 0;
    }

    /// Begins the chunk at `base`.
    #[inline(always)]
    pub(super) fn begin(&mut self, base: usize) {
        self.base = base;
        self.blocks = 0;
        self.escaped = 0;
        match self.deferred.take() {
            // With what is known of it so far: `escaped_keys` stays.
            Some(key) => {
                self.tokens.places[0] = key;
                self.left_over = 1;
            }
            None => {
                self.escaped_keys = false;
                self.left_over = 0;
            }
        }
        self.tokens.count = self.left_over;
        self.skeleton.begin();
    }

    /// Ends the chunk. A key that is still open is left for the next one. `key_before` are the keys of the tokens before
    /// those that the skeleton has.
    #[inline(always)]
    pub(super) fn end<S: Simd>(&mut self, simd: S, all_keys: bool, key_before: u64, within_string: bool) {
        if self.escaped != 0 {
            self.look_for_escaped_keys(key_before);
        }
        if all_keys || self.escaped_keys {
            self.list_all(simd);
        }
        if within_string && self.is_key(self.skeleton.len(), key_before) {
            self.defer_last_key();
        }
    }

    /// Is the token before the one at `next` a key?
    #[inline]
    fn is_key(&self, next: usize, key_before: u64) -> bool {
        match next.checked_sub(1) {
            Some(token) => self.skeleton.keys(token) & 1 != 0,
            None => key_before >> (BLOCK_BYTES - 1) != 0,
        }
    }

    /// Finds out whether a backslash is in a key.
    #[inline]
    fn look_for_escaped_keys(&mut self, key_before: u64) {
        let mut blocks = self.escaped;
        while blocks != 0 {
            let masks = self.masks[blocks.trailing_zeros() as usize % CHUNK_BLOCKS];
            blocks &= blocks - 1;
            let mut backslash = masks.backslash;
            while backslash != 0 {
                // In a string there is no token: the last one before is its opening quote.
                let first = backslash & backslash.wrapping_neg();
                let up_to = masks.tokens & (first - 1);
                self.escaped_keys |= self.is_key(masks.before + up_to.count_ones() as usize, key_before);
                // What else is in this string says the same.
                let next = masks.tokens & !(first - 1);
                backslash &= !(next & next.wrapping_neg()).wrapping_sub(1);
            }
        }
    }

    /// Writes down the tokens once more, and every key.
    #[inline(always)]
    fn list_all<S: Simd>(&mut self, simd: S) {
        self.tokens.count = self.left_over;
        for (block, masks) in self.masks.iter().enumerate().take(self.blocks) {
            let keys = simd.scatter(self.skeleton.keys(masks.before), masks.tokens);
            self.tokens.push(simd, masks.certain | keys, self.base + block * BLOCK_BYTES);
        }
    }

    #[cold]
    fn defer_last_key(&mut self) {
        let masks = self.masks.iter().enumerate().take(self.blocks);
        if let Some((block, masks)) = masks.rev().find(|(_, masks)| masks.tokens != 0) {
            let at = self.base + block * BLOCK_BYTES + masks.tokens.ilog2() as usize;
            self.deferred = Some(place(at));
            // Nothing stands behind it.
            if self.tokens().last() == self.deferred.as_ref() {
                self.tokens.count -= 1;
            }
        }
    }

    /// See [`super::Structure::tokens`].
    pub(super) fn tokens(&self) -> &[u32] {
        self.tokens.all()
    }

    /// Some key of the chunk has an escape.
    pub(super) fn has_escaped_keys(&self) -> bool {
        self.escaped_keys
    }

    /// Where the string that is open at `from` ends, and whether there is a backslash in it; `None` if it ends behind the
    /// chunk.
    #[inline(always)]
    pub(super) fn string(&self, from: usize) -> Option<(usize, bool)> {
        let Some(offset) = from.checked_sub(self.base) else { return self.string_begun_before() };
        let (block, within) = (offset / BLOCK_BYTES, offset % BLOCK_BYTES);
        if block >= self.blocks {
            return None;
        }
        // The bytes up to the end of the block, and as many of the next one as make it 64 again. Behind the last block
        // no string is open.
        let (masks, next) = (self.masks.get(block)?, self.masks.get(block + 1));
        let (next_quotes, next_backslashes) = next.map_or((0, 0), |next| (next.quote, next.backslash));
        let ahead = |bits: u64, next: u64| bits >> within | next << 1 << (BLOCK_BYTES - 1 - within);
        let quotes = ahead(masks.quote, next_quotes);
        let backslashes = ahead(masks.backslash, next_backslashes);
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

    #[inline(never)]
    fn string_over_blocks(&self, first: usize, mut backslash: bool) -> Option<(usize, bool)> {
        for (block, masks) in self.masks.iter().enumerate().take(self.blocks).skip(first) {
            let (quotes, backslashes) = (masks.quote, masks.backslash);
            if quotes != 0 {
                backslash |= backslashes & (quotes ^ (quotes - 1)) != 0;
                return Some((self.base + block * BLOCK_BYTES + quotes.trailing_zeros() as usize, backslash));
            }
            backslash |= backslashes != 0;
        }
        None
    }
}

#[inline(always)]
fn place(at: usize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a text is at most 1 GiB: the limits see to that")]
    let place = at as u32;
    place
}
