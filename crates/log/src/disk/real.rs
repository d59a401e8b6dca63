//! The machine's own file system.
#![expect(unsafe_code, reason = "the memory maps; every other module sees only slices")]

mod direct;
#[cfg(test)]
mod tests;

use super::{Disk, DiskFile, DiskMap, DiskStream, DiskView, ReadMap, Whole};
use crate::watermark::Limit;
use direct::Direct;
use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::{fs::FallocateFlags, io::ReadWriteFlags};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    slice,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// Files as the operating system has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(RealFile::new(file)))
    }

    fn create_direct(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(RealFile { direct: Direct::open(path)?, ..RealFile::new(file) }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile::new(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::open(path)?;
        // Behind the durable end may lie bytes that are still to be written: reading ahead would bring them
        // into the cache in large folios. A hint: nothing depends on it.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
        Ok(Box::new(RealFile::new(file)))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let metadata = fs::metadata(path)?;
        if metadata.is_file() { Ok(metadata.len()) } else { Err(io::ErrorKind::IsADirectory.into()) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let Some(parent) = dir.parent() else { return Ok(()) };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if dir.is_dir() {
            // Who made it, and those above it, may not have made the names durable: killed before, or a
            // script. Not more than tried: a folder above may be one that this process must not read.
            for above in parent.ancestors() {
                let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
                let _ = self.sync_dir(above);
            }
            return Ok(());
        }
        self.create_dir(parent)?;
        fs::create_dir(dir)?;
        self.sync_dir(parent)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    /// For whole pages, where the file was made for that.
    direct: Option<Direct>,
    /// `RWF_DSYNC` was refused once: write and fdatasync instead.
    no_durable_write: AtomicBool,
}

impl RealFile {
    fn new(file: File) -> RealFile {
        RealFile { file, direct: None, no_durable_write: AtomicBool::new(false) }
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct
            && direct.write(bytes, offset, ReadWriteFlags::empty())?
        {
            return Ok(());
        }
        self.file.write_all_at(bytes, offset)
    }

    fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct
            && direct.write(bytes, offset, ReadWriteFlags::DSYNC)?
        {
            return Ok(());
        }
        // Relaxed: a hint, written and read by the file's one writer.
        if !self.no_durable_write.load(Ordering::Relaxed) {
            let write = |rest: &[u8], at| {
                rustix::io::pwritev2(&self.file, &[IoSlice::new(rest)], at, ReadWriteFlags::DSYNC)
            };
            if write_whole(bytes, offset, write)? {
                return Ok(());
            }
            self.no_durable_write.store(true, Ordering::Relaxed);
        }
        self.file.write_all_at(bytes, offset)?;
        self.file.sync_data()
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            // A file system that cannot reserve: what is written afterwards takes the space.
            Err(rustix::io::Errno::OPNOTSUPP) => self.file.set_len(len),
            result => Ok(result?),
        }
    }

    fn view(&self) -> io::Result<Box<dyn DiskView>> {
        let len = usize::try_from(self.len()?).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if len == 0 {
            return Ok(Box::new(CopyView(Vec::new())));
        }
        let map = MmapOptions::new().len(len).map_raw_read_only(&self.file)?;
        // A bad sector shows here, as an error, where touching it would kill the process.
        if map.advise(Advice::PopulateRead).is_ok() {
            return Ok(Box::new(MapView(map)));
        }
        Ok(Box::new(CopyView(copy(&self.file, len))))
    }

    fn stream(&self) -> io::Result<Box<dyn DiskStream>> {
        let len = usize::try_from(self.len()?).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if len < 2 * WINDOW {
            return Ok(Box::new(Whole(self.view()?)));
        }
        let map = Arc::new(MmapOptions::new().len(len).map_raw_read_only(&self.file)?);
        // A hint: nothing depends on it.
        let _ = map.advise(Advice::Sequential);
        let ahead = Arc::new(Ahead::default());
        let (there, coming, from) = (Arc::clone(&map), Arc::clone(&ahead), self.file.try_clone()?);
        let run = move || coming.run(&there, &from);
        let thread = std::thread::Builder::new().name("read ahead".to_owned()).spawn(run)?;
        let file = self.file.try_clone()?;
        Ok(Box::new(MapStream { map, file, ready: 0, ahead, thread: Some(thread), copy: None }))
    }

    fn read_map(&self) -> io::Result<Arc<dyn ReadMap>> {
        let file = self.file.try_clone()?;
        let len = usize::try_from(self.len()?).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if len == 0 {
            return Ok(Arc::new(RealReadMap { file, map: None }));
        }
        let map = MmapOptions::new().len(len).map_raw_read_only(&self.file)?;
        // Before the first touch, for the same reason as in `open_read`.
        let _ = map.advise(Advice::Random);
        Ok(Arc::new(RealReadMap { file, map: Some(Arc::new(map)) }))
    }

    fn map(&self, len: u64) -> io::Result<Box<dyn DiskMap>> {
        if self.len()? < len {
            // Touching mapped bytes behind the end of the file would kill the process.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "map longer than its file"));
        }
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Box::new(RealMap { map: MmapOptions::new().len(len).map_raw(&self.file)? }))
    }
}

