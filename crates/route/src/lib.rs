//! Token to project to lane: lock-free routing, admission by bytes, and the ledger of every event.
//!
//! A request asks the [`Registry`] whose token it carries, asks [`Admission`] whether there is room
//! for its bytes, and tells the [`Ledger`] what became of each of its events.
//!
//! # Invariants
//! * A lookup is one load and one hash lookup; it never waits for a change, and a change copies one
//!   part of the table, however many projects there are.
//! * Nothing from the wire is ever inserted into the routing table, and what is remembered of unknown
//!   tokens and refusals is bounded.
//! * `received = stored + rejected + dropped + in flight + unaccounted`, per project and in total, and
//!   `unaccounted` is 0 unless the code lost a verdict.

mod admission;
mod callers;
mod entry;
mod gauge;
mod ledger;
#[cfg(all(test, loom))]
mod loom_tests;
mod mac;
mod parts;
mod project;
mod reason;
mod refusals;
mod registry;
mod rows;
mod sync;
mod tally;
mod token_use;
mod unknown;
mod used;

pub use admission::{Admission, AdmissionLimits, Permit, RoutePermit, Shed, ShedScope, Sheds};
pub use callers::Caller;
pub use ledger::{Ledger, LedgerLimits};
pub use mac::Mac;
pub use project::{
    ClientAddress, CredentialKind, FormerCredential, IdMerge, Project, ProjectSettings, ServiceAccount,
};
pub use reason::{Reason, Rule, UnknownReason};
pub use refusals::{Refusal, SAMPLE_BYTES_MAX, clip_sample};
pub use registry::{Change, Registry};
pub use rows::{Counts, Kind, Row};
pub use tally::{HandedOver, Owner, Received, Tally};
pub use token_use::UsedToken;
pub use unknown::UnknownToken;
pub use used::{Credential, Uses};
