//! Carrying a registry to the next node: projects with their credentials, and service accounts.
//!
//! The document is JSON for people and programs. It holds tokens, API keys and API secrets **in plain**,
//! as each node keeps them under a key of its own: treat the file like a password. Of service accounts,
//! whose secrets are shown once, it holds the SHA-256, by which the next node recognises them.

use std::{collections::BTreeMap, fmt};

use forebay_route::{ClientAddress, IdMerge};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::{
    AccountProject, Control, CreatedProject, OrganisationRole, ProjectError, ProjectInfo, ProjectRole, Scope,
    TokenInfo, TransferError, account, accounting,
    control::{Changed, Job},
    keyring::{hex, new_credential, unhex},
    project::{self, API_KEY, API_SECRET},
};

/// An import may hold so much of the store in memory, at 1 KiB a project.
const IMPORT_CACHE_KIB_MAX: i64 = 256 << 10;

const WARNING: &str =
    "holds API keys and secrets in plain: keep it like a password, delete it after the import";

/// A registry on its way to another node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryDocument {
    /// The version of the document: 1.
    pub forebay_registry: u32,
    /// For whoever opens it.
    #[serde(default)]
    pub warning: String,
    /// The projects.
    #[serde(default)]
    pub projects: Vec<ProjectDocument>,
    /// The service accounts.
    #[serde(default)]
    pub service_accounts: Vec<AccountDocument>,
}

/// A project on its way to another node. Only `id`, `name` and `tokens` must be there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectDocument {
    /// Its number.
    pub id: u64,
    /// Tells it apart from other projects of that number; left out, a project of that number which has one
    /// of its tokens is taken to be it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its name.
    pub name: String,
    /// Its tokens, the one shown for it first.
    pub tokens: Vec<String>,
    /// Its API key, in plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// Its API secret, in plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_secret: Option<String>,
    /// Whether it accepts events.
    #[serde(default = "yes")]
    pub accepts_events: bool,
    /// What it keeps of senders' addresses: `drop`, `mask` or `keep`.
    #[serde(default = "keep")]
    pub client_address: String,
    /// The origins that browsers may send from; none: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// The time zone that its times are shown in.
    #[serde(default = "utc")]
    pub timezone: String,
    /// How it resolves identities.
    #[serde(default)]
    pub id_merge: IdMergeDocument,
    /// Its own retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at_ms: Option<u64>,
}

/// [`IdMerge`](forebay_route::IdMerge) in a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdMergeDocument {
    /// `original`
    #[default]
    Original,
    /// `simplified`
    Simplified,
}

/// A service account on its way to another node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountDocument {
    /// Its name.
    pub username: String,
    /// The SHA-256 of its secret, in hexadecimal.
    pub secret_sha256: String,
    /// The projects it may use.
    pub projects: Vec<u64>,
    /// What it is there, where it is no admin.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<u64, ProjectRole>,
    /// What it is in its organisation, where it is more than a member.
    #[serde(default, skip_serializing_if = "is_member")]
    pub organisation_role: OrganisationRole,
    /// What it is narrowed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Scope>>,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_member(role: &OrganisationRole) -> bool {
    *role == OrganisationRole::Member
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Projects that were not here before.
    pub projects_created: usize,
    /// Projects that were here and are now as in the document.
    pub projects_changed: usize,
    /// Projects that were as in the document already.
    pub projects_unchanged: usize,
    /// Service accounts that were not here before.
    pub service_accounts_created: usize,
    /// Service accounts that were here and are now as in the document.
    pub service_accounts_changed: usize,
    /// Service accounts that were as in the document already.
    pub service_accounts_unchanged: usize,
}

fn yes() -> bool {
    true
}

fn keep() -> String {
    ClientAddress::Keep.as_str().to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

impl RegistryDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// [`TransferError::Malformed`] with line and column, [`TransferError::Version`].
    pub fn parse(json: &[u8]) -> Result<RegistryDocument, TransferError> {
        let document: RegistryDocument =
            serde_json::from_slice(json).map_err(|source| TransferError::Malformed { source })?;
        match document.forebay_registry {
            1 => Ok(document),
            found => Err(TransferError::Version { found }),
        }
    }
}

