//! How a running server learns what changed.
//!
//! A [`Watch`] has a connection of its own. Asking costs one `PRAGMA data_version`; only when some
//! process wrote does it look at the `changes` table.
//!
//! # Invariants
//! * A token that is retired and a credential that was replaced are told of until they end, by the store's clock, and not
//!   after: when one ends, its project is told anew although nobody wrote.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use forebay_record::ProjectId;
use forebay_route::{
    Change, ClientAddress, CredentialKind, FormerCredential, IdMerge, Mac, ProjectSettings, ServiceAccount,
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::{
    Control, Scope, StoreError,
    account::parted,
    control::{Changed, only_if},
};

/// Everything that routing knows, and the change it is as of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The projects.
    pub projects: Vec<ProjectSettings>,
    /// The service accounts.
    pub accounts: Vec<ServiceAccount>,
    /// The last change in it.
    pub last_change: i64,
}

/// What changed since some change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These, in order, up to the change numbered `last_change`.
    Some {
        /// Each thing once, as it is now.
        changes: Vec<Change>,
        /// Where to continue.
        last_change: i64,
    },
    /// More than the store remembers: read everything again.
    TooMany,
}

/// What a [`Watch`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Nothing new.
    Nothing,
    /// These changes, to be applied in order.
    Changes(Vec<Change>),
    /// Everything, because too much changed.
    Everything(Snapshot),
}

/// A running server's eye on the store.
pub struct Watch {
    connection: Connection,
    path: PathBuf,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    data_version: Option<i64>,
    last_change: i64,
    /// As of when the store was last read.
    read_ms: u64,
    /// When something ends next that was told of.
    next_end_ms: Option<u64>,
}

impl Control {
    /// Everything that routing knows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.read(|job| snapshot(&job.transaction, job.now_ms).map_err(|e| job.wrap(e)))
    }

    /// One project as routing knows it; `None` if there is none. Costs the same however many there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn project_settings(&self, id: ProjectId) -> Result<Option<ProjectSettings>, StoreError> {
        self.read(|job| {
            let found = projects(&job.transaction, Some(id), job.now_ms);
            found.map(|mut found| found.pop()).map_err(|e| job.wrap(e))
        })
    }

    /// What changed after the change numbered `id`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn changes_since(&self, id: i64) -> Result<Changes, StoreError> {
        self.read(|job| {
            let found = changes_since(&job.transaction, id, job.now_ms, job.now_ms);
            found.map_err(|e| job.wrap(e))
        })
    }

    /// A number that changes when another connection wrote to the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn data_version(&self) -> Result<i64, StoreError> {
        data_version(&self.connection()).map_err(|e| StoreError::of(&self.path, e))
    }

    /// Everything that routing knows, and a watch for what changes after it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn watch(&self) -> Result<(Snapshot, Watch), StoreError> {
        let mut watch = Watch {
            connection: self.connect()?,
            path: self.path.clone(),
            clock: Arc::clone(&self.options.clock),
            data_version: None,
            last_change: 0,
            read_ms: 0,
            next_end_ms: None,
        };
        let snapshot = watch.everything()?;
        Ok((snapshot, watch))
    }
}

impl Watch {
    /// What changed since the last poll, by whichever process or connection. Call it several times a
    /// second. After an error nothing is skipped: the next poll looks again from the same place.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn poll(&mut self) -> Result<Poll, StoreError> {
        let wrap = |e| StoreError::of(&self.path, e);
        let data_version = data_version(&self.connection).map_err(wrap)?;
        let now_ms = (self.clock)();
        let something_ended = self.next_end_ms.is_some_and(|end| end <= now_ms);
        if self.data_version == Some(data_version) && !something_ended {
            return Ok(Poll::Nothing);
        }
        let transaction = self.connection.transaction().map_err(wrap)?;
        let found = changes_since(&transaction, self.last_change, self.read_ms, now_ms).map_err(wrap)?;
        let next_end_ms = next_end(&transaction, now_ms).map_err(wrap)?;
        drop(transaction);
        (self.read_ms, self.next_end_ms) = (now_ms, next_end_ms);
        let polled = match found {
            Changes::Some { changes, last_change } => {
                self.last_change = last_change;
                if changes.is_empty() { Poll::Nothing } else { Poll::Changes(changes) }
            }
            Changes::TooMany => Poll::Everything(self.everything()?),
        };
        // Asked for before the changes were read: a write in between shows at the next poll.
        self.data_version = Some(data_version);
        Ok(polled)
    }

    fn everything(&mut self) -> Result<Snapshot, StoreError> {
        let wrap = |e| StoreError::of(&self.path, e);
        let now_ms = (self.clock)();
        let transaction = self.connection.transaction().map_err(wrap)?;
        let snapshot = snapshot(&transaction, now_ms).map_err(wrap)?;
        self.next_end_ms = next_end(&transaction, now_ms).map_err(wrap)?;
        self.read_ms = now_ms;
        self.last_change = snapshot.last_change;
        Ok(snapshot)
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// When the next token or former credential ends after `now_ms`.
fn next_end(transaction: &Transaction<'_>, now_ms: u64) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT min(ends) FROM (SELECT min(ends_at_ms) AS ends FROM tokens WHERE ends_at_ms > ?1 \
               UNION ALL SELECT min(ends_at_ms) FROM former_credentials WHERE ends_at_ms > ?1)";
    transaction.prepare_cached(sql)?.query_row([now_ms], |row| row.get(0))
}

fn snapshot(transaction: &Transaction<'_>, now_ms: u64) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        projects: projects(transaction, None, now_ms)?,
        accounts: service_accounts(transaction, None)?,
        last_change: last_change(transaction)?,
    })
}

