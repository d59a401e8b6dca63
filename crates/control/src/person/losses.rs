//! What a person loses who deletes their account, and what stays: told before they do.

use serde::Serialize;

use super::{gdpr, person};
use crate::{
    Acting, Member, OrganisationRole, PeopleError, PersonId, ProjectRole, StoreError, actor::Actor,
    control::Job,
};

/// What goes with a person, and what stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Losses {
    /// The organisations they leave.
    pub organisations: Vec<OrganisationLoss>,
    /// The projects they lose access to; these and their events stay.
    pub projects: Vec<ProjectLoss>,
    /// How many sessions end.
    pub sessions: u64,
    /// Whether a GDPR token ends.
    pub gdpr_token: bool,
    /// Invitations they gave that end.
    pub invitations: u64,
    /// Service accounts of their organisations, which live on.
    pub service_accounts: Vec<String>,
}

/// An organisation that a person leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct OrganisationLoss {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What they are there.
    pub role: OrganisationRole,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Who still has access: of them the next owner is named where there must be one.
    pub others: Vec<Member>,
}

/// What becomes of an organisation that a person leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes on without them.
    Stays,
    /// They are its only owner: another one is named first.
    NeedsOwner,
    /// They are its only owner, nobody else belongs to it, and it has projects or service accounts: somebody is invited
    /// first, or those are deleted.
    NeedsMember,
    /// It goes with them: nobody and nothing else is in it.
    Goes,
}

/// A project that a person loses access to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ProjectLoss {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What they are there.
    pub role: ProjectRole,
    /// How many others have access.
    pub others: usize,
}

impl Acting<'_> {
    /// What a person would lose who is deleted now, and what [`Acting::delete_person`] would ask for.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn losses(&self, id: PersonId) -> Result<Losses, PeopleError> {
        self.require_self(id)?;
        self.read(|job| {
            let leaving = person(job, id)?;
            let mut losses = Losses {
                organisations: Vec::new(),
                projects: Vec::new(),
                sessions: count(job, "SELECT count(*) FROM sessions WHERE person_id = ?1", id.0)?,
                gdpr_token: gdpr::info(job, id)?.is_some(),
                invitations: count(job, "SELECT count(*) FROM invitations WHERE invited_by = ?1", id.0)?,
                service_accounts: Vec::new(),
            };
            for membership in &leaving.organisations {
                let mut others = crate::organisation::members(job, membership.id)?;
                others.retain(|member| member.id != id);
                let sql =
                    "SELECT username FROM service_accounts WHERE organisation_id = ?1 ORDER BY username";
                let accounts = job.rows(sql, [membership.id], |row| row.get::<_, String>(0))?;
                losses.service_accounts.extend(accounts);
                let has_owner = others.iter().any(|member| member.role == OrganisationRole::Owner);
                let outcome = match membership.role {
                    OrganisationRole::Owner if !has_owner && !others.is_empty() => Outcome::NeedsOwner,
                    OrganisationRole::Owner
                        if !has_owner && crate::organisation::owns_something(job, membership.id)? =>
                    {
                        Outcome::NeedsMember
                    }
                    OrganisationRole::Owner if !has_owner => Outcome::Goes,
                    _ => Outcome::Stays,
                };
                let (name, role) = (membership.name.clone(), membership.role);
                losses.organisations.push(OrganisationLoss {
                    id: membership.id,
                    name,
                    role,
                    outcome,
                    others,
                });
                self.projects_lost(job, id, membership.id, &mut losses.projects)?;
            }
            Ok(losses)
        })
    }

    fn projects_lost(
        &self,
        job: &Job<'_>,
        id: PersonId,
        organisation: u64,
        lost: &mut Vec<ProjectLoss>,
    ) -> Result<(), StoreError> {
        let theirs = Acting { control: self.control, actor: Actor::Person(id) };
        let sql =
            "SELECT id, name FROM projects WHERE organisation_id = ?1 AND deleted_at_ms IS NULL ORDER BY id";
        let projects = job.rows(sql, [organisation], |row| Ok((row.get::<_, u64>(0)?, row.get(1)?)))?;
        for (project, name) in projects {
            let Some(role) = theirs.role_in_project(job, organisation, project)? else { continue };
            let sql = "SELECT count(*) FROM organisation_members m WHERE m.organisation_id = ?1 AND m.person_id <> ?2 \
                       AND (m.role <> 'member' OR EXISTS (SELECT 1 FROM project_members g \
                       WHERE g.person_id = m.person_id AND g.project_id = ?3))";
            let others = job.row(sql, [organisation, id.0, project], |row| row.get(0))?.unwrap_or_default();
            lost.push(ProjectLoss { id: project, name, role, others });
        }
        Ok(())
    }
}

fn count(job: &Job<'_>, sql: &str, id: u64) -> Result<u64, StoreError> {
    Ok(job.row(sql, [id], |row| row.get(0))?.unwrap_or_default())
}
