//! Invitations: how people come into an organisation. A code, told once and passed on by whoever invites, lets the
//! holder of the address named take the role named.
//!
//! # Invariants
//! * A code is kept as a digest, counts once, and ends after a time.
//! * Nobody invites to a role above their own; an invitation whose giver may no longer give it is worth nothing.
//! * Neither an invitation nor what its code opens says whether somebody with that address is known here. Only coming in
//!   does, under an address that is free: which takes the invitation, and is in the audit.
//! * An organisation has at most one open invitation for an address, and at most [`OPEN_MAX`] in all.

use std::fmt;

use rusqlite::params;
use serde::Serialize;

use super::{NewPerson, Person, Ready, check_email, key, of_email, person};
use crate::{
    Acting, Control, OrganisationRole, PeopleError, PersonId, ProjectRole, StoreError,
    actor::{Actor, organisation_role, role},
    control::Job,
    keyring::new_credential,
    organisation::{give, give_in_project, project_role},
};

/// How long an invitation is open where it is not said.
const OPEN_MS: u64 = 7 * DAY_MS;
/// And at most.
const OPEN_MS_MAX: u64 = 90 * DAY_MS;
const DAY_MS: u64 = 24 * 3_600_000;
/// Of one organisation at a time.
const OPEN_MAX: u64 = 1000;

/// An invitation to be made.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// To where.
    pub organisation: u64,
    /// For whom.
    pub email: String,
    /// As what.
    pub role: OrganisationRole,
    /// A project of the organisation, and what they are to be there.
    pub project: Option<(u64, ProjectRole)>,
    /// Until when it can be taken, in milliseconds since the epoch; left out, for seven days.
    pub expires_at_ms: Option<u64>,
}

/// An invitation as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Invitation {
    /// Its number.
    pub id: u64,
    /// To where.
    pub organisation: u64,
    /// That organisation's name.
    pub organisation_name: String,
    /// For whom.
    pub email: String,
    /// As what.
    pub role: OrganisationRole,
    /// A project of the organisation.
    pub project: Option<u64>,
    /// What they are to be there.
    pub project_role: Option<ProjectRole>,
    /// When it was made, in milliseconds since the epoch.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
    /// Until when it can be taken.
    pub expires_at_ms: u64,
    #[serde(skip)]
    invited_by: Option<Actor>,
}

/// An invitation just made: the only time its code is told.
#[derive(Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Invited {
    /// The invitation.
    #[serde(flatten)]
    pub invitation: Invitation,
    /// What is passed on to whom it is for.
    pub code: String,
}

impl fmt::Debug for Invited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invited").field("invitation", &self.invitation).finish_non_exhaustive()
    }
}

