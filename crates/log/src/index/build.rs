//! Making the index of a segment, frame by frame as it is written, or from a segment that is there.

use super::{
    HEAD_BYTES, MAGIC, POSTING_BYTES, ROUTE_BYTES, Route, Summary, VERSION, WAYPOINT_BYTES, WAYPOINT_SPACING,
    Waypoint, head_crc,
};
use crate::{
    disk::Disk,
    filter::event_time_ms,
    segment::window::{Source, Trouble},
    track::{Find, Goal, Place, Track, as_checked},
};
use forebay_record::{
    CheckedFrame, DirectoryEntry, FrameHeader, FrameKind, Lsn, Payload, SegmentHeader, crc32c,
};
use std::{io, path::Path};

/// Collects the frames of one segment and encodes their index.
#[derive(Clone, Debug)]
pub(crate) struct IndexBuilder {
    segment: SegmentHeader,
    summary: Summary,
    /// As they come: a writer has no time to sort them.
    postings: Vec<RawPosting>,
    waypoints: Vec<Waypoint>,
    /// Something is too large for an index to describe.
    too_large: bool,
}

/// What a frame with records holds, as far as an index wants to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    pub(crate) route: Route,
    /// Least and greatest of its events; [`NO_TIMES`] of none.
    pub(crate) event_time_ms: (i64, i64),
}

#[derive(Clone, Debug)]
struct RawPosting {
    content: Content,
    /// In units of eight bytes.
    position: u32,
    /// From the segment's first.
    seq: u32,
    records: u32,
    kind: FrameKind,
}

/// Of nothing: the least is above the greatest.
pub(crate) const NO_TIMES: (i64, i64) = (i64::MAX, i64::MIN);

fn widen(range: &mut (i64, i64), by: (i64, i64)) {
    *range = (range.0.min(by.0), range.1.max(by.1));
}

impl IndexBuilder {
    /// For the segment with this header, which has no frames yet.
    pub(crate) fn new(segment: &SegmentHeader) -> IndexBuilder {
        let next = Place::first(segment);
        IndexBuilder {
            segment: *segment,
            summary: Summary {
                next_lsn: next.lsn,
                next_seq: next.seq,
                next_prev_crc: next.prev_crc,
                end: next.position as u64,
                event_time_ms: NO_TIMES,
                received_at_ms: (u64::MAX, 0),
            },
            postings: Vec::new(),
            waypoints: Vec::new(),
            too_large: false,
        }
    }

    /// Frames with records so far: what it takes memory for.
    pub(crate) fn len(&self) -> usize {
        self.postings.len()
    }

    /// Adds the next frame, of any kind, as a walk found it.
    pub(crate) fn add(&mut self, frame: &CheckedFrame<'_>) {
        let header = &frame.header;
        let content = header.kind.holds_records().then(|| content_of(frame));
        self.step(frame.position, header, content, frame.followed_by());
    }

    /// Adds the next frame as it is written there: with its content, if it holds records, and what the next one
    /// carries as `prev_crc`.
    pub(crate) fn written(
        &mut self,
        position: u64,
        header: &FrameHeader,
        content: Option<Content>,
        chain_crc: u32,
    ) {
        self.step(position, header, content, (header.lsn.next(), chain_crc));
    }

    fn step(&mut self, at: u64, header: &FrameHeader, content: Option<Content>, next: (Lsn, u32)) {
        let far = |w: &Waypoint| at >= w.position.saturating_add(WAYPOINT_SPACING);
        if self.waypoints.last().is_none_or(far) {
            self.waypoints.push(Waypoint {
                position: at,
                lsn: header.lsn,
                seq: header.first_seq,
                prev_crc: header.prev_crc,
            });
        }
        if let Some(content) = content {
            self.post(at, header, content);
        }
        let position = usize::try_from(at).unwrap_or(usize::MAX);
        self.summary.end = at.saturating_add(header.extent(position) as u64);
        (self.summary.next_lsn, self.summary.next_prev_crc) = next;
    }

