//! Who did what to whom: a row for every change, written with it.
//!
//! # Invariants
//! * Entries are only ever added, at the end; the oldest go after a time, and who did something can be replaced by a
//!   pseudonym when they ask for it. Nothing else changes one: see [`chain`].
//! * An entry is read by the host, by the admins of the organisation and of the project it is about, and by whom it is
//!   about or who did it.

pub(crate) mod chain;

use forebay_record::ProjectId;
use rusqlite::{ToSql, params, types::Value};
use serde::Serialize;

use crate::{
    Acting, Control, OrganisationRole, PeopleError, ProjectRole, StoreError, actor::Actor, control::Job,
    keyring::random,
};

/// So many entries are read at once.
const PAGE_MAX: usize = 1000;

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct AuditEntry {
    /// Its number: later ones have greater ones.
    pub id: u64,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Who.
    pub actor: String,
    /// What, such as `project.created`.
    pub action: String,
    /// To which project, account or table.
    pub subject: String,
    /// With which values; never a credential.
    pub detail: String,
    /// The organisation it is about, if it is about one.
    pub organisation: Option<u64>,
    /// The project it is about, if it is about one.
    pub project: Option<u64>,
}

/// Which entries are wanted. What is left out does not narrow it.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this organisation, its projects included.
    pub organisation: Option<u64>,
    /// Of this project.
    pub project: Option<u64>,
    /// Done by, such as `person:7`.
    pub actor: Option<String>,
    /// This action, or with a dot at the end all that begin so: `project.`.
    pub action: Option<String>,
    /// From then on, in milliseconds since the epoch.
    pub since_ms: Option<u64>,
    /// Before then.
    pub until_ms: Option<u64>,
    /// Before the entry of this number: where the page before ended.
    pub before: Option<u64>,
    /// At most so many, and at most 1000; 0: 1000.
    pub limit: usize,
}

/// Some entries, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// What [`AuditFilter::before`] is for the next page, if there may be one.
    pub next: Option<u64>,
}

impl Control {
    /// The last entries, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit_entries(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(|job| entries(job, "1", &[], limit))
    }
}

impl Control {
    /// Notes that events of a project were asked for: by whom, as the audit names them, and which. Whether they might was
    /// shown where they asked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_export(&self, actor: &str, project: ProjectId, detail: &str) -> Result<(), StoreError> {
        self.change_as(actor, |job| job.audit("raw_event_export.requested", &project.to_string(), detail))
    }
}

impl Acting<'_> {
    /// A page of the audit, newest first: of an organisation for its admins, of a project for its own; without either, what
    /// the actor did and what was done to them. The host reads everything.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn audit(&self, filter: &AuditFilter) -> Result<AuditPage, PeopleError> {
        let limit = if filter.limit == 0 { PAGE_MAX } else { filter.limit.min(PAGE_MAX) };
        self.read(|job| {
            let mut conditions = vec!["1".to_owned()];
            let mut values: Vec<Value> = Vec::new();
            let mut narrow = |sql: &str, value: Value| {
                values.push(value);
                conditions.push(sql.replace('?', &format!("?{}", values.len())));
            };
            match (self.actor, filter.project, filter.organisation) {
                (_, Some(project), _) => {
                    self.require_project(job, project, ProjectRole::Admin)?;
                }
                (_, None, Some(organisation)) => {
                    self.require(job, organisation, OrganisationRole::Admin)?;
                }
                (Actor::Person(id), None, None) => {
                    narrow("(actor = ? OR subject = ?)", crate::person::subject(id).into());
                }
                (Actor::Account(id), None, None) => {
                    narrow("actor = ?", crate::account::subject(job, id)?.into());
                    // One of the same name may have been deleted before.
                    narrow(
                        "at_ms >= (SELECT created_at_ms FROM service_accounts WHERE id = ?)",
                        Value::from(i64::try_from(id).unwrap_or(i64::MAX)),
                    );
                }
                (Actor::Host, None, None) => {}
            }
            let number = |number: u64| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
            if let Some(project) = filter.project {
                narrow("project_id = ?", number(project));
            }
            if let Some(organisation) = filter.organisation {
                narrow("organisation_id = ?", number(organisation));
            }
            if let Some(actor) = &filter.actor {
                narrow("actor = ?", actor.clone().into());
            }
            if let Some(action) = &filter.action {
                match action.strip_suffix('.') {
                    Some(_) => narrow("substr(action, 1, length(?)) = ?", action.clone().into()),
                    None => narrow("action = ?", action.clone().into()),
                }
            }
            if let Some(since) = filter.since_ms {
                narrow("at_ms >= ?", number(since));
            }
            if let Some(until) = filter.until_ms {
                narrow("at_ms < ?", number(until));
            }
            if let Some(before) = filter.before {
                narrow("id < ?", number(before));
            }
            let values: Vec<&dyn ToSql> = values.iter().map(|value| value as &dyn ToSql).collect();
            let wanted = i64::try_from(limit).unwrap_or(i64::MAX);
            let entries = entries(job, &conditions.join(" AND "), &values, wanted)?;
            let next = entries.last().filter(|_| entries.len() == limit).map(|last| last.id);
            Ok(AuditPage { entries, next })
        })
    }
}

