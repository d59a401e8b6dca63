//! The proof behind every answer of success.
//!
//! # Invariants
//! * A [`Stored`] is made in one place, [`Appends::durable`], and only when every record that was to be
//!   kept is covered by the log's own proof or was refused by a rule.

use forebay_log::{Append, Committed, Pending, Refused, StoreError, Submitter};
use forebay_record::LaneId;
use std::fmt;

/// Proof that every record of a request that is to be kept is durable.
#[must_use]
#[derive(Debug)]
pub struct Stored(());

#[cfg(test)]
impl Stored {
    /// For tests of what answers look like.
    pub(crate) fn for_test() -> Stored {
        Stored(())
    }
}

/// The appends that one request makes, from handing them over to their being durable.
#[must_use]
pub(crate) struct Appends {
    /// Records that are to be kept and neither handed over nor refused yet.
    owed: usize,
    first: Option<Pending>,
    /// Nearly every request is for one project, and this stays unallocated.
    rest: Vec<Pending>,
}

/// Why a request's records are not all durable.
#[derive(Debug)]
pub(crate) enum NotStored {
    /// A lane failed to store them.
    Lane(StoreError),
    /// Some were never handed over: a mistake in this crate, kept from becoming a false answer.
    Owed(usize),
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotStored::Lane(error) => error.fmt(f),
            NotStored::Owed(records) => write!(f, "{records} records were never handed to the log"),
        }
    }
}

impl Appends {
    /// For a request with `kept` records to be stored.
    pub(crate) fn of(kept: usize) -> Appends {
        Appends { owed: kept, first: None, rest: Vec::new() }
    }

    /// Hands records over.
    ///
    /// # Errors
    /// When the log does not take them in now; the request as a whole is then not stored.
    pub(crate) fn submit(
        &mut self,
        submitter: &Submitter,
        lane: LaneId,
        append: Append,
    ) -> Result<(), Refused> {
        let records = append.events.len();
        let pending = submitter.submit(lane, append)?;
        self.owed -= records.min(self.owed);
        match &self.first {
            None => self.first = Some(pending),
            Some(_) => self.rest.push(pending),
        }
        Ok(())
    }

    /// So many records are not to be stored after all: a rule refused them.
    pub(crate) fn excuse(&mut self, records: usize) {
        self.owed -= records.min(self.owed);
    }

    /// Waits until all of them are durable.
    ///
    /// # Errors
    /// When one is not. What the other lanes stored is stored: the sender comes back with all of it.
    pub(crate) async fn durable(self) -> Result<Stored, NotStored> {
        if self.owed > 0 {
            return Err(NotStored::Owed(self.owed));
        }
        for pending in self.first.into_iter().chain(self.rest) {
            let _proof: Committed = pending.await.map_err(NotStored::Lane)?;
        }
        Ok(Stored(()))
    }
}
