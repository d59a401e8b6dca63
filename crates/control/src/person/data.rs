//! The data held about a person: all of it in one answer, and its erasure while the account goes on.
//!
//! What goes: where and with what they signed in, the pages and views noted for them, and who they were in what is kept
//! as a record, where a pseudonym takes the place of their number. What stays: the account with its name and address, the
//! roles, the second factor, and that each recorded change was made, when, and to what.

use std::fmt::Write as _;

use hmac::Mac as _;
use rusqlite::params;
use serde::Serialize;

use super::{
    GdprTokenInfo, PasswordProof, Person, Preferences, Session, TwoFactor, gdpr, key, person,
    personal::{Usage, ViewSetting, preferences, usage, view_settings},
    session, subject, two_factor,
};
use crate::{
    Acting, AuditEntry, MessageInfo, PeopleError, PersonId, StoreError, audit, control::Job, outbox,
};

/// An attempt to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SignInRecord {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// From where.
    pub address: String,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The name made up for the browser, if they had signed in with it before.
    pub browser: Option<String>,
}

/// Everything that is held about a person. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct PersonalData {
    /// When it was put together, in milliseconds since the epoch.
    pub as_of_ms: u64,
    /// Who they are, and what they belong to.
    pub account: Person,
    /// What they set for themselves.
    pub preferences: Preferences,
    /// Their second factor.
    pub two_factor: TwoFactor,
    /// Their GDPR token.
    pub gdpr_token: Option<GdprTokenInfo>,
    /// Their sessions.
    pub sessions: Vec<Session>,
    /// Attempts to sign in with their address.
    pub sign_ins: Vec<SignInRecord>,
    /// The pages they opened, while they had that noted.
    pub usage: Vec<Usage>,
    /// How they set views, while they had that remembered.
    pub views: Vec<ViewSetting>,
    /// Messages to them, oldest first: what about and when, not what they say.
    pub messages: Vec<MessageInfo>,
    /// What they did and what was done to them, newest first.
    pub audit: Vec<AuditEntry>,
}

/// How much an erasure takes, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Erasure {
    /// Attempts to sign in: deleted.
    pub sign_ins: usize,
    /// Sessions: they go on, and where and with what they began is forgotten.
    pub sessions: usize,
    /// Pages noted: deleted.
    pub usage: usize,
    /// Settings of views: deleted.
    pub views: usize,
    /// Messages to them that were sent or given up: deleted.
    pub messages: usize,
    /// Entries of the audit: they stay, and a pseudonym takes the place of the person.
    pub audit: usize,
    /// Places that say who made something: they stay, with the pseudonym.
    pub made: usize,
    /// The pseudonym: always the same for a person, and not to be led back to them without the server's key.
    pub pseudonym: String,
}

/// Where it is noted who made something.
const MADE: [(&str, &str); 9] = [
    ("projects", "created_by"),
    ("projects", "deleted_by"),
    ("tokens", "created_by"),
    ("service_accounts", "created_by"),
    ("lookup_tables", "created_by"),
    ("people", "created_by"),
    ("organisation_members", "added_by"),
    ("project_members", "added_by"),
    ("invitations", "created_by"),
];