/// The number of the last change ever made, forgotten ones included.
fn last_change(transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'changes'";
    Ok(transaction.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// What was changed after `id`, and what ended after `from_ms` and up to `now_ms`.
fn changes_since(
    transaction: &Transaction<'_>,
    id: i64,
    from_ms: u64,
    now_ms: u64,
) -> rusqlite::Result<Changes> {
    let last_change = last_change(transaction)?;
    let mut statement = transaction.prepare_cached("SELECT what, key FROM changes WHERE id > ?1")?;
    let rows = statement.query_map([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut count = 0;
    // Each thing once: what counts is how it is now.
    let mut touched = BTreeSet::new();
    for row in rows {
        touched.insert(row?);
        count += 1;
    }
    // Numbers have no gaps but where the oldest were forgotten. A number from the future belongs to
    // another store, or to this one before it was restored.
    if count != last_change - id {
        return Ok(Changes::TooMany);
    }
    let mut statement = transaction.prepare_cached(
        "SELECT project_id FROM tokens WHERE ends_at_ms > ?1 AND ends_at_ms <= ?2 \
         UNION SELECT project_id FROM former_credentials WHERE ends_at_ms > ?1 AND ends_at_ms <= ?2",
    )?;
    for project in statement.query_map([from_ms, now_ms], |row| row.get::<_, u64>(0))? {
        touched.insert((Changed::Project.as_str().to_owned(), project?.to_string()));
    }
    let mut changes = Vec::new();
    for (what, key) in touched {
        if what == Changed::Project.as_str() {
            let Some(id) = key.parse().ok().and_then(ProjectId::new) else { continue };
            let found = projects(transaction, Some(id), now_ms)?.pop();
            changes.push(found.map_or(Change::ProjectRemoved(id), Change::Project));
        } else if what == Changed::ServiceAccount.as_str() {
            let found = service_accounts(transaction, Some(&key))?.pop();
            changes.push(found.map_or(Change::ServiceAccountRemoved(key.into()), Change::ServiceAccount));
        }
        // Lookup tables are asked for when they are needed: routing does not know them.
    }
    Ok(Changes::Some { changes, last_change })
}

fn projects(
    transaction: &Transaction<'_>,
    only: Option<ProjectId>,
    now_ms: u64,
) -> rusqlite::Result<Vec<ProjectSettings>> {
    let only = only.map(ProjectId::as_u64);
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT id, name, api_key_mac, api_secret_mac, accepts_events, client_address, id_merge, retention_days, \
         created_at_ms, allowed_origins, organisation_id FROM projects WHERE {} AND deleted_at_ms IS NULL ORDER BY id",
        only_if(only, "id"),
    ))?;
    let rows = statement.query_map([only], |row| {
        let Some(id) = ProjectId::new(row.get(0)?) else { return Ok(None) };
        Ok(Some(ProjectSettings {
            id,
            name: row.get::<_, String>(1)?.into(),
            tokens: Vec::new(),
            api_key_mac: Some(Mac(row.get(2)?)),
            api_secret_mac: Some(Mac(row.get(3)?)),
            accepts_events: row.get(4)?,
            client_address: ClientAddress::parse(&row.get::<_, String>(5)?).unwrap_or(ClientAddress::Drop),
            allowed_origins: row.get::<_, String>(9)?.lines().map(Box::from).collect(),
            former_credentials: Box::default(),
            id_merge: IdMerge::parse(&row.get::<_, String>(6)?).unwrap_or_default(),
            retention_days: row.get(7)?,
            created_at_ms: row.get(8)?,
            organisation: row.get(10)?,
        }))
    })?;
    let mut projects = rows.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT project_id, position, token FROM tokens WHERE {} AND (ends_at_ms IS NULL OR ends_at_ms > ?2)",
        only_if(only, "project_id"),
    ))?;
    let tokens = statement.query_map(params![only, now_ms], |row| {
        let token: Box<[u8]> = row.get::<_, String>(2)?.into_bytes().into();
        Ok((row.get::<_, u64>(0)?, row.get::<_, i64>(1)?, token))
    })?;
    // Put in order here: SQLite would look each token up by itself, which took half of a start with a million of them.
    let mut tokens = tokens.collect::<rusqlite::Result<Vec<_>>>()?;
    tokens.sort_unstable_by_key(|&(project, position, _)| (project, position));
    let mut tokens = tokens.into_iter().peekable();
    for project in &mut projects {
        while let Some((of, _, token)) = tokens.next_if(|(of, ..)| *of <= project.id.as_u64()) {
            // Those of deleted projects are skipped.
            if of == project.id.as_u64() {
                // Most have one, and a million of them stay in memory.
                project.tokens.reserve_exact(1);
                project.tokens.push(token);
            }
        }
    }
    add_former(transaction, only, now_ms, &mut projects)?;
    Ok(projects)
}

