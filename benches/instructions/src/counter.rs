//! What is counted: the instructions of all threads from `counting_begins` to `counting_ends`.
//!
//! callgrind is told the names of the two functions (`--zero-before`, `--dump-before`), so nothing here needs to
//! talk to valgrind, and without valgrind the same program just runs.

use std::{
    cell::Cell,
    hint::black_box,
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::Duration,
};

/// Two segments of 8 MiB are prepared within a tenth of this, under valgrind.
const REST: Duration = Duration::from_millis(1500);

/// Makes the two functions differ, lest the compiler merge them.
static PHASE: AtomicU8 = AtomicU8::new(0);

#[inline(never)]
fn counting_begins() {
    PHASE.store(black_box(1), Ordering::SeqCst);
}

#[inline(never)]
fn counting_ends() {
    PHASE.store(black_box(2), Ordering::SeqCst);
}

/// Runs the work to be counted.
pub(crate) struct Counter {
    waste: u64,
    /// Tests run everything once.
    once: bool,
    units: Cell<u64>,
}

impl Counter {
    /// One that adds `waste` needless steps to each unit, to see that a slow-down is noticed.
    pub(crate) fn new(waste: u64) -> Counter {
        Counter { waste, once: false, units: Cell::new(0) }
    }

    /// One that repeats nothing.
    #[cfg(test)]
    pub(crate) fn once() -> Counter {
        Counter { waste: 0, once: true, units: Cell::new(0) }
    }

    /// Counts `repetitions` of `work`, each of so many units. The first few, which warm buffers up, do not count.
    pub(crate) fn count(&self, repetitions: u64, units_each: u64, mut work: impl FnMut()) {
        self.warm_up(repetitions, &mut work);
        self.count_cold(repetitions, units_each, work);
    }

    /// As [`Counter::count`], once other threads have done what they do at the start: prepare segments, for one.
    pub(crate) fn count_at_rest(&self, repetitions: u64, units_each: u64, mut work: impl FnMut()) {
        self.warm_up(repetitions, &mut work);
        self.rest();
        self.count_cold(repetitions, units_each, work);
    }

    /// Lets other threads do what they have to do.
    pub(crate) fn rest(&self) {
        if !self.once {
            thread::sleep(REST);
        }
    }

    fn warm_up(&self, repetitions: u64, work: &mut impl FnMut()) {
        for _ in 0..self.repetitions(repetitions).div_ceil(10) {
            work();
        }
    }

    /// As [`Counter::count`], from the first time on.
    pub(crate) fn count_cold(&self, repetitions: u64, units_each: u64, mut work: impl FnMut()) {
        let repetitions = self.repetitions(repetitions);
        let waste = self.waste * units_each;
        counting_begins();
        for _ in 0..repetitions {
            work();
            for step in 0..waste {
                black_box(step);
            }
        }
        counting_ends();
        self.units.set(self.units.get() + repetitions * units_each);
    }

    fn repetitions(&self, wanted: u64) -> u64 {
        if self.once { 1 } else { wanted }
    }

    /// How many units were counted.
    pub(crate) fn units(&self) -> u64 {
        self.units.get()
    }
}
