//! How often somebody reaches out to addresses of their own choice: inviting, having a code sent to an address for notices,
//! signing in by another address. Each may bring mail to people who have not asked for it, and may tell whether an
//! address is known here.
//!
//! # Invariants
//! * Of each person and service account, and of what is done in the name of each organisation, so many an hour are let
//!   through as [`OutreachLimits`] says, and counted in the transaction that lets them through. Whoever may run commands on
//!   the host is not counted.
//! * What a service account does counts for the person, too, who made it, or made the one that made it.
//! * One person creates so many organisations an hour.
//! * What the hour has brought is counted by itself, and not from the outbox, which forgets.

use rusqlite::params;

use crate::{Acting, PeopleError, StoreError, actor::Actor, control::Job};

const HOUR_MS: u64 = 3_600_000;
/// By one person: each has a count of addresses of its own.
const ORGANISATIONS_HOUR_MAX: u64 = 20;

/// How many addresses of their own choice may be reached within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutreachLimits {
    /// By one person or service account.
    pub person_hour_max: u64,
    /// In the name of one organisation, whoever does it.
    pub organisation_hour_max: u64,
}

impl Default for OutreachLimits {
    /// A whole team is invited in one go; thousands of strangers are not.
    fn default() -> OutreachLimits {
        OutreachLimits { person_hour_max: 100, organisation_hour_max: 500 }
    }
}

impl Acting<'_> {
    /// Counts one address more that the actor reaches out to, in the name of `organisation` if any.
    ///
    /// # Errors
    /// [`PeopleError::OutreachExceeded`]. Nothing was counted then.
    pub(crate) fn reach_out(&self, job: &Job<'_>, organisation: Option<u64>) -> Result<(), PeopleError> {
        for who in self.check_outreach(job, organisation)? {
            count(job, &who)?;
        }
        Ok(())
    }

    /// Asks whether one address more would be let through; returns who it would be counted for.
    ///
    /// # Errors
    /// [`PeopleError::OutreachExceeded`].
    pub(crate) fn check_outreach(
        &self,
        job: &Job<'_>,
        organisation: Option<u64>,
    ) -> Result<Vec<String>, PeopleError> {
        let limits = job.control.options.outreach;
        let mut counted = Vec::new();
        match self.actor {
            Actor::Host => return Ok(Vec::new()),
            Actor::Person(_) => {}
            Actor::Account(id) => {
                let sql = "SELECT made_for FROM service_accounts WHERE id = ?1";
                let person: Option<Option<u64>> = job.row(sql, [id], |row| row.get(0))?;
                counted.extend(person.flatten().map(|id| (format!("person:{id}"), limits.person_hour_max)));
            }
        }
        counted.push((job.actor().to_owned(), limits.person_hour_max));
        counted.extend(organisation.map(|id| (format!("organisation:{id}"), limits.organisation_hour_max)));
        for (who, max) in &counted {
            if let Some(retry_after_s) = spent(job, who, *max)? {
                return Err(PeopleError::OutreachExceeded { who: who.clone(), max: *max, retry_after_s });
            }
        }
        Ok(counted.into_iter().map(|(who, _)| who).collect())
    }

    /// Counts one organisation more that the actor creates.
    ///
    /// # Errors
    /// [`PeopleError::TooManyOrganisations`]. Nothing was counted then.
    pub(crate) fn found_one(&self, job: &Job<'_>) -> Result<(), PeopleError> {
        if self.actor == Actor::Host {
            return Ok(());
        }
        let who = format!("organisations of {}", job.actor());
        if let Some(retry_after_s) = spent(job, &who, ORGANISATIONS_HOUR_MAX)? {
            return Err(PeopleError::TooManyOrganisations { max: ORGANISATIONS_HOUR_MAX, retry_after_s });
        }
        Ok(count(job, &who)?)
    }
}

fn count(job: &Job<'_>, who: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO outreach (who, window_ms, addresses) VALUES (?1, ?2, 1) \
               ON CONFLICT (who) DO UPDATE SET addresses = addresses + 1";
    job.execute(sql, params![who, job.now_ms]).map(drop)
}

/// In how many seconds one more may be, if the hour has brought `max`.
fn spent(job: &Job<'_>, who: &str, max: u64) -> Result<Option<u64>, StoreError> {
    // An hour that has passed, or is yet to come by a clock that was set back, counts no more.
    let sql = "DELETE FROM outreach WHERE window_ms <= ?1 OR window_ms > ?2";
    job.execute(sql, params![job.now_ms.saturating_sub(HOUR_MS), job.now_ms])?;
    let sql = "SELECT window_ms, addresses FROM outreach WHERE who = ?1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?));
    let found = job.row(sql, [who], row)?.filter(|(_, addresses)| *addresses >= max);
    Ok(found.map(|(began_ms, _)| {
        let left_ms = (began_ms + HOUR_MS).saturating_sub(job.now_ms);
        left_ms.div_ceil(1000).max(1)
    }))
}
