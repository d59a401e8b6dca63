//! Properties of the layout against plain models: what was encoded comes back, and nothing else ever does.

use crate::{
    DirectoryEntry, Endpoint, FRAME_HEADER_BYTES, FrameFlags, FrameHeader, FrameKind, LaneId, LossSummary,
    Lsn, Payload, Predecessor, ProjectId, SEGMENT_HEADER_BYTES, SealSummary, Seed, SegmentHeader, SegmentId,
    Seq, Span, StoreId, WATERMARK_BYTES, Walk, Watermark, WatermarkSeed, resync,
    sample::{Built, Plan, build, payload},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::net::IpAddr;

const WATERMARK_SEED: WatermarkSeed = WatermarkSeed { store: StoreId([9; 16]), lane: LaneId(2) };

prop_compose! {
    fn frame_headers()(
        kind in prop::sample::select(vec![
            FrameKind::Records, FrameKind::Replay, FrameKind::Lookup,
            FrameKind::Heartbeat, FrameKind::Seal, FrameKind::Loss,
        ]),
        endpoint in prop::sample::select(vec![
            Endpoint::Internal, Endpoint::Track, Endpoint::Engage, Endpoint::Groups,
            Endpoint::Import, Endpoint::Record, Endpoint::LookupTables,
        ]),
        group_end: bool,
        (stored_len, event_count, payload_crc, prev_crc) in any::<(u32, u32, u32, u32)>(),
        (lsn, seq, project, received_at_ms, durable) in any::<(u64, u64, u64, u64, u64)>(),
        client_ip: Option<IpAddr>,
    ) -> FrameHeader {
        FrameHeader {
            kind, endpoint, payload_crc, event_count, prev_crc, received_at_ms,
            flags: FrameFlags { group_end },
            stored_len: stored_len % 100_000,
            raw_len: stored_len % 100_000,
            lsn: Lsn(lsn),
            first_seq: Seq(seq),
            project: ProjectId::new(project),
            // An IPv4 address written as IPv6 is the same address and reads back as IPv4.
            client_ip: client_ip.map(|ip| ip.to_canonical()),
            durable_lsn: Lsn(durable),
        }
    }
}

prop_compose! {
    fn spans()(offset: u32, len: u16) -> Span {
        Span { offset, len }
    }
}

prop_compose! {
    fn entries()(
        (offset, len) in any::<(u32, u32)>(),
        (name, distinct_id, insert_id) in (spans(), spans(), spans()),
        time_ms: Option<i64>,
        (escaped, repaired, use_ip) in any::<(bool, bool, bool)>(),
    ) -> DirectoryEntry {
        DirectoryEntry { offset, len, name, distinct_id, insert_id, time_ms, escaped, repaired, use_ip }
    }
}

prop_compose! {
    fn segment_headers()(
        store: [u8; 16],
        (lane, generation, prev_crc) in any::<(u16, u32, u32)>(),
        (id, base_lsn, base_seq, salt, created_at_ms, capacity) in any::<(u64, u64, u64, u64, u64, u64)>(),
        predecessor in prop_oneof![
            Just(Predecessor::None),
            any::<u64>().prop_map(|id| Predecessor::Whole(SegmentId(id))),
            any::<(u64, u64)>().prop_map(|(id, end)| Predecessor::Failed { id: SegmentId(id), end }),
        ],
    ) -> SegmentHeader {
        SegmentHeader {
            store: StoreId(store), lane: LaneId(lane), id: SegmentId(id), generation,
            base_lsn: Lsn(base_lsn), base_seq: Seq(base_seq), salt, created_at_ms, predecessor, prev_crc,
            capacity,
        }
    }
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan =
        (0..4u8, vec(vec(any::<u8>(), 0..300), 0..6), any::<bool>()).prop_map(|(kind, events, end)| {
            let views: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
            let event_count = u32::try_from(events.len()).expect("small");
            match kind {
                0 => Plan { kind: FrameKind::Heartbeat, payload: vec![], event_count: 0, group_end: end },
                1 => Plan {
                    kind: FrameKind::Loss,
                    payload: LossSummary { frames: 3, next_prev_crc: 0x1057 }.encode().to_vec(),
                    event_count: 1000,
                    group_end: end,
                },
                _ => Plan {
                    kind: FrameKind::Records,
                    payload: payload(b"token", b"", &views),
                    event_count,
                    group_end: end,
                },
            }
        });
    vec(plan, 1..12).prop_map(|mut plans| {
        plans.last_mut().expect("at least one").group_end = true;
        plans
    })
}

/// The payloads that a walk over `bytes` yields.
fn payloads<'a>(bytes: &'a [u8], built: &Built) -> Vec<&'a [u8]> {
    Walk::new(bytes, &built.header).map(|f| f.payload).collect()
}

/// How many whole frames lie before byte `at`.
fn frames_before(built: &Built, at: usize) -> usize {
    built.frames.iter().filter(|r| r.end <= at).count()
}

