//! The dice of a soak: one seed, and from it a stream of its own for each part.
//!
//! # Invariants
//! * The same seed and name give the same numbers, whatever the other parts draw.

use std::time::Duration;

/// A stream of random numbers (`splitmix64`): a soak needs dice that repeat, not secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of that name under that seed.
    pub(crate) fn of(seed: u64, name: &str) -> Random {
        Random(name.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte))))
    }

    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// One of `least..=most`.
    pub(crate) fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.any() % (most - least + 1)
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.any() % 100 < percent
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let last = u64::try_from(of.len()).expect("a slice's length fits") - 1;
        of[usize::try_from(self.within(0, last)).expect("an index of the slice")]
    }

    /// A time of `least..=most` milliseconds.
    pub(crate) fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.within(least, most))
    }
}

/// The finaliser of `splitmix64`: neighbours become strangers.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_names_keep_apart() {
        let draw = |seed, name| {
            let mut random = Random::of(seed, name);
            (0..8).map(|_| random.within(3, 9)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "load"), draw(1, "load"));
        assert_ne!(draw(1, "load"), draw(1, "lives"));
        assert_ne!(draw(1, "load"), draw(2, "load"));
        assert!(draw(7, "load").iter().all(|n| (3..=9).contains(n)));
    }
}
