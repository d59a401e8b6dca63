//! Signing in: with address and password, as often as somebody may guess.
//!
//! # Invariants
//! * Of failed attempts, so many are looked at: within [`WINDOW_MS`], [`FAILURES_MAX`] at one address of a person from one
//!   network, and [`FAILURES_OF_NETWORK_MAX`] from it in all; within [`EMAIL_WINDOW_MS`], [`FAILURES_OF_EMAIL_MAX`] at that
//!   address from everywhere. The rest is refused without looking, for people who exist and for those who do not.
//! * Who guesses keeps nobody out who has signed in with the same browser before ([`device`](super::device)): for it, its own
//!   [`FAILURES_MAX`] count, and [`FAILURES_OF_EMAIL_MAX`] of all such browsers of the person together, however many there are.
//!   Nor do guesses at the password in a session, which are bounded as those of one network.
//! * The table of attempts is bounded, and no attempt is struck from it for its person to get in: the host says up to which
//!   those at that person count no more.

use std::{fmt, net::IpAddr};

use rusqlite::{ToSql, params};

use super::{
    device, key,
    personal::preferences,
    phone,
    session::{begin, network},
    two_factor::{Kind, check, is_on, kind},
};
use crate::{
    Acting, Control, PeopleError, PersonId, SignedIn, StoreError,
    control::Job,
    outbox::{Notice, tell},
};

/// How long a failed attempt counts against where it came from.
const WINDOW_MS: u64 = 15 * 60_000;
const FAILURES_MAX: u64 = 10;
const FAILURES_OF_NETWORK_MAX: u64 = 50;
/// And against whom it was made at: slower, and from everywhere together no more in a day than from one network.
const EMAIL_WINDOW_MS: u64 = 60 * 60_000;
const FAILURES_OF_EMAIL_MAX: u64 = 40;
/// Attempts at the address `?3` that its person was not forgiven.
const OF_PERSON: &str =
    "email_key = ?3 AND id > coalesce((SELECT forgiven_sign_in FROM people WHERE email_key = ?3), 0)";
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
    /// What the browser was told when people signed in with it before: see [`SignedIn::device`].
    pub device: Option<&'a str>,
}

/// Where an attempt comes from.
#[derive(Debug)]
pub(super) struct Place {
    /// The network, or the person whose session it is.
    network: String,
    /// The browser, if the person has signed in with it before.
    device: Option<String>,
}