impl Acting<'_> {
    /// Invites somebody: an organisation admin's, up to their own role. An open invitation of the same address gives
    /// way to this one.
    ///
    /// # Errors
    /// [`PeopleError::AlreadyMember`], [`PeopleError::AboveOneself`], [`PeopleError::OutreachExceeded`] and others.
    pub fn invite(&self, new: &NewInvitation) -> Result<Invited, PeopleError> {
        check_email(&new.email)?;
        let code = new_credential()?;
        self.change(|job| {
            let organisation = new.organisation;
            let own = self.require(job, organisation, OrganisationRole::Admin)?;
            if new.role > own {
                return Err(PeopleError::AboveOneself { organisation, role: own, other: new.role });
            }
            if let Some((project, given)) = new.project {
                self.check_project_grant(job, organisation, project, given)?;
            }
            if let Some(known) = of_email(job, &new.email)?
                && organisation_role(job, organisation, known)?.is_some()
            {
                return Err(PeopleError::AlreadyMember { who: new.email.clone(), organisation });
            }
            let expires_at_ms = new.expires_at_ms.unwrap_or(job.now_ms + OPEN_MS);
            if expires_at_ms <= job.now_ms || expires_at_ms > job.now_ms + OPEN_MS_MAX {
                return Err(PeopleError::ExpiryInvalid { expires_at_ms, days_max: OPEN_MS_MAX / DAY_MS });
            }
            let sql = "DELETE FROM invitations \
                       WHERE organisation_id = ?1 AND (email_key = ?2 OR expires_at_ms <= ?3)";
            job.execute(sql, params![organisation, key(&new.email), job.now_ms])?;
            let sql = "SELECT count(*) FROM invitations WHERE organisation_id = ?1";
            if job.row(sql, [organisation], |row| row.get::<_, u64>(0))?.unwrap_or_default() >= OPEN_MAX {
                return Err(PeopleError::TooManyInvitations { organisation, max: OPEN_MAX });
            }
            self.reach_out(job, Some(organisation))?;
            let (invited_by, invited_by_account) = match self.actor {
                Actor::Host => (None, None),
                Actor::Person(id) => (Some(id.0), None),
                Actor::Account(id) => (None, Some(id)),
            };
            let (project, project_role) = new.project.unzip();
            job.execute(
                "INSERT INTO invitations (mac, organisation_id, email, email_key, role, project_id, project_role, \
                 invited_by, created_at_ms, created_by, expires_at_ms, invited_by_account) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    job.control.mac(code.as_bytes()).0,
                    organisation,
                    new.email,
                    key(&new.email),
                    new.role.as_str(),
                    project,
                    project_role.map(ProjectRole::as_str),
                    invited_by,
                    job.now_ms,
                    job.actor(),
                    expires_at_ms,
                    invited_by_account
                ],
            )?;
            let id = job.last_id()?;
            let detail = format!("invitation {id}, role {}", new.role);
            job.audit("organisation.invited", &organisation.to_string(), &detail)?;
            let invitation = found(job, "i.id = ?1", id)?.pop();
            let vanished = || job.damaged(format!("invitation {id} vanished within a transaction"));
            Ok(Invited { invitation: invitation.ok_or_else(vanished)?, code })
        })
    }

    /// The open invitations to an organisation, by address: an admin's.
    ///
    /// # Errors
    /// [`PeopleError::Denied`] and others.
    pub fn invitations(&self, organisation: u64) -> Result<Vec<Invitation>, PeopleError> {
        self.read(|job| {
            self.require(job, organisation, OrganisationRole::Admin)?;
            let mut open = found(job, "i.organisation_id = ?1", organisation)?;
            open.retain(|invitation| job.now_ms < invitation.expires_at_ms);
            open.sort_by_key(|invitation| key(&invitation.email));
            Ok(open)
        })
    }

    /// Takes an invitation back: an admin's, up to their own role.
    ///
    /// # Errors
    /// [`PeopleError::InvitationNotFound`], [`PeopleError::AboveOneself`].
    pub fn revoke_invitation(&self, organisation: u64, id: u64) -> Result<(), PeopleError> {
        self.change(|job| {
            let own = self.require(job, organisation, OrganisationRole::Admin)?;
            let open = i64::try_from(id).ok().map(|id| found(job, "i.id = ?1", id)).transpose()?;
            let open = open.and_then(|mut open| open.pop());
            let open = open.filter(|invitation| invitation.organisation == organisation);
            let open = open.ok_or(PeopleError::InvitationNotFound { id })?;
            if open.role > own {
                return Err(PeopleError::AboveOneself { organisation, role: own, other: open.role });
            }
            job.execute("DELETE FROM invitations WHERE id = ?1", [id])?;
            let detail = format!("invitation {id}");
            Ok(job.audit("organisation.invitation_revoked", &organisation.to_string(), &detail)?)
        })
    }

    /// Takes an invitation, as the person it is for, who is known here already. Their role only ever grows by it.
    ///
    /// # Errors
    /// [`PeopleError::InvitationGone`]; [`PeopleError::InvitationOfAnother`].
    pub fn accept_invitation(&self, code: &str) -> Result<Person, PeopleError> {
        self.change(|job| {
            let invitation = open(job, code)?;
            let Actor::Person(id) = self.actor else { return Err(PeopleError::InvitationOfAnother) };
            if key(&person(job, id)?.email) != key(&invitation.email) {
                return Err(PeopleError::InvitationOfAnother);
            }
            take(job, &invitation, id)?;
            person(job, id)
        })
    }

    /// May the actor give that role in that project of that organisation?
    fn check_project_grant(
        &self,
        job: &Job<'_>,
        organisation: u64,
        project: u64,
        given: ProjectRole,
    ) -> Result<(), PeopleError> {
        let sql = "SELECT 1 FROM projects WHERE id = ?1 AND organisation_id = ?2";
        let not_found = PeopleError::ProjectNotFound { id: project };
        job.row(sql, [project, organisation], |_| Ok(()))?.ok_or(not_found)?;
        match self.role_in_project(job, organisation, project)? {
            Some(own) if own >= given.max(ProjectRole::Admin) => Ok(()),
            Some(role) => Err(PeopleError::ProjectDenied { project, role, needs: given }),
            None => Err(PeopleError::ProjectNotFound { id: project }),
        }
    }
}

impl Control {
    /// What a code invites to. Whoever invites holds the code, too, so nothing here says whether the address it is for is
    /// known.
    ///
    /// # Errors
    /// [`PeopleError::InvitationGone`] for a code that is none, was used or taken back, or has ended: it is not said
    /// which.
    pub fn invitation(&self, code: &str) -> Result<Invitation, PeopleError> {
        self.read(|job| open(job, code))
    }

