//! Service accounts: machines that read, import and replace lookup tables.

use std::fmt;

use forebay_record::ProjectId;
use rusqlite::params;
use serde::Serialize;

use crate::{
    AccountError, Control, StoreError,
    control::{Changed, Job},
    keyring::{hex, new_credential, random, sha256},
    project, rules,
};

/// A service account to be created. What is left out is chosen.
#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// Its name; left out, one such as `machine.1a2b3c.forebay-service-account` is chosen.
    pub username: Option<String>,
    /// Its secret, where one is brought along.
    pub secret: Option<String>,
    /// The projects it may use.
    pub projects: Vec<u64>,
    /// When it stops working, in milliseconds since the epoch.
    pub expires_at_ms: Option<u64>,
}

/// A service account just created: the only time its secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct CreatedAccount {
    /// Its name.
    pub username: String,
    /// Its secret.
    pub secret: String,
    /// The projects it may use.
    pub projects: Vec<u64>,
    /// When it stops working.
    pub expires_at_ms: Option<u64>,
}

impl fmt::Debug for CreatedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedAccount").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A service account as it is shown: no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub username: String,
    /// The projects it may use.
    pub projects: Vec<u64>,
    /// When it stops working.
    pub expires_at_ms: Option<u64>,
    /// When it was created.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
    /// When it was last used.
    pub last_used_ms: Option<u64>,
}

impl Control {
    /// Creates a service account. Its secret is in the answer and shown never again.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn create_service_account(&self, new: &NewAccount) -> Result<CreatedAccount, AccountError> {
        self.change(|job| {
            let created = CreatedAccount {
                username: new.username.clone().map_or_else(free_username, Ok)?,
                secret: new.secret.clone().map_or_else(new_credential, Ok)?,
                projects: sorted(&new.projects),
                expires_at_ms: new.expires_at_ms,
            };
            if !rules::secret(&created.secret) {
                return Err(AccountError::SecretInvalid { username: created.username });
            }
            if let Some(expires_at_ms) = created.expires_at_ms.filter(|&end| end <= job.now_ms) {
                return Err(AccountError::Expired { username: created.username, expires_at_ms });
            }
            let digest = sha256(created.secret.as_bytes());
            insert(job, &created.username, &digest, &created.projects, created.expires_at_ms)?;
            Ok(created)
        })
    }

    /// The service accounts, by name: all, or those that may use `project`.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn list_service_accounts(&self, project: Option<ProjectId>) -> Result<Vec<Account>, AccountError> {
        self.read(|job| {
            let mut accounts = accounts(job)?;
            accounts.retain(|account| project.is_none_or(|id| account.projects.contains(&id.as_u64())));
            Ok(accounts)
        })
    }

    /// Deletes a service account: it stops working at once.
    ///
    /// # Errors
    /// [`AccountError::NotFound`].
    pub fn delete_service_account(&self, username: &str) -> Result<(), AccountError> {
        self.change(|job| {
            if job.execute("DELETE FROM service_accounts WHERE username = ?1", [username])? == 0 {
                return Err(AccountError::NotFound { username: username.to_owned() });
            }
            job.changed(Changed::ServiceAccount, username, "service_account.deleted", "")?;
            Ok(())
        })
    }
}

/// Inserts an account that is recognised by the SHA-256 of its secret.
pub(crate) fn insert(
    job: &Job<'_>,
    username: &str,
    secret_sha256: &[u8; 32],
    projects: &[u64],
    expires_at_ms: Option<u64>,
) -> Result<(), AccountError> {
    let username_owned = || username.to_owned();
    if !rules::credential(username) {
        return Err(AccountError::UsernameInvalid { username: username_owned() });
    }
    if projects.is_empty() {
        return Err(AccountError::NoProjects { username: username_owned() });
    }
    let sql = "SELECT 1 FROM service_accounts WHERE username = ?1";
    if job.row(sql, [username], |_| Ok(()))?.is_some() {
        return Err(AccountError::UsernameTaken { username: username_owned() });
    }
    let keyring = &job.control.keyring;
    job.execute(
        "INSERT INTO service_accounts (organisation_id, username, secret_mac, secret_sha256_sealed, expires_at_ms, \
         created_at_ms, created_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            project::first_organisation(job)?,
            username,
            keyring.mac_of_sha256(secret_sha256).0,
            keyring.seal(&purpose(username), secret_sha256)?,
            expires_at_ms,
            job.now_ms,
            job.actor()
        ],
    )?;
    let id = job.transaction.last_insert_rowid();
    grant(job, id, projects)?;
    let detail = format!("projects {projects:?}, expires {expires_at_ms:?}");
    job.changed(Changed::ServiceAccount, username, "service_account.created", &detail)?;
    Ok(())
}

/// Lets an account use `projects` too.
pub(crate) fn grant(job: &Job<'_>, id: i64, projects: &[u64]) -> Result<(), AccountError> {
    for &project in projects {
        project::info(job, project)?;
        let sql =
            "INSERT OR IGNORE INTO service_account_projects (service_account_id, project_id) VALUES (?1, ?2)";
        job.execute(sql, params![id, project])?;
    }
    Ok(())
}

/// The SHA-256 of an account's secret.
pub(crate) fn secret_sha256(job: &Job<'_>, username: &str) -> Result<[u8; 32], StoreError> {
    let sql = "SELECT secret_sha256_sealed FROM service_accounts WHERE username = ?1";
    let sealed: Vec<u8> = job.row(sql, [username], |row| row.get(0))?.unwrap_or_default();
    let opened =
        job.control.keyring.open(&purpose(username), &sealed).and_then(|digest| digest.try_into().ok());
    opened.ok_or_else(|| {
        job.damaged(format!(
            "the sealed digest of service account {username:?} does not open under keys/server.key"
        ))
    })
}

/// All accounts, by name.
pub(crate) fn accounts(job: &Job<'_>) -> Result<Vec<Account>, StoreError> {
    let mut accounts = job.rows(
        "SELECT id, username, expires_at_ms, created_at_ms, created_by, last_used_ms FROM service_accounts \
         ORDER BY id",
        [],
        |row| {
            Ok(Account {
                id: row.get(0)?,
                username: row.get(1)?,
                projects: Vec::new(),
                expires_at_ms: row.get(2)?,
                created_at_ms: row.get(3)?,
                created_by: row.get(4)?,
                last_used_ms: row.get(5)?,
            })
        },
    )?;
    let sql = "SELECT service_account_id, project_id FROM service_account_projects \
               ORDER BY service_account_id, project_id";
    let projects = job.rows(sql, [], |row| Ok((row.get::<_, u64>(0)?, row.get(1)?)))?;
    // Both are in the order of accounts' numbers.
    let mut projects = projects.into_iter().peekable();
    for account in &mut accounts {
        while let Some((_, project)) = projects.next_if(|(of, _)| *of == account.id) {
            account.projects.push(project);
        }
    }
    accounts.sort_by(|a, b| a.username.cmp(&b.username));
    Ok(accounts)
}

/// Ties what is sealed to its account.
fn purpose(username: &str) -> String {
    format!("secret_sha256 of {username}")
}

fn sorted(projects: &[u64]) -> Vec<u64> {
    let mut projects = projects.to_vec();
    projects.sort_unstable();
    projects.dedup();
    projects
}

fn free_username() -> Result<String, StoreError> {
    let mut bytes = [0; 6];
    random(&mut bytes)?;
    Ok(format!("machine.{}.forebay-service-account", hex(&bytes)))
}
