//! Organisations: who belongs to them, and as what.
//!
//! # Invariants
//! * From its first owner on an organisation keeps one: the checks here say which rule is in the way, the schema holds it
//!   once more.
//! * Nobody gives a role above their own, nor changes or removes somebody whose role is not below theirs; owners are equal
//!   to each other, and the host is above all.
//! * Who leaves an organisation loses their roles in its projects with it.
//! * No organisation gets the number of one that is gone: the audit goes on saying what was done in that one.
//! * The owners of the first one look after the server. Where it is gone, only the host makes another the first.

use rusqlite::params;
use serde::Serialize;

use crate::{
    Acting, OrganisationRole, PasswordProof, PeopleError, PersonId, ProjectRole, StoreError, account,
    actor::{Actor, organisation_role, role},
    control::Job,
    outbox::{Notice, project_owners, tell, tell_owners},
    person::{lapse_gdpr_tokens, person, subject},
    rules,
};

/// An organisation as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Organisation {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// When it was created, in milliseconds since the epoch.
    pub created_at_ms: u64,
    /// What the actor is there.
    pub role: OrganisationRole,
    /// Whether everybody who does something in it needs a second factor.
    pub requires_two_factor: bool,
    /// How many projects it has.
    pub projects: u64,
    /// Who belongs to it, the strongest role first.
    pub members: Vec<Member>,
}

/// Somebody who belongs to an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Member {
    /// The person's number.
    pub id: PersonId,
    /// Their address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// What they are there.
    pub role: OrganisationRole,
    /// Since when, in milliseconds since the epoch.
    pub added_at_ms: u64,
}

