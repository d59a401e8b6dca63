//! A project's tokens, API key and API secret, through their life: seen, replaced with time to follow, retired.
//!
//! # Invariants
//! * Only owners see the secret again or replace it, with their password; each is in the audit.
//! * What is replaced or retired ends on time without anybody's doing: it is left out of what a running server is
//!   told (see `watch`).

use std::{fmt, str::FromStr};

use rusqlite::params;
use serde::Serialize;

use super::{
    API_KEY, API_SECRET, ProjectInfo, callers, forebay_id, info, insert_token, rows::Sealed, set_credential,
    uid, unseal,
};
use crate::{
    Acting, PasswordProof, PeopleError, ProjectError, ProjectRole, StoreError, accounting,
    control::{Changed, Job},
    keyring::new_credential,
    outbox::{Notice, project_owners, tell},
};

/// Of one project at a time; the one that ends first gives way.
const FORMER_MAX: u64 = 20;

/// How long what is replaced is taken a while longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grace {
    /// Not at all: it may have leaked.
    #[default]
    None,
    /// One hour.
    Hour,
    /// A day.
    Day,
    /// A week.
    Week,
}

impl Grace {
    /// All, the shortest first.
    pub const ALL: [Grace; 4] = [Grace::None, Grace::Hour, Grace::Day, Grace::Week];

    /// How it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Grace::None => "0",
            Grace::Hour => "1h",
            Grace::Day => "24h",
            Grace::Week => "7d",
        }
    }

    /// In milliseconds.
    #[must_use]
    pub fn as_ms(self) -> u64 {
        match self {
            Grace::None => 0,
            Grace::Hour => 3_600_000,
            Grace::Day => 24 * 3_600_000,
            Grace::Week => 7 * 24 * 3_600_000,
        }
    }

    /// When it ends that began at `now_ms`; `None`: it does not begin.
    pub(crate) fn end(self, now_ms: u64) -> Option<u64> {
        (self != Grace::None).then(|| now_ms + self.as_ms())
    }
}

impl FromStr for Grace {
    type Err = String;

