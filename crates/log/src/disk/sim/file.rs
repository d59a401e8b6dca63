//! Files of the simulated disk, and their maps.

use super::{
    SimDisk,
    world::{SECTOR, World},
};
use crate::disk::{DiskFile, DiskMap, DiskView};
use std::{io, sync::MutexGuard};

#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) inode: u64,
    pub(super) life: u64,
}

impl SimFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<MutexGuard<'_, World>> {
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut world = self.disk.lock();
        world.step(self.life)?;
        world.grow(self.inode, at + bytes.len())?;
        world.inode(self.inode)?.write(bytes, at);
        Ok(world)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inode(self.inode)?.bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut world = self.disk.lock();
        world.step(self.life)?;
        world.grow(self.inode, len)?;
        world.inode(self.inode)?.set_len(len);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut world = self.disk.lock();
        world.alive(self.life)?;
        let rest = world.inode(self.inode)?.bytes.get(at..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(bytes, offset).map(drop)
    }

    fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.write(bytes, offset)?;
        world.step(self.life)?;
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        world.flush(self.inode, Some(at / SECTOR..(at + bytes.len()).div_ceil(SECTOR)))
    }

    fn flush(&self) -> io::Result<()> {
        let mut world = self.disk.lock();
        world.step(self.life)?;
        world.flush(self.inode, None)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        if len > now { self.set_len(len) } else { Ok(()) }
    }

    fn view(&self) -> io::Result<Box<dyn DiskView>> {
        let mut world = self.disk.lock();
        world.alive(self.life)?;
        Ok(Box::new(SimView(world.inode(self.inode)?.bytes.clone())))
    }

    fn map(&self, len: u64) -> io::Result<Box<dyn DiskMap>> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let file = SimFile { disk: self.disk.clone(), inode: self.inode, life: self.life };
        Ok(Box::new(SimMap { file, len }))
    }
}

struct SimView(Vec<u8>);

impl DiskView for SimView {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Stores into a map are writes like any other, but cannot fail: on a dead machine they go nowhere.
#[derive(Debug)]
struct SimMap {
    file: SimFile,
    len: usize,
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
        let _ = self.file.write_at(&bytes, offset as u64);
    }

    fn publish(&mut self, offset: usize, words: &[u8]) {
        assert!(offset + words.len() <= self.len, "outside the map");
        let _ = self.file.write_at(words, offset as u64);
    }
}
