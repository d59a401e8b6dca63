//! What people set for themselves: where notices go, and the two things the console may remember of them.
//!
//! # Invariants
//! * Both preferences are off until somebody turns them on; turned off, what was remembered for them is forgotten in the
//!   same transaction.
//! * What is remembered is bounded: [`SETTINGS_MAX`] settings, [`USAGE_MAX`] pages.

use rusqlite::params;
use serde::Serialize;

use super::{check_email, key, notices, person, subject};
use crate::{Acting, PeopleError, PersonId, StoreError, control::Job};

/// A person's settings of views, at most.
const SETTINGS_MAX: u64 = 100;
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 4096;
/// Of the pages that a person opened, the last.
const USAGE_MAX: i64 = 1000;
const PAGE_CHARS_MAX: usize = 255;

/// What a person set for themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Preferences {
    /// Where notices go besides their own address.
    pub notice_email: Option<String>,
    /// Whether it is shown that what is sent there arrives. Before that, none is.
    pub notice_email_confirmed: bool,
    /// Whether they are told when they are signed in from a new place.
    pub tells_sign_ins: bool,
    /// Whether the console remembers how they set its views.
    pub remembers_views: bool,
    /// Whether the console notes which pages they open. Sign-ins and changes are noted in any case.
    pub logs_usage: bool,
}

/// What is to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct PreferencesChange {
    /// Where notices go; `Some(None)`: to their own address alone.
    pub notice_email: Option<Option<String>>,
    /// Whether they are told of sign-ins from a new place.
    pub tells_sign_ins: Option<bool>,
    /// Whether views are remembered.
    pub remembers_views: Option<bool>,
    /// Whether pages are noted.
    pub logs_usage: Option<bool>,
}

