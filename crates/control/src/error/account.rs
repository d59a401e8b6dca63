//! Errors of creating and deleting service accounts.

use std::fmt;

use super::{ProjectError, StoreError, moment};

/// Why a service account was not created or deleted.
#[derive(Debug)]
pub enum AccountError {
    /// The name is empty, too long, or holds white space or a colon, which ends a name in Basic credentials.
    UsernameInvalid {
        /// The name given.
        username: String,
    },
    /// The secret is empty, too long or holds control characters.
    SecretInvalid {
        /// The account.
        username: String,
    },
    /// It would be narrowed to no scope at all, and could do nothing.
    NoScopes {
        /// The account.
        username: String,
    },
    /// The expiry is over already.
    Expired {
        /// The account.
        username: String,
        /// The expiry given, in milliseconds since the epoch.
        expires_at_ms: u64,
    },
    /// The name is taken.
    UsernameTaken {
        /// The name.
        username: String,
    },
    /// The project is of another organisation than the account.
    ProjectElsewhere {
        /// The project.
        project: u64,
        /// Whose it is.
        organisation: u64,
    },
    /// The account may not use the project anyway.
    NotInProject {
        /// The account.
        username: String,
        /// The project.
        project: u64,
    },
    /// There is no such account.
    NotFound {
        /// The name given.
        username: String,
    },
    /// One of the projects is none.
    Project(ProjectError),
    /// The store itself failed.
    Store(StoreError),
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountError::UsernameInvalid { username } => write!(
                f,
                "user name {username:?} is not 1 to 256 bytes of printable text without white space or ':'"
            ),
            AccountError::SecretInvalid { username } => {
                write!(f, "the secret given for {username:?} is not 1 to 256 bytes of printable text")
            }
            AccountError::NoScopes { username } => {
                write!(
                    f,
                    "service account {username:?} would be narrowed to nothing; name a scope, or none to not narrow it"
                )
            }
            AccountError::Expired { username, expires_at_ms } => {
                write!(
                    f,
                    "service account {username:?} would have expired already, at {}",
                    moment(*expires_at_ms)
                )
            }
            AccountError::UsernameTaken { username } => write!(
                f,
                "service account {username:?} exists already; choose another name, or delete that one first"
            ),
            AccountError::ProjectElsewhere { project, organisation } => write!(
                f,
                "project {project} belongs to organisation {organisation}, the service account to another"
            ),
            AccountError::NotInProject { username, project } => {
                write!(f, "service account {username:?} has no role in project {project}")
            }
            AccountError::NotFound { username } => write!(
                f,
                "there is no service account {username:?}; `forebay service-account list` shows those there are"
            ),
            AccountError::Project(error) => error.fmt(f),
            AccountError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AccountError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AccountError::Store(error) => error.source(),
            AccountError::Project(error) => error.source(),
            _ => None,
        }
    }
}
