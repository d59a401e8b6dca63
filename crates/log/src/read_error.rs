//! Why a stored log cannot be read.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// A file or folder of the log cannot be read. Damaged content is not an error: it is a gap.
#[derive(Debug)]
pub struct ReadError {
    /// What was tried.
    pub what: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl ReadError {
    pub(crate) fn of<'p>(what: &'static str, path: &'p Path) -> impl Fn(io::Error) -> ReadError + 'p {
        move |source| ReadError { what, path: path.to_owned(), source }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.what, self.path.display())
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
