//! The password, given once more before what cannot be taken back or would hand a secret to whoever found a screen
//! unlocked.
//!
//! # Invariants
//! * Only [`Acting::prove_password`] makes a proof, and it is of use to the same actor alone, for a few minutes.
//! * Who guesses here is throttled as at sign-in: a session that was taken over is no way around that.
//! * A service account shows its secret with each request, so there is nothing left to ask it for.

use std::fmt;

use super::{key, password, sign_in};
use crate::{Acting, PeopleError, PersonId, actor::Actor, control::Job};

/// How long a proof is of use: a page that asks for it and does the act in two steps fits in.
const PROOF_MS: u64 = 5 * 60_000;

/// Proof that the actor has just given their password; the host need not.
#[must_use]
pub struct PasswordProof {
    actor: Actor,
    at_ms: u64,
}

impl fmt::Debug for PasswordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordProof").field("actor", &self.actor).finish_non_exhaustive()
    }
}

impl Acting<'_> {
    /// The proof that sensitive acts ask for, if this is the actor's password. Of the host anything is taken, and of a
    /// service account: its secret came with the request.
    ///
    /// # Errors
    /// [`PeopleError::PasswordWrong`]; [`PeopleError::Throttled`] after too many of those.
    pub fn prove_password(&self, password: &str) -> Result<PasswordProof, PeopleError> {
        let proof = PasswordProof { actor: self.actor, at_ms: self.control.now_ms() };
        let Actor::Person(id) = self.actor else { return Ok(proof) };
        let from = format!("person:{id}");
        let (email_key, hash) = self.read(|job| {
            let email_key = key(&super::person(job, id)?.email);
            sign_in::throttle_session(job, &email_key, &from)?;
            Ok((email_key, hash_of(job, id)?))
        })?;
        if self.control.verify_password(id, password, hash.as_deref())? {
            return Ok(proof);
        }
        self.change(|job| {
            sign_in::throttle_session(job, &email_key, &from)?;
            Ok(sign_in::note(job, &email_key, &sign_in::Place::of_session(&from), false)?)
        })?;
        Err(PeopleError::PasswordWrong)
    }

    /// Demands that the proof is this actor's, and fresh.
    pub(crate) fn check_proof(&self, proof: &PasswordProof) -> Result<(), PeopleError> {
        let age_ms = self.control.now_ms().saturating_sub(proof.at_ms);
        if proof.actor == self.actor && (self.actor == Actor::Host || age_ms <= PROOF_MS) {
            Ok(())
        } else {
            Err(PeopleError::PasswordNeeded)
        }
    }
}

impl crate::Control {
    /// Is it the password of that person? No transaction is open meanwhile.
    pub(super) fn verify_password(
        &self,
        id: PersonId,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, crate::StoreError> {
        password::verify(password, hash).map_err(|error| crate::StoreError::Damaged {
            path: self.path.clone(),
            what: format!("the password hash of person {id} is none: {error}"),
        })
    }
}

pub(super) fn hash_of(job: &Job<'_>, id: PersonId) -> Result<Option<String>, crate::StoreError> {
    let sql = "SELECT password_hash FROM people WHERE id = ?1";
    Ok(job.row(sql, [id.0], |row| row.get::<_, Option<String>>(0))?.flatten())
}
