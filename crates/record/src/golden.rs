//! A segment that version 1.0 wrote, byte for byte: every later version must read it as this one does.
//!
//! A change of the layout that fails here needs a new major version, and a golden file of its own beside
//! the old one.

use crate::{
    Endpoint, FrameKind, LaneId, Lsn, Payload, Predecessor, ProjectId, SealSummary, SegmentHeader, SegmentId,
    Seq, StoreId, Walk,
    sample::{Plan, build, three_frames},
    walk::End,
};

const V1_0: &[u8] = include_bytes!("../golden/v1.0.seg");

const SUMMARY: SealSummary = SealSummary {
    frames: 3,
    records: 4,
    received_first_ms: 1_700_000_000_123,
    received_last_ms: 1_700_000_000_123,
    content_crc: 0x1234_5678,
};

fn written_now() -> Vec<u8> {
    let mut plan = three_frames();
    plan[2].group_end = false;
    let payload = SUMMARY.encode().to_vec();
    plan.push(Plan { kind: FrameKind::Seal, payload, event_count: 0, group_end: true });
    build(&plan, 0).bytes
}

#[test]
fn this_version_writes_the_bytes_of_1_0() {
    assert!(written_now() == V1_0, "the layout changed: see this module's opening");
}

#[test]
fn a_segment_of_1_0_reads_as_it_was_written() {
    let header = SegmentHeader::decode(V1_0).expect("readable");
    assert_eq!(
        header,
        SegmentHeader {
            store: StoreId(*b"0123456789abcdef"),
            lane: LaneId(3),
            id: SegmentId(7),
            generation: 0,
            base_lsn: Lsn(1001),
            base_seq: Seq(50_000),
            salt: 0x1122_3344_5566_7788,
            created_at_ms: 1_700_000_000_000,
            predecessor: Predecessor::Whole(SegmentId(6)),
            prev_crc: 0xdead_beef,
            capacity: 1 << 20,
        }
    );
    let mut walk = Walk::new(V1_0, &header);
    let mut events = Vec::new();
    for frame in walk.by_ref() {
        let h = frame.header;
        if h.kind == FrameKind::Seal {
            assert_eq!(SealSummary::decode(frame.payload), Some(SUMMARY));
            continue;
        }
        assert_eq!(
            (h.kind, h.endpoint, h.project),
            (FrameKind::Records, Endpoint::Import, ProjectId::new(42))
        );
        assert_eq!((h.received_at_ms, h.client_ip), (1_700_000_000_123, Some([203, 0, 113, 9].into())));
        let view = Payload::parse(frame.payload, h.event_count).expect("readable");
        assert_eq!((view.token, view.meta), (&b"tok"[..], &b""[..]));
        events.extend(view.events().map(|(_, e)| String::from_utf8_lossy(e).into_owned()));
    }
    assert_eq!(walk.end(), Some(End::Sealed));
    assert_eq!((walk.next_lsn(), walk.next_seq()), (Lsn(1005), Seq(50_004)));
    assert_eq!(events, ["a", "b", "c", "d"].map(|name| format!("{{\"event\":\"{name}\"}}")));
}
