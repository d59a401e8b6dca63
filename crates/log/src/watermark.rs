//! A lane's watermark file: how far the lane is durable, told to other processes and to recovery.
//!
//! The writer fills the older of two copies after each flush and before it wakes anyone; the file is
//! mapped, so that costs a few stores. Readers take the newer valid copy.
//!
//! # Invariants
//! * A copy is written after the flush it names: it may be old, it is never ahead.
//! * One valid copy stands at all times; a torn one fails its checksum.
#![expect(unsafe_code, reason = "reads a map that another process writes, by atomic words")]

use crate::{
    disk::{Disk, DiskMap},
    layout,
};
use forebay_record::{WATERMARK_BYTES, Watermark};
use memmap2::{MmapOptions, MmapRaw};
use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering, fence},
};

/// Where the second copy lies: on a page of its own.
const SECOND: usize = 4096;
/// Size of the file.
const FILE_BYTES: usize = 8192;

/// Follows a lane's watermark, also while another process writes it.
#[derive(Debug)]
pub struct WatermarkReader {
    map: MmapRaw,
    newest: Option<Watermark>,
}

impl WatermarkReader {
    /// Opens the watermark of the lane in `lane_dir`; `None` if it has none yet.
    ///
    /// # Errors
    /// When the file exists and cannot be opened or mapped.
    pub fn open(lane_dir: &Path) -> io::Result<Option<WatermarkReader>> {
        let path = layout::watermark_path(lane_dir);
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if file.metadata()?.len() < FILE_BYTES as u64 {
            return Ok(None); // Being made right now.
        }
        let map = MmapOptions::new().len(FILE_BYTES).map_raw_read_only(&file)?;
        Ok(Some(WatermarkReader { map, newest: None }))
    }

    /// The newest watermark seen so far; `None` while nothing was ever durable. Never goes back.
    pub fn read(&mut self) -> Option<Watermark> {
        let copies = [0, SECOND].map(|at| Watermark::decode(&self.copy(at)));
        // Pairs with the fence in `DiskMap::publish`: the frames named are read after their watermark.
        fence(Ordering::Acquire);
        let newest = Watermark::newer(copies[0], copies[1]);
        self.newest = Watermark::newer(newest, self.newest);
        self.newest
    }

    fn copy(&self, at: usize) -> [u8; WATERMARK_BYTES] {
        let mut bytes = [0; WATERMARK_BYTES];
        for (i, word) in bytes.chunks_exact_mut(8).enumerate() {
            // SAFETY: `at` is 0 or 4096 and the copy's words lie within the 8192 mapped bytes, aligned to
            // 8 as the map is to a page.
            let from = unsafe { self.map.as_ptr().add(at + i * 8) };
            // SAFETY: a live, aligned word of the map; atomic, since the writer stores it concurrently.
            // The map is read-only and a load never writes.
            let from = unsafe { &*from.cast::<AtomicU64>() };
            word.copy_from_slice(&from.load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes
    }
}

/// Writes a lane's watermark.
pub(crate) struct WatermarkFile {
    file: Box<dyn crate::disk::DiskFile>,
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
        let mut copies = [[0; WATERMARK_BYTES]; 2];
        file.read_at(&mut copies[0], 0)?;
        file.read_at(&mut copies[1], SECOND as u64)?;
        let newest = Watermark::newer(Watermark::decode(&copies[0]), Watermark::decode(&copies[1]));
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
        let at = if watermark.count.is_multiple_of(2) { 0 } else { SECOND };
        self.map.publish(at, &watermark.encode());
        self.newest = Some(watermark);
    }

    /// Makes the newest copy itself durable: for a close, or now and then.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }
}
