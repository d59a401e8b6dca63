//! What people do with projects: see, create, change, hand on and delete them, each within their role.

use forebay_record::ProjectId;
use forebay_route::{ClientAddress, IdMerge};
use rusqlite::params;

use super::{
    CreatedProject, DeletedProject, NewProject, ProjectChange, ProjectInfo, ProjectMember, ProjectView,
    create, first_organisation, info, infos, rows, update,
};
use crate::{
    Acting, Control, OrganisationRole, PasswordProof, PeopleError, PersonId, ProjectError, ProjectRole,
    accounting,
    actor::{Actor, role},
    control::{Changed, Job},
    organisation,
    person::lapse_gdpr_tokens,
};

const PROJECTS_OF_PERSON: &str = "SELECT p.id FROM projects p JOIN organisation_members m ON m.organisation_id = p.organisation_id \
     WHERE m.person_id = ?1 AND m.role IN ('owner', 'admin') \
     UNION SELECT project_id FROM project_members WHERE person_id = ?1 ORDER BY 1";
const PROJECTS_OF_ACCOUNT: &str = "SELECT p.id FROM projects p JOIN service_accounts a ON a.organisation_id = p.organisation_id \
     WHERE a.id = ?1 AND a.organisation_role IN ('owner', 'admin') \
     UNION SELECT project_id FROM service_account_projects WHERE service_account_id = ?1 ORDER BY 1";

/// A deleted project can be had back for so long.
pub(crate) const UNDELETE_MS: u64 = 30 * 24 * 3_600_000;

