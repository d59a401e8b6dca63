//! Segment files: prepared ahead, put to use, sealed, mapped for reading.

mod list;
pub(crate) mod map;
mod prepare;

pub(crate) use list::{SegmentInfo, SegmentList};
pub(crate) use prepare::{Prepared, prepare};
