//! Passwords of people: argon2id, which takes 19 MiB and some 30 ms for each guess.
//!
//! # Invariants
//! * No transaction is open while a password is hashed, and one is hashed at a time: however many guesses come in, they
//!   take 19 MiB and one core.
//! * Whether there is a person to compare with shows neither in what is answered nor in how long it takes.

use std::sync::{Mutex, PoisonError};

use argon2::{
    Argon2,
    password_hash::{Error, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};

use crate::{PeopleError, keyring::random, rules};

/// Taken while a password is hashed.
static TURN: Mutex<()> = Mutex::new(());

/// What a password is compared with where there is none: of a password that nobody knows, with the parameters of
/// [`hash`].
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is kept of a new password of the person with that address.
///
/// # Errors
/// [`PeopleError::PasswordWeak`].
pub(super) fn hash(password: &str, email: &str) -> Result<String, PeopleError> {
    rules::password(password, email).map_err(|why| PeopleError::PasswordWeak { why })?;
    let mut salt = [0; 16];
    random(&mut salt)?;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let hashed: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .expect("the default parameters are valid, sixteen bytes are a salt, and the password is short");
    Ok(hashed.to_string())
}

/// Is it the password that `hashed` was made of? `None`: nobody's, and it takes as long to say so.
///
/// # Errors
/// If `hashed` is no hash of this kind.
pub(super) fn verify(password: &str, hashed: Option<&str>) -> Result<bool, Error> {
    // Longer than any that was taken: hashing it would only take time.
    let password = if password.len() <= rules::PASSWORD_BYTES_MAX { password } else { "" };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match Argon2::default().verify_password(password.as_bytes(), hashed.unwrap_or(NOBODYS)) {
        Ok(()) => Ok(hashed.is_some()),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_recognised_and_nothing_else() {
        let kept = hash("correct horse battery", "a@b.example").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(verify("correct horse battery", Some(&kept)).unwrap());
        for wrong in ["", "correct horse batterY", "correct horse battery ", &"x".repeat(2000)] {
            assert!(!verify(wrong, Some(&kept)).unwrap(), "{wrong:?}");
        }
        assert_ne!(kept, hash("correct horse battery", "a@b.example").unwrap(), "each has a salt of its own");
    }

    #[test]
    fn nobodys_password_costs_what_anybodys_does_and_is_never_right() {
        let parameters = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
        let somebodys = hash("correct horse battery", "a@b.c").unwrap();
        assert_eq!((parameters(NOBODYS), NOBODYS.len()), (parameters(&somebodys), somebodys.len()));
        assert!(!verify("", None).unwrap());
        assert!(!verify("correct horse battery", None).unwrap());
    }

    #[test]
    fn a_hash_that_is_none_is_an_error_and_no_wrong_password() {
        verify("correct horse battery", Some("plain text")).unwrap_err();
    }
}