proptest! {
    #[test]
    fn frame_headers_round_trip(header in frame_headers(), salt: u64, position: u64) {
        let seed = Seed { salt, position };
        let mut bytes = header.encode(seed).to_vec();
        bytes.resize(FRAME_HEADER_BYTES + header.stored_len as usize, 0);
        prop_assert_eq!(FrameHeader::decode(&bytes, seed), Ok(header));
    }

    #[test]
    fn frame_headers_refuse_another_salt_and_place(
        header in frame_headers(), salt: u64, position in 0..1u64 << 32, flip in 0..64u32, shift in 1..1u64 << 32,
    ) {
        // Certain, not just likely: CRC32C catches every change that fits into 32 neighbouring bits.
        let mut bytes = header.encode(Seed { salt, position }).to_vec();
        bytes.resize(FRAME_HEADER_BYTES + header.stored_len as usize, 0);
        let elsewhere = position.wrapping_add(shift) % (1 << 32);
        for seed in [Seed { salt: salt ^ (1 << flip), position }, Seed { salt, position: elsewhere }] {
            prop_assert!(FrameHeader::decode(&bytes, seed).is_err());
        }
    }

    #[test]
    fn decoders_never_panic(
        bytes in vec(any::<u8>(), 0..5000), salt: u64, position: u64, magic: bool, count: u32,
    ) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 4 {
            bytes[..4].copy_from_slice(b"FbFr");
        }
        let seed = Seed { salt, position };
        if let Ok(header) = FrameHeader::decode(&bytes, seed) {
            let _ = header.payload(&bytes);
        }
        let _ = SegmentHeader::decode(&bytes);
        let _ = SealSummary::decode(&bytes);
        if let Ok(view) = Payload::parse(&bytes, count % 200) {
            for (entry, event) in view.events() {
                let _ = (entry.name.get(event), entry.distinct_id.get(event), entry.insert_id.get(event));
            }
        }
        if let Some(copy) = bytes.first_chunk::<WATERMARK_BYTES>() {
            let _ = Watermark::decode(copy, WATERMARK_SEED);
        }
        let _ = resync(&bytes, salt, position, Lsn(0));
    }

    #[test]
    fn entries_round_trip(entry in entries()) {
        let mut b = Vec::new();
        entry.encode(&mut b);
        prop_assert_eq!(DirectoryEntry::decode(b.first_chunk().expect("40 bytes")), entry);
    }

    #[test]
    fn segment_headers_round_trip(header in segment_headers()) {
        prop_assert_eq!(SegmentHeader::decode(&header.encode()[..]), Ok(header));
    }

    #[test]
    fn watermarks_round_trip(n: [u64; 6], chain_crc: u32) {
        let mark = Watermark {
            count: n[0], durable_lsn: Lsn(n[1]), next_seq: Seq(n[2]), segment: SegmentId(n[3]), end: n[4], chain_crc,
            failed_through: SegmentId(n[5]),
        };
        prop_assert_eq!(Watermark::decode(&mark.encode(WATERMARK_SEED), WATERMARK_SEED), Ok(Some(mark)));
    }

    #[test]
    fn payloads_round_trip(token in vec(any::<u8>(), 0..300), meta in vec(any::<u8>(), 0..300),
                           events in vec(vec(any::<u8>(), 0..300), 0..20)) {
        let views: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
        let bytes = payload(&token, &meta, &views);
        let view = Payload::parse(&bytes, u32::try_from(events.len()).expect("small")).expect("as encoded");
        prop_assert_eq!((view.token, view.meta), (&token[..], &meta[..]));
        prop_assert_eq!(view.events().map(|(_, e)| e).collect::<Vec<_>>(), views);
    }

    #[test]
    fn a_walk_yields_what_was_written(plan in plans()) {
        let built = build(&plan, 4096);
        let written: Vec<_> = plan.iter().map(|p| &p.payload[..]).collect();
        prop_assert_eq!(payloads(&built.bytes, &built), written);
    }

    #[test]
    fn a_flipped_bit_ends_the_walk_before_it_and_yields_nothing_new(plan in plans(), at: Index, bit in 0..8u8) {
        let built = build(&plan, 4096);
        let mut bytes = built.bytes.clone();
        let at = SEGMENT_HEADER_BYTES + at.index(bytes.len() - SEGMENT_HEADER_BYTES);
        bytes[at] ^= 1 << bit;
        let (before, after) = (payloads(&built.bytes, &built), payloads(&bytes, &built));
        if built.frames.iter().any(|r| r.contains(&at)) {
            prop_assert_eq!(&after[..], &before[..frames_before(&built, at)], "byte {}", at);
        } else {
            prop_assert_eq!(after, before, "byte {} is padding", at);
        }
    }

    #[test]
    fn a_cut_segment_yields_the_whole_frames_before_the_cut(plan in plans(), cut: Index, zeros: bool) {
        let built = build(&plan, 0);
        let cut = SEGMENT_HEADER_BYTES + cut.index(built.bytes.len() + 1 - SEGMENT_HEADER_BYTES);
        let mut bytes = built.bytes[..cut].to_vec();
        if zeros {
            bytes.resize(built.bytes.len(), 0); // a torn write leaves zeros, a short file ends
        }
        let whole = payloads(&built.bytes, &built);
        let after = payloads(&bytes, &built);
        let least = frames_before(&built, cut);
        prop_assert!(after.len() >= least && after[..] == whole[..after.len()], "cut at {}", cut);
        prop_assert!(after.len() == least || bytes.len() > cut, "a frame past the cut");
    }

    #[test]
    fn resync_finds_the_next_frame_that_survives(plan in plans(), at: Index) {
        let built = build(&plan, 4096);
        let at = at.index(built.bytes.len());
        let expected = built.frames.iter().map(|r| r.start).find(|&s| s > at);
        let found = resync(&built.bytes, built.header.salt, at as u64, Lsn(0)).map(|f| f.position);
        prop_assert_eq!(found, expected.map(|s| s as u64));
    }
}
