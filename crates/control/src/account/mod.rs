//! Service accounts: machines that read, import, replace lookup tables, and act as people do. Each belongs to one
//! organisation, has a role there and in each of the projects it may use, and may be narrowed to some of what those let
//! it do.

mod acts;
mod scope;

use std::fmt;

use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::{
    AccountError, OrganisationRole, ProjectRole, StoreError,
    actor::role,
    control::{Changed, Job, only_if},
    keyring::{hex, random},
    project, rules,
};

pub use scope::Scope;
pub(crate) use scope::parted;

/// A service account to be created. What is left out is chosen.
#[derive(Clone, Default)]
pub struct NewAccount {
    /// Its name; left out, one such as `machine.1a2b3c.forebay-service-account` is chosen.
    pub username: Option<String>,
    /// Its secret, where one is brought along.
    pub secret: Option<String>,
    /// The projects it may use, and as what.
    pub projects: Vec<AccountProject>,
    /// When it stops working, in milliseconds since the epoch.
    pub expires_at_ms: Option<u64>,
    /// Whose it is to be; left out, the only organisation's there is.
    pub organisation: Option<u64>,
    /// What it is to be there; an admin or owner is one in every project, too.
    pub organisation_role: OrganisationRole,
    /// What it is narrowed to; left out, it may what its roles let it.
    pub scopes: Option<Vec<Scope>>,
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A project that a service account may use, and what it is there.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct AccountProject {
    /// The project's number.
    pub id: u64,
    /// What the account is there.
    pub role: ProjectRole,
}

impl From<u64> for AccountProject {
    /// As an admin: what every account was before it had a role.
    fn from(id: u64) -> AccountProject {
        AccountProject { id, role: ProjectRole::Admin }
    }
}

/// A service account just created, or its secret just replaced: the only time it is shown.
#[derive(Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CreatedAccount {
    /// Its name.
    pub username: String,
    /// Its secret.
    pub secret: String,
    /// What it is in its organisation.
    pub organisation_role: OrganisationRole,
    /// The projects it may use, and as what.
    pub projects: Vec<AccountProject>,
    /// What it is narrowed to, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Scope>>,
    /// When it stops working.
    pub expires_at_ms: Option<u64>,
    /// Until when the secret before is taken too, if it was just replaced and is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_ends_at_ms: Option<u64>,
}

impl fmt::Debug for CreatedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedAccount").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A service account as it is shown: no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Account {
    /// Its number.
    pub id: u64,
    /// The organisation it belongs to.
    pub organisation: u64,
    /// Its name.
    pub username: String,
    /// What it is in its organisation.
    pub organisation_role: OrganisationRole,
    /// The projects it may use, and as what.
    pub projects: Vec<AccountProject>,
    /// What it is narrowed to, if it is.
    pub scopes: Option<Vec<Scope>>,
    /// When it stops working.
    pub expires_at_ms: Option<u64>,
    /// When it was created.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
    /// When it was last used, by its present secret.
    pub last_used_ms: Option<u64>,
    /// In how many requests.
    pub uses: u64,
    /// Until when the secret before the present one is, or was, taken too.
    pub former_ends_at_ms: Option<u64>,
    /// When that was last used.
    pub former_last_used_ms: Option<u64>,
    /// In how many requests, since it was replaced.
    pub former_uses: u64,
}

/// An account to be written down: who it is, and what it may.
pub(crate) struct Row<'a> {
    pub(crate) username: &'a str,
    pub(crate) organisation: u64,
    pub(crate) organisation_role: OrganisationRole,
    pub(crate) projects: &'a [AccountProject],
    pub(crate) scopes: Option<&'a [Scope]>,
    pub(crate) expires_at_ms: Option<u64>,
}

