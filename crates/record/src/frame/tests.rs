//! The frame header, byte by byte.

use super::*;
use crate::sample::frame_header;

const SEED: Seed = Seed { salt: 77, position: 8192 };

fn frame(header: &FrameHeader) -> Vec<u8> {
    [&header.encode(SEED)[..], b"hello"].concat()
}

/// Writes `value` at `at` and makes the checksum right again: a writer of another version.
fn patched(at: usize, value: &[u8]) -> Result<FrameHeader, FrameError> {
    let mut bytes = frame(&frame_header());
    bytes[at..at + value.len()].copy_from_slice(value);
    let crc = crc32c(SEED.crc(), &bytes[8..FRAME_HEADER_BYTES]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    FrameHeader::decode(&bytes, SEED)
}

#[test]
fn the_bytes_are_where_the_drawing_says() {
    let b = frame_header().encode(SEED);
    let at = |range: std::ops::Range<usize>| b[range].to_vec();
    assert_eq!(at(0..4), b"FbFr");
    assert_eq!(at(8..12), 5u32.to_le_bytes());
    assert_eq!(at(12..16), 5u32.to_le_bytes());
    assert_eq!(at(16..20), crc32c(0, b"hello").to_le_bytes());
    assert_eq!(at(20..24), [1, 4, 3, 0], "kind, endpoint, flags: group end and client address");
    assert_eq!(at(24..32), 1001u64.to_le_bytes());
    assert_eq!(at(32..40), 50_000u64.to_le_bytes());
    assert_eq!(at(40..48), 42u64.to_le_bytes());
    assert_eq!(at(48..52), 2u32.to_le_bytes());
    assert_eq!(at(52..56), 0xdead_beefu32.to_le_bytes());
    assert_eq!(at(56..64), 1_700_000_000_123u64.to_le_bytes());
    assert_eq!(at(64..80), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 9]);
    assert_eq!(at(80..88), 998u64.to_le_bytes());
    assert_eq!(at(88..96), [0; 8]);
}

#[test]
fn every_kind_endpoint_and_address_reads_back() {
    let kinds = (0..=255).filter_map(FrameKind::of);
    let endpoints = (0..=255).filter_map(Endpoint::of);
    assert_eq!((kinds.clone().count(), endpoints.clone().count()), (6, 7));
    let addresses: [Option<IpAddr>; 4] =
        [None, Some([0, 0, 0, 0].into()), Some(Ipv6Addr::UNSPECIFIED.into()), Some([1u16; 8].into())];
    for kind in kinds {
        for endpoint in endpoints.clone() {
            for client_ip in addresses {
                let header = FrameHeader { kind, endpoint, client_ip, ..frame_header() };
                assert_eq!(FrameHeader::decode(&frame(&header), SEED), Ok(header));
            }
        }
    }
}

#[test]
fn any_flipped_bit_of_header_or_payload_is_caught() {
    let whole = frame(&frame_header());
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let read = FrameHeader::decode(&bytes, SEED).and_then(|h| h.payload(&bytes).map(<[u8]>::to_vec));
        assert!(read.is_err(), "bit {bit} was not caught");
    }
}

#[test]
fn a_frame_validates_only_in_its_segment_and_at_its_place() {
    let bytes = frame(&frame_header());
    for other in [
        Seed { salt: 78, ..SEED },
        Seed { salt: 0, ..SEED },
        Seed { position: 8200, ..SEED },
        Seed { position: 0, ..SEED },
        Seed { salt: SEED.position, position: SEED.salt },
    ] {
        let error = FrameHeader::decode(&bytes, other).expect_err("another place");
        assert!(matches!(error, FrameError::HeaderChecksum { .. }), "{other:?}: {error}");
    }
}

#[test]
fn what_another_version_wrote_is_named_not_misread() {
    for (at, value, field) in [
        (20, &[9u8][..], "kind"),
        (20, &[0], "kind"),
        (21, &[7], "endpoint"),
        (22, &[4, 0], "flags"),
        (22, &[0, 128], "flags"),
        (88, &[1], "reserved field"),
        (95, &[1], "reserved field"),
        (12, &[6], "compression (raw length)"),
    ] {
        match patched(at, value) {
            Err(FrameError::Unknown { field: named, .. }) => assert_eq!(named, field),
            other => panic!("byte {at} = {value:?}: {other:?}"),
        }
    }
    assert_eq!(patched(16, b"\0\0\0\0").map(|h| h.payload_crc), Ok(0), "the patching itself is right");
}

#[test]
fn a_cut_frame_says_how() {
    let bytes = frame(&frame_header());
    for len in 0..bytes.len() {
        let expected = if len < FRAME_HEADER_BYTES { FrameError::Short } else { FrameError::Length(5) };
        assert_eq!(FrameHeader::decode(&bytes[..len], SEED), Err(expected), "{len} bytes");
        assert_eq!(frame_header().payload(&bytes[..len]), Err(FrameError::Length(5)), "{len} bytes");
    }
    assert_eq!(FrameHeader::decode(&[0; 96], SEED), Err(FrameError::Zero));
    let almost = [&[0; 95][..], &[1]].concat();
    assert_eq!(FrameHeader::decode(&almost, SEED), Err(FrameError::Magic(0)));
}

#[test]
fn a_huge_length_is_refused_without_being_believed() {
    let header = FrameHeader { stored_len: u32::MAX, raw_len: u32::MAX, ..frame_header() };
    assert_eq!(FrameHeader::decode(&frame(&header), SEED), Err(FrameError::Length(u32::MAX)));
}

#[test]
fn the_chain_depends_on_content_and_not_on_place() {
    let here = frame_header().encode(SEED);
    let elsewhere = frame_header().encode(Seed { salt: 1, position: 4096 });
    assert_ne!(here, elsewhere);
    assert_eq!(FrameHeader::chain_crc(&here), FrameHeader::chain_crc(&elsewhere));
    let other = FrameHeader { payload_crc: 1, ..frame_header() }.encode(SEED);
    assert_ne!(FrameHeader::chain_crc(&here), FrameHeader::chain_crc(&other));
}

#[test]
fn the_extent_leads_to_the_next_frame() {
    let extent = |stored_len, group_end, position| {
        FrameHeader { stored_len, flags: FrameFlags { group_end }, ..frame_header() }.extent(position)
    };
    for (len, group_end, position, expected) in [
        (0, false, 4096, 96),
        (1, false, 4096, 104),
        (8, false, 4200, 104),
        (0, true, 4096, 4096),
        (4000, true, 4096, 4096),
        (4001, true, 4096, 8192),
        (0, true, 4200, 3992),
        (0, true, 8096, 96),
    ] {
        assert_eq!(extent(len, group_end, position), expected, "{len} {group_end} {position}");
    }
}
