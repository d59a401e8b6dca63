//! What the simulated machine knows: names, bytes, and which of them are durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

/// What the disk writes at once, or not at all.
pub(super) const SECTOR: usize = 512;

#[derive(Debug)]
pub(super) struct World {
    pub(super) random: u64,
    /// Handles of an earlier life of the process are dead.
    pub(super) life: u64,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    /// In order, not yet synced.
    pub(super) changes: Vec<Change>,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) next_inode: u64,
    pub(super) capacity: u64,
    pub(super) steps: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    pub(super) flushes: u64,
    pub(super) failing_flushes: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    pub(super) fn dir(&self) -> Option<&Path> {
        match self {
            Change::Link(path, _) | Change::Unlink(path) | Change::Rename(path, _) => path.parent(),
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
            Change::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) bytes: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Sectors of `bytes` that no flush has taken yet.
    pub(super) dirty: BTreeSet<usize>,
    pub(super) len_dirty: bool,
}

impl Inode {
    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
            self.len_dirty = true;
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.len_dirty |= self.bytes.len() != len;
        self.bytes.resize(len, 0);
        self.dirty.retain(|sector| sector * SECTOR < len);
    }

    pub(super) fn flush_sector(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.bytes.len());
        if start < end {
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&self.bytes[start..end]);
        }
    }

    pub(super) fn flush_len(&mut self) {
        if std::mem::take(&mut self.len_dirty) {
            self.durable.resize(self.bytes.len(), 0);
        }
    }
}

impl World {
    /// SplitMix64.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.random() & 1 == 1
    }

    /// Every change to the disk passes here, and one of them may be where it ends.
    pub(super) fn step(&mut self, life: u64) -> io::Result<()> {
        self.alive(life)?;
        self.steps += 1;
        if self.crash_at == Some(self.steps) {
            self.crashed = true;
        }
        self.alive(life)
    }

    pub(super) fn alive(&self, life: u64) -> io::Result<()> {
        if self.crashed || life != self.life {
            return Err(io::Error::other("the simulated machine is down"));
        }
        Ok(())
    }

    pub(super) fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].bytes.len() as u64).sum()
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    pub(super) fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes room for `inode` to be `len` bytes long.
    pub(super) fn grow(&mut self, inode: u64, len: usize) -> io::Result<()> {
        let now = self.inode(inode)?.bytes.len();
        if len > now && self.used() + (len - now) as u64 > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, inode: u64, sectors: Option<std::ops::Range<usize>>) -> io::Result<()> {
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
