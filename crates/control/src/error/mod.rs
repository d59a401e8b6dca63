//! What can go wrong, one enum per job: what, where, with which value, and what to do about it.

mod account;
mod lookup;
mod people;
mod project;
mod transfer;

use rusqlite::ErrorCode;
use std::{fmt, io, path::PathBuf};

pub use account::AccountError;
pub use lookup::LookupError;
pub use people::PeopleError;
pub use project::ProjectError;
pub use transfer::TransferError;

/// An error and its causes on one line, as a log or a message has it.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text.replace(['\n', '\r'], " ")
}

/// The store itself failed: nothing of the change was made.
#[derive(Debug)]
pub enum StoreError {
    /// No space left for the store or its journal.
    Full {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Another process held the store for longer than the timeout.
    Busy {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The store holds what it cannot hold, or its file is damaged.
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// SQLite refused for another reason.
    Database {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A file beside the store could not be read or written.
    File {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether space is what is missing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::Full { .. } => true,
            StoreError::File { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            StoreError::Busy { .. } | StoreError::Damaged { .. } | StoreError::Database { .. } => false,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full { path, .. } => {
                write!(f, "no space left to write {}; free some and try again", path.display())
            }
            StoreError::Busy { path, .. } => {
                write!(f, "{} is held by another process; try again", path.display())
            }
            StoreError::Damaged { path, what } => {
                write!(
                    f,
                    "{} is damaged: {what}; restore it, or `forebay project export` from another node",
                    path.display()
                )
            }
            StoreError::Database { path, source } => {
                write!(f, "cannot use the store {}", path.display())?;
                match source.sqlite_error_code() {
                    Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                        f.write_str(" (this user must be able to write it and its folder, also to read)")
                    }
                    _ => Ok(()),
                }
            }
            StoreError::File { what, path, .. } => write!(f, "cannot {what} {}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Full { source, .. }
            | StoreError::Busy { source, .. }
            | StoreError::Database { source, .. } => Some(source),
            StoreError::File { source, .. } => Some(source),
            StoreError::Damaged { .. } => None,
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// There is no store in that directory.
    Missing {
        /// The store looked for.
        path: PathBuf,
    },
    /// The store was written by a later version.
    TooNew {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
    /// The store holds credentials, and the key they are kept under is gone.
    KeyMissing {
        /// The key file looked for.
        path: PathBuf,
    },
    /// Others than the owner may read the key.
    KeyOpen {
        /// The key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key file is not a key.
    KeyLength {
        /// The key file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
    },
    /// The key is not the one that the credentials are kept under.
    KeyWrong {
        /// The key file.
        path: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// The store itself failed.
    Store(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Missing { path } => write!(
                f,
                "there is no store at {}; is --data-dir right? `forebay serve` and `forebay project create` make one",
                path.display()
            ),
            OpenError::TooNew { path, found, known } => write!(
                f,
                "{} has version {found}, this program knows versions up to {known}; use the newer program",
                path.display()
            ),
            OpenError::KeyMissing { path } => write!(
                f,
                "{} is missing, and control.db holds credentials kept under it; restore the file from where it was \
                 saved (without it no API key, secret or service account can be recognised)",
                path.display()
            ),
            OpenError::KeyOpen { path, mode } => write!(
                f,
                "{} may be read by others than its owner (mode {mode:04o}); `chmod 600` it, and consider resetting \
                 the secrets",
                path.display()
            ),
            OpenError::KeyLength { path, found } => write!(
                f,
                "{} is {found} bytes long, a key is 32; restore the file from where it was saved",
                path.display()
            ),
            OpenError::KeyWrong { path, store } => write!(
                f,
                "{} is not the key that the credentials in {} are kept under; restore the right one",
                path.display(),
                store.display()
            ),
            OpenError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Store(error) => error.source(),
            _ => None,
        }
    }
}

/// A time as people read it.
pub(crate) fn moment(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{ms} ms since the epoch"), |at| at.to_string())
}

// What one of the others wraps is told as what it is: a store that failed is no mistake of whoever asks.
impl From<ProjectError> for PeopleError {
    fn from(error: ProjectError) -> PeopleError {
        match error {
            ProjectError::Store(error) => PeopleError::Store(error),
            ProjectError::NotFound { id } => PeopleError::ProjectNotFound { id },
            error => PeopleError::Project(error),
        }
    }
}

impl From<AccountError> for PeopleError {
    fn from(error: AccountError) -> PeopleError {
        match error {
            AccountError::Store(error) => PeopleError::Store(error),
            AccountError::Project(error) => error.into(),
            error => PeopleError::Account(error),
        }
    }
}

macro_rules! from {
    ($($outer:ident::$variant:ident($inner:ident),)+) => {
        $(impl From<$inner> for $outer {
            fn from(error: $inner) -> $outer {
                $outer::$variant(error)
            }
        })+
    };
}

from! {
    OpenError::Store(StoreError),
    ProjectError::Store(StoreError),
    AccountError::Store(StoreError),
    AccountError::Project(ProjectError),
    LookupError::Store(StoreError),
    LookupError::Project(ProjectError),
    PeopleError::Store(StoreError),
    TransferError::Store(StoreError),
    TransferError::Project(ProjectError),
    TransferError::Account(AccountError),
}
