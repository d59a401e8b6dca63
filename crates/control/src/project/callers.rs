//! What used a project's API key and secret in the last thirty days: for whoever is about to reset them.
//!
//! # Invariants
//! * Bounded: of a day, [`A_DAY_MAX`] callers of each credential are told apart; what is more counts as nobody's in
//!   particular. Days older than [`DAYS`] go.
//! * Gone with what they are about: when key and secret are reset, and when the project keeps less of addresses.

use forebay_route::{Caller, Uses};
use rusqlite::params;
use serde::Serialize;

use crate::{Acting, Control, PeopleError, ProjectRole, StoreError, control::Job};

const DAY_MS: u64 = 24 * 3_600_000;
const DAYS: u64 = 30;
const A_DAY_MAX: u64 = 50;

/// Somebody who used a project's API key or secret in the last thirty days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CallerInfo {
    /// Whether it was the secret; else the key.
    pub is_secret: bool,
    /// What the program calls itself; empty where it does not say, or where they were too many to be told apart.
    pub user_agent: String,
    /// From where, as far as the project keeps addresses.
    pub address: Option<String>,
    /// In how many requests.
    pub uses: u64,
    /// When last, in milliseconds since the epoch.
    pub last_ms: u64,
}

impl Control {
    /// Notes who used which projects' credentials.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_callers(&self, callers: &[(Caller, Uses)]) -> Result<(), StoreError> {
        if callers.is_empty() {
            return Ok(());
        }
        self.change(|job| callers.iter().try_for_each(|(caller, uses)| record(job, caller, *uses)))
    }
}

impl Acting<'_> {
    /// Who used a project's API key and secret in the last thirty days, the last one first: an admin's to see.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn callers(&self, id: u64) -> Result<Vec<CallerInfo>, PeopleError> {
        self.read(|job| {
            self.require_project(job, id, ProjectRole::Admin)?;
            let since = (job.now_ms / DAY_MS).saturating_sub(DAYS);
            let sql = "SELECT kind = 'api_secret', user_agent, address, sum(uses), max(last_ms) FROM callers \
                       WHERE project_id = ?1 AND day > ?2 GROUP BY kind, user_agent, address \
                       ORDER BY 5 DESC, user_agent, address";
            Ok(job.rows(sql, params![id, since], |row| {
                Ok(CallerInfo {
                    is_secret: row.get(0)?,
                    user_agent: row.get(1)?,
                    address: Some(row.get::<_, String>(2)?).filter(|address| !address.is_empty()),
                    uses: row.get(3)?,
                    last_ms: row.get(4)?,
                })
            })?)
        })
    }
}

fn record(job: &Job<'_>, caller: &Caller, uses: Uses) -> Result<(), StoreError> {
    let (project, day) = (caller.project.as_u64(), uses.last_ms / DAY_MS);
    let kind = if caller.is_secret { "api_secret" } else { "api_key" };
    let address = caller.address.map_or(String::new(), |address| address.to_string());
    let sql = "UPDATE callers SET uses = uses + ?6, last_ms = max(last_ms, ?7) \
               WHERE project_id = ?1 AND kind = ?2 AND day = ?3 AND user_agent = ?4 AND address = ?5";
    let row = params![project, kind, day, &*caller.user_agent, address, uses.count, uses.last_ms];
    if job.execute(sql, row)? == 1 {
        return Ok(());
    }
    let sql = "SELECT count(*) FROM callers WHERE project_id = ?1 AND kind = ?2 AND day = ?3";
    let of_day: u64 = job.row(sql, params![project, kind, day], |row| row.get(0))?.unwrap_or_default();
    let (user_agent, address) =
        if of_day < A_DAY_MAX { (&*caller.user_agent, address.as_str()) } else { ("", "") };
    // Of a project that was deleted meanwhile nothing is noted.
    let sql = "INSERT INTO callers (project_id, kind, day, user_agent, address, uses, last_ms) \
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM projects WHERE id = ?1) \
               ON CONFLICT DO UPDATE SET uses = uses + excluded.uses, last_ms = max(last_ms, excluded.last_ms)";
    job.execute(sql, params![project, kind, day, user_agent, address, uses.count, uses.last_ms])?;
    let sql = "DELETE FROM callers WHERE project_id = ?1 AND day <= ?2";
    job.execute(sql, params![project, (job.now_ms / DAY_MS).saturating_sub(DAYS)])?;
    Ok(())
}

/// Forgets who used a project's key and secret.
pub(crate) fn forget(job: &Job<'_>, project: u64) -> Result<(), StoreError> {
    job.execute("DELETE FROM callers WHERE project_id = ?1", [project]).map(drop)
}
