//! What a store holds, lane by lane, from headers and indexes: no payload is read.

use crate::{
    ReadError, Store, VerifyError,
    index::Index,
    lane_view::LaneView,
    layout,
    track::{Find, Goal, Place, Track},
    verify::as_text,
};
use forebay_record::{Endpoint, LaneId, SegmentHeader, SegmentId, Watermark};
use serde::Serialize;
use std::{fs, io, path::Path};

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
    let store = Store::open(dir)?;
    let lanes = store.lanes()?.into_iter().map(|lane| lane_stats(&mut store.view(lane)));
    Ok(StoreStats { store: store.id().to_string(), lanes: lanes.collect::<Result<_, _>>()? })
}

fn lane_stats(view: &mut LaneView) -> Result<StoredLane, ReadError> {
    let (mut files, mut bytes) = (0, 0);
    let unreadable = |source| ReadError { what: "list", path: view.dir.clone(), source };
    folder(&view.dir, &mut files, &mut bytes).map_err(unreadable)?;
    let (mut quarantined, mut quarantined_bytes) = (0, 0);
    folder(&layout::quarantine_dir(&view.dir), &mut quarantined, &mut quarantined_bytes)
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
    mark: &Watermark,
    id: SegmentId,
    header: &SegmentHeader,
) -> Result<Option<(u64, u64)>, ReadError> {
    if id < mark.segment
        && let Ok(index) = Index::open(&view.index_path(id), header)
    {
        let (least, greatest) = index.summary.received_at_ms;
        return Ok((least <= greatest).then_some((least, greatest)));
    }
    let map = match view.map(id) {
        Err(e) if e.source.kind() == io::ErrorKind::NotFound => return Ok(None),
        map => map?,
    };
    let Ok(map) = map else { return Ok(None) };
    let len = map.file_len().map_err(ReadError::of("read the length of a segment in", &view.dir))?;
    let (end, goal) = if id == mark.segment {
        (mark.end, Some(Goal::of_watermark(mark)))
    } else {
        let ids = view.segments()?;
        let next = view.successor(&ids, id, mark.segment)?;
        (next.and_then(|n| n.failed_end).unwrap_or(u64::MAX), next.map(|n| n.goal))
    };
    let bytes = map.bytes(usize::try_from(end).unwrap_or(usize::MAX).min(len));
    let mut track = Track { bytes, salt: header.salt, place: Place::first(header), goal };
    let mut range: Option<(u64, u64)> = None;
    loop {
        match track.next(&|_| false) {
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
fn folder(dir: &Path, files: &mut u64, bytes: &mut u64) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        // Files come and go while we look.
        if let Ok(metadata) = entry?.metadata()
            && metadata.is_file()
        {
            *files += 1;
            *bytes += metadata.len();
        }
    }
    Ok(())
}
