//! Projects and their credentials.
//!
//! # Invariants
//! * A project has at least one token, one API key and one API secret.
//! * Whatever is created or changed shows in `changes` and `audit`, and no credential shows in either.

mod rows;

use std::fmt;

use forebay_record::ProjectId;
use forebay_route::IdMerge;
use serde::Serialize;

use crate::{Control, ProjectError, control::Changed, keyring::new_credential};

use rows::create;
pub(crate) use rows::{
    API_KEY, API_SECRET, first_organisation, forebay_id, info, infos, insert, insert_token, new_uid,
    set_credential, uid, unseal, update,
};

/// A project to be created. What is left out is chosen.
#[derive(Clone, Debug, Default)]
pub struct NewProject {
    /// Its name, for people.
    pub name: String,
    /// Its number, where one is brought along.
    pub id: Option<u64>,
    /// Its token, where one is brought along.
    pub token: Option<String>,
    /// Its API key, where one is brought along.
    pub api_key: Option<String>,
    /// Its API secret, where one is brought along.
    pub api_secret: Option<String>,
    /// How it resolves identities.
    pub id_merge: IdMerge,
}

/// A project just created: the only time its key and secret are shown.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct CreatedProject {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its token.
    pub token: String,
    /// Its API key.
    pub api_key: String,
    /// Its API secret.
    pub api_secret: String,
}

impl fmt::Debug for CreatedProject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedProject")
            .field("id", &self.id)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// A project's new API secret: the only time it is shown.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ResetSecret {
    /// The project's number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its new API secret.
    pub api_secret: String,
}

impl fmt::Debug for ResetSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What is to change of a project; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// The name.
    pub name: Option<String>,
    /// Whether it accepts events.
    pub accepts_events: Option<bool>,
    /// Whether it keeps senders' addresses.
    pub keeps_client_ip: Option<bool>,
    /// How it resolves identities.
    pub id_merge: Option<IdMerge>,
    /// Its own retention; `Some(None)`: the store's.
    pub retention_days: Option<Option<u32>>,
}

/// A token of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// The token.
    pub token: String,
    /// When it was added.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
    /// When events last came in under it, to the minute.
    pub last_used_ms: Option<u64>,
}

/// A project as it is shown: no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProjectInfo {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The token shown for it: its first.
    pub token: String,
    /// All its tokens.
    pub tokens: Vec<TokenInfo>,
    /// Whether it accepts events.
    pub accepts_events: bool,
    /// Whether it keeps senders' addresses.
    pub keeps_client_ip: bool,
    /// How it resolves identities: `original` or `simplified`.
    pub id_merge: &'static str,
    /// Its own retention.
    pub retention_days: Option<u32>,
    /// When it was created.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
    /// When its API key was last used.
    pub api_key_last_used_ms: Option<u64>,
    /// When its API secret was last used.
    pub api_secret_last_used_ms: Option<u64>,
}

