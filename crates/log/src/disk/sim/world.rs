//! What the simulated machine knows: names, bytes, which of them are durable, the time, and what is to go wrong.

use super::{
    faults::{Fault, Faults, Struck},
    inode::{Inode, PAGE, SECTOR},
    random::Random,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

/// How long the disk takes: for a change, for a flush, for a flush when it struggles. Virtual, never waited for.
const CHANGE_NS: u64 = 10_000;
const FLUSH_NS: u64 = 1_000_000;
const SLOW_NS: u64 = 5_000_000_000;

/// Cloned, it is the same machine at the same moment: files are shared until one of them is changed.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) random: Random,
    /// Handles of an earlier life of the process are dead.
    pub(super) life: u64,
    pub(super) names: Arc<BTreeMap<PathBuf, u64>>,
    pub(super) durable_names: Arc<BTreeMap<PathBuf, u64>>,
    /// In order, not yet synced.
    pub(super) changes: Vec<Change>,
    pub(super) dirs: Arc<BTreeSet<PathBuf>>,
    pub(super) inodes: BTreeMap<u64, Arc<Inode>>,
    pub(super) next_inode: u64,
    pub(super) capacity: u64,
    /// What a full disk says: EDQUOT instead of ENOSPC.
    pub(super) quota: bool,
    pub(super) steps: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    /// What was being done when the machine went down, or when the snapshot was taken.
    pub(super) in_flight: Option<InFlight>,
    pub(super) flushes: u64,
    pub(super) failing_flushes: BTreeSet<u64>,
    pub(super) faults: Faults,
    pub(super) struck: Struck,
    pub(super) now_ns: u64,
    /// Bytes that flushes have put on the medium.
    pub(super) flushed_bytes: u64,
    /// Writes or flushes of a file of which a flush had failed in the same life.
    pub(super) retried: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

/// A change to the disk that has begun.
#[derive(Clone, Debug)]
pub(super) enum InFlight {
    Write {
        inode: u64,
        bytes: Vec<u8>,
        at: usize,
    },
    SetLen {
        inode: u64,
        len: usize,
    },
    Name(Change),
    /// Nothing of it shows before it is done, but for what any power cut may keep.
    Flush,
}

impl Change {
    pub(super) fn dir(&self) -> Option<&Path> {
        match self {
            Change::Link(path, _) | Change::Unlink(path) | Change::Rename(path, ..) => path.parent(),
        }
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Change::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Change::Unlink(path) => {
                names.remove(path);
            }
            Change::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World {
            random: Random::new(seed),
            life: 0,
            names: Arc::default(),
            durable_names: Arc::default(),
            changes: Vec::new(),
            dirs: Arc::default(),
            inodes: BTreeMap::new(),
            next_inode: 0,
            capacity: 1 << 30,
            quota: false,
            steps: 0,
            crash_at: None,
            crashed: false,
            in_flight: None,
            flushes: 0,
            failing_flushes: BTreeSet::new(),
            faults: Faults::default(),
            struck: Struck::default(),
            now_ns: 0,
            flushed_bytes: 0,
            retried: Vec::new(),
        }
    }

    /// Every change to the disk passes here, and one of them may be where it ends.
    pub(super) fn step(&mut self, life: u64, doing: impl FnOnce() -> InFlight) -> io::Result<()> {
        self.alive(life)?;
        self.steps += 1;
        self.now_ns += CHANGE_NS;
        if self.crash_at == Some(self.steps) {
            self.crashed = true;
            self.in_flight = Some(doing());
        }
        self.alive(life)?;
        self.rot();
        Ok(())
    }

    pub(super) fn alive(&self, life: u64) -> io::Result<()> {
        if self.crashed || life != self.life {
            return Err(io::Error::other("the simulated machine is down"));
        }
        Ok(())
    }

    /// The error of a call that fails, if this one is to. Which one it is does not depend on what is called.
    pub(super) fn failing(&mut self) -> Option<io::Error> {
        if !self.random.chance(self.faults.failing_calls) {
            return None;
        }
        let errno = self.random.pick(&[EIO, ENOSPC, EDQUOT]);
        match errno {
            ENOSPC => self.struck.count(Fault::NoSpace),
            EDQUOT => self.struck.count(Fault::Quota),
            _ => {}
        }
        Some(io::Error::from_raw_os_error(errno))
    }

    /// As [`World::failing`], for a change to a name.
    pub(super) fn failing_name(&mut self) -> io::Result<()> {
        let Some(error) = self.failing() else { return Ok(()) };
        self.struck.count(Fault::FailedName);
        Err(error)
    }

    /// What happens by itself: bits flip, sectors go bad, the cache drops clean pages.
    fn rot(&mut self) {
        let Faults { evictions, flips, unreadable, .. } = self.faults;
        // The watermark's two pages are mapped and written all the time: they stay.
        if self.random.chance(evictions)
            && let Some(inode) = self.some_file()
            && !self.is_watermark(inode)
            && self.node(inode).evict()
        {
            self.struck.count(Fault::Eviction);
        }
        if self.random.chance(flips)
            && let Some(inode) = self.some_file()
        {
            let at = self.some_byte(inode);
            let bit = 1 << self.random.below(8);
            if flip(self.node(inode), at, bit) {
                self.struck.count(Fault::Flip);
            }
        }
        if self.random.chance(unreadable)
            && let Some(inode) = self.some_file()
        {
            let sector = self.some_byte(inode) / SECTOR;
            let node = self.node(inode);
            if sector * SECTOR < node.bytes.len() {
                node.unreadable.push(sector);
                self.struck.count(Fault::UnreadableSector);
            }
        }
    }

    /// A file of a lane: what rots elsewhere is another matter.
    fn some_file(&mut self) -> Option<u64> {
        let of_a_lane = |path: &Path| is_watermark(path) || is_of_segment(path);
        let files: Vec<_> = self.names.iter().filter(|(path, _)| of_a_lane(path)).map(|(_, i)| *i).collect();
        (!files.is_empty()).then(|| self.random.pick(&files))
    }

    fn is_watermark(&self, inode: u64) -> bool {
        self.names.iter().any(|(path, named)| *named == inode && is_watermark(path))
    }

    /// A place in a file, more often where something was written.
    fn some_byte(&mut self, inode: u64) -> usize {
        let node = &self.inodes[&inode];
        let used = node.durable.iter().rposition(|b| *b != 0).map_or(1, |last| last + 1);
        let end = if self.random.chance(900) { used } else { node.durable.len() };
        self.random.below(end)
    }

    pub(super) fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].bytes.len() as u64).sum()
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(Arc::make_mut(&mut self.names));
        self.changes.push(change);
    }

    pub(super) fn inode(&self, inode: u64) -> io::Result<&Inode> {
        self.inodes.get(&inode).map(Arc::as_ref).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A file to be changed.
    ///
    /// # Panics
    /// When there is none of that number.
    pub(super) fn node(&mut self, inode: u64) -> &mut Inode {
        Arc::make_mut(self.inodes.get_mut(&inode).expect("an inode that is named or open"))
    }

    /// Makes room for `inode` to be `len` bytes long.
    pub(super) fn grow(&mut self, inode: u64, len: usize) -> io::Result<()> {
        let now = self.inode(inode)?.bytes.len();
        if len > now && self.used() + (len - now) as u64 > self.capacity {
            let (fault, errno) = if self.quota { (Fault::Quota, EDQUOT) } else { (Fault::NoSpace, ENOSPC) };
            self.struck.count(fault);
            return Err(io::Error::from_raw_os_error(errno));
        }
        Ok(())
    }

    /// Writes, or fails after some first part of it.
    pub(super) fn write(&mut self, inode: u64, bytes: &[u8], at: usize) -> io::Result<()> {
        self.inode(inode)?;
        self.watch_retries(inode);
        if let Some(error) = self.failing() {
            self.struck.count(Fault::FailedWrite);
            let part = self.random.below(bytes.len() + 1);
            if part > 0 {
                self.struck.count(Fault::ShortWrite);
            }
            self.node(inode).write(&bytes[..part], at);
            return Err(error);
        }
        self.grow(inode, at + bytes.len())?;
        self.node(inode).write(bytes, at);
        Ok(())
    }

    /// As [`World::write`], through a map: space was reserved, and a store does not return errors.
    pub(super) fn store(&mut self, inode: u64, bytes: &[u8], at: usize) {
        self.watch_retries(inode);
        self.node(inode).write(bytes, at);
    }

    pub(super) fn flush(&mut self, inode: u64, sectors: Option<Range<usize>>) -> io::Result<()> {
        self.inode(inode)?;
        self.watch_retries(inode);
        self.flushes += 1;
        self.now_ns += FLUSH_NS;
        if self.random.chance(self.faults.slow_flushes) {
            self.now_ns += self.random.next() % SLOW_NS;
            self.struck.count(Fault::SlowFlush);
        }
        let chance = self.faults.failing_flushes;
        let fails = self.failing_flushes.remove(&self.flushes) || self.random.chance(chance);
        let dirty = self.inodes[&inode].dirty(sectors);
        if fails {
            return Err(self.fail_flush(inode, &dirty));
        }
        self.flushed_bytes += (dirty.len() * SECTOR) as u64;
        self.node(inode).store_len();
        if self.random.chance(self.faults.lost_writes) && !dirty.is_empty() {
            self.lose(inode, &dirty);
        } else if self.random.chance(self.faults.misdirected_writes) && !dirty.is_empty() {
            self.misdirect(inode, &dirty);
        } else {
            let node = self.node(inode);
            for sector in dirty {
                node.clean(sector);
                node.store(sector);
            }
        }
        Ok(())
    }

    /// Written or not, the system forgets that it was to be. What the cache then shows differs between file
    /// systems: what was written, or what is on disk.
    fn fail_flush(&mut self, inode: u64, dirty: &[usize]) -> io::Error {
        self.struck.count(Fault::FailedFlush);
        let mut random = self.random.clone();
        let (life, may_drop) = (self.life, !self.is_watermark(inode));
        let node = self.node(inode);
        if random.coin() {
            node.store_len();
        }
        for &sector in dirty {
            node.clean(sector);
            if random.coin() {
                node.store(sector);
            }
        }
        let dropped = may_drop && random.below(4) == 0 && node.evict();
        node.fail(life, dirty);
        self.random = random;
        if dropped {
            self.struck.count(Fault::Eviction);
        }
        let errno = self.random.pick(&[EIO, EIO, ENOSPC, EDQUOT]);
        io::Error::from_raw_os_error(errno)
    }

    /// A run of the flushed sectors is acknowledged and not written.
    fn lose(&mut self, inode: u64, dirty: &[usize]) {
        self.struck.count(Fault::LostWrite);
        let lost = self.some_run(dirty.len());
        let node = self.node(inode);
        for (i, &sector) in dirty.iter().enumerate() {
            node.clean(sector);
            if !lost.contains(&i) {
                node.store(sector);
            }
        }
    }

    /// A run of the flushed sectors is written to another place: of this file, or the same of another.
    fn misdirect(&mut self, inode: u64, dirty: &[usize]) {
        self.struck.count(Fault::MisdirectedWrite);
        let strayed = self.some_run(dirty.len());
        let target = if self.random.coin() { inode } else { self.some_file().unwrap_or(inode) };
        let pages = self.inodes[&target].durable.len() / PAGE;
        let shift = match target == inode || self.random.below(4) == 0 {
            true => self.random.below(pages) * PAGE,
            false => dirty[strayed.start] * SECTOR / PAGE * PAGE,
        };
        let first = dirty[strayed.start] * SECTOR / PAGE * PAGE;
        let mut stray = Vec::new();
        let node = self.node(inode);
        for (i, &sector) in dirty.iter().enumerate() {
            node.clean(sector);
            if strayed.contains(&i) {
                stray.push((shift + sector * SECTOR - first, node.sector(sector).to_vec()));
            } else {
                node.store(sector);
            }
        }
        let target = self.node(target);
        for (at, bytes) in stray {
            // The disk knows no files: what lies there is overwritten, and the cache does not hear of it.
            if let Some(there) = target.durable.get_mut(at..at + bytes.len()) {
                there.copy_from_slice(&bytes);
            }
        }
    }

    /// Of so many sectors: all, or some that follow each other.
    fn some_run(&mut self, len: usize) -> Range<usize> {
        if self.random.coin() {
            return 0..len;
        }
        let start = self.random.below(len);
        start..start + 1 + self.random.below(len - start)
    }

    /// Nothing may be written to a file, or flushed, once a flush of it has failed: the next success means
    /// nothing. Unless all that it was of has been cut off. The watermark file is the exception: nothing rests on its
    /// flush.
    fn watch_retries(&mut self, inode: u64) {
        if !self.inodes[&inode].has_failed(self.life) {
            return;
        }
        let path = self.names.iter().find(|(_, named)| **named == inode).map(|(path, _)| path.clone());
        if let Some(path) = path.filter(|path| path.extension().is_some_and(|e| e == "seg")) {
            self.retried.push(path);
        }
    }
}

fn is_watermark(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "watermark")
}

fn is_of_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg" || extension == "idx")
}

/// Flips bits on the medium, and in the cache; says whether there was such a byte.
pub(super) fn flip(node: &mut Inode, at: usize, bits: u8) -> bool {
    let mut there = false;
    for bytes in [&mut node.bytes, &mut node.durable] {
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= bits;
            there = true;
        }
    }
    there
}
