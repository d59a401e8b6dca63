//! The one checksum of the format: CRC32C, polynomial 0x1EDC6F41 (Castagnoli), as iSCSI (RFC 3720) has it.
//!
//! By carry-less multiplication where the processor can (AVX-512, or SSE on x86 and PMULL on ARM), found out when the
//! program runs, else by tables. Which of them it was never shows in a result.

use crc_fast::{CrcAlgorithm, Digest};

/// CRC32C of `bytes`, continuing from `crc` (0 to start).
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a checksum of 32 bits, in a type for longer ones")]
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    if crc == 0 {
        return crc_fast::crc32_iscsi(bytes);
    }
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_the_checksum_that_the_rfc_gives_for_these_bytes() {
        // RFC 3720, appendix B.4.
        let read = [
            &[0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14]
                [..],
            &[0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        for (bytes, expected) in [
            (vec![0; 32], 0x8a91_36aa),
            (vec![0xff; 32], 0x62a8_ab43),
            ((0..32).collect(), 0x46dd_794e),
            ((0..32).rev().collect(), 0x113f_db5c),
            (read, 0xd996_3a56),
            (b"123456789".to_vec(), 0xe306_9283),
            (Vec::new(), 0),
        ] {
            assert_eq!(crc32c(0, &bytes), expected, "{bytes:?}");
        }
    }

    /// Bit by bit, as the definition has it.
    fn plain(crc: u32, bytes: &[u8]) -> u32 {
        let shift = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        !bytes.iter().fold(!crc, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
    }

    #[test]
    fn every_length_and_alignment_agrees_with_the_definition() {
        let bytes: Vec<u8> =
            (0..3000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
        for len in (0..700).chain([1023, 1024, 1025, 2047, 2900]) {
            for (from, crc) in [(0, 0), (1, 0), (7, 0xdead_beef), (33, 1), (64, u32::MAX)] {
                let bytes = &bytes[from..from + len];
                assert_eq!(crc32c(crc, bytes), plain(crc, bytes), "{len} bytes from {from}, from {crc:#x}");
            }
        }
    }

    proptest! {
        #[test]
        fn in_parts_it_is_the_same_as_at_once(bytes in proptest::collection::vec(any::<u8>(), 0..6000), cuts in any::<[u16; 3]>()) {
            let mut cuts = cuts.map(|cut| usize::from(cut) % (bytes.len() + 1));
            cuts.sort_unstable();
            let parts = [&bytes[..cuts[0]], &bytes[cuts[0]..cuts[1]], &bytes[cuts[1]..cuts[2]], &bytes[cuts[2]..]];
            prop_assert_eq!(parts.into_iter().fold(0, crc32c), crc32c(0, &bytes));
        }
    }
}