impl Acting<'_> {
    /// The organisations that are the actor's, by number; the host's are all.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub fn organisations(&self) -> Result<Vec<Organisation>, PeopleError> {
        self.read(|job| {
            let ids = job.rows("SELECT id FROM organisations ORDER BY id", [], |row| row.get(0))?;
            let mut organisations = Vec::new();
            for id in ids {
                if let Some(role) = self.role_in(job, id)? {
                    // What requires a second factor is listed to people: they are told so when they open it.
                    if matches!(self.actor, Actor::Account(_)) {
                        self.check_admitted(job, id)?;
                    }
                    organisations.push(organisation(job, id, role)?);
                }
            }
            Ok(organisations)
        })
    }

    /// One organisation.
    ///
    /// # Errors
    /// [`PeopleError::OrganisationNotFound`].
    pub fn organisation(&self, id: u64) -> Result<Organisation, PeopleError> {
        self.read(|job| {
            let role = self.require(job, id, OrganisationRole::Member)?;
            Ok(organisation(job, id, role)?)
        })
    }

    /// Creates an organisation. Its owner is `owner`, or the person who does it. Where there is no first one, the host's is
    /// that.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn create_organisation(
        &self,
        name: &str,
        owner: Option<PersonId>,
    ) -> Result<Organisation, PeopleError> {
        check_name(name)?;
        self.change(|job| {
            let owner = match self.actor {
                Actor::Person(id) => Some(id),
                Actor::Host => owner,
                Actor::Account(_) => return Err(PeopleError::PeopleOnly),
            };
            self.found_one(job)?;
            let is_first = self.actor == Actor::Host && first(job)?.is_none();
            let id = enter(job, name, is_first)?;
            if let Some(owner) = owner {
                person(job, owner)?;
                give(job, id, owner, None, OrganisationRole::Owner)?;
            }
            Ok(organisation(job, id, OrganisationRole::Owner)?)
        })
    }

    /// Gives an organisation another name: an admin's.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn rename_organisation(&self, id: u64, name: &str) -> Result<Organisation, PeopleError> {
        check_name(name)?;
        self.change(|job| {
            let role = self.require(job, id, OrganisationRole::Admin)?;
            let old = organisation(job, id, role)?;
            if old.name != name {
                job.execute("UPDATE organisations SET name = ?2 WHERE id = ?1", params![id, name])?;
                let detail = format!("name {:?} -> {name:?}", old.name);
                job.audit("organisation.changed", &id.to_string(), &detail)?;
            }
            Ok(organisation(job, id, role)?)
        })
    }

    /// Deletes an organisation that nothing is left in: an owner's. Who belongs to it, belongs to it no longer; projects,
    /// deleted ones too until they are gone for good, and service accounts are in the way. The first one, whose owners look
    /// after the server, is the host's to delete.
    ///
    /// # Errors
    /// [`PeopleError::OrganisationInUse`]; [`PeopleError::FirstOrganisation`].
    pub fn delete_organisation(&self, id: u64, proof: &PasswordProof) -> Result<(), PeopleError> {
        self.check_proof(proof)?;
        self.change(|job| {
            self.require(job, id, OrganisationRole::Owner)?;
            if self.actor != Actor::Host && first(job)? == Some(id) {
                return Err(PeopleError::FirstOrganisation { id });
            }
            if owns_something(job, id)? {
                return Err(PeopleError::OrganisationInUse { id });
            }
            job.execute("DELETE FROM organisations WHERE id = ?1", [id])?;
            Ok(job.audit("organisation.deleted", &id.to_string(), "nothing was left in it")?)
        })
    }

    /// Requires a second factor of everybody who does something in an organisation, or no longer: an admin's, who has one.
    /// Who has none keeps their role, and may do nothing with it until they have.
    ///
    /// # Errors
    /// [`PeopleError::TwoFactorRequired`] if the actor has none.
    pub fn require_two_factor(&self, id: u64, required: bool) -> Result<Organisation, PeopleError> {
        self.change(|job| {
            let role = self.require(job, id, OrganisationRole::Admin)?;
            let sql = "UPDATE organisations SET requires_two_factor = ?2 WHERE id = ?1 AND requires_two_factor <> ?2";
            if job.execute(sql, params![id, required])? == 1 {
                // As the rule now is: nobody locks themselves out.
                self.check_admitted(job, id)?;
                job.audit("organisation.changed", &id.to_string(), &format!("requires_two_factor {required}"))?;
            }
            Ok(organisation(job, id, role)?)
        })
    }

    /// Gives a person a role in an organisation, whether they belong to it or not yet: an admin's, up to their own. Who
    /// shares no organisation with the actor is invited instead.
    ///
    /// # Errors
    /// [`PeopleError::AboveOneself`], [`PeopleError::LastOwner`] and others.
    pub fn set_organisation_role(
        &self,
        id: u64,
        whom: PersonId,
        new: OrganisationRole,
    ) -> Result<Organisation, PeopleError> {
        self.change(|job| {
            let own = self.require(job, id, OrganisationRole::Admin)?;
            self.seen(job, whom)?;
            let old = organisation_role(job, id, whom)?;
            self.check_below(id, own, whom, old, Some(new))?;
            if old == Some(OrganisationRole::Owner) && new != OrganisationRole::Owner {
                check_not_the_last(job, id, whom)?;
            }
            if old != Some(new) {
                give(job, id, whom, old, new)?;
                lapse_gdpr_tokens(job)?;
            }
            Ok(organisation(job, id, own)?)
        })
    }

    /// Takes a person out of an organisation and its projects: an admin's, of those below them; anybody's, of themselves.
    ///
    /// # Errors
    /// [`PeopleError::NotAMember`], [`PeopleError::AboveOneself`], [`PeopleError::LastOwner`].
    pub fn remove_member(&self, id: u64, whom: PersonId) -> Result<(), PeopleError> {
        self.change(|job| {
            let leaves = self.actor == Actor::Person(whom);
            let needs = if leaves { OrganisationRole::Member } else { OrganisationRole::Admin };
            let own = self.require(job, id, needs)?;
            let who = self.seen(job, whom)?;
            let old = organisation_role(job, id, whom)?;
            let name = who.name;
            let old = old.ok_or(PeopleError::NotAMember { who: who.email, organisation: id })?;
            self.check_below(id, own, whom, Some(old), None)?;
            if old == OrganisationRole::Owner {
                check_not_the_last(job, id, whom)?;
            }
            let sql = "DELETE FROM project_members WHERE person_id = ?2 \
                       AND project_id IN (SELECT id FROM projects WHERE organisation_id = ?1)";
            job.execute(sql, params![id, whom.0])?;
            let sql = "DELETE FROM organisation_members WHERE organisation_id = ?1 AND person_id = ?2";
            job.execute(sql, params![id, whom.0])?;
            let detail = format!("{} was {old}", subject(whom));
            job.audit("organisation.member_removed", &id.to_string(), &detail)?;
            if old == OrganisationRole::Owner {
                let notice = Notice::OwnerRemoved { organisation: id, who: &name };
                tell_owners(job, id, Some(whom), &notice)?;
            }
            Ok(lapse_gdpr_tokens(job)?)
        })
    }

    /// Gives a person a role in a project, or takes it away: a project admin's, up to their own. A person who does not
    /// belong to the organisation becomes a member of it.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn set_project_role(
        &self,
        project: u64,
        whom: PersonId,
        new: Option<ProjectRole>,
    ) -> Result<(), PeopleError> {
        self.change(|job| {
            let (organisation, own) = self.require_project(job, project, ProjectRole::Admin)?;
            self.seen(job, whom)?;
            let old = project_role(job, project, whom)?;
            // As with organisations: below one's own, or among owners.
            let reaches = |role: ProjectRole| role < own || own == ProjectRole::Owner;
            let given = new.is_none_or(|new| new <= own);
            if !given || !(self.actor == Actor::Person(whom) || old.is_none_or(reaches)) {
                return Err(PeopleError::ProjectDenied {
                    project,
                    role: own,
                    needs: new.max(old).unwrap_or(own),
                });
            }
            if new == old {
                return Ok(());
            }
            if new.is_some() && organisation_role(job, organisation, whom)?.is_none() {
                give(job, organisation, whom, None, OrganisationRole::Member)?;
            }
            give_in_project(job, project, whom, old, new)?;
            Ok(lapse_gdpr_tokens(job)?)
        })
    }

    /// Demands a role in a project; returns its organisation and the role. To those who have none, it does not exist.
    pub(crate) fn require_project(
        &self,
        job: &Job<'_>,
        project: u64,
        needs: ProjectRole,
    ) -> Result<(u64, ProjectRole), PeopleError> {
        let not_found = || PeopleError::ProjectNotFound { id: project };
        rules::project_id(project).ok_or_else(not_found)?;
        let sql = "SELECT organisation_id FROM projects WHERE id = ?1 AND deleted_at_ms IS NULL";
        let organisation: u64 = job.row(sql, [project], |row| row.get(0))?.ok_or_else(not_found)?;
        let role = self.role_in_project(job, organisation, project)?.ok_or_else(not_found)?;
        self.check_admitted(job, organisation)?;
        if role >= needs {
            Ok((organisation, role))
        } else {
            Err(PeopleError::ProjectDenied { project, role, needs })
        }
    }

    /// Demands that a role may be changed and given: below one's own, one's own, or among owners.
    fn check_below(
        &self,
        organisation: u64,
        own: OrganisationRole,
        whom: PersonId,
        old: Option<OrganisationRole>,
        new: Option<OrganisationRole>,
    ) -> Result<(), PeopleError> {
        let above = |other| Err(PeopleError::AboveOneself { organisation, role: own, other });
        match (old, new) {
            (_, Some(new)) if new > own => above(new),
            _ if own == OrganisationRole::Owner || self.actor == Actor::Person(whom) => Ok(()),
            (Some(old), _) if old >= own => above(old),
            _ => Ok(()),
        }
    }
}

