//! Commits by copying into the segment's map, then one fdatasync.
//!
//! # Preparation
//! Space is reserved first, so that touching the map never needs any. `MADV_RANDOM` comes before the first
//! touch: otherwise the page cache fills with large folios, and one store dirties all of one (16 to 256
//! device bytes per payload byte were measured on ext4). Then the pages are made ahead, in steps, each
//! flushed, so that a commit converts no extents; measured, that gives one device byte per byte committed.

use super::{CommitBackend, PREPARE_STEP, SegmentFile};
use crate::disk::DiskFile;
use std::io;

#[derive(Debug)]
pub(super) struct Mapped;

impl CommitBackend for Mapped {
    fn commit(
        &mut self,
        file: &mut SegmentFile,
        position: u64,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> io::Result<()> {
        let map = file.map.as_mut().ok_or_else(|| io::Error::other("segment prepared without a map"))?;
        let position = usize::try_from(position).map_err(|_| io::ErrorKind::InvalidInput)?;
        // A file system that has shut itself down, as XFS does when its own log cannot be written, fails here: the
        // store would end in SIGBUS. It also takes the pages' faults all at once.
        map.populate(position, len)?;
        mutant!(AckBeforeFlush, {
            file.file.flush()?;
        });
        map.fill(position, len, fill);
        mutant!(FlushDropped, {
            return Ok(());
        });
        mutant!(AckBeforeFlush, {
            return Ok(());
        });
        mutant!(FlushRetried, {
            return file.file.flush().or_else(|_| file.file.flush());
        });
        file.file.flush()
    }
}

pub(super) fn prepare(file: Box<dyn DiskFile>, bytes: u64) -> io::Result<SegmentFile> {
    let mut map = file.map(bytes)?;
    map.expect_random()?;
    let len = map.len();
    for start in (0..len).step_by(PREPARE_STEP) {
        map.populate(start, PREPARE_STEP.min(len - start))?;
        file.flush()?;
    }
    Ok(SegmentFile { file, map: Some(map) })
}
