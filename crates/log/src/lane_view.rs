//! One lane's folder as a reader sees it: which segments there are, how they follow each other, and how far
//! the lane is durable.
//!
//! Works from any process, while the lane is written or not. Headers are read once and kept: a segment's
//! header never changes under its name, but for a repair, which needs the store stopped.

use crate::{
    layout,
    read_error::ReadError,
    segment::map::{SegmentMap, SegmentMapError},
    track::{Find, Goal, Place, Track},
    watermark::WatermarkReader,
};
use forebay_record::{
    FRAME_HEADER_BYTES, FrameHeader, LaneId, Lsn, Predecessor, SEGMENT_HEADER_BYTES, SegmentHeader,
    SegmentHeaderError, SegmentId, StoreId, Watermark,
};
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// Why a file in a lane's folder is not one of its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentFlaw {
    /// Its header cannot be read.
    Header(SegmentHeaderError),
    /// It belongs to another store, lane or name.
    Foreign(&'static str),
}

impl fmt::Display for SegmentFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentFlaw::Header(e) => e.fmt(f),
            SegmentFlaw::Foreign(what) => write!(f, "the segment belongs to another {what}"),
        }
    }
}

/// A segment's header as found.
pub(crate) type HeaderState = Result<SegmentHeader, SegmentFlaw>;

#[derive(Debug)]
pub(crate) struct LaneView {
    pub(crate) lane: LaneId,
    pub(crate) dir: PathBuf,
    store: StoreId,
    watermark: Option<WatermarkReader>,
    headers: BTreeMap<SegmentId, HeaderState>,
}

/// The segment that follows another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Successor {
    pub(crate) id: SegmentId,
    pub(crate) goal: Goal,
    /// Where the segment before it ends, if a flush of that one failed.
    pub(crate) failed_end: Option<u64>,
}

