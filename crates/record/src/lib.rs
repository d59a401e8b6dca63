//! Forebay's byte layout: what a segment file holds, to the byte.
//!
//! Everything that reads or writes a segment goes through this crate: the writer, recovery, readers,
//! `forebay log verify`, the fuzzers. It does no I/O and knows no other crate; it turns bytes into
//! checked values and back.
//!
//! # Invariants
//! * Decoding never panics and never allocates from a length it has not checked.
//! * A frame validates only in the segment (salt) and at the position it was written for.
//! * Integers are little-endian; frames are 8-aligned; commit groups start on 4 KiB.
//!
//! The layout is drawn in `docs/format.md`.

mod checksum;
mod directory;
mod frame;
mod id;
mod loss;
mod payload;
mod segment;
mod walk;
mod watermark;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod proptests;
#[cfg(test)]
mod sample;

pub use checksum::crc32c;
pub use directory::{DIRECTORY_ENTRY_BYTES, DirectoryEntry, Span};
pub use frame::{
    Endpoint, FRAME_ALIGN, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameError, FrameFlags, FrameHeader,
    FrameKind, GROUP_ALIGN, Seed, align_frame, align_group, frame_bytes,
};
pub use id::{LaneId, Lsn, Position, ProjectId, SegmentId, Seq, StoreId};
pub use loss::LossSummary;
pub use payload::{PREAMBLE_BYTES, Payload, PayloadError, Preamble};
pub use segment::{
    FORMAT_MAJOR, FORMAT_MINOR, Predecessor, SEGMENT_HEADER_BYTES, SealSummary, SegmentHeader,
    SegmentHeaderError,
};
pub use walk::{CheckedFrame, Damage, End, Walk, resync};
pub use watermark::{WATERMARK_BYTES, Watermark, WatermarkSeed, WatermarkVersion};
