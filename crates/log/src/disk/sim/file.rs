//! Files of the simulated disk, and their maps.

use super::{
    SimDisk,
    faults::Fault,
    inode::{Inode, PAGE, SECTOR},
    view::SimReadMap,
    world::{InFlight, World},
};
use crate::disk::{DiskFile, DiskMap, DiskView, ReadMap};
use std::{
    io,
    ops::Range,
    sync::{Arc, MutexGuard},
};

const EIO: i32 = 5;

#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) inode: u64,
    pub(super) life: u64,
}

impl SimFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<MutexGuard<'_, World>> {
        let at = index(offset)?;
        let doing = || InFlight::Write { inode: self.inode, bytes: bytes.to_vec(), at };
        let mut world = self.disk.step(self.life, doing)?;
        world.write(self.inode, bytes, at)?;
        Ok(world)
    }

    /// The file as it is now, if all of `range` can be read.
    pub(super) fn readable(&self, range: Range<usize>) -> io::Result<Arc<Inode>> {
        let mut world = self.disk.lock();
        world.alive(self.life)?;
        if world.inode(self.inode)?.is_unreadable(range) {
            world.struck.count(Fault::FailedRead);
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(Arc::clone(&world.inodes[&self.inode]))
    }

    fn flush_range(&self, sectors: Option<Range<usize>>) -> io::Result<()> {
        let mut world = self.disk.step(self.life, || InFlight::Flush)?;
        world.flush(self.inode, sectors)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inode(self.inode)?.bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (inode, len) = (self.inode, index(len)?);
        let mut world = self.disk.step(self.life, || InFlight::SetLen { inode, len })?;
        world.inode(inode)?;
        if let Some(error) = world.failing() {
            return Err(error);
        }
        world.grow(inode, len)?;
        world.node(inode).set_len(len);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let at = index(offset)?;
        let mut world = self.disk.lock();
        world.alive(self.life)?;
        let node = world.inode(self.inode)?;
        let rest = node.bytes.get(at..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if node.is_unreadable(at..at + len) {
            world.struck.count(Fault::FailedRead);
            return Err(io::Error::from_raw_os_error(EIO));
        }
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(bytes, offset).map(drop)
    }

    fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        drop(self.write(bytes, offset)?);
        let at = index(offset)?;
        self.flush_range(Some(at / SECTOR..(at + bytes.len()).div_ceil(SECTOR)))
    }

    fn flush(&self) -> io::Result<()> {
        self.flush_range(None)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        if len > now { self.set_len(len) } else { Ok(()) }
    }

    fn view(&self) -> io::Result<Box<dyn DiskView>> {
        let mut world = self.disk.lock();
        world.alive(self.life)?;
        world.inode(self.inode)?;
        let mut node = Arc::clone(&world.inodes[&self.inode]);
        if !node.unreadable.is_empty() {
            world.struck.count(Fault::FailedRead);
            blank_unreadable(Arc::make_mut(&mut node));
        }
        let range = 0..node.bytes.len();
        Ok(Box::new(SimView { node, range }))
    }

    fn read_map(&self) -> io::Result<Arc<dyn ReadMap>> {
        let file = SimFile { disk: self.disk.clone(), inode: self.inode, life: self.life };
        Ok(Arc::new(SimReadMap(file)))
    }

    fn map(&self, len: u64) -> io::Result<Box<dyn DiskMap>> {
        if self.len()? < len {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "map longer than its file"));
        }
        let file = SimFile { disk: self.disk.clone(), inode: self.inode, life: self.life };
        Ok(Box::new(SimMap { file, len: index(len)? }))
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Zeros where a page cannot be read: as a view of a real file has them.
fn blank_unreadable(node: &mut Inode) {
    for bad in std::mem::take(&mut node.unreadable) {
        let page = bad * SECTOR / PAGE * PAGE;
        let end = (page + PAGE).min(node.bytes.len());
        if let Some(page) = node.bytes.get_mut(page..end) {
            page.fill(0);
        }
    }
}

/// A file's bytes as they were: shared with the file until that is written again.
pub(super) struct SimView {
    pub(super) node: Arc<Inode>,
    pub(super) range: Range<usize>,
}

impl DiskView for SimView {
    fn bytes(&self) -> &[u8] {
        &self.node.bytes[self.range.clone()]
    }
}

/// Stores into a map are writes like any other, but cannot fail: on a dead machine they go nowhere.
#[derive(Debug)]
struct SimMap {
    file: SimFile,
    len: usize,
}

impl SimMap {
    fn store(&self, bytes: &[u8], at: usize) {
        let inode = self.file.inode;
        let doing = || InFlight::Write { inode, bytes: bytes.to_vec(), at };
        if let Ok(mut world) = self.file.disk.step(self.file.life, doing)
            && world.inode(inode).is_ok()
        {
            world.store(inode, bytes, at);
        }
    }
}

impl DiskMap for SimMap {
    fn len(&self) -> usize {
        self.len
    }

    fn expect_random(&self) -> io::Result<()> {
        Ok(())
    }

    fn populate(&mut self, _offset: usize, _len: usize) -> io::Result<()> {
        Ok(())
    }

    fn fill(&mut self, offset: usize, len: usize, fill: &mut dyn FnMut(&mut [u8])) {
        assert!(offset + len <= self.len, "outside the map");
        let mut bytes = vec![0; len];
        let _ = self.file.read_at(&mut bytes, offset as u64);
        fill(&mut bytes);
        self.store(&bytes, offset);
    }
}
