//! A phone as second factor: a code goes there in a text message, by the gateway that the server was told of.
//!
//! # Invariants
//! * It is asked for only once a code that was sent there has come back.
//! * A code is sent for a right password only, so that nobody has messages sent to others; how often, how long it counts and
//!   how many guesses are looked at: see [`code`](super::code).
//! * The number is sealed wherever it is kept, in the outbox too; to others its last digits are shown.

use rusqlite::params;

use super::{
    code::{self, Purpose},
    person,
    two_factor::{Kind, kind},
};
use crate::{
    Acting, PasswordProof, PeopleError, PersonId, StoreError,
    control::Job,
    outbox::{self, Content, Draft},
    rules,
};

/// Where a code was sent, or why none was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct CodeSent {
    /// The phone, by its last digits.
    pub to: String,
    /// Whether there is a code on its way, or one that still counts.
    pub is_sent: bool,
    /// Whether this server sends text messages at all.
    pub is_carried: bool,
}

impl Acting<'_> {
    /// Sends a code to a phone that is to be a person's second factor. Nothing changes until
    /// [`Acting::confirm_two_factor`].
    ///
    /// # Errors
    /// [`PeopleError::PhoneInvalid`]; [`PeopleError::TextsOff`] where no text messages are sent;
    /// [`PeopleError::TwoFactorOn`] while there is a second factor; [`PeopleError::CodeTooSoon`].
    pub fn begin_phone(
        &self,
        id: PersonId,
        number: &str,
        proof: &PasswordProof,
    ) -> Result<CodeSent, PeopleError> {
        self.require_self(id)?;
        self.check_proof(proof)?;
        let number = rules::phone(number).ok_or(PeopleError::PhoneInvalid)?;
        let sealed = self.control.keyring.seal(&purpose(id), number.as_bytes())?;
        self.change(|job| {
            person(job, id)?;
            if super::has_two_factor(job, id)? {
                return Err(PeopleError::TwoFactorOn);
            }
            if !outbox::channels(job)?.text {
                return Err(PeopleError::TextsOff);
            }
            let sql = "INSERT OR REPLACE INTO two_factor (person_id, secret_sealed, last_step, begun_at_ms, \
                       confirmed_at_ms, kind) VALUES (?1, ?2, 0, ?3, NULL, 'phone')";
            job.execute(sql, params![id.0, sealed, job.now_ms])?;
            send(job, id, &number)?;
            Ok(CodeSent { to: masked(&number), is_sent: true, is_carried: true })
        })
    }

    /// Sends another code to a phone that is to be a person's second factor.
    ///
    /// # Errors
    /// [`PeopleError::TwoFactorOff`] if none was begun; [`PeopleError::TextsOff`]; [`PeopleError::CodeTooSoon`].
    pub fn resend_phone_code(&self, id: PersonId) -> Result<CodeSent, PeopleError> {
        self.require_self(id)?;
        self.change(|job| {
            if super::has_two_factor(job, id)? {
                return Err(PeopleError::TwoFactorOn);
            }
            if kind(job, id)? != Some(Kind::Phone) {
                return Err(PeopleError::TwoFactorOff);
            }
            if !outbox::channels(job)?.text {
                return Err(PeopleError::TextsOff);
            }
            let number = number(job, id)?;
            send(job, id, &number)?;
            Ok(CodeSent { to: masked(&number), is_sent: true, is_carried: true })
        })
    }
}

/// Sends a code to the phone of a person whose password was right, if it is time for one.
pub(super) fn send_at_sign_in(job: &Job<'_>, id: PersonId) -> Result<CodeSent, PeopleError> {
    let number = number(job, id)?;
    let is_carried = outbox::channels(job)?.text;
    let is_sent = match is_carried {
        false => false,
        true => match send(job, id, &number) {
            Ok(()) => true,
            // The one before is on its way, or so many were sent that this one has to wait.
            Err(PeopleError::CodeTooSoon { .. }) => code::counts(job, id, Purpose::Phone)?,
            Err(error) => return Err(error),
        },
    };
    Ok(CodeSent { to: masked(&number), is_sent, is_carried })
}

/// Is it the code that was sent to the person's phone? It counts no more after that.
pub(super) fn check(job: &Job<'_>, id: PersonId, given: &str) -> Result<bool, PeopleError> {
    let number = number(job, id)?;
    Ok(code::take(job, id, Purpose::Phone, &number, given)?)
}

fn send(job: &Job<'_>, id: PersonId, number: &str) -> Result<(), PeopleError> {
    let code = code::issue(job, id, Purpose::Phone, number)?;
    outbox::put(
        job,
        &Draft {
            about: "sign-in-code",
            recipient: number,
            person: Some(id),
            content: &Content::Code(code),
            expires_at_ms: Some(job.now_ms + Purpose::Phone.life_ms()),
        },
    )?;
    Ok(())
}

/// The number of a person's phone.
pub(super) fn number(job: &Job<'_>, id: PersonId) -> Result<String, StoreError> {
    let sql = "SELECT secret_sealed FROM two_factor WHERE person_id = ?1 AND kind = 'phone'";
    let sealed: Option<Vec<u8>> = job.row(sql, [id.0], |row| row.get(0))?;
    let number = sealed.and_then(|sealed| job.control.keyring.open(&purpose(id), &sealed));
    number.and_then(|number| String::from_utf8(number).ok()).ok_or_else(|| {
        job.damaged(format!("the sealed phone number of person {id} does not open under keys/server.key"))
    })
}

fn purpose(id: PersonId) -> String {
    format!("phone of person {id}")
}

/// A number by its last three digits.
pub(crate) fn masked(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let last: String = digits[digits.len().saturating_sub(3)..].iter().collect();
    format!("the phone that ends in {last}")
}
