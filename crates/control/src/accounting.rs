//! The accounting by minute, and the stamps of last use: what the server's bookkeeper writes.
//!
//! # Invariants
//! * The rows and the positions in the log that they reach to change together: whatever a crash leaves, each
//!   record of the log is counted as stored once, or lies behind its lane's position.

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
    /// More rows of the accounting than this are not kept: the oldest are summed up before their time.
    pub accounting_rows: u32,
    /// The audit is kept for so long.
    pub audit_days: u32,
}

impl Default for Keep {
    fn default() -> Keep {
        // A hundred busy projects with three kinds of rows have 860,000 by minute in two days: the bound on
        // rows, some 60 MiB, leaves them one day.
        Keep { minutes_days: 2, accounting_days: 90, accounting_rows: 500_000, audit_days: 730 }
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

const HOUR_MS: u64 = 3600 * 1000;

const DAY_MS: u64 = 24 * HOUR_MS;

/// A credential that is taken no longer is shown for so long, with when it was last used.
const FORMER_SHOWN_DAYS: u32 = 30;

/// The minute that stands for all that were pruned.
const PRUNED: u64 = 0;

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
            for row in rows {
                add(job, row)?;
            }
            set_counted(job, counted)?;
            stamp_tokens(job, rows)
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
            let open = job.rows(
                "SELECT owner, sum(CASE kind WHEN 'received' THEN events ELSE -events END) AS open FROM accounting \
                 GROUP BY owner HAVING open > 0",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let mut open: BTreeMap<Owner, u64> = open
                .into_iter()
                .filter_map(|(owner, events)| Some((owner_of(owner)?, events)))
                .collect();
            let mut closed = ClosedBooks::default();
            let mut received = Vec::new();
            for row in stored {
                add(job, row)?;
                closed.stored += row.events;
                let in_flight = open.entry(row.owner).or_default();
                let known = row.events.min(*in_flight);
                *in_flight -= known;
                let events = row.events - known;
                if events > 0 {
                    // Which of the row's events are new is not known: so they have their share of its bytes.
                    let bytes = u128::from(row.bytes) * u128::from(events) / u128::from(row.events);
                    let bytes = u64::try_from(bytes).unwrap_or(row.bytes);
                    received.push(Row { kind: Kind::Received, events, bytes, ..*row });
                }
            }
            let minute_ms = job.now_ms - job.now_ms % 60_000;
            for (owner, events) in open.into_iter().filter(|&(_, events)| events > 0) {
                let kind = Kind::Rejected(Reason::Interrupted);
                add(job, &Row { minute_ms, owner, kind, events, bytes: 0 })?;
                closed.interrupted += events;
            }
            for row in &received {
                add(job, row)?;
            }
            set_counted(job, counted)?;
            stamp_tokens(job, &received)?;
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
            }
            Ok(())
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
            let by_minute = since(keep.minutes_days);
            sum_up(job, by_minute - by_minute % HOUR_MS, Into::TheirHour)?;
            sum_up(job, since(keep.accounting_days), Into::Pruned)?;
            // Down to three quarters, so that the next prune finds room.
            let kept = u64::from(keep.accounting_rows) / 4 * 3;
            let rows: u64 = job.row("SELECT count(*) FROM accounting", [], |row| row.get(0))?.unwrap_or(0);
            if rows > u64::from(keep.accounting_rows) {
                let sql = "SELECT minute_ms FROM accounting ORDER BY minute_ms DESC LIMIT 1 OFFSET ?1";
                let oldest_kept: Option<u64> = job.row(sql, [kept], |row| row.get(0))?;
                sum_up(job, oldest_kept.map_or(0, |minute| minute + 1), Into::Pruned)?;
            }
            let sql = "DELETE FROM former_credentials WHERE ends_at_ms < ?1";
            job.execute(sql, [since(FORMER_SHOWN_DAYS)])?;
            project::purge(job)?;
            audit::chain::prune(job, since(keep.audit_days))
        })
    }
}

#[derive(Clone, Copy)]
enum Into {
    TheirHour,
    Pruned,
}

/// Adds the rows of the minutes before `before_ms` to the row of their hour, or to the sum of all that
/// were pruned, and deletes them.
fn sum_up(job: &Job<'_>, before_ms: u64, into: Into) -> Result<(), StoreError> {
    let (minute, which) = match into {
        // The row of an hour is that of its first minute.
        Into::TheirHour => {
            (format!("minute_ms - minute_ms % {HOUR_MS}"), format!("minute_ms % {HOUR_MS} <> 0"))
        }
        Into::Pruned => (PRUNED.to_string(), format!("minute_ms <> {PRUNED}")),
    };
    let insert = format!(
        "INSERT INTO accounting (minute_ms, owner, kind, reason, events, bytes) \
         SELECT {minute} AS into_ms, owner, kind, reason, sum(events), sum(bytes) FROM accounting \
         WHERE minute_ms < ?1 AND {which} GROUP BY into_ms, owner, kind, reason \
         ON CONFLICT DO UPDATE SET events = events + excluded.events, bytes = bytes + excluded.bytes"
    );
    job.execute(&insert, [before_ms])?;
    job.execute(&format!("DELETE FROM accounting WHERE minute_ms < ?1 AND {which}"), [before_ms])?;
    Ok(())
}

fn add(job: &Job<'_>, row: &Row) -> Result<(), StoreError> {
    job.execute(
        "INSERT INTO accounting (minute_ms, owner, kind, reason, events, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO UPDATE SET events = events + excluded.events, bytes = bytes + excluded.bytes",
        params![
            row.minute_ms,
            owner_code(row.owner),
            row.kind.as_str(),
            row.kind.reason(),
            row.events,
            row.bytes
        ],
    )?;
    Ok(())
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

/// Of a project with one token, as nearly every one is: that one was used in the minute that the events came in. To the
/// minute is enough. Those of projects with several are counted one by one, and noted by [`Control::record_used`].
fn stamp_tokens(job: &Job<'_>, rows: &[Row]) -> Result<(), StoreError> {
    for row in rows.iter().filter(|row| row.kind == Kind::Received) {
        if let Owner::Project(id) = row.owner {
            let sql = "UPDATE tokens SET last_used_ms = max(coalesce(last_used_ms, 0), ?2), events = events + ?3 \
                       WHERE project_id = ?1 AND (ends_at_ms IS NULL OR ends_at_ms > ?4) AND \
                       (SELECT count(*) FROM tokens WHERE project_id = ?1 AND (ends_at_ms IS NULL OR ends_at_ms > ?4)) = 1";
            job.execute(sql, params![id.as_u64(), row.minute_ms, row.events, job.now_ms])?;
        }
    }
    Ok(())
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
