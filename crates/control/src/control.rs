//! The store's connection, and what every job on it shares: transactions, the change and audit rows.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use forebay_route::Mac;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, config::DbConfig, ffi, params,
};

use crate::{
    Keyring, OpenError, OutreachLimits, StoreError,
    outbox::{Gauges, seal_numbers},
    schema,
};

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Who the changes are made by, as created-by and the audit show it.
    pub actor: String,
    /// Milliseconds since the epoch.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// How long to wait for another process.
    pub busy_timeout: Duration,
    /// How many addresses of their own choice people may reach.
    pub outreach: OutreachLimits,
}

impl Default for Options {
    fn default() -> Options {
        let clock = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        Options {
            actor: "command line".to_owned(),
            clock: Arc::new(clock),
            busy_timeout: Duration::from_secs(5),
            outreach: OutreachLimits::default(),
        }
    }
}

/// The store of a data directory. Shared freely between threads: jobs take turns.
pub struct Control {
    pub(crate) dir: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) keyring: Keyring,
    pub(crate) options: Options,
    pub(crate) gauges: Gauges,
    connection: Mutex<Connection>,
}

impl Control {
    /// Opens the store of `dir`, making directory, key and store as needed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: &Path) -> Result<Control, OpenError> {
        Control::open_with(dir, Options::default())
    }

    /// [`Control::open`] with options.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(dir: &Path, options: Options) -> Result<Control, OpenError> {
        let path = Control::path(dir);
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::File { what, path, source }
        };
        if !dir.exists() {
            // For nobody else: the events are readable in it.
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(failed("create the data directory", dir))?;
            let parent =
                dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let synced = fs::File::open(parent).and_then(|parent| parent.sync_all());
            synced.map_err(failed("make durable", parent))?;
        }
        if !path.exists() {
            // Made here and not by SQLite, for its permissions: SQLite gives its journals the same.
            let made =
                fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            made.and_then(|file| file.sync_all()).map_err(failed("create", &path))?;
            let synced = fs::File::open(dir).and_then(|directory| directory.sync_all());
            synced.map_err(failed("make durable", dir))?;
        }
        Control::open_path(dir, path, options)
    }

    /// Opens the store of `dir`, or says that there is none.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Missing`] when there is no store.
    pub fn open_existing(dir: &Path) -> Result<Control, OpenError> {
        Control::open_existing_with(dir, Options::default())
    }

    /// [`Control::open_existing`] with options.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Missing`] when there is no store.
    pub fn open_existing_with(dir: &Path, options: Options) -> Result<Control, OpenError> {
        let path = Control::path(dir);
        if !path.exists() {
            return Err(OpenError::Missing { path });
        }
        Control::open_path(dir, path, options)
    }

    /// Refuses a store of `dir` that a later version of this program has brought to its own tables, and brings it to
    /// no other: for who has more of the directory to open before it. That there is none yet is well.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn check(dir: &Path) -> Result<(), OpenError> {
        let path = Control::path(dir);
        if !path.exists() {
            return Ok(());
        }
        let connection = connect(&path, Options::default().busy_timeout)?;
        schema::check(&connection, &path)
    }

    /// Where the store of a data directory lies.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("control.db")
    }

    fn open_path(dir: &Path, path: PathBuf, options: Options) -> Result<Control, OpenError> {
        let mut connection = connect(&path, options.busy_timeout)?;
        schema::migrate(&mut connection, &path)?;
        let keyring = keyring_of(dir, &mut connection, &path)?;
        seal_numbers(&mut connection, &keyring).map_err(|source| StoreError::of(&path, source))?;
        Ok(Control {
            dir: dir.to_owned(),
            path,
            keyring,
            options,
            gauges: Gauges::default(),
            connection: Mutex::new(connection),
        })
    }

    /// The server's key, for recognising credentials without asking the store.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// The digest that a credential is recognised by.
    #[must_use]
    pub fn mac(&self, credential: &[u8]) -> Mac {
        self.keyring.mac(credential)
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets the store's file grow no further than by `pages`, as a full disk would; `None`: as it will.
    ///
    /// # Errors
    /// [`StoreError`].
    #[doc(hidden)]
    pub fn limit_pages_for_tests(&self, pages: Option<i64>) -> Result<(), StoreError> {
        let connection = self.connection();
        let wrap = |source| StoreError::of(&self.path, source);
        let now: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).map_err(wrap)?;
        let limit = pages.map_or(i64::from(u32::MAX - 1), |more| now + more);
        connection.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(())).map_err(wrap)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.options.clock)()
    }

    /// The connection. A job that panicked left a transaction that was rolled back as it unwound.
    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A connection of its own, for a reader that must not wait for the jobs.
    pub(crate) fn connect(&self) -> Result<Connection, StoreError> {
        connect(&self.path, self.options.busy_timeout)
    }

    /// Runs `job` on one consistent state of the store.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        job: impl FnOnce(&Job<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transact(TransactionBehavior::Deferred, &self.options.actor, job)
    }

    /// Runs `job` alone, and makes what it did durable; or, when it fails, undoes it.
    pub(crate) fn change<T, E: From<StoreError>>(
        &self,
        job: impl FnOnce(&Job<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.change_as(&self.options.actor, job)
    }

    /// [`Control::change`] by `actor`.
    pub(crate) fn change_as<T, E: From<StoreError>>(
        &self,
        actor: &str,
        job: impl FnOnce(&Job<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // Immediate: taken before the first read, so that no rule is checked on a state that changes.
        self.transact(TransactionBehavior::Immediate, actor, job)
    }

    /// As [`Control::change`], with a cache of up to `kib`: for a job that writes all over the store.
    pub(crate) fn change_much<T, E: From<StoreError>>(
        &self,
        kib: i64,
        job: impl FnOnce(&Job<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let resize = |kib: i64| {
            let resized = self.connection().pragma_update(None, "cache_size", -kib);
            resized.map_err(|source| StoreError::of(&self.path, source))
        };
        resize(kib.max(CACHE_KIB))?;
        let done = self.change(job);
        resize(CACHE_KIB)?;
        done
    }

    fn transact<T, E: From<StoreError>>(
        &self,
        behavior: TransactionBehavior,
        actor: &str,
        job: impl FnOnce(&Job<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection();
        let wrap = |source| StoreError::of(&self.path, source);
        let transaction = connection.transaction_with_behavior(behavior).map_err(wrap)?;
        let job_on = Job { transaction, control: self, actor, now_ms: self.now_ms() };
        let done = job(&job_on)?;
        job_on.transaction.commit().map_err(wrap)?;
        Ok(done)
    }
}

/// One transaction.
pub(crate) struct Job<'a> {
    pub(crate) transaction: Transaction<'a>,
    pub(crate) control: &'a Control,
    /// Who it is done by, as created-by and the audit show it.
    pub(crate) actor: &'a str,
    pub(crate) now_ms: u64,
}

impl Job<'_> {
    /// Runs a statement; returns how many rows it touched.
    pub(crate) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, StoreError> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(|e| self.wrap(e))?;
        statement.execute(params).map_err(|e| self.wrap(e))
    }

    /// The rows of a query.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(|e| self.wrap(e))?;
        let rows = statement.query_map(params, row).map_err(|e| self.wrap(e))?;
        rows.collect::<Result<_, _>>().map_err(|e| self.wrap(e))
    }

    /// Calls `each` with every row of a query.
    pub(crate) fn each(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        mut each: impl FnMut(&rusqlite::Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(|e| self.wrap(e))?;
        let mut rows = statement.query(params).map_err(|e| self.wrap(e))?;
        while let Some(row) = rows.next().map_err(|e| self.wrap(e))? {
            each(row)?;
        }
        Ok(())
    }

    /// The first row of a query, if any.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        row: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(|e| self.wrap(e))?;
        statement.query_row(params, row).optional().map_err(|e| self.wrap(e))
    }

    /// The number of the row inserted last.
    pub(crate) fn last_id(&self) -> Result<u64, StoreError> {
        let id = self.transaction.last_insert_rowid();
        u64::try_from(id).map_err(|_| self.damaged(format!("a row was numbered {id}")))
    }

    pub(crate) fn wrap(&self, source: rusqlite::Error) -> StoreError {
        StoreError::of(&self.control.path, source)
    }

    pub(crate) fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { path: self.control.path.clone(), what }
    }

    pub(crate) fn actor(&self) -> &str {
        self.actor
    }

    /// Tells running servers that `key` changed, and the audit what was done to it.
    pub(crate) fn changed(
        &self,
        what: Changed,
        key: &str,
        action: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO changes (what, key, at_ms) VALUES (?1, ?2, ?3)",
            params![what.as_str(), key, self.now_ms],
        )?;
        let last = self.transaction.last_insert_rowid();
        self.execute("DELETE FROM changes WHERE id <= ?1", [last - CHANGES_KEPT])?;
        self.audit(action, key, detail)
    }
}

