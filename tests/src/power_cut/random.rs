//! Numbers that a seed decides (SplitMix64).

/// A source of numbers; the same seed gives the same ones everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A source whose whole sequence the seed decides.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A source for one thing of many: what it gives does not depend on the others.
    pub fn of(seed: u64, thing: u64) -> Random {
        let mut random = Random(seed);
        Random(random.next() ^ Random(thing).next())
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to `bound`, which it never reaches.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index of a list of that length.
    ///
    /// # Panics
    /// If the list is empty.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// True in `times` of `of` cases.
    pub fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }
}