impl Acting<'_> {
    /// Everything that is held about a person: their own to ask for, or the host's.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn personal_data(&self, id: PersonId) -> Result<PersonalData, PeopleError> {
        self.require_self(id)?;
        self.change(|job| {
            job.audit("person.data_requested", &subject(id), "")?;
            let account = person(job, id)?;
            let name = subject(id);
            Ok(PersonalData {
                as_of_ms: job.now_ms,
                preferences: preferences(job, id)?,
                two_factor: two_factor::shown(job, id)?,
                gdpr_token: gdpr::info(job, id)?,
                sessions: session::all(job, id)?,
                sign_ins: sign_ins(job, &key(&account.email))?,
                usage: usage(job, id)?,
                views: view_settings(job, id)?,
                messages: outbox::of_person(job, id)?,
                audit: audit::entries(job, "actor = ?1 OR subject = ?1", &[&name], i64::MAX)?,
                account,
            })
        })
    }

    /// What [`Acting::erase_personal_data`] would take.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`].
    pub fn erasable_data(&self, id: PersonId) -> Result<Erasure, PeopleError> {
        self.require_self(id)?;
        self.read(|job| {
            let email_key = key(&person(job, id)?.email);
            let name = subject(id);
            let count = |sql: &str, value: &dyn rusqlite::ToSql| {
                job.row(sql, [value], |row| row.get::<_, usize>(0)).map(Option::unwrap_or_default)
            };
            let mut made = 0;
            for (table, column) in MADE {
                made += count(&format!("SELECT count(*) FROM {table} WHERE {column} = ?1"), &name)?;
            }
            Ok(Erasure {
                sign_ins: count("SELECT count(*) FROM sign_ins WHERE email_key = ?1", &email_key)?,
                sessions: count("SELECT count(*) FROM sessions WHERE person_id = ?1", &id.0)?,
                usage: count("SELECT count(*) FROM usage_log WHERE person_id = ?1", &id.0)?,
                views: count("SELECT count(*) FROM view_settings WHERE person_id = ?1", &id.0)?,
                messages: count(
                    "SELECT count(*) FROM outbox WHERE person_id = ?1 AND state <> 'waiting'",
                    &id.0,
                )?,
                audit: audit::chain::mentions(job, &name)?,
                made,
                pseudonym: pseudonym(job, id),
            })
        })
    }

    /// Erases what is held about a person besides their account, which goes on: their own doing, with the password, or the
    /// host's. Done when it returns.
    ///
    /// # Errors
    /// [`PeopleError::NotOneself`], [`PeopleError::PasswordNeeded`].
    pub fn erase_personal_data(&self, id: PersonId, proof: &PasswordProof) -> Result<Erasure, PeopleError> {
        self.require_self(id)?;
        self.check_proof(proof)?;
        self.change(|job| {
            let email_key = key(&person(job, id)?.email);
            let (name, pseudonym) = (subject(id), pseudonym(job, id));
            let mut made = 0;
            for (table, column) in MADE {
                let sql = format!("UPDATE {table} SET {column} = ?2 WHERE {column} = ?1");
                made += job.execute(&sql, params![name, pseudonym])?;
            }
            let erasure = Erasure {
                sign_ins: job.execute("DELETE FROM sign_ins WHERE email_key = ?1", [&email_key])?,
                sessions: job.execute(
                    "UPDATE sessions SET address = '', user_agent = '' WHERE person_id = ?1",
                    [id.0],
                )?,
                usage: job.execute("DELETE FROM usage_log WHERE person_id = ?1", [id.0])?,
                views: job.execute("DELETE FROM view_settings WHERE person_id = ?1", [id.0])?,
                messages: outbox::forget(job, id)?,
                audit: audit::chain::erase(job, &name, &pseudonym)?,
                made,
                pseudonym,
            };
            let mut detail = String::new();
            let _ = write!(detail, "audit entries: {}, sign-ins: {}", erasure.audit, erasure.sign_ins);
            // In the pseudonym's name: this entry alone would lead back to the person.
            job.audit_as(&erasure.pseudonym, "person.data_erased", &erasure.pseudonym, &detail)?;
            Ok(erasure)
        })
    }
}

/// Under the server's key, so that nobody who reads the audit can try numbers.
fn pseudonym(job: &Job<'_>, id: PersonId) -> String {
    let mut hmac = job.control.keyring.audit();
    hmac.update(format!("pseudonym of person {id}").as_bytes());
    let digest: [u8; 32] = hmac.finalize().into_bytes().into();
    format!("erased:{}", crate::keyring::hex(&digest[..8]))
}

fn sign_ins(job: &Job<'_>, email_key: &str) -> Result<Vec<SignInRecord>, StoreError> {
    let sql = "SELECT at_ms, address, succeeded, device FROM sign_ins WHERE email_key = ?1 ORDER BY id";
    job.rows(sql, [email_key], |row| {
        Ok(SignInRecord {
            at_ms: row.get(0)?,
            address: row.get(1)?,
            succeeded: row.get(2)?,
            browser: row.get(3)?,
        })
    })
}
