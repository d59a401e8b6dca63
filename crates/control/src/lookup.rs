//! Lookup tables: CSV files that a project's properties are looked up in.
//!
//! A replacement is checked, written and made durable as a file of its own, named by its hash; then a
//! record in the log may name it; then the table's row points to it. Until that last step the old file
//! is the current one, so that a crash anywhere leaves one whole table in force.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use forebay_record::ProjectId;
use rusqlite::params;
use serde::Serialize;

use crate::{
    Control, LookupError, StoreError, check_csv,
    control::{Changed, Job},
    keyring::{hex, random, sha256},
    project, rules,
};

/// The largest file.
pub const LOOKUP_BYTES_MAX: u64 = 100 << 20;

/// A file that is not current is left alone for so long: somebody may be about to make it current.
const SPARE_FILE_AGE: Duration = Duration::from_secs(3600);

/// A file in place, durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LookupFile {
    /// The SHA-256 of its bytes, in hexadecimal: its name.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Its records, the header not counted.
    pub rows: u64,
    /// Where it lies, relative to the data directory.
    pub path: String,
}

/// A lookup table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LookupTable {
    /// Its UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The project it belongs to.
    pub project_id: u64,
    /// Its current file, once it had one.
    pub file: Option<LookupFile>,
    /// When that came.
    pub replaced_at_ms: Option<u64>,
    /// When the table was created.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
}

/// Where a table's file lies in `dir`.
#[must_use]
pub fn lookup_file_path(dir: &Path, table: &str, sha256: &str) -> PathBuf {
    dir.join("lookup").join(table).join(format!("{sha256}.csv"))
}

impl Control {
    /// Creates a lookup table without a file. `id` is its UUID, where one is brought along.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn create_lookup_table(
        &self,
        project: ProjectId,
        name: &str,
        id: Option<&str>,
    ) -> Result<LookupTable, LookupError> {
        if !rules::name(name) {
            return Err(LookupError::NameInvalid { name: name.to_owned() });
        }
        let id = id.map_or_else(|| Ok(new_uuid()?), |id| uuid(id).ok_or(id_invalid(id)))?;
        self.change(|job| {
            project::info(job, project.as_u64())?;
            if job.row("SELECT 1 FROM lookup_tables WHERE id = ?1", [&id], |_| Ok(()))?.is_some() {
                return Err(LookupError::IdTaken { id: id.clone() });
            }
            let same_name = "SELECT 1 FROM lookup_tables WHERE project_id = ?1 AND name = ?2";
            if job.row(same_name, params![project.as_u64(), name], |_| Ok(()))?.is_some() {
                return Err(LookupError::NameTaken { project, name: name.to_owned() });
            }
            job.execute(
                "INSERT INTO lookup_tables (id, project_id, name, created_at_ms, created_by) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, project.as_u64(), name, job.now_ms, job.actor()],
            )?;
            let detail = format!("project {project}, name {name:?}");
            job.changed(Changed::LookupTable, &id, "lookup_table.created", &detail)?;
            table(job, project, &id)
        })
    }

    /// A project's lookup tables, by name.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn list_lookup_tables(&self, project: ProjectId) -> Result<Vec<LookupTable>, LookupError> {
        self.read(|job| Ok(tables(job, project)?))
    }

    /// One of a project's lookup tables.
    ///
    /// # Errors
    /// [`LookupError::NotFound`].
    pub fn lookup_table(&self, project: ProjectId, id: &str) -> Result<LookupTable, LookupError> {
        self.read(|job| table(job, project, id))
    }

    /// Checks `csv` and puts it durably beside a table's current file, which stays current.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn write_lookup_file(
        &self,
        project: ProjectId,
        id: &str,
        csv: &[u8],
    ) -> Result<LookupFile, LookupError> {
        let bytes = csv.len() as u64;
        if bytes > LOOKUP_BYTES_MAX {
            return Err(LookupError::TooLarge { bytes, limit: LOOKUP_BYTES_MAX });
        }
        let id = self.lookup_table(project, id)?.id;
        let rows = check_csv(csv).map_err(|failed_records| LookupError::Invalid { failed_records })?;
        let sha256 = hex(&sha256(csv));
        let path = lookup_file_path(&self.dir, &id, &sha256);
        put_file(&self.dir, &path, csv)?;
        Ok(LookupFile { path: relative(&self.dir, &path), sha256, bytes, rows })
    }

    /// Makes `file` a table's current one. Files before the last are removed.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn use_lookup_file(
        &self,
        project: ProjectId,
        id: &str,
        file: &LookupFile,
    ) -> Result<LookupTable, LookupError> {
        let (before, after) = self.change(|job| {
            let before = table(job, project, id)?;
            let path = lookup_file_path(&self.dir, &before.id, &file.sha256);
            fs::metadata(&path).map_err(|source| StoreError::File { what: "find the lookup table's file", path, source })?;
            job.execute(
                "UPDATE lookup_tables SET file_sha256 = ?2, file_bytes = ?3, file_rows = ?4, replaced_at_ms = ?5 \
                 WHERE id = ?1",
                params![before.id, file.sha256, file.bytes, file.rows, job.now_ms],
            )?;
            let detail = format!("{} bytes, {} rows, sha256 {}", file.bytes, file.rows, file.sha256);
            job.changed(Changed::LookupTable, &before.id, "lookup_table.replaced", &detail)?;
            let after = table(job, project, &before.id)?;
            Ok::<_, LookupError>((before, after))
        })?;
        let keep: Vec<&str> =
            [&before, &after].into_iter().filter_map(|table| Some(&*table.file.as_ref()?.sha256)).collect();
        remove_spare_files(&self.dir, &after.id, &keep);
        Ok(after)
    }

    /// [`Control::write_lookup_file`], then [`Control::use_lookup_file`].
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn replace_lookup_table(
        &self,
        project: ProjectId,
        id: &str,
        csv: &[u8],
    ) -> Result<LookupTable, LookupError> {
        let file = self.write_lookup_file(project, id, csv)?;
        self.use_lookup_file(project, id, &file)
    }
}

