//! Writing past the system's page cache.
//!
//! A write through the cache copies every byte into pages that have to be found or made first; past it (`O_DIRECT`) the
//! device takes the bytes from where they are. It asks for whole pages from aligned memory, and not every file system
//! does it: whatever does not fit is left to the ordinary way. Both may be used on one file: the system keeps its cache
//! and such writes in step.

use super::{PAGE, write_whole};
use rustix::{
    fs::OFlags,
    io::{Errno, ReadWriteFlags},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// A second handle of a file, for such writes.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    /// A write was refused once.
    refused: AtomicBool,
}

impl Direct {
    /// Of the file at `path`; `None` if its file system does not know such writes.
    ///
    /// # Errors
    /// Why the file cannot be opened for another reason.
    pub(super) fn open(path: &Path) -> io::Result<Option<Direct>> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
        match OpenOptions::new().write(true).custom_flags(flags).open(path) {
            Ok(file) => Ok(Some(Direct { file, refused: AtomicBool::new(false) })),
            Err(e) if e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes all of `bytes` at `offset`, durably if the flags say so; `false` if that has to be done in the ordinary
    /// way.
    ///
    /// # Errors
    /// As the file system says; what is there then is unknown.
    pub(super) fn write(&self, bytes: &[u8], offset: u64, flags: ReadWriteFlags) -> io::Result<bool> {
        // Relaxed: a hint, written and read by the file's one writer.
        if self.refused.load(Ordering::Relaxed) || !is_aligned(bytes, offset) {
            return Ok(false);
        }
        let write = |rest: &[u8], at| rustix::io::pwritev2(&self.file, &[IoSlice::new(rest)], at, flags);
        let taken = write_whole(bytes, offset, write)?;
        if !taken {
            self.refused.store(true, Ordering::Relaxed);
        }
        Ok(taken)
    }
}

/// Does it start, in memory and in the file, and end where a page does? No device asks for more.
fn is_aligned(bytes: &[u8], offset: u64) -> bool {
    bytes.as_ptr().addr().is_multiple_of(PAGE)
        && bytes.len().is_multiple_of(PAGE)
        && offset.is_multiple_of(PAGE as u64)
}
