//! The first person: whoever opens the link that the first start prints becomes an owner.
//!
//! # Invariants
//! * There is a set-up code only while there are no people; it counts once, and ends after a time.
//! * A new code ends the one before: each start, and `forebay owner setup-link`, make one.

use std::fmt;

use rusqlite::params;
use serde::Serialize;

use super::{NewPerson, Person, Ready, person};
use crate::{
    Control, OrganisationRole, PeopleError, StoreError, control::Job, keyring::new_credential,
    organisation::give, project,
};

/// Long enough for a first start in the evening and a set-up the next day.
const OPEN_MS: u64 = 24 * 3_600_000;

/// A set-up code: the only time it is told.
#[derive(Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SetupCode {
    /// What whoever sets up shows.
    pub code: String,
    /// Until when it can be used, in milliseconds since the epoch.
    pub expires_at_ms: u64,
}

impl fmt::Debug for SetupCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetupCode").field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

impl Control {
    /// A code for setting up, while there are no people: for whoever runs the server to print. Ends the one before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn new_setup_code(&self) -> Result<Option<SetupCode>, StoreError> {
        let code = new_credential()?;
        self.change(|job| {
            job.execute("DELETE FROM setup_codes", [])?;
            if anybody(job)? {
                return Ok(None);
            }
            let expires_at_ms = job.now_ms + OPEN_MS;
            let mac = job.control.mac(code.as_bytes()).0;
            let sql = "INSERT INTO setup_codes (mac, created_at_ms, expires_at_ms) VALUES (?1, ?2, ?3)";
            job.execute(sql, params![mac, job.now_ms, expires_at_ms])?;
            job.audit("setup.code_made", "setup", "")?;
            Ok(Some(SetupCode { code, expires_at_ms }))
        })
    }

    /// Whether somebody still has to set up: there are no people.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn awaits_setup(&self) -> Result<bool, StoreError> {
        self.read(|job| Ok(!anybody(job)?))
    }

    /// Whether a code may set up.
    ///
    /// # Errors
    /// [`PeopleError::SetupCodeGone`] if not.
    pub fn check_setup_code(&self, code: &str) -> Result<(), PeopleError> {
        self.read(|job| check(job, code))
    }

    /// Enters the first person, as an owner of the first organisation; with a name, it is called so.
    ///
    /// # Errors
    /// [`PeopleError::SetupCodeGone`] and those of entering a person.
    pub fn set_up(
        &self,
        code: &str,
        new: &NewPerson,
        organisation_name: Option<&str>,
    ) -> Result<Person, PeopleError> {
        self.check_setup_code(code)?;
        let ready = Ready::of(new)?;
        organisation_name.map_or(Ok(()), super::check_name)?;
        self.change_as("setup", |job| {
            check(job, code)?;
            job.execute("DELETE FROM setup_codes", [])?;
            let organisation = project::first_organisation(job)?;
            if let Some(name) = organisation_name {
                job.execute("UPDATE organisations SET name = ?2 WHERE id = ?1", params![organisation, name])?;
                let detail = format!("name {name:?}");
                job.audit("organisation.changed", &organisation.to_string(), &detail)?;
            }
            let id = ready.enter(job)?;
            give(job, organisation, id, None, OrganisationRole::Owner)?;
            person(job, id)
        })
    }
}

fn anybody(job: &Job<'_>) -> Result<bool, StoreError> {
    Ok(job.row("SELECT 1 FROM people LIMIT 1", [], |_| Ok(()))?.is_some())
}

fn check(job: &Job<'_>, code: &str) -> Result<(), PeopleError> {
    let sql = "SELECT 1 FROM setup_codes WHERE mac = ?1 AND expires_at_ms > ?2";
    let found = job.row(sql, params![job.control.mac(code.as_bytes()).0, job.now_ms], |_| Ok(()))?;
    if found.is_some() && !anybody(job)? { Ok(()) } else { Err(PeopleError::SetupCodeGone) }
}
