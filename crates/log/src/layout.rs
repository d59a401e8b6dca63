//! Where everything lies in a data directory, and what it is called.
//!
//! ```text
//! DIR/lock                              held by the one process that writes
//! DIR/store                             format version and store id
//! DIR/log/<lane>/watermark              how far the lane is durable
//! DIR/log/<lane>/floor                  what retention has left
//! DIR/log/<lane>/<segment:020>.seg      frames
//! DIR/log/<lane>/<segment:020>.idx      derived from a sealed segment
//! DIR/log/<lane>/prepared-<n>.tmp       ready to become a segment; removed at start
//! DIR/log/<lane>/quarantine/            copies of cut tails
//! ```
//! Names and ids turn into each other here and nowhere else.

use crate::disk::{Disk, RealDisk};
use forebay_record::{LaneId, SegmentId};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The folder of all lanes.
#[must_use]
pub fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The folder of one lane.
#[must_use]
pub fn lane_dir(dir: &Path, lane: LaneId) -> PathBuf {
    log_dir(dir).join(lane_name(lane))
}

/// A lane's folder name: `0000`, `0001`, … or `unclaimed`.
#[must_use]
pub fn lane_name(lane: LaneId) -> String {
    if lane == LaneId::UNCLAIMED { "unclaimed".to_owned() } else { format!("{:04}", lane.0) }
}

/// The lane that a folder name stands for; `None` for any other name.
#[must_use]
pub fn lane_of_name(name: &str) -> Option<LaneId> {
    let lane = name.parse().ok()?;
    (lane_name(lane) == name).then_some(lane)
}

/// The lanes that exist in a data directory, in numeric order, the unclaimed one last.
///
/// # Errors
/// When the folder cannot be listed; a missing one is no lanes.
pub fn lanes(dir: &Path) -> io::Result<Vec<LaneId>> {
    lanes_on(&RealDisk, dir)
}

/// As [`lanes`], on another disk than the machine's own.
pub(crate) fn lanes_on(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<LaneId>> {
    let mut lanes: Vec<_> = disk.list(&log_dir(dir))?.iter().filter_map(|n| lane_of_name(n)).collect();
    lanes.sort_unstable();
    Ok(lanes)
}

/// A segment's file.
#[must_use]
pub fn segment_path(lane_dir: &Path, id: SegmentId) -> PathBuf {
    lane_dir.join(format!("{id}.seg"))
}

/// The index of a sealed segment.
#[must_use]
pub fn index_path(lane_dir: &Path, id: SegmentId) -> PathBuf {
    lane_dir.join(format!("{id}.idx"))
}

/// The segment that a file name stands for; `None` for any other name.
#[must_use]
pub fn segment_of_name(name: &str) -> Option<SegmentId> {
    id_of_name(name, ".seg")
}

/// The segment whose index a file name stands for; `None` for any other name.
#[must_use]
pub fn index_of_name(name: &str) -> Option<SegmentId> {
    id_of_name(name, ".idx")
}

fn id_of_name(name: &str, suffix: &str) -> Option<SegmentId> {
    let digits = name.strip_suffix(suffix)?;
    let valid = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if valid { digits.parse().ok().map(SegmentId) } else { None }
}

/// The segments of a lane, oldest first.
///
/// # Errors
/// When the folder cannot be listed; a missing one is no segments.
pub fn segments(lane_dir: &Path) -> io::Result<Vec<SegmentId>> {
    segments_on(&RealDisk, lane_dir)
}

/// As [`segments`], on another disk than the machine's own.
pub(crate) fn segments_on(disk: &dyn Disk, lane_dir: &Path) -> io::Result<Vec<SegmentId>> {
    let mut ids: Vec<_> = disk.list(lane_dir)?.iter().filter_map(|n| segment_of_name(n)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// A lane's watermark file.
#[must_use]
pub fn watermark_path(lane_dir: &Path) -> PathBuf {
    lane_dir.join("watermark")
}

/// The file that says where a lane begins.
#[must_use]
pub fn floor_path(lane_dir: &Path) -> PathBuf {
    lane_dir.join("floor")
}

/// Where copies of cut tails go.
#[must_use]
pub fn quarantine_dir(lane_dir: &Path) -> PathBuf {
    lane_dir.join("quarantine")
}

/// Is this a prepared segment that was never put to use?
#[must_use]
pub fn is_prepared(name: &str) -> bool {
    name.starts_with("prepared-") && name.ends_with(".tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_turn_into_each_other() {
        for lane in [LaneId(0), LaneId(7), LaneId(12_345), LaneId::UNCLAIMED] {
            assert_eq!(lane_of_name(&lane_name(lane)), Some(lane));
        }
        for name in ["", "0", "00000", "unclaimed ", "65535", "x", "lost+found"] {
            assert_eq!(lane_of_name(name), None, "{name}");
        }
        let path = segment_path(Path::new(""), SegmentId(42));
        assert_eq!(path.to_str(), Some("00000000000000000042.seg"));
        assert_eq!(segment_of_name("00000000000000000042.seg"), Some(SegmentId(42)));
        for name in ["42.seg", "0000000000000000004x.seg", "00000000000000000042.idx", ".seg"] {
            assert_eq!(segment_of_name(name), None, "{name}");
        }
    }
}