impl fmt::Debug for RegistryDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegistryDocument { projects, service_accounts, .. } = self;
        f.debug_struct("RegistryDocument")
            .field("projects", projects)
            .field("accounts", service_accounts)
            .finish()
    }
}

impl fmt::Debug for ProjectDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectDocument")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AccountDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountDocument").field("username", &self.username).finish_non_exhaustive()
    }
}

impl From<IdMerge> for IdMergeDocument {
    fn from(merge: IdMerge) -> IdMergeDocument {
        match merge {
            IdMerge::Original => IdMergeDocument::Original,
            IdMerge::Simplified => IdMergeDocument::Simplified,
        }
    }
}

impl From<IdMergeDocument> for IdMerge {
    fn from(merge: IdMergeDocument) -> IdMerge {
        match merge {
            IdMergeDocument::Original => IdMerge::Original,
            IdMergeDocument::Simplified => IdMerge::Simplified,
        }
    }
}

impl Control {
    /// The registry; or, where `projects` names some, those and the service accounts that may use
    /// nothing else. It holds credentials in plain; that it was made is audited.
    ///
    /// # Errors
    /// [`TransferError`].
    pub fn export(&self, projects: &[u64]) -> Result<RegistryDocument, TransferError> {
        self.change(|job| {
            let infos = if projects.is_empty() {
                project::infos(job, None)?
            } else {
                projects.iter().map(|&id| project::info(job, id)).collect::<Result<_, _>>()?
            };
            let wanted = |id: &u64| projects.is_empty() || projects.contains(id);
            let mut accounts = account::accounts(job)?;
            accounts.retain(|account| account.projects.iter().all(|project| wanted(&project.id)));
            let document = RegistryDocument {
                forebay_registry: 1,
                warning: WARNING.to_owned(),
                projects: infos
                    .into_iter()
                    .map(|info| export_project(job, info))
                    .collect::<Result<_, _>>()?,
                service_accounts: accounts
                    .into_iter()
                    .map(|account| {
                        Ok(AccountDocument {
                            secret_sha256: hex(&account::secret_sha256(job, &account.username)?),
                            username: account.username,
                            projects: account.projects.iter().map(|project| project.id).collect(),
                            roles: roles_of(&account.projects),
                            organisation_role: account.organisation_role,
                            scopes: account.scopes,
                            expires_at_ms: account.expires_at_ms,
                        })
                    })
                    .collect::<Result<_, TransferError>>()?,
            };
            for exported in &document.projects {
                job.audit("project.exported", &exported.id.to_string(), "with its API key and secret")?;
            }
            Ok(document)
        })
    }

    /// Makes projects and accounts here what they are in `document`; others stay. All of it or nothing.
    /// Importing the same document twice changes nothing the second time.
    ///
    /// # Errors
    /// [`TransferError`].
    pub fn import(&self, document: &RegistryDocument) -> Result<ImportReport, TransferError> {
        // Digests and tokens are spread over their indexes: each project touches pages of its own.
        let projects = i64::try_from(document.projects.len()).unwrap_or(i64::MAX);
        self.change_much(projects.min(IMPORT_CACHE_KIB_MAX), |job| {
            let mut report = ImportReport::default();
            for project in &document.projects {
                *(match import_project(job, project)? {
                    Imported::Created => &mut report.projects_created,
                    Imported::Changed => &mut report.projects_changed,
                    Imported::Unchanged => &mut report.projects_unchanged,
                }) += 1;
            }
            for account in &document.service_accounts {
                *(match import_account(job, account)? {
                    Imported::Created => &mut report.service_accounts_created,
                    Imported::Changed => &mut report.service_accounts_changed,
                    Imported::Unchanged => &mut report.service_accounts_unchanged,
                }) += 1;
            }
            Ok(report)
        })
    }
}

enum Imported {
    Created,
    Changed,
    Unchanged,
}

impl Imported {
    fn changed(changed: bool) -> Imported {
        if changed { Imported::Changed } else { Imported::Unchanged }
    }
}

