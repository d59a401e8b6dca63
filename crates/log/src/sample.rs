//! A small writer for the tests of the reading side: lays lanes out on disk as the log does.

use crate::{index::IndexBuilder, layout};
use forebay_record::{
    CheckedFrame, DirectoryEntry, Endpoint, FrameFlags, FrameHeader, FrameKind, LaneId, Lsn, Payload,
    Preamble, Predecessor, ProjectId, SealSummary, Seed, SegmentHeader, SegmentId, Seq, StoreId, Watermark,
    WatermarkSeed, align_frame, align_group, crc32c,
};
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

pub(crate) const STORE: StoreId = StoreId(*b"0123456789abcdef");
/// When the first frame was received; each one comes a second later.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// A record as it went in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) seq: u64,
    /// 0: unclaimed.
    pub(crate) project: u64,
    pub(crate) json: Vec<u8>,
    pub(crate) segment: u64,
    /// Of its frame, without padding.
    pub(crate) frame: Range<usize>,
}

/// A lane being written.
#[derive(Debug)]
pub(crate) struct LaneWriter {
    dir: PathBuf,
    pub(crate) lane: LaneId,
    pub(crate) header: SegmentHeader,
    bytes: Vec<u8>,
    index: IndexBuilder,
    lsn: u64,
    seq: u64,
    prev_crc: u32,
    durable_lsn: u64,
    count: u64,
    sealed: SealSummary,
    pub(crate) written: Vec<Written>,
}

/// An event: its JSON and its own time.
pub(crate) type Event<'a> = (&'a str, Option<i64>);

impl LaneWriter {
    /// Makes the store and the lane in `dir`, with a first, empty segment.
    pub(crate) fn new(dir: &Path, lane: LaneId) -> LaneWriter {
        fs::create_dir_all(layout::lane_dir(dir, lane)).expect("a folder");
        fs::write(dir.join("store"), format!("forebay 1 {STORE}\n")).expect("a file");
        let header = header(lane, 1, 1, 0, 0, Predecessor::None);
        let mut writer = LaneWriter {
            dir: dir.to_owned(),
            lane,
            header,
            bytes: header.encode().to_vec(),
            index: IndexBuilder::new(&header),
            lsn: 1,
            seq: 0,
            prev_crc: 0,
            durable_lsn: 0,
            count: 0,
            sealed: SealSummary {
                frames: 0,
                records: 0,
                received_first_ms: 0,
                received_last_ms: 0,
                content_crc: 0,
            },
            written: Vec::new(),
        };
        writer.put_segment();
        writer
    }

    pub(crate) fn lane_dir(&self) -> PathBuf {
        layout::lane_dir(&self.dir, self.lane)
    }

    pub(crate) fn segment_path(&self, id: u64) -> PathBuf {
        layout::segment_path(&self.lane_dir(), SegmentId(id))
    }

    pub(crate) fn index_path(&self, id: u64) -> PathBuf {
        layout::index_path(&self.lane_dir(), SegmentId(id))
    }

