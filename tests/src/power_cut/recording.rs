//! What a recording disk saw, operation by operation.
//!
//! The file: for each operation `kind u8, 7 zeros, offset u64, length u64`, little-endian, then the bytes of a write.
//! An operation's number is its place in the file, from 0.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

/// What an operation was, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes were taken; they may be lost until the next flush.
    Write,
    /// Everything before it is on disk for good.
    Flush,
    /// A write that was answered with an error: its bytes may be there or not.
    FailedWrite,
    /// A flush that was answered with an error: it says nothing.
    FailedFlush,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Op {
    /// What it was.
    pub kind: Kind,
    /// Where a write begins.
    pub offset: u64,
    bytes: Range<usize>,
}

/// Everything a disk was told, in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    ops: Vec<Op>,
    data: Vec<u8>,
}

/// Bytes before each operation's own.
pub const HEADER_BYTES: usize = 24;

/// The header of an operation in the file.
pub fn header(kind: Kind, offset: u64, len: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = kind as u8;
    header[8..16].copy_from_slice(&offset.to_le_bytes());
    header[16..24].copy_from_slice(&(len as u64).to_le_bytes());
    header
}

impl Recording {
    /// Reads a recording's file.
    ///
    /// # Errors
    /// When it cannot be read or is not a recording.
    pub fn read(path: &Path) -> io::Result<Recording> {
        let data = fs::read(path)?;
        let wrong = |at: usize| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: no operation at byte {at}", path.display()),
            )
        };
        let (mut ops, mut at) = (Vec::new(), 0);
        while at < data.len() {
            let (head, _) = data[at..].split_first_chunk::<HEADER_BYTES>().ok_or_else(|| wrong(at))?;
            let kind = [Kind::Write, Kind::Flush, Kind::FailedWrite, Kind::FailedFlush];
            let kind = *kind.iter().find(|kind| **kind as u8 == head[0]).ok_or_else(|| wrong(at))?;
            let word = |i: usize| u64::from_le_bytes(head[i..i + 8].try_into().expect("eight bytes"));
            let (offset, len) = (word(8), usize::try_from(word(16)).map_err(|_| wrong(at))?);
            let start = at + HEADER_BYTES;
            let end = start.checked_add(len).filter(|&end| end <= data.len()).ok_or_else(|| wrong(at))?;
            ops.push(Op { kind, offset, bytes: start..end });
            at = end;
        }
        Ok(Recording { ops, data })
    }

    /// Writes the recording's file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        fs::write(path, &self.data)
    }

    /// The operations, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The bytes of a write; empty for a flush.
    pub fn bytes(&self, op: &Op) -> &[u8] {
        &self.data[op.bytes.clone()]
    }

    /// The numbers of the flushes that succeeded.
    pub fn flushes(&self) -> impl Iterator<Item = usize> {
        self.numbers(Kind::Flush)
    }

    /// The numbers of all operations of a kind.
    pub fn numbers(&self, kind: Kind) -> impl Iterator<Item = usize> {
        self.ops.iter().enumerate().filter(move |(_, op)| op.kind == kind).map(|(number, _)| number)
    }
}
