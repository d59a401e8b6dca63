//! Numbers that a seed decides: whatever fails by chance fails again by its seed.
//!
//! # Invariants
//! * The same seed, and the same thing or name, give the same numbers, whatever else is drawn.

use std::time::Duration;

/// A stream of numbers (SplitMix64): tests need dice that repeat, not secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream that the seed alone decides.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The stream of one thing of many.
    pub fn of(seed: u64, thing: u64) -> Random {
        let mut random = Random(seed);
        Random(random.next() ^ Random(thing).next())
    }

    /// The stream of that name.
    pub fn named(seed: u64, name: &str) -> Random {
        Random(name.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte))))
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 up to `bound`, which it never reaches.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of `least..=most`.
    pub fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// A time of `least..=most` milliseconds.
    pub fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.within(least, most))
    }

    /// An index of a list of that length.
    ///
    /// # Panics
    /// If the list is empty.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// True in `times` of `of` cases.
    pub fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }
}

/// The finaliser of SplitMix64: neighbours become strangers.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_names_and_things_keep_apart() {
        let draw = |mut random: Random| (0..8).map(|_| random.within(3, 9)).collect::<Vec<_>>();
        assert_eq!(draw(Random::named(1, "load")), draw(Random::named(1, "load")));
        assert_ne!(draw(Random::named(1, "load")), draw(Random::named(1, "lives")));
        assert_ne!(draw(Random::named(1, "load")), draw(Random::named(2, "load")));
        assert_ne!(draw(Random::of(1, 1)), draw(Random::of(1, 2)));
        assert!(draw(Random::new(7)).iter().all(|n| (3..=9).contains(n)));
    }
}
