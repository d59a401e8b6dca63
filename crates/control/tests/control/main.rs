//! The store's promises, through its public face: one program, as linking SQLite takes longer than any test.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic there is a failed test")]

mod books;
mod common;
mod joining;
mod lookup;
mod opening;
mod people;
mod projects;
mod signing_in;
mod transfer;
