//! What can go wrong when a log is opened and when something is stored.

use crate::{ConfigError, LockError, StoreIdError, append::Append, fault};
use forebay_record::LaneId;
use std::{fmt, io, path::PathBuf, sync::Arc};

/// Why a log cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// A setting is out of range.
    Config(ConfigError),
    /// The data directory is in use, or cannot be locked.
    Lock(LockError),
    /// The data directory's id cannot be read or made.
    StoreId(StoreIdError),
    /// A file or folder of it cannot be used.
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file is whole, and of a version or with features that this one does not know.
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        what: String,
    },
    /// A segment belongs to another data directory or another lane.
    Foreign {
        /// The segment's file.
        path: PathBuf,
        /// What does not match.
        what: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Config(e) => e.fmt(f),
            OpenError::Lock(e) => e.fmt(f),
            OpenError::StoreId(e) => e.fmt(f),
            OpenError::Io { what, path, source } => {
                write!(f, "cannot {what} {}", path.display())?;
                fault::hint(source).map_or(Ok(()), |hint| write!(f, " ({hint})"))
            }
            OpenError::Version { path, what } => write!(f, "{}: {what}", path.display()),
            OpenError::Foreign { path, what } => {
                write!(
                    f,
                    "{} {what}: move it out of this data directory, or see what `forebay log repair` says",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Config(_) | OpenError::Version { .. } | OpenError::Foreign { .. } => None,
            OpenError::Lock(e) => e.source(),
            OpenError::StoreId(e) => e.source(),
            OpenError::Io { source, .. } => Some(source),
        }
    }
}

/// Why an append that was taken in could not be stored. Its sender should try again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// The lane it was for.
    pub lane: LaneId,
    /// What failed.
    pub reason: Arc<str>,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} could not store: {}", self.lane, self.reason)
    }
}

impl std::error::Error for StoreError {}

/// Why an append was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too much is waiting in its lane already.
    Full,
    /// The lane cannot store now: a full or failing disk. It heals by itself when the disk does.
    Unable(Arc<str>),
    /// The append itself cannot be stored, now or later.
    Malformed(&'static str),
    /// The log is closed.
    Closed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Full => f.write_str("too much is waiting to be stored"),
            Refusal::Unable(reason) => write!(f, "unable to store: {reason}"),
            Refusal::Malformed(what) => write!(f, "append cannot be stored: {what}"),
            Refusal::Closed => f.write_str("the log is closed"),
        }
    }
}

/// An append that was not taken in, given back.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// As it was handed over. Its outcome was not told anything.
    pub append: Box<Append>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Refused {}