    fn post(&mut self, at: u64, header: &FrameHeader, content: Content) {
        self.summary.next_seq = header.first_seq.plus(header.event_count);
        if header.kind != FrameKind::Loss {
            widen(&mut self.summary.event_time_ms, content.event_time_ms);
            let (least, greatest) = self.summary.received_at_ms;
            let received = header.received_at_ms;
            self.summary.received_at_ms = (least.min(received), greatest.max(received));
        }
        let seq = header.first_seq.0.checked_sub(self.segment.base_seq.0);
        let (position, seq) = (u32::try_from(at / 8), u32::try_from(seq.unwrap_or(u64::MAX)));
        let (Ok(position), Ok(seq)) = (position, seq) else {
            self.too_large = true;
            return;
        };
        let (records, kind) = (header.event_count, header.kind);
        self.postings.push(RawPosting { content, position, seq, records, kind });
    }

    /// The index file's bytes; `None` if the segment is larger than an index can describe (32 GiB, or 2³²
    /// records): it is then read without one.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        if self.too_large {
            return None;
        }
        let (mut tables, mut postings) = (Vec::new(), Vec::new());
        let (mut first, mut routes) = (0u32, 0u32);
        let mut sorted: Vec<_> = self.postings.iter().collect();
        sorted.sort_by_key(|posting| posting.content.route);
        for of in sorted.chunk_by(|a, b| a.content.route == b.content.route) {
            let (kind, key) = of.first()?.content.route.code();
            let count = u32::try_from(of.len()).ok()?;
            let start = postings.len();
            let (mut records, mut times) = (0u64, NO_TIMES);
            for posting in of {
                records += u64::from(posting.records);
                widen(&mut times, posting.content.event_time_ms);
            }
            for posting in of {
                encode_posting(posting, times.0, &mut postings);
            }
            routes = routes.checked_add(1)?;
            tables.extend_from_slice(&key.to_le_bytes());
            for n in [kind, first, count, crc32c(0, &postings[start..])] {
                tables.extend_from_slice(&n.to_le_bytes());
            }
            tables.extend_from_slice(&records.to_le_bytes());
            tables.extend_from_slice(&times.0.to_le_bytes());
            tables.extend_from_slice(&times.1.to_le_bytes());
            first = first.checked_add(count)?;
        }
        debug_assert_eq!(tables.len(), routes as usize * ROUTE_BYTES);
        debug_assert_eq!(postings.len(), first as usize * POSTING_BYTES);
        for w in &self.waypoints {
            let lsn = u32::try_from(w.lsn.0.checked_sub(self.segment.base_lsn.0)?).ok()?;
            let seq = u32::try_from(w.seq.0.checked_sub(self.segment.base_seq.0)?).ok()?;
            for n in [u32::try_from(w.position / 8).ok()?, lsn, seq, w.prev_crc] {
                tables.extend_from_slice(&n.to_le_bytes());
            }
        }
        debug_assert_eq!(tables.len(), routes as usize * ROUTE_BYTES + self.waypoints.len() * WAYPOINT_BYTES);
        let head = self.head(routes, first, &tables)?;
        let mut out = Vec::with_capacity(HEAD_BYTES + tables.len() + postings.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(&tables);
        out.extend_from_slice(&postings);
        Some(out)
    }

    fn head(&self, routes: u32, postings: u32, tables: &[u8]) -> Option<[u8; HEAD_BYTES]> {
        let (segment, summary) = (&self.segment, &self.summary);
        let mut b = [0; HEAD_BYTES];
        b[0..8].copy_from_slice(MAGIC);
        b[8..10].copy_from_slice(&VERSION.to_le_bytes());
        b[16..32].copy_from_slice(&segment.store.0);
        b[32..34].copy_from_slice(&segment.lane.0.to_le_bytes());
        b[36..40].copy_from_slice(&segment.generation.to_le_bytes());
        let (event, received) = (summary.event_time_ms, summary.received_at_ms);
        let words = [
            (40, segment.id.0),
            (48, segment.salt),
            (56, segment.base_lsn.0),
            (64, segment.base_seq.0),
            (72, summary.next_lsn.0),
            (80, summary.next_seq.0),
            (88, summary.end),
            (96, event.0.cast_unsigned()),
            (104, event.1.cast_unsigned()),
            (112, received.0),
            (120, received.1),
        ];
        for (at, word) in words {
            b[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        b[128..132].copy_from_slice(&routes.to_le_bytes());
        b[132..136].copy_from_slice(&u32::try_from(self.waypoints.len()).ok()?.to_le_bytes());
        b[136..140].copy_from_slice(&postings.to_le_bytes());
        b[140..144].copy_from_slice(&summary.next_prev_crc.to_le_bytes());
        let crc = head_crc(&b, tables);
        b[12..16].copy_from_slice(&crc.to_le_bytes());
        Some(b)
    }
}

/// What a frame that was read holds.
fn content_of(frame: &CheckedFrame<'_>) -> Content {
    let header = &frame.header;
    let payload = match header.kind {
        FrameKind::Loss => None,
        _ => Payload::parse(frame.payload, header.event_count).ok(),
    };
    Content {
        route: Route::of(header.kind, header.project, payload.map_or(&[], |p| p.token)),
        event_time_ms: event_times(payload.iter().flat_map(Payload::directory), header.received_at_ms),
    }
}

/// The least and greatest time of these events.
pub(crate) fn event_times(events: impl Iterator<Item = DirectoryEntry>, received_at_ms: u64) -> (i64, i64) {
    let mut times = NO_TIMES;
    for entry in events {
        let time = event_time_ms(entry.time_ms, received_at_ms);
        widen(&mut times, (time, time));
    }
    times
}

fn encode_posting(posting: &RawPosting, base_ms: i64, out: &mut Vec<u8>) {
    let (least, greatest) = match posting.content.event_time_ms {
        NO_TIMES => (0, 0),
        (least, greatest) => {
            let after = |t: i64| u64::try_from(i128::from(t) - i128::from(base_ms)).unwrap_or(u64::MAX);
            let floor = u32::try_from(after(least) / 1000).unwrap_or(u32::MAX);
            (floor, u32::try_from(after(greatest).div_ceil(1000)).unwrap_or(u32::MAX))
        }
    };
    let RawPosting { position, seq, records, kind, .. } = *posting;
    for n in [position, seq, records, kind as u32, least, greatest] {
        out.extend_from_slice(&n.to_le_bytes());
    }
}

/// Builds the index of a whole segment from its bytes (cut at its end); `None` if a frame of it is damaged:
/// such a segment is walked, so that readers hear of the gap.
pub(crate) fn build(bytes: &[u8], segment: &SegmentHeader, goal: Option<Goal>) -> Option<IndexBuilder> {
    let Ok(built) = build_from(bytes, segment, goal);
    built
}

/// As [`build`], wherever the segment's bytes come from.
pub(crate) fn build_from<S: Source>(
    bytes: S,
    segment: &SegmentHeader,
    goal: Option<Goal>,
) -> Result<Option<IndexBuilder>, S::Error> {
    let mut builder = IndexBuilder::new(segment);
    let mut track = Track { bytes, salt: segment.salt, place: Place::first(segment), goal };
    loop {
        match track.next(&|header: &FrameHeader| header.kind.holds_records())? {
            Find::Frame(found) => match track.payload(&found) {
                Ok(payload) => builder.add(&as_checked(&found, payload)),
                Err(Trouble::Unreadable) => return Ok(None),
                Err(Trouble::Failed(e)) => return Err(e),
            },
            Find::Damage(_) => return Ok(None),
            Find::End => return Ok(Some(builder)),
        }
    }
}

/// Puts an index in its place: beside, flushed, then renamed, so that the name only ever leads to a whole
/// one. The folder is not synced: an index that a crash loses is built again.
///
/// # Errors
/// As the file system says; nothing is left beside.
pub(crate) fn write(disk: &dyn Disk, path: &Path, encoded: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("idx.tmp");
    let written = disk.create(&beside).and_then(|file| {
        file.write_at(encoded, 0)?;
        file.flush()?;
        disk.rename(&beside, path)
    });
    if written.is_err() {
        // What counts is the error above; what stays is removed at the next start.
        let _ = disk.remove(&beside);
    }
    written
}
