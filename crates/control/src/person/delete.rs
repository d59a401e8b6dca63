//! Deleting a person: at once, and for good. Projects and their events stay.

use rusqlite::params;

use super::{Person, person, subject};
use crate::{
    Acting, OrganisationRole, PasswordProof, PeopleError, PersonId,
    actor::organisation_role,
    control::Job,
    organisation::owns_something,
    outbox::{self, Notice, tell},
};

/// Who becomes an owner in the stead of a person who is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The organisation's number.
    pub organisation: u64,
    /// A member of it.
    pub to: PersonId,
}

impl Acting<'_> {
    /// Deletes a person: their own doing, with the password, or the host's. Of each organisation whose only owner they
    /// are, `hand_overs` names the next one; one with no other member, project or service account goes with them. All or
    /// nothing.
    ///
    /// # Errors
    /// [`PeopleError::LastOwner`] for the first organisation that would have no owner left.
    pub fn delete_person(
        &self,
        id: PersonId,
        proof: &PasswordProof,
        hand_overs: &[HandOver],
    ) -> Result<(), PeopleError> {
        self.require_self(id)?;
        self.check_proof(proof)?;
        self.change(|job| {
            let leaving = person(job, id)?;
            // While the addresses are known.
            tell(job, &[id], &Notice::AccountDeleted)?;
            for hand_over in hand_overs {
                take_over(job, &leaving, *hand_over)?;
            }
            for membership in &leaving.organisations {
                leave(job, &leaving, membership.id, &membership.name)?;
            }
            job.execute("DELETE FROM sign_ins WHERE email_key = ?1", [super::key(&leaving.email)])?;
            job.execute("DELETE FROM outreach WHERE who = ?1", [subject(id)])?;
            // Sessions and roles in projects go with the row.
            job.execute("DELETE FROM people WHERE id = ?1", [id.0])?;
            outbox::forget(job, id)?;
            let left: Vec<_> = leaving.organisations.iter().map(|o| o.id.to_string()).collect();
            job.audit("person.deleted", &subject(id), &format!("organisations left: {}", left.join(", ")))?;
            Ok(())
        })
    }
}

fn take_over(job: &Job<'_>, leaving: &Person, hand_over: HandOver) -> Result<(), PeopleError> {
    let HandOver { organisation, to } = hand_over;
    let not_a_member = |who: &Person| PeopleError::NotAMember { who: who.email.clone(), organisation };
    // Whoever leaves hands over what is theirs, and to somebody else.
    if organisation_role(job, organisation, leaving.id)? != Some(OrganisationRole::Owner) {
        return Err(not_a_member(leaving));
    }
    if to == leaving.id || organisation_role(job, organisation, to)?.is_none() {
        // By number: whose it is, if anybody's, is not told to who does not share an organisation with them.
        return Err(PeopleError::NotAMember { who: format!("person {to}"), organisation });
    }
    let sql = "UPDATE organisation_members SET role = 'owner' WHERE organisation_id = ?1 AND person_id = ?2";
    job.execute(sql, params![organisation, to.0])?;
    job.audit(
        "organisation.handed_over",
        &organisation.to_string(),
        &format!("{} -> {}", subject(leaving.id), subject(to)),
    )?;
    Ok(outbox::tell_owners(job, organisation, None, &Notice::OwnerAdded { organisation, who: to })?)
}

fn leave(job: &Job<'_>, leaving: &Person, organisation: u64, name: &str) -> Result<(), PeopleError> {
    let others = |condition: &str| {
        let sql = format!(
            "SELECT 1 FROM organisation_members WHERE organisation_id = ?1 AND person_id <> ?2 {condition} LIMIT 1"
        );
        job.row(&sql, params![organisation, leaving.id.0], |_| Ok(())).map(|found| found.is_some())
    };
    let is_owner = organisation_role(job, organisation, leaving.id)? == Some(OrganisationRole::Owner);
    if is_owner && !others("AND role = 'owner'")? {
        if others("")? || owns_something(job, organisation)? {
            let organisation = (organisation, name.to_owned());
            return Err(PeopleError::LastOwner { who: leaving.email.clone(), organisation });
        }
        job.execute("DELETE FROM organisations WHERE id = ?1", [organisation])?;
        job.audit("organisation.deleted", &organisation.to_string(), "nobody and nothing was left in it")?;
        return Ok(());
    }
    let sql = "DELETE FROM organisation_members WHERE organisation_id = ?1 AND person_id = ?2";
    job.execute(sql, params![organisation, leaving.id.0])?;
    if is_owner {
        let notice = Notice::OwnerRemoved { organisation, who: &leaving.name };
        outbox::tell_owners(job, organisation, None, &notice)?;
    }
    Ok(())
}
