//! What the benchmarks share: events as a web SDK sends them, and the load generator.

pub mod events;
pub mod load;
