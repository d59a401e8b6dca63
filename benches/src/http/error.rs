//! Why a measurement came to nothing.

use std::{fmt, io};

/// Why there is no report.
#[derive(Debug)]
pub enum Error {
    /// Something of the system's failed.
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// It was told to stop.
    Interrupted,
    /// What was asked for cannot be measured here.
    Options(String),
    /// A server did not start, did not stop, or is not what it should be.
    Server {
        /// Which.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A server refused requests, or broke connections off: its figures would be worth nothing.
    Failed {
        /// Which.
        name: String,
        /// Requests that got another answer than success.
        refused: u64,
        /// Connections that broke.
        broken: u64,
        /// The first of the wrong answers, or how the first connection broke.
        first: String,
    },
    /// What a server says it stored is not what it acknowledged.
    Accounts {
        /// Which.
        name: String,
        /// What does not fit.
        what: String,
    },
}

impl Error {
    /// From an error of the system's, with what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what: what.into(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { what, .. } => write!(f, "cannot {what}"),
            Error::Interrupted => {
                f.write_str("interrupted: nothing is left running and no scratch file behind")
            }
            Error::Options(what) => f.write_str(what),
            Error::Server { name, what } => write!(f, "{name}: {what}"),
            Error::Failed { name, refused, broken, first } => write!(
                f,
                "{name} refused {refused} requests and broke {broken} connections, so its figures are worth nothing; \
                 the first: {first}"
            ),
            Error::Accounts { name, what } => write!(f, "the accounts of {name} do not balance: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
