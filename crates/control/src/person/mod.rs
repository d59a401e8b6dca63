//! People: who they are, and what they belong to.
//!
//! # Invariants
//! * An address belongs to one person, however it is capitalised.
//! * A person who is deleted leaves no session and no membership, in one transaction; an organisation that would have no
//!   owner left gets its new one in the same. Projects and events stay.
//! * Whoever changes an address or a password, or deletes a person, gives the password; the host needs none.

mod code;
mod data;
mod delete;
mod device;
mod gdpr;
mod invitation;
mod losses;
mod notices;
mod password;
mod personal;
mod phone;
mod proof;
mod session;
mod setup;
mod sign_in;
mod two_factor;

use std::fmt;

use rusqlite::params;
use serde::Serialize;

use crate::{
    Acting, OrganisationRole, PeopleError, PersonId, ProjectRole, StoreError,
    actor::{Actor, role},
    control::{Job, only_if},
    organisation::give,
    outbox::{Notice, tell, tell_at},
    rules,
};

pub use data::{Erasure, PersonalData, SignInRecord};
pub use delete::HandOver;
pub use device::{DEVICE_BYTES_MAX, DEVICE_LIFE_MS};
pub(crate) use gdpr::lapse as lapse_gdpr_tokens;
pub use gdpr::{GdprToken, GdprTokenInfo};
pub use invitation::{Invitation, Invited, NewInvitation};
pub use losses::{Losses, OrganisationLoss, Outcome, ProjectLoss};
pub use personal::{Preferences, PreferencesChange, Usage, ViewSetting};
pub use phone::CodeSent;
pub(crate) use phone::masked;
pub use proof::PasswordProof;
pub use session::{Session, SignedIn};
pub use setup::SetupCode;
use sign_in::Place;
pub use sign_in::SignIn;
pub(crate) use two_factor::is_on as has_two_factor;
pub use two_factor::{Enrolment, Kind as TwoFactorKind, TwoFactor};

/// A person to be entered.
#[derive(Clone)]
pub struct NewPerson {
    /// Where mail reaches them, and what they sign in by.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Their password; without one they cannot sign in until one is set.
    pub password: Option<String>,
}

impl fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPerson").field("email", &self.email).finish_non_exhaustive()
    }
}

/// A person as they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Person {
    /// Their number.
    pub id: PersonId,
    /// Where mail reaches them, and what they sign in by.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Whether they have a password.
    pub has_password: bool,
    /// When they were entered, in milliseconds since the epoch.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
    /// The organisations they belong to.
    pub organisations: Vec<Membership>,
    /// The projects they were given a role in; roles that follow from one in the organisation are not listed.
    pub projects: Vec<ProjectMembership>,
}

/// An organisation that a person belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Membership {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What they are there.
    pub role: OrganisationRole,
}

/// A project that a person was given a role in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ProjectMembership {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What they are there.
    pub role: ProjectRole,
}

/// What is to change of a person; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct PersonChange {
    /// Their name.
    pub name: Option<String>,
    /// Their address.
    pub email: Option<String>,
}

