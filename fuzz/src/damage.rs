//! Segments, and what a disk may do to them.
//!
//! The damage is a disk's, not a forger's: flipped bits, zeroed and stale stretches, a torn end. Writing freely
//! would let the fuzzer solve for checksums and "find" a frame that nobody encoded.

use forebay_record::{
    CheckedFrame, DIRECTORY_ENTRY_BYTES, FrameKind, LossSummary, Lsn, Payload, SEGMENT_HEADER_BYTES,
    SegmentHeader, Walk, resync,
};

use crate::sample::{Built, Plan, build, payload};

/// Takes numbers off the fuzzer's input; zero once it is used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first.into()
    }

    fn number(&mut self) -> usize {
        self.byte() | self.byte() << 8 | self.byte() << 16
    }
}

/// Builds a segment as the first bytes of `data` say, damages it as the rest say, and checks that only what was
/// encoded is ever read back.
///
/// # Panics
/// If a walk or a resync yields a frame that was not encoded, or one out of bounds.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let plan: Vec<Plan> = (0..1 + input.byte() % 8).map(|_| one_frame(&mut input)).collect();
    let built = build(&plan, 4096 * (input.byte() % 3));
    assert_eq!(Walk::new(&built.bytes, &built.header).count(), whole_frames(&plan), "undamaged");
    let mut bytes = built.bytes.clone();
    for _ in 0..input.byte() % 6 {
        damage(&mut input, &mut bytes);
    }
    read(&bytes, &built);
    // The same bytes as the fuzzer gave them: nothing is known of them but that nothing panics.
    let _ = SegmentHeader::decode(data);
    let _ = Walk::resume(data, 1, 0, Lsn(1), forebay_record::Seq(0), 0).count();
}

fn one_frame(input: &mut Input<'_>) -> Plan {
    let kind = match input.byte() % 8 {
        0 => FrameKind::Heartbeat,
        1 => FrameKind::Loss,
        2 => FrameKind::Replay,
        3 => FrameKind::Seal,
        _ => FrameKind::Records,
    };
    let group_end = input.byte() % 2 == 0;
    let events: Vec<Vec<u8>> = match kind {
        FrameKind::Heartbeat | FrameKind::Loss | FrameKind::Seal => Vec::new(),
        _ => (0..input.byte() % 5).map(|_| vec![b'{'; input.number() % 3000]).collect(),
    };
    let views: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
    let payload = match kind {
        FrameKind::Loss => {
            let frames = 1 + input.byte() as u64;
            LossSummary { frames, next_prev_crc: 7 }.encode().to_vec()
        }
        FrameKind::Heartbeat | FrameKind::Seal => Vec::new(),
        _ => payload(b"token", b"", &views),
    };
    let event_count = u32::try_from(events.len()).expect("small");
    Plan { kind, payload, event_count, group_end }
}

/// Nothing is read behind a seal.
fn whole_frames(plan: &[Plan]) -> usize {
    plan.iter().position(|p| p.kind == FrameKind::Seal).map_or(plan.len(), |at| at + 1)
}

fn damage(input: &mut Input<'_>, bytes: &mut Vec<u8>) {
    let frames = SEGMENT_HEADER_BYTES..bytes.len();
    if frames.is_empty() {
        return;
    }
    let at = frames.start + input.number() % frames.len();
    let len = (1 + input.number() % 9000).min(bytes.len() - at);
    match input.byte() % 5 {
        0 => bytes[at] ^= 1 << (input.byte() % 8),
        1 => bytes[at..at + len].fill(0),
        // A stale stretch: what another place of the same segment holds.
        2 => {
            let from = frames.start + input.number() % (bytes.len() - len - frames.start + 1);
            bytes.copy_within(from..from + len, at);
        }
        // Whole pages swapped, as a confused translation layer may.
        3 if bytes.len() >= 3 * 4096 => {
            let pages = bytes.len() / 4096;
            let (a, b) = (1 + input.byte() % (pages - 1), 1 + input.byte() % (pages - 1));
            let page = bytes[a * 4096..][..4096].to_vec();
            bytes.copy_within(b * 4096..(b + 1) * 4096, a * 4096);
            bytes[b * 4096..][..4096].copy_from_slice(&page);
        }
        _ => bytes.truncate(at),
    }
}

/// Reads like recovery: walk, resync behind damage, walk on.
fn read(bytes: &[u8], built: &Built) {
    let mut walk = Walk::new(bytes, &built.header);
    for frame in walk.by_ref() {
        expect_encoded(&frame, built);
    }
    let mut position = walk.position();
    let mut least = walk.next_lsn();
    while let Some(frame) = resync(bytes, built.header.salt, position, least) {
        assert!(frame.position > position && frame.header.lsn >= least, "resync goes forward");
        expect_encoded(&frame, built);
        position = frame.position;
        least = frame.header.lsn;
    }
}

fn expect_encoded(frame: &CheckedFrame<'_>, built: &Built) {
    let at = usize::try_from(frame.position).expect("in memory");
    let range = built.frames.iter().find(|r| r.start == at).expect("a frame where none was written");
    let encoded = &built.bytes[range.clone()];
    assert!(encoded.ends_with(frame.payload), "a payload that was not written");
    assert_eq!(encoded.len(), 96 + frame.payload.len());
    if matches!(frame.header.kind, FrameKind::Records | FrameKind::Replay) {
        let view = Payload::parse(frame.payload, frame.header.event_count).expect("as written");
        assert_eq!(view.directory().len() * DIRECTORY_ENTRY_BYTES, frame.header.event_count as usize * 40);
        view.events().for_each(|(entry, event)| assert_eq!(entry.len as usize, event.len()));
    }
}
