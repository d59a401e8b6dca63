//! The accounting by minute, and the stamps of last use: what the server's bookkeeper writes.

use forebay_record::ProjectId;
use forebay_route::{Credential, Kind, Owner, Reason, Row};
use rusqlite::params;

use crate::{Control, StoreError, control::Job};

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

const HOUR_MS: u64 = 3600 * 1000;

const DAY_MS: u64 = 24 * HOUR_MS;

/// The minute that stands for all that were pruned.
const PRUNED: u64 = 0;

impl Control {
    /// Adds rows to the accounting: all of them or none.
    ///
    /// # Errors
    /// [`StoreError`]; the rows are then to be put back into the ledger.
    pub fn record_accounting(&self, rows: &[Row]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.change(|job| {
            for row in rows {
                add(job, row)?;
            }
            stamp_tokens(job, rows)
        })
    }

    /// Judges events that the accounting shows as received and never judged, because the last process
    /// ended before it booked their verdict: they count as refused, reason `interrupted`. To be called
    /// at the start of the server, before anything is received. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn close_books(&self) -> Result<u64, StoreError> {
        self.change(|job| {
            let open = job.rows(
                "SELECT owner, sum(CASE kind WHEN 'received' THEN events ELSE -events END) AS open FROM accounting \
                 GROUP BY owner HAVING open > 0",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let minute_ms = job.now_ms - job.now_ms % 60_000;
            let mut total = 0;
            for (owner, events) in open {
                let Some(owner) = owner_of(owner) else { continue };
                add(job, &Row { minute_ms, owner, kind: Kind::Rejected(Reason::Interrupted), events, bytes: 0 })?;
                total += events;
            }
            Ok(total)
        })
    }

    /// Notes when credentials were last used.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_used(&self, used: &[(Credential, u64)]) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        self.change(|job| {
            for (credential, at_ms) in used {
                match credential {
                    Credential::ApiKey(id) => job.execute(
                        "UPDATE projects SET api_key_last_used_ms = ?2 WHERE id = ?1",
                        params![id.as_u64(), at_ms],
                    ),
                    Credential::ApiSecret(id) => job.execute(
                        "UPDATE projects SET api_secret_last_used_ms = ?2 WHERE id = ?1",
                        params![id.as_u64(), at_ms],
                    ),
                    Credential::ServiceAccount(username) => job.execute(
                        "UPDATE service_accounts SET last_used_ms = ?2 WHERE username = ?1",
                        params![&**username, at_ms],
                    ),
                }?;
            }
            Ok(())
        })
    }

    /// Sums up what is older, or more, than `keep`, and deletes the audit's oldest. Totals stay what they
    /// were. To be called every hour or so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prune(&self, keep: Keep) -> Result<(), StoreError> {
        self.change(|job| {
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
            job.execute("DELETE FROM audit WHERE at_ms < ?1", [since(keep.audit_days)])?;
            Ok(())
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

/// A project's tokens were used in the minute that its events came in. To the minute is enough, and
/// with one token, as nearly every project has, it is that one.
fn stamp_tokens(job: &Job<'_>, rows: &[Row]) -> Result<(), StoreError> {
    for row in rows.iter().filter(|row| row.kind == Kind::Received) {
        if let Owner::Project(id) = row.owner {
            let sql = "UPDATE tokens SET last_used_ms = ?2 \
                       WHERE project_id = ?1 AND coalesce(last_used_ms, 0) < ?2";
            job.execute(sql, params![id.as_u64(), row.minute_ms])?;
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