impl Acting<'_> {
    /// Enters a person who belongs to nothing yet. The host's alone: others are invited.
    ///
    /// # Errors
    /// [`PeopleError::HostOnly`], [`PeopleError::EmailTaken`] and others.
    pub fn create_person(&self, new: &NewPerson) -> Result<Person, PeopleError> {
        self.require_host()?;
        let ready = Ready::of(new)?;
        self.change(|job| {
            let id = ready.enter(job)?;
            person(job, id)
        })
    }

    /// Enters a person who belongs to an organisation from the first moment. The host's alone.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn create_member(
        &self,
        new: &NewPerson,
        organisation: u64,
        role: OrganisationRole,
    ) -> Result<Person, PeopleError> {
        self.require_host()?;
        let ready = Ready::of(new)?;
        self.change(|job| {
            self.require(job, organisation, OrganisationRole::Owner)?;
            let id = ready.enter(job)?;
            give(job, organisation, id, None, role)?;
            person(job, id)
        })
    }

    /// Those the actor may see, by address: to the host everybody; to a person themselves, and those they share an
    /// organisation with. Of others only what is shared is told: see [`Acting::person`].
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub fn people(&self) -> Result<Vec<Person>, PeopleError> {
        self.read(|job| {
            let people = people(job, None)?.into_iter();
            let seen = people.map(|person| self.as_seen(job, person)).collect::<Result<Vec<_>, _>>()?;
            Ok(seen.into_iter().flatten().collect())
        })
    }

    /// One person, as far as the actor may see them: of others than oneself the organisations that both belong to, and
    /// the roles in their projects that the actor sees.
    ///
    /// # Errors
    /// [`PeopleError::PersonNotFound`], also of those that the actor shares no organisation with.
    pub fn person(&self, id: PersonId) -> Result<Person, PeopleError> {
        self.read(|job| self.seen(job, id))
    }

    /// The person with that address, however it is capitalised: as [`Acting::person`].
    ///
    /// # Errors
    /// [`PeopleError::PersonNotFound`].
    pub fn person_of_email(&self, email: &str) -> Result<Person, PeopleError> {
        self.read(|job| {
            let not_found = || PeopleError::PersonNotFound { who: format!("{email:?}") };
            let id = of_email(job, email)?.ok_or_else(not_found)?;
            self.as_seen(job, person(job, id)?)?.ok_or_else(not_found)
        })
    }

    /// One person, if the actor may see them: of others it is not told that they are there.
    pub(crate) fn seen(&self, job: &Job<'_>, id: PersonId) -> Result<Person, PeopleError> {
        let seen = self.as_seen(job, person(job, id)?)?;
        seen.ok_or_else(|| PeopleError::PersonNotFound { who: id.to_string() })
    }

    fn as_seen(&self, job: &Job<'_>, mut person: Person) -> Result<Option<Person>, StoreError> {
        match self.actor {
            Actor::Host => return Ok(Some(person)),
            Actor::Person(id) if id == person.id => return Ok(Some(person)),
            Actor::Person(_) | Actor::Account(_) => {}
        }
        let mut shared = Vec::new();
        for organisation in person.organisations {
            if self.role_in(job, organisation.id)?.is_some() {
                shared.push(organisation);
            }
        }
        let mut projects = Vec::new();
        for project in person.projects {
            let sql = "SELECT organisation_id FROM projects WHERE id = ?1";
            let organisation: Option<u64> = job.row(sql, [project.id], |row| row.get(0))?;
            if let Some(organisation) = organisation
                && self.role_in_project(job, organisation, project.id)?.is_some()
            {
                projects.push(project);
            }
        }
        (person.organisations, person.projects) = (shared, projects);
        Ok((!person.organisations.is_empty()).then_some(person))
    }

    /// Changes a person's name or address: their own doing, or the host's. A new address takes the proof.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn change_person(
        &self,
        id: PersonId,
        change: &PersonChange,
        proof: Option<&PasswordProof>,
    ) -> Result<Person, PeopleError> {
        self.require_self(id)?;
        change.name.as_deref().map_or(Ok(()), check_name)?;
        change.email.as_deref().map_or(Ok(()), check_email)?;
        if change.email.is_some() {
            self.check_proof(proof.ok_or(PeopleError::PasswordNeeded)?)?;
        }
        self.change(|job| {
            let old = person(job, id)?;
            if let (Actor::Person(_), Some(email)) = (self.actor, &change.email)
                && key(email) != key(&old.email)
            {
                // Whether somebody has an address is as hard to guess as a password.
                let (email_key, from) = (key(&old.email), subject(id));
                sign_in::throttle_session(job, &email_key, &from)?;
                self.reach_out(job, None)?;
                if let Err(taken) = check_free(job, email) {
                    sign_in::note(job, &email_key, &Place::of_session(&from), false)?;
                    return Ok(Err(taken));
                }
            }
            let mut done = Vec::new();
            if let Some(name) = change.name.as_ref().filter(|&name| *name != old.name) {
                job.execute("UPDATE people SET name = ?2 WHERE id = ?1", params![id.0, name])?;
                done.push("name");
            }
            if let Some(email) = change.email.as_ref().filter(|&email| *email != old.email) {
                if key(email) != key(&old.email) {
                    check_free(job, email)?;
                }
                let sql = "UPDATE people SET email = ?2, email_key = ?3 WHERE id = ?1";
                job.execute(sql, params![id.0, email, key(email)])?;
                // Theirs to see, to take along and to erase, as before.
                let sql = "UPDATE sign_ins SET email_key = ?2 WHERE email_key = ?1";
                job.execute(sql, params![key(&old.email), key(email)])?;
                tell_at(job, &old.email, Some(id), &Notice::EmailChanged(email))?;
                tell(job, &[id], &Notice::EmailChanged(email))?;
                done.push("email");
            }
            if !done.is_empty() {
                job.audit("person.changed", &subject(id), &done.join(", "))?;
            }
            Ok(Ok(person(job, id)?))
        })?
    }

    /// Gives a person another password, and ends their sessions but `keep`. Their own doing, with the present password, or
    /// the host's.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn set_password(
        &self,
        id: PersonId,
        new: &str,
        keep: Option<&Session>,
        proof: &PasswordProof,
    ) -> Result<(), PeopleError> {
        self.require_self(id)?;
        self.check_proof(proof)?;
        let email = self.person(id)?.email;
        let hash = password::hash(new, &email)?;
        self.change(|job| {
            person(job, id)?;
            let sql = "UPDATE people SET password_hash = ?2, password_set_ms = ?3 WHERE id = ?1";
            job.execute(sql, params![id.0, hash, job.now_ms])?;
            let sql = "DELETE FROM sessions WHERE person_id = ?1 AND id IS NOT ?2";
            let ended = job.execute(sql, params![id.0, keep.map(|session| session.id)])?;
            job.audit("person.password_set", &subject(id), &format!("sessions ended: {ended}"))?;
            Ok(tell(job, &[id], &Notice::PasswordChanged)?)
        })
    }
}

