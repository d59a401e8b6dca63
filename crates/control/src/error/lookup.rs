//! Errors of lookup tables.

use std::fmt;

use forebay_record::ProjectId;

use super::{ProjectError, StoreError};

/// Why a lookup table was not created or replaced.
#[derive(Debug)]
pub enum LookupError {
    /// The id is no UUID in its usual form.
    IdInvalid {
        /// The id given.
        id: String,
    },
    /// The name is empty, too long or holds control characters.
    NameInvalid {
        /// The name given.
        name: String,
    },
    /// The id is taken, by this or another project.
    IdTaken {
        /// The id.
        id: String,
    },
    /// The project has a table of that name.
    NameTaken {
        /// The project.
        project: ProjectId,
        /// The name.
        name: String,
    },
    /// The project has no such table.
    NotFound {
        /// The project.
        project: ProjectId,
        /// The id given.
        id: String,
    },
    /// The file is larger than the limit.
    TooLarge {
        /// Its length in bytes.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is no table; at most ten of its faults are listed.
    Invalid {
        /// The faults.
        failed_records: Vec<crate::FailedRecord>,
    },
    /// There is no such project.
    Project(ProjectError),
    /// The store itself failed.
    Store(StoreError),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookupError::IdInvalid { id } => {
                write!(f, "lookup table id {id:?} is no UUID such as 55b4fb2b-e8de-466c-930f-8b36640b9b5e")
            }
            LookupError::NameInvalid { name } => {
                write!(f, "lookup table name {name:?} is not 1 to 255 bytes of printable text")
            }
            LookupError::IdTaken { id } => write!(f, "lookup table {id} exists already"),
            LookupError::NameTaken { project, name } => write!(
                f,
                "project {project} has a lookup table {name:?} already; `forebay lookup-table list` shows its id"
            ),
            LookupError::NotFound { project, id } => write!(
                f,
                "project {project} has no lookup table {id:?}; `forebay lookup-table create` makes one"
            ),
            LookupError::TooLarge { bytes, limit } => {
                write!(f, "the table has {bytes} bytes, the limit is {limit}")
            }
            LookupError::Invalid { failed_records } => match failed_records.first() {
                Some(first) => {
                    write!(f, "the file is no valid table: record {}: {}", first.index, first.message)
                }
                None => f.write_str("the file is no valid table"),
            },
            LookupError::Project(error) => error.fmt(f),
            LookupError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LookupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LookupError::Store(error) => error.source(),
            LookupError::Project(error) => error.source(),
            _ => None,
        }
    }
}
