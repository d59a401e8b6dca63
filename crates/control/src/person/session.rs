//! Sessions: what a person who signed in shows with each request, until it ends.

use std::{fmt, net::IpAddr};

use rusqlite::params;
use serde::Serialize;

use super::{device, subject};
use crate::{Acting, Control, PeopleError, PersonId, control::Job, keyring::new_credential};

/// A session ends after this long without a request.
const IDLE_MS_MAX: u64 = 14 * 24 * 3_600_000;
/// And after this long in any case.
const AGE_MS_MAX: u64 = 90 * 24 * 3_600_000;
/// That a session was seen is written down no more often than this.
const SEEN_EVERY_MS: u64 = 60_000;
/// A person has at most so many sessions; the one not seen for longest gives way.
const SESSIONS_MAX: i64 = 100;
const USER_AGENT_CHARS_MAX: usize = 255;

/// A session as it is shown to its person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Session {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub person: PersonId,
    /// When they signed in, in milliseconds since the epoch.
    pub created_at_ms: u64,
    /// When it was last used, to the minute.
    pub last_seen_ms: u64,
    /// From where they signed in.
    pub address: String,
    /// With what, as the browser calls itself; cut to 255 characters.
    pub user_agent: String,
}

/// A session just begun: the only time its secret is told.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// What is shown with each request.
    pub secret: String,
    /// What the browser shows when it signs in again, so that nobody who guesses elsewhere keeps its person out: in the place of
    /// what it showed, with what is in that of the last few others that signed in with it.
    pub device: String,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Control {
    /// The session with that secret, if it has not ended. Notes that it was seen.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub fn session(&self, secret: &str) -> Result<Option<Session>, PeopleError> {
        let mac = self.mac(secret.as_bytes()).0;
        let found = self.read(|job| {
            let found = sessions(job, "mac = ?1", params![mac])?.pop();
            Ok::<_, PeopleError>(found.filter(|session| is_alive(session, job.now_ms)))
        })?;
        let Some(session) = found else { return Ok(None) };
        if self.now_ms().saturating_sub(session.last_seen_ms) >= SEEN_EVERY_MS {
            self.change(|job| {
                let sql = "UPDATE sessions SET last_seen_ms = ?2 WHERE id = ?1";
                job.execute(sql, params![session.id, job.now_ms]).map_err(PeopleError::from)
            })?;
        }
        Ok(Some(session))
    }

    /// Ends the session with that secret, if there is one: signs out.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub fn end_session(&self, secret: &str) -> Result<(), PeopleError> {
        let mac = self.mac(secret.as_bytes()).0;
        self.change(|job| {
            job.execute("DELETE FROM sessions WHERE mac = ?1", params![mac])
                .map(drop)
                .map_err(PeopleError::from)
        })
    }
}

impl Acting<'_> {
    /// A person's sessions, the one seen last first.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn sessions(&self, person: PersonId) -> Result<Vec<Session>, PeopleError> {
        self.require_self(person)?;
        self.read(|job| all(job, person))
    }

    /// Ends a person's sessions, all but `keep`. Says how many.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn end_sessions(&self, person: PersonId, keep: Option<&Session>) -> Result<usize, PeopleError> {
        self.require_self(person)?;
        self.change(|job| {
            super::person(job, person)?;
            let sql = "DELETE FROM sessions WHERE person_id = ?1 AND id IS NOT ?2";
            let ended = job.execute(sql, params![person.0, keep.map(|session| session.id)])?;
            job.audit("session.ended", &subject(person), &format!("sessions ended: {ended}"))?;
            Ok(ended)
        })
    }
}

/// A person's sessions that have not ended.
pub(super) fn all(job: &Job<'_>, person: PersonId) -> Result<Vec<Session>, PeopleError> {
    let mut sessions = sessions(job, "person_id = ?1", [person.0])?;
    sessions.retain(|session| is_alive(session, job.now_ms));
    sessions.sort_by_key(|session| std::cmp::Reverse(session.last_seen_ms));
    Ok(sessions)
}

fn is_alive(session: &Session, now_ms: u64) -> bool {
    now_ms.saturating_sub(session.last_seen_ms) < IDLE_MS_MAX
        && now_ms.saturating_sub(session.created_at_ms) < AGE_MS_MAX
}

/// Begins a session in a browser that `shows` what it was told before, if anything.
pub(super) fn begin(
    job: &Job<'_>,
    person: PersonId,
    address: &str,
    user_agent: &str,
    shows: Option<&str>,
) -> Result<SignedIn, PeopleError> {
    let secret = new_credential()?;
    let user_agent: String =
        user_agent.chars().filter(|c| !c.is_control()).take(USER_AGENT_CHARS_MAX).collect();
    // Those that ended, and those too many.
    job.execute(
        "DELETE FROM sessions WHERE person_id = ?1 AND (last_seen_ms <= ?2 OR created_at_ms <= ?3 OR id NOT IN \
         (SELECT id FROM sessions WHERE person_id = ?1 ORDER BY last_seen_ms DESC LIMIT ?4))",
        params![
            person.0,
            job.now_ms.saturating_sub(IDLE_MS_MAX),
            job.now_ms.saturating_sub(AGE_MS_MAX),
            SESSIONS_MAX - 1
        ],
    )?;
    job.execute(
        "INSERT INTO sessions (person_id, mac, created_at_ms, last_seen_ms, address, user_agent) \
         VALUES (?1, ?2, ?3, ?3, ?4, ?5)",
        params![person.0, job.control.mac(secret.as_bytes()).0, job.now_ms, address, user_agent],
    )?;
    let session = Session {
        id: job.last_id()?,
        person,
        created_at_ms: job.now_ms,
        last_seen_ms: job.now_ms,
        address: address.to_owned(),
        user_agent,
    };
    job.audit("session.began", &subject(person), &format!("from {address}"))?;
    let device = device::issue(&job.control.keyring, person, shows, job.now_ms)?;
    Ok(SignedIn { session, secret, device })
}

fn sessions(
    job: &Job<'_>,
    condition: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<Session>, PeopleError> {
    let sql = format!(
        "SELECT id, person_id, created_at_ms, last_seen_ms, address, user_agent FROM sessions WHERE {condition}"
    );
    let sessions = job.rows(&sql, params, |row| {
        Ok(Session {
            id: row.get(0)?,
            person: PersonId(row.get(1)?),
            created_at_ms: row.get(2)?,
            last_seen_ms: row.get(3)?,
            address: row.get(4)?,
            user_agent: row.get(5)?,
        })
    })?;
    Ok(sessions)
}

/// An address as it is kept and counted by: of IPv6 the network of 64 bits, which is what one household or one machine
/// has, so that nobody has more than one to guess from.
pub(super) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}
