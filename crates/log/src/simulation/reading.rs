//! Reading a lane of the simulated disk: as the product does, and, to check that, from the bytes alone.

use super::{ledger::Ledger, node::DIR};
use crate::{
    Filter, Gap, RouteKey, Step, Store,
    disk::{Disk as _, DiskView, SimDisk},
    layout,
};
use forebay_record::{
    FrameKind, LaneId, Payload, Predecessor, ProjectId, SegmentHeader, SegmentId, Seq, WATERMARK_BYTES, Walk,
    Watermark, WatermarkSeed,
};
use std::{path::Path, sync::Arc};

/// A segment's header and bytes.
type Segment = (SegmentHeader, Box<dyn DiskView>);

/// What a reader was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Sequence and event, in the order given.
    pub(super) events: Vec<(u64, u32)>,
    /// Of each event, whose it is; 0 for nobody's.
    pub(super) projects: Vec<u64>,
    pub(super) gaps: Vec<Gap>,
}

impl Reading {
    /// The first record that retention has left.
    pub(super) fn first(&self) -> u64 {
        let retained = |gap: &&Gap| gap.reason == crate::GapReason::Retention && gap.from.0 == 0;
        self.gaps.iter().find(retained).map_or(0, |gap| gap.to.0)
    }

    /// Behind the last record, or gap.
    pub(super) fn end(&self) -> u64 {
        let events = self.events.last().map_or(0, |(seq, _)| seq + 1);
        let gaps = self.gaps.last().map_or(0, |gap| gap.to.0);
        events.max(gaps)
    }

    pub(super) fn is_gap(&self, seq: u64) -> bool {
        self.gaps.iter().any(|gap| (gap.from.0..gap.to.0).contains(&seq))
    }
}

/// What a reader of the lane is given that starts with record `from`: of one project, or of all.
///
/// # Errors
/// When it is given what was never sent, or reading fails.
pub(super) fn read(
    disk: &SimDisk,
    ledger: &Ledger,
    from: u64,
    project: Option<u64>,
) -> Result<Reading, String> {
    let lane = ledger.lane;
    let failed = |e: &dyn std::error::Error| format!("lane {lane} cannot be read: {}", chain(e));
    let store = Store::open_on(Arc::new(disk.quiet()), Path::new(DIR)).map_err(|e| failed(&e))?;
    let routes = project.and_then(ProjectId::new).map(|project| vec![RouteKey::Project(project)]);
    let filter = Filter { routes, ..Filter::all() };
    let mut cursor = store.cursor(lane, Seq(from), filter).map_err(|e| failed(&e))?;
    let mut reading = Reading::default();
    while let Some(step) = cursor.next().map_err(|e| failed(&e))? {
        match step {
            Step::Gap(gap) => reading.gaps.push(gap),
            Step::Frame(frame) => {
                let project = frame.header().project.map_or(0, ProjectId::as_u64);
                for record in frame.records() {
                    reading.events.push((record.seq.0, ledger.event_of(record.json)?));
                    reading.projects.push(project);
                }
            }
        }
    }
    Ok(reading)
}

/// An error with what is behind it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// Events by sequence, and the sequence that the oldest segment starts with.
type Found = (Vec<(u64, u32)>, u64);

/// What the lane's bytes below its watermark say, read with nothing of the reading side: for disks that damage
/// nothing; `None` when the watermark was lost. What retention took shows as the sequence that the first record has.
///
/// # Errors
/// Says what is wrong: on such a disk nothing ever is.
pub(super) fn from_bytes(disk: &SimDisk, ledger: &Ledger) -> Result<Option<Found>, String> {
    let lane = ledger.lane;
    let dir = layout::lane_dir(Path::new(DIR), lane);
    let Some(mark) = watermark(disk, lane)? else { return Ok(None) };
    let segments = segments(disk, lane)?;
    let mut events = Vec::new();
    let chain = chain_to(&segments, mark.segment);
    let Some((first, ..)) = chain.first() else {
        return if mark.next_seq.0 == 0 || !segments.is_empty() {
            Ok(Some((events, mark.next_seq.0)))
        } else {
            Err(format!("{}: no segment, and a watermark {mark:?}", dir.display()))
        };
    };
    let (mut lsn, mut seq, mut prev_crc) = (first.base_lsn, first.base_seq, first.prev_crc);
    let start = seq.0;
    for (at, (header, bytes, named)) in chain.iter().enumerate() {
        if (header.base_lsn, header.base_seq, header.prev_crc) != (lsn, seq, prev_crc) {
            return Err(format!(
                "lane {lane}: segment {} starts with frame {} and record {}, the lane stands at {} and {}: {}",
                header.id.0,
                header.base_lsn.0,
                header.base_seq.0,
                lsn.0,
                seq.0,
                list(&segments)
            ));
        }
        let next = chain.get(at + 1);
        let limit = match named {
            _ if next.is_none() && header.id == mark.segment => mark.end,
            Some(end) => *end,
            None => u64::MAX,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len());
        let mut walk = Walk::new(&bytes[..limit], header);
        // Of one that was begun in vain only what the next one does not hold counts.
        let stop = next.filter(|_| named.is_none()).map(|(next, ..)| next.base_lsn);
        while stop != Some(walk.next_lsn())
            && let Some(frame) = walk.next()
        {
            if frame.header.kind != FrameKind::Records {
                continue;
            }
            let payload = Payload::parse(frame.payload, frame.header.event_count)
                .map_err(|e| format!("lane {lane} segment {}: {e}", header.id.0))?;
            for (i, (_, json)) in (0..).zip(payload.events()) {
                events.push((frame.header.first_seq.plus(i).0, ledger.event_of(json)?));
            }
        }
        (lsn, seq, prev_crc) = (walk.next_lsn(), walk.next_seq(), walk.prev_crc());
    }
    let stands = (lsn.0 - 1, seq, prev_crc);
    if stands != (mark.durable_lsn.0, mark.next_seq, mark.chain_crc) {
        return Err(format!(
            "lane {lane}: the bytes below the watermark come to {stands:?}, it says {mark:?}"
        ));
    }
    Ok(Some((events, start)))
}

