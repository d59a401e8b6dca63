//! What the benchmarks share: events as SDKs send them, and the load generator behind `forebay bench http`.

pub mod events;
pub mod http;
