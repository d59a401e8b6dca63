//! A file's bytes: as the system's cache shows them, as they are on disk, and which of them differ on purpose.

use super::random::Random;
use crate::disk::Crash;
use std::ops::Range;

/// What the disk writes at once.
pub(super) const SECTOR: usize = 512;
/// What a power cut may garble when any part of it was being written.
pub(super) const PAGE: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// As the cache has them.
    pub(super) bytes: Vec<u8>,
    /// As they are on disk.
    pub(super) durable: Vec<u8>,
    /// Sectors of `bytes` that no flush has taken yet, one bit each.
    dirty: Vec<u64>,
    len_dirty: bool,
    /// Sectors that the disk cannot read.
    pub(super) unreadable: Vec<usize>,
    /// The life of the process in which a flush of this file failed, and the first byte that it was of.
    failed: Option<(u64, usize)>,
}

impl Inode {
    fn mark(&mut self, sectors: Range<usize>) {
        let words = sectors.end.div_ceil(64);
        if self.dirty.len() < words {
            self.dirty.resize(words, 0);
        }
        for sector in sectors {
            self.dirty[sector / 64] |= 1 << (sector % 64);
        }
    }

    fn is_dirty(&self, sector: usize) -> bool {
        self.dirty.get(sector / 64).is_some_and(|word| word >> (sector % 64) & 1 == 1)
    }

    /// The sectors that no flush has taken yet, within `range`.
    pub(super) fn dirty(&self, range: Option<Range<usize>>) -> Vec<usize> {
        let mut found = Vec::new();
        for (i, word) in self.dirty.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                found.push(i * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
        if let Some(range) = range {
            found.retain(|sector| range.contains(sector));
        }
        found
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
            self.len_dirty = true;
        }
        self.bytes[at..end].copy_from_slice(bytes);
        let sectors = at / SECTOR..end.div_ceil(SECTOR);
        // A sector that is written is remapped by the disk.
        self.unreadable.retain(|sector| !sectors.contains(sector));
        self.mark(sectors);
    }

    /// A flush of these sectors failed.
    pub(super) fn fail(&mut self, life: u64, sectors: &[usize]) {
        let first = sectors.first().map_or(self.bytes.len(), |sector| sector * SECTOR);
        let before = self.failed.filter(|(when, _)| *when == life).map_or(first, |(_, at)| at);
        self.failed = Some((life, first.min(before)));
    }

    /// Has a flush failed in this life of bytes that are still there?
    pub(super) fn has_failed(&self, life: u64) -> bool {
        self.failed.is_some_and(|(when, _)| when == life)
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.failed = self.failed.filter(|(_, at)| len > *at);
        self.len_dirty |= self.bytes.len() != len;
        self.bytes.resize(len, 0);
        let sectors = len.div_ceil(SECTOR);
        for sector in self.dirty(None) {
            if sector >= sectors {
                self.clean(sector);
            }
        }
        self.unreadable.retain(|sector| *sector < sectors);
    }

    /// Does the range touch a sector that the disk cannot read?
    pub(super) fn is_unreadable(&self, range: Range<usize>) -> bool {
        self.unreadable.iter().any(|&bad| bad * SECTOR < range.end && (bad + 1) * SECTOR > range.start)
    }

    /// The system forgets that the sector was to be written.
    pub(super) fn clean(&mut self, sector: usize) {
        if let Some(word) = self.dirty.get_mut(sector / 64) {
            *word &= !(1 << (sector % 64));
        }
    }

    /// The sector as the cache has it, cut at the file's end.
    pub(super) fn sector(&self, sector: usize) -> &[u8] {
        let start = (sector * SECTOR).min(self.bytes.len());
        &self.bytes[start..(start + SECTOR).min(self.bytes.len())]
    }

    /// Puts a sector on disk as the cache has it.
    pub(super) fn store(&mut self, sector: usize) {
        let start = (sector * SECTOR).min(self.bytes.len());
        let end = (start + SECTOR).min(self.bytes.len());
        if start < end {
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&self.bytes[start..end]);
        }
    }

    /// Makes the length durable.
    pub(super) fn store_len(&mut self) {
        if std::mem::take(&mut self.len_dirty) {
            self.durable.resize(self.bytes.len(), 0);
        }
    }

    /// Clean pages leave the cache: what is on disk comes back. Says whether that makes a difference.
    pub(super) fn evict(&mut self) -> bool {
        let mut differed = false;
        for page in 0..self.bytes.len().div_ceil(PAGE) {
            let sectors = page * PAGE / SECTOR..(page + 1) * PAGE / SECTOR;
            if sectors.clone().any(|sector| self.is_dirty(sector)) {
                continue;
            }
            let range = page * PAGE..((page + 1) * PAGE).min(self.bytes.len());
            let there = self.durable.get(range.start..range.end.min(self.durable.len())).unwrap_or_default();
            let cached = &mut self.bytes[range];
            let (same, rest) = cached.split_at_mut(there.len());
            differed |= same != there || rest.iter().any(|b| *b != 0);
            same.copy_from_slice(there);
            rest.fill(0);
        }
        differed
    }

    /// What a power cut leaves of the file; says how many sectors were lost and how many pages garbled.
    pub(super) fn power_cut(&mut self, crash: Crash, garbled: u32, random: &mut Random) -> (u64, u64) {
        let dirty = self.dirty(None);
        let (mut lost, mut spoilt) = (dirty.len() as u64, 0);
        if crash == Crash::LoseSome {
            if random.coin() {
                self.store_len();
            }
            // All, a first part, a last part, any part.
            let (whole, parts) = (random.below(4), dirty.len() + 1);
            let split = random.below(parts);
            for (i, &sector) in dirty.iter().enumerate() {
                let kept = match whole {
                    0 => true,
                    1 => i < split,
                    2 => i >= split,
                    _ => random.coin(),
                };
                if kept && sector * SECTOR < self.durable.len() {
                    let len = self.durable.len();
                    self.store(sector);
                    self.durable.truncate(len);
                    lost -= 1;
                }
            }
            let mut before = usize::MAX;
            for &sector in &dirty {
                let page = sector * SECTOR / PAGE;
                if page != std::mem::replace(&mut before, page) && random.chance(garbled) {
                    spoilt += u64::from(self.garble(page, random));
                }
            }
        }
        self.bytes.clone_from(&self.durable);
        self.dirty.clear();
        self.len_dirty = false;
        self.failed = None;
        (lost, spoilt)
    }

    /// Some bytes of a page become neither what they were nor what they were to be.
    fn garble(&mut self, page: usize, random: &mut Random) -> bool {
        let end = ((page + 1) * PAGE).min(self.durable.len());
        let Some(range) = self.durable.get_mut(page * PAGE..end) else { return false };
        let from = random.below(range.len());
        let len = random.within(1, SECTOR).min(range.len() - from);
        for byte in &mut range[from..from + len] {
            *byte = random.next().to_le_bytes()[0];
        }
        len > 0
    }
}
