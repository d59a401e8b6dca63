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

use super::{CommitBackend, PREPARE_STEP, SegmentFile, aligned::Aligned};
use crate::disk::DiskFile;
use std::io;

/// Zeros are flushed each time there are so many: what a disk holds in a cache of its own, the next commit's flush waits for.
/// A flush for each step took a busy lane a tenth of its CPU time, and kept segments from being there in time.
const PREPARE_FLUSH: u64 = 4 * PREPARE_STEP as u64;
/// A buffer larger than this is given back when the lane rests.
const BUFFER_KEPT: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Pwrite {
    buffer: Aligned,
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
            self.buffer = Aligned::zeroed(len.next_power_of_two())?;
        }
        let group = self.buffer.first_mut(len);
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
            self.buffer = Aligned::default();
        }
    }
}

pub(super) fn prepare(file: Box<dyn DiskFile>, bytes: u64) -> io::Result<SegmentFile> {
    // Never written, they take no memory.
    let zeros = Aligned::zeroed(PREPARE_STEP)?;
    let mut position = 0;
    while position < bytes {
        let step = usize::try_from(bytes - position).unwrap_or(usize::MAX).min(PREPARE_STEP);
        file.write_at(zeros.first(step), position)?;
        position += step as u64;
        if position.is_multiple_of(PREPARE_FLUSH) || position == bytes {
            file.flush()?;
        }
    }
    Ok(SegmentFile { file, map: None })
}
