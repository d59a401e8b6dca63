//! Errors of creating, changing and showing projects.

use std::fmt;

use forebay_record::ProjectId;

use super::StoreError;

/// Why a project was not created, changed or shown.
#[derive(Debug)]
pub enum ProjectError {
    /// The name is empty, too long or holds control characters.
    NameInvalid {
        /// The name given.
        name: String,
    },
    /// The number is 0 or too large for a JSON number.
    IdInvalid {
        /// The number given.
        id: u64,
    },
    /// The token is empty, too long or holds white space or control characters.
    TokenInvalid {
        /// The token given.
        token: String,
    },
    /// An API key or secret is empty, too long, or holds what no header can carry.
    CredentialInvalid {
        /// Which: "API key" or "API secret".
        what: &'static str,
    },
    /// There is no such time zone.
    TimezoneUnknown {
        /// The name given.
        name: String,
    },
    /// It is no origin.
    OriginInvalid {
        /// The text given.
        origin: String,
    },
    /// More origins than a project may name.
    TooManyOrigins {
        /// How many it may.
        max: usize,
    },
    /// The retention is 0 days.
    RetentionInvalid,
    /// Another project has the number.
    IdTaken {
        /// The number.
        id: ProjectId,
        /// That project's name.
        name: String,
    },
    /// Another project has the token.
    TokenTaken {
        /// The token.
        token: String,
        /// That project.
        id: ProjectId,
        /// Its name.
        name: String,
    },
    /// Another project has the API key or secret.
    CredentialTaken {
        /// Which: "API key" or "API secret".
        what: &'static str,
        /// That project.
        id: ProjectId,
        /// Its name.
        name: String,
    },
    /// The project would be left without a token.
    LastToken {
        /// The project.
        id: ProjectId,
    },
    /// The project does not have the token.
    TokenUnknown {
        /// The project.
        id: ProjectId,
        /// The token given.
        token: String,
    },
    /// There is no such project.
    NotFound {
        /// The number given.
        id: u64,
    },
    /// The store itself failed.
    Store(StoreError),
}

impl fmt::Display for ProjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProjectError::NameInvalid { name } => {
                write!(f, "project name {name:?} is not 1 to 255 bytes of printable text")
            }
            ProjectError::IdInvalid { id } => {
                write!(f, "project id {id} is not between 1 and 9007199254740991 (2^53 - 1)")
            }
            ProjectError::TokenInvalid { token } => {
                write!(f, "token {token:?} is not 1 to 256 bytes of printable text without white space")
            }
            ProjectError::CredentialInvalid { what } => {
                write!(
                    f,
                    "the {what} given is not 1 to 256 bytes of printable text without white space or ':'"
                )
            }
            ProjectError::TimezoneUnknown { name } => {
                write!(f, "there is no time zone {name:?}; one is called like Europe/Berlin or UTC")
            }
            ProjectError::OriginInvalid { origin } => {
                write!(f, "{origin:?} is no origin; one looks like https://example.com, without a path")
            }
            ProjectError::TooManyOrigins { max } => write!(f, "a project names at most {max} origins"),
            ProjectError::RetentionInvalid => {
                write!(f, "a retention of 0 days keeps nothing; give at least 1")
            }
            ProjectError::IdTaken { id, name } => {
                write!(
                    f,
                    "project {id} exists already, its name is {name:?}; leave the id out to get a free one"
                )
            }
            ProjectError::TokenTaken { token, id, name } => {
                write!(f, "token {token:?} belongs to project {id} ({name:?}); a token names one project")
            }
            ProjectError::CredentialTaken { what, id, name } => {
                write!(
                    f,
                    "the {what} given belongs to project {id} ({name:?}); give another, or none to get a new one"
                )
            }
            ProjectError::LastToken { id } => {
                write!(f, "project {id} has no other token that stays; add one first, or disable the project")
            }
            ProjectError::TokenUnknown { id, token } => {
                write!(
                    f,
                    "project {id} has no token {token:?}; `forebay project show {id}` lists those it has"
                )
            }
            ProjectError::NotFound { id } => {
                write!(f, "there is no project {id}; `forebay project list` shows those there are")
            }
            ProjectError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProjectError::Store(error) => error.source(),
            _ => None,
        }
    }
}
