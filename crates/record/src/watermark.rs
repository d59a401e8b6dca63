//! A lane's watermark: how far it is durable, for other processes and for recovery.
//!
//! The file holds two copies of 64 bytes at offsets 0 and 4096. A writer fills the older copy, so that
//! one valid copy always stands; a reader takes the valid copy with the higher count. The copy is made
//! after the flush it names has returned: it may be old, it is never ahead.
//!
//! A copy's checksum starts from the store's id and the lane's number: what strayed in from another lane or
//! store is no watermark here.

use crate::{FORMAT_MAJOR, LaneId, Lsn, SegmentId, Seq, StoreId, crc32c};
use std::fmt;

/// Size of one copy.
pub const WATERMARK_BYTES: usize = 64;

const MAGIC: u32 = u32::from_le_bytes(*b"FbWm");

/// What a copy's checksum starts from: whose watermark it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkSeed {
    /// The data directory.
    pub store: StoreId,
    /// The lane.
    pub lane: LaneId,
}

impl WatermarkSeed {
    fn crc(self) -> u32 {
        crc32c(crc32c(0, &self.store.0), &self.lane.0.to_le_bytes())
    }
}

/// A copy that is whole, and of a version that this one cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkVersion(pub u16);

impl fmt::Display for WatermarkVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "written by another forebay: watermark version {}, and this one reads {FORMAT_MAJOR}; \
             use the forebay that wrote it, or a newer one",
            self.0
        )
    }
}

impl std::error::Error for WatermarkVersion {}

/// How far a lane is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Rises by one with every copy written.
    pub count: u64,
    /// The newest durable frame.
    pub durable_lsn: Lsn,
    /// The sequence after the newest durable record.
    pub next_seq: Seq,
    /// The segment of that frame.
    pub segment: SegmentId,
    /// Where the durable bytes of that segment end: the next group's position.
    pub end: u64,
    /// [`crate::FrameHeader::chain_crc`] of that frame.
    pub chain_crc: u32,
    /// Segments up to this one ended with a failed flush: what lies in `segment` at or behind `end`, and all
    /// that lies in later ones up to this, was given up and does not count. 0 if no flush failed since the
    /// newest durable frame.
    pub failed_through: SegmentId,
}

impl Watermark {
    /// The bytes of one copy.
    #[must_use]
    pub fn encode(&self, seed: WatermarkSeed) -> [u8; WATERMARK_BYTES] {
        let mut b = [0; WATERMARK_BYTES];
        b[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        b[8..16].copy_from_slice(&self.count.to_le_bytes());
        b[16..24].copy_from_slice(&self.durable_lsn.0.to_le_bytes());
        b[24..32].copy_from_slice(&self.next_seq.0.to_le_bytes());
        b[32..40].copy_from_slice(&self.segment.0.to_le_bytes());
        b[40..48].copy_from_slice(&self.end.to_le_bytes());
        b[48..52].copy_from_slice(&self.chain_crc.to_le_bytes());
        b[52..54].copy_from_slice(&FORMAT_MAJOR.to_le_bytes());
        b[56..64].copy_from_slice(&self.failed_through.0.to_le_bytes());
        let crc = crc32c(seed.crc(), &b[8..]);
        b[4..8].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads one copy; `None` if it is torn, empty, no watermark, or another lane's.
    ///
    /// # Errors
    /// When it is whole, and of another major version. Every version keeps its magic, its checksum and the
    /// place of the version.
    pub fn decode(
        b: &[u8; WATERMARK_BYTES],
        seed: WatermarkSeed,
    ) -> Result<Option<Watermark>, WatermarkVersion> {
        let u32_at = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        if u32_at(0) != MAGIC || u32_at(4) != crc32c(seed.crc(), &b[8..]) {
            return Ok(None);
        }
        let major = u16::from_le_bytes([b[52], b[53]]);
        if major != FORMAT_MAJOR {
            return Err(WatermarkVersion(major));
        }
        Ok(Some(Watermark {
            count: u64_at(8),
            durable_lsn: Lsn(u64_at(16)),
            next_seq: Seq(u64_at(24)),
            segment: SegmentId(u64_at(32)),
            end: u64_at(40),
            chain_crc: u32_at(48),
            failed_through: SegmentId(u64_at(56)),
        }))
    }

    /// The newer of two copies.
    #[must_use]
    pub fn newer(a: Option<Watermark>, b: Option<Watermark>) -> Option<Watermark> {
        a.into_iter().chain(b).max_by_key(|w| w.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(count: u64) -> Watermark {
        Watermark {
            count,
            durable_lsn: Lsn(1),
            next_seq: Seq(2),
            segment: SegmentId(3),
            end: 4096,
            chain_crc: 0x0506_0708,
            failed_through: SegmentId(4),
        }
    }

    const SEED: WatermarkSeed = WatermarkSeed { store: StoreId(*b"0123456789abcdef"), lane: LaneId(3) };

    #[test]
    fn the_bytes_are_where_the_drawing_says() {
        let b = mark(9).encode(SEED);
        let at = |range: std::ops::Range<usize>| b[range].to_vec();
        assert_eq!(at(0..4), b"FbWm");
        assert_eq!(at(8..40), [9u64, 1, 2, 3].map(u64::to_le_bytes).concat());
        assert_eq!(at(40..48), 4096u64.to_le_bytes());
        assert_eq!(at(48..52), [8, 7, 6, 5]);
        assert_eq!(at(52..56), [1, 0, 0, 0], "major version, reserved");
        assert_eq!(at(56..64), 4u64.to_le_bytes());
        assert_eq!(Watermark::decode(&b, SEED), Ok(Some(mark(9))));
    }

    #[test]
    fn a_copy_of_another_lane_or_store_is_none() {
        let b = mark(9).encode(SEED);
        let others = [
            WatermarkSeed { lane: LaneId(4), ..SEED },
            WatermarkSeed { lane: LaneId::UNCLAIMED, ..SEED },
            WatermarkSeed { store: StoreId(*b"0123456789abcdeg"), ..SEED },
        ];
        for other in others {
            assert_eq!(Watermark::decode(&b, other), Ok(None), "{other:?}");
        }
    }

    #[test]
    fn a_copy_of_another_version_is_named_and_a_damaged_version_is_not() {
        let mut b = mark(9).encode(SEED);
        b[52] = 2;
        assert_eq!(Watermark::decode(&b, SEED), Ok(None), "its checksum is wrong");
        let crc = crc32c(SEED.crc(), &b[8..]);
        b[4..8].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Watermark::decode(&b, SEED), Err(WatermarkVersion(2)));
    }

    #[test]
    fn any_flipped_bit_of_a_copy_makes_it_none() {
        let whole = mark(9).encode(SEED);
        for bit in 0..whole.len() * 8 {
            let mut b = whole;
            b[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Watermark::decode(&b, SEED), Ok(None), "bit {bit} was not caught");
        }
        assert_eq!(Watermark::decode(&[0; WATERMARK_BYTES], SEED), Ok(None), "an empty file");
    }

    #[test]
    fn the_valid_copy_with_the_higher_count_is_taken() {
        for (a, b, expected) in [
            (None, None, None),
            (Some(1), None, Some(1)),
            (None, Some(1), Some(1)),
            (Some(2), Some(1), Some(2)),
            (Some(1), Some(2), Some(2)),
        ] {
            assert_eq!(Watermark::newer(a.map(mark), b.map(mark)), expected.map(mark), "{a:?} {b:?}");
        }
    }
}