    fn from_str(text: &str) -> Result<Grace, String> {
        let found = Grace::ALL.into_iter().find(|grace| grace.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no time to follow; there are 0, 1h, 24h, 7d"))
    }
}

/// A project's API key and secret in plain.
#[derive(Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Credentials {
    /// The project's number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its API key.
    pub api_key: String,
    /// Its API secret.
    pub api_secret: String,
    /// Until when those before are taken too, if they were just replaced and are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_end_at_ms: Option<u64>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Acting<'_> {
    /// A project's API key and secret, for an owner to see again.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn reveal_credentials(&self, id: u64, proof: &PasswordProof) -> Result<Credentials, PeopleError> {
        self.check_proof(proof)?;
        self.change(|job| {
            self.require_project(job, id, ProjectRole::Owner)?;
            let project = info(job, id)?;
            let uid = uid(job, id)?;
            job.audit("project.secret_revealed", &id.to_string(), "")?;
            Ok(Credentials {
                id,
                name: project.name,
                api_key: unseal(job, id, &uid, API_KEY)?,
                api_secret: unseal(job, id, &uid, API_SECRET)?,
                former_end_at_ms: None,
            })
        })
    }

    /// Gives a project a new API key and secret: an owner's. Those it had are taken for `grace`; without, none but the
    /// new ones are from now on.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn reset_credentials(
        &self,
        id: u64,
        grace: Grace,
        proof: &PasswordProof,
    ) -> Result<Credentials, PeopleError> {
        self.check_proof(proof)?;
        let (api_key, api_secret) = (new_credential()?, new_credential()?);
        self.change(|job| {
            self.require_project(job, id, ProjectRole::Owner)?;
            let project = info(job, id)?;
            let uid = uid(job, id)?;
            let former_end_at_ms = grace.end(job.now_ms);
            match former_end_at_ms {
                Some(end) => {
                    keep_former(job, id, API_KEY, end)?;
                    keep_former(job, id, API_SECRET, end)?;
                }
                None => end_former(job, id)?,
            }
            set_credential(job, id, &uid, API_KEY, &api_key)?;
            set_credential(job, id, &uid, API_SECRET, &api_secret)?;
            // Who uses the new ones, or still those before, is seen from now on.
            callers::forget(job, id)?;
            let detail = format!("those before are taken for {}", grace.as_str());
            job.changed(Changed::Project, &id.to_string(), "project.secret_reset", &detail)?;
            let notice = Notice::SecretReset { project: (id, &project.name), grace: grace.as_str() };
            tell(job, &project_owners(job, id)?, &notice)?;
            Ok(Credentials { id, name: project.name, api_key, api_secret, former_end_at_ms })
        })
    }

    /// Takes none but the present API key and secret of a project from now on: an owner's.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn end_former_credentials(&self, id: u64) -> Result<ProjectInfo, PeopleError> {
        self.change(|job| {
            self.require_project(job, id, ProjectRole::Owner)?;
            end_former(job, id)?;
            job.changed(Changed::Project, &id.to_string(), "project.former_secrets_ended", "")?;
            Ok(info(job, id)?)
        })
    }

    /// Lets `token` send to a project too: an admin's. Events kept unclaimed under it read as the project's. So a team
    /// brings the token that its shipped apps have.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn add_token(&self, id: u64, token: &str) -> Result<ProjectInfo, PeopleError> {
        self.change(|job| {
            self.require_project(job, id, ProjectRole::Admin)?;
            let project = info(job, id)?;
            if project.tokens.iter().any(|known| known.token == token) {
                return Ok(project);
            }
            accounting::settle(job, id)?;
            insert_token(job, id, token)?;
            job.changed(Changed::Project, &id.to_string(), "project.token_added", token)?;
            Ok(info(job, id)?)
        })
    }

    /// Gives a project another token, beside those it has: the last of those shown.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn new_token(&self, id: u64) -> Result<ProjectInfo, PeopleError> {
        self.add_token(id, &new_credential()?)
    }

    /// Lets a token send until `at_ms`, and no longer: an owner's. It stays the project's, so that nobody else takes it;
    /// `None` takes the retirement back.
    ///
    /// # Errors
    /// [`ProjectError::TokenUnknown`], [`ProjectError::LastToken`] and others.
    pub fn retire_token(&self, id: u64, token: &str, at_ms: Option<u64>) -> Result<ProjectInfo, PeopleError> {
        self.change(|job| {
            self.require_project(job, id, ProjectRole::Owner)?;
            let project = info(job, id)?;
            check_token(&project, token, at_ms.is_some())?;
            let at_ms = at_ms.map(|at_ms| at_ms.max(job.now_ms));
            accounting::settle(job, id)?;
            job.execute("UPDATE tokens SET ends_at_ms = ?2 WHERE token = ?1", params![token, at_ms])?;
            let detail = match at_ms {
                Some(at_ms) => format!("{token} at {at_ms} ms"),
                None => format!("{token} taken back"),
            };
            job.changed(Changed::Project, &id.to_string(), "project.token_retired", &detail)?;
            Ok(info(job, id)?)
        })
    }

    /// Stops `token` from sending to a project, and forgets it: an owner's.
    ///
    /// # Errors
    /// [`ProjectError::TokenUnknown`], [`ProjectError::LastToken`] and others.
    pub fn remove_token(&self, id: u64, token: &str) -> Result<ProjectInfo, PeopleError> {
        self.change(|job| {
            self.require_project(job, id, ProjectRole::Owner)?;
            let project = info(job, id)?;
            check_token(&project, token, true)?;
            accounting::settle(job, id)?;
            job.execute("DELETE FROM tokens WHERE token = ?1", [token])?;
            job.changed(Changed::Project, &id.to_string(), "project.token_removed", token)?;
            Ok(info(job, id)?)
        })
    }
}

/// Demands that the project has the token, and one besides that stays, if this one goes.
fn check_token(project: &ProjectInfo, token: &str, goes: bool) -> Result<(), ProjectError> {
    let id = forebay_id(project.id)?;
    if !project.tokens.iter().any(|known| known.token == token) {
        return Err(ProjectError::TokenUnknown { id, token: token.to_owned() });
    }
    let stays = project.tokens.iter().any(|other| other.token != token && other.ends_at_ms.is_none());
    if goes && !stays { Err(ProjectError::LastToken { id }) } else { Ok(()) }
}

/// Takes what a project has now until `end_ms`, when it is about to be replaced.
fn keep_former(job: &Job<'_>, id: u64, which: Sealed, end_ms: u64) -> Result<(), StoreError> {
    let column = which.column;
    let sql = format!(
        "INSERT OR REPLACE INTO former_credentials (mac, project_id, kind, replaced_at_ms, ends_at_ms, last_used_ms) \
         SELECT {column}_mac, id, '{column}', ?2, ?3, {column}_last_used_ms FROM projects WHERE id = ?1"
    );
    job.execute(&sql, params![id, job.now_ms, end_ms])?;
    let sql = "DELETE FROM former_credentials WHERE project_id = ?1 AND mac NOT IN \
               (SELECT mac FROM former_credentials WHERE project_id = ?1 ORDER BY ends_at_ms DESC LIMIT ?2)";
    job.execute(sql, [id, FORMER_MAX])?;
    Ok(())
}

fn end_former(job: &Job<'_>, id: u64) -> Result<(), StoreError> {
    let sql = "UPDATE former_credentials SET ends_at_ms = ?2 WHERE project_id = ?1 AND ends_at_ms > ?2";
    job.execute(sql, params![id, job.now_ms]).map(drop)
}
