//! The segment log: group commit, recovery, readers, retention.
