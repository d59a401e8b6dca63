//! Projects as rows: the checks before each change, so that an error can say which rule was broken, and
//! the statements. The schema holds the same rules once more.

use std::fmt;

use forebay_record::ProjectId;
use forebay_route::{ClientAddress, IdMerge};
use rusqlite::params;

use super::{CreatedProject, DeletedProject, FormerInfo, NewProject, ProjectInfo, TokenInfo};
use crate::{
    ProjectError, StoreError, accounting,
    control::{Changed, Job, only_if},
    keyring::{hex, new_credential, random},
    organisation, rules,
};

/// A credential kept as a digest and sealed: its columns, and its name for people.
#[derive(Clone, Copy)]
pub(crate) struct Sealed {
    pub(super) column: &'static str,
    what: &'static str,
}

pub(crate) const API_KEY: Sealed = Sealed { column: "api_key", what: "API key" };
pub(crate) const API_SECRET: Sealed = Sealed { column: "api_secret", what: "API secret" };

/// A checked number.
pub(crate) fn forebay_id(id: u64) -> Result<ProjectId, ProjectError> {
    rules::project_id(id).ok_or(ProjectError::IdInvalid { id })
}

pub(super) fn create(
    job: &Job<'_>,
    organisation: u64,
    new: &NewProject,
) -> Result<CreatedProject, ProjectError> {
    let or_new = |given: &Option<String>| given.clone().map_or_else(new_credential, Ok);
    let created = CreatedProject {
        id: new.id.map_or_else(|| free_id(job), Ok)?,
        name: new.name.clone(),
        token: or_new(&new.token)?,
        api_key: or_new(&new.api_key)?,
        api_secret: or_new(&new.api_secret)?,
    };
    insert(job, organisation, &created, &new_uid()?, job.now_ms)?;
    if new.id_merge != IdMerge::default() {
        job.execute(
            "UPDATE projects SET id_merge = ?2 WHERE id = ?1",
            params![created.id, new.id_merge.as_str()],
        )?;
    }
    if let Some(name) = &new.timezone {
        if !rules::timezone(name) {
            return Err(ProjectError::TimezoneUnknown { name: name.clone() });
        }
        job.execute("UPDATE projects SET timezone = ?2 WHERE id = ?1", params![created.id, name])?;
    }
    let detail = format!("name {:?}, token {}", created.name, created.token);
    job.changed(Changed::Project, &created.id.to_string(), "project.created", &detail)?;
    Ok(created)
}

/// Inserts a project with one token, after checking every rule so that the error can say which.
pub(crate) fn insert(
    job: &Job<'_>,
    organisation: u64,
    new: &CreatedProject,
    uid: &str,
    created_at_ms: u64,
) -> Result<(), ProjectError> {
    let id = forebay_id(new.id)?;
    check_name(&new.name)?;
    if let Some(name) = name_of(job, new.id)? {
        return Err(ProjectError::IdTaken { id, name });
    }
    let [key, secret] = [(API_KEY, &new.api_key), (API_SECRET, &new.api_secret)]
        .map(|(which, plain)| keep_credential(job, new.id, uid, which, plain));
    let ((key_mac, key_sealed), (secret_mac, secret_sealed)) = (key?, secret?);
    job.execute(
        "INSERT INTO projects (id, uid, organisation_id, name, api_key_mac, api_key_sealed, api_secret_mac, \
         api_secret_sealed, created_at_ms, created_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            new.id,
            uid,
            organisation,
            new.name,
            key_mac,
            key_sealed,
            secret_mac,
            secret_sealed,
            created_at_ms,
            job.actor()
        ],
    )?;
    insert_token(job, new.id, &new.token)
}

/// Adds a token that no project has.
pub(crate) fn insert_token(job: &Job<'_>, id: u64, token: &str) -> Result<(), ProjectError> {
    if !rules::token(token) {
        return Err(ProjectError::TokenInvalid { token: token.to_owned() });
    }
    let sql = "SELECT p.id, p.name FROM tokens t JOIN projects p ON p.id = t.project_id WHERE t.token = ?1";
    if let Some((owner, name)) = job.row(sql, [token], |row| Ok((row.get(0)?, row.get(1)?)))? {
        return Err(ProjectError::TokenTaken { token: token.to_owned(), id: forebay_id(owner)?, name });
    }
    job.execute(
        "INSERT INTO tokens (token, project_id, position, created_at_ms, created_by) VALUES (?1, ?2, \
         (SELECT coalesce(max(position), 0) + 1 FROM tokens WHERE project_id = ?2), ?3, ?4)",
        params![token, id, job.now_ms, job.actor()],
    )?;
    // Its events are the project's from now on.
    job.execute("DELETE FROM unknown_tokens WHERE token = CAST(?1 AS BLOB)", [token])?;
    Ok(())
}