/// The lane's watermark and segments, for people.
pub(super) fn describe(disk: &SimDisk, lane: LaneId) -> String {
    let segments = segments(disk, lane).map(|segments| list(&segments));
    format!("{:?}; {segments:?}", watermark(disk, lane))
}

/// The segments there are, and what each says that it follows.
fn list(segments: &[Segment]) -> String {
    let line = |(header, bytes): &Segment| {
        let SegmentHeader { id, base_lsn, base_seq, predecessor, .. } = header;
        format!(
            "{} from {} and {}, {} bytes, after {predecessor:?}",
            id.0,
            base_lsn.0,
            base_seq.0,
            bytes.bytes().len()
        )
    };
    segments.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// A segment of the lane's, and where it ends, if the one behind it names it.
type Link<'a> = (&'a SegmentHeader, &'a [u8], Option<u64>);

/// The segments that lead to `newest`, by what each says that it follows; where that one is gone, the next older.
fn chain_to(segments: &[Segment], newest: SegmentId) -> Vec<Link<'_>> {
    let mut chain: Vec<Link<'_>> = Vec::new();
    let mut at = segments.partition_point(|(header, _)| header.id <= newest);
    let mut end = None;
    while let Some((header, bytes)) = at.checked_sub(1).and_then(|at| segments.get(at)) {
        chain.push((header, bytes.bytes(), end));
        let (named, its_end) = match header.predecessor {
            Predecessor::None => break,
            Predecessor::Whole(id) => (id, u64::MAX),
            Predecessor::Failed { id, end } => (id, end),
        };
        at = segments.partition_point(|(header, _)| header.id <= named).min(at - 1);
        let there = at.checked_sub(1).is_some_and(|at| segments[at].0.id == named);
        end = there.then_some(its_end);
    }
    chain.reverse();
    chain
}

/// The newest valid copy in the lane's watermark file.
pub(super) fn watermark(disk: &SimDisk, lane: LaneId) -> Result<Option<Watermark>, String> {
    let path = layout::watermark_path(&layout::lane_dir(Path::new(DIR), lane));
    let Ok(file) = disk.open(&path) else { return Ok(None) };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR)).map_err(|e| chain(&e))?.id();
    let seed = WatermarkSeed { store, lane };
    let copies = [0, 4096].map(|at| {
        let mut copy = [0; WATERMARK_BYTES];
        let read = file.read_at(&mut copy, at).unwrap_or(0);
        (read == WATERMARK_BYTES).then(|| Watermark::decode(&copy, seed).ok().flatten()).flatten()
    });
    Ok(Watermark::newer(copies[0], copies[1]))
}

/// The lane's segments with a header that can be read, oldest first.
pub(super) fn segments(disk: &SimDisk, lane: LaneId) -> Result<Vec<Segment>, String> {
    let dir = layout::lane_dir(Path::new(DIR), lane);
    let names = disk.list(&dir).map_err(|e| e.to_string())?;
    let mut ids: Vec<SegmentId> = names.iter().filter_map(|name| layout::segment_of_name(name)).collect();
    ids.sort_unstable();
    let mut segments = Vec::new();
    for id in ids {
        let file = disk.open(&layout::segment_path(&dir, id)).map_err(|e| e.to_string())?;
        let bytes = file.view().map_err(|e| e.to_string())?;
        if let Ok(header) = SegmentHeader::decode(bytes.bytes())
            && (header.id, header.lane) == (id, lane)
        {
            segments.push((header, bytes));
        }
    }
    Ok(segments)
}
