//! The header block of a segment file and the summary that seals it.
//!
//! ```text
//!   0  magic "FOREBAY\n" | major u16 | minor u16 | incompatible u32
//!  16  compatible u32 | header_crc u32 | store id 16 bytes
//!  40  lane u16 | predecessor state u16 | generation u32 | segment id u64
//!  56  base_lsn u64 | base_seq u64 | salt u64 | created_at_ms u64
//!  88  predecessor id u64 | predecessor end u64 | prev_crc u32 | reserved u32 = 0 | capacity u64
//! 120  zero up to 4096
//! ```
//! `header_crc` covers the whole block with its own four bytes as zero.

use crate::{LaneId, Lsn, SegmentId, Seq, StoreId, crc32c};
use std::fmt;

/// The first block of a segment; frames start behind it.
pub const SEGMENT_HEADER_BYTES: usize = 4096;
/// A reader of another major version must refuse.
pub const FORMAT_MAJOR: u16 = 1;
/// Raised for changes an older reader may ignore.
pub const FORMAT_MINOR: u16 = 0;

const MAGIC: &[u8; 8] = b"FOREBAY\n";

/// What the segment before this one is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// This is the lane's first segment.
    None,
    /// It was sealed, or its tail was recovered: every frame in it counts.
    Whole(SegmentId),
    /// A flush of it failed: only what lies below `end` counts, the rest went on in this segment.
    Failed {
        /// Which.
        id: SegmentId,
        /// Byte position in it.
        end: u64,
    },
}

/// The header of a segment: written and flushed when the segment is put to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The data directory it belongs to.
    pub store: StoreId,
    /// Its lane.
    pub lane: LaneId,
    /// Its number in the lane.
    pub id: SegmentId,
    /// Counts rewritings of this segment (erasure); 0 as first written.
    pub generation: u32,
    /// The lsn of its first frame.
    pub base_lsn: Lsn,
    /// The sequence of its first record.
    pub base_seq: Seq,
    /// Seeds every frame's checksum.
    pub salt: u64,
    /// The server's clock when it was put to use, milliseconds since the epoch.
    pub created_at_ms: u64,
    /// The segment before it.
    pub predecessor: Predecessor,
    /// `prev_crc` of its first frame.
    pub prev_crc: u32,
    /// Bytes of the file, this header included.
    pub capacity: u64,
}

/// Why a block is not a segment's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentHeaderError {
    /// Fewer than 4096 bytes.
    Short(usize),
    /// All zero: a prepared file that was never put to use.
    Unused,
    /// The first eight bytes are not a segment's.
    Magic,
    /// Written by a version this one cannot read.
    Version {
        /// Its major version.
        major: u16,
        /// Its minor version.
        minor: u16,
    },
    /// Uses features this version does not know.
    Incompatible(u32),
    /// The checksum does not match.
    Checksum {
        /// As read.
        stored: u32,
        /// As it should be.
        computed: u32,
    },
    /// A checksummed block with a field out of range.
    Field(&'static str),
}

impl fmt::Display for SegmentHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentHeaderError::Short(len) => {
                write!(f, "{len} bytes are too few for a segment header of 4096")
            }
            SegmentHeaderError::Unused => f.write_str("the segment was prepared but never used"),
            SegmentHeaderError::Magic => f.write_str("not a Forebay segment: wrong magic"),
            SegmentHeaderError::Version { major, minor } => write!(
                f,
                "written by another forebay: segment format {major}.{minor}, and this one reads {FORMAT_MAJOR}.x; \
                 use the forebay that wrote it, or a newer one"
            ),
            SegmentHeaderError::Incompatible(bits) => {
                write!(
                    f,
                    "written by a newer forebay: the segment uses features {bits:#010x}, of which this one knows \
                     none; use the newer one"
                )
            }
            SegmentHeaderError::Checksum { stored, computed } => {
                write!(
                    f,
                    "segment header checksum mismatch: stored {stored:#010x}, computed {computed:#010x}"
                )
            }
            SegmentHeaderError::Field(name) => write!(f, "segment header field {name} is out of range"),
        }
    }
}

impl std::error::Error for SegmentHeaderError {}

impl SegmentHeaderError {
    /// Is the block whole, and of a version or with features that this one does not know?
    #[must_use]
    pub fn is_of_another_version(&self) -> bool {
        matches!(self, SegmentHeaderError::Version { .. } | SegmentHeaderError::Incompatible(_))
    }
}