/// Entries that meet a condition, newest first.
pub(crate) fn entries(
    job: &Job<'_>,
    condition: &str,
    values: &[&dyn ToSql],
    limit: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let sql = format!(
        "SELECT id, at_ms, actor, action, subject, detail, organisation_id, project_id FROM audit WHERE {condition} \
         ORDER BY id DESC LIMIT {limit}"
    );
    job.rows(&sql, values, |row| {
        Ok(AuditEntry {
            id: row.get(0)?,
            at_ms: row.get(1)?,
            actor: row.get(2)?,
            action: row.get(3)?,
            subject: row.get(4)?,
            detail: row.get(5)?,
            organisation: row.get(6)?,
            project: row.get(7)?,
        })
    })
}

impl Job<'_> {
    /// Tells the audit what was done. What is about to go is told of before it goes, so that its organisation is known.
    pub(crate) fn audit(&self, action: &str, subject: &str, detail: &str) -> Result<(), StoreError> {
        self.audit_as(self.actor(), action, subject, detail)
    }

    /// [`Job::audit`] in another's name.
    pub(crate) fn audit_as(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let (organisation, project) = self.scope(action, subject)?;
        let mut salt = [0; 16];
        random(&mut salt)?;
        let last =
            self.row("SELECT seq FROM sqlite_sequence WHERE name = 'audit'", [], |row| row.get::<_, u64>(0))?;
        let link = chain::Link {
            id: last.unwrap_or(0) + 1,
            at_ms: self.now_ms,
            action,
            organisation,
            project,
            digest: chain::digest(self, &salt, actor, subject, detail),
        };
        let chained = link.chained_to(self, &chain::head(self)?);
        self.execute(
            "INSERT INTO audit (id, at_ms, actor, action, subject, detail, organisation_id, project_id, salt, digest, \
             chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                link.id,
                self.now_ms,
                actor,
                action,
                subject,
                detail,
                organisation,
                project,
                salt,
                link.digest,
                chained
            ],
        )?;
        Ok(())
    }

    /// The organisation and project that an action is about, by how it is called.
    fn scope(&self, action: &str, subject: &str) -> Result<(Option<u64>, Option<u64>), StoreError> {
        let id = subject.parse::<u64>().ok().filter(|&id| i64::try_from(id).is_ok());
        match (action.split('.').next().unwrap_or_default(), id) {
            ("organisation", id) => Ok((id, None)),
            ("project" | "raw_event_export", Some(id)) => {
                let sql = "SELECT organisation_id FROM projects WHERE id = ?1";
                Ok((self.row(sql, [id], |row| row.get(0))?, Some(id)))
            }
            ("service_account", _) => {
                let sql = "SELECT organisation_id FROM service_accounts WHERE username = ?1";
                Ok((self.row(sql, [subject], |row| row.get(0))?, None))
            }
            ("lookup_table", _) => {
                let sql = "SELECT p.organisation_id, p.id FROM lookup_tables t \
                           JOIN projects p ON p.id = t.project_id WHERE t.id = ?1";
                let found = self.row(sql, [subject], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(found.unwrap_or_default())
            }
            _ => Ok((None, None)),
        }
    }
}
