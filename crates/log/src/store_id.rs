//! The file that names a data directory, and the lock that says who writes it.

use crate::{
    disk::{Disk, RealDisk},
    origin,
};
use forebay_record::StoreId;
use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

const FORMAT: &str = "forebay 1";

/// How long a lock that is held is asked for: `log verify` looks whether a server runs by taking it for
/// microseconds, and a process that was just killed may not be gone yet.
const PATIENCE: Duration = Duration::from_millis(100);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// Held by the one process that writes a data directory; let go when dropped or when the process ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a data directory cannot be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process that wrote its id there.
        pid: String,
    },
    /// The lock file cannot be made.
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { path, pid } => write!(
                f,
                "another process (pid {pid}) is using this data directory ({} is locked): stop it first",
                path.display()
            ),
            LockError::Io { path, .. } => write!(f, "cannot lock {}", path.display()),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LockError::Held { .. } => None,
            LockError::Io { source, .. } => Some(source),
        }
    }
}

impl DirLock {
    /// Takes the lock of the data directory `dir`, which must exist.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be made.
    pub fn take(dir: &Path) -> Result<DirLock, LockError> {
        DirLock::take_within(dir, PATIENCE)
    }

    fn take_within(dir: &Path, patience: Duration) -> Result<DirLock, LockError> {
        let path = dir.join("lock");
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let asked = Instant::now();
        loop {
            match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if asked.elapsed() < patience => thread::sleep(PAUSE),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut pid = String::new();
                    let read = file.read_to_string(&mut pid);
                    let pid = if read.is_ok() { pid.trim().to_owned() } else { "unknown".to_owned() };
                    return Err(LockError::Held { path, pid });
                }
                Err(e) => return Err(failed(e.into())),
            }
        }
        // The pid is for people; the lock is the flock. A full disk must not keep us from starting.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(DirLock { _file: file })
    }
}

/// Does a process hold the data directory's lock? Tried, and let go at once.
///
/// # Errors
/// When the lock file is there and cannot be opened or asked.
pub(crate) fn is_locked(dir: &Path) -> io::Result<bool> {
    let file = match File::open(dir.join("lock")) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(e.into()),
    }
}

/// Why a data directory's id cannot be read.
#[derive(Debug)]
pub enum StoreIdError {
    /// There is none: the directory was never used.
    Missing(PathBuf),
    /// The file cannot be read or made.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none, but segments that say whose they are.
    Lost {
        /// The file.
        path: PathBuf,
        /// What it should name.
        segments: StoreId,
    },
    /// It names one store, and every segment beside it another.
    Other {
        /// The file.
        path: PathBuf,
        /// As it says.
        named: StoreId,
        /// As they say.
        segments: StoreId,
    },
    /// The file holds something else.
    Content {
        /// The file.
        path: PathBuf,
        /// What it starts with.
        found: String,
    },
}

impl fmt::Display for StoreIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreIdError::Missing(path) => {
                write!(
                    f,
                    "no Forebay data here: {} does not exist; is --data-dir right? `forebay serve` makes it",
                    path.display()
                )
            }
            StoreIdError::Lost { path, segments } => write!(
                f,
                "{} is missing, and the segments beside it are of the store {segments}: \
                 write the line \"{FORMAT} {segments}\" into it",
                path.display()
            ),
            StoreIdError::Other { path, named, segments } => write!(
                f,
                "{} names the store {named}, and every segment beside it is of the store {segments}: if the \
                 segments are where they belong, write the line \"{FORMAT} {segments}\" into it",
                path.display()
            ),
            StoreIdError::Io { path, .. } => write!(f, "cannot read or write {}", path.display()),
            StoreIdError::Content { path, found } => write!(
                f,
                "{} starts with {found:?}, and this forebay reads \"{FORMAT} <32 hex digits>\": \
                 use the newer forebay that wrote it, or put back what the file held",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StoreIdError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreIdError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Reads a data directory's id.
///
/// # Errors
/// When there is none or it cannot be read.
pub fn read_store_id(dir: &Path) -> Result<StoreId, StoreIdError> {
    read_store_id_on(&RealDisk, dir)
}

/// As [`read_store_id`], on another disk than the machine's own.
pub(crate) fn read_store_id_on(disk: &dyn Disk, dir: &Path) -> Result<StoreId, StoreIdError> {
    let path = dir.join("store");
    let mut content = [0; 256];
    match disk.open_read(&path).and_then(|file| file.read_at(&mut content, 0)) {
        Ok(read) => origin::named(disk, dir, parse(&path, &content[..read])),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            origin::named(disk, dir, Err(StoreIdError::Missing(path)))
        }
        Err(source) => Err(StoreIdError::Io { path, source }),
    }
}

/// Reads a data directory's id, giving it one if it has none.
pub(crate) fn open_store_id(disk: &dyn Disk, dir: &Path) -> Result<StoreId, StoreIdError> {
    let path = dir.join("store");
    let failed = |source| StoreIdError::Io { path: path.clone(), source };
    match disk.open(&path) {
        Ok(file) => {
            let mut content = [0; 256];
            let read = file.read_at(&mut content, 0).map_err(failed)?;
            // The process that made it may have been killed before its name was durable.
            disk.sync_dir(dir).map_err(failed)?;
            return origin::named(disk, dir, parse(&path, &content[..read]));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // Never a new name for what has one.
            if let lost @ Err(StoreIdError::Lost { .. }) =
                origin::named(disk, dir, Err(StoreIdError::Missing(path.clone())))
            {
                return lost;
            }
        }
        Err(source) => return Err(failed(source)),
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| failed(io::Error::other(e.to_string())))?;
    let id = StoreId(id);
    // Beside, then renamed: after a crash the name either leads to a whole id or to nothing.
    let beside = dir.join("store.tmp");
    let file = disk.create(&beside).map_err(failed)?;
    file.write_at(format!("{FORMAT} {id}\n").as_bytes(), 0).map_err(failed)?;
    file.flush().map_err(failed)?;
    disk.rename(&beside, &path).map_err(failed)?;
    disk.sync_dir(dir).map_err(failed)?;
    Ok(id)
}

fn parse(path: &Path, content: &[u8]) -> Result<StoreId, StoreIdError> {
    let text = String::from_utf8_lossy(content);
    let wrong = || StoreIdError::Content { path: path.to_owned(), found: text.chars().take(60).collect() };
    let hex = text.trim_end().strip_prefix(FORMAT).and_then(|t| t.strip_prefix(' ')).ok_or_else(wrong)?;
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let digits: [u8; 32] = digits.try_into().map_err(|_| wrong())?;
    Ok(StoreId(std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_let_go_in_time_is_taken_and_one_that_is_kept_names_its_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let held = DirLock::take(dir.path()).expect("free");
        match DirLock::take_within(dir.path(), Duration::ZERO) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("taken twice: {other:?}"),
        }
        let letting_go = thread::spawn(move || drop(held));
        DirLock::take_within(dir.path(), Duration::from_secs(60)).expect("let go by then");
        letting_go.join().expect("no panic");
    }
}
