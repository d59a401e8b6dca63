//! Which exports the audit is told of: not each one of a program that exports every minute.
//!
//! Of a credential, a project and a day the audit has an entry for each different export, by days, names and condition,
//! and [`DIFFERENT_MAX`] of them at most; the last one says that there may be more. What people fetch in the console has an
//! entry each.
//!
//! # Invariants
//! * What is remembered is of one day, and of [`CREDENTIALS_MAX`] credentials at most: beyond that everything is told again.

use forebay_record::ProjectId;
use jiff::civil::Date;
use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

/// Different exports of one credential, project and day.
const DIFFERENT_MAX: usize = 20;
/// Credentials and projects that are remembered.
const CREDENTIALS_MAX: usize = 10_000;

/// What the audit was told of today. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    day: Option<Date>,
    exports: HashMap<(Box<str>, ProjectId), HashSet<u64>>,
}

impl Notes {
    /// What the audit is to be told of an export, if anything: `detail`, or more.
    pub(crate) fn worth_telling(
        &self,
        actor: &str,
        project: ProjectId,
        detail: &str,
        today: Date,
    ) -> Option<String> {
        // Nothing is half done in it when a thread panics: sets of numbers.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.day != Some(today) || told.exports.len() > CREDENTIALS_MAX {
            *told = Told { day: Some(today), exports: HashMap::new() };
        }
        let exports = told.exports.entry((actor.into(), project)).or_default();
        let mut hasher = DefaultHasher::new();
        detail.hash(&mut hasher);
        if exports.len() == DIFFERENT_MAX || !exports.insert(hasher.finish()) {
            return None;
        }
        if exports.len() == DIFFERENT_MAX {
            return Some(format!("{detail}; others by it on {today} are not listed"));
        }
        Some(detail.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_export_is_told_of_once_a_day_and_others_a_few_times() {
        let notes = Notes::default();
        let project = |id| ProjectId::new(id).unwrap();
        let (today, tomorrow) = (Date::constant(2025, 10, 9), Date::constant(2025, 10, 10));
        let tell = |actor: &str, id, detail: &str, day| notes.worth_telling(actor, project(id), detail, day);
        assert_eq!(tell("a", 1, "x", today).as_deref(), Some("x"));
        for _ in 0..1000 {
            assert_eq!(tell("a", 1, "x", today), None);
        }
        assert!(tell("b", 1, "x", today).is_some() && tell("a", 2, "x", today).is_some());
        let told: Vec<_> = (0..1000).filter_map(|n| tell("a", 1, &n.to_string(), today)).collect();
        assert_eq!(told.len(), DIFFERENT_MAX - 1);
        assert_eq!(told.last().unwrap(), "18; others by it on 2025-10-09 are not listed");
        assert_eq!(tell("a", 1, "x", tomorrow).as_deref(), Some("x"));
        assert_eq!(notes.0.lock().unwrap().exports.len(), 1, "yesterday's are forgotten");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let notes = Notes::default();
        let today = Date::constant(2025, 10, 9);
        for id in 1..=CREDENTIALS_MAX as u64 + 5 {
            assert!(notes.worth_telling("a", ProjectId::new(id).unwrap(), "x", today).is_some());
        }
        assert!(notes.0.lock().unwrap().exports.len() <= CREDENTIALS_MAX + 1);
    }
}
