//! The log on a simulated machine that goes down at every step.
//!
//! A seed is a run: a process with some lanes on a [simulated disk](crate::disk::sim) that appends, rolls, keeps
//! house, is read, closed and killed, while the disk fails as the seed says. Before each step of the run a copy of
//! the machine crashes there, and its recovery crashes too ([`sweep`]). A [ledger](ledger) outside of the machine
//! knows what was sent, acknowledged and shown to readers, and after each recovery the log must agree with it
//! ([`check`]). `cargo xtask simulate` runs seeds for as long as it is told to, or one again that failed.
//!
//! # What is checked
//! * acknowledged ⊆ readable ⊆ sent; the same bytes, in the order sent, each once; sequences without a hole.
//! * What a reader could be shown at any moment stays, whatever goes down in the next.
//! * The bytes on the disk, read without the log's reading side, say the same as a cursor does.
//! * Reading from anywhere, and of one project by the indexes, gives what reading all gives.
//! * On an honest disk nothing is reported as damaged, and the only gap is what retention took.
//! * On one that breaks its word nothing is invented or altered, and what is proven is there or in a gap.
//! * Recovering again changes nothing.
//! * A file whose flush failed is never written or flushed again.
//!
//! # The invariants, and the tests that hold them
//! | | invariant | tests |
//! |--:|---|---|
//! | 1 | no acknowledged event is lost | `invariant_01_…`, and every sweep |
//! | 2 | no acknowledgement before the covering flush returned | `invariant_02_…`; loom: `handoff` |
//! | 3 | a flush error is final for its segment | `invariant_03_…`; `lane::writer` |
//! | 4 | readers never pass the watermark | `invariant_04_…`; the type `watermark::Limit` |
//! | 5 | recovery cuts only what was not acknowledged | `invariant_05_…`; the damage matrix in `tests/` |
//! | 6 | recovery is idempotent and bounded | `invariant_06_…`; the benchmark `recovery` |
//! | 7 | frames bind identity and place | `invariant_07_…`; `forebay-record`'s properties and fuzzing |
//! | 8 | order and uniqueness | `invariant_08_…`, and every sweep |
//! | 9 | resuming is exact | `invariant_09_…`; `cursor::live_tests` |
//! | 10 | erasure | not built yet |
//! | 11 | space never surprises | `invariant_11_…`; `supply`; the full disks of `tests/` |
//! | 12 | the cost | `invariant_12_…`; the benchmarks |
//!
//! That these would notice is shown by [`mutants`].

mod check;
mod invariants;
mod ledger;
mod long;
mod mutants;
mod node;
mod plan;
mod reading;
mod run;
mod sweep;

use sweep::{Tally, sweep};

/// A few seeds of each kind of disk: the short version of `cargo xtask simulate`.
#[test]
fn a_crash_at_every_step_of_a_run_breaks_no_promise() {
    let mut all = Tally::default();
    for seed in 0..6 {
        match sweep(seed) {
            Ok(tally) => all.merge(&tally),
            Err(broken) => panic!("{broken}"),
        }
    }
    assert!(all.crashes > 1000 && all.in_recovery > 100 && all.acked > 100, "{all}");
}