fn export_project(job: &Job<'_>, info: ProjectInfo) -> Result<ProjectDocument, TransferError> {
    let uid = project::uid(job, info.id)?;
    Ok(ProjectDocument {
        id: info.id,
        api_key: Some(project::unseal(job, info.id, &uid, API_KEY)?),
        api_secret: Some(project::unseal(job, info.id, &uid, API_SECRET)?),
        uid: Some(uid),
        name: info.name,
        tokens: staying(&info.tokens).map(str::to_owned).collect(),
        accepts_events: info.accepts_events,
        client_address: info.client_address.to_owned(),
        allowed_origins: info.allowed_origins,
        timezone: info.timezone,
        id_merge: IdMerge::parse(info.id_merge).unwrap_or_default().into(),
        retention_days: info.retention_days,
        created_at_ms: Some(info.created_at_ms),
    })
}

fn import_project(job: &Job<'_>, wanted: &ProjectDocument) -> Result<Imported, TransferError> {
    let id = project::forebay_id(wanted.id)?;
    let Some(first_token) = wanted.tokens.first() else {
        return Err(ProjectError::LastToken { id }.into());
    };
    let here = match project::info(job, wanted.id) {
        Ok(here) => Some(here),
        Err(ProjectError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let or_new = |given: &Option<String>| given.clone().map_or_else(new_credential, Ok);
    let Some(old) = here else {
        let new = CreatedProject {
            id: wanted.id,
            name: wanted.name.clone(),
            token: first_token.clone(),
            api_key: or_new(&wanted.api_key)?,
            api_secret: or_new(&wanted.api_secret)?,
        };
        let uid = wanted.uid.clone().map_or_else(project::new_uid, Ok)?;
        let organisation = project::first_organisation(job)?;
        project::insert(job, organisation, &new, &uid, wanted.created_at_ms.unwrap_or(job.now_ms))?;
        for token in &wanted.tokens[1..] {
            project::insert_token(job, wanted.id, token)?;
        }
        let detail = format!("name {:?}", new.name);
        job.changed(Changed::Project, &wanted.id.to_string(), "project.imported", &detail)?;
        if !is_by_default(wanted) {
            let old = project::info(job, wanted.id)?;
            project::update(job, &old, &settings_of(wanted, &old)?)?;
        }
        return Ok(Imported::Created);
    };
    let uid = project::uid(job, wanted.id)?;
    let same = match &wanted.uid {
        Some(there) => *there == uid,
        None => old.tokens.iter().any(|token| wanted.tokens.contains(&token.token)),
    };
    if !same {
        return Err(TransferError::OtherProject { id, here: old.name, there: wanted.name.clone() });
    }
    let mut changed = import_tokens(job, &old, wanted)?;
    for (which, plain) in [(API_KEY, &wanted.api_key), (API_SECRET, &wanted.api_secret)] {
        if let Some(plain) = plain
            && project::unseal(job, wanted.id, &uid, which)? != *plain
        {
            project::set_credential(job, wanted.id, &uid, which, plain)?;
            changed = true;
        }
    }
    if changed {
        job.changed(Changed::Project, &wanted.id.to_string(), "project.imported", "tokens or credentials")?;
    }
    let updated = project::update(job, &old, &settings_of(wanted, &old)?)?;
    Ok(Imported::changed(changed || updated))
}

/// Has it the settings that a new project has?
fn is_by_default(wanted: &ProjectDocument) -> bool {
    wanted.accepts_events
        && wanted.client_address == keep()
        && wanted.allowed_origins.is_empty()
        && wanted.timezone == utc()
        && wanted.id_merge == IdMergeDocument::default()
        && wanted.retention_days.is_none()
}

fn settings_of(wanted: &ProjectDocument, old: &ProjectInfo) -> Result<ProjectInfo, TransferError> {
    let client_address = ClientAddress::parse(&wanted.client_address);
    let client_address = client_address
        .ok_or_else(|| TransferError::ClientAddressUnknown { given: wanted.client_address.clone() })?;
    Ok(ProjectInfo {
        name: wanted.name.clone(),
        accepts_events: wanted.accepts_events,
        client_address: client_address.as_str(),
        allowed_origins: wanted.allowed_origins.clone(),
        timezone: wanted.timezone.clone(),
        id_merge: IdMerge::from(wanted.id_merge).as_str(),
        retention_days: wanted.retention_days,
        ..old.clone()
    })
}

/// The tokens that are not retired.
fn staying(tokens: &[TokenInfo]) -> impl Iterator<Item = &str> {
    tokens.iter().filter(|token| token.ends_at_ms.is_none()).map(|token| token.token.as_str())
}

/// The roles that are not what a document without any means.
fn roles_of(projects: &[AccountProject]) -> BTreeMap<u64, ProjectRole> {
    let others = projects.iter().filter(|project| **project != AccountProject::from(project.id));
    others.map(|project| (project.id, project.role)).collect()
}

/// Makes a project's tokens those wanted, in that order.
fn import_tokens(job: &Job<'_>, old: &ProjectInfo, wanted: &ProjectDocument) -> Result<bool, TransferError> {
    if staying(&old.tokens).eq(wanted.tokens.iter().map(String::as_str)) {
        return Ok(false);
    }
    accounting::settle(job, old.id)?;
    // What is retired here stays so; what the other node still has, sends again.
    for token in old.tokens.iter().filter(|token| token.ends_at_ms.is_none()) {
        if !wanted.tokens.contains(&token.token) {
            job.execute("DELETE FROM tokens WHERE token = ?1", [&token.token])?;
        }
    }
    for token in &wanted.tokens {
        if !old.tokens.iter().any(|known| known.token == *token) {
            project::insert_token(job, old.id, token)?;
        }
    }
    // In two steps, past the highest and then back: positions are unique at every moment.
    let sql = "UPDATE tokens SET position = position + ?2 WHERE project_id = ?1";
    job.execute(sql, params![old.id, 1_i64 << 32])?;
    for (position, token) in (1_i64..).zip(&wanted.tokens) {
        let sql = "UPDATE tokens SET position = ?2, ends_at_ms = NULL WHERE token = ?1";
        job.execute(sql, params![token, position])?;
    }
    Ok(true)
}

fn import_account(job: &Job<'_>, wanted: &AccountDocument) -> Result<Imported, TransferError> {
    let username = &wanted.username;
    let digest = unhex(&wanted.secret_sha256)
        .ok_or_else(|| TransferError::DigestInvalid { username: username.clone() })?;
    let grants = wanted.projects.iter().map(|id| match wanted.roles.get(id) {
        Some(&role) => AccountProject { id: *id, role },
        None => AccountProject::from(*id),
    });
    let projects = account::sorted(&grants.collect::<Vec<_>>());
    let here = account::account(job, username)?;
    let Some(old) = here else {
        let organisation = match projects.first() {
            Some(project) => project::info(job, project.id)?.organisation,
            None => project::first_organisation(job)?,
        };
        let row = account::Row {
            username,
            organisation,
            organisation_role: wanted.organisation_role,
            projects: &projects,
            scopes: wanted.scopes.as_deref(),
            expires_at_ms: wanted.expires_at_ms,
        };
        account::insert(job, &row, &digest)?;
        return Ok(Imported::Created);
    };
    if account::secret_sha256(job, username)? != digest {
        return Err(TransferError::OtherAccount { username: username.clone() });
    }
    let same_reach = old.organisation_role == wanted.organisation_role && old.scopes == wanted.scopes;
    if same_reach && old.projects == projects && old.expires_at_ms == wanted.expires_at_ms {
        return Ok(Imported::Unchanged);
    }
    let id = i64::try_from(old.id).map_err(|_| job.damaged(format!("service account number {}", old.id)))?;
    job.execute("DELETE FROM service_account_projects WHERE service_account_id = ?1", [id])?;
    account::grant(job, id, &projects)?;
    let scopes = account::stored(username, wanted.scopes.as_deref())?;
    let sql =
        "UPDATE service_accounts SET expires_at_ms = ?2, organisation_role = ?3, scopes = ?4 WHERE id = ?1";
    job.execute(sql, params![id, wanted.expires_at_ms, wanted.organisation_role.as_str(), scopes])?;
    let detail = format!("projects {:?}, expires {:?}", wanted.projects, wanted.expires_at_ms);
    job.changed(Changed::ServiceAccount, username, "service_account.imported", &detail)?;
    Ok(Imported::Changed)
}
