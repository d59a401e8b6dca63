//! A segment file mapped for reading.
//!
//! # Invariants
//! * A slice is only ever made of bytes that cannot change any more: the header, and what lies below a
//!   limit that the caller took from the lane's watermark (or of a segment that nobody writes).
//! * A file may become shorter behind its last durable byte (a cut tail, the unused end of a sealed
//!   segment): for a segment that the watermark has moved past, ask [`SegmentMap::file_len`] again, since
//!   touching mapped bytes behind a file's end kills the process. Bytes that no frame is known to cover are
//!   read with [`SegmentMap::read_at`].
#![expect(unsafe_code, reason = "the memory map for reading; every other module sees only slices")]

use forebay_record::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderError};
use memmap2::{MmapOptions, MmapRaw};
use std::{fmt, fs::File, io, os::unix::fs::FileExt as _, path::Path, slice};

/// A segment's bytes, shared with the page cache.
pub(crate) struct SegmentMap {
    file: File,
    map: MmapRaw,
    header: SegmentHeader,
}

/// Why a segment cannot be mapped.
#[derive(Debug)]
pub enum SegmentMapError {
    /// The file cannot be opened or mapped.
    Io(io::Error),
    /// Its first block is not a segment's header.
    Header(SegmentHeaderError),
}

impl fmt::Display for SegmentMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentMapError::Io(_) => f.write_str("cannot open or map the segment"),
            SegmentMapError::Header(_) => f.write_str("the segment's header cannot be read"),
        }
    }
}

impl std::error::Error for SegmentMapError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SegmentMapError::Io(e) => Some(e),
            SegmentMapError::Header(e) => Some(e),
        }
    }
}

impl SegmentMap {
    /// Maps the segment at `path` and checks its header.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped, or its header cannot be read.
    pub(crate) fn open(path: &Path) -> Result<SegmentMap, SegmentMapError> {
        let file = File::open(path).map_err(SegmentMapError::Io)?;
        let len = file.metadata().map_err(SegmentMapError::Io)?.len();
        if len < SEGMENT_HEADER_BYTES as u64 {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            return Err(SegmentMapError::Header(SegmentHeaderError::Short(len)));
        }
        let map = MmapOptions::new().map_raw_read_only(&file).map_err(SegmentMapError::Io)?;
        // Before the first touch: behind the durable end may lie pages that are still to be written, and
        // reading ahead would bring them into the cache in large folios, of which one store dirties all.
        let _ = map.advise(memmap2::Advice::Random);
        // SAFETY: the file is at least this long, and a segment's header never changes once the file
        // bears a segment's name.
        let head = unsafe { slice::from_raw_parts(map.as_ptr(), SEGMENT_HEADER_BYTES) };
        let header = SegmentHeader::decode(head).map_err(SegmentMapError::Header)?;
        Ok(SegmentMap { file, map, header })
    }

    /// The segment's header.
    #[must_use]
    pub(crate) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The readable length now: the file's, at most what is mapped.
    ///
    /// # Errors
    /// When the file's metadata cannot be read.
    pub(crate) fn file_len(&self) -> io::Result<usize> {
        let len = usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX);
        Ok(len.min(self.map.len()))
    }

    /// The bytes from the file's first up to `limit`, clamped to what is mapped.
    ///
    /// `limit` must not reach past the lane's durable end if the segment is the one being written, nor
    /// past [`SegmentMap::file_len`] if it is not.
    #[must_use]
    pub(crate) fn bytes(&self, limit: usize) -> &[u8] {
        let len = limit.min(self.map.len());
        // SAFETY: within the map; by this method's contract the file is that long and nobody writes
        // below `limit` any more. A bit that the disk flips is caught by the frames' checksums.
        unsafe { slice::from_raw_parts(self.map.as_ptr(), len) }
    }

    /// Reads from the file, not through the map, what there is at `offset`: for bytes that may be cut off
    /// at this moment, where a touch of the map would kill the process.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64)? {
                0 => break,
                n => read += n,
            }
        }
        Ok(read)
    }

    /// Tells the kernel that this will be read once, front to back: only for a segment that is not written
    /// any more.
    pub(crate) fn expect_sequential(&self) {
        // A hint: nothing depends on it.
        let _ = self.map.advise(memmap2::Advice::Sequential);
    }
}

impl fmt::Debug for SegmentMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentMap").field("header", &self.header).field("len", &self.map.len()).finish()
    }
}
