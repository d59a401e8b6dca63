//! Errors of carrying a registry from node to node.

use std::fmt;

use forebay_record::ProjectId;

use super::{AccountError, ProjectError, StoreError};

/// Why a registry was not exported or imported. An import is made whole or not at all.
#[derive(Debug)]
pub enum TransferError {
    /// The document is not one of ours.
    Malformed {
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The document's version is not known here.
    Version {
        /// The version found.
        found: u32,
    },
    /// A project here has the same number and is another project.
    OtherProject {
        /// The number.
        id: ProjectId,
        /// Its name here.
        here: String,
        /// Its name in the document.
        there: String,
    },
    /// A service account here has the same name and another secret.
    OtherAccount {
        /// The name.
        username: String,
    },
    /// A service account's digest in the document is not 64 hexadecimal digits.
    DigestInvalid {
        /// The account.
        username: String,
    },
    /// What a project keeps of senders' addresses is none of the words for it.
    ClientAddressUnknown {
        /// The word in the document.
        given: String,
    },
    /// One of the projects breaks a rule.
    Project(ProjectError),
    /// One of the service accounts breaks a rule.
    Account(AccountError),
    /// The store itself failed.
    Store(StoreError),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransferError::Malformed { .. } => {
                f.write_str("the document is not a registry as `forebay project export` writes it")
            }
            TransferError::ClientAddressUnknown { given } => {
                write!(f, "client_address {given:?} is none of drop, mask, keep")
            }
            TransferError::Version { found } => {
                write!(
                    f,
                    "the document has version {found}, this program knows version 1; use the newer program"
                )
            }
            TransferError::OtherProject { id, here, there } => write!(
                f,
                "project {id} is {here:?} here and another project, {there:?}, in the document; give the one in the \
                 document a free id, or import into another data directory"
            ),
            TransferError::OtherAccount { username } => write!(
                f,
                "service account {username:?} exists here with another secret; delete one of the two first"
            ),
            TransferError::DigestInvalid { username } => {
                write!(f, "secret_sha256 of service account {username:?} is not 64 hexadecimal digits")
            }
            TransferError::Project(error) => error.fmt(f),
            TransferError::Account(error) => error.fmt(f),
            TransferError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TransferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TransferError::Malformed { source } => Some(source),
            TransferError::Store(error) => error.source(),
            TransferError::Project(error) => error.source(),
            TransferError::Account(error) => error.source(),
            _ => None,
        }
    }
}