impl Acting<'_> {
    /// Creates a project: an organisation admin's. Its key and secret are in the answer.
    ///
    /// # Errors
    /// [`PeopleError::OrganisationUnclear`] where none is named and there are several, and others.
    pub fn create_project(&self, new: &NewProject) -> Result<CreatedProject, PeopleError> {
        self.change(|job| {
            let organisation = self.organisation_for(job, new.organisation)?;
            self.require(job, organisation, OrganisationRole::Admin)?;
            Ok(create(job, organisation, new)?)
        })
    }

    /// The organisation named, or the only one there is for the actor. The host makes the first one.
    pub(crate) fn organisation_for(&self, job: &Job<'_>, named: Option<u64>) -> Result<u64, PeopleError> {
        if let Some(id) = named {
            return Ok(id);
        }
        let mut own = Vec::new();
        for id in job.rows("SELECT id FROM organisations ORDER BY id", [], |row| row.get::<_, u64>(0))? {
            if self.role_in(job, id)?.is_some() {
                own.push(id);
            }
        }
        match (&own[..], self.actor) {
            (&[id], _) => Ok(id),
            ([], Actor::Host) => Ok(first_organisation(job)?),
            _ => Err(PeopleError::OrganisationUnclear { organisations: own }),
        }
    }

    /// The projects that are the actor's, by number; the host's are all. Those of organisations that require a second
    /// factor are left out for who has none.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub fn projects(&self) -> Result<Vec<ProjectView>, PeopleError> {
        self.read(|job| {
            let (sql, number) = match self.actor {
                Actor::Host => {
                    let all = infos(job, None)?.into_iter();
                    return Ok(all
                        .map(|project| ProjectView { project, role: ProjectRole::Owner })
                        .collect());
                }
                Actor::Person(person) => (PROJECTS_OF_PERSON, person.0),
                Actor::Account(id) => (PROJECTS_OF_ACCOUNT, id),
            };
            let ids: Vec<u64> = job.rows(sql, [number], |row| row.get(0))?;
            let mut projects = Vec::with_capacity(ids.len());
            for id in ids {
                match self.view(job, id) {
                    Ok(project) => projects.push(project),
                    Err(PeopleError::TwoFactorRequired { .. } | PeopleError::ProjectNotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(projects)
        })
    }

    /// One project. How its key and secret are used is shown to its admins.
    ///
    /// # Errors
    /// [`PeopleError::ProjectNotFound`].
    pub fn project(&self, id: u64) -> Result<ProjectView, PeopleError> {
        self.read(|job| self.view(job, id))
    }

    pub(super) fn view(&self, job: &Job<'_>, id: u64) -> Result<ProjectView, PeopleError> {
        let (_, role) = self.require_project(job, id, ProjectRole::Consumer)?;
        let mut project = info(job, id)?;
        if role < ProjectRole::Admin {
            project.api_key_last_used_ms = None;
            project.api_secret_last_used_ms = None;
            (project.api_key_uses, project.api_secret_uses) = (0, 0);
            project.former_credentials.clear();
        }
        Ok(ProjectView { project, role })
    }

    /// Changes a project's settings: an admin's. How long events are kept is an owner's, as what it hides is gone.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn change_project(&self, id: u64, change: &ProjectChange) -> Result<ProjectInfo, PeopleError> {
        self.change(|job| {
            let needs = match change.retention_days {
                Some(_) => ProjectRole::Owner,
                None => ProjectRole::Admin,
            };
            self.require_project(job, id, needs)?;
            let old = info(job, id)?;
            let origins = change.allowed_origins.clone();
            let new = ProjectInfo {
                name: change.name.clone().unwrap_or_else(|| old.name.clone()),
                timezone: change.timezone.clone().unwrap_or_else(|| old.timezone.clone()),
                accepts_events: change.accepts_events.unwrap_or(old.accepts_events),
                client_address: change.client_address.map_or(old.client_address, ClientAddress::as_str),
                allowed_origins: origins.unwrap_or_else(|| old.allowed_origins.clone()),
                id_merge: change.id_merge.map_or(old.id_merge, IdMerge::as_str),
                retention_days: change.retention_days.unwrap_or(old.retention_days),
                ..old.clone()
            };
            update(job, &old, &new)?;
            Ok(info(job, id)?)
        })
    }

    /// Gives a project another name.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn rename_project(&self, id: u64, name: &str) -> Result<ProjectInfo, PeopleError> {
        self.change_project(id, &ProjectChange { name: Some(name.to_owned()), ..ProjectChange::default() })
    }

    /// Answers a project's senders with `0` from now on.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn disable_project(&self, id: u64) -> Result<ProjectInfo, PeopleError> {
        self.change_project(id, &ProjectChange { accepts_events: Some(false), ..ProjectChange::default() })
    }

    /// Takes a project's events again.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn enable_project(&self, id: u64) -> Result<ProjectInfo, PeopleError> {
        self.change_project(id, &ProjectChange { accepts_events: Some(true), ..ProjectChange::default() })
    }

    /// Deletes a project: an owner's. Its tokens and credentials stop at once; for thirty days it can be had back by
    /// [`Acting::undelete_project`], its events with it.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn delete_project(&self, id: u64, proof: &PasswordProof) -> Result<DeletedProject, PeopleError> {
        self.check_proof(proof)?;
        self.change(|job| {
            let (organisation, _) = self.require_project(job, id, ProjectRole::Owner)?;
            let sql = "UPDATE projects SET deleted_at_ms = ?2, deleted_by = ?3 WHERE id = ?1";
            job.execute(sql, params![id, job.now_ms, job.actor()])?;
            job.changed(Changed::Project, &id.to_string(), "project.deleted", "")?;
            lapse_gdpr_tokens(job)?;
            let deleted = rows::deleted(job, organisation)?.into_iter().find(|project| project.id == id);
            deleted.ok_or(PeopleError::ProjectNotFound { id })
        })
    }

    /// The deleted projects of an organisation that can be had back: an admin's to see.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn deleted_projects(&self, organisation: u64) -> Result<Vec<DeletedProject>, PeopleError> {
        self.read(|job| {
            self.require(job, organisation, OrganisationRole::Admin)?;
            Ok(rows::deleted(job, organisation)?)
        })
    }

    /// Takes a deleted project back, as it was: an owner's.
    ///
    /// # Errors
    /// [`PeopleError::ProjectNotFound`] if there is none, or it was never deleted.
    pub fn undelete_project(&self, id: u64) -> Result<ProjectInfo, PeopleError> {
        self.change(|job| {
            let not_found = || PeopleError::ProjectNotFound { id };
            let sql = "SELECT organisation_id FROM projects WHERE id = ?1 AND deleted_at_ms IS NOT NULL";
            let organisation: u64 = job.row(sql, [id], |row| row.get(0))?.ok_or_else(not_found)?;
            let role = self.role_in_project(job, organisation, id)?.ok_or_else(not_found)?;
            self.check_admitted(job, organisation)?;
            if role < ProjectRole::Owner {
                return Err(PeopleError::ProjectDenied { project: id, role, needs: ProjectRole::Owner });
            }
            job.execute("UPDATE projects SET deleted_at_ms = NULL, deleted_by = NULL WHERE id = ?1", [id])?;
            job.changed(Changed::Project, &id.to_string(), "project.undeleted", "")?;
            Ok(info(job, id)?)
        })
    }

    /// Who has a role in a project, by address: what they were given there, and what their role in the organisation
    /// implies.
    ///
    /// # Errors
    /// [`PeopleError::ProjectNotFound`].
    pub fn project_members(&self, id: u64) -> Result<Vec<ProjectMember>, PeopleError> {
        self.read(|job| self.members_of(job, id))
    }

    pub(super) fn members_of(&self, job: &Job<'_>, id: u64) -> Result<Vec<ProjectMember>, PeopleError> {
        let (organisation, _) = self.require_project(job, id, ProjectRole::Consumer)?;
        let rows = job.rows(
                "SELECT p.id, p.email, p.name, m.role, g.role FROM organisation_members m \
                 JOIN people p ON p.id = m.person_id \
                 LEFT JOIN project_members g ON g.person_id = p.id AND g.project_id = ?2 \
                 WHERE m.organisation_id = ?1 AND (m.role <> 'member' OR g.role IS NOT NULL) ORDER BY p.email_key",
                [organisation, id],
                |row| {
                    let words: (String, Option<String>) = (row.get(3)?, row.get(4)?);
                    Ok((PersonId(row.get(0)?), row.get(1)?, row.get(2)?, words))
                },
            )?;
        let mut members = Vec::with_capacity(rows.len());
        for (id, email, name, (in_organisation, in_project)) in rows {
            let organisation_role: OrganisationRole = role(job, &in_organisation)?;
            let given: Option<ProjectRole> = in_project.map(|word| role(job, &word)).transpose()?;
            let Some(role) = given.max(organisation_role.implies()) else { continue };
            members.push(ProjectMember { id, email, name, role, given, organisation_role });
        }
        Ok(members)
    }
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
            let organisation = first_organisation(job)?;
            let new = NewProject { name: "default".to_owned(), ..NewProject::default() };
            create(job, organisation, &new).map(Some)
        })
    }

    /// The first organisation, that of whoever set up the server; `None` before there is any, and where it is gone: no
    /// other takes its place but one that the host makes.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn first_organisation(&self) -> Result<Option<u64>, ProjectError> {
        self.read(|job| Ok(organisation::first(job)?))
    }

    /// The project that `token` sends to.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn project_of_token(&self, token: &str) -> Result<Option<ProjectId>, ProjectError> {
        self.read(|job| {
            let sql = "SELECT t.project_id FROM tokens t JOIN projects p ON p.id = t.project_id \
                       WHERE t.token = ?1 AND p.deleted_at_ms IS NULL \
                       AND (t.ends_at_ms IS NULL OR t.ends_at_ms > ?2)";
            let found = job.row(sql, params![token, job.now_ms], |row| row.get(0))?;
            Ok(found.and_then(ProjectId::new))
        })
    }
}

/// Deletes for good the projects whose time to be had back is over.
pub(crate) fn purge(job: &Job<'_>) -> Result<(), crate::StoreError> {
    let sql = "SELECT id FROM projects WHERE deleted_at_ms <= ?1";
    for id in job.rows(sql, [job.now_ms.saturating_sub(UNDELETE_MS)], |row| row.get::<_, u64>(0))? {
        job.changed(Changed::Project, &id.to_string(), "project.purged", "")?;
        accounting::forget(job, id)?;
        job.execute("DELETE FROM projects WHERE id = ?1", [id])?;
    }
    Ok(())
}
