//! What an undamaged store holds, byte by byte: read from its files as `docs/format.md` draws them, by code that
//! shares nothing with the log's.
//!
//! # Invariants
//! * Nothing is checked: the store is known to be whole. What later differs from it is damage.

use crate::packed::Image;

/// Of the unclaimed lane.
const UNCLAIMED: u16 = u16::MAX;

/// A whole store.
pub(crate) struct Truth {
    pub(crate) image: Image,
    pub(crate) lanes: Vec<Lane>,
}

pub(crate) struct Lane {
    pub(crate) id: u16,
    /// Of its files: `log/0000/`.
    pub(crate) folder: String,
    pub(crate) segments: Vec<Segment>,
    /// The copies of its watermark: their bytes, and what they say.
    pub(crate) marks: Vec<([u8; 64], Mark)>,
}

pub(crate) struct Segment {
    pub(crate) id: u64,
    /// Each header that this file ever had, newest first: 4096 bytes, and what they say.
    pub(crate) headers: Vec<(Vec<u8>, Header)>,
    /// Each frame that ever stood in it, by place.
    pub(crate) frames: Vec<Frame>,
}

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) generation: u32,
    pub(crate) base_lsn: u64,
    pub(crate) base_seq: u64,
    pub(crate) follows: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// First byte, the byte behind its own last one, and where the next frame starts.
    pub(crate) at: usize,
    pub(crate) end: usize,
    pub(crate) next: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: Kind,
    /// In which generations of the segment it stands.
    pub(crate) generations: Vec<u32>,
    pub(crate) lsn: u64,
    pub(crate) lsn_after: u64,
    pub(crate) seq: u64,
    pub(crate) seq_after: u64,
    /// What it proves.
    pub(crate) durable: u64,
    pub(crate) project: u64,
    pub(crate) events: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Records,
    Heartbeat,
    Seal,
    Loss,
}

/// What a copy of a watermark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) count: u64,
    pub(crate) lsn: u64,
    pub(crate) seq: u64,
    pub(crate) segment: u64,
    /// `u64::MAX`: to the segment's end, wherever that is.
    pub(crate) end: u64,
}

impl Truth {
    /// Reads a whole store.
    pub(crate) fn of(image: Image) -> Truth {
        let mut lanes: Vec<Lane> = Vec::new();
        for (path, bytes) in &image {
            let Some((folder, file)) = lane_file(path) else { continue };
            if lanes.last().is_none_or(|lane| lane.folder != folder) {
                let name = folder.trim_start_matches("log/").trim_end_matches('/');
                let id = if name == "unclaimed" { UNCLAIMED } else { name.parse().expect("a number") };
                lanes.push(Lane { id, folder: folder.to_owned(), segments: Vec::new(), marks: Vec::new() });
            }
            let lane = lanes.last_mut().expect("just made");
            if let Some(id) = file.strip_suffix(".seg") {
                let header = Header::of(bytes);
                lane.segments.push(Segment {
                    id: id.parse().expect("a number"),
                    headers: vec![(bytes[..4096].to_vec(), header)],
                    frames: frames(bytes, header.generation),
                });
            } else if file == "watermark" {
                for at in [0, 4096] {
                    let copy: [u8; 64] = bytes[at..at + 64].try_into().expect("64 bytes");
                    if copy.starts_with(b"FbWm") {
                        lane.marks.push((copy, Mark::of(&copy)));
                    }
                }
            }
        }
        Truth { image, lanes }
    }

    /// Adds what a segment was before a repair wrote it anew.
    pub(crate) fn add_older(&mut self, path: &str, older: &[u8]) {
        let (folder, file) = lane_file(path).expect("a lane's file");
        let id: u64 = file.trim_end_matches(".seg").parse().expect("a segment");
        let lane = self.lanes.iter_mut().find(|lane| lane.folder == folder).expect("a lane");
        let segment = lane.segments.iter_mut().find(|segment| segment.id == id).expect("a segment");
        let header = Header::of(older);
        segment.headers.push((older[..4096].to_vec(), header));
        for frame in frames(older, header.generation) {
            // What did not change is one frame.
            match segment.frames.iter_mut().find(|f| f.at == frame.at && f.bytes == frame.bytes) {
                Some(same) => same.generations.push(header.generation),
                None => segment.frames.push(frame),
            }
        }
        segment.frames.sort_by_key(|frame| frame.at);
    }
}

impl Lane {
    pub(crate) fn path(&self, segment: u64) -> String {
        format!("{}{segment:020}.seg", self.folder)
    }

    pub(crate) fn index_path(&self, segment: u64) -> String {
        format!("{}{segment:020}.idx", self.folder)
    }
}

/// A lane's folder and what lies in it; nothing of what lies deeper.
pub(crate) fn lane_file(path: &str) -> Option<(&str, &str)> {
    let (folder, file) = path.split_at(path.rfind('/')? + 1);
    let lane = folder.strip_prefix("log/")?.trim_end_matches('/');
    (!lane.contains('/')).then_some((folder, file))
}

/// The segment that a file name stands for.
pub(crate) fn segment_id(file: &str) -> Option<u64> {
    file.strip_suffix(".seg")?.parse().ok()
}

impl Header {
    fn of(b: &[u8]) -> Header {
        Header {
            generation: u32_at(b, 44),
            base_lsn: u64_at(b, 56),
            base_seq: u64_at(b, 64),
            follows: u64_at(b, 88),
        }
    }
}

impl Mark {
    pub(crate) fn of(b: &[u8]) -> Mark {
        Mark {
            count: u64_at(b, 8),
            lsn: u64_at(b, 16),
            seq: u64_at(b, 24),
            segment: u64_at(b, 32),
            end: u64_at(b, 40),
        }
    }
}

fn frames(segment: &[u8], generation: u32) -> Vec<Frame> {
    let (mut at, mut seq) = (4096, u64_at(segment, 64));
    let mut frames = Vec::new();
    while segment.get(at..at + 4) == Some(b"FbFr") {
        let b = &segment[at..];
        let payload = &b[96..96 + u32_at(b, 8) as usize];
        let kind = match b[20] {
            1..=3 => Kind::Records,
            4 => Kind::Heartbeat,
            5 => Kind::Seal,
            6 => Kind::Loss,
            other => panic!("a frame of kind {other}"),
        };
        let (lsn, count) = (u64_at(b, 24), u32_at(b, 48));
        let end = at + 96 + payload.len();
        let next = if b[22] & 1 == 0 { end.next_multiple_of(8) } else { end.next_multiple_of(4096) };
        let seq_after = seq + u64::from(count);
        frames.push(Frame {
            at,
            end,
            next,
            bytes: segment[at..end].to_vec(),
            kind,
            generations: vec![generation],
            lsn,
            lsn_after: if kind == Kind::Loss { lsn + u64_at(payload, 0) } else { lsn + 1 },
            seq,
            seq_after,
            durable: u64_at(b, 80),
            project: u64_at(b, 40),
            events: if kind == Kind::Records { events(payload, count as usize) } else { Vec::new() },
        });
        (at, seq) = (next, seq_after);
    }
    frames
}

fn events(payload: &[u8], count: usize) -> Vec<Vec<u8>> {
    let token = usize::from(payload[0]) + (usize::from(payload[1]) << 8);
    let bytes = &payload[8 + 40 * count + token + u32_at(payload, 4) as usize..];
    let each = (0..count).map(|n| {
        let entry = &payload[8 + 40 * n..];
        bytes[u32_at(entry, 0) as usize..][..u32_at(entry, 4) as usize].to_vec()
    });
    each.collect()
}

pub(crate) fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().expect("eight bytes"))
}
