//! What a store holds, lane by lane, from headers and indexes: no payload is read.

use crate::{
    ReadError, Store, VerifyError,
    disk::{Disk, RealDisk},
    index::Index,
    lane_view::LaneView,
    layout,
    segment::window::Windows,
    track::{Find, Goal, Place, Track},
    verify::as_text,
    watermark::Durable,
};
use forebay_record::{Endpoint, LaneId, SegmentHeader, SegmentId};
use serde::Serialize;
use std::{io, path::Path, sync::Arc};

/// What a store holds.
#[derive(Clone, Debug, Serialize)]
pub struct StoreStats {
    /// The store's id, in hex.
    pub store: String,
    /// Lane by lane.
    pub lanes: Vec<StoredLane>,
}

/// What a lane holds.
#[derive(Clone, Debug, Serialize)]
pub struct StoredLane {
    /// Which.
    #[serde(serialize_with = "as_text")]
    pub lane: LaneId,
    /// Segment files that count.
    pub segments: u64,
    /// Bytes of all its files on disk, prepared ones and copies in quarantine included.
    pub bytes: u64,
    /// Frames, the log's own (heartbeats, seals) included.
    pub frames: u64,
    /// Records from the oldest kept to the newest durable one.
    pub records: u64,
    /// The sequence of the oldest record kept.
    pub first_seq: u64,
    /// The sequence after the newest durable record.
    pub next_seq: u64,
    /// When the oldest record kept was received, milliseconds since the epoch.
    pub oldest_received_ms: Option<u64>,
    /// When the newest durable record was received.
    pub newest_received_ms: Option<u64>,
    /// Files in quarantine: copies of torn tails and of damage that was given up.
    pub quarantined: u64,
    /// Their bytes.
    pub quarantined_bytes: u64,
}

/// Sums up the store in `dir`, live or stopped.
///
/// # Errors
/// When there is no store, or a file cannot be read.
pub fn stats(dir: &Path) -> Result<StoreStats, VerifyError> {
    stats_on(Arc::new(RealDisk), dir)
}

/// As [`stats`], on another disk than the machine's own.
///
/// # Errors
/// As [`stats`].
pub fn stats_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<StoreStats, VerifyError> {
    let store = Store::open_on(disk, dir)?;
    let lanes = store.lanes()?.into_iter().map(|lane| lane_stats(&mut store.view(lane)));
    Ok(StoreStats { store: store.id().to_string(), lanes: lanes.collect::<Result<_, _>>()? })
}

fn lane_stats(view: &mut LaneView) -> Result<StoredLane, ReadError> {
    let (mut files, mut bytes) = (0, 0);
    let unreadable = |source| ReadError { what: "list", path: view.dir.clone(), source };
    folder(&**view.disk(), &view.dir, &mut files, &mut bytes).map_err(unreadable)?;
    let (mut quarantined, mut quarantined_bytes) = (0, 0);
    folder(&**view.disk(), &layout::quarantine_dir(&view.dir), &mut quarantined, &mut quarantined_bytes)
        .map_err(unreadable)?;
    let mut stats = StoredLane {
        lane: view.lane,
        segments: 0,
        bytes: bytes + quarantined_bytes,
        frames: 0,
        records: 0,
        first_seq: 0,
        next_seq: 0,
        oldest_received_ms: None,
        newest_received_ms: None,
        quarantined,
        quarantined_bytes,
    };
    let Some(mark) = view.watermark()? else { return Ok(stats) };
    let mut headers = Vec::new();
    for id in view.segments()?.into_iter().filter(|&id| id <= mark.segment) {
        if let Some(Ok(header)) = view.header(id)? {
            headers.push((id, header));
        }
    }
    stats.segments = headers.len() as u64;
    stats.next_seq = mark.next_seq.0;
    stats.first_seq = headers.first().map_or(mark.next_seq.0, |(_, header)| header.base_seq.0);
    stats.records = stats.next_seq.saturating_sub(stats.first_seq);
    let first_lsn = headers.first().map_or(mark.durable_lsn.next(), |(_, header)| header.base_lsn);
    stats.frames = (mark.durable_lsn.0 + 1).saturating_sub(first_lsn.0);
    for &(id, header) in &headers {
        if stats.oldest_received_ms.is_none() {
            stats.oldest_received_ms = received(view, &mark, id, &header)?.map(|(oldest, _)| oldest);
        }
    }
    for &(id, header) in headers.iter().rev() {
        if stats.newest_received_ms.is_none() {
            stats.newest_received_ms = received(view, &mark, id, &header)?.map(|(_, newest)| newest);
        }
    }
    Ok(stats)
}

/// Least and greatest receive time in a segment, from its index if it has one.
fn received(
    view: &mut LaneView,
    mark: &Durable,
    id: SegmentId,
    header: &SegmentHeader,
) -> Result<Option<(u64, u64)>, ReadError> {
    if id < mark.segment
        && let Ok(index) = Index::open(&**view.disk(), &view.index_path(id), header)
    {
        let (least, greatest) = index.summary.received_at_ms;
        return Ok((least <= greatest).then_some((least, greatest)));
    }
    let map = match view.map(id) {
        Err(e) if e.source.kind() == io::ErrorKind::NotFound => return Ok(None),
        map => map?,
    };
    let Ok(map) = map else { return Ok(None) };
    let Some(limit) = mark.limit(id) else { return Ok(None) };
    let (limit, goal) = if id == mark.segment {
        (limit, Some(Goal::of_watermark(mark)))
    } else {
        let ids = view.segments()?;
        let next = view.successor(&ids, id, mark.segment)?;
        (next.and_then(|n| n.failed_end).map_or(limit, |end| limit.at_most(end)), next.map(|n| n.goal))
    };
    let failed = ReadError::of("read a segment in", &view.dir);
    let mut bytes = Windows::new(Arc::new(map));
    bytes.extend(limit, goal.is_some_and(|goal| goal.exact)).map_err(&failed)?;
    let mut track = Track { bytes, salt: header.salt, place: Place::first(header), goal };
    let mut range: Option<(u64, u64)> = None;
    loop {
        match track.next(&|_| false).map_err(&failed)? {
            Find::Frame(found) if found.header.endpoint != Endpoint::Internal => {
                let at = found.header.received_at_ms;
                let (least, greatest) = range.unwrap_or((at, at));
                range = Some((least.min(at), greatest.max(at)));
            }
            Find::Frame(_) | Find::Damage(_) => {}
            Find::End => return Ok(range),
        }
    }
}

/// Counts the files of a folder and their bytes; none if it is missing.
fn folder(disk: &dyn Disk, dir: &Path, files: &mut u64, bytes: &mut u64) -> io::Result<()> {
    for name in disk.list(dir)? {
        // Files come and go while we look, and folders are not counted.
        if let Ok(len) = disk.len(&dir.join(name)) {
            *files += 1;
            *bytes += len;
        }
    }
    Ok(())
}
