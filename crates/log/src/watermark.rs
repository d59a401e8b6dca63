//! A lane's watermark file: how far the lane is durable, told to other processes and to recovery.
//!
//! The writer fills the older of two copies after each flush and before it wakes anyone, by a small write into
//! the cache: a store into a map would cost less, and kills the process where the file system has run full
//! (btrfs) or has shut itself down after an error (XFS, ext4). Readers take the newer valid copy, through the
//! file too: a copy that the disk cannot read, or a file that somebody cut, is one copy less.
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

use crate::{
    disk::{Disk, DiskFile, RealDisk, is_unreadable},
    layout,
};
use forebay_record::{WATERMARK_BYTES, Watermark, WatermarkSeed, WatermarkVersion};
use shared::{TRIES, newest, publish};
use std::{cell::Cell, io, path::Path};

/// Where the copies lie: each on a page of its own.
const COPIES: [u64; 2] = [0, 4096];
/// Size of the file.
const FILE_BYTES: usize = 8192;
/// What a copy has to itself.
const PAGE_BYTES: usize = FILE_BYTES / COPIES.len();

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
    seed: WatermarkSeed,
    /// The newest copy in the file.
    written: Option<Watermark>,
    /// Newer, and could not be written: readers do not know of it yet.
    unwritten: Option<Watermark>,
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
        let copies = [FoundCopy::read(&*file, COPIES[0], seed)?, FoundCopy::read(&*file, COPIES[1], seed)?];
        let written = Watermark::newer(copies[0].mark, copies[1].mark);
        let mut watermark = WatermarkFile { file, seed, written, unwritten: None };
        for (copy, at) in copies.into_iter().zip(COPIES) {
            watermark.mend(&copy, at)?;
        }
        Ok(watermark)
    }

    /// Writes over a page that the disk cannot read, in place since readers have the file open: a write of a part
    /// of it would otherwise fail for want of the rest.
    fn mend(&mut self, copy: &FoundCopy, at: u64) -> io::Result<()> {
        let Some(error) = &copy.unreadable else { return Ok(()) };
        tracing::warn!(at, %error, "a page of a lane's watermark cannot be read: it is written anew");
        if let Some(mark) = copy.mark.filter(|mark| self.written == Some(*mark)) {
            // The newest copy itself was left: first to the other page, as what is written over may be torn.
            let mark = Watermark { count: mark.count + 1, ..mark };
            let mut page = [0; PAGE_BYTES];
            page[..WATERMARK_BYTES].copy_from_slice(&mark.encode(self.seed));
            self.file.write_at(&page, place(mark.count))?;
            self.file.flush()?;
            self.written = Some(mark);
        }
        self.file.write_at(&[0; PAGE_BYTES], at)?;
        self.file.flush()
    }

    /// The newest there is, also if it could not be written yet.
    pub(crate) fn newest(&self) -> Option<Watermark> {
        self.unwritten.or(self.written)
    }

    /// Could the newest not be written yet? Nothing is lost by that, but readers are kept waiting.
    pub(crate) fn is_behind(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Publishes `watermark`; its count is set here. What cannot be written is kept and written later.
    pub(crate) fn publish(&mut self, watermark: Watermark) {
        let was_behind = self.is_behind();
        match self.write(watermark) {
            Ok(()) if was_behind => tracing::info!("a lane's watermark can be written again"),
            Err(error) if !was_behind => {
                tracing::warn!(%error, "cannot write a lane's watermark: what is stored is read later");
            }
            _ => {}
        }
    }

    fn write(&mut self, mut watermark: Watermark) -> io::Result<()> {
        // Of what is in the file: the newest copy there is never written over, whatever fails.
        watermark.count = self.written.map_or(0, |w| w.count) + 1;
        let at = mutant!(OneWatermarkCopy: 0, else place(watermark.count));
        self.unwritten = Some(watermark);
        publish(|| self.file.write_at(&watermark.encode(self.seed), at))?;
        (self.written, self.unwritten) = (Some(watermark), None);
        Ok(())
    }

    /// Writes what could not be written before.
    pub(crate) fn catch_up(&mut self) {
        if let Some(watermark) = self.unwritten {
            self.publish(watermark);
        }
    }

    /// Makes the newest copy itself durable: for a close, or now and then.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(watermark) = self.unwritten {
            self.write(watermark)?;
        }
        self.file.flush().inspect_err(|_| {
            // The system counts its page as clean now and may drop it: written again, it stays.
            if let Some(watermark) = self.written {
                self.publish(watermark);
            }
        })
    }
}

/// Where the copy with this count goes.
fn place(count: u64) -> u64 {
    COPIES[usize::from(!count.is_multiple_of(2))]
}

/// A copy to begin with.
struct FoundCopy {
    mark: Option<Watermark>,
    /// Why the disk cannot read all of its page.
    unreadable: Option<io::Error>,
}

impl FoundCopy {
    fn read(file: &dyn DiskFile, at: u64, seed: WatermarkSeed) -> io::Result<FoundCopy> {
        let mut page = [0; PAGE_BYTES];
        let unreadable = try_to_read(file, &mut page, at)?;
        if unreadable.is_some() {
            // The copy may have been spared by what took the rest of its page.
            page.fill(0);
            if try_to_read(file, &mut page[..WATERMARK_BYTES], at)?.is_some() {
                return Ok(FoundCopy { mark: None, unreadable });
            }
        }
        let mark = match page.first_chunk() {
            Some(copy) => Watermark::decode(copy, seed).map_err(io::Error::other)?,
            None => None,
        };
        Ok(FoundCopy { mark, unreadable })
    }
}

/// Reads, and gives the error of a place that cannot be read. A disk may stutter: one bad answer is not enough.
fn try_to_read(file: &dyn DiskFile, buffer: &mut [u8], at: u64) -> io::Result<Option<io::Error>> {
    for tried in 1.. {
        match file.read_exact_at(buffer, at) {
            Err(e) if is_unreadable(&e) && tried < TRIES => {}
            Err(e) if is_unreadable(&e) => return Ok(Some(e)),
            read => return read.map(|()| None),
        }
    }
    Ok(None)
}
