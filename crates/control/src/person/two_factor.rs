//! A second factor at sign-in: a code that the person's authenticator shows for 30 seconds (TOTP, RFC 6238) or that is sent
//! to their phone ([`phone`]), and codes on paper for the day it is lost.
//!
//! # Invariants
//! * A person has one at a time, and it is asked for only once a code of it was given: nobody locks themselves out by a typing
//!   error.
//! * A code counts once (RFC 6238, 5.2), a recovery code too.
//! * The shared secret is sealed, a recovery code kept as a digest: neither is shown again.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::params;
use serde::Serialize;
use totp_rs::{Builder, Secret, Totp};

use super::{person, phone, subject};
use crate::{
    Acting, PasswordProof, PeopleError, PersonId, StoreError,
    control::Job,
    keyring::random,
    outbox::{Notice, tell},
};

/// How many recovery codes there are.
const CODES: usize = 10;
/// Of 5 bits a character, ten are 50 bits: with ten guesses a quarter of an hour, out of reach.
const CODE_CHARS: usize = 10;
/// Without what is easily taken for something else.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// 160 bits, as RFC 4226 (4, R6) recommends.
const SECRET_BYTES: usize = 20;
/// Who the codes are for, as an authenticator shows it.
const ISSUER: &str = "Forebay";

/// Where a code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An authenticator.
    Totp,
    /// A phone, in a text message.
    Phone,
}

/// A person's second factor as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct TwoFactor {
    /// What it is, or would be once it is proven.
    pub kind: Option<Kind>,
    /// The number of the phone, if it is one.
    pub phone: Option<String>,
    /// Since when it is asked for, in milliseconds since the epoch; `None`: it is not.
    pub since_ms: Option<u64>,
    /// How many recovery codes are left.
    pub recovery_codes: u64,
}

/// What is entered into an authenticator: the only time it is shown.
#[derive(Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Enrolment {
    /// The shared secret, in base 32, for typing.
    pub secret: String,
    /// The same as an `otpauth:` address, for a link or a picture to scan.
    pub url: String,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment(..)")
    }
}

impl Acting<'_> {
    /// A person's second factor.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn two_factor(&self, id: PersonId) -> Result<TwoFactor, PeopleError> {
        self.require_self(id)?;
        self.read(|job| shown(job, id))
    }

    /// Makes a secret for the person's authenticator. Nothing changes until [`Acting::confirm_two_factor`].
    ///
    /// # Errors
    /// [`PeopleError::TwoFactorOn`] while there is one; it is ended first.
    pub fn begin_two_factor(&self, id: PersonId, proof: &PasswordProof) -> Result<Enrolment, PeopleError> {
        self.require_self(id)?;
        self.check_proof(proof)?;
        let mut secret = [0; SECRET_BYTES];
        random(&mut secret)?;
        let sealed = self.control.keyring.seal(&purpose(id), &secret)?;
        let email = self.change(|job| {
            let email = person(job, id)?.email;
            if is_on(job, id)? {
                return Err(PeopleError::TwoFactorOn);
            }
            let sql = "INSERT OR REPLACE INTO two_factor (person_id, secret_sealed, last_step, begun_at_ms, \
                       confirmed_at_ms, kind) VALUES (?1, ?2, 0, ?3, NULL, 'totp')";
            job.execute(sql, params![id.0, sealed, job.now_ms])?;
            Ok(email)
        })?;
        let secret = Secret::from(secret).to_base32();
        let account = utf8_percent_encode(&email, NON_ALPHANUMERIC);
        let url = format!("otpauth://totp/{ISSUER}:{account}?secret={secret}&issuer={ISSUER}");
        Ok(Enrolment { secret, url })
    }

    /// From now on a code is asked for at sign-in, `code` being one. Returns the recovery codes, which are shown this once;
    /// the person's sessions go on.
    ///
    /// # Errors
    /// [`PeopleError::CodeWrong`]; [`PeopleError::TwoFactorOff`] if it was not begun.
    pub fn confirm_two_factor(&self, id: PersonId, code: &str) -> Result<Vec<String>, PeopleError> {
        self.require_self(id)?;
        self.change(|job| {
            if is_on(job, id)? {
                return Err(PeopleError::TwoFactorOn);
            }
            if !check_own(job, id, code)? {
                // Kept: the guess counts.
                return Ok(Err(PeopleError::CodeWrong));
            }
            let sql = "UPDATE two_factor SET confirmed_at_ms = ?2 WHERE person_id = ?1";
            job.execute(sql, params![id.0, job.now_ms])?;
            let of_phone = if kind(job, id)? == Some(Kind::Phone) { "a phone" } else { "" };
            job.audit("person.two_factor_on", &subject(id), of_phone)?;
            tell(job, &[id], &Notice::SecondFactorOn)?;
            Ok(Ok(new_codes(job, id)?))
        })?
    }

    /// Other recovery codes in the place of those there are, which stop working.
    ///
    /// # Errors
    /// [`PeopleError::TwoFactorOff`].
    pub fn renew_recovery_codes(
        &self,
        id: PersonId,
        proof: &PasswordProof,
    ) -> Result<Vec<String>, PeopleError> {
        self.require_self(id)?;
        self.check_proof(proof)?;
        self.change(|job| {
            if !is_on(job, id)? {
                return Err(PeopleError::TwoFactorOff);
            }
            job.audit("person.recovery_codes_renewed", &subject(id), "")?;
            tell(job, &[id], &Notice::RecoveryCodesRenewed)?;
            new_codes(job, id)
        })
    }

    /// No code is asked for any more: the person's own doing, with the password, or the host's.
    ///
    /// # Errors
    /// [`PeopleError::TwoFactorOff`] if there is none, nor one begun.
    pub fn end_two_factor(&self, id: PersonId, proof: &PasswordProof) -> Result<(), PeopleError> {
        self.require_self(id)?;
        self.check_proof(proof)?;
        self.change(|job| {
            person(job, id)?;
            let was_on = is_on(job, id)?;
            if job.execute("DELETE FROM two_factor WHERE person_id = ?1", [id.0])? == 0 {
                return Err(PeopleError::TwoFactorOff);
            }
            if was_on {
                tell(job, &[id], &Notice::SecondFactorOff)?;
            }
            Ok(job.audit("person.two_factor_off", &subject(id), "")?)
        })
    }
}