    /// A frame of events for a project (0: unclaimed), not yet durable.
    pub(crate) fn frame(&mut self, project: u64, token: &str, events: &[Event<'_>]) {
        self.frame_of(FrameKind::Records, project, token, b"", events);
    }

    pub(crate) fn frame_of(
        &mut self,
        kind: FrameKind,
        project: u64,
        token: &str,
        meta: &[u8],
        events: &[Event<'_>],
    ) {
        let payload = payload(token.as_bytes(), meta, events);
        let start = self.bytes.len();
        let first = self.seq;
        self.raw(kind, project, events.len(), &payload);
        let segment = self.header.id.0;
        let frame = start..start + forebay_record::FRAME_HEADER_BYTES + payload.len();
        for (seq, (json, _)) in (first..).zip(events) {
            let json = json.as_bytes().to_vec();
            self.written.push(Written { seq, project, json, segment, frame: frame.clone() });
        }
    }

    fn raw(&mut self, kind: FrameKind, project: u64, events: usize, payload: &[u8]) {
        let stored_len = u32::try_from(payload.len()).expect("small");
        let received_at_ms = START_MS + self.lsn * 1000;
        let header = FrameHeader {
            kind,
            endpoint: if project == 0 && events == 0 { Endpoint::Internal } else { Endpoint::Track },
            flags: FrameFlags::default(),
            stored_len,
            raw_len: stored_len,
            payload_crc: crc32c(0, payload),
            lsn: Lsn(self.lsn),
            first_seq: Seq(self.seq),
            project: ProjectId::new(project),
            event_count: u32::try_from(events).expect("small"),
            prev_crc: self.prev_crc,
            received_at_ms,
            client_ip: None,
            durable_lsn: Lsn(self.durable_lsn),
        };
        self.push(header, payload);
        if events > 0 {
            let sealed = &mut self.sealed;
            sealed.frames += 1;
            sealed.records += events as u64;
            if sealed.received_first_ms == 0 {
                sealed.received_first_ms = received_at_ms;
            }
            sealed.received_last_ms = received_at_ms;
        }
    }

    fn push(&mut self, header: FrameHeader, payload: &[u8]) {
        let position = self.bytes.len() as u64;
        let encoded = header.encode(Seed { salt: self.header.salt, position });
        self.bytes.extend_from_slice(&encoded);
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(align_frame(self.bytes.len()), 0);
        self.prev_crc = FrameHeader::chain_crc(&encoded);
        self.lsn += 1;
        if header.kind.holds_records() {
            self.seq += u64::from(header.event_count);
        }
        self.index.add(&CheckedFrame { position, header, payload, chain_crc: self.prev_crc });
    }

    /// Ends the group: marks its last frame, pads, writes the file; not yet in the watermark.
    pub(crate) fn flush(&mut self) {
        let start = self.header_of_last();
        if let Some((position, mut header)) = start
            && !header.flags.group_end
        {
            header.flags.group_end = true;
            let encoded = header.encode(Seed { salt: self.header.salt, position: position as u64 });
            self.bytes[position..position + encoded.len()].copy_from_slice(&encoded);
            self.prev_crc = FrameHeader::chain_crc(&encoded);
            let end = align_group(self.bytes.len());
            self.bytes.resize(end, 0);
            // The builder has seen the frame without its flag: made again from the bytes.
            self.index = crate::index::build(&self.bytes, &self.header, None).expect("whole");
        }
        self.put_segment();
    }

    fn header_of_last(&self) -> Option<(usize, FrameHeader)> {
        let walk = forebay_record::Walk::new(&self.bytes, &self.header);
        walk.last().map(|frame| (usize::try_from(frame.position).expect("small"), frame.header))
    }

    /// Ends the group and makes it durable.
    pub(crate) fn commit(&mut self) {
        self.flush();
        self.durable_lsn = self.lsn - 1;
        self.put_watermark();
    }

    fn put_watermark(&mut self) {
        self.count += 1;
        let mark = Watermark {
            count: self.count,
            durable_lsn: Lsn(self.durable_lsn),
            next_seq: Seq(self.seq),
            segment: self.header.id,
            end: self.bytes.len() as u64,
            chain_crc: self.prev_crc,
            failed_through: SegmentId(0),
        };
        // In place: readers have it mapped.
        let path = layout::watermark_path(&self.lane_dir());
        if !path.exists() {
            fs::write(&path, [0; 8192]).expect("a file");
        }
        let file = fs::OpenOptions::new().write(true).open(path).expect("a file");
        let at = if self.count.is_multiple_of(2) { 0 } else { 4096 };
        std::os::unix::fs::FileExt::write_all_at(
            &file,
            &mark.encode(WatermarkSeed { store: STORE, lane: self.lane }),
            at,
        )
        .expect("written");
    }

    fn put_segment(&mut self) {
        use std::os::unix::fs::FileExt as _;
        let path = self.segment_path(self.header.id.0);
        let file =
            fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).expect("a file");
        let room = (self.bytes.len() as u64).max(1 << 20);
        if file.metadata().expect("a file").len() < room {
            file.set_len(room).expect("room");
        }
        file.write_all_at(&self.bytes, 0).expect("written");
    }

    /// Commits, seals the segment, writes its index, and begins the next.
    pub(crate) fn roll(&mut self) {
        self.commit();
        self.sealed.content_crc = crc32c(0, &self.bytes[forebay_record::SEGMENT_HEADER_BYTES..]);
        let summary = self.sealed.encode();
        self.raw(FrameKind::Seal, 0, 0, &summary);
        self.commit();
        let file =
            fs::OpenOptions::new().write(true).open(self.segment_path(self.header.id.0)).expect("a file");
        file.set_len(self.bytes.len() as u64).expect("cut");
        let encoded = self.index.encode().expect("small");
        crate::index::write(&crate::disk::RealDisk, &self.index_path(self.header.id.0), &encoded)
            .expect("written");
        self.begin(Predecessor::Whole(self.header.id));
    }

    /// Begins the next segment where this one stands.
    pub(crate) fn begin(&mut self, predecessor: Predecessor) {
        let id = self.header.id.0 + 1;
        self.header = header(self.lane, id, self.lsn, self.seq, self.prev_crc, predecessor);
        self.bytes = self.header.encode().to_vec();
        self.index = IndexBuilder::new(&self.header);
        self.sealed =
            SealSummary { frames: 0, records: 0, received_first_ms: 0, received_last_ms: 0, content_crc: 0 };
        self.put_segment();
    }

    /// A flush fails: what was not durable goes on in the next segment.
    pub(crate) fn fail(&mut self, end: usize, lsn: u64, seq: u64, prev_crc: u32) {
        let id = self.header.id;
        (self.lsn, self.seq, self.prev_crc) = (lsn, seq, prev_crc);
        self.written.retain(|w| w.seq < seq);
        self.begin(Predecessor::Failed { id, end: end as u64 });
    }

    /// Where the writer stands: bytes, lsn, sequence, chain.
    pub(crate) fn stand(&self) -> (usize, u64, u64, u32) {
        (self.bytes.len(), self.lsn, self.seq, self.prev_crc)
    }
}

fn header(
    lane: LaneId,
    id: u64,
    lsn: u64,
    seq: u64,
    prev_crc: u32,
    predecessor: Predecessor,
) -> SegmentHeader {
    SegmentHeader {
        store: STORE,
        lane,
        id: SegmentId(id),
        generation: 0,
        base_lsn: Lsn(lsn),
        base_seq: Seq(seq),
        salt: 0x5a17_0000_0000_0000 + id,
        created_at_ms: START_MS,
        predecessor,
        prev_crc,
        capacity: 1 << 20,
    }
}

fn payload(token: &[u8], meta: &[u8], events: &[Event<'_>]) -> Vec<u8> {
    let token_len = u16::try_from(token.len()).expect("small");
    let meta_len = u32::try_from(meta.len()).expect("small");
    let mut out = Preamble { token_len, meta_len }.encode().to_vec();
    let mut offset = 0;
    for (json, time_ms) in events {
        let len = u32::try_from(json.len()).expect("small");
        DirectoryEntry { offset, len, time_ms: *time_ms, ..DirectoryEntry::default() }.encode(&mut out);
        offset += len;
    }
    out.extend_from_slice(token);
    out.extend_from_slice(meta);
    events.iter().for_each(|(json, _)| out.extend_from_slice(json.as_bytes()));
    debug_assert!(Payload::parse(&out, u32::try_from(events.len()).expect("small")).is_ok());
    out
}

/// Flips one bit of a file, in place.
pub(crate) fn flip(path: &Path, at: usize) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).expect("there");
    file.write_all_at(&[byte[0] ^ 0x10], at as u64).expect("written");
}

/// What a cursor gave, flat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Record(u64, Vec<u8>),
    Gap(u64, u64, crate::GapReason),
}

/// Reads a cursor until it has caught up.
pub(crate) fn drain(cursor: &mut crate::Cursor) -> Vec<Got> {
    let mut got = Vec::new();
    while let Some(step) = cursor.next().expect("readable") {
        match step {
            crate::Step::Frame(frame) => {
                assert_eq!(frame.records().count(), frame.record_count() as usize);
                got.extend(frame.records().map(|r| Got::Record(r.seq.0, r.json.to_vec())));
            }
            crate::Step::Gap(gap) => got.push(Got::Gap(gap.from.0, gap.to.0, gap.reason)),
        }
    }
    got
}

/// Those records as a cursor would give them.
pub(crate) fn records<'w>(written: impl IntoIterator<Item = &'w Written>) -> Vec<Got> {
    written.into_iter().map(|w| Got::Record(w.seq, w.json.clone())).collect()
}
