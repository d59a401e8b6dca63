//! One lane's folder as a reader sees it: which segments there are, how they follow each other, and how far
//! the lane is durable.
//!
//! Works from any process, while the lane is written or not. Headers are read once and kept: a segment's
//! header never changes under its name, but for a repair, which needs the store stopped.

use crate::{
    disk::Disk,
    floor::Floor,
    layout,
    read_error::ReadError,
    segment::map::{SegmentMap, SegmentMapError, read_header},
    track::Goal,
    watermark::{Durable, WatermarkReader},
};
use forebay_record::{
    LaneId, Predecessor, SegmentHeader, SegmentHeaderError, SegmentId, StoreId, WatermarkSeed,
};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a file in a lane's folder is not one of its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentFlaw {
    /// Its header cannot be read.
    Header(SegmentHeaderError),
    /// The disk cannot read its header.
    Unreadable,
    /// It belongs to another store, lane or name.
    Foreign(&'static str),
}

impl fmt::Display for SegmentFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentFlaw::Header(e) => e.fmt(f),
            SegmentFlaw::Unreadable => f.write_str("the disk cannot read the segment's header"),
            SegmentFlaw::Foreign(what) => write!(f, "the segment belongs to another {what}"),
        }
    }
}

/// A segment's header as found.
pub(crate) type HeaderState = Result<SegmentHeader, SegmentFlaw>;

#[derive(Debug)]
pub(crate) struct LaneView {
    disk: Arc<dyn Disk>,
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
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, store: StoreId, lane: LaneId) -> LaneView {
        let dir = layout::lane_dir(dir, lane);
        LaneView { disk, lane, dir, store, watermark: None, headers: BTreeMap::new() }
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    pub(crate) fn watermark_seed(&self) -> WatermarkSeed {
        WatermarkSeed { store: self.store, lane: self.lane }
    }

    /// How far the lane is durable; `None` while nothing is.
    pub(crate) fn watermark(&mut self) -> Result<Option<Durable>, ReadError> {
        let path = layout::watermark_path(&self.dir);
        if self.watermark.is_none() {
            self.watermark = WatermarkReader::open_on(&*self.disk, &self.dir, self.watermark_seed())
                .map_err(ReadError::of("read", &path))?;
        }
        let told = self.watermark.as_mut().map_or(Ok(None), WatermarkReader::durable);
        match told.map_err(ReadError::of("read", &path))? {
            Some(mark) => Ok(Some(mark)),
            None => Durable::proven(self),
        }
    }

    /// The segments there are, oldest first.
    pub(crate) fn segments(&self) -> Result<Vec<SegmentId>, ReadError> {
        layout::segments_on(&*self.disk, &self.dir).map_err(ReadError::of("list the segments in", &self.dir))
    }

    /// Where the lane begins now; `None` if nobody knows.
    pub(crate) fn floor(&self) -> Result<Option<Floor>, ReadError> {
        let floor = Floor::read(&*self.disk, &self.dir, self.watermark_seed());
        floor.map_err(ReadError::of("read the floor in", &self.dir))
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
    ///
    /// # Errors
    /// When it cannot be read and that is no damage, or is of another version: nothing is known of what lies in
    /// such a segment, and so nothing may be said of it.
    pub(crate) fn header(&mut self, id: SegmentId) -> Result<Option<HeaderState>, ReadError> {
        if let Some(state) = self.headers.get(&id) {
            return Ok(Some(state.clone()));
        }
        let path = self.segment_path(id);
        let read = self.disk.open_read(&path).map_err(SegmentMapError::Io);
        let state = match read.and_then(|file| read_header(&*file)) {
            Err(SegmentMapError::Io(e)) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(SegmentMapError::Io(e)) => return Err(ReadError::of("read the header of", &path)(e)),
            Err(SegmentMapError::Header(e)) if e.is_of_another_version() => {
                return Err(ReadError::of("read", &path)(io::Error::other(e)));
            }
            Err(SegmentMapError::Header(e)) => Err(SegmentFlaw::Header(e)),
            Err(SegmentMapError::Unreadable) => Err(SegmentFlaw::Unreadable),
            Ok(header) => self.check(id, header),
        };
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
        match SegmentMap::open(&*self.disk, &path) {
            Ok(map) => Ok(self.check(id, *map.header()).map(|_| map)),
            Err(SegmentMapError::Unreadable) => Ok(Err(SegmentFlaw::Unreadable)),
            Err(SegmentMapError::Header(e)) => Ok(Err(SegmentFlaw::Header(e))),
            Err(SegmentMapError::Io(source)) => Err(ReadError { what: "map", path, source }),
        }
    }

    fn check(&self, id: SegmentId, header: SegmentHeader) -> HeaderState {
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
