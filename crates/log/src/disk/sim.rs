//! A simulated disk: everything in memory, and every way a disk may let one down. For tests only.
//!
//! Written bytes and changed names are remembered as not yet durable until they are flushed. A power cut
//! keeps any part of them, by sectors of 512 bytes, and may garble the pages that were being written; a failed
//! flush drops any part and forgets that it was ever to be written, as Linux does. [`Faults`] adds what goes
//! wrong by itself. All choices come from one seed, and time is counted, never waited for.
//!
//! A disk that is watched hands out, before each of its steps, a copy of the machine at that moment with the
//! step just begun: whoever watches lets it crash there, and finds out what comes of it.

mod crash;
mod faults;
mod file;
mod inode;
mod random;
mod tests;
mod view;
mod world;

pub(crate) use faults::{Fault, Faults, Struck};
pub(crate) use random::Random;

use super::{Disk, DiskFile};
use file::SimFile;
use inode::Inode;
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use world::{Change, InFlight, World};

/// How a run on a simulated disk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is killed: what it wrote is in the system's cache and stays.
    Kill,
    /// Power goes: nothing that was not flushed is there afterwards.
    LoseAll,
    /// Power goes: of what was not flushed some is there, some is not.
    LoseSome,
}

/// Is handed the machine as it is before each step.
type Watch = Box<dyn FnMut(SimDisk) + Send>;

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk {
    shared: Arc<Shared>,
    /// Used by a process of this life: dead in any other.
    bound: Option<u64>,
}

struct Shared {
    world: Mutex<World>,
    watch: Mutex<Option<Watch>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("steps", &self.steps()).finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk of 1 GiB.
    pub(crate) fn new(seed: u64) -> SimDisk {
        SimDisk::of(World::new(seed))
    }

    fn of(world: World) -> SimDisk {
        let shared = Arc::new(Shared { world: Mutex::new(world), watch: Mutex::new(None) });
        SimDisk { shared, bound: None }
    }

    /// The disk as a process has it: after the next reboot whatever is left of that process does nothing.
    pub(crate) fn process(&self) -> SimDisk {
        SimDisk { shared: Arc::clone(&self.shared), bound: Some(self.life()) }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another machine, the same as this one at this moment; nobody watches it.
    pub(crate) fn fork(&self) -> SimDisk {
        SimDisk::of(self.lock().clone())
    }

    /// As [`SimDisk::fork`], and nothing goes wrong there by itself any more: for looking on.
    pub(crate) fn quiet(&self) -> SimDisk {
        let mut world = self.lock().clone();
        world.faults = Faults::default();
        world.in_flight = None;
        SimDisk::of(world)
    }

    /// Lets `watch` have a copy of the machine before each step from now on.
    pub(crate) fn watch(&self, watch: impl FnMut(SimDisk) + Send + 'static) {
        *self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(watch));
    }

    /// Nobody watches any more.
    pub(crate) fn unwatch(&self) {
        *self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Goes on with other choices than it would have made.
    pub(crate) fn reseed(&self, seed: u64) {
        self.lock().random = Random::new(seed);
    }

    /// Counts the starts of the machine.
    pub(crate) fn life(&self) -> u64 {
        self.lock().life
    }

    /// Sets how much fits on it.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Bytes of all files.
    pub(crate) fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Sets whether a full disk says EDQUOT instead of ENOSPC.
    pub(crate) fn set_quota(&self, quota: bool) {
        self.lock().quota = quota;
    }

    /// Sets what goes wrong by itself from now on.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// What goes wrong by itself.
    pub(crate) fn faults(&self) -> Faults {
        self.lock().faults
    }

    /// The faults that struck since this was last asked.
    pub(crate) fn take_struck(&self) -> Struck {
        std::mem::take(&mut self.lock().struck)
    }

    /// The faults that struck and have not been taken.
    pub(crate) fn struck(&self) -> Struck {
        self.lock().struck
    }

    /// Virtual milliseconds since the disk was made.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.lock().now_ns / 1_000_000
    }

    /// Lets time pass.
    pub(crate) fn pass_ms(&self, ms: u64) {
        self.lock().now_ns += ms * 1_000_000;
    }