/// A person to be entered, checked, and the password hashed: before a transaction is open.
pub(crate) struct Ready<'n> {
    new: &'n NewPerson,
    hash: Option<String>,
}

impl<'n> Ready<'n> {
    pub(crate) fn of(new: &'n NewPerson) -> Result<Ready<'n>, PeopleError> {
        check_name(&new.name)?;
        check_email(&new.email)?;
        let hash = new.password.as_deref().map(|password| password::hash(password, &new.email));
        Ok(Ready { new, hash: hash.transpose()? })
    }

    pub(crate) fn enter(&self, job: &Job<'_>) -> Result<PersonId, PeopleError> {
        let NewPerson { email, name, .. } = self.new;
        check_free(job, email)?;
        let set_ms = self.hash.is_some().then_some(job.now_ms);
        job.execute(
            "INSERT INTO people (email, email_key, name, password_hash, password_set_ms, created_at_ms, created_by) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![email, key(email), name, self.hash, set_ms, job.now_ms, job.actor()],
        )?;
        let id = PersonId(job.last_id()?);
        job.audit("person.created", &subject(id), "")?;
        Ok(id)
    }
}

/// The number of the person with that address.
pub(crate) fn of_email(job: &Job<'_>, email: &str) -> Result<Option<PersonId>, StoreError> {
    job.row("SELECT id FROM people WHERE email_key = ?1", [key(email)], |row| row.get(0).map(PersonId))
}

/// What an address is found by.
pub(crate) fn key(email: &str) -> String {
    email.to_lowercase()
}

/// A person in the audit.
pub(crate) fn subject(id: PersonId) -> String {
    format!("person:{id}")
}

fn check_name(name: &str) -> Result<(), PeopleError> {
    if rules::name(name) { Ok(()) } else { Err(PeopleError::NameInvalid { name: name.to_owned() }) }
}

pub(crate) fn check_email(email: &str) -> Result<(), PeopleError> {
    if rules::email(email) { Ok(()) } else { Err(PeopleError::EmailInvalid { email: email.to_owned() }) }
}

fn check_free(job: &Job<'_>, email: &str) -> Result<(), PeopleError> {
    match job.row("SELECT 1 FROM people WHERE email_key = ?1", [key(email)], |_| Ok(()))? {
        None => Ok(()),
        Some(()) => Err(PeopleError::EmailTaken { email: email.to_owned() }),
    }
}

/// One person, or that there is none of that number.
pub(crate) fn person(job: &Job<'_>, id: PersonId) -> Result<Person, PeopleError> {
    let found = i64::try_from(id.0).ok().map(|_| people(job, Some(id))).transpose()?;
    found.and_then(|mut found| found.pop()).ok_or_else(|| PeopleError::PersonNotFound { who: id.to_string() })
}

/// One person or all, by address.
fn people(job: &Job<'_>, only: Option<PersonId>) -> Result<Vec<Person>, StoreError> {
    let only = only.map(|id| id.0);
    let sql = format!(
        "SELECT id, email, name, password_hash IS NOT NULL, created_at_ms, created_by FROM people WHERE {} ORDER BY id",
        only_if(only, "id")
    );
    let mut people = job.rows(&sql, [only], |row| {
        Ok(Person {
            id: PersonId(row.get(0)?),
            email: row.get(1)?,
            name: row.get(2)?,
            has_password: row.get(3)?,
            created_at_ms: row.get(4)?,
            created_by: row.get(5)?,
            organisations: Vec::new(),
            projects: Vec::new(),
        })
    })?;
    let sql = format!(
        "SELECT m.person_id, o.id, o.name, m.role FROM organisation_members m \
         JOIN organisations o ON o.id = m.organisation_id WHERE {} ORDER BY m.person_id, o.id",
        only_if(only, "m.person_id")
    );
    let mut organisations = roles(job, &sql, only)?.into_iter().peekable();
    let sql = format!(
        "SELECT m.person_id, p.id, p.name, m.role FROM project_members m \
         JOIN projects p ON p.id = m.project_id AND p.deleted_at_ms IS NULL WHERE {} ORDER BY m.person_id, p.id",
        only_if(only, "m.person_id")
    );
    let mut projects = roles(job, &sql, only)?.into_iter().peekable();
    // All three are in the order of people's numbers.
    for person in &mut people {
        while let Some((_, id, name, word)) = organisations.next_if(|(of, ..)| *of == person.id.0) {
            person.organisations.push(Membership { id, name, role: role(job, &word)? });
        }
        while let Some((_, id, name, word)) = projects.next_if(|(of, ..)| *of == person.id.0) {
            person.projects.push(ProjectMembership { id, name, role: role(job, &word)? });
        }
    }
    people.sort_by_key(|person| key(&person.email));
    Ok(people)
}

/// Rows of whose role it is, and where: number, name, and the role as the store has it.
fn roles(job: &Job<'_>, sql: &str, only: Option<u64>) -> Result<Vec<(u64, u64, String, String)>, StoreError> {
    job.rows(sql, [only], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
}
