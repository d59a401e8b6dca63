//! Commits by gathering the group in one buffer, then one durable write.
//!
//! # Preparation
//! The segment is written with zeros, not only allocated: the first write into an allocated but unwritten
//! extent commits a journal transaction with it (4 device bytes per byte at 4 KiB groups were measured on
//! ext4, against 1 here).
//!
//! So each byte is written twice. `FALLOC_FL_WRITE_ZEROES` (Linux 6.17) would save the first time on a device that
//! unmaps to zeros; the virtual disks that this was measured on refuse it. A segment that retention took cannot be used
//! again as it is: what recovery and readers know of an end rests on the zeros behind the last frame.

use super::{CommitBackend, PREPARE_STEP, SegmentFile};
use crate::disk::DiskFile;
use std::io;

/// A buffer larger than this is given back when the lane rests.
const BUFFER_KEPT: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Pwrite {
    buffer: Vec<u8>,
}

impl CommitBackend for Pwrite {
    fn commit(
        &mut self,
        file: &mut SegmentFile,
        position: u64,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> io::Result<()> {
        if self.buffer.len() < len {
            // Zeroed once; later groups overwrite what they use, padding included.
            self.buffer = vec![0; len.next_power_of_two()];
        }
        let group = &mut self.buffer[..len];
        fill(group);
        mutant!(FlushDropped, {
            return file.file.write_at(group, position);
        });
        mutant!(AckBeforeFlush, {
            return file.file.flush().and_then(|()| file.file.write_at(group, position));
        });
        mutant!(FlushRetried, {
            return file.file.write_durable(group, position).or_else(|_| file.file.flush());
        });
        file.file.write_durable(group, position)
    }

    fn rest(&mut self) {
        if self.buffer.len() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
    }
}

pub(super) fn prepare(file: Box<dyn DiskFile>, bytes: u64) -> io::Result<SegmentFile> {
    let zeros = vec![0; 1 << 20];
    let mut position = 0;
    while position < bytes {
        let step = (bytes - position).min(PREPARE_STEP as u64);
        let end = position + step;
        while position < end {
            let len = zeros.len().min(usize::try_from(end - position).unwrap_or(usize::MAX));
            file.write_at(&zeros[..len], position)?;
            position += len as u64;
        }
        file.flush()?;
    }
    Ok(SegmentFile { file, map: None })
}