impl SegmentHeader {
    /// The block's bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8; SEGMENT_HEADER_BYTES]> {
        let (state, id, end) = match self.predecessor {
            Predecessor::None => (0u16, 0, 0),
            Predecessor::Whole(id) => (1, id.0, 0),
            Predecessor::Failed { id, end } => (2, id.0, end),
        };
        let mut b = Box::new([0; SEGMENT_HEADER_BYTES]);
        b[0..8].copy_from_slice(MAGIC);
        b[8..10].copy_from_slice(&FORMAT_MAJOR.to_le_bytes());
        b[10..12].copy_from_slice(&FORMAT_MINOR.to_le_bytes());
        b[24..40].copy_from_slice(&self.store.0);
        b[40..42].copy_from_slice(&self.lane.0.to_le_bytes());
        b[42..44].copy_from_slice(&state.to_le_bytes());
        b[44..48].copy_from_slice(&self.generation.to_le_bytes());
        b[48..56].copy_from_slice(&self.id.0.to_le_bytes());
        b[56..64].copy_from_slice(&self.base_lsn.0.to_le_bytes());
        b[64..72].copy_from_slice(&self.base_seq.0.to_le_bytes());
        b[72..80].copy_from_slice(&self.salt.to_le_bytes());
        b[80..88].copy_from_slice(&self.created_at_ms.to_le_bytes());
        b[88..96].copy_from_slice(&id.to_le_bytes());
        b[96..104].copy_from_slice(&end.to_le_bytes());
        b[104..108].copy_from_slice(&self.prev_crc.to_le_bytes());
        b[112..120].copy_from_slice(&self.capacity.to_le_bytes());
        let crc = crc32c(0, &b[..]);
        b[20..24].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads and checks the block at the start of `bytes`.
    ///
    /// # Errors
    /// Why it is not the header of a segment that this version can read.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, SegmentHeaderError> {
        let b: &[u8; SEGMENT_HEADER_BYTES] =
            bytes.first_chunk().ok_or(SegmentHeaderError::Short(bytes.len()))?;
        let u16_at = |i: usize| u16::from_le_bytes([b[i], b[i + 1]]);
        let u32_at = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        if &b[0..8] != MAGIC {
            let unused = b.iter().all(|&x| x == 0);
            return Err(if unused { SegmentHeaderError::Unused } else { SegmentHeaderError::Magic });
        }
        // The checksum before the version: every version keeps the first 24 bytes and what they mean, so that a
        // damaged version is not taken for a newer forebay's.
        let stored = u32_at(20);
        let computed = crc32c(crc32c(crc32c(0, &b[..20]), &[0; 4]), &b[24..]);
        if stored != computed {
            return Err(SegmentHeaderError::Checksum { stored, computed });
        }
        if u16_at(8) != FORMAT_MAJOR {
            return Err(SegmentHeaderError::Version { major: u16_at(8), minor: u16_at(10) });
        }
        if u32_at(12) != 0 {
            return Err(SegmentHeaderError::Incompatible(u32_at(12)));
        }
        let predecessor = match (u16_at(42), SegmentId(u64_at(88))) {
            (0, _) => Predecessor::None,
            (1, id) => Predecessor::Whole(id),
            (2, id) => Predecessor::Failed { id, end: u64_at(96) },
            _ => return Err(SegmentHeaderError::Field("predecessor state")),
        };
        let mut store = [0; 16];
        store.copy_from_slice(&b[24..40]);
        Ok(SegmentHeader {
            store: StoreId(store),
            lane: LaneId(u16_at(40)),
            id: SegmentId(u64_at(48)),
            generation: u32_at(44),
            base_lsn: Lsn(u64_at(56)),
            base_seq: Seq(u64_at(64)),
            salt: u64_at(72),
            created_at_ms: u64_at(80),
            predecessor,
            prev_crc: u32_at(104),
            capacity: u64_at(112),
        })
    }
}

/// The payload of a seal frame: what the segment holds, so that opening need not read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealSummary {
    /// Frames with records in it.
    pub frames: u64,
    /// Records in it.
    pub records: u64,
    /// Least receive time, milliseconds since the epoch; 0 if no records.
    pub received_first_ms: u64,
    /// Greatest receive time.
    pub received_last_ms: u64,
    /// CRC32C of the file from byte 4096 up to the seal frame.
    pub content_crc: u32,
}

impl SealSummary {
    /// Size on disk.
    pub const BYTES: usize = 40;

    /// The 40 bytes on disk.
    #[must_use]
    pub fn encode(&self) -> [u8; SealSummary::BYTES] {
        let mut b = [0; SealSummary::BYTES];
        b[0..8].copy_from_slice(&self.frames.to_le_bytes());
        b[8..16].copy_from_slice(&self.records.to_le_bytes());
        b[16..24].copy_from_slice(&self.received_first_ms.to_le_bytes());
        b[24..32].copy_from_slice(&self.received_last_ms.to_le_bytes());
        b[32..36].copy_from_slice(&self.content_crc.to_le_bytes());
        b
    }

