//! A segment file mapped for reading.
//!
//! # Invariants
//! * Bytes leave it only below a [`Limit`], which follows from the lane's durable watermark: reading behind
//!   what is durable does not compile.
//! * A file may become shorter behind its last durable byte (a cut tail, the unused end of a sealed segment).
//!   Bytes that no frame is known to cover are read through the [file](SegmentMap::file), never touched in
//!   the map.

use crate::{
    disk::{Disk, DiskFile, DiskView, ReadMap, is_unreadable},
    watermark::Limit,
};
use forebay_record::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderError};
use std::{fmt, io, ops::Range, path::Path, sync::Arc};

/// A segment's bytes, shared with the page cache.
pub(crate) struct SegmentMap {
    file: Box<dyn DiskFile>,
    map: Arc<dyn ReadMap>,
    header: SegmentHeader,
}

/// Why a segment cannot be mapped.
#[derive(Debug)]
pub enum SegmentMapError {
    /// The file cannot be opened or mapped.
    Io(io::Error),
    /// Its first block is not a segment's header.
    Header(SegmentHeaderError),
    /// The disk cannot read its first block.
    Unreadable,
}

impl fmt::Display for SegmentMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentMapError::Io(_) => f.write_str("cannot open or map the segment"),
            SegmentMapError::Header(_) => f.write_str("the segment's header cannot be read"),
            SegmentMapError::Unreadable => f.write_str("the disk cannot read the segment's header"),
        }
    }
}

impl std::error::Error for SegmentMapError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SegmentMapError::Io(e) => Some(e),
            SegmentMapError::Header(e) => Some(e),
            SegmentMapError::Unreadable => None,
        }
    }
}

/// Reads and decodes a segment's first block.
pub(crate) fn read_header(file: &dyn DiskFile) -> Result<SegmentHeader, SegmentMapError> {
    let mut block = [0; SEGMENT_HEADER_BYTES];
    match file.read_at(&mut block, 0) {
        Ok(read) => SegmentHeader::decode(&block[..read]).map_err(SegmentMapError::Header),
        Err(e) if is_unreadable(&e) => Err(SegmentMapError::Unreadable),
        Err(e) => Err(SegmentMapError::Io(e)),
    }
}

impl SegmentMap {
    /// Maps the segment at `path` and checks its header.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped, or its header cannot be read.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<SegmentMap, SegmentMapError> {
        let file = disk.open_read(path).map_err(SegmentMapError::Io)?;
        let header = read_header(&*file)?;
        let map = file.read_map().map_err(SegmentMapError::Io)?;
        Ok(SegmentMap { file, map, header })
    }

    /// The segment's header.
    #[must_use]
    pub(crate) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The file itself: what is read through it can fail and is a copy.
    pub(crate) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// The file's length now.
    ///
    /// # Errors
    /// When the file's metadata cannot be read.
    pub(crate) fn file_len(&self) -> io::Result<usize> {
        Ok(usize::try_from(self.file.len()?).unwrap_or(usize::MAX))
    }

    /// The bytes of `range` below `limit`, in memory.
    ///
    /// # Errors
    /// When the disk cannot read them all.
    pub(crate) fn window(&self, limit: Limit, range: Range<usize>) -> io::Result<Arc<dyn DiskView>> {
        debug_assert_eq!(limit.segment(), self.header.id, "a limit of another segment");
        self.map.window(limit, range)
    }

    /// Tells the kernel that this will be read once, front to back: only for a segment that is not written
    /// any more.
    pub(crate) fn expect_sequential(&self) {
        self.map.expect_sequential();
    }
}

impl fmt::Debug for SegmentMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentMap").field("header", &self.header).finish_non_exhaustive()
    }
}