/// Inserts an account that is recognised by the SHA-256 of its secret.
pub(crate) fn insert(job: &Job<'_>, row: &Row<'_>, secret_sha256: &[u8; 32]) -> Result<(), AccountError> {
    let Row { username, organisation, organisation_role, projects, scopes, expires_at_ms } = *row;
    let username_owned = || username.to_owned();
    if !rules::credential(username) {
        return Err(AccountError::UsernameInvalid { username: username_owned() });
    }
    let scopes = stored(username, scopes)?;
    let sql = "SELECT 1 FROM service_accounts WHERE username = ?1";
    if job.row(sql, [username], |_| Ok(()))?.is_some() {
        return Err(AccountError::UsernameTaken { username: username_owned() });
    }
    let keyring = &job.control.keyring;
    job.execute(
        "INSERT INTO service_accounts (organisation_id, username, secret_mac, secret_sha256_sealed, expires_at_ms, \
         created_at_ms, created_by, organisation_role, scopes, made_for) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
         coalesce((SELECT id FROM people WHERE 'person:' || id = ?7), \
         (SELECT made_for FROM service_accounts WHERE 'service_account:' || username = ?7)))",
        params![
            organisation,
            username,
            keyring.mac_of_sha256(secret_sha256).0,
            keyring.seal(&purpose(username), secret_sha256)?,
            expires_at_ms,
            job.now_ms,
            job.actor(),
            organisation_role.as_str(),
            scopes
        ],
    )?;
    let id = job.transaction.last_insert_rowid();
    grant(job, id, projects)?;
    let scopes = scopes.as_deref().unwrap_or("not narrowed");
    let detail = format!(
        "{organisation_role}, projects {}, {scopes}, expires {}",
        listed(projects),
        when_it_ends(expires_at_ms)
    );
    job.changed(Changed::ServiceAccount, username, "service_account.created", &detail)?;
    Ok(())
}

/// When an account expires, as the audit tells it.
pub(crate) fn when_it_ends(expires_at_ms: Option<u64>) -> String {
    expires_at_ms.map_or("never".to_owned(), crate::error::moment)
}

/// Scopes as the store has them; `None`: not narrowed.
pub(crate) fn stored(username: &str, scopes: Option<&[Scope]>) -> Result<Option<String>, AccountError> {
    match scopes {
        Some([]) => Err(AccountError::NoScopes { username: username.to_owned() }),
        scopes => Ok(scopes.map(scope::joined)),
    }
}

/// What an account may do by itself, now.
pub(crate) struct Standing {
    pub(crate) organisation: u64,
    pub(crate) role: OrganisationRole,
    pub(crate) narrowed_to: Option<Vec<Scope>>,
}

/// The standing of the account of that number; `None` if there is none, or it has expired.
pub(crate) fn standing(job: &Job<'_>, id: u64) -> Result<Option<Standing>, StoreError> {
    let sql = "SELECT organisation_id, organisation_role, scopes FROM service_accounts \
               WHERE id = ?1 AND (expires_at_ms IS NULL OR expires_at_ms > ?2)";
    let found = job.row(sql, params![id, job.now_ms], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
    })?;
    let Some((organisation, word, scopes)) = found else { return Ok(None) };
    Ok(Some(Standing { organisation, role: role(job, &word)?, narrowed_to: scopes_of(job, scopes)? }))
}

fn scopes_of(job: &Job<'_>, words: Option<String>) -> Result<Option<Vec<Scope>>, StoreError> {
    words.map(|words| parted(&words)).transpose().map_err(|error| job.damaged(error.to_string()))
}

/// What an account was given in a project.
pub(crate) fn project_role(
    job: &Job<'_>,
    project: u64,
    account: u64,
) -> Result<Option<ProjectRole>, StoreError> {
    let sql = "SELECT role FROM service_account_projects WHERE project_id = ?1 AND service_account_id = ?2";
    let word: Option<String> = job.row(sql, [project, account], |row| row.get(0))?;
    word.map(|word| role(job, &word)).transpose()
}

/// An account in `created_by` and the audit.
pub(crate) fn subject(job: &Job<'_>, id: u64) -> Result<String, AccountError> {
    let sql = "SELECT username FROM service_accounts WHERE id = ?1";
    let username: Option<String> = job.row(sql, [id], |row| row.get(0))?;
    let username = username.ok_or_else(|| AccountError::NotFound { username: format!("number {id}") })?;
    Ok(format!("service_account:{username}"))
}

