//! Segments for the tests: built from plain lists of frames, the way a writer would.

use crate::{
    DirectoryEntry, Endpoint, FRAME_HEADER_BYTES, FrameFlags, FrameHeader, FrameKind, LaneId, LossSummary,
    Lsn, Payload, Preamble, Predecessor, ProjectId, Seed, SegmentHeader, SegmentId, Seq, StoreId,
    align_frame, align_group, crc32c,
};

/// One frame to be: its kind, payload and record count, and whether its group ends with it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: FrameKind,
    pub(crate) payload: Vec<u8>,
    pub(crate) event_count: u32,
    pub(crate) group_end: bool,
}

/// A segment's bytes and where each of its frames lies.
pub(crate) struct Built {
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: Vec<u8>,
    /// Byte range of header and payload, without the padding.
    pub(crate) frames: Vec<std::ops::Range<usize>>,
}

/// The header of the segment that [`build`] makes.
pub(crate) fn segment_header() -> SegmentHeader {
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
}

/// A frame header with every field away from its default.
pub(crate) fn frame_header() -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Records,
        endpoint: Endpoint::Import,
        flags: FrameFlags { group_end: true },
        stored_len: 5,
        raw_len: 5,
        payload_crc: crc32c(0, b"hello"),
        lsn: Lsn(1001),
        first_seq: Seq(50_000),
        project: ProjectId::new(42),
        event_count: 2,
        prev_crc: 0xdead_beef,
        received_at_ms: 1_700_000_000_123,
        client_ip: Some([203, 0, 113, 9].into()),
        durable_lsn: Lsn(998),
    }
}

/// Lays `plan` out behind the header, then `trailing` zero bytes.
pub(crate) fn build(plan: &[Plan], trailing: usize) -> Built {
    let header = segment_header();
    let mut bytes = header.encode().to_vec();
    let (mut lsn, mut seq, mut prev_crc) = (header.base_lsn, header.base_seq, header.prev_crc);
    let mut frames = Vec::new();
    for p in plan {
        let position = bytes.len();
        let len = u32::try_from(p.payload.len()).expect("small");
        let frame = FrameHeader {
            kind: p.kind,
            flags: FrameFlags { group_end: p.group_end },
            stored_len: len,
            raw_len: len,
            payload_crc: crc32c(0, &p.payload),
            lsn,
            first_seq: seq,
            event_count: p.event_count,
            prev_crc,
            durable_lsn: Lsn(lsn.0 - 1),
            ..frame_header()
        };
        let encoded = frame.encode(Seed { salt: header.salt, position: position as u64 });
        bytes.extend_from_slice(&encoded);
        bytes.extend_from_slice(&p.payload);
        frames.push(position..bytes.len());
        let end = bytes.len();
        bytes.resize(if p.group_end { align_group(end) } else { align_frame(end) }, 0);
        (lsn, prev_crc) = match LossSummary::decode(&p.payload).filter(|_| p.kind == FrameKind::Loss) {
            Some(loss) => (Lsn(lsn.0 + loss.frames), loss.next_prev_crc),
            None => (lsn.next(), FrameHeader::chain_crc(&encoded)),
        };
        if p.kind.holds_records() {
            seq = seq.plus(p.event_count);
        }
    }
    bytes.resize(align_group(bytes.len()) + trailing, 0);
    Built { header, bytes, frames }
}

/// A records payload of `events` under one token.
pub(crate) fn payload(token: &[u8], meta: &[u8], events: &[&[u8]]) -> Vec<u8> {
    let head = Preamble {
        token_len: u16::try_from(token.len()).expect("small"),
        meta_len: u32::try_from(meta.len()).expect("small"),
    };
    let mut out = head.encode().to_vec();
    let mut offset = 0;
    for event in events {
        let len = u32::try_from(event.len()).expect("small");
        DirectoryEntry { offset, len, ..DirectoryEntry::default() }.encode(&mut out);
        offset += len;
    }
    out.extend_from_slice(token);
    out.extend_from_slice(meta);
    events.iter().for_each(|e| out.extend_from_slice(e));
    let events_len = events.iter().map(|e| e.len()).sum();
    assert_eq!(out.len(), Payload::bytes(token.len(), meta.len(), events.len(), events_len));
    out
}

/// Every frame of a small segment: two groups, the second sealed.
pub(crate) fn three_frames() -> Vec<Plan> {
    let records = |events: &[&[u8]], group_end| Plan {
        kind: FrameKind::Records,
        payload: payload(b"tok", b"", events),
        event_count: u32::try_from(events.len()).expect("small"),
        group_end,
    };
    vec![
        records(&[b"{\"event\":\"a\"}", b"{\"event\":\"b\"}"], false),
        records(&[b"{\"event\":\"c\"}"], true),
        records(&[b"{\"event\":\"d\"}"], true),
    ]
}

/// Writes `header` over the frame at `position`, checksummed for its place.
pub(crate) fn overwrite(bytes: &mut [u8], salt: u64, position: usize, header: &FrameHeader) {
    let encoded = header.encode(Seed { salt, position: position as u64 });
    bytes[position..position + FRAME_HEADER_BYTES].copy_from_slice(&encoded);
}
