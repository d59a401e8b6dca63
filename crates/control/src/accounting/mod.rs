//! The accounting by minute, and the stamps of last use: what the server's bookkeeper writes.
//!
//! Counts are booked in pages of many owners and not in rows of each: a row costs a search in a tree, and with a million
//! busy projects nearly every event is the first of its project's minute.
//!
//! # Invariants
//! * The rows and the positions in the log that they reach to change together: whatever a crash leaves, each
//!   record of the log is counted as stored once, or lies behind its lane's position.

mod page;
mod pages;
mod received;

pub(crate) use page::PageRow;
pub(crate) use pages::{Range, each_row, of_rows};
pub(crate) use received::{forget, settle, under_the_only_token};

use std::collections::BTreeMap;

use forebay_record::{LaneId, Position, ProjectId, Seq};
use forebay_route::{Credential, Kind, Mac, Owner, Reason, Row, UsedToken, Uses};
use rusqlite::params;

use crate::{Control, StoreError, audit, control::Job, project};

/// How long and how much is kept; see [`Control::prune`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The accounting by minute is kept for so long, then summed up by hour.
    pub minutes_days: u32,
    /// The accounting by hour is kept for so long, then summed up for good.
    pub accounting_days: u32,
    /// More counts of an owner, a minute and a kind than this are not kept: the oldest are summed up before their time.
    pub accounting_rows: u32,
    /// The audit is kept for so long.
    pub audit_days: u32,
}

impl Default for Keep {
    fn default() -> Keep {
        // Some 40 MiB. A hundred busy projects with three kinds of rows have 860,000 by minute in two days, and 650,000
        // by hour in ninety; of a million all busy at once, two or three minutes are told apart.
        Keep { minutes_days: 2, accounting_days: 90, accounting_rows: 8_000_000, audit_days: 730 }
    }
}

/// What [`Control::close_books`] booked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClosedBooks {
    /// Events that were stored and not counted.
    pub stored: u64,
    /// Events that came in and were lost with the process: nobody was told that they are stored.
    pub interrupted: u64,
}

const DAY_MS: u64 = 24 * pages::HOUR_MS;

/// A credential that is taken no longer is shown for so long, with when it was last used.
const FORMER_SHOWN_DAYS: u32 = 30;

impl Control {
    /// Adds rows to the accounting, and says how far the lanes' records are counted with them: all of it or
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the rows are then to be put back into the ledger.
    pub fn record_accounting(&self, rows: &[Row], counted: &[Position]) -> Result<(), StoreError> {
        if rows.is_empty() && counted.is_empty() {
            return Ok(());
        }
        self.change(|job| {
            pages::book(job, rows)?;
            set_counted(job, counted)
        })
    }

