//! The store's promises, through its public face: one program, as linking SQLite takes longer than any test.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic there is a failed test")]

mod accounts_acting;
mod audit;
mod books;
mod common;
mod credentials;
mod joining;
mod keeping_quiet;
mod lookup;
mod opening;
mod outbox;
mod outreach;
mod people;
mod personal;
mod phone;
mod projects;
mod projects_of_people;
mod signing_in;
mod transfer;
