//! The reading side: a data directory's log, from any process, while it is written or not.
//!
//! # Invariants
//! * Nothing behind a lane's durable watermark is ever shown.
//! * Nothing in the data directory is changed, and no lock is taken.

use crate::{
    Cursor, Filter, ReadError, StoreIdError,
    disk::{Disk, RealDisk},
    lane_view::LaneView,
    layout,
    store_id::read_store_id_on,
};
use forebay_record::{LaneId, Position, Seq, StoreId};
use std::{path::Path, sync::Arc};

/// A read-only view of a data directory's log. Cheap to clone.
///
/// ```no_run
/// use forebay_log::{Filter, Step, Store};
/// use forebay_record::{LaneId, Seq};
///
/// let store = Store::open("data".as_ref())?;
/// let mut cursor = store.cursor(LaneId(0), Seq(0), Filter::all())?;
/// while let Some(step) = cursor.next()? {
///     match step {
///         Step::Frame(frame) => frame.records().for_each(|record| drop(record.json)),
///         Step::Gap(gap) => eprintln!("{gap}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    id: StoreId,
}

impl Store {
    /// Opens the log in the data directory `dir`.
    ///
    /// # Errors
    /// When there is no Forebay data, or data of a version this one cannot read.
    pub fn open(dir: &Path) -> Result<Store, StoreIdError> {
        Store::open_on(Arc::new(RealDisk), dir)
    }

    /// As [`Store::open`], on another disk than the machine's own.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Store, StoreIdError> {
        let id = read_store_id_on(&*disk, dir)?;
        Ok(Store { disk, dir: dir.into(), id })
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The store's id.
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// The lanes there are, in numeric order, the unclaimed one last.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn lanes(&self) -> Result<Vec<LaneId>, ReadError> {
        layout::lanes_on(&*self.disk, &self.dir).map_err(ReadError::of("list the lanes of", &self.dir))
    }

    /// How far a lane is durable now: the sequence of the next record.
    ///
    /// # Errors
    /// When the lane's files cannot be read.
    pub fn durable(&self, lane: LaneId) -> Result<Position, ReadError> {
        let mark = self.view(lane).watermark()?;
        Ok(Position { lane, seq: mark.map_or(Seq(0), |mark| mark.next_seq) })
    }

    /// A cursor over a lane, starting with record `from`. A lane that does not exist yet is one without
    /// records.
    ///
    /// # Errors
    /// When the lane's files cannot be read.
    pub fn cursor(&self, lane: LaneId, from: Seq, filter: Filter) -> Result<Cursor, ReadError> {
        Cursor::new(self.view(lane), from, filter)
    }

    pub(crate) fn view(&self, lane: LaneId) -> LaneView {
        LaneView::new(Arc::clone(&self.disk), &self.dir, self.id, lane)
    }
}
