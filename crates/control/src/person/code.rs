//! Codes of six digits that are sent to an address or a number, to show that what is sent there arrives.
//!
//! # Invariants
//! * A code is kept as a digest under the server's key, together with what it was sent to: one for an address confirms no
//!   other. Compared in constant time.
//! * It counts once, for a short time, and at most [`TRIES_MAX`] guesses are looked at; the one before ends when another is
//!   sent.
//! * Codes are sent at most [`SENDS_MAX`] times in an hour, whether or not they come back, and at most every [`PAUSE_MS`]
//!   until one has.

use rusqlite::params;

use crate::{PeopleError, PersonId, StoreError, control::Job, keyring::random};

const TRIES_MAX: u64 = 5;
const SENDS_MAX: u64 = 5;
/// Long enough for a message on its way to arrive before another one is asked for.
const PAUSE_MS: u64 = 30_000;
const HOUR_MS: u64 = 3_600_000;

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To show that an address for notices is somebody's.
    NoticeEmail,
    /// To show that somebody has a phone: at sign-in, and once before.
    Phone,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::NoticeEmail => "notice_email",
            Purpose::Phone => "phone",
        }
    }

    /// How long a code counts: mail takes its time.
    pub(crate) fn life_ms(self) -> u64 {
        match self {
            Purpose::NoticeEmail => HOUR_MS,
            Purpose::Phone => 5 * 60_000,
        }
    }
}

/// Makes a code to be sent to `target`.
///
/// # Errors
/// [`PeopleError::CodeTooSoon`].
pub(super) fn issue(
    job: &Job<'_>,
    id: PersonId,
    purpose: Purpose,
    target: &str,
) -> Result<String, PeopleError> {
    let sql = "SELECT sent_at_ms, window_ms, sends FROM codes WHERE person_id = ?1 AND purpose = ?2";
    let found = job.row(sql, params![id.0, purpose.as_str()], |row| {
        Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?, row.get::<_, u64>(2)?))
    })?;
    let mut window = (job.now_ms, 0);
    if let Some((sent_at_ms, began_ms, sends)) = found {
        let wait = |until_ms: u64| {
            let left_ms = until_ms.saturating_sub(job.now_ms);
            PeopleError::CodeTooSoon { retry_after_s: left_ms.div_ceil(1000).max(1) }
        };
        if job.now_ms < sent_at_ms + PAUSE_MS {
            return Err(wait(sent_at_ms + PAUSE_MS));
        }
        if job.now_ms < began_ms + HOUR_MS {
            if sends >= SENDS_MAX {
                return Err(wait(began_ms + HOUR_MS));
            }
            window = (began_ms, sends);
        }
    }
    let code = digits()?;
    job.execute(
        "INSERT OR REPLACE INTO codes (person_id, purpose, mac, sent_at_ms, expires_at_ms, tries, window_ms, sends) \
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)",
        params![
            id.0,
            purpose.as_str(),
            job.control.mac(said(id, purpose, target, &code).as_bytes()).0,
            job.now_ms,
            job.now_ms + purpose.life_ms(),
            window.0,
            window.1 + 1
        ],
    )?;
    Ok(code)
}

/// Is it the code that was sent there? It counts no more after that. A wrong one is counted, so the transaction is to be
/// kept.
pub(super) fn take(
    job: &Job<'_>,
    id: PersonId,
    purpose: Purpose,
    target: &str,
    code: &str,
) -> Result<bool, StoreError> {
    let sql = "UPDATE codes SET tries = tries + 1 WHERE person_id = ?1 AND purpose = ?2 AND expires_at_ms > ?3 \
               AND tries < ?4";
    if job.execute(sql, params![id.0, purpose.as_str(), job.now_ms, TRIES_MAX])? == 0 {
        return Ok(false);
    }
    let sql = "SELECT mac FROM codes WHERE person_id = ?1 AND purpose = ?2";
    let kept: Option<Vec<u8>> = job.row(sql, params![id.0, purpose.as_str()], |row| row.get(0))?;
    let code: String = code.chars().filter(|c| !c.is_whitespace()).take(16).collect();
    let is_right = kept
        .is_some_and(|kept| job.control.keyring.is_mac(said(id, purpose, target, &code).as_bytes(), &kept));
    if is_right {
        spend(job, id, purpose)?;
    }
    Ok(is_right)
}

/// Is there a code that would be taken?
pub(super) fn counts(job: &Job<'_>, id: PersonId, purpose: Purpose) -> Result<bool, StoreError> {
    let sql =
        "SELECT 1 FROM codes WHERE person_id = ?1 AND purpose = ?2 AND expires_at_ms > ?3 AND tries < ?4";
    let row = params![id.0, purpose.as_str(), job.now_ms, TRIES_MAX];
    Ok(job.row(sql, row, |_| Ok(()))?.is_some())
}

/// Ends the code there is. What was sent within the hour stays counted: else whoever reads the codes could have any number
/// of them sent.
fn spend(job: &Job<'_>, id: PersonId, purpose: Purpose) -> Result<(), StoreError> {
    let sql = "UPDATE codes SET expires_at_ms = 0, sent_at_ms = 0 WHERE person_id = ?1 AND purpose = ?2";
    job.execute(sql, params![id.0, purpose.as_str()]).map(drop)
}

fn said(id: PersonId, purpose: Purpose, target: &str, code: &str) -> String {
    format!("code of person {id} for {}: {code} sent to {target}", purpose.as_str())
}

/// Each of the million equally likely.
fn digits() -> Result<String, StoreError> {
    loop {
        let mut bytes = [0; 4];
        random(&mut bytes)?;
        // 4294 million and no part of the next: what is beyond would make small numbers likelier.
        let number = u32::from_le_bytes(bytes);
        if number < 4_294_000_000 {
            return Ok(format!("{:06}", number % 1_000_000));
        }
    }
}