    /// Takes an invitation, as somebody who is not known here yet: enters them, under the address it is for, with that
    /// name and password.
    ///
    /// # Errors
    /// [`PeopleError::InvitationGone`]; [`PeopleError::InvitationSpent`] if they are known: the invitation is gone then, and
    /// they sign in to take another one.
    pub fn accept_invitation(&self, code: &str, name: &str, password: &str) -> Result<Person, PeopleError> {
        let email = self.read(|job| open(job, code))?.email;
        let new = NewPerson { email, name: name.to_owned(), password: Some(password.to_owned()) };
        let ready = Ready::of(&new)?;
        self.change_as("invitation", |job| -> Result<_, PeopleError> {
            let invitation = open(job, code)?;
            if let Some(known) = of_email(job, &invitation.email)? {
                // That somebody has the address is learned once, at the cost of the invitation, and stands in the audit.
                job.execute("DELETE FROM invitations WHERE id = ?1", [invitation.id])?;
                let detail =
                    format!("invitation {} to the address of {}", invitation.id, super::subject(known));
                let organisation = invitation.organisation.to_string();
                job.audit("organisation.invitation_spent", &organisation, &detail)?;
                return Ok(Err(PeopleError::InvitationSpent));
            }
            let id = ready.enter(job)?;
            take(job, &invitation, id)?;
            Ok(Ok(person(job, id)?))
        })?
    }
}

/// The invitation of a code, if it can be taken.
pub(super) fn open(job: &Job<'_>, code: &str) -> Result<Invitation, PeopleError> {
    let mac = job.control.mac(code.as_bytes()).0;
    let invitation = found(job, "i.mac = ?1", mac)?.pop().ok_or(PeopleError::InvitationGone)?;
    if job.now_ms >= invitation.expires_at_ms {
        return Err(PeopleError::InvitationGone);
    }
    let Some(giver) = invitation.invited_by else { return Ok(invitation) };
    let organisation = invitation.organisation;
    let giver = Acting { control: job.control, actor: giver };
    let givers = giver.role_in(job, organisation)?;
    let may_invite = givers >= Some(OrganisationRole::Admin.max(invitation.role));
    let may_give = match (invitation.project, invitation.project_role) {
        (Some(project), Some(given)) => giver.role_in_project(job, organisation, project)? >= Some(given),
        _ => true,
    };
    if may_invite && may_give { Ok(invitation) } else { Err(PeopleError::InvitationGone) }
}

fn take(job: &Job<'_>, invitation: &Invitation, whom: PersonId) -> Result<(), PeopleError> {
    job.execute("DELETE FROM invitations WHERE id = ?1", [invitation.id])?;
    let organisation = invitation.organisation;
    let old = organisation_role(job, organisation, whom)?;
    if old < Some(invitation.role) {
        give(job, organisation, whom, old, invitation.role)?;
    }
    if let (Some(project), Some(given)) = (invitation.project, invitation.project_role) {
        let old = project_role(job, project, whom)?;
        if old < Some(given) {
            give_in_project(job, project, whom, old, Some(given))?;
        }
    }
    let detail = format!("invitation {} by {}", invitation.id, super::subject(whom));
    Ok(job.audit("organisation.invitation_accepted", &organisation.to_string(), &detail)?)
}

fn found(job: &Job<'_>, condition: &str, value: impl rusqlite::ToSql) -> Result<Vec<Invitation>, StoreError> {
    let sql = format!(
        "SELECT i.id, i.organisation_id, o.name, i.email, i.role, i.project_id, i.project_role, i.created_at_ms, \
         i.created_by, i.expires_at_ms, i.invited_by, i.invited_by_account \
         FROM invitations i JOIN organisations o ON o.id = i.organisation_id WHERE {condition}"
    );
    let rows = job.rows(&sql, [value], |row| {
        let words: (String, Option<String>) = (row.get(4)?, row.get(6)?);
        let invitation = Invitation {
            id: row.get(0)?,
            organisation: row.get(1)?,
            organisation_name: row.get(2)?,
            email: row.get(3)?,
            role: OrganisationRole::Member,
            project: row.get(5)?,
            project_role: None,
            created_at_ms: row.get(7)?,
            created_by: row.get(8)?,
            expires_at_ms: row.get(9)?,
            invited_by: match (row.get(10)?, row.get(11)?) {
                (Some(person), _) => Some(Actor::Person(PersonId(person))),
                (None, Some(account)) => Some(Actor::Account(account)),
                (None, None) => None,
            },
        };
        Ok((invitation, words))
    })?;
    let with_roles = rows.into_iter().map(|(invitation, (of_organisation, of_project))| {
        let project_role = of_project.map(|word| role(job, &word)).transpose()?;
        Ok(Invitation { role: role(job, &of_organisation)?, project_role, ..invitation })
    });
    with_roles.collect()
}
