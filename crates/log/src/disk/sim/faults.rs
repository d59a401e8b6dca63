//! Which faults the simulated disk has, how often, and how many there were.
//!
//! Two classes are kept apart. An *honest* disk may fail any call, run full, be slow, and lose or tear what was
//! not flushed: a log that keeps its promise never loses an acknowledged event on it and reports no damage. A
//! *damaging* disk breaks its word as well: bits flip, acknowledged writes are not there or land elsewhere,
//! sectors cannot be read. On that one the log must say what is gone, and never invent anything.

use std::fmt;

/// How often each fault strikes: so many times in 1024 chances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// A call that changes something fails: EIO, ENOSPC or EDQUOT. A write may have been done in part.
    pub(crate) failing_calls: u32,
    /// A flush fails: any part of it is on disk, and all of it counts as clean from then on, as on Linux.
    pub(crate) failing_flushes: u32,
    /// A flush takes as long as a struggling disk takes.
    pub(crate) slow_flushes: u32,
    /// Clean pages are dropped from the cache: the next read brings what is on disk.
    pub(crate) evictions: u32,
    /// A power cut garbles a page that was being written: neither the old bytes nor the new ones.
    pub(crate) garbled_pages: u32,
    /// The disk says that a write is done, and did nothing. Damaging.
    pub(crate) lost_writes: u32,
    /// The disk says that a write is done, and did it elsewhere. Damaging.
    pub(crate) misdirected_writes: u32,
    /// A bit flips on the medium. Damaging.
    pub(crate) flips: u32,
    /// A sector cannot be read until it is written again. Damaging.
    pub(crate) unreadable: u32,
}

impl Faults {
    /// May acknowledged bytes be gone or changed?
    pub(crate) fn damage(&self) -> bool {
        self.lost_writes + self.misdirected_writes + self.flips + self.unreadable > 0
    }
}

/// A fault that struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Fault {
    Kill,
    PowerCutAllLost,
    PowerCutSomeLost,
    TornWrite,
    LostSector,
    GarbledPage,
    FailedFlush,
    FailedWrite,
    ShortWrite,
    FailedName,
    FailedSyncDir,
    NoSpace,
    Quota,
    SlowFlush,
    Eviction,
    LostWrite,
    MisdirectedWrite,
    Flip,
    UnreadableSector,
    FailedRead,
}

impl Fault {
    const ALL: [(Fault, &'static str); 20] = [
        (Fault::Kill, "processes killed"),
        (Fault::PowerCutAllLost, "power cuts, all unflushed lost"),
        (Fault::PowerCutSomeLost, "power cuts, some unflushed kept"),
        (Fault::TornWrite, "writes torn by a crash"),
        (Fault::LostSector, "unflushed sectors lost"),
        (Fault::GarbledPage, "pages garbled by a power cut"),
        (Fault::FailedFlush, "failed flushes"),
        (Fault::FailedWrite, "failed writes"),
        (Fault::ShortWrite, "writes cut short by an error"),
        (Fault::FailedName, "failed creates, renames, removals"),
        (Fault::FailedSyncDir, "failed folder flushes"),
        (Fault::NoSpace, "ENOSPC"),
        (Fault::Quota, "EDQUOT"),
        (Fault::SlowFlush, "slow flushes"),
        (Fault::Eviction, "clean pages dropped"),
        (Fault::LostWrite, "lost writes"),
        (Fault::MisdirectedWrite, "misdirected writes"),
        (Fault::Flip, "flipped bits"),
        (Fault::UnreadableSector, "sectors gone unreadable"),
        (Fault::FailedRead, "failed reads"),
    ];
}

/// How often each fault struck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Struck([u64; Fault::ALL.len()]);

impl Struck {
    pub(crate) fn count(&mut self, fault: Fault) {
        self.add(fault, 1);
    }

    pub(crate) fn add(&mut self, fault: Fault, times: u64) {
        self.0[fault as usize] += times;
    }

    pub(crate) fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub(crate) fn merge(&mut self, other: &Struck) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, more)| *mine += more);
    }
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, name) in Fault::ALL {
            writeln!(f, "  {:>12}  {name}", self.of(fault))?;
        }
        Ok(())
    }
}
