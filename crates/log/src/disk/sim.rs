//! A simulated disk: everything in memory, and every way a disk may let one down.
//!
//! Written bytes and changed names are remembered as not yet durable until they are flushed. A power cut
//! keeps any part of them, by sectors of 512 bytes and by names in order; a failed flush drops any part and
//! forgets that it was ever to be written, as Linux does. All choices come from one seed.

mod file;
mod world;

use super::{Disk, DiskFile};
use file::SimFile;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use world::{Change, Inode, World};

/// How a run on a simulated disk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: what it wrote is in the system's cache and stays.
    Kill,
    /// Power goes: nothing that was not flushed is there afterwards.
    LoseAll,
    /// Power goes: of what was not flushed some is there, some is not.
    LoseSome,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

impl SimDisk {
    /// An empty disk of 1 GiB.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        let world = World {
            random: seed,
            life: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            dirs: BTreeSet::new(),
            inodes: BTreeMap::new(),
            next_inode: 0,
            capacity: 1 << 30,
            steps: 0,
            crash_at: None,
            crashed: false,
            flushes: 0,
            failing_flushes: BTreeSet::new(),
        };
        SimDisk { world: Arc::new(Mutex::new(world)) }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how much fits on it.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// How many changes were made so far: writes, flushes, names.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// How many flushes were asked for so far.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.lock().flushes
    }

    /// The machine goes down at the change with this number; everything fails from there on.
    pub fn crash_at(&self, step: u64) {
        self.lock().crash_at = Some(step);
    }

    /// Is the machine down, until it is rebooted?
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.lock().crashed
    }

    /// The flush with this number fails, once.
    pub fn fail_flush(&self, flush: u64) {
        self.lock().failing_flushes.insert(flush);
    }

    /// Ends the run, and starts the machine again: earlier handles are dead.
    pub fn reboot(&self, crash: Crash) {
        let mut world = self.lock();
        let world = &mut *world;
        world.life += 1;
        world.crashed = false;
        world.crash_at = None;
        world.failing_flushes.clear();
        if crash == Crash::Kill {
            return;
        }
        let lose_some = crash == Crash::LoseSome;
        // A folder's changes go to disk in their order: some first part of them is there.
        let changes = std::mem::take(&mut world.changes);
        let dirs: BTreeSet<_> = changes.iter().filter_map(Change::dir).map(Path::to_owned).collect();
        for dir in dirs {
            for change in changes.iter().filter(|change| change.dir() == Some(&dir)) {
                if !lose_some || world.coin() {
                    break;
                }
                change.apply(&mut world.durable_names);
            }
        }
        world.names = world.durable_names.clone();
        let inodes: Vec<_> = world.inodes.keys().copied().collect();
        for id in inodes {
            let Some(mut node) = world.inodes.remove(&id) else { continue };
            if lose_some {
                if world.coin() {
                    node.flush_len();
                }
                for sector in std::mem::take(&mut node.dirty) {
                    if sector * world::SECTOR < node.durable.len() && world.coin() {
                        let len = node.durable.len();
                        node.flush_sector(sector);
                        node.durable.truncate(len);
                    }
                }
            }
            node.bytes = node.durable.clone();
            node.dirty.clear();
            node.len_dirty = false;
            world.inodes.insert(id, node);
        }
        let linked: BTreeSet<_> = world.names.values().copied().collect();
        world.inodes.retain(|id, _| linked.contains(id));
    }

    /// Flips bits of a byte of a file, on the medium.
    ///
    /// # Panics
    /// When there is no such byte.
    pub fn flip(&self, path: &Path, offset: usize, bits: u8) {
        let mut world = self.lock();
        let inode = world.names[path];
        let node = world.inodes.get_mut(&inode).expect("a name leads to a file");
        node.bytes[offset] ^= bits;
        if let Some(byte) = node.durable.get_mut(offset) {
            *byte ^= bits;
        }
    }

    /// Writes all files, as they are now, to the real folder that the paths name.
    ///
    /// # Errors
    /// As the real file system says.
    pub fn export(&self) -> io::Result<()> {
        let world = self.lock();
        for dir in &world.dirs {
            fs::create_dir_all(dir)?;
        }
        for (path, inode) in &world.names {
            fs::write(path, &world.inodes[inode].bytes)?;
        }
        Ok(())
    }

    fn handle(&self, inode: u64, life: u64) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), inode, life })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.lock();
        let life = world.life;
        world.step(life)?;
        let inode = world.next_inode;
        world.next_inode += 1;
        world.inodes.insert(inode, Inode::default());
        world.change(Change::Link(path.to_owned(), inode));
        Ok(self.handle(inode, life))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let world = self.lock();
        world.alive(world.life)?;
        let inode = *world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(inode, world.life))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.lock();
        world.alive(world.life)?;
        let inside = world.names.keys().chain(&world.dirs).filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.lock();
        world.alive(world.life)?;
        world.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.lock();
        let life = world.life;
        world.step(life)?;
        if !world.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.lock();
        let life = world.life;
        world.step(life)?;
        if !world.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.change(Change::Unlink(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.lock();
        let life = world.life;
        world.step(life)?;
        let (synced, rest) =
            std::mem::take(&mut world.changes).into_iter().partition(|c| c.dir() == Some(dir));
        world.changes = rest;
        let synced: Vec<Change> = synced;
        for change in synced {
            change.apply(&mut world.durable_names);
        }
        Ok(())
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        let world = self.lock();
        Ok(world.capacity.saturating_sub(world.used()))
    }
}