impl Place {
    /// A session's, of `person` as the audit has them.
    pub(super) fn of_session(person: &str) -> Place {
        Place { network: person.to_owned(), device: None }
    }
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
        let mut place = Place { network: network(attempt.address), device: None };
        let known = self.read(|job| {
            let sql = "SELECT id, password_hash FROM people WHERE email_key = ?1";
            let row = |row: &rusqlite::Row<'_>| Ok((PersonId(row.get(0)?), row.get::<_, Option<String>>(1)?));
            let known = job.row(sql, [&email_key], row)?;
            if let (Some(device), Some((person, _))) = (attempt.device, &known) {
                place.device = device::name(job, *person, device)?;
            }
            throttle(job, &email_key, &place)?;
            Ok::<_, PeopleError>(known)
        })?;
        let hash = known.as_ref().and_then(|(_, hash)| hash.as_deref());
        let whose = known.as_ref().map_or(PersonId(0), |(person, _)| *person);
        let right = self.verify_password(whose, attempt.password, hash)?;
        let outcome = self.change(|job| {
            // Attempts that were looked at side by side count, too.
            throttle(job, &email_key, &place)?;
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
            let network = &place.network;
            let is_new = refusal.is_none() && is_new_place(job, &email_key, network)?;
            note(job, &email_key, &place, refusal.is_none())?;
            Ok(match (refusal, same) {
                (None, Some(person)) => {
                    let begun = begin(job, person, network, attempt.user_agent, attempt.device)?;
                    if is_new && preferences(job, person)?.tells_sign_ins {
                        let user_agent = &begun.session.user_agent;
                        tell(job, &[person], &Notice::SignedIn { network, user_agent })?;
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

impl Acting<'_> {
    /// Lets somebody sign in again at once whom failed attempts at their address keep out; says how many count no more. They stay
    /// on record, and count for the network that they came from. The host's alone.
    ///
    /// # Errors
    /// [`PeopleError::HostOnly`], [`PeopleError::PersonNotFound`].
    pub fn forgive_failures(&self, id: PersonId) -> Result<usize, PeopleError> {
        self.require_host()?;
        self.change(|job| {
            let email_key = key(&super::person(job, id)?.email);
            let sql = format!("SELECT count(*) FROM sign_ins WHERE {OF_PERSON} AND succeeded = 0 AND at_ms > ?1");
            let since = job.now_ms.saturating_sub(EMAIL_WINDOW_MS);
            let forgiven = job.row(&sql, params![since, 0, email_key], |row| row.get(0))?.unwrap_or_default();
            let sql = "UPDATE people SET forgiven_sign_in = (SELECT coalesce(max(id), 0) FROM sign_ins) WHERE id = ?1";
            job.execute(sql, [id.0])?;
            let detail = format!("failed attempts that count no more: {forgiven}");
            job.audit("person.unlocked", &super::subject(id), &detail)?;
            Ok(forgiven)
        })
    }
}

/// Refuses the attempt if too many failed.
fn throttle(job: &Job<'_>, email_key: &str, place: &Place) -> Result<(), PeopleError> {
    if let Some(device) = &place.device {
        let of_device = format!("{OF_PERSON} AND device = ?4");
        check_failures(job, &of_device, &[&email_key, device], WINDOW_MS, FAILURES_MAX)?;
        // Every sign-in makes a browser known: they are as many as somebody who had the password liked.
        let of_devices = format!("{OF_PERSON} AND device IS NOT NULL");
        return check_failures(job, &of_devices, &[&email_key], EMAIL_WINDOW_MS, FAILURES_OF_EMAIL_MAX);
    }
    let from_there = format!("{OF_PERSON} AND address = ?4 AND device IS NULL");
    check_failures(job, &from_there, &[&email_key, &place.network], WINDOW_MS, FAILURES_MAX)?;
    let of_network = "address = ?3 AND device IS NULL";
    check_failures(job, of_network, &[&place.network], WINDOW_MS, FAILURES_OF_NETWORK_MAX)?;
    // Whoever guesses in a session is no stranger, and does not keep others out.
    let of_email = format!("{OF_PERSON} AND device IS NULL AND address NOT LIKE 'person:%'");
    check_failures(job, &of_email, &[&email_key], EMAIL_WINDOW_MS, FAILURES_OF_EMAIL_MAX)
}

/// Refuses what takes the password, or guesses at an address, in a session of `person` if too many failed.
pub(super) fn throttle_session(job: &Job<'_>, email_key: &str, person: &str) -> Result<(), PeopleError> {
    check_failures(
        job,
        &format!("{OF_PERSON} AND address = ?4"),
        &[&email_key, &person],
        WINDOW_MS,
        FAILURES_MAX,
    )
}

fn check_failures(
    job: &Job<'_>,
    condition: &str,
    values: &[&dyn ToSql],
    window_ms: u64,
    max: u64,
) -> Result<(), PeopleError> {
    // The oldest of those that are too many: when it counts no longer, the next attempt is looked at.
    let sql = format!(
        "SELECT at_ms FROM sign_ins WHERE {condition} AND at_ms > ?1 AND succeeded = 0 \
         ORDER BY at_ms DESC LIMIT 1 OFFSET ?2"
    );
    let (since, others) = (job.now_ms.saturating_sub(window_ms), max - 1);
    let all = [&[&since as &dyn ToSql, &others], values].concat();
    match job.row(&sql, &all[..], |row| row.get::<_, u64>(0))? {
        Some(at_ms) => {
            let left_ms = (at_ms + window_ms).saturating_sub(job.now_ms);
            Err(PeopleError::Throttled { retry_after_s: left_ms.div_ceil(1000).max(1) })
        }
        None => Ok(()),
    }
}

pub(super) fn note(job: &Job<'_>, email_key: &str, place: &Place, succeeded: bool) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO sign_ins (at_ms, email_key, address, succeeded, device) VALUES (?1, ?2, ?3, ?4, ?5)";
    job.execute(sql, params![job.now_ms, email_key, place.network, succeeded, place.device])?;
    let last = job.last_id()?;
    job.execute("DELETE FROM sign_ins WHERE id <= ?1", [last.saturating_sub(KEEP_ROWS)])?;
    // Of the oldest few: each attempt brings one row, and takes more than that away.
    let sql = "DELETE FROM sign_ins WHERE id IN \
               (SELECT id FROM (SELECT id, at_ms FROM sign_ins ORDER BY id LIMIT 10) WHERE at_ms < ?1)";
    job.execute(sql, [job.now_ms.saturating_sub(KEEP_MS)])?;
    Ok(())
}