    /// Reads a seal frame's payload; `None` if it has another length.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<SealSummary> {
        let b: &[u8; SealSummary::BYTES] = payload.try_into().ok()?;
        let u64_at = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| b[i + k]));
        Some(SealSummary {
            frames: u64_at(0),
            records: u64_at(8),
            received_first_ms: u64_at(16),
            received_last_ms: u64_at(24),
            content_crc: u32::from_le_bytes([b[32], b[33], b[34], b[35]]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::segment_header;

    fn patched(at: usize, value: &[u8]) -> SegmentHeaderError {
        let mut b = segment_header().encode();
        b[at..at + value.len()].copy_from_slice(value);
        b[20..24].fill(0);
        let crc = crc32c(0, &b[..]);
        b[20..24].copy_from_slice(&crc.to_le_bytes());
        SegmentHeader::decode(&b[..]).expect_err("not readable")
    }

    #[test]
    fn every_predecessor_reads_back() {
        let failed = Predecessor::Failed { id: SegmentId(9), end: 12_288 };
        for predecessor in [Predecessor::None, Predecessor::Whole(SegmentId(9)), failed] {
            let header = SegmentHeader { predecessor, ..segment_header() };
            assert_eq!(SegmentHeader::decode(&header.encode()[..]), Ok(header));
        }
    }

    #[test]
    fn the_bytes_are_where_the_drawing_says() {
        let predecessor = Predecessor::Failed { id: SegmentId(6), end: 8192 };
        let b = SegmentHeader { generation: 2, predecessor, ..segment_header() }.encode();
        let at = |range: std::ops::Range<usize>| b[range].to_vec();
        assert_eq!(at(0..8), b"FOREBAY\n");
        assert_eq!(at(8..20), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(at(24..40), b"0123456789abcdef");
        assert_eq!(at(40..48), [3, 0, 2, 0, 2, 0, 0, 0], "lane, predecessor state, generation");
        assert_eq!(at(48..56), 7u64.to_le_bytes());
        assert_eq!(at(56..64), 1001u64.to_le_bytes());
        assert_eq!(at(64..72), 50_000u64.to_le_bytes());
        assert_eq!(at(72..80), 0x1122_3344_5566_7788u64.to_le_bytes());
        assert_eq!(at(80..88), 1_700_000_000_000u64.to_le_bytes());
        assert_eq!(at(88..104), [6u64.to_le_bytes(), 8192u64.to_le_bytes()].concat());
        assert_eq!(at(104..112), [0xef, 0xbe, 0xad, 0xde, 0, 0, 0, 0]);
        assert_eq!(at(112..120), (1u64 << 20).to_le_bytes());
        assert!(at(120..4096).iter().all(|&x| x == 0));
    }

    #[test]
    fn any_flipped_bit_of_the_block_is_caught() {
        let whole = segment_header().encode();
        for bit in 0..whole.len() * 8 {
            let mut b = whole.clone();
            b[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&b[..]).is_err(), "bit {bit} was not caught");
        }
    }

    #[test]
    fn a_damaged_version_is_damage_and_no_newer_version() {
        for bit in 8 * 8..16 * 8 {
            let mut b = segment_header().encode();
            b[bit / 8] ^= 1 << (bit % 8);
            let error = SegmentHeader::decode(&b[..]).expect_err("damaged");
            assert!(matches!(error, SegmentHeaderError::Checksum { .. }), "bit {bit}: {error}");
        }
    }

    #[test]
    fn other_versions_and_unknown_features_are_named() {
        use SegmentHeaderError::{Field, Incompatible, Version};
        assert_eq!(patched(8, &[2, 0]), Version { major: 2, minor: 0 });
        assert_eq!(patched(8, &[0, 0, 5, 0]), Version { major: 0, minor: 5 });
        assert_eq!(patched(12, &[0, 0, 0, 0x80]), Incompatible(0x8000_0000));
        assert_eq!(patched(42, &[3, 0]), Field("predecessor state"));
    }

    #[test]
    fn a_newer_minor_version_and_compatible_features_are_read() {
        let mut b = segment_header().encode();
        b[10] = 9;
        b[16..20].fill(0xff);
        b[20..24].fill(0);
        let crc = crc32c(0, &b[..]);
        b[20..24].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&b[..]), Ok(segment_header()));
    }

    #[test]
    fn what_is_no_header_says_what_it_is() {
        assert_eq!(SegmentHeader::decode(&[1; 4095]), Err(SegmentHeaderError::Short(4095)));
        assert_eq!(SegmentHeader::decode(&[0; 4096]), Err(SegmentHeaderError::Unused));
        assert_eq!(SegmentHeader::decode(&[1; 4096]), Err(SegmentHeaderError::Magic));
    }

    #[test]
    fn a_seal_summary_reads_back_and_has_one_length() {
        let summary = SealSummary {
            frames: 1,
            records: 2,
            received_first_ms: 3,
            received_last_ms: 4,
            content_crc: 0x0506_0708,
        };
        let b = summary.encode();
        assert_eq!(SealSummary::decode(&b), Some(summary));
        assert_eq!(b[32..40], [8, 7, 6, 5, 0, 0, 0, 0]);
        assert_eq!((SealSummary::decode(&b[..39]), SealSummary::decode(&[0; 41])), (None, None));
    }
}
