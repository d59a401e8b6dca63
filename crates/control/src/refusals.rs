//! The last refusals and the unknown tokens, kept across restarts, bounded.

use std::collections::BTreeSet;

use forebay_route::{Owner, Refusal, UnknownToken};
use rusqlite::params;

use crate::{
    Control, StoreError,
    accounting::{owner_code, owner_of},
    control::only_if,
};

/// Kept for one owner.
const REFUSALS_PER_OWNER: i64 = 100;

/// Kept in all: at 1 KiB each, some 10 MiB.
const REFUSALS_TOTAL: i64 = 10_000;

/// Kept of unknown tokens: those seen last.
const UNKNOWN_TOKENS: i64 = 10_000;

/// A refusal as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRefusal {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Whose events.
    pub owner: Owner,
    /// The endpoint they came in on.
    pub endpoint: String,
    /// Why: the stable name.
    pub reason: String,
    /// What exactly.
    pub detail: String,
    /// How many events were refused together.
    pub events: u64,
    /// The beginning of what was refused.
    pub sample: String,
}

/// A token that belongs to no project, as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUnknownToken {
    /// The token as sent.
    pub token: Vec<u8>,
    /// Events seen under it, while it was among those seen most.
    pub events: u64,
    /// When it was first seen.
    pub first_seen_ms: u64,
    /// When it was last seen.
    pub last_seen_ms: u64,
}

impl Control {
    /// Keeps refusals: all of them or none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_refusals(&self, refusals: &[Refusal]) -> Result<(), StoreError> {
        if refusals.is_empty() {
            return Ok(());
        }
        self.change(|job| {
            for refusal in refusals {
                job.execute(
                    "INSERT INTO refusals (at_ms, owner, endpoint, reason, detail, events, sample) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        refusal.at_ms,
                        owner_code(refusal.owner),
                        refusal.endpoint.as_str(),
                        refusal.reason.as_str(),
                        &*refusal.detail,
                        refusal.events,
                        &*refusal.sample
                    ],
                )?;
            }
            for owner in refusals.iter().map(|refusal| refusal.owner).collect::<BTreeSet<_>>() {
                job.execute(
                    "DELETE FROM refusals WHERE owner = ?1 AND id <= (SELECT id FROM refusals WHERE owner = ?1 \
                     ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                    params![owner_code(owner), REFUSALS_PER_OWNER],
                )?;
            }
            job.execute("DELETE FROM refusals WHERE id <= (SELECT max(id) FROM refusals) - ?1", [REFUSALS_TOTAL])?;
            Ok(())
        })
    }

    /// The last refusals, newest first: of `owner`, or of all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rejects(&self, owner: Option<Owner>, limit: usize) -> Result<Vec<StoredRefusal>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT at_ms, owner, endpoint, reason, detail, events, sample FROM refusals WHERE {} \
             ORDER BY id DESC LIMIT ?2",
            only_if(owner, "owner")
        );
        self.read(|job| {
            job.rows(&sql, params![owner.map(owner_code), limit], |row| {
                Ok(StoredRefusal {
                    at_ms: row.get(0)?,
                    owner: owner_of(row.get(1)?).unwrap_or(Owner::Nobody),
                    endpoint: row.get(2)?,
                    reason: row.get(3)?,
                    detail: row.get(4)?,
                    events: row.get(5)?,
                    sample: row.get(6)?,
                })
            })
        })
    }

    /// Adds what was seen of unknown tokens: all of it or nothing. Tokens that a project has by now are
    /// left out.
    ///
    /// # Errors
    /// [`StoreError`]; the tokens are then to be put back into the ledger.
    pub fn record_unknown_tokens(&self, tokens: &[UnknownToken]) -> Result<(), StoreError> {
        if tokens.is_empty() {
            return Ok(());
        }
        self.change(|job| {
            for token in tokens {
                job.execute(
                    "INSERT INTO unknown_tokens (token, events, first_seen_ms, last_seen_ms) \
                     SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS \
                     (SELECT 1 FROM tokens WHERE token = CAST(?1 AS TEXT)) \
                     ON CONFLICT DO UPDATE SET events = events + excluded.events, \
                     last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)",
                    params![&*token.token, token.events, token.first_seen_ms, token.last_seen_ms],
                )?;
            }
            job.execute(
                "DELETE FROM unknown_tokens WHERE token IN (SELECT token FROM unknown_tokens \
                 ORDER BY last_seen_ms DESC, events DESC LIMIT -1 OFFSET ?1)",
                [UNKNOWN_TOKENS],
            )?;
            Ok(())
        })
    }

    /// The unknown tokens seen most, most first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unknown_tokens(&self, limit: usize) -> Result<Vec<StoredUnknownToken>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT token, events, first_seen_ms, last_seen_ms FROM unknown_tokens \
                   ORDER BY events DESC, token LIMIT ?1";
        self.read(|job| {
            job.rows(sql, [limit], |row| {
                Ok(StoredUnknownToken {
                    token: row.get(0)?,
                    events: row.get(1)?,
                    first_seen_ms: row.get(2)?,
                    last_seen_ms: row.get(3)?,
                })
            })
        })
    }
}
