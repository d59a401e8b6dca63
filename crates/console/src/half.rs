//! Sign-ins that are half done: the password was right, and a code of the second factor is still to come.
//!
//! # Invariants
//! * An entry is made for a right password only, lives five minutes, and is bound to one browser.
//! * The table is bounded: the oldest entry gives way.
//! * Passwords lie here in memory and nowhere else; they are never printed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use forebay_control::CodeSent;

use crate::session::random_word;

const LIFE_MS: u64 = 5 * 60_000;
const HALVES_MAX: usize = 1000;

/// A sign-in that is half done.
#[derive(Clone)]
pub(crate) struct Half {
    pub(crate) email: String,
    pub(crate) password: String,
    /// Where a code was sent to, if it is sent.
    pub(crate) sent: Option<CodeSent>,
    /// Where to go when it is done.
    pub(crate) next: String,
    /// The cookie of the browser it is for.
    pub(crate) cookie: String,
}

/// All of them, by a random word.
#[derive(Default)]
pub(crate) struct Halves(Mutex<HashMap<String, (u64, Half)>>);

impl Halves {
    fn table(&self, now_ms: u64) -> MutexGuard<'_, HashMap<String, (u64, Half)>> {
        // Nothing is half done in it when a thread panics: a map of values.
        let mut table = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        table.retain(|_, (ends_ms, _)| *ends_ms > now_ms);
        table
    }

    /// Keeps one; says under which word.
    pub(crate) fn keep(&self, half: Half, now_ms: u64) -> Result<String, getrandom::Error> {
        let word = random_word()?;
        let mut table = self.table(now_ms);
        if table.len() >= HALVES_MAX
            && let Some(oldest) =
                table.iter().min_by_key(|(_, (ends_ms, _))| *ends_ms).map(|(w, _)| w.clone())
        {
            table.remove(&oldest);
        }
        table.insert(word.clone(), (now_ms + LIFE_MS, half));
        Ok(word)
    }

    /// The one under a word, for the browser it was made for.
    pub(crate) fn get(&self, word: &str, cookie: &str, now_ms: u64) -> Option<Half> {
        let table = self.table(now_ms);
        table.get(word).map(|(_, half)| half.clone()).filter(|half| half.cookie == cookie)
    }

    /// Forgets one: it is done.
    pub(crate) fn forget(&self, word: &str) {
        self.table(0).remove(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(email: &str) -> Half {
        Half { email: email.into(), password: "p".into(), sent: None, next: "/".into(), cookie: "c".into() }
    }

    #[test]
    fn one_is_kept_for_five_minutes_and_one_browser() {
        let halves = Halves::default();
        let word = halves.keep(half("a@b.example"), 1000).unwrap();
        let email = |cookie, now_ms| halves.get(&word, cookie, now_ms).map(|half| half.email);
        assert_eq!(email("c", 2000).as_deref(), Some("a@b.example"));
        assert_eq!(email("other", 2000), None);
        assert_eq!(email("c", 1000 + LIFE_MS), None);
    }

    #[test]
    fn when_there_are_too_many_the_oldest_gives_way() {
        let halves = Halves::default();
        let first = halves.keep(half("first@b.example"), 0).unwrap();
        for at in 1..=HALVES_MAX as u64 {
            halves.keep(half("x@b.example"), at).unwrap();
        }
        assert!(halves.get(&first, "c", HALVES_MAX as u64).is_none());
        assert_eq!(halves.table(0).len(), HALVES_MAX);
    }
}