fn table(job: &Job<'_>, project: ProjectId, id: &str) -> Result<LookupTable, LookupError> {
    let lower = id.to_ascii_lowercase();
    let found = tables(job, project)?.into_iter().find(|table| table.id == lower);
    found.ok_or_else(|| LookupError::NotFound { project, id: id.to_owned() })
}

fn tables(job: &Job<'_>, project: ProjectId) -> Result<Vec<LookupTable>, StoreError> {
    job.rows(
        "SELECT id, name, project_id, file_sha256, file_bytes, file_rows, replaced_at_ms, created_at_ms, created_by \
         FROM lookup_tables WHERE project_id = ?1 ORDER BY name",
        [project.as_u64()],
        |row| {
            let id: String = row.get(0)?;
            let sha256: Option<String> = row.get(3)?;
            let file = match sha256 {
                Some(sha256) => Some(LookupFile {
                    path: relative(Path::new(""), &lookup_file_path(Path::new(""), &id, &sha256)),
                    sha256,
                    bytes: row.get(4)?,
                    rows: row.get(5)?,
                }),
                None => None,
            };
            Ok(LookupTable {
                id,
                name: row.get(1)?,
                project_id: row.get(2)?,
                file,
                replaced_at_ms: row.get(6)?,
                created_at_ms: row.get(7)?,
                created_by: row.get(8)?,
            })
        },
    )
}

/// Writes a file so that after a crash it is there whole or not at all.
fn put_file(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    /// Two requests may bring the same file at once.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| StoreError::File { what, path, source }
    };
    let parents: Vec<&Path> = path.ancestors().skip(1).take_while(|parent| parent.starts_with(dir)).collect();
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = written {
        // What was written of it takes space that may be what is missing.
        let _ = fs::remove_file(&temporary);
        return Err(failed("write", path)(source));
    }
    // Before anything names the file: after a crash a name must never lead to nothing.
    for parent in parents {
        fs::File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(failed("make durable", parent))?;
    }
    Ok(())
}

/// Removes old files of a table. What cannot be removed now is tried again at the next replacement.
fn remove_spare_files(dir: &Path, table: &str, keep: &[&str]) {
    let Ok(entries) = fs::read_dir(dir.join("lookup").join(table)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let current = keep.iter().any(|sha256| name.to_string_lossy() == format!("{sha256}.csv"));
        let age =
            entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        if !current
            && age.is_some_and(|age| age > SPARE_FILE_AGE)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an old lookup file");
        }
    }
}

fn relative(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned()
}

/// A UUID in lower case, if it is one.
fn uuid(id: &str) -> Option<String> {
    let id = id.to_ascii_lowercase();
    rules::uuid(&id).then_some(id)
}

fn id_invalid(id: &str) -> LookupError {
    LookupError::IdInvalid { id: id.to_owned() }
}

/// A random one: version 4, as RFC 9562 has it.
fn new_uuid() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    Ok([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}
