//! The payload of a loss frame: what stood where it stands now.
//!
//! ```text
//! 0  frames u64 | next_prev_crc u32 | reserved u32 = 0 | zero up to the payload's end
//! ```
//! A repair puts one loss frame in the place of a damaged extent, at the extent's first byte and exactly as
//! long: every surviving frame keeps its position, lsn and sequence, byte for byte. The frame's own lsn is
//! that of the first lost frame and its event count is the number of lost records; this summary says how
//! many frames were lost and what the frame behind them names as the one before it, so that a walk goes on
//! as if they were there.

use crate::FRAME_HEADER_BYTES;

/// What a loss frame stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossSummary {
    /// How many frames were lost, at least one: the next frame's lsn is the loss frame's plus this.
    pub frames: u64,
    /// `prev_crc` of the next frame: the chain checksum of the last frame lost.
    pub next_prev_crc: u32,
}

impl LossSummary {
    /// Size on disk, without the zeros behind it.
    pub const BYTES: usize = 16;
    /// The shortest extent that a loss frame can stand in for.
    pub const EXTENT_MIN: usize = FRAME_HEADER_BYTES + LossSummary::BYTES;

    /// The 16 bytes on disk.
    #[must_use]
    pub fn encode(&self) -> [u8; LossSummary::BYTES] {
        let mut b = [0; LossSummary::BYTES];
        b[0..8].copy_from_slice(&self.frames.to_le_bytes());
        b[8..12].copy_from_slice(&self.next_prev_crc.to_le_bytes());
        b
    }

    /// Reads a loss frame's payload; `None` if it is too short or names no frame.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<LossSummary> {
        let b: &[u8; LossSummary::BYTES] = payload.first_chunk()?;
        let frames = u64::from_le_bytes(std::array::from_fn(|i| b[i]));
        let next_prev_crc = u32::from_le_bytes([b[8], b[9], b[10], b[11]]);
        (frames > 0).then_some(LossSummary { frames, next_prev_crc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_survives_its_own_bytes_and_the_zeros_behind_them() {
        let summary = LossSummary { frames: 7, next_prev_crc: 0xdead_beef };
        let mut bytes = summary.encode().to_vec();
        assert_eq!(LossSummary::decode(&bytes), Some(summary));
        bytes.resize(4000, 0);
        assert_eq!(LossSummary::decode(&bytes), Some(summary));
    }

    #[test]
    fn a_short_payload_or_one_without_frames_is_no_loss() {
        assert_eq!(LossSummary::decode(&[1; 15]), None);
        assert_eq!(LossSummary::decode(&LossSummary { frames: 0, next_prev_crc: 1 }.encode()), None);
    }
}