/// Lets an account use `projects`, in the roles given. They are of its organisation.
pub(crate) fn grant(job: &Job<'_>, id: i64, projects: &[AccountProject]) -> Result<(), AccountError> {
    let sql = "SELECT organisation_id FROM service_accounts WHERE id = ?1";
    let organisation: Option<u64> = job.row(sql, [id], |row| row.get(0))?;
    for grant in projects {
        let found = project::info(job, grant.id)?;
        if Some(found.organisation) != organisation {
            return Err(AccountError::ProjectElsewhere {
                project: grant.id,
                organisation: found.organisation,
            });
        }
        let sql = "INSERT INTO service_account_projects (service_account_id, project_id, role) VALUES (?1, ?2, ?3) \
                   ON CONFLICT DO UPDATE SET role = excluded.role";
        job.execute(sql, params![id, grant.id, grant.role.as_str()])?;
    }
    Ok(())
}

/// Projects and roles as the audit has them.
fn listed(projects: &[AccountProject]) -> String {
    projects.iter().map(|project| format!("{} ({})", project.id, project.role)).collect::<Vec<_>>().join(" ")
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
    read(job, None)
}

/// The account of that name: whatever else there is, is not read.
pub(crate) fn account(job: &Job<'_>, username: &str) -> Result<Option<Account>, StoreError> {
    Ok(read(job, Some(username))?.pop())
}

/// One account by its name, or all.
fn read(job: &Job<'_>, only: Option<&str>) -> Result<Vec<Account>, StoreError> {
    let condition = only_if(only, "username");
    let rows = job.rows(
        &format!(
            "SELECT id, username, expires_at_ms, created_at_ms, created_by, last_used_ms, organisation_id, uses, \
             former_ends_at_ms, former_last_used_ms, former_uses, organisation_role, scopes \
             FROM service_accounts WHERE {condition} ORDER BY id"
        ),
        [only],
        |row| {
            let words = (row.get::<_, String>(11)?, row.get::<_, Option<String>>(12)?);
            let account = Account {
                id: row.get(0)?,
                username: row.get(1)?,
                organisation_role: OrganisationRole::Member,
                projects: Vec::new(),
                scopes: None,
                expires_at_ms: row.get(2)?,
                created_at_ms: row.get(3)?,
                created_by: row.get(4)?,
                last_used_ms: row.get(5)?,
                organisation: row.get(6)?,
                uses: row.get(7)?,
                former_ends_at_ms: row.get(8)?,
                former_last_used_ms: row.get(9)?,
                former_uses: row.get(10)?,
            };
            Ok((account, words))
        },
    )?;
    let accounts = rows.into_iter().map(|(account, (word, scopes))| {
        Ok(Account { organisation_role: role(job, &word)?, scopes: scopes_of(job, scopes)?, ..account })
    });
    let mut accounts = accounts.collect::<Result<Vec<_>, StoreError>>()?;
    let id = only.map(|_| accounts.first().map(|account| account.id));
    let condition = only_if(id, "service_account_id");
    let sql = format!(
        "SELECT service_account_id, project_id, role FROM service_account_projects WHERE {condition} \
         ORDER BY service_account_id, project_id"
    );
    let projects = job.rows(&sql, [id.flatten()], |row| {
        Ok((row.get::<_, u64>(0)?, row.get(1)?, row.get::<_, String>(2)?))
    })?;
    // Both are in the order of accounts' numbers.
    let mut projects = projects.into_iter().peekable();
    for account in &mut accounts {
        while let Some((_, id, word)) = projects.next_if(|(of, ..)| *of == account.id) {
            account.projects.push(AccountProject { id, role: role(job, &word)? });
        }
    }
    accounts.sort_by(|a, b| a.username.cmp(&b.username));
    Ok(accounts)
}

/// Ties what is sealed to its account.
fn purpose(username: &str) -> String {
    format!("secret_sha256 of {username}")
}

/// In order of number, each once: the last one said counts.
pub(crate) fn sorted(projects: &[AccountProject]) -> Vec<AccountProject> {
    let each: std::collections::BTreeMap<_, _> =
        projects.iter().map(|project| (project.id, *project)).collect();
    each.into_values().collect()
}

fn free_username() -> Result<String, StoreError> {
    let mut bytes = [0; 6];
    random(&mut bytes)?;
    Ok(format!("machine.{}.forebay-service-account", hex(&bytes)))
}