impl Acting<'_> {
    /// What a person set for themselves.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn preferences(&self, id: PersonId) -> Result<Preferences, PeopleError> {
        self.require_self(id)?;
        self.read(|job| preferences(job, id))
    }

    /// Changes what a person set for themselves. In force at once.
    ///
    /// # Errors
    /// [`PeopleError::EmailInvalid`] and others.
    pub fn change_preferences(
        &self,
        id: PersonId,
        change: &PreferencesChange,
    ) -> Result<Preferences, PeopleError> {
        self.require_self(id)?;
        change.notice_email.iter().flatten().try_for_each(|email| check_email(email))?;
        self.change(|job| {
            let old = preferences(job, id)?;
            let notice_email = change.notice_email.clone().unwrap_or_else(|| old.notice_email.clone());
            let is_other = notice_email.as_deref().map(key) != old.notice_email.as_deref().map(key);
            let new = Preferences {
                notice_email_confirmed: old.notice_email_confirmed && !is_other,
                notice_email,
                tells_sign_ins: change.tells_sign_ins.unwrap_or(old.tells_sign_ins),
                remembers_views: change.remembers_views.unwrap_or(old.remembers_views),
                logs_usage: change.logs_usage.unwrap_or(old.logs_usage),
            };
            if new == old {
                return Ok(new);
            }
            let sql = "UPDATE people SET notice_email = ?2, remembers_views = ?3, logs_usage = ?4, tells_sign_ins = ?5, \
                       notice_email_confirmed_ms = CASE WHEN ?6 THEN NULL ELSE notice_email_confirmed_ms END WHERE id = ?1";
            let Preferences { notice_email, remembers_views, logs_usage, tells_sign_ins, .. } = &new;
            job.execute(sql, params![id.0, notice_email, remembers_views, logs_usage, tells_sign_ins, is_other])?;
            if is_other {
                notices::changed(job, id, notice_email.as_deref(), self)?;
            }
            if !new.remembers_views {
                job.execute("DELETE FROM view_settings WHERE person_id = ?1", [id.0])?;
            }
            if !new.logs_usage {
                job.execute("DELETE FROM usage_log WHERE person_id = ?1", [id.0])?;
            }
            let detail = format!("remembers_views {}, logs_usage {}", new.remembers_views, new.logs_usage);
            job.audit("person.preferences_changed", &subject(id), &detail)?;
            Ok(new)
        })
    }

    /// How a person set a view, where that is remembered.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn view_setting(&self, id: PersonId, name: &str) -> Result<Option<String>, PeopleError> {
        self.require_self(id)?;
        self.read(|job| {
            let sql = "SELECT value FROM view_settings WHERE person_id = ?1 AND name = ?2";
            Ok(job.row(sql, params![id.0, name], |row| row.get(0))?)
        })
    }

    /// Remembers how a person set a view, if they want that; says whether it did.
    ///
    /// # Errors
    /// [`PeopleError::NameInvalid`] for a name or value that is too long.
    pub fn remember_view(&self, id: PersonId, name: &str, value: &str) -> Result<bool, PeopleError> {
        self.require_self(id)?;
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || value.len() > VALUE_BYTES_MAX {
            return Err(PeopleError::NameInvalid { name: name.chars().take(NAME_BYTES_MAX).collect() });
        }
        self.change(|job| {
            if !preferences(job, id)?.remembers_views {
                return Ok(false);
            }
            let sql = "INSERT OR REPLACE INTO view_settings (person_id, name, value) VALUES (?1, ?2, ?3)";
            job.execute(sql, params![id.0, name, value])?;
            let sql = "SELECT count(*) FROM view_settings WHERE person_id = ?1";
            let count: u64 = job.row(sql, [id.0], |row| row.get(0))?.unwrap_or_default();
            if count > SETTINGS_MAX {
                let sql = "DELETE FROM view_settings WHERE person_id = ?1 AND name = \
                           (SELECT name FROM view_settings WHERE person_id = ?1 AND name <> ?2 LIMIT 1)";
                job.execute(sql, params![id.0, name])?;
            }
            Ok(true)
        })
    }

    /// Notes that a person opened a page, if they want that; says whether it did.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn note_usage(&self, id: PersonId, page: &str) -> Result<bool, PeopleError> {
        self.require_self(id)?;
        // Mostly off: then nothing is written, nor waited for.
        if !self.read(|job| preferences(job, id))?.logs_usage {
            return Ok(false);
        }
        let page: String = page.chars().take(PAGE_CHARS_MAX).collect();
        self.change(|job| {
            if !preferences(job, id)?.logs_usage {
                return Ok(false);
            }
            let sql = "INSERT INTO usage_log (person_id, at_ms, page) VALUES (?1, ?2, ?3)";
            job.execute(sql, params![id.0, job.now_ms, page])?;
            let sql = "DELETE FROM usage_log WHERE person_id = ?1 AND id <= \
                       (SELECT id FROM usage_log WHERE person_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
            job.execute(sql, params![id.0, USAGE_MAX])?;
            Ok(true)
        })
    }
}

pub(super) fn preferences(job: &Job<'_>, id: PersonId) -> Result<Preferences, PeopleError> {
    let of = person(job, id)?.id;
    let sql = "SELECT notice_email, remembers_views, logs_usage, notice_email_confirmed_ms IS NOT NULL, tells_sign_ins \
               FROM people WHERE id = ?1";
    let found = job.row(sql, [of.0], |row| {
        Ok(Preferences {
            notice_email: row.get(0)?,
            remembers_views: row.get(1)?,
            logs_usage: row.get(2)?,
            notice_email_confirmed: row.get(3)?,
            tells_sign_ins: row.get(4)?,
        })
    })?;
    Ok(found.unwrap_or_default())
}

/// A page that a person opened, while they had that noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Usage {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Which.
    pub page: String,
}

/// How a person set a view, while they had that remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ViewSetting {
    /// Of what.
    pub name: String,
    /// How.
    pub value: String,
}

pub(super) fn usage(job: &Job<'_>, id: PersonId) -> Result<Vec<Usage>, StoreError> {
    let sql = "SELECT at_ms, page FROM usage_log WHERE person_id = ?1 ORDER BY id";
    job.rows(sql, [id.0], |row| Ok(Usage { at_ms: row.get(0)?, page: row.get(1)? }))
}

pub(super) fn view_settings(job: &Job<'_>, id: PersonId) -> Result<Vec<ViewSetting>, StoreError> {
    let sql = "SELECT name, value FROM view_settings WHERE person_id = ?1 ORDER BY name";
    job.rows(sql, [id.0], |row| Ok(ViewSetting { name: row.get(0)?, value: row.get(1)? }))
}