impl Control {
    /// Creates organisation and project `default` if there is no project yet.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn ensure_first_project(&self) -> Result<Option<CreatedProject>, ProjectError> {
        self.change(|job| {
            if job.row("SELECT 1 FROM projects LIMIT 1", [], |_| Ok(()))?.is_some() {
                return Ok(None);
            }
            create(job, &NewProject { name: "default".to_owned(), ..NewProject::default() }).map(Some)
        })
    }

    /// The first organisation, that of whoever set up the server; `None` before there is any.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn first_organisation(&self) -> Result<Option<u64>, ProjectError> {
        let sql = "SELECT id FROM organisations ORDER BY id LIMIT 1";
        self.read(|job| Ok(job.row(sql, [], |row| row.get(0))?))
    }

    /// Creates a project. Its key and secret are in the answer and shown never again.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn create_project(&self, new: &NewProject) -> Result<CreatedProject, ProjectError> {
        self.change(|job| create(job, new))
    }

    /// Every project, by number.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn list_projects(&self) -> Result<Vec<ProjectInfo>, ProjectError> {
        self.read(|job| Ok(infos(job, None)?))
    }

    /// One project.
    ///
    /// # Errors
    /// [`ProjectError::NotFound`].
    pub fn show_project(&self, id: u64) -> Result<ProjectInfo, ProjectError> {
        self.read(|job| info(job, id))
    }

    /// Changes a project's settings: rename, disable, enable and the rest.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn change_project(&self, id: u64, change: &ProjectChange) -> Result<ProjectInfo, ProjectError> {
        self.change(|job| {
            let old = info(job, id)?;
            let new = ProjectInfo {
                name: change.name.clone().unwrap_or_else(|| old.name.clone()),
                accepts_events: change.accepts_events.unwrap_or(old.accepts_events),
                keeps_client_ip: change.keeps_client_ip.unwrap_or(old.keeps_client_ip),
                id_merge: change.id_merge.map_or(old.id_merge, IdMerge::as_str),
                retention_days: change.retention_days.unwrap_or(old.retention_days),
                ..old.clone()
            };
            update(job, &old, &new)?;
            Ok(new)
        })
    }

    /// Gives a project another name.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn rename_project(&self, id: u64, name: &str) -> Result<ProjectInfo, ProjectError> {
        self.change_project(id, &ProjectChange { name: Some(name.to_owned()), ..ProjectChange::default() })
    }

    /// Answers a project's senders with `0` from now on.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn disable_project(&self, id: u64) -> Result<ProjectInfo, ProjectError> {
        self.change_project(id, &ProjectChange { accepts_events: Some(false), ..ProjectChange::default() })
    }

    /// Takes a project's events again.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn enable_project(&self, id: u64) -> Result<ProjectInfo, ProjectError> {
        self.change_project(id, &ProjectChange { accepts_events: Some(true), ..ProjectChange::default() })
    }

    /// Gives a project a new API secret, which is in the answer; the old one stops working.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn reset_secret(&self, id: u64) -> Result<ResetSecret, ProjectError> {
        self.change(|job| {
            let project = info(job, id)?;
            let api_secret = new_credential()?;
            set_credential(job, id, &uid(job, id)?, API_SECRET, &api_secret)?;
            job.changed(Changed::Project, &id.to_string(), "project.secret_reset", "")?;
            Ok(ResetSecret { id, name: project.name, api_secret })
        })
    }

    /// Lets `token` send to a project too. Events kept unclaimed under it read as the project's.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn add_token(&self, id: u64, token: &str) -> Result<ProjectInfo, ProjectError> {
        self.change(|job| {
            let project = info(job, id)?;
            if project.tokens.iter().any(|known| known.token == token) {
                return Ok(project);
            }
            insert_token(job, id, token)?;
            job.changed(Changed::Project, &id.to_string(), "project.token_added", token)?;
            info(job, id)
        })
    }

    /// Stops `token` from sending to a project.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn remove_token(&self, id: u64, token: &str) -> Result<ProjectInfo, ProjectError> {
        self.change(|job| {
            let project = info(job, id)?;
            let known = forebay_id(id)?;
            if !project.tokens.iter().any(|known| known.token == token) {
                return Err(ProjectError::TokenUnknown { id: known, token: token.to_owned() });
            }
            if project.tokens.len() == 1 {
                return Err(ProjectError::LastToken { id: known });
            }
            job.execute("DELETE FROM tokens WHERE token = ?1", [token])?;
            job.changed(Changed::Project, &id.to_string(), "project.token_removed", token)?;
            info(job, id)
        })
    }

    /// The project that `token` sends to.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn project_of_token(&self, token: &str) -> Result<Option<ProjectId>, ProjectError> {
        self.read(|job| {
            let sql = "SELECT project_id FROM tokens WHERE token = ?1";
            Ok(job.row(sql, [token], |row| row.get(0))?.and_then(ProjectId::new))
        })
    }
}
