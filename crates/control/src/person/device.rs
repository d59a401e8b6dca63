//! Browsers that a person has signed in with before. Each keeps a value that only this server can have made, for that person:
//! whoever guesses at a password elsewhere uses up attempts of their own, and not those of its person.
//!
//! # Invariants
//! * A browser keeps one value for each of the last [`PEOPLE_MAX`] people that signed in with it, the last first.
//! * A value is of use for one person, for [`LIFE_MS`] from the sign-in that it was told at, and until they get another password
//!   or another second factor: whoever signed in with what they had before is a stranger again.
//! * It lets nobody in: who has it and guesses is throttled by it, as others are by where they are, and all that a person's
//!   browsers were told together, as everybody else together is.

use crate::{
    Keyring, PersonId, StoreError,
    control::Job,
    keyring::{hex, new_credential, unhex},
};

/// How long a browser is known that nobody signs in with.
pub const DEVICE_LIFE_MS: u64 = LIFE_MS;
const LIFE_MS: u64 = 180 * 24 * 3_600_000;
const NAME_CHARS: usize = 32;
const TIME_CHARS: usize = 16;
const PROOF_CHARS: usize = 64;
const VALUE_CHARS: usize = NAME_CHARS + TIME_CHARS + PROOF_CHARS;
/// How many people a browser is known for.
const PEOPLE_MAX: usize = 4;
/// Between the values that a browser keeps.
const BETWEEN: char = '.';
/// What a browser keeps is no longer than this.
pub const DEVICE_BYTES_MAX: usize = PEOPLE_MAX * (VALUE_CHARS + 1) - 1;

/// What a browser keeps that somebody has just signed in with: that, and what it `shows` of others.
pub(super) fn issue(
    keyring: &Keyring,
    person: PersonId,
    shows: Option<&str>,
    now_ms: u64,
) -> Result<String, StoreError> {
    let name = new_credential()?;
    let proof = keyring.mac(said(person, &name, now_ms).as_bytes());
    let mut kept = format!("{name}{now_ms:016x}{}", hex(&proof.0));
    let others = values(shows.unwrap_or_default()).filter(|value| read(keyring, person, value).is_none());
    for other in others.take(PEOPLE_MAX - 1) {
        kept.push(BETWEEN);
        kept.push_str(other);
    }
    Ok(kept)
}

/// What may be values among what a browser shows; whose they are shows only to whom they are asked for.
fn values(shown: &str) -> impl Iterator<Item = &str> {
    let is_one = |value: &&str| value.len() == VALUE_CHARS && value.bytes().all(|b| b.is_ascii_hexdigit());
    shown.split(BETWEEN).take(PEOPLE_MAX).filter(is_one)
}

/// The name of a browser that `shows` such a value, if that person has signed in with it by what they sign in with now.
pub(super) fn name(job: &Job<'_>, person: PersonId, shows: &str) -> Result<Option<String>, StoreError> {
    let found = values(shows).find_map(|value| read(&job.control.keyring, person, value));
    let Some((name, since_ms)) = found else { return Ok(None) };
    let sql = "SELECT max(coalesce(password_set_ms, 0), coalesce(confirmed_at_ms, 0)) \
               FROM people LEFT JOIN two_factor ON person_id = people.id WHERE people.id = ?1";
    let changed_ms: u64 = job.row(sql, [person.0], |row| row.get(0))?.unwrap_or_default();
    let is_known = since_ms >= changed_ms && job.now_ms.saturating_sub(since_ms) < LIFE_MS;
    Ok(is_known.then(|| name.to_owned()))
}

/// The name in a value that was made here for that person, and when.
fn read<'v>(keyring: &Keyring, person: PersonId, value: &'v str) -> Option<(&'v str, u64)> {
    let (name, rest) = value.split_at_checked(NAME_CHARS)?;
    let (time, proof) = rest.split_at_checked(TIME_CHARS)?;
    let since_ms = u64::from_str_radix(time, 16).ok()?;
    let is_right = keyring.is_mac(said(person, name, since_ms).as_bytes(), &unhex(proof)?);
    is_right.then_some((name, since_ms))
}

fn said(person: PersonId, name: &str, since_ms: u64) -> String {
    format!("browser {name} that person {person} signed in with at {since_ms}")
}
