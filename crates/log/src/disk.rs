//! What the log asks of a disk.
//!
//! Everything the log does to files, writing and reading, goes through [`Disk`], so that tests can put a
//! simulated one in its place: one that loses, keeps or tears what was not flushed, runs full, or fails.
//!
//! # What is assumed of a disk
//! * After [`DiskFile::flush`] or [`DiskFile::write_durable`] returned `Ok`, the bytes survive a power cut.
//! * After [`Disk::sync_dir`] returned `Ok`, so do names made, changed and removed in that folder.
//! * Until then any part of them, in sectors of 512 bytes and in any order, may or may not be there.
//! * A failed flush says nothing about what is on disk, nor does a later one that succeeds.

mod real;
#[cfg(test)]
pub(crate) mod sim;

pub use real::RealDisk;
#[cfg(test)]
pub(crate) use sim::{Crash, Faults, SimDisk};

use crate::watermark::Limit;
use std::{fmt, io, ops::Range, path::Path, sync::Arc};

/// A file system, as far as the log needs one.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a new, empty file, replacing one of that name, open for reading and writing.
    ///
    /// # Errors
    /// As the file system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// As [`Disk::create`], for a file that is mostly written in whole pages from memory aligned to pages: what is so
    /// written may pass the system's cache by, so that reading it soon reads the disk. What a write or a flush promises
    /// stays the same.
    ///
    /// # Errors
    /// As the file system says.
    fn create_direct(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.create(path)
    }
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// As the file system says; `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading only, as whoever does not own the log may.
    ///
    /// # Errors
    /// As the file system says; `NotFound` if there is none.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }
    /// The length of a file.
    ///
    /// # Errors
    /// As the file system says; `NotFound` if there is none, `IsADirectory` for a folder.
    fn len(&self, path: &Path) -> io::Result<u64> {
        self.open_read(path)?.len()
    }
    /// The names in a folder, in no order. A missing folder is empty.
    ///
    /// # Errors
    /// As the file system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a folder and those above it, durably.
    ///
    /// # Errors
    /// As the file system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Gives a file another name, replacing a file of that name.
    ///
    /// # Errors
    /// As the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the file system says; `NotFound` if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes what happened to the names in a folder durable.
    ///
    /// # Errors
    /// As the file system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written below `dir`.
    ///
    /// # Errors
    /// As the file system says.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. One of its owners writes and flushes.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Its length.
    ///
    /// # Errors
    /// As the file system says.
    fn len(&self) -> io::Result<u64>;
    /// Is it empty?
    ///
    /// # Errors
    /// As the file system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Sets its length; a longer file is extended by a hole.
    ///
    /// # Errors
    /// As the file system says.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reads what fits from `offset`; less only at the end of the file.
    ///
    /// # Errors
    /// As the file system says; [`is_unreadable`] tells a place that the disk cannot read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// As the file system says; `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.read_at(buffer, offset)?;
        if read < buffer.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the file system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset` and returns once they are durable.
    ///
    /// # Errors
    /// As the file system says; whether the bytes are durable is then unknown for ever.
    fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns once everything written to the file, through maps too, is durable.
    ///
    /// # Errors
    /// As the file system says; whether the bytes are durable is then unknown for ever.
    fn flush(&self) -> io::Result<()>;
    /// Reserves space for the first `len` bytes, so that writing them cannot fail for want of it.
    ///
    /// # Errors
    /// `StorageFull` when the disk has not that much.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// All its bytes, for reading; places that the disk cannot read are zero.
    ///
    /// # Errors
    /// As the file system says.
    fn view(&self) -> io::Result<Box<dyn DiskView>>;
    /// As [`DiskFile::view`], for reading once, front to back, while what is behind is still coming.
    ///
    /// # Errors
    /// As the file system says.
    fn stream(&self) -> io::Result<Box<dyn DiskStream>> {
        Ok(Box::new(Whole(self.view()?)))
    }
    /// Maps the file, as long as it is now, for reading.
    ///
    /// # Errors
    /// As the file system says.
    fn read_map(&self) -> io::Result<Arc<dyn ReadMap>>;
    /// Maps the first `len` bytes for writing.
    ///
    /// # Errors
    /// As the file system says.
    fn map(&self, len: u64) -> io::Result<Box<dyn DiskMap>>;
}

/// Bytes of a file that nobody writes meanwhile.
pub trait DiskView: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];
}

/// Bytes of a file that nobody writes meanwhile, coming one after the other.
pub trait DiskStream {
    /// How many there are.
    fn len(&self) -> usize;
    /// Are there none?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The first `end`, at most all; waits for them. Places that the disk cannot read are zero.
    fn upto(&mut self, end: usize) -> &[u8];
}

/// All of them are there.
struct Whole(Box<dyn DiskView>);

impl DiskStream for Whole {
    fn len(&self) -> usize {
        self.0.bytes().len()
    }

    fn upto(&mut self, end: usize) -> &[u8] {
        let bytes = self.0.bytes();
        &bytes[..end.min(bytes.len())]
    }
}

/// A file mapped for reading, while others may write and shorten it.
///
/// Bytes are handed out only below a [`Limit`], where nobody writes any more, and only once a call that can
/// fail has brought them into memory: a place that the disk cannot read is an error and never a SIGBUS.
///
/// # What remains
/// Bytes handed out stay with their owner. Should the system take such a page back under pressure and find it
/// unreadable when it is touched again, or should somebody cut the file below its limit after they were
/// handed out, the touch kills the process. Nothing of Forebay cuts there.
pub trait ReadMap: fmt::Debug + Send + Sync {
    /// The bytes of `range` below `limit` and the end of the file, in memory. Fewer than asked for only there.
    ///
    /// # Errors
    /// When not all of them can be brought into memory: read the file to learn which.
    fn window(&self, limit: Limit, range: Range<usize>) -> io::Result<Arc<dyn DiskView>>;
    /// Says that it will be read front to back: only for a file that is not written any more, since reading
    /// ahead brings pages into the cache in large folios, of which one store dirties all.
    fn expect_sequential(&self);
}

/// Does this error say that the disk cannot read a place, and will not tomorrow? Everything else (no memory,
/// no handles, a machine that is down) may pass.
#[must_use]
pub fn is_unreadable(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // What block layers and file systems make of bad sectors, failed targets and failed checksums.
    const NUMBERS: [Errno; 6] =
        [Errno::IO, Errno::NODATA, Errno::REMOTEIO, Errno::ILSEQ, Errno::BADMSG, Errno::UCLEAN];
    NUMBERS.iter().any(|number| error.raw_os_error() == Some(number.raw_os_error()))
}

/// A file's bytes mapped for writing.
pub trait DiskMap: fmt::Debug + Send {
    /// Bytes mapped.
    fn len(&self) -> usize;
    /// Is nothing mapped?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Says that pages will be touched one by one: asked for before the first touch, it keeps the kernel
    /// from filling the cache with large folios, of which one store dirties all.
    ///
    /// # Errors
    /// As the kernel says.
    fn expect_random(&self) -> io::Result<()>;
    /// Brings these bytes into memory for writing; an error where touching them would kill the process.
    ///
    /// # Errors
    /// As the kernel says.
    fn populate(&mut self, offset: usize, len: usize) -> io::Result<()>;
    /// Lets `fill` write these bytes. They are durable after the file's next flush.
    ///
    /// # Panics
    /// When the range lies outside the map.
    fn fill(&mut self, offset: usize, len: usize, fill: &mut dyn FnMut(&mut [u8]));
}