const PAGE: usize = 4096;
/// What a stream brings into memory at once.
const WINDOW: usize = 8 << 20;
/// What is asked for at once: Linux takes a request to read ahead up to the device's largest transfer.
const ASK: usize = 256 << 10;

/// Writes all of `bytes` at `offset` by a call that may take only a part of what it is given; `false` if the system
/// does not know the call.
fn write_whole(
    bytes: &[u8],
    offset: u64,
    mut write: impl FnMut(&[u8], u64) -> rustix::io::Result<usize>,
) -> io::Result<bool> {
    use rustix::io::Errno;
    let mut written = 0;
    while written < bytes.len() {
        match write(&bytes[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) if written == 0 => return Ok(false),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(true)
}

/// A file's first `len` bytes; places that cannot be read are zero.
fn copy(file: &File, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (i, page) in bytes.chunks_mut(PAGE).enumerate() {
        if file.read_exact_at(page, (i * PAGE) as u64).is_err() {
            page.fill(0);
        }
    }
    bytes
}

/// Asks the disk for these bytes without waiting for them, in pieces small enough for the system to take whole.
fn ask_for(file: &File, range: Range<usize>) {
    for piece in range.clone().step_by(ASK) {
        let len = NonZeroU64::new(ASK.min(range.end - piece) as u64);
        // A hint: nothing depends on it.
        let _ = rustix::fs::fadvise(file, piece as u64, len, rustix::fs::Advice::WillNeed);
    }
}

/// How far a stream's bytes are in memory: one thread brings them, one looks at them.
#[derive(Default)]
struct Ahead {
    state: Mutex<Coming>,
    changed: Condvar,
    /// Nobody waits for the rest.
    stopped: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Coming {
    ready: usize,
    /// Something behind `ready` cannot be read.
    failed: bool,
}

impl Ahead {
    fn run(&self, map: &MmapRaw, file: &File) {
        ask_for(file, 0..WINDOW);
        for start in (0..map.len()).step_by(WINDOW) {
            // Relaxed: a hint to end early.
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            ask_for(file, start + WINDOW..start + 2 * WINDOW);
            let len = WINDOW.min(map.len() - start);
            let failed = map.advise_range(Advice::PopulateRead, start, len).is_err();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if failed {
                state.failed = true;
            } else {
                state.ready = start + len;
            }
            drop(state);
            self.changed.notify_one();
            if failed {
                return;
            }
        }
    }

    /// Waits until `end` bytes are there; `None` if they never will be.
    fn wait(&self, end: usize) -> Option<usize> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut Coming| state.ready < end && !state.failed;
        let state = self.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        (state.ready >= end).then_some(state.ready)
    }
}

/// A file's bytes in a map that a thread brings into memory in front of whoever reads.
struct MapStream {
    map: Arc<MmapRaw>,
    file: File,
    /// So much is known to be there.
    ready: usize,
    ahead: Arc<Ahead>,
    thread: Option<JoinHandle<()>>,
    /// In the place of the map where not all of it can be brought into memory.
    copy: Option<Vec<u8>>,
}

impl DiskStream for MapStream {
    fn len(&self) -> usize {
        self.map.len()
    }

    fn upto(&mut self, end: usize) -> &[u8] {
        let end = end.min(self.map.len());
        if end > self.ready && self.copy.is_none() {
            match self.ahead.wait(end) {
                Some(ready) => self.ready = ready,
                None => self.copy = Some(copy(&self.file, self.map.len())),
            }
        }
        match &self.copy {
            Some(copy) => &copy[..end],
            // SAFETY: within the map, which lives as long as `self`, and brought into memory; the file was this
            // long when it was mapped, and whoever streams a file neither writes nor cuts it meanwhile.
            None => unsafe { slice::from_raw_parts(self.map.as_ptr(), end) },
        }
    }
}

impl Drop for MapStream {
    fn drop(&mut self) {
        self.ahead.stopped.store(true, Ordering::Relaxed);
        // It holds the map: whoever cuts the file next must be the only one who has it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct MapView(MmapRaw);

impl DiskView for MapView {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the whole map, which lives as long as `self`; the file was this long when it was mapped,
        // and whoever views a file neither writes nor cuts it meanwhile.
        unsafe { slice::from_raw_parts(self.0.as_ptr(), self.0.len()) }
    }
}

struct CopyView(Vec<u8>);

impl DiskView for CopyView {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug)]
struct RealReadMap {
    file: File,
    /// `None` of an empty file.
    map: Option<Arc<MmapRaw>>,
}

impl ReadMap for RealReadMap {
    fn window(&self, limit: Limit, range: Range<usize>) -> io::Result<Arc<dyn DiskView>> {
        let Some(map) = &self.map else { return Ok(Arc::new(CopyView(Vec::new()))) };
        // Asked anew: the unused end of a closed segment is given back at some time.
        let len = usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX);
        let end = range.end.min(limit.bytes()).min(map.len()).min(len);
        let start = range.start.min(end);
        if start < end {
            // A bad sector shows here, as an error, where touching it would kill the process; so does a file
            // that was cut just now.
            let page = start - start % PAGE;
            // What was written past the cache is not there: together, and not page by page.
            ask_for(&self.file, page..end);
            match map.advise_range(Advice::PopulateRead, page, end - page) {
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                    // Kernels before 5.14 cannot: what is read through the file can fail as well.
                    let mut bytes = vec![0; end - start];
                    self.file.read_exact_at(&mut bytes, start as u64)?;
                    return Ok(Arc::new(CopyView(bytes)));
                }
                result => result?,
            }
        }
        Ok(Arc::new(MapWindow { map: Arc::clone(map), start, end }))
    }

    fn expect_sequential(&self) {
        // A hint: nothing depends on it.
        let _ = self.map.as_ref().map(|map| map.advise(Advice::Sequential));
    }
}

