//! Signing in: with address and password, as often as somebody may guess.
//!
//! # Invariants
//! * Of failed attempts within [`WINDOW_MS`], at most [`FAILURES_OF_EMAIL_MAX`] for one address of a person and
//!   [`FAILURES_OF_NETWORK_MAX`] from one network are looked at; the rest is refused without looking, for people who exist
//!   and for those who do not.
//! * The table of attempts is bounded.

use std::{fmt, net::IpAddr};

use rusqlite::params;

use super::{
    key,
    personal::preferences,
    phone,
    session::{begin, network},
    two_factor::{Kind, check, is_on, kind},
};
use crate::{
    Control, PeopleError, PersonId, SignedIn, StoreError,
    control::Job,
    outbox::{Notice, tell},
};

/// How long a failed attempt counts.
const WINDOW_MS: u64 = 15 * 60_000;
const FAILURES_OF_EMAIL_MAX: u64 = 10;
const FAILURES_OF_NETWORK_MAX: u64 = 50;
/// Attempts are forgotten after this long, or when there are more than so many.
const KEEP_MS: u64 = 90 * 24 * 3_600_000;
const KEEP_ROWS: u64 = 100_000;

/// An attempt to sign in.
#[derive(Clone)]
pub struct SignIn<'a> {
    /// The person's e-mail address.
    pub email: &'a str,
    /// Their password.
    pub password: &'a str,
    /// A code of their second factor, or a recovery code.
    pub code: Option<&'a str>,
    /// Where the attempt comes from.
    pub address: IpAddr,
    /// What the browser calls itself.
    pub user_agent: &'a str,
}

impl fmt::Debug for SignIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Control {
    /// Begins a session. Takes about as long for people there are not as for those there are.
    ///
    /// # Errors
    /// [`PeopleError::SignInWrong`], [`PeopleError::Throttled`]; [`PeopleError::CodeMissing`], [`PeopleError::CodeSent`] or
    /// [`PeopleError::CodeWrong`] only where the password was right.
    pub fn sign_in(&self, attempt: &SignIn<'_>) -> Result<SignedIn, PeopleError> {
        // What is longer is nobody's, and not to be kept.
        let email_key: String = key(attempt.email).chars().take(254).collect();
        let network = network(attempt.address);
        let known = self.read(|job| {
            throttle(job, &email_key, &network)?;
            let sql = "SELECT id, password_hash FROM people WHERE email_key = ?1";
            let row = |row: &rusqlite::Row<'_>| Ok((PersonId(row.get(0)?), row.get::<_, Option<String>>(1)?));
            Ok::<_, PeopleError>(job.row(sql, [&email_key], row)?)
        })?;
        let hash = known.as_ref().and_then(|(_, hash)| hash.as_deref());
        let whose = known.as_ref().map_or(PersonId(0), |(person, _)| *person);
        let right = self.verify_password(whose, attempt.password, hash)?;
        let outcome = self.change(|job| {
            // Attempts that were looked at side by side count, too.
            throttle(job, &email_key, &network)?;
            let same = match (&known, right) {
                (Some((person, hash)), true) => {
                    let sql = "SELECT 1 FROM people WHERE id = ?1 AND password_hash = ?2";
                    job.row(sql, params![person.0, hash], |_| Ok(*person))?
                }
                _ => None,
            };
            let refusal = match (same, attempt.code) {
                (None, _) => Some(PeopleError::SignInWrong),
                (Some(person), code) if is_on(job, person)? => match code {
                    // The right password, on the way to the code: no guess.
                    None if kind(job, person)? == Some(Kind::Phone) => {
                        return Ok(Err(PeopleError::CodeSent(phone::send_at_sign_in(job, person)?)));
                    }
                    None => return Ok(Err(PeopleError::CodeMissing)),
                    Some(code) => (!check(job, person, code)?).then_some(PeopleError::CodeWrong),
                },
                (Some(_), _) => None,
            };
            let is_new = refusal.is_none() && is_new_place(job, &email_key, &network)?;
            note(job, &email_key, &network, refusal.is_none())?;
            Ok(match (refusal, same) {
                (None, Some(person)) => {
                    let begun = begin(job, person, &network, attempt.user_agent)?;
                    if is_new && preferences(job, person)?.tells_sign_ins {
                        let user_agent = &begun.session.user_agent;
                        tell(job, &[person], &Notice::SignedIn { network: &network, user_agent })?;
                    }
                    Ok(begun)
                }
                (refusal, _) => Err(refusal.unwrap_or(PeopleError::SignInWrong)),
            })
        });
        // What is refused was noted, so it is no failure of the transaction.
        outcome.and_then(|outcome: Result<SignedIn, PeopleError>| outcome)
    }
}

/// Have they been signed in before, and never from there, as far as that is remembered?
fn is_new_place(job: &Job<'_>, email_key: &str, network: &str) -> Result<bool, StoreError> {
    let sql = "SELECT count(*), coalesce(sum(address = ?2), 0) FROM sign_ins WHERE email_key = ?1 AND succeeded = 1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?));
    let (all, from_there) = job.row(sql, params![email_key, network], row)?.unwrap_or_default();
    Ok(all > 0 && from_there == 0)
}

/// Refuses the attempt if too many failed.
pub(super) fn throttle(job: &Job<'_>, email_key: &str, network: &str) -> Result<(), PeopleError> {
    let since = job.now_ms.saturating_sub(WINDOW_MS);
    for (column, value, max) in
        [("email_key", email_key, FAILURES_OF_EMAIL_MAX), ("address", network, FAILURES_OF_NETWORK_MAX)]
    {
        // The oldest of those that are too many: when it counts no longer, the next attempt is looked at.
        let sql = format!(
            "SELECT at_ms FROM sign_ins WHERE {column} = ?1 AND at_ms > ?2 AND succeeded = 0 \
             ORDER BY at_ms DESC LIMIT 1 OFFSET ?3"
        );
        if let Some(at_ms) = job.row(&sql, params![value, since, max - 1], |row| row.get::<_, u64>(0))? {
            let left_ms = (at_ms + WINDOW_MS).saturating_sub(job.now_ms);
            return Err(PeopleError::Throttled { retry_after_s: left_ms.div_ceil(1000).max(1) });
        }
    }
    Ok(())
}

pub(super) fn note(job: &Job<'_>, email_key: &str, network: &str, succeeded: bool) -> Result<(), StoreError> {
    let sql = "INSERT INTO sign_ins (at_ms, email_key, address, succeeded) VALUES (?1, ?2, ?3, ?4)";
    job.execute(sql, params![job.now_ms, email_key, network, succeeded])?;
    let last = job.last_id()?;
    job.execute("DELETE FROM sign_ins WHERE id <= ?1", [last.saturating_sub(KEEP_ROWS)])?;
    // Of the oldest few: each attempt brings one row, and takes more than that away.
    let sql = "DELETE FROM sign_ins WHERE id IN \
               (SELECT id FROM (SELECT id, at_ms FROM sign_ins ORDER BY id LIMIT 10) WHERE at_ms < ?1)";
    job.execute(sql, [job.now_ms.saturating_sub(KEEP_MS)])?;
    Ok(())
}