/// The condition of a query for one row or, with the parameter NULL, for all: two statements, because an
/// `OR` of the two would read the whole table for one row.
pub(crate) fn only_if<T>(only: Option<T>, column: &str) -> String {
    if only.is_some() { format!("{column} = ?1") } else { "?1 IS NULL".to_owned() }
}

/// A server that missed more changes than this reads everything again.
const CHANGES_KEPT: i64 = 10_000;

/// What a row of `changes` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Changed {
    Project,
    ServiceAccount,
    LookupTable,
}

impl Changed {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Changed::Project => "project",
            Changed::ServiceAccount => "service_account",
            Changed::LookupTable => "lookup_table",
        }
    }
}

impl StoreError {
    /// Sorts SQLite's errors by what the operator can do about them.
    pub(crate) fn of(path: &Path, source: rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full { path, source },
            // The index of the journal could not be made larger.
            Some(ErrorCode::SystemIoFailure) if extended(&source) == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
                StoreError::Full { path, source }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path, source },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged { path, what: source.to_string() }
            }
            _ => StoreError::Database { path, source },
        }
    }
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(error, _) => Some(error.extended_code),
        _ => None,
    }
}

/// Of each connection.
const CACHE_KIB: i64 = 1024;

fn connect(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let wrap = |source| StoreError::of(path, source);
    let connection = Connection::open(path).map_err(wrap)?;
    connection.busy_timeout(busy_timeout).map_err(wrap)?;
    enter_wal(&connection, busy_timeout).map_err(wrap)?;
    // Full: a commit is durable when it returns, as a credential shown once must be. The limits keep the
    // journal small after a large transaction, and the cache of each connection at 1 MiB (`CACHE_KIB`).
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA journal_size_limit = 4194304; PRAGMA trusted_schema = OFF;",
        )
        .map_err(wrap)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(wrap)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Else statements that compare a range are compiled again for each value they are given.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(wrap)?;
    Ok(connection)
}

