//! A lane's watermark: how far it is durable, for other processes and for recovery.
//!
//! The file holds two copies of 64 bytes at offsets 0 and 4096. A writer fills the older copy, so that
//! one valid copy always stands; a reader takes the valid copy with the higher count. The copy is made
//! after the flush it names has returned: it may be old, it is never ahead.

use crate::{Lsn, SegmentId, Seq, crc32c};

/// Size of one copy.
pub const WATERMARK_BYTES: usize = 64;

const MAGIC: u32 = u32::from_le_bytes(*b"FbWm");

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
    pub fn encode(&self) -> [u8; WATERMARK_BYTES] {
        let mut b = [0; WATERMARK_BYTES];
        b[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        b[8..16].copy_from_slice(&self.count.to_le_bytes());
        b[16..24].copy_from_slice(&self.durable_lsn.0.to_le_bytes());
        b[24..32].copy_from_slice(&self.next_seq.0.to_le_bytes());
        b[32..40].copy_from_slice(&self.segment.0.to_le_bytes());
        b[40..48].copy_from_slice(&self.end.to_le_bytes());
        b[48..52].copy_from_slice(&self.chain_crc.to_le_bytes());
        b[56..64].copy_from_slice(&self.failed_through.0.to_le_bytes());
        let crc = crc32c(0, &b[8..]);
        b[4..8].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads one copy; `None` if it is torn, empty or no watermark.
    #[must_use]
    pub fn decode(b: &[u8; WATERMARK_BYTES]) -> Option<Watermark> {
        let u32_at = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        (u32_at(0) == MAGIC && u32_at(4) == crc32c(0, &b[8..])).then(|| Watermark {
            count: u64_at(8),
            durable_lsn: Lsn(u64_at(16)),
            next_seq: Seq(u64_at(24)),
            segment: SegmentId(u64_at(32)),
            end: u64_at(40),
            chain_crc: u32_at(48),
            failed_through: SegmentId(u64_at(56)),
        })
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

    #[test]
    fn the_bytes_are_where_the_drawing_says() {
        let b = mark(9).encode();
        let at = |range: std::ops::Range<usize>| b[range].to_vec();
        assert_eq!(at(0..4), b"FbWm");
        assert_eq!(at(8..40), [9u64, 1, 2, 3].map(u64::to_le_bytes).concat());
        assert_eq!(at(40..48), 4096u64.to_le_bytes());
        assert_eq!(at(48..52), [8, 7, 6, 5]);
        assert_eq!(at(52..56), [0; 4]);
        assert_eq!(at(56..64), 4u64.to_le_bytes());
        assert_eq!(Watermark::decode(&b), Some(mark(9)));
    }

    #[test]
    fn any_flipped_bit_of_a_copy_makes_it_none() {
        let whole = mark(9).encode();
        for bit in 0..whole.len() * 8 {
            let mut b = whole;
            b[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Watermark::decode(&b), None, "bit {bit} was not caught");
        }
        assert_eq!(Watermark::decode(&[0; WATERMARK_BYTES]), None, "an empty file");
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
