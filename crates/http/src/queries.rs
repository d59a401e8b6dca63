//! What is counted about those who read, for `/metrics`.

use std::sync::atomic::AtomicU64;

/// Counters of queries: exports, and whatever else is asked of the log over HTTP. Written by whoever answers them.
///
/// All orderings are `Relaxed`: no counter guards other memory.
#[derive(Debug, Default)]
pub struct QueryCounters {
    /// Let in.
    pub admitted: AtomicU64,
    /// Let in and not ended, those that wait for their turn included.
    pub running: AtomicU64,
    /// Refused because their project has enough running.
    pub refused_concurrent: AtomicU64,
    /// Refused because their project had enough in the last hour.
    pub refused_hour: AtomicU64,
    /// Refused because the server has enough running.
    pub refused_turns: AtomicU64,
    /// Given up because their reader took nothing for too long.
    pub stalled: AtomicU64,
}
