//! Carrying messages, to servers of the tests' own on loopback.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic there is a failed test")]

mod gateway;
mod mail;

use std::time::{Duration, Instant};

/// Waits until something is so, or fails after a time that only a hang takes.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
