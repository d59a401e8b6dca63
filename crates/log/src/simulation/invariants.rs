//! The invariants of the log, each by its number: what the sweeps check at random, here on purpose.
