//! Handing a project to another organisation: what goes along, and what stays behind.

use serde::Serialize;

use super::{ProjectInfo, ProjectMember, info};
use crate::{
    Acting, OrganisationRole, PasswordProof, PeopleError, ProjectRole,
    control::{Changed, Job},
    person::lapse_gdpr_tokens,
};

/// What stays behind when a project goes to another organisation; its events, tokens and credentials go along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct TransferLosses {
    /// Who has a role in it now. Only who is owner or admin of the other organisation, or invited there, has one then.
    pub members: Vec<ProjectMember>,
    /// The service accounts that may use it now, by name.
    pub service_accounts: Vec<String>,
    /// How many open invitations to it there are, which end.
    pub invitations: u64,
}

impl Acting<'_> {
    /// What a transfer would drop: an owner's to see.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn transfer_losses(&self, id: u64) -> Result<TransferLosses, PeopleError> {
        self.read(|job| {
            self.require_project(job, id, ProjectRole::Owner)?;
            let sql = "SELECT count(*) FROM invitations WHERE project_id = ?1 AND expires_at_ms > ?2";
            let invitations = job.row(sql, [id, job.now_ms], |row| row.get(0))?.unwrap_or_default();
            Ok(TransferLosses {
                members: self.members_of(job, id)?,
                service_accounts: service_accounts(job, id)?,
                invitations,
            })
        })
    }

    /// Hands a project to another organisation: its owner's, who is an admin there. Its events, tokens and credentials
    /// go along; people's roles in it, and service accounts, do not.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn transfer_project(
        &self,
        id: u64,
        to: u64,
        proof: &PasswordProof,
    ) -> Result<ProjectInfo, PeopleError> {
        self.check_proof(proof)?;
        self.change(|job| {
            let (from, _) = self.require_project(job, id, ProjectRole::Owner)?;
            self.require(job, to, OrganisationRole::Admin)?;
            if from == to {
                return Ok(info(job, id)?);
            }
            let people = job.execute("DELETE FROM project_members WHERE project_id = ?1", [id])?;
            let names = service_accounts(job, id)?;
            job.execute("DELETE FROM service_account_projects WHERE project_id = ?1", [id])?;
            for name in &names {
                job.changed(
                    Changed::ServiceAccount,
                    name,
                    "service_account.removed_from_project",
                    &id.to_string(),
                )?;
            }
            job.execute("DELETE FROM invitations WHERE project_id = ?1", [id])?;
            job.execute("UPDATE projects SET organisation_id = ?2 WHERE id = ?1", [id, to])?;
            let detail = format!(
                "organisation {from} -> {to}; roles dropped: {people}, service accounts: {}",
                names.len()
            );
            job.changed(Changed::Project, &id.to_string(), "project.transferred", &detail)?;
            lapse_gdpr_tokens(job)?;
            Ok(info(job, id)?)
        })
    }
}

fn service_accounts(job: &Job<'_>, id: u64) -> Result<Vec<String>, PeopleError> {
    let sql = "SELECT a.username FROM service_accounts a JOIN service_account_projects p \
               ON p.service_account_id = a.id WHERE p.project_id = ?1 ORDER BY a.username";
    Ok(job.rows(sql, [id], |row| row.get(0))?)
}