    /// How far the accounting has counted each lane's records, as last recorded with rows. A lane that is not
    /// there has not been counted at all; no lane is, where an earlier version kept the accounting.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counted(&self) -> Result<Vec<Position>, StoreError> {
        self.read(|job| {
            let position =
                |row: &rusqlite::Row<'_>| Ok(Position { lane: LaneId(row.get(0)?), seq: Seq(row.get(1)?) });
            job.rows("SELECT lane, seq FROM counted ORDER BY lane", [], position)
        })
    }

    /// Brings the accounting up to date with what the last process left. `stored` are its records in the log
    /// that were not counted, of kind [`Kind::Stored`]; with them all up to `counted` are. Those that did not
    /// stand in the accounting as received do now; what does, and has not been stored or refused, was lost
    /// with the process: it counts as refused, reason `interrupted`. To be called once, before the first
    /// [`Control::record_accounting`].
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub fn close_books(&self, stored: &[Row], counted: &[Position]) -> Result<ClosedBooks, StoreError> {
        self.change(|job| {
            let mut in_flight: BTreeMap<i64, i64> = BTreeMap::new();
            each_row(job, Range::ALL, |_, row| {
                let events = i64::try_from(row.events).unwrap_or(i64::MAX);
                let of_owner = in_flight.entry(row.owner).or_default();
                *of_owner += if row.kind == Kind::Received { events } else { -events };
            })?;
            let mut open: BTreeMap<Owner, u64> = in_flight
                .into_iter()
                .filter_map(|(owner, events)| Some((owner_of(owner)?, u64::try_from(events).ok()?)))
                .collect();
            let mut closed = ClosedBooks::default();
            let mut missing = Vec::new();
            for row in stored {
                closed.stored += row.events;
                let in_flight = open.entry(row.owner).or_default();
                let known = row.events.min(*in_flight);
                *in_flight -= known;
                let events = row.events - known;
                if events > 0 {
                    // Which of the row's events are new is not known: so they have their share of its bytes.
                    let bytes = u128::from(row.bytes) * u128::from(events) / u128::from(row.events);
                    let bytes = u64::try_from(bytes).unwrap_or(row.bytes);
                    missing.push(Row { kind: Kind::Received, events, bytes, ..*row });
                }
            }
            let minute_ms = job.now_ms - job.now_ms % 60_000;
            for (owner, events) in open.into_iter().filter(|&(_, events)| events > 0) {
                let kind = Kind::Rejected(Reason::Interrupted);
                missing.push(Row { minute_ms, owner, kind, events, bytes: 0 });
                closed.interrupted += events;
            }
            missing.extend_from_slice(stored);
            pages::book(job, &missing)?;
            set_counted(job, counted)?;
            Ok(closed)
        })
    }

    /// Notes how credentials were used, and the tokens of projects that have several.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_used(&self, used: &[(Credential, Uses)], tokens: &[UsedToken]) -> Result<(), StoreError> {
        if used.is_empty() && tokens.is_empty() {
            return Ok(());
        }
        self.change(|job| {
            for (credential, uses) in used {
                stamp(job, credential, *uses)?;
            }
            for token in tokens {
                // A token that is no text is in no table.
                let Ok(text) = std::str::from_utf8(&token.token) else { continue };
                let sql = "UPDATE tokens SET events = events + ?3, last_used_ms = ?4 \
                           WHERE token = ?1 AND project_id = ?2";
                let minute_ms = token.last_ms - token.last_ms % 60_000;
                job.execute(sql, params![text, token.project.as_u64(), token.events, minute_ms])?;
                received::note(job, token.project.as_u64(), token.events)?;
            }
            Ok(())
        })
    }

    /// Merges what was booked in minutes that are over, and keeps the accounting within its bound. To be called after
    /// bookings; what waits is no less counted.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub fn merge_accounting(&self, keep: Keep) -> Result<(), StoreError> {
        if !self.read(pages::is_due)? {
            return Ok(());
        }
        self.change(|job| {
            pages::merge_due(job)?;
            pages::bound(job, keep.accounting_rows.into())
        })
    }

    /// Sums up what is older, or more, than `keep`, and deletes the audit's oldest, former credentials that are not shown any
    /// more, and the projects whose time to be had back is over. Totals stay what they
    /// were. To be called every hour or so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prune(&self, keep: Keep) -> Result<(), StoreError> {
        self.change_as("server", |job| {
            let since = |days: u32| job.now_ms.saturating_sub(u64::from(days) * DAY_MS);
            pages::merge_all(job)?;
            pages::sum_up_by_hour(job, since(keep.minutes_days))?;
            pages::sum_up_for_good(job, since(keep.accounting_days))?;
            pages::bound(job, keep.accounting_rows.into())?;
            let sql = "DELETE FROM former_credentials WHERE ends_at_ms < ?1";
            job.execute(sql, [since(FORMER_SHOWN_DAYS)])?;
            project::purge(job)?;
            audit::chain::prune(job, since(keep.audit_days))
        })
    }
}

fn set_counted(job: &Job<'_>, counted: &[Position]) -> Result<(), StoreError> {
    for at in counted {
        job.execute(
            "INSERT INTO counted (lane, seq) VALUES (?1, ?2) \
             ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE seq <> excluded.seq",
            params![at.lane.0, at.seq.0],
        )?;
    }
    Ok(())
}

/// Notes the use of a credential; by its digest, as a project or an account may have two for a while.
fn stamp(job: &Job<'_>, credential: &Credential, uses: Uses) -> Result<(), StoreError> {
    let Uses { count, last_ms } = uses;
    let of_project = |column: &str, mac: &Mac| {
        let sql = format!(
            "UPDATE projects SET {column}_last_used_ms = ?2, {column}_uses = {column}_uses + ?3 \
             WHERE {column}_mac = ?1"
        );
        if job.execute(&sql, params![mac.0, last_ms, count])? == 0 {
            let sql = "UPDATE former_credentials SET last_used_ms = ?2, uses = uses + ?3 WHERE mac = ?1";
            job.execute(sql, params![mac.0, last_ms, count])?;
        }
        Ok(())
    };
    match credential {
        Credential::ApiKey(mac) => of_project("api_key", mac),
        Credential::ApiSecret(mac) => of_project("api_secret", mac),
        Credential::ServiceAccount(username, mac) => {
            let sql = "UPDATE service_accounts SET last_used_ms = ?3, uses = uses + ?4 \
                       WHERE username = ?1 AND secret_mac = ?2";
            if job.execute(sql, params![&**username, mac.0, last_ms, count])? == 0 {
                let sql = "UPDATE service_accounts SET former_last_used_ms = ?3, former_uses = former_uses + ?4 \
                           WHERE username = ?1 AND former_mac = ?2";
                job.execute(sql, params![&**username, mac.0, last_ms, count])?;
            }
            Ok(())
        }
    }
}

/// An owner as the tables have it.
pub(crate) fn owner_code(owner: Owner) -> i64 {
    match owner {
        Owner::Nobody => 0,
        Owner::Unclaimed => -1,
        Owner::Project(id) => i64::try_from(id.as_u64()).unwrap_or(i64::MAX),
    }
}

/// The reverse of [`owner_code`].
pub(crate) fn owner_of(code: i64) -> Option<Owner> {
    match code {
        0 => Some(Owner::Nobody),
        -1 => Some(Owner::Unclaimed),
        id => u64::try_from(id).ok().and_then(ProjectId::new).map(Owner::Project),
    }
}