/// Adds the credentials that were replaced and are still taken.
fn add_former(
    transaction: &Transaction<'_>,
    only: Option<u64>,
    now_ms: u64,
    projects: &mut [ProjectSettings],
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT project_id, kind, mac FROM former_credentials WHERE {} AND ends_at_ms > ?2 ORDER BY project_id",
        only_if(only, "project_id"),
    ))?;
    let rows = statement.query_map(params![only, now_ms], |row| {
        let kind = match row.get::<_, String>(1)?.as_str() {
            "api_key" => CredentialKind::ApiKey,
            _ => CredentialKind::ApiSecret,
        };
        Ok((row.get::<_, u64>(0)?, FormerCredential { mac: Mac(row.get(2)?), kind }))
    })?;
    for row in rows {
        let (of, credential) = row?;
        if let Ok(at) = projects.binary_search_by_key(&of, |project| project.id.as_u64()) {
            let project = &mut projects[at];
            let mut former = std::mem::take(&mut project.former_credentials).into_vec();
            former.push(credential);
            project.former_credentials = former.into();
        }
    }
    Ok(())
}

fn service_accounts(
    transaction: &Transaction<'_>,
    only: Option<&str>,
) -> rusqlite::Result<Vec<ServiceAccount>> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT id, username, secret_mac, expires_at_ms, former_mac, former_ends_at_ms, organisation_id, \
         organisation_role IN ('admin', 'owner'), scopes FROM service_accounts WHERE {}",
        only_if(only, "username"),
    ))?;
    let mut of_account = transaction.prepare_cached(
        "SELECT project_id, role <> 'consumer', role IN ('admin', 'owner') FROM service_account_projects \
         WHERE service_account_id = ?1 ORDER BY project_id",
    )?;
    let rows = statement.query_map([only], |row| {
        // What is no scope at all leaves nothing.
        let scopes: Option<String> = row.get(8)?;
        let scopes = scopes.map(|words| parted(&words).unwrap_or_default());
        let scoped = |scope| scopes.as_ref().is_none_or(|scopes| scopes.contains(&scope));
        let account = ServiceAccount {
            username: row.get::<_, String>(1)?.into(),
            secret_mac: Mac(row.get(2)?),
            projects: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            administers: row.get::<_, bool>(7)?.then_some(row.get(6)?),
            scoped_to_read: scoped(Scope::Export),
            scoped_to_write: scoped(Scope::Import),
            expires_at_ms: row.get(3)?,
            former_secret: row.get::<_, Option<[u8; 32]>>(4)?.map(Mac).zip(row.get(5)?),
        };
        Ok((row.get::<_, i64>(0)?, account))
    })?;
    rows.map(|row| {
        let (id, mut account) = row?;
        for project in
            of_account.query_map([id], |row| Ok((row.get::<_, u64>(0)?, row.get(1)?, row.get(2)?)))?
        {
            let (project, reads, writes) = project?;
            let Some(project) = ProjectId::new(project) else { continue };
            account.projects.push(project);
            if reads {
                account.reads.push(project);
            }
            if writes {
                account.writes.push(project);
            }
        }
        Ok(account)
    })
    .collect()
}
