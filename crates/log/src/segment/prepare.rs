//! Making the file of a segment before it is needed.

use crate::{
    commit::{self, SegmentFile},
    config::Backend,
    disk::Disk,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file of durable zeros, ready to become a segment. Dropped unused, it is removed.
#[derive(Debug)]
pub(crate) struct Prepared {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    /// `None` once it was put to use.
    file: Option<SegmentFile>,
}

/// Makes a prepared file of `bytes` at `path`. When that fails nothing is left behind.
///
/// # Errors
/// As the disk says: this is where a full one shows.
pub(crate) fn prepare(
    disk: &Arc<dyn Disk>,
    backend: Backend,
    path: &Path,
    bytes: u64,
) -> io::Result<Prepared> {
    match commit::prepare(backend, &**disk, path, bytes) {
        Ok(file) => Ok(Prepared { disk: Arc::clone(disk), path: path.to_owned(), bytes, file: Some(file) }),
        Err(e) => {
            // What counts is the error above; what stays behind is removed at the next start.
            let _ = disk.remove(path);
            Err(e)
        }
    }
}

impl Prepared {
    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it the segment at `path`, with `header` as its first block, durably: when this returns `Ok`
    /// the name and the header survive a power cut.
    pub(crate) fn activate(mut self, path: &Path, header: &[u8]) -> io::Result<SegmentFile> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        // Header first: a name never leads to a file without one.
        mutant!(HeaderUnflushed: file.file.write_at(header, 0), else file.file.write_durable(header, 0))?;
        self.disk.rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        mutant!(DirSyncSkipped, {
            return self.file.take().ok_or_else(|| io::ErrorKind::NotFound.into());
        });
        if let Some(dir) = path.parent() {
            self.disk.sync_dir(dir)?;
        }
        self.file.take().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if self.file.is_some() {
            // A file that stays is removed at the next start.
            let _ = self.disk.remove(&self.path);
        }
    }
}