    /// How many changes were made so far: writes, flushes, names.
    pub(crate) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// How many flushes were asked for so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.lock().flushes
    }

    /// Bytes that flushes have put on the medium so far.
    pub(crate) fn flushed_bytes(&self) -> u64 {
        self.lock().flushed_bytes
    }

    /// The segments that were written or flushed again in the life in which a flush of them had failed.
    pub(crate) fn retried(&self) -> Vec<PathBuf> {
        self.lock().retried.clone()
    }

    /// The machine goes down at the change with this number; everything fails from there on.
    pub(crate) fn crash_at(&self, step: u64) {
        self.lock().crash_at = Some(step);
    }

    /// Is the machine down, until it is rebooted?
    pub(crate) fn is_down(&self) -> bool {
        self.lock().crashed
    }

    /// The flush with this number fails, once.
    pub(crate) fn fail_flush(&self, flush: u64) {
        self.lock().failing_flushes.insert(flush);
    }

    /// The disk is well again: nothing that was to go wrong does.
    pub(crate) fn heal(&self) {
        let mut world = self.lock();
        world.failing_flushes.clear();
        world.faults = Faults::default();
    }

    /// Ends the run, and starts the machine again: earlier handles are dead.
    pub(crate) fn reboot(&self, crash: Crash) {
        self.lock().reboot(crash);
    }

    /// Flips bits of a byte of a file, on the medium.
    ///
    /// # Panics
    /// When there is no such byte.
    pub(crate) fn flip(&self, path: &Path, offset: usize, bits: u8) {
        let mut world = self.lock();
        let inode = world.names[path];
        assert!(world::flip(world.node(inode), offset, bits), "no byte {offset} in {}", path.display());
    }

    /// Every file's bytes, as a process sees them.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.lock();
        let bytes = |inode: &u64| world.inodes[inode].bytes.clone();
        world.names.iter().map(|(path, inode)| (path.clone(), bytes(inode))).collect()
    }

    /// Writes all files, as they are now, to the real folder that the paths name.
    ///
    /// # Errors
    /// As the real file system says.
    pub(crate) fn export(&self) -> io::Result<()> {
        let world = self.lock();
        for dir in world.dirs.iter() {
            fs::create_dir_all(dir)?;
        }
        for (path, inode) in world.names.iter() {
            fs::write(path, &world.inodes[inode].bytes)?;
        }
        Ok(())
    }

    /// One step: who watches sees the machine with it begun, and it may be where the machine goes down.
    fn step(&self, life: u64, doing: impl Fn() -> InFlight) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.lock();
        world.alive(life)?;
        let mut watch = self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = watch.as_mut() {
            let mut at = world.clone();
            at.in_flight = Some(doing());
            at.crash_at = None;
            at.struck = Struck::default();
            drop(world);
            watch(SimDisk::of(at));
            world = self.lock();
        }
        world.step(life, doing)?;
        Ok(world)
    }

    fn handle(&self, inode: u64, life: u64) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), inode, life })
    }

    fn name(&self, change: impl Fn(&World) -> io::Result<Change>) -> io::Result<u64> {
        let life = self.bound.unwrap_or(self.life());
        // Looked up before the step: a name that is not there changes nothing.
        let asked = change(&self.lock())?;
        let mut world = self.step(life, || InFlight::Name(asked.clone()))?;
        world.failing_name()?;
        world.change(asked);
        Ok(life)
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = {
            let mut world = self.lock();
            let inode = world.next_inode;
            world.next_inode += 1;
            world.inodes.insert(inode, Arc::new(Inode::default()));
            inode
        };
        let life = self.name(|_| Ok(Change::Link(path.to_owned(), inode)))?;
        Ok(self.handle(inode, life))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.lock();
        let life = self.bound.unwrap_or(world.life);
        world.alive(life)?;
        let inode = *world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        world.failing_name()?;
        Ok(self.handle(inode, life))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.lock();
        world.alive(self.bound.unwrap_or(world.life))?;
        let inside = world.names.keys().chain(world.dirs.iter()).filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.lock();
        world.alive(self.bound.unwrap_or(world.life))?;
        if !world.dirs.contains(dir) {
            Arc::make_mut(&mut world.dirs).extend(dir.ancestors().map(Path::to_owned));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.name(|world| {
            let inode = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            Ok(Change::Rename(from.to_owned(), to.to_owned(), inode))
        })
        .map(drop)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.name(|world| {
            world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(Change::Unlink(path.to_owned()))
        })
        .map(drop)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let life = self.bound.unwrap_or(self.life());
        let mut world = self.step(life, || InFlight::Flush)?;
        if let Some(error) = world.failing() {
            world.struck.count(Fault::FailedSyncDir);
            return Err(error);
        }
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut world.changes).into_iter().partition(|change| change.dir() == Some(dir));
        world.changes = rest;
        let names = Arc::make_mut(&mut world.durable_names);
        for change in &synced {
            change.apply(names);
        }
        Ok(())
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        let world = self.lock();
        Ok(world.capacity.saturating_sub(world.used()))
    }
}