/// Switches the store to its write-ahead log. SQLite does not wait for its turn in this one case, when
/// several processes open a new store at once; so they try again, for as long as they would wait.
fn enter_wal(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    let until = Instant::now() + busy_timeout;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// The key of `dir`, proven to be the one that this store's credentials are kept under.
fn keyring_of(dir: &Path, connection: &mut Connection, path: &Path) -> Result<Keyring, OpenError> {
    let wrap = |source| OpenError::from(StoreError::of(path, source));
    let known = |connection: &Connection| {
        connection
            .query_row("SELECT value FROM meta WHERE name = 'server_key_check'", [], |row| {
                row.get::<_, Vec<u8>>(0)
            })
            .optional()
            .map_err(wrap)
    };
    let mut check = known(connection)?;
    let keyring = match check {
        Some(_) => Keyring::read(dir)?.ok_or_else(|| OpenError::KeyMissing { path: Keyring::path(dir) })?,
        None => Keyring::read_or_create(dir)?,
    };
    if check.is_none() {
        // Ignored where another process was first: then its key is compared like any.
        let sql = "INSERT OR IGNORE INTO meta (name, value) VALUES ('server_key_check', ?1)";
        connection.execute(sql, [keyring.check()]).map_err(wrap)?;
        check = known(connection)?;
    }
    if check.as_deref() == Some(keyring.check()) {
        Ok(keyring)
    } else {
        Err(OpenError::KeyWrong { path: Keyring::path(dir), store: path.to_owned() })
    }
}
