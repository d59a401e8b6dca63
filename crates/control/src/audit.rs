//! Who did what to whom: a row for every change, written with it.

use serde::Serialize;

use crate::{Control, StoreError};

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
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
}

impl Control {
    /// The last entries, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit_entries(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT at_ms, actor, action, subject, detail FROM audit ORDER BY id DESC LIMIT ?1";
        self.read(|job| {
            job.rows(sql, [limit], |row| {
                Ok(AuditEntry {
                    at_ms: row.get(0)?,
                    actor: row.get(1)?,
                    action: row.get(2)?,
                    subject: row.get(3)?,
                    detail: row.get(4)?,
                })
            })
        })
    }
}
