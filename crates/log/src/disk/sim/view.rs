//! Reading maps of the simulated disk: each window is a copy of what the file holds when it is asked for.

use super::{
    SimDisk,
    file::{SimFile, SimView},
    inode::SECTOR,
};
use crate::{
    disk::{DiskFile, DiskView, ReadMap},
    watermark::Limit,
};
use std::{io, ops::Range, path::Path, sync::Arc};

#[derive(Debug)]
pub(super) struct SimReadMap(pub(super) SimFile);

impl ReadMap for SimReadMap {
    fn window(&self, limit: Limit, range: Range<usize>) -> io::Result<Arc<dyn DiskView>> {
        let len = usize::try_from(self.0.len()?).unwrap_or(usize::MAX);
        let end = range.end.min(limit.bytes()).min(len);
        let start = range.start.min(end);
        let node = self.0.readable(start..end)?;
        // Its unused end may have been given back just now.
        let end = end.min(node.bytes.len());
        Ok(Arc::new(SimView { range: start.min(end)..end, node }))
    }

    fn expect_sequential(&self) {}
}

impl SimDisk {
    /// The disk cannot read the sector at `offset` of a file any more.
    ///
    /// # Panics
    /// When there is no such byte.
    pub(crate) fn spoil(&self, path: &Path, offset: usize) {
        let mut world = self.lock();
        let inode = world.names[path];
        let node = world.node(inode);
        assert!(offset < node.bytes.len(), "no byte {offset} in {}", path.display());
        node.unreadable.push(offset / SECTOR);
    }
}
