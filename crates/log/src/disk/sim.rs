//! A simulated disk: everything in memory, and every way a disk may let one down.
//!
//! Written bytes and changed names are remembered as not yet durable until they are flushed. A power cut
//! keeps any part of them, by sectors of 512 bytes and by names in order; a failed flush drops any part and
//! forgets that it was ever to be written, as Linux does. All choices come from one seed.

use super::{Disk, DiskFile, DiskMap, DiskView};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the disk writes at once, or not at all.
const SECTOR: usize = 512;

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

#[derive(Debug)]
struct World {
    random: u64,
    /// Handles of an earlier life of the process are dead.
    life: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// In order, not yet synced.
    changes: Vec<Change>,
    dirs: BTreeSet<PathBuf>,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    capacity: u64,
    steps: u64,
    crash_at: Option<u64>,
    crashed: bool,
    flushes: u64,
    failing_flushes: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn dir(&self) -> Option<&Path> {
        match self {
            Change::Link(path, _) | Change::Unlink(path) | Change::Rename(path, _) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Change::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Change::Unlink(path) => {
                names.remove(path);
            }
            Change::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors of `bytes` that no flush has taken yet.
    dirty: BTreeSet<usize>,
    len_dirty: bool,
}

impl Inode {
    fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
            self.len_dirty = true;
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
    }

    fn set_len(&mut self, len: usize) {
        self.len_dirty |= self.bytes.len() != len;
        self.bytes.resize(len, 0);
        self.dirty.retain(|sector| sector * SECTOR < len);
    }

    fn flush_sector(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.bytes.len());
        if start < end {
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&self.bytes[start..end]);
        }
    }

    fn flush_len(&mut self) {
        if std::mem::take(&mut self.len_dirty) {
            self.durable.resize(self.bytes.len(), 0);
        }
    }
}

impl World {
    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn coin(&mut self) -> bool {
        self.random() & 1 == 1
    }

    /// Every change to the disk passes here, and one of them may be where it ends.
    fn step(&mut self, life: u64) -> io::Result<()> {
        self.alive(life)?;
        self.steps += 1;
        if self.crash_at == Some(self.steps) {
            self.crashed = true;
        }
        self.alive(life)
    }

    fn alive(&self, life: u64) -> io::Result<()> {
        if self.crashed || life != self.life {
            return Err(io::Error::other("the simulated machine is down"));
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].bytes.len() as u64).sum()
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes room for `inode` to be `len` bytes long.
    fn grow(&mut self, inode: u64, len: usize) -> io::Result<()> {
        let now = self.inode(inode)?.bytes.len();
        if len > now && self.used() + (len - now) as u64 > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn flush(&mut self, inode: u64, sectors: Option<std::ops::Range<usize>>) -> io::Result<()> {
        self.flushes += 1;
        let fails = self.failing_flushes.remove(&self.flushes);
        let node = self.inode(inode)?;
        let dirty: Vec<_> = match sectors {
            Some(range) => node.dirty.range(range).copied().collect(),
            None => node.dirty.iter().copied().collect(),
        };
        node.flush_len();
        for sector in dirty {
            let written = !fails || self.coin();
            let node = self.inode(inode)?;
            // Written or not, the system forgets that it was to be.
            node.dirty.remove(&sector);
            if written {
                node.flush_sector(sector);
            }
        }
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
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
                    if sector * SECTOR < node.durable.len() && world.coin() {
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

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
    life: u64,
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