impl LaneView {
    pub(crate) fn new(dir: &Path, store: StoreId, lane: LaneId) -> LaneView {
        LaneView { lane, dir: layout::lane_dir(dir, lane), store, watermark: None, headers: BTreeMap::new() }
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    /// How far the lane is durable; `None` while nothing is.
    pub(crate) fn watermark(&mut self) -> Result<Option<Watermark>, ReadError> {
        if self.watermark.is_none() {
            self.watermark = WatermarkReader::open(&self.dir)
                .map_err(ReadError::of("read the watermark in", &self.dir))?;
        }
        match self.watermark.as_mut().and_then(WatermarkReader::read) {
            Some(mark) => Ok(Some(mark)),
            None => self.proven(),
        }
    }

    /// How far the frames themselves prove the lane durable, for when its watermark file was lost. Sound at
    /// any time: a frame only ever names what was durable before it was written.
    pub(crate) fn proven(&mut self) -> Result<Option<Watermark>, ReadError> {
        let ids = self.segments()?;
        for (i, &id) in ids.iter().enumerate().rev() {
            let Some(Ok(header)) = self.header(id)? else { continue };
            // A copy: the file may be cut by a server that starts right now.
            let bytes = match read_used(&self.segment_path(id)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.map_err(ReadError::of("read a segment in", &self.dir))?,
            };
            let mut proven = Lsn(0);
            each_frame(&bytes, &header, |frame, _| proven = proven.max(frame.durable_lsn));
            let mut named = None;
            each_frame(&bytes, &header, |frame, after| {
                if frame.lsn <= proven && proven < after.lsn {
                    named = Some(after);
                }
            });
            if let Some(after) = named {
                return Ok(Some(Watermark {
                    count: 0,
                    durable_lsn: Lsn(after.lsn.0.saturating_sub(1)),
                    next_seq: after.seq,
                    segment: id,
                    end: after.position as u64,
                    chain_crc: after.prev_crc,
                    failed_through: SegmentId(0),
                }));
            }
            // The segment was begun, so all that counts of the one before it was durable.
            if i > 0 && header.base_lsn > Lsn(1) {
                return Ok(Some(Watermark {
                    count: 0,
                    durable_lsn: Lsn(header.base_lsn.0 - 1),
                    next_seq: header.base_seq,
                    segment: ids[i - 1],
                    end: u64::MAX,
                    chain_crc: header.prev_crc,
                    failed_through: SegmentId(0),
                }));
            }
        }
        Ok(None)
    }

    /// The segments there are, oldest first.
    pub(crate) fn segments(&self) -> Result<Vec<SegmentId>, ReadError> {
        layout::segments(&self.dir).map_err(ReadError::of("list the segments in", &self.dir))
    }

    /// Is there no older segment than `id` now?
    pub(crate) fn is_oldest(&self, id: SegmentId) -> Result<bool, ReadError> {
        Ok(self.segments()?.first().is_none_or(|&first| first >= id))
    }

    pub(crate) fn segment_path(&self, id: SegmentId) -> PathBuf {
        layout::segment_path(&self.dir, id)
    }

    pub(crate) fn index_path(&self, id: SegmentId) -> PathBuf {
        layout::index_path(&self.dir, id)
    }

    /// A segment's header; `None` if the segment is gone.
    pub(crate) fn header(&mut self, id: SegmentId) -> Result<Option<HeaderState>, ReadError> {
        if let Some(state) = self.headers.get(&id) {
            return Ok(Some(state.clone()));
        }
        let path = self.segment_path(id);
        let block = match read_header_block(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            block => block.map_err(ReadError::of("read the header of", &path))?,
        };
        let state = self.check(id, SegmentHeader::decode(&block));
        // A damaged header is read again: it may be of a file that is just being put to use.
        if state.is_ok() {
            self.headers.insert(id, state.clone());
        }
        Ok(Some(state))
    }

    /// Reads a segment's header anew when it is next asked for.
    pub(crate) fn forget(&mut self, id: SegmentId) {
        self.headers.remove(&id);
    }

    /// Maps a segment for reading.
    pub(crate) fn map(&self, id: SegmentId) -> Result<Result<SegmentMap, SegmentFlaw>, ReadError> {
        let path = self.segment_path(id);
        match SegmentMap::open(&path) {
            Ok(map) => {
                let state = self.check(id, Ok(*map.header()));
                Ok(state.map(|_| map))
            }
            Err(SegmentMapError::Header(e)) => Ok(Err(SegmentFlaw::Header(e))),
            Err(SegmentMapError::Io(source)) => Err(ReadError { what: "map", path, source }),
        }
    }

    fn check(&self, id: SegmentId, header: Result<SegmentHeader, SegmentHeaderError>) -> HeaderState {
        let header = header.map_err(SegmentFlaw::Header)?;
        match header {
            _ if header.store != self.store => Err(SegmentFlaw::Foreign("store")),
            _ if header.lane != self.lane => Err(SegmentFlaw::Foreign("lane")),
            _ if header.id != id => Err(SegmentFlaw::Foreign("name")),
            _ => Ok(header),
        }
    }

    /// The segment that goes on where `id` ends: the one that names it, else the next that can be read.
    /// Only those up to `newest` count.
    pub(crate) fn successor(
        &mut self,
        ids: &[SegmentId],
        id: SegmentId,
        newest: SegmentId,
    ) -> Result<Option<Successor>, ReadError> {
        let from = ids.partition_point(|&other| other <= id);
        let to = ids.partition_point(|&other| other <= newest);
        let mut first_readable = None;
        for &later in ids.get(from..to).unwrap_or_default() {
            let Some(Ok(header)) = self.header(later)? else { continue };
            let (names, failed_end) = match header.predecessor {
                Predecessor::None => (None, None),
                Predecessor::Whole(named) => (Some(named), None),
                Predecessor::Failed { id: named, end } => (Some(named), Some(end)),
            };
            if names == Some(id) {
                let goal = Goal::of_successor(&header, true);
                return Ok(Some(Successor { id: later, goal, failed_end }));
            }
            first_readable.get_or_insert(Successor {
                id: later,
                goal: Goal::of_successor(&header, false),
                failed_end: None,
            });
            if names.is_none_or(|named| named > id) {
                // Of a later part of the lane: what it follows is not `id`, and neither is what comes after.
                break;
            }
        }
        Ok(first_readable)
    }
}

/// Calls `each` for every frame whose header stands, with the place behind it.
fn each_frame(bytes: &[u8], header: &SegmentHeader, mut each: impl FnMut(&FrameHeader, Place)) {
    let mut track = Track { bytes, salt: header.salt, place: Place::first(header), goal: None };
    loop {
        match track.next(&|_| false) {
            Find::Frame(found) => each(&found.header, track.place),
            Find::Damage(_) => {}
            Find::End => return,
        }
    }
}

/// Reads a segment's first block without making the kernel read ahead: behind it may lie bytes that are
/// still to be written, which must not get into the page cache in large folios.
fn read_header_block(path: &Path) -> io::Result<Vec<u8>> {
    read_first(&open_random(path)?, SEGMENT_HEADER_BYTES)
}

/// Reads a segment whole, unless it has no frame yet: then only its start.
fn read_used(path: &Path) -> io::Result<Vec<u8>> {
    let file = open_random(path)?;
    let start = read_first(&file, SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES)?;
    if start.iter().skip(SEGMENT_HEADER_BYTES).all(|&b| b == 0) {
        return Ok(start);
    }
    let len = file.metadata()?.len();
    read_first(&file, usize::try_from(len).unwrap_or(usize::MAX))
}

fn open_random(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
    Ok(file)
}

/// The first `len` bytes, or as many as there are.
fn read_first(file: &File, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], read as u64)? {
            0 => break,
            n => read += n,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}
