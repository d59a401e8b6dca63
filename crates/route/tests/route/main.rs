//! Routing, admission and the ledger, through the crate's public face, against plain models.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic there is a failed test")]

mod admission;
mod credentials;
mod ledger;
mod registry;
