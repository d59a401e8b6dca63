//! What benchmarks share that take turns on the same bytes: the thread's own time, and the middle of many rounds.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread in nanoseconds.
pub(crate) fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The middle one, or the upper of the two there.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
