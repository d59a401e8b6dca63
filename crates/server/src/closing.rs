//! The books of the last process, closed: what it stored and did not come to book is counted now.
//!
//! The accounting says, in the same transaction as its rows, how far it has counted each lane. What a
//! process leaves in the log behind that, at most the last second's unless it could not book, is read once
//! and booked before anything of this process is.
//!
//! # Invariants
//! * Every record that can be read in the log is counted as stored exactly once, whenever a process ends.
//! * Received = stored + rejected + dropped holds again, for every owner, when the books are closed.

use forebay_control::{ClosedBooks, Control, StoreError, chain};
use forebay_log::{Filter, Log, ReadError, Step, Store};
use forebay_record::{Position, Seq};
use forebay_route::{Kind, Owner, Row};
use std::collections::BTreeMap;

/// What is to be done before this process books anything.
pub(crate) struct Closing {
    store: Store,
    /// Where this process goes on in each lane.
    ends: Vec<Position>,
    /// What was not counted, once that is known.
    unbooked: Option<Vec<Row>>,
}

impl Closing {
    /// To be called before anything is stored.
    pub(crate) fn new(log: &Log, store: Store) -> Closing {
        Closing { store, ends: log.hold_outcomes().told().to_vec(), unbooked: None }
    }

    /// Closes the books. To be called again if it fails, until it does not: nothing may be booked before.
    pub(crate) fn close(&mut self, control: &Control) -> Result<ClosedBooks, StoreError> {
        if self.unbooked.is_none() {
            let counted = control.counted()?;
            self.unbooked = Some(unbooked(&self.store, &counted, &self.ends));
        }
        control.close_books(self.unbooked.as_deref().unwrap_or_default(), &self.ends)
    }
}

/// The minute they were received in, and whose: how many events, of how many bytes.
type Found = BTreeMap<(u64, Owner), (u64, u64)>;

/// What lies in the lanes from where they have been counted to `ends`.
fn unbooked(store: &Store, counted: &[Position], ends: &[Position]) -> Vec<Row> {
    let mut found = Found::new();
    for end in ends {
        let from = match counted.iter().find(|at| at.lane == end.lane) {
            Some(at) => at.seq,
            // The lane is newer than the last booking.
            None if !counted.is_empty() => Seq(0),
            // Kept by a version that did not say how far it had counted, or not kept at all so far.
            None => continue,
        };
        match read(store, from, *end, &mut found) {
            Ok(0) => {}
            Ok(unreadable) => tracing::warn!(
                lane = %end.lane, from = from.0, to = end.seq.0, events = unreadable,
                "stored by the last process and not counted, and not readable: missing in the accounting"
            ),
            // Once, and not again and again: one lane that cannot be read must not stop the accounting.
            Err(e) => tracing::error!(
                lane = %end.lane, from = from.0, to = end.seq.0, error = chain(&e),
                "what the last process stored and did not count cannot be read: missing in the accounting"
            ),
        }
    }
    let row =
        |((minute_ms, owner), (events, bytes))| Row { minute_ms, owner, kind: Kind::Stored, events, bytes };
    found.into_iter().map(row).collect()
}

/// Adds up the records from `from` to `end`; returns how many of them cannot be read.
fn read(store: &Store, from: Seq, end: Position, found: &mut Found) -> Result<u64, ReadError> {
    let mut unreadable = 0;
    if from >= end.seq {
        return Ok(unreadable);
    }
    let mut cursor = store.cursor(end.lane, from, Filter::all())?;
    while cursor.position().seq < end.seq {
        match cursor.next()? {
            Some(Step::Frame(frame)) => {
                let header = frame.header();
                let owner = header.project.map_or(Owner::Unclaimed, Owner::Project);
                let minute_ms = header.received_at_ms - header.received_at_ms % 60_000;
                let counts = found.entry((minute_ms, owner)).or_default();
                // Frames of this process may follow, if this is not the first try.
                for record in frame.records().filter(|record| record.seq < end.seq) {
                    counts.0 += 1;
                    counts.1 += record.json.len() as u64;
                }
            }
            Some(Step::Gap(gap)) => unreadable += gap.to.min(end.seq).0.saturating_sub(gap.from.0),
            None => {
                unreadable += end.seq.0 - cursor.position().seq.0;
                break;
            }
        }
    }
    Ok(unreadable)
}

#[cfg(test)]
mod tests;
