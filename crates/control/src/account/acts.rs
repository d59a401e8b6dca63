//! What people do with service accounts: create, change, give new secrets to and delete them, each within their role.
//!
//! # Invariants
//! * An organisation's admins manage its accounts; a project's admins those that use nothing but projects of theirs.
//! * Nobody gives an account a role above their own, in a project or in the organisation, nor changes an account that has
//!   one. Service accounts that manage others are held to the same.

use forebay_record::ProjectId;
use rusqlite::params;

use super::{
    Account, AccountProject, CreatedAccount, NewAccount, Row, Scope, account, accounts, free_username, grant,
    insert, listed, purpose, sorted, stored,
};
use crate::{
    AccountError, Acting, Grace, OrganisationRole, PeopleError, ProjectRole,
    actor::Actor,
    control::{Changed, Job},
    keyring::{new_credential, sha256},
    rules,
};

impl Acting<'_> {
    /// Creates a service account. Its secret is in the answer and shown never again.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn create_service_account(&self, new: &NewAccount) -> Result<CreatedAccount, PeopleError> {
        self.change(|job| {
            let organisation = self.organisation_for(job, new.organisation)?;
            let created = CreatedAccount {
                username: new.username.clone().map_or_else(free_username, Ok)?,
                secret: new.secret.clone().map_or_else(new_credential, Ok)?,
                organisation_role: new.organisation_role,
                projects: sorted(&new.projects),
                scopes: new.scopes.clone(),
                expires_at_ms: new.expires_at_ms,
                former_ends_at_ms: None,
            };
            if !rules::secret(&created.secret) {
                return Err(AccountError::SecretInvalid { username: created.username }.into());
            }
            check_expiry(job, &created.username, created.expires_at_ms)?;
            self.check_reach(job, organisation, created.organisation_role, &created.projects)?;
            let row = Row {
                username: &created.username,
                organisation,
                organisation_role: created.organisation_role,
                projects: &created.projects,
                scopes: created.scopes.as_deref(),
                expires_at_ms: created.expires_at_ms,
            };
            insert(job, &row, &sha256(created.secret.as_bytes()))?;
            Ok(created)
        })
    }

    /// The service account of that name, where the actor may know of it.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] and others.
    pub fn service_account(&self, username: &str) -> Result<Account, PeopleError> {
        self.read(|job| self.found(job, username))
    }

    /// The service accounts that the actor may know of, by name: those of organisations and projects that it is an admin
    /// of, and, to a service account, itself; or those that may use `project`.
    ///
    /// # Errors
    /// [`PeopleError::ProjectNotFound`] and others where `project` is none that the actor is an admin of.
    pub fn list_service_accounts(&self, project: Option<ProjectId>) -> Result<Vec<Account>, PeopleError> {
        self.read(|job| {
            let mut shown = Vec::new();
            if let Some(id) = project {
                self.require_project(job, id.as_u64(), ProjectRole::Admin)?;
                shown = accounts(job)?;
                shown.retain(|account| account.projects.iter().any(|of| of.id == id.as_u64()));
                return Ok(shown);
            }
            for account in accounts(job)? {
                if self.sees(job, &account)? {
                    shown.push(account);
                }
            }
            Ok(shown)
        })
    }

    fn sees(&self, job: &Job<'_>, account: &Account) -> Result<bool, PeopleError> {
        if self.actor == Actor::Account(account.id) {
            return Ok(true);
        }
        let Some(own) = self.role_in(job, account.organisation)? else { return Ok(false) };
        if self.check_admitted(job, account.organisation).is_err() {
            return Ok(false);
        }
        if own >= OrganisationRole::Admin {
            return Ok(true);
        }
        for project in &account.projects {
            if self.role_in_project(job, account.organisation, project.id)? >= Some(ProjectRole::Admin) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lets an account use a project, in that role.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn add_account_to_project(
        &self,
        username: &str,
        project: AccountProject,
    ) -> Result<Account, PeopleError> {
        self.change_account(username, |job, account| {
            self.check_reach(job, account.organisation, OrganisationRole::Member, &[project])?;
            grant(job, number(job, account)?, &[project])?;
            let detail = listed(&[project]);
            Ok(job.changed(Changed::ServiceAccount, username, "service_account.added_to_project", &detail)?)
        })
    }

    /// Lets an account use a project no longer.
    ///
    /// # Errors
    /// [`AccountError::NotInProject`] and others.
    pub fn remove_account_from_project(&self, username: &str, project: u64) -> Result<Account, PeopleError> {
        self.change(|job| {
            let account = self.found(job, username)?;
            let grants: Vec<_> = account.projects.iter().filter(|of| of.id == project).copied().collect();
            if grants.is_empty() {
                return Err(AccountError::NotInProject { username: username.to_owned(), project }.into());
            }
            // Of this project alone: that its account is used elsewhere too is no reason to keep it here.
            self.check_reach(job, account.organisation, OrganisationRole::Member, &grants)?;
            let sql =
                "DELETE FROM service_account_projects WHERE service_account_id = ?1 AND project_id = ?2";
            job.execute(sql, [account.id, project])?;
            let action = "service_account.removed_from_project";
            job.changed(Changed::ServiceAccount, username, action, &project.to_string())?;
            self.found(job, username)
        })
    }

    /// Narrows an account to scopes; `None`: it may what its roles let it, again.
    ///
    /// # Errors
    /// [`AccountError::NoScopes`] and others.
    pub fn set_account_scopes(
        &self,
        username: &str,
        scopes: Option<&[Scope]>,
    ) -> Result<Account, PeopleError> {
        self.change_account(username, |job, account| {
            let words = stored(username, scopes)?;
            let sql = "UPDATE service_accounts SET scopes = ?2 WHERE id = ?1";
            job.execute(sql, params![account.id, words])?;
            let detail =
                format!("narrowed to {}", words.as_deref().unwrap_or("nothing: all its roles allow"));
            Ok(job.changed(Changed::ServiceAccount, username, "service_account.changed", &detail)?)
        })
    }

    /// Gives an account another role in its organisation: an organisation admin's, up to their own.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn set_account_role(&self, username: &str, new: OrganisationRole) -> Result<Account, PeopleError> {
        self.change_account(username, |job, account| {
            self.require(job, account.organisation, OrganisationRole::Admin)?;
            self.check_reach(job, account.organisation, new, &[])?;
            let sql = "UPDATE service_accounts SET organisation_role = ?2 WHERE id = ?1";
            job.execute(sql, params![account.id, new.as_str()])?;
            let detail = format!("{} -> {new}", account.organisation_role);
            Ok(job.changed(Changed::ServiceAccount, username, "service_account.role_changed", &detail)?)
        })
    }

    /// Sets when an account stops working; `None`: never.
    ///
    /// # Errors
    /// [`AccountError::Expired`] and others.
    pub fn set_account_expiry(
        &self,
        username: &str,
        expires_at_ms: Option<u64>,
    ) -> Result<Account, PeopleError> {
        self.change_account(username, |job, account| {
            check_expiry(job, username, expires_at_ms)?;
            let sql = "UPDATE service_accounts SET expires_at_ms = ?2 WHERE id = ?1";
            job.execute(sql, params![account.id, expires_at_ms])?;
            let [old, new] = [account.expires_at_ms, expires_at_ms].map(super::when_it_ends);
            let detail = format!("expires {old} -> {new}");
            Ok(job.changed(Changed::ServiceAccount, username, "service_account.changed", &detail)?)
        })
    }

    /// Gives an account another secret, which is in the answer; the one before is taken for `grace`.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn rotate_service_account(
        &self,
        username: &str,
        grace: Grace,
    ) -> Result<CreatedAccount, PeopleError> {
        let secret = new_credential()?;
        let mut former_ends_at_ms = None;
        let account = self.change_account(username, |job, account| {
            former_ends_at_ms = grace.end(job.now_ms);
            let keyring = &job.control.keyring;
            let digest = sha256(secret.as_bytes());
            job.execute(
                "UPDATE service_accounts SET secret_mac = ?2, secret_sha256_sealed = ?3, last_used_ms = NULL, uses = 0, \
                 former_mac = CASE WHEN ?4 IS NULL THEN NULL ELSE secret_mac END, former_ends_at_ms = ?4, \
                 former_last_used_ms = CASE WHEN ?4 IS NULL THEN NULL ELSE last_used_ms END, former_uses = 0 WHERE id = ?1",
                params![
                    account.id,
                    keyring.mac_of_sha256(&digest).0,
                    keyring.seal(&purpose(username), &digest)?,
                    former_ends_at_ms
                ],
            )?;
            let detail = format!("the one before is taken for {}", grace.as_str());
            Ok(job.changed(Changed::ServiceAccount, username, "service_account.secret_rotated", &detail)?)
        })?;
        Ok(CreatedAccount {
            username: account.username,
            secret,
            organisation_role: account.organisation_role,
            projects: account.projects,
            scopes: account.scopes,
            expires_at_ms: account.expires_at_ms,
            former_ends_at_ms,
        })
    }

    /// Deletes a service account: it stops working at once.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] and others.
    pub fn delete_service_account(&self, username: &str) -> Result<(), PeopleError> {
        self.change(|job| {
            let account = self.found(job, username)?;
            self.check_reach(job, account.organisation, account.organisation_role, &account.projects)?;
            job.changed(Changed::ServiceAccount, username, "service_account.deleted", "")?;
            job.execute("DELETE FROM service_accounts WHERE id = ?1", [account.id])?;
            Ok(())
        })
    }

    fn change_account(
        &self,
        username: &str,
        change: impl FnOnce(&Job<'_>, &Account) -> Result<(), PeopleError>,
    ) -> Result<Account, PeopleError> {
        self.change(|job| {
            let account = self.found(job, username)?;
            self.check_reach(job, account.organisation, account.organisation_role, &account.projects)?;
            change(job, &account)?;
            self.found(job, username)
        })
    }

    /// The account of that name. To those who do not belong to its organisation it does not exist.
    fn found(&self, job: &Job<'_>, username: &str) -> Result<Account, PeopleError> {
        let found = account(job, username)?;
        let not_found = || AccountError::NotFound { username: username.to_owned() };
        let account = found.ok_or_else(not_found)?;
        match self.role_in(job, account.organisation)? {
            Some(_) => Ok(account),
            None => Err(not_found().into()),
        }
    }

    /// Demands that the actor manages accounts with these projects: an organisation's admin, or an admin of each; and
    /// that no role there is above the actor's own. One that is more than a member of its organisation is its admins'.
    fn check_reach(
        &self,
        job: &Job<'_>,
        organisation: u64,
        role: OrganisationRole,
        projects: &[AccountProject],
    ) -> Result<(), PeopleError> {
        if self.actor == Actor::Host {
            return Ok(());
        }
        let is_more = role > OrganisationRole::Member;
        if is_more || projects.is_empty() || self.role_in(job, organisation)? >= Some(OrganisationRole::Admin)
        {
            let own = self.require(job, organisation, OrganisationRole::Admin)?;
            if role > own {
                return Err(PeopleError::AboveOneself { organisation, role: own, other: role });
            }
        }
        for project in projects {
            let own = self.require_project(job, project.id, ProjectRole::Admin);
            let own = match own {
                // One that was deleted is in nobody's way.
                Err(PeopleError::ProjectNotFound { .. })
                    if self.role_in(job, organisation)? >= Some(OrganisationRole::Admin) =>
                {
                    continue;
                }
                own => own?.1,
            };
            if project.role > own {
                return Err(PeopleError::ProjectDenied {
                    project: project.id,
                    role: own,
                    needs: project.role,
                });
            }
        }
        Ok(())
    }
}

fn check_expiry(job: &Job<'_>, username: &str, expires_at_ms: Option<u64>) -> Result<(), AccountError> {
    match expires_at_ms.filter(|&end| end <= job.now_ms) {
        Some(expires_at_ms) => Err(AccountError::Expired { username: username.to_owned(), expires_at_ms }),
        None => Ok(()),
    }
}

fn number(job: &Job<'_>, account: &Account) -> Result<i64, AccountError> {
    i64::try_from(account.id)
        .map_err(|_| job.damaged(format!("a service account was numbered {}", account.id)).into())
}
