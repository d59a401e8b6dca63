//! The reading side: raw export over HTTP and to files.
//!
//! A [`Query`] says what is wanted, with a [`Condition`] on properties if it likes; a [`Reader`] finds it in the log, a [`Renderer`] turns each event into the
//! line that the API promises. A [`Census`] knows what events are called. [`ExportMount`] serves both over HTTP, within
//! [`QueryLimits`].
//!
//! # Invariants
//! * Only an API secret or a service account reads; a token or an API key never does.
//! * An answer that ends well is complete; one that could not be completed ends as a broken stream.

mod census;
mod condition;
mod json;
mod keys;
mod limits;
mod mount;
mod names;
mod notes;
mod query;
mod quick;
mod read;
mod refused;
mod render;
#[cfg(test)]
mod sample;
mod stream;
mod tokens;

pub use census::{Census, CensusError, Names};
pub use condition::Condition;
pub use json::{Malformed, one_line};
pub use limits::QueryLimits;
pub use mount::{ExportMount, NoFile};
pub use query::{BadQuery, LIMIT_MAX, Query, days};
pub use read::{AddressHash, ExportError, More, Reader, Subject, address_hash};
pub use render::{Event, Renderer, Style, Unwritten};