/// Bytes of a map, below a limit and in memory when this was made.
struct MapWindow {
    map: Arc<MmapRaw>,
    start: usize,
    end: usize,
}

impl DiskView for MapWindow {
    fn bytes(&self) -> &[u8] {
        // SAFETY: `window` keeps `start` and `end` within the map.
        let start = unsafe { self.map.as_ptr().add(self.start) };
        // SAFETY: within the map, which lives as long as `self`. The range lies below a `Limit`, which only a
        // durable watermark or a closed segment gives: nobody writes there any more. A bit that the disk flips
        // is caught by the frames' checksums.
        unsafe { slice::from_raw_parts(start, self.end - self.start) }
    }
}

#[derive(Debug)]
struct RealMap {
    map: MmapRaw,
}

impl DiskMap for RealMap {
    fn len(&self) -> usize {
        self.map.len()
    }

    fn expect_random(&self) -> io::Result<()> {
        self.map.advise(Advice::Random)
    }

    fn populate(&mut self, offset: usize, len: usize) -> io::Result<()> {
        match self.map.advise_range(Advice::PopulateWrite, offset, len) {
            // Kernels before 5.14: the space is reserved, so a touch finds it.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                self.fill(offset, len, &mut |bytes| bytes.fill(0));
                Ok(())
            }
            result => result,
        }
    }

    fn fill(&mut self, offset: usize, len: usize, fill: &mut dyn FnMut(&mut [u8])) {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.map.len()), "outside the map");
        // SAFETY: the range lies within the map, as asserted.
        let start = unsafe { self.map.as_mut_ptr().add(offset) };
        // SAFETY: the map lives while `self` is borrowed, and mutably, so no other slice of it is made
        // here. Readers have maps of their own and never look past the durable end, behind which the
        // log fills.
        fill(unsafe { slice::from_raw_parts_mut(start, len) });
    }
}