/// The first organisation, whose owners look after the server, if there is one.
pub(crate) fn first(job: &Job<'_>) -> Result<Option<u64>, StoreError> {
    job.row("SELECT id FROM organisations WHERE is_first = 1", [], |row| row.get(0))
}

/// Enters an organisation, under a number that none had before.
pub(crate) fn enter(job: &Job<'_>, name: &str, is_first: bool) -> Result<u64, StoreError> {
    let sql = "UPDATE organisation_numbers SET last = last + 1 RETURNING last";
    let id: Option<u64> = job.row(sql, [], |row| row.get(0))?;
    let id = id.ok_or_else(|| job.damaged("organisation_numbers has no row".to_owned()))?;
    let sql = "INSERT INTO organisations (id, name, created_at_ms, is_first) VALUES (?1, ?2, ?3, ?4)";
    job.execute(sql, params![id, name, job.now_ms, is_first])?;
    job.audit("organisation.created", &id.to_string(), &format!("name {name:?}"))?;
    Ok(id)
}

/// Has it projects or service accounts?
pub(crate) fn owns_something(job: &Job<'_>, organisation: u64) -> Result<bool, StoreError> {
    let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM projects WHERE organisation_id = ?1) \
               OR EXISTS (SELECT 1 FROM service_accounts WHERE organisation_id = ?1)";
    Ok(job.row(sql, [organisation], |_| Ok(()))?.is_some())
}

/// Demands that an organisation has another owner than `who`.
fn check_not_the_last(job: &Job<'_>, id: u64, who: PersonId) -> Result<(), PeopleError> {
    let sql = "SELECT 1 FROM organisation_members WHERE organisation_id = ?1 AND role = 'owner' AND person_id <> ?2";
    if job.row(sql, params![id, who.0], |_| Ok(()))?.is_some() {
        return Ok(());
    }
    let name: Option<String> =
        job.row("SELECT name FROM organisations WHERE id = ?1", [id], |row| row.get(0))?;
    Err(PeopleError::LastOwner { who: person(job, who)?.email, organisation: (id, name.unwrap_or_default()) })
}

/// Writes a role down.
pub(crate) fn give(
    job: &Job<'_>,
    id: u64,
    whom: PersonId,
    old: Option<OrganisationRole>,
    new: OrganisationRole,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO organisation_members VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (organisation_id, person_id) DO UPDATE SET role = excluded.role";
    job.execute(sql, params![id, whom.0, new.as_str(), job.now_ms, job.actor()])?;
    let detail = format!("{} {} -> {new}", subject(whom), old.map_or("none", OrganisationRole::as_str));
    job.audit("organisation.role_changed", &id.to_string(), &detail)?;
    match (old == Some(OrganisationRole::Owner), new == OrganisationRole::Owner) {
        (false, true) => {
            tell_owners(job, id, Some(whom), &Notice::OwnerAdded { organisation: id, who: whom })
        }
        (true, false) => {
            let sql = "SELECT name FROM people WHERE id = ?1";
            let who: Option<String> = job.row(sql, [whom.0], |row| row.get(0))?;
            let who = &who.unwrap_or_default();
            tell_owners(job, id, Some(whom), &Notice::OwnerRemoved { organisation: id, who })
        }
        _ => Ok(()),
    }
}

