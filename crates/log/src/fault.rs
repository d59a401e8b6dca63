//! What the operating system's errors mean for whoever has to mend them.
//!
//! An error's own text says what happened; this says what it is about and what to do. A used-up quota is a
//! full disk, wherever that matters.

use rustix::io::Errno;
use std::{fmt, io};

/// Is there no space left, on the disk or within the quota?
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What to do about an error, where that is known.
pub(crate) fn hint(error: &io::Error) -> Option<&'static str> {
    let known = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    Some(match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full: make room",
        io::ErrorKind::QuotaExceeded => "the quota on the disk is used up: make room or raise it",
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only, as the kernel makes it after errors: see the kernel log"
        }
        io::ErrorKind::OutOfMemory => "the system is out of memory",
        _ if known(Errno::MFILE) => "this process has too many files open: raise LimitNOFILE",
        _ if known(Errno::NFILE) => "the system has too many files open: raise fs.file-max",
        _ if known(Errno::NOMEM) => "the system is out of memory",
        _ if known(Errno::IO) => "the disk reports an error: see the kernel log",
        _ => return None,
    })
}

/// An error with what to do about it, on one line.
pub(crate) struct Explained<'a>(pub(crate) &'a io::Error);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match hint(self.0) {
            Some(hint) => write!(f, "{hint} ({})", self.0),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_what_is_wrong_and_what_to_do() {
        for (errno, full, says) in [
            (Errno::NOSPC, true, "disk is full"),
            (Errno::DQUOT, true, "quota"),
            (Errno::ROFS, false, "read-only"),
            (Errno::NOMEM, false, "out of memory"),
            (Errno::MFILE, false, "LimitNOFILE"),
            (Errno::NFILE, false, "fs.file-max"),
            (Errno::IO, false, "kernel log"),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(is_full(&error), full, "{error}");
            let text = Explained(&error).to_string();
            assert!(text.contains(says) && text.contains(&error.to_string()), "{text}");
        }
        let other = io::Error::other("something else");
        assert_eq!(Explained(&other).to_string(), "something else");
    }
}