/// Replaces a credential of a project.
pub(crate) fn set_credential(
    job: &Job<'_>,
    id: u64,
    uid: &str,
    which: Sealed,
    plain: &str,
) -> Result<(), ProjectError> {
    let (mac, sealed) = keep_credential(job, id, uid, which, plain)?;
    let column = which.column;
    let sql = format!(
        "UPDATE projects SET {column}_mac = ?2, {column}_sealed = ?3, {column}_last_used_ms = NULL, {column}_uses = 0 \
         WHERE id = ?1"
    );
    job.execute(&sql, params![id, mac, sealed])?;
    Ok(())
}

/// What is stored of a credential, once no other project has it.
fn keep_credential(
    job: &Job<'_>,
    id: u64,
    uid: &str,
    which: Sealed,
    plain: &str,
) -> Result<([u8; 32], Vec<u8>), ProjectError> {
    if !rules::credential(plain) {
        return Err(ProjectError::CredentialInvalid { what: which.what });
    }
    let mac = job.control.mac(plain.as_bytes()).0;
    let sql = format!("SELECT id, name FROM projects WHERE {}_mac = ?1 AND id <> ?2", which.column);
    if let Some((owner, name)) = job.row(&sql, params![mac, id], |row| Ok((row.get(0)?, row.get(1)?)))? {
        return Err(ProjectError::CredentialTaken { what: which.what, id: forebay_id(owner)?, name });
    }
    let sql = "SELECT p.id, p.name FROM former_credentials f JOIN projects p ON p.id = f.project_id \
               WHERE f.mac = ?1 AND f.project_id <> ?2 AND f.ends_at_ms > ?3";
    if let Some((owner, name)) =
        job.row(sql, params![mac, id, job.now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?
    {
        return Err(ProjectError::CredentialTaken { what: which.what, id: forebay_id(owner)?, name });
    }
    // Its own again.
    job.execute("DELETE FROM former_credentials WHERE mac = ?1", [mac])?;
    let sealed = job.control.keyring.seal(&purpose(which, uid), plain.as_bytes())?;
    Ok((mac, sealed))
}

/// A project's credential in plain.
pub(crate) fn unseal(job: &Job<'_>, id: u64, uid: &str, which: Sealed) -> Result<String, StoreError> {
    let sql = format!("SELECT {}_sealed FROM projects WHERE id = ?1", which.column);
    let sealed: Vec<u8> = job.row(&sql, [id], |row| row.get(0))?.unwrap_or_default();
    let plain = job
        .control
        .keyring
        .open(&purpose(which, uid), &sealed)
        .and_then(|plain| String::from_utf8(plain).ok());
    plain.ok_or_else(|| {
        job.damaged(format!("the sealed {} of project {id} does not open under keys/server.key", which.what))
    })
}

/// Ties what is sealed to its place: copied into another row it does not open.
fn purpose(which: Sealed, uid: &str) -> String {
    format!("{} of {uid}", which.column)
}

/// Writes the settings in which `new` differs from `old`; true if there was one.
pub(crate) fn update(job: &Job<'_>, old: &ProjectInfo, new: &ProjectInfo) -> Result<bool, ProjectError> {
    check_name(&new.name)?;
    if new.retention_days == Some(0) {
        return Err(ProjectError::RetentionInvalid);
    }
    if !rules::timezone(&new.timezone) {
        return Err(ProjectError::TimezoneUnknown { name: new.timezone.clone() });
    }
    if let Some(origin) = new.allowed_origins.iter().find(|origin| !rules::origin(origin)) {
        return Err(ProjectError::OriginInvalid { origin: origin.clone() });
    }
    if new.allowed_origins.len() > rules::ORIGINS_MAX {
        return Err(ProjectError::TooManyOrigins { max: rules::ORIGINS_MAX });
    }
    let mut differences = Vec::new();
    let mut compare = |what: &str, old: &dyn fmt::Debug, new: &dyn fmt::Debug| {
        let (old, new) = (format!("{old:?}"), format!("{new:?}"));
        if old != new {
            differences.push(format!("{what} {old} -> {new}"));
        }
    };
    compare("name", &old.name, &new.name);
    compare("accepts_events", &old.accepts_events, &new.accepts_events);
    compare("client_address", &old.client_address, &new.client_address);
    compare("allowed_origins", &old.allowed_origins, &new.allowed_origins);
    compare("timezone", &old.timezone, &new.timezone);
    compare("id_merge", &old.id_merge, &new.id_merge);
    compare("retention_days", &old.retention_days, &new.retention_days);
    if differences.is_empty() {
        return Ok(false);
    }
    if old.client_address != new.client_address {
        // It may keep less of addresses from now on.
        super::callers::forget(job, old.id)?;
    }
    job.execute(
        "UPDATE projects SET name = ?2, accepts_events = ?3, client_address = ?4, id_merge = ?5, \
         retention_days = ?6, allowed_origins = ?7, timezone = ?8 WHERE id = ?1",
        params![
            old.id,
            new.name,
            new.accepts_events,
            new.client_address,
            new.id_merge,
            new.retention_days,
            new.allowed_origins.join("\n"),
            new.timezone
        ],
    )?;
    job.changed(Changed::Project, &old.id.to_string(), "project.changed", &differences.join(", "))?;
    Ok(true)
}

/// One project, or that there is none of that number.
pub(crate) fn info(job: &Job<'_>, id: u64) -> Result<ProjectInfo, ProjectError> {
    let found = match rules::project_id(id) {
        Some(_) => infos(job, Some(id))?.pop(),
        None => None,
    };
    found.ok_or(ProjectError::NotFound { id })
}

/// One project or all, by number; those deleted are none.
pub(crate) fn infos(job: &Job<'_>, only: Option<u64>) -> Result<Vec<ProjectInfo>, StoreError> {
    let sql = format!(
        "SELECT id, name, accepts_events, client_address, id_merge, retention_days, created_at_ms, created_by, \
         api_key_last_used_ms, api_secret_last_used_ms, organisation_id, allowed_origins, timezone, api_key_uses, \
         api_secret_uses FROM projects WHERE {} AND deleted_at_ms IS NULL ORDER BY id",
        only_if(only, "id")
    );
    let mut projects = job.rows(&sql, [only], |row| {
        Ok(ProjectInfo {
            id: row.get(0)?,
            name: row.get(1)?,
            token: String::new(),
            tokens: Vec::new(),
            accepts_events: row.get(2)?,
            client_address: ClientAddress::parse(&row.get::<_, String>(3)?)
                .unwrap_or(ClientAddress::Drop)
                .as_str(),
            id_merge: IdMerge::parse(&row.get::<_, String>(4)?).unwrap_or_default().as_str(),
            retention_days: row.get(5)?,
            created_at_ms: row.get(6)?,
            created_by: row.get(7)?,
            api_key_last_used_ms: row.get(8)?,
            api_secret_last_used_ms: row.get(9)?,
            organisation: row.get(10)?,
            allowed_origins: row.get::<_, String>(11)?.lines().map(str::to_owned).collect(),
            timezone: row.get(12)?,
            api_key_uses: row.get(13)?,
            api_secret_uses: row.get(14)?,
            former_credentials: Vec::new(),
        })
    })?;
    let sql = format!(
        "SELECT project_id, token, created_at_ms, created_by, last_used_ms, events, ends_at_ms FROM tokens WHERE {} \
         ORDER BY project_id, position",
        only_if(only, "project_id")
    );
    let tokens = job.rows(&sql, [only], |row| {
        let token = TokenInfo {
            token: row.get(1)?,
            created_at_ms: row.get(2)?,
            created_by: row.get(3)?,
            last_used_ms: row.get(4)?,
            events: row.get(5)?,
            ends_at_ms: row.get(6)?,
        };
        Ok((row.get::<_, u64>(0)?, token))
    })?;
    let sql = format!(
        "SELECT project_id, kind, replaced_at_ms, ends_at_ms, last_used_ms, uses FROM former_credentials \
         WHERE {} ORDER BY project_id, ends_at_ms DESC, kind",
        only_if(only, "project_id")
    );
    let former = job.rows(&sql, [only], |row| {
        let former = FormerInfo {
            kind: row.get(1)?,
            replaced_at_ms: row.get(2)?,
            ends_at_ms: row.get(3)?,
            last_used_ms: row.get(4)?,
            uses: row.get(5)?,
        };
        Ok((row.get::<_, u64>(0)?, former))
    })?;
    let received = accounting::under_the_only_token(job, only)?;
    // All three are in the order of projects; those of deleted ones are skipped.
    let (mut tokens, mut former) = (tokens.into_iter().peekable(), former.into_iter().peekable());
    for project in &mut projects {
        while let Some((of, token)) = tokens.next_if(|(of, _)| *of <= project.id) {
            if of == project.id {
                project.tokens.push(token);
            }
        }
        while let Some((of, credential)) = former.next_if(|(of, _)| *of <= project.id) {
            if of == project.id {
                project.former_credentials.push(credential);
            }
        }
        let mut in_force =
            project.tokens.iter_mut().filter(|token| token.ends_at_ms.is_none_or(|at_ms| at_ms > job.now_ms));
        if let (Some(token), None) = (in_force.next(), in_force.next())
            && let Some(received) = received.get(&project.id)
        {
            token.events += received.events;
            token.last_used_ms = token.last_used_ms.max(Some(received.last_ms));
        }
        let stays = project.tokens.iter().find(|token| token.ends_at_ms.is_none());
        project.token = stays.map(|token| token.token.clone()).unwrap_or_default();
    }
    Ok(projects)
}

/// The deleted projects of an organisation, by number.
pub(super) fn deleted(job: &Job<'_>, organisation: u64) -> Result<Vec<DeletedProject>, StoreError> {
    let sql = "SELECT id, name, deleted_at_ms, deleted_by FROM projects \
               WHERE organisation_id = ?1 AND deleted_at_ms IS NOT NULL ORDER BY id";
    job.rows(sql, [organisation], |row| {
        let deleted_at_ms: u64 = row.get(2)?;
        Ok(DeletedProject {
            id: row.get(0)?,
            name: row.get(1)?,
            deleted_at_ms,
            deleted_by: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
            purged_at_ms: deleted_at_ms + super::acts::UNDELETE_MS,
        })
    })
}

/// A project's uid.
pub(crate) fn uid(job: &Job<'_>, id: u64) -> Result<String, StoreError> {
    let found = job.row("SELECT uid FROM projects WHERE id = ?1", [id], |row| row.get(0))?;
    found.ok_or_else(|| job.damaged(format!("project {id} vanished within a transaction")))
}

/// A new uid.
pub(crate) fn new_uid() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(hex(&bytes))
}

/// The first organisation, made on first use. It is in the hands of the host until somebody becomes its owner.
pub(crate) fn first_organisation(job: &Job<'_>) -> Result<u64, StoreError> {
    match organisation::first(job)? {
        Some(id) => Ok(id),
        None => organisation::enter(job, "default", true),
    }
}

fn name_of(job: &Job<'_>, id: u64) -> Result<Option<String>, StoreError> {
    job.row("SELECT name FROM projects WHERE id = ?1", [id], |row| row.get(0))
}

fn check_name(name: &str) -> Result<(), ProjectError> {
    if rules::name(name) { Ok(()) } else { Err(ProjectError::NameInvalid { name: name.to_owned() }) }
}

/// Seven random digits, so that projects of independent nodes rarely share a number; counting on from
/// the highest when those are crowded.
fn free_id(job: &Job<'_>) -> Result<u64, StoreError> {
    for _ in 0..32 {
        let mut bytes = [0; 8];
        random(&mut bytes)?;
        let id = 1_000_000 + u64::from_le_bytes(bytes) % 9_000_000;
        // What the audit says of a project that is gone is not for the admins of another one.
        let sql = "SELECT 1 FROM audit WHERE project_id = ?1 LIMIT 1";
        if name_of(job, id)?.is_none() && job.row(sql, [id], |_| Ok(()))?.is_none() {
            return Ok(id);
        }
    }
    let sql = "SELECT max(coalesce((SELECT max(id) FROM projects), 0), coalesce((SELECT max(project_id) FROM audit), 0))";
    let highest = job.row(sql, [], |row| row.get::<_, u64>(0))?;
    Ok(highest.unwrap_or(0) + 1)
}
