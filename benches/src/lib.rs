//! Benchmarks: scan, route, log, and the whole server under load.
