//! Commit backends: how a group's bytes get into a prepared segment and become durable.
//!
//! Which one is faster depends on kernel, file system and group size: `forebay bench disk` measures both.
//! The bytes on disk are the same.

mod aligned;
mod mapped;
mod pwrite;

pub(crate) use aligned::Aligned;

use crate::{
    config::Backend,
    disk::{Disk, DiskFile, DiskMap},
};
use std::{fmt, io, path::Path};

/// Puts groups into segments, and prepares segments for that.
pub(crate) trait CommitBackend: fmt::Debug + Send {
    /// Lets `fill` write all of the `len` bytes at `position`, and returns once they are durable.
    ///
    /// After an error nobody knows what is on disk there: it is final for the segment.
    fn commit(
        &mut self,
        file: &mut SegmentFile,
        position: u64,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> io::Result<()>;

    /// Gives back memory that only a busy lane needs.
    fn rest(&mut self) {}
}

/// A segment's file, open for writing, with its map if the backend writes through one.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) map: Option<Box<dyn DiskMap>>,
}

/// The backend that `kind` names.
pub(crate) fn backend(kind: Backend) -> Box<dyn CommitBackend> {
    match kind {
        Backend::Mapped => Box::new(mapped::Mapped),
        // What differs is the file that it writes to.
        Backend::Pwrite | Backend::Direct => Box::new(pwrite::Pwrite::default()),
    }
}

/// Makes a file of `bytes` durable zeros at `path`, in the way that makes later commits cheapest.
pub(crate) fn prepare(kind: Backend, disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<SegmentFile> {
    let file = match kind {
        Backend::Mapped | Backend::Pwrite => disk.create(path)?,
        Backend::Direct => disk.create_direct(path)?,
    };
    file.allocate(bytes)?;
    match kind {
        Backend::Mapped => mapped::prepare(file, bytes),
        Backend::Pwrite | Backend::Direct => pwrite::prepare(file, bytes),
    }
}

/// Preparing goes in steps of this many bytes, so that a commit on the same disk never waits behind more than one: half a
/// millisecond on a disk of 1 GB/s.
const PREPARE_STEP: usize = 512 << 10;