pub(super) fn shown(job: &Job<'_>, id: PersonId) -> Result<TwoFactor, PeopleError> {
    person(job, id)?;
    let sql = "SELECT confirmed_at_ms FROM two_factor WHERE person_id = ?1";
    let since_ms = job.row(sql, [id.0], |row| row.get::<_, Option<u64>>(0))?.flatten();
    let sql = "SELECT count(*) FROM recovery_codes WHERE person_id = ?1";
    let recovery_codes = job.row(sql, [id.0], |row| row.get(0))?.unwrap_or_default();
    let kind = kind(job, id)?;
    let phone = (kind == Some(Kind::Phone)).then(|| phone::number(job, id)).transpose()?;
    Ok(TwoFactor { kind, phone, since_ms, recovery_codes })
}

/// Is a code asked for when this person signs in?
pub(crate) fn is_on(job: &Job<'_>, id: PersonId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM two_factor WHERE person_id = ?1 AND confirmed_at_ms IS NOT NULL";
    Ok(job.row(sql, [id.0], |_| Ok(()))?.is_some())
}

/// What a person's second factor is, or would be once it is proven.
pub(super) fn kind(job: &Job<'_>, id: PersonId) -> Result<Option<Kind>, StoreError> {
    let sql = "SELECT kind FROM two_factor WHERE person_id = ?1";
    let word: Option<String> = job.row(sql, [id.0], |row| row.get(0))?;
    Ok(word.map(|word| if word == "phone" { Kind::Phone } else { Kind::Totp }))
}

/// Is it a code of what the person has?
fn check_own(job: &Job<'_>, id: PersonId, code: &str) -> Result<bool, PeopleError> {
    match kind(job, id)? {
        Some(Kind::Totp) => check_totp(job, id, code),
        Some(Kind::Phone) => phone::check(job, id, code),
        None => Err(PeopleError::TwoFactorOff),
    }
}

/// Is it a code of what the person has, or a recovery code? It counts no more after that.
pub(super) fn check(job: &Job<'_>, id: PersonId, code: &str) -> Result<bool, PeopleError> {
    if check_own(job, id, code)? {
        return Ok(true);
    }
    let sql = "DELETE FROM recovery_codes WHERE person_id = ?1 AND mac = ?2";
    let used = job.execute(sql, params![id.0, code_mac(job, id, code)])? > 0;
    if used {
        job.audit("person.recovery_code_used", &subject(id), "")?;
        tell(job, &[id], &Notice::RecoveryCodeUsed)?;
    }
    Ok(used)
}

fn check_totp(job: &Job<'_>, id: PersonId, code: &str) -> Result<bool, PeopleError> {
    let sql = "SELECT secret_sealed, last_step FROM two_factor WHERE person_id = ?1";
    let found = job.row(sql, [id.0], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u64>(1)?)))?;
    let (sealed, last_step) = found.ok_or(PeopleError::TwoFactorOff)?;
    let totp = totp(job, id, &sealed)?;
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).take(16).collect();
    let step = totp.check(&digits, job.now_ms / 1000).filter(|&step| step > last_step);
    if let Some(step) = step {
        job.execute("UPDATE two_factor SET last_step = ?2 WHERE person_id = ?1", params![id.0, step])?;
    }
    Ok(step.is_some())
}

fn totp(job: &Job<'_>, id: PersonId, sealed: &[u8]) -> Result<Totp, StoreError> {
    let secret = job.control.keyring.open(&purpose(id), sealed);
    let totp = secret.and_then(|secret| Builder::new().with_secret(secret).build().ok());
    totp.ok_or_else(|| {
        job.damaged(format!("the sealed second factor of person {id} does not open under keys/server.key"))
    })
}

fn purpose(id: PersonId) -> String {
    format!("second factor of person {id}")
}

fn new_codes(job: &Job<'_>, id: PersonId) -> Result<Vec<String>, PeopleError> {
    job.execute("DELETE FROM recovery_codes WHERE person_id = ?1", [id.0])?;
    let mut codes = Vec::with_capacity(CODES);
    while codes.len() < CODES {
        let mut bytes = [0; CODE_CHARS];
        random(&mut bytes)?;
        let code: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect();
        let sql = "INSERT OR IGNORE INTO recovery_codes VALUES (?1, ?2)";
        if job.execute(sql, params![id.0, code_mac(job, id, &code)])? == 1 {
            let (first, last) = code.split_at(CODE_CHARS / 2);
            codes.push(format!("{first}-{last}"));
        }
    }
    Ok(codes)
}

/// What a recovery code is recognised by, however it was typed.
fn code_mac(job: &Job<'_>, id: PersonId, code: &str) -> [u8; 32] {
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(2 * CODE_CHARS).collect();
    job.control.mac(format!("recovery code of person {id}: {}", code.to_ascii_lowercase()).as_bytes()).0
}
