//! A lane's watermark file: how far the lane is durable, told to other processes and to recovery.
//!
//! The writer fills the older of two copies after each flush and before it wakes anyone; the file is
//! mapped, so that costs a few stores. Readers take the newer valid copy, through the file: a copy that the
//! disk cannot read, or a file that somebody cut, is one copy less and never a SIGBUS.
//!
//! # Invariants
//! * A copy is written after the flush it names: it may be old, it is never ahead.
//! * One valid copy stands at all times; a torn one fails its checksum.
//! * What readers may look at follows from a watermark, as a [`Limit`], and from nothing else.

mod durable;
mod proven;
mod shared;

pub(crate) use durable::Durable;
pub use durable::Limit;
pub(crate) use shared::publish;

use crate::{
    disk::{Disk, DiskFile, DiskMap, RealDisk, is_unreadable},
    layout,
};
use forebay_record::{WATERMARK_BYTES, Watermark, WatermarkSeed, WatermarkVersion};
use shared::{TRIES, newest};
use std::{cell::Cell, io, path::Path};

/// Where the copies lie: each on a page of its own.
const COPIES: [u64; 2] = [0, 4096];
/// Size of the file.
const FILE_BYTES: usize = 8192;

/// Follows a lane's watermark, also while another process writes it.
#[derive(Debug)]
pub struct WatermarkReader {
    file: Box<dyn DiskFile>,
    seed: WatermarkSeed,
    newest: Option<Watermark>,
}

impl WatermarkReader {
    /// Opens the watermark of the lane in `lane_dir`; `None` if it has none yet.
    ///
    /// # Errors
    /// When the file exists and cannot be opened.
    pub fn open(lane_dir: &Path, seed: WatermarkSeed) -> io::Result<Option<WatermarkReader>> {
        WatermarkReader::open_on(&RealDisk, lane_dir, seed)
    }

    /// As [`WatermarkReader::open`], on another disk than the machine's own.
    pub(crate) fn open_on(
        disk: &dyn Disk,
        lane_dir: &Path,
        seed: WatermarkSeed,
    ) -> io::Result<Option<WatermarkReader>> {
        match disk.open_read(&layout::watermark_path(lane_dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(WatermarkReader { file: file?, seed, newest: None })),
        }
    }

    /// The newest watermark seen so far; `None` while nothing was ever durable. Never goes back.
    ///
    /// # Errors
    /// When a copy is of another version.
    pub fn read(&mut self) -> io::Result<Option<Watermark>> {
        let other = Cell::new(None);
        let copy = |at| {
            self.copy(at).unwrap_or_else(|version| {
                other.set(Some(version));
                None
            })
        };
        self.newest = newest(self.newest, || COPIES.map(copy));
        other.take().map_or(Ok(self.newest), |version| Err(io::Error::other(version)))
    }

    /// As [`WatermarkReader::read`], as what a [`Limit`] can be taken from.
    pub(crate) fn durable(&mut self) -> io::Result<Option<Durable>> {
        Ok(self.read()?.map(Durable::told))
    }

    fn copy(&self, at: u64) -> Result<Option<Watermark>, WatermarkVersion> {
        let mut bytes = [0; WATERMARK_BYTES];
        // One that cannot be read is as good as one that is torn: the other one, or the frames, tell.
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Watermark::decode(&bytes, self.seed),
            Err(_) => Ok(None),
        }
    }
}

/// Writes a lane's watermark.
pub(crate) struct WatermarkFile {
    file: Box<dyn DiskFile>,
    map: Box<dyn DiskMap>,
    seed: WatermarkSeed,
    newest: Option<Watermark>,
}

impl WatermarkFile {
    /// Opens the lane's watermark file, making it if there is none, and reads it.
    ///
    /// # Errors
    /// When it cannot be read or written, or a copy is of another version.
    pub(crate) fn open(disk: &dyn Disk, lane_dir: &Path, seed: WatermarkSeed) -> io::Result<WatermarkFile> {
        let path = layout::watermark_path(lane_dir);
        let existing = match disk.open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            file => Some(file?),
        };
        let file = match existing {
            Some(file) => file,
            None => {
                let file = disk.create(&path)?;
                // Written, not only allocated: later stores then never need space.
                file.write_at(&[0; FILE_BYTES], 0)?;
                file.flush()?;
                disk.sync_dir(lane_dir)?;
                file
            }
        };
        if file.len()? != FILE_BYTES as u64 {
            // Somebody cut it, or wrote behind it: what it says is kept.
            file.set_len(FILE_BYTES as u64)?;
            file.allocate(FILE_BYTES as u64)?;
            file.flush()?;
        }
        let copies = [read_or_clear(&*file, COPIES[0], seed)?, read_or_clear(&*file, COPIES[1], seed)?];
        let newest = Watermark::newer(copies[0], copies[1]);
        let map = file.map(FILE_BYTES as u64)?;
        Ok(WatermarkFile { file, map, seed, newest })
    }

    /// The newest copy.
    pub(crate) fn newest(&self) -> Option<Watermark> {
        self.newest
    }

    /// Publishes `watermark`; its count is set here.
    pub(crate) fn publish(&mut self, mut watermark: Watermark) {
        watermark.count = self.newest.map_or(0, |w| w.count) + 1;
        let first = mutant!(OneWatermarkCopy: true, else watermark.count.is_multiple_of(2));
        let at = if first { 0 } else { COPIES[1] };
        self.map.publish(usize::try_from(at).expect("at most 4096"), &watermark.encode(self.seed));
        self.newest = Some(watermark);
    }

    /// Makes the newest copy itself durable: for a close, or now and then.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A copy to begin with. One that the disk cannot read is written over, in place since readers have the file
/// open: storing into its page through the map would otherwise kill the process.
fn read_or_clear(file: &dyn DiskFile, at: u64, seed: WatermarkSeed) -> io::Result<Option<Watermark>> {
    let mut page = [0; FILE_BYTES / 2];
    for tried in 1.. {
        match file.read_exact_at(&mut page, at) {
            // A disk may stutter: one bad answer is not enough to give the copy up.
            Err(e) if is_unreadable(&e) && tried < TRIES => {}
            Err(error) if is_unreadable(&error) => {
                tracing::warn!(at, %error, "a copy of a lane's watermark cannot be read: it is written anew");
                file.write_at(&[0; FILE_BYTES / 2], at)?;
                file.flush()?;
                return Ok(None);
            }
            read => {
                read?;
                break;
            }
        }
    }
    match page.first_chunk() {
        Some(copy) => Watermark::decode(copy, seed).map_err(io::Error::other),
        None => Ok(None),
    }
}
