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

pub(crate) use durable::Durable;
pub use durable::Limit;

use crate::{
    disk::{Disk, DiskFile, DiskMap, RealDisk, is_unreadable},
    layout,
};
use forebay_record::{WATERMARK_BYTES, Watermark};
use std::{
    io,
    path::Path,
    sync::atomic::{Ordering, fence},
};

/// Where the copies lie: each on a page of its own.
const COPIES: [u64; 2] = [0, 4096];
/// Size of the file.
const FILE_BYTES: usize = 8192;
/// How often both copies are read before the watermark counts as lost: the writer may be filling one while
/// the other is read, and the other way round.
const TRIES: usize = 4;

/// Follows a lane's watermark, also while another process writes it.
#[derive(Debug)]
pub struct WatermarkReader {
    file: Box<dyn DiskFile>,
    newest: Option<Watermark>,
}

impl WatermarkReader {
    /// Opens the watermark of the lane in `lane_dir`; `None` if it has none yet.
    ///
    /// # Errors
    /// When the file exists and cannot be opened.
    pub fn open(lane_dir: &Path) -> io::Result<Option<WatermarkReader>> {
        WatermarkReader::open_on(&RealDisk, lane_dir)
    }

    /// As [`WatermarkReader::open`], on another disk than the machine's own.
    pub(crate) fn open_on(disk: &dyn Disk, lane_dir: &Path) -> io::Result<Option<WatermarkReader>> {
        match disk.open_read(&layout::watermark_path(lane_dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(WatermarkReader { file: file?, newest: None })),
        }
    }

    /// The newest watermark seen so far; `None` while nothing was ever durable. Never goes back.
    pub fn read(&mut self) -> Option<Watermark> {
        for _ in 0..TRIES {
            let copies = COPIES.map(|at| self.copy(at));
            let newest = Watermark::newer(copies[0], copies[1]);
            self.newest = Watermark::newer(newest, self.newest);
            if newest.is_some() {
                break;
            }
        }
        // Pairs with the fence in `DiskMap::publish`: the frames named are read after their watermark.
        fence(Ordering::Acquire);
        self.newest
    }

    /// As [`WatermarkReader::read`], as what a [`Limit`] can be taken from.
    pub(crate) fn durable(&mut self) -> Option<Durable> {
        self.read().map(Durable::told)
    }

    fn copy(&self, at: u64) -> Option<Watermark> {
        let mut bytes = [0; WATERMARK_BYTES];
        // One that cannot be read is as good as one that is torn: the other one, or the frames, tell.
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Watermark::decode(&bytes)
    }
}

/// Writes a lane's watermark.
pub(crate) struct WatermarkFile {
    file: Box<dyn DiskFile>,
    map: Box<dyn DiskMap>,
    newest: Option<Watermark>,
}

impl WatermarkFile {
    /// Opens the lane's watermark file, making it if there is none, and reads it.
    pub(crate) fn open(disk: &dyn Disk, lane_dir: &Path) -> io::Result<WatermarkFile> {
        let path = layout::watermark_path(lane_dir);
        let existing = match disk.open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            file => Some(file?).filter(|f| f.len().is_ok_and(|len| len == FILE_BYTES as u64)),
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
        let copies = [read_or_clear(&*file, COPIES[0])?, read_or_clear(&*file, COPIES[1])?];
        let newest = Watermark::newer(copies[0], copies[1]);
        let map = file.map(FILE_BYTES as u64)?;
        Ok(WatermarkFile { file, map, newest })
    }

    /// The newest copy.
    pub(crate) fn newest(&self) -> Option<Watermark> {
        self.newest
    }

    /// Publishes `watermark`; its count is set here.
    pub(crate) fn publish(&mut self, mut watermark: Watermark) {
        watermark.count = self.newest.map_or(0, |w| w.count) + 1;
        let at = if watermark.count.is_multiple_of(2) { 0 } else { COPIES[1] };
        self.map.publish(usize::try_from(at).expect("at most 4096"), &watermark.encode());
        self.newest = Some(watermark);
    }

    /// Makes the newest copy itself durable: for a close, or now and then.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A copy to begin with. One that the disk cannot read is written over, in place since readers have the file
/// open: storing into its page through the map would otherwise kill the process.
fn read_or_clear(file: &dyn DiskFile, at: u64) -> io::Result<Option<Watermark>> {
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
    Ok(page.first_chunk().and_then(Watermark::decode))
}
