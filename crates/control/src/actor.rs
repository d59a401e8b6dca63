//! Who does something, and whether they may: asked in the transaction that does it, so that no face of the store can
//! differ from another, and no role can change in between.

use std::fmt;

use serde::Serialize;

use crate::{
    Account, Control, OrganisationRole, PeopleError, ProjectRole, StoreError, account, control::Job,
    person::has_two_factor, rules,
};

/// The number of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct PersonId(pub u64);

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Whoever may run commands on the host, and so could write the store's file: everything is allowed.
    Host,
    /// A person who signed in.
    Person(PersonId),
    /// A service account, by its number.
    Account(u64),
}

/// What somebody does, within what they may.
///
/// In `created_by` and the audit a person is `person:7`: whose number that was is forgotten with the person, while the
/// entries stay. A service account is `service_account:` and its name.
#[derive(Clone, Copy)]
pub struct Acting<'c> {
    pub(crate) control: &'c Control,
    pub(crate) actor: Actor,
}

impl Control {
    /// What whoever may run commands on the host does: everything is allowed, nothing is asked for, all is audited.
    #[must_use]
    pub fn host(&self) -> Acting<'_> {
        Acting { control: self, actor: Actor::Host }
    }

    /// What a person does who was recognised, by their session.
    #[must_use]
    pub fn acting(&self, person: PersonId) -> Acting<'_> {
        Acting { control: self, actor: Actor::Person(person) }
    }

    /// What a service account does that was recognised, by its secret.
    #[must_use]
    pub fn acting_account(&self, account: &Account) -> Acting<'_> {
        Acting { control: self, actor: Actor::Account(account.id) }
    }
}

impl<'c> Acting<'c> {
    /// A change in this actor's name: see [`Control::change`].
    pub(crate) fn change<T>(
        &self,
        job: impl FnOnce(&Job<'_>) -> Result<T, PeopleError>,
    ) -> Result<T, PeopleError> {
        match self.actor {
            Actor::Host => self.control.change(job),
            Actor::Person(id) => self.control.change_as(&format!("person:{id}"), job),
            Actor::Account(id) => {
                // Its name never changes; whether it is there still, is asked in the transaction.
                let name = self.read(|job| Ok(account::subject(job, id)?))?;
                self.control.change_as(&name, job)
            }
        }
    }

    pub(crate) fn read<T>(
        &self,
        job: impl FnOnce(&Job<'_>) -> Result<T, PeopleError>,
    ) -> Result<T, PeopleError> {
        self.control.read(job)
    }

    /// The actor's role in an organisation; the host's is an owner's. `None` if it is none of theirs.
    pub(crate) fn role_in(
        &self,
        job: &Job<'_>,
        organisation: u64,
    ) -> Result<Option<OrganisationRole>, StoreError> {
        match self.actor {
            Actor::Host => Ok(Some(OrganisationRole::Owner)),
            Actor::Person(id) => organisation_role(job, organisation, id),
            Actor::Account(id) => Ok(account::standing(job, id)?
                .filter(|standing| standing.organisation == organisation)
                .map(|standing| standing.role)),
        }
    }

    /// Demands a role in an organisation. To those who do not belong to it, it does not exist.
    pub(crate) fn require(
        &self,
        job: &Job<'_>,
        organisation: u64,
        needs: OrganisationRole,
    ) -> Result<OrganisationRole, PeopleError> {
        // Of what a link says anything can come in; the store's numbers are 63 bits.
        i64::try_from(organisation).map_err(|_| PeopleError::OrganisationNotFound { id: organisation })?;
        let exists =
            job.row("SELECT 1 FROM organisations WHERE id = ?1", [organisation], |_| Ok(()))?.is_some();
        match self.role_in(job, organisation)? {
            Some(role) if exists && role >= needs => self.check_admitted(job, organisation).map(|()| role),
            Some(role) if exists => Err(PeopleError::Denied { organisation, role, needs }),
            _ => Err(PeopleError::OrganisationNotFound { id: organisation }),
        }
    }

    /// Demands what stands beside the role: of a person a second factor, where the organisation requires one; of a
    /// service account that it is not narrowed.
    pub(crate) fn check_admitted(&self, job: &Job<'_>, organisation: u64) -> Result<(), PeopleError> {
        let sql = "SELECT 1 FROM organisations WHERE id = ?1 AND requires_two_factor = 1";
        match self.actor {
            Actor::Account(id) => match account::standing(job, id)?.and_then(|standing| standing.narrowed_to)
            {
                Some(scopes) => Err(PeopleError::Narrowed { scopes }),
                None => Ok(()),
            },
            Actor::Person(id)
                if job.row(sql, [organisation], |_| Ok(()))?.is_some() && !has_two_factor(job, id)? =>
            {
                Err(PeopleError::TwoFactorRequired { organisation })
            }
            Actor::Host | Actor::Person(_) => Ok(()),
        }
    }

    /// Demands that the actor is the host.
    pub(crate) fn require_host(&self) -> Result<(), PeopleError> {
        match self.actor {
            Actor::Host => Ok(()),
            Actor::Person(_) | Actor::Account(_) => Err(PeopleError::HostOnly),
        }
    }

    /// Demands that the actor is `person`, or the host.
    pub(crate) fn require_self(&self, person: PersonId) -> Result<(), PeopleError> {
        match self.actor {
            Actor::Host => Ok(()),
            Actor::Person(id) if id == person => Ok(()),
            Actor::Person(_) | Actor::Account(_) => Err(PeopleError::NotOneself { person }),
        }
    }
}

/// The role that a person was given in an organisation.
pub(crate) fn organisation_role(
    job: &Job<'_>,
    organisation: u64,
    person: PersonId,
) -> Result<Option<OrganisationRole>, StoreError> {
    let sql = "SELECT role FROM organisation_members WHERE organisation_id = ?1 AND person_id = ?2";
    let word: Option<String> = job.row(sql, [organisation, person.0], |row| row.get(0))?;
    word.map(|word| role(job, &word)).transpose()
}

/// A role as the store has it.
pub(crate) fn role<R: std::str::FromStr<Err = crate::NoRole>>(
    job: &Job<'_>,
    word: &str,
) -> Result<R, StoreError> {
    word.parse().map_err(|error: crate::NoRole| job.damaged(error.to_string()))
}

impl Acting<'_> {
    /// What the actor is in a project: the stronger of what they were given there and what their role in the
    /// organisation implies. `None` if it is none of theirs, or there is no such project.
    ///
    /// # Errors
    /// [`PeopleError::TwoFactorRequired`].
    pub fn project_role(&self, project: u64) -> Result<Option<ProjectRole>, PeopleError> {
        self.read(|job| {
            if rules::project_id(project).is_none() {
                return Ok(None);
            }
            let sql = "SELECT organisation_id FROM projects WHERE id = ?1 AND deleted_at_ms IS NULL";
            match job.row(sql, [project], |row| row.get(0))? {
                Some(organisation) => {
                    self.check_admitted(job, organisation)?;
                    Ok(self.role_in_project(job, organisation, project)?)
                }
                None => Ok(None),
            }
        })
    }
}
