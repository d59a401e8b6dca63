//! GDPR tokens: what a person shows to the interface that retrieves and erases end users' data, and to nothing else.
//!
//! # Invariants
//! * A person has at most one, for at most a year; another one ends it at once.
//! * It is for owners and admins of some project, and ends with the last such role, for good.

use std::fmt;

use rusqlite::params;
use serde::Serialize;

use super::{person, subject};
use crate::{
    Acting, Control, PasswordProof, PeopleError, PersonId, StoreError,
    control::Job,
    keyring::new_credential,
    outbox::{Notice, tell},
};

const DAY_MS: u64 = 24 * 3_600_000;
const DAYS_MAX: u64 = 365;

/// A person's GDPR token as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct GdprTokenInfo {
    /// When it was made, in milliseconds since the epoch.
    pub created_at_ms: u64,
    /// When it ends.
    pub expires_at_ms: u64,
    /// When it was last used.
    pub last_used_ms: Option<u64>,
    /// In how many requests.
    pub uses: u64,
}

/// A GDPR token just made: the only time it is told.
#[derive(Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct GdprToken {
    /// What is shown with each request, as a bearer token.
    pub token: String,
    /// When it ends, in milliseconds since the epoch.
    pub expires_at_ms: u64,
}

impl fmt::Debug for GdprToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GdprToken").field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

impl Acting<'_> {
    /// A person's GDPR token, if they have one that has not ended.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn gdpr_token(&self, id: PersonId) -> Result<Option<GdprTokenInfo>, PeopleError> {
        self.require_self(id)?;
        self.read(|job| {
            person(job, id)?;
            Ok(info(job, id)?)
        })
    }

    /// Gives a person a GDPR token for `days`; the one before ends at once.
    ///
    /// # Errors
    /// [`PeopleError::NoProjectToErase`]; [`PeopleError::ExpiryInvalid`] for more than 365 days, or none.
    pub fn reset_gdpr_token(
        &self,
        id: PersonId,
        days: u32,
        proof: &PasswordProof,
    ) -> Result<GdprToken, PeopleError> {
        self.require_self(id)?;
        self.check_proof(proof)?;
        let token = new_credential()?;
        self.change(|job| {
            person(job, id)?;
            let expires_at_ms = job.now_ms + u64::from(days) * DAY_MS;
            if !(1..=DAYS_MAX).contains(&u64::from(days)) {
                return Err(PeopleError::ExpiryInvalid { expires_at_ms, days_max: DAYS_MAX });
            }
            let sql = "INSERT OR REPLACE INTO gdpr_tokens (person_id, mac, created_at_ms, expires_at_ms) \
                       VALUES (?1, ?2, ?3, ?4)";
            job.execute(sql, params![id.0, mac(job, &token), job.now_ms, expires_at_ms])?;
            lapse(job)?;
            if info(job, id)?.is_none() {
                return Err(PeopleError::NoProjectToErase);
            }
            job.audit("person.gdpr_token_reset", &subject(id), &format!("for {days} days"))?;
            tell(job, &[id], &Notice::GdprTokenReset)?;
            Ok(GdprToken { token, expires_at_ms })
        })
    }

    /// Ends a person's GDPR token.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn end_gdpr_token(&self, id: PersonId) -> Result<(), PeopleError> {
        self.require_self(id)?;
        self.change(|job| {
            person(job, id)?;
            if job.execute("DELETE FROM gdpr_tokens WHERE person_id = ?1", [id.0])? > 0 {
                job.audit("person.gdpr_token_ended", &subject(id), "")?;
            }
            Ok(())
        })
    }
}

impl Control {
    /// The person with that GDPR token, if it has not ended. Notes its use. In which projects they may use it, their role
    /// says: see [`Acting::project_role`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn person_of_gdpr_token(&self, token: &str) -> Result<Option<PersonId>, StoreError> {
        self.change(|job| {
            let sql = "UPDATE gdpr_tokens SET last_used_ms = ?2, uses = uses + 1 WHERE mac = ?1 AND expires_at_ms > ?2";
            let mac = mac(job, token);
            if job.execute(sql, params![mac, job.now_ms])? == 0 {
                return Ok(None);
            }
            let sql = "SELECT person_id FROM gdpr_tokens WHERE mac = ?1";
            job.row(sql, params![mac], |row| row.get(0).map(PersonId))
        })
    }
}

/// Apart from the digests of other credentials: what is one is never the other.
fn mac(job: &Job<'_>, token: &str) -> [u8; 32] {
    job.control.mac(format!("gdpr token: {token}").as_bytes()).0
}

pub(super) fn info(job: &Job<'_>, id: PersonId) -> Result<Option<GdprTokenInfo>, StoreError> {
    let sql = "SELECT created_at_ms, expires_at_ms, last_used_ms, uses FROM gdpr_tokens \
               WHERE person_id = ?1 AND expires_at_ms > ?2";
    job.row(sql, params![id.0, job.now_ms], |row| {
        Ok(GdprTokenInfo {
            created_at_ms: row.get(0)?,
            expires_at_ms: row.get(1)?,
            last_used_ms: row.get(2)?,
            uses: row.get(3)?,
        })
    })
}

/// Ends the tokens of those who are owner or admin of no project any more. Whatever takes a role away calls it.
pub(crate) fn lapse(job: &Job<'_>) -> Result<(), StoreError> {
    let lapsed = job.rows(
        "SELECT person_id FROM gdpr_tokens t WHERE NOT EXISTS (SELECT 1 FROM project_members m \
         JOIN projects p ON p.id = m.project_id WHERE m.person_id = t.person_id AND m.role IN ('owner', 'admin') \
         AND p.deleted_at_ms IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM organisation_members m JOIN projects p ON p.organisation_id = m.organisation_id \
         WHERE m.person_id = t.person_id AND m.role IN ('owner', 'admin') AND p.deleted_at_ms IS NULL)",
        [],
        |row| row.get(0).map(PersonId),
    )?;
    for id in lapsed {
        job.execute("DELETE FROM gdpr_tokens WHERE person_id = ?1", [id.0])?;
        job.audit("person.gdpr_token_lapsed", &subject(id), "owner or admin of no project any more")?;
    }
    Ok(())
}