/// Writes a role in a project down, or that there is none any more. Of a member of its organisation only.
pub(crate) fn give_in_project(
    job: &Job<'_>,
    project: u64,
    whom: PersonId,
    old: Option<ProjectRole>,
    new: Option<ProjectRole>,
) -> Result<(), StoreError> {
    match new {
        Some(new) => {
            let sql = "INSERT INTO project_members VALUES (?1, ?2, ?3, ?4, ?5) \
                       ON CONFLICT (project_id, person_id) DO UPDATE SET role = excluded.role";
            job.execute(sql, params![project, whom.0, new.as_str(), job.now_ms, job.actor()])?;
        }
        None => {
            let sql = "DELETE FROM project_members WHERE project_id = ?1 AND person_id = ?2";
            job.execute(sql, params![project, whom.0])?;
        }
    }
    let word = |role: Option<ProjectRole>| role.map_or("none", ProjectRole::as_str);
    let detail = format!("{} {} -> {}", subject(whom), word(old), word(new));
    job.audit("project.role_changed", &project.to_string(), &detail)?;
    let (was, is) = (old == Some(ProjectRole::Owner), new == Some(ProjectRole::Owner));
    if was == is {
        return Ok(());
    }
    let mut concerned = project_owners(job, project)?;
    concerned.extend(Some(whom).filter(|whom| !concerned.contains(whom)));
    tell(job, &concerned, &Notice::ProjectOwner { project, who: whom, is })
}

/// What a person was given in a project.
pub(crate) fn project_role(
    job: &Job<'_>,
    project: u64,
    person: PersonId,
) -> Result<Option<ProjectRole>, StoreError> {
    let sql = "SELECT role FROM project_members WHERE project_id = ?1 AND person_id = ?2";
    let word: Option<String> = job.row(sql, [project, person.0], |row| row.get(0))?;
    word.map(|word| role(job, &word)).transpose()
}

impl Acting<'_> {
    /// The stronger of what was given in the project and what the role in its organisation implies.
    pub(crate) fn role_in_project(
        &self,
        job: &Job<'_>,
        organisation: u64,
        project: u64,
    ) -> Result<Option<ProjectRole>, StoreError> {
        let implied = self.role_in(job, organisation)?.and_then(OrganisationRole::implies);
        match self.actor {
            Actor::Host => Ok(implied),
            Actor::Person(person) => Ok(implied.max(project_role(job, project, person)?)),
            Actor::Account(id) => Ok(implied.max(account::project_role(job, project, id)?)),
        }
    }
}

fn organisation(job: &Job<'_>, id: u64, role_of_actor: OrganisationRole) -> Result<Organisation, StoreError> {
    let sql = "SELECT name, created_at_ms, requires_two_factor, \
               (SELECT count(*) FROM projects WHERE organisation_id = ?1 AND deleted_at_ms IS NULL) \
               FROM organisations WHERE id = ?1";
    let found = job.row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let (name, created_at_ms, requires_two_factor, projects) =
        found.ok_or_else(|| job.damaged(format!("organisation {id} vanished within a transaction")))?;
    let members = members(job, id)?;
    Ok(Organisation { id, name, created_at_ms, role: role_of_actor, requires_two_factor, projects, members })
}

/// Who belongs to an organisation, the strongest role first.
pub(crate) fn members(job: &Job<'_>, id: u64) -> Result<Vec<Member>, StoreError> {
    let sql = "SELECT p.id, p.email, p.name, m.role, m.added_at_ms FROM organisation_members m \
               JOIN people p ON p.id = m.person_id WHERE m.organisation_id = ?1 ORDER BY p.email_key";
    let rows = job.rows(sql, [id], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?, row.get(4)?))
    })?;
    let mut members = Vec::with_capacity(rows.len());
    for (number, email, name, word, added_at_ms) in rows {
        members.push(Member { id: PersonId(number), email, name, role: role(job, &word)?, added_at_ms });
    }
    members.sort_by_key(|member| std::cmp::Reverse(member.role));
    Ok(members)
}

fn check_name(name: &str) -> Result<(), PeopleError> {
    if rules::name(name) { Ok(()) } else { Err(PeopleError::NameInvalid { name: name.to_owned() }) }
}
