//! Whose a data directory is and who wrote it: looked at before anything in it is changed.
//!
//! The store file names the directory, and each segment says to which store, lane and place it belongs, and of
//! which version it is. What does not fit together is refused, with what to do about it: a start that has begun
//! to recover some lanes of a directory that it cannot use would have changed it already.
//!
//! # Invariants
//! * Nothing is written here.

use crate::{
    disk::Disk,
    error::OpenError,
    layout,
    segment::map::{SegmentMapError, read_header},
    store_id::StoreIdError,
    watermark::WatermarkReader,
};
use forebay_record::{LaneId, SegmentHeader, StoreId, WatermarkSeed};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Whose the segments say they are, where none is `own`'s: of those that can be read, what the first one says.
/// `None` when there is none, or one is `own`'s.
pub(crate) fn store_of_segments(disk: &dyn Disk, dir: &Path, own: Option<StoreId>) -> Option<StoreId> {
    let mut other = None;
    // A folder that cannot be listed now is reported by whoever needs it next.
    for lane in layout::lanes_on(disk, dir).ok()? {
        let lane_dir = layout::lane_dir(dir, lane);
        for id in layout::segments_on(disk, &lane_dir).ok()? {
            if let Ok(header) = header_of(disk, &layout::segment_path(&lane_dir, id)) {
                if Some(header.store) == own {
                    return None;
                }
                other.get_or_insert(header.store);
            }
        }
    }
    other
}

/// Checks that every segment and watermark in these lanes can be used, or is merely damaged.
///
/// # Errors
/// [`OpenError::Version`] and [`OpenError::Foreign`]; an unreadable file is recovery's to deal with.
pub(crate) fn check(disk: &dyn Disk, dir: &Path, store: StoreId, lanes: &[LaneId]) -> Result<(), OpenError> {
    for &lane in lanes {
        let lane_dir = layout::lane_dir(dir, lane);
        let failed = |source| OpenError::Io { what: "list", path: lane_dir.clone(), source };
        for id in layout::segments_on(disk, &lane_dir).map_err(failed)? {
            let path = layout::segment_path(&lane_dir, id);
            match header_of(disk, &path) {
                Ok(header) => belongs(&header, store, lane, id.0, path)?,
                Err(SegmentMapError::Header(e)) if e.is_of_another_version() => {
                    return Err(OpenError::Version { path, what: e.to_string() });
                }
                Err(_) => {}
            }
        }
        let seed = WatermarkSeed { store, lane };
        let path = layout::watermark_path(&lane_dir);
        let reader = WatermarkReader::open_on(disk, &lane_dir, seed);
        if let Err(e) = reader.and_then(|reader| reader.map_or(Ok(None), |mut reader| reader.read()))
            && e.get_ref().is_some_and(|e| e.is::<forebay_record::WatermarkVersion>())
        {
            return Err(OpenError::Version { path, what: e.to_string() });
        }
    }
    Ok(())
}

/// Does a segment belong where it lies?
pub(crate) fn belongs(
    header: &SegmentHeader,
    store: StoreId,
    lane: LaneId,
    id: u64,
    path: PathBuf,
) -> Result<(), OpenError> {
    if header.store != store {
        return Err(OpenError::Foreign { path, what: format!("belongs to the store {}", header.store) });
    }
    if (header.lane, header.id.0) != (lane, id) {
        let what = format!("says it is segment {} of lane {}", header.id.0, header.lane);
        return Err(OpenError::Foreign { path, what });
    }
    Ok(())
}

/// The store file was lost, or names another store than all that lies beside it.
pub(crate) fn named(
    disk: &dyn Disk,
    dir: &Path,
    named: Result<StoreId, StoreIdError>,
) -> Result<StoreId, StoreIdError> {
    match named {
        Ok(id) => match store_of_segments(disk, dir, Some(id)) {
            Some(segments) => Err(StoreIdError::Other { path: dir.join("store"), named: id, segments }),
            None => Ok(id),
        },
        Err(StoreIdError::Missing(path)) => match store_of_segments(disk, dir, None) {
            Some(segments) => Err(StoreIdError::Lost { path, segments }),
            None => Err(StoreIdError::Missing(path)),
        },
        Err(e) => Err(e),
    }
}

fn header_of(disk: &dyn Disk, path: &Path) -> Result<SegmentHeader, SegmentMapError> {
    disk.open_read(path).map_err(SegmentMapError::Io).and_then(|file| read_header(&*file))
}

/// Content that is whole, and that only another version knows how to read.
pub(crate) fn of_another_version(what: impl std::fmt::Display) -> io::Error {
    let what = format!("{what}: written by a newer forebay; use that one");
    io::Error::new(io::ErrorKind::Unsupported, what)
}
