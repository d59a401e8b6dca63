//! The numbers that name things: lanes, frames, events, projects, segments, stores.
//!
//! Each is a type of its own, so that a sequence cannot be passed where a frame number is meant.

use std::{fmt, num::NonZeroU64, str::FromStr};

/// One append stream with one writer. Projects are sharded over lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u16);

impl LaneId {
    /// The lane of events whose token belongs to no project yet: a ring of bounded size and age.
    pub const UNCLAIMED: LaneId = LaneId(u16::MAX);
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == LaneId::UNCLAIMED { f.write_str("unclaimed") } else { self.0.fmt(f) }
    }
}

impl FromStr for LaneId {
    type Err = std::num::ParseIntError;

    fn from_str(s: &str) -> Result<LaneId, Self::Err> {
        if s == "unclaimed" { Ok(LaneId::UNCLAIMED) } else { s.parse().map(LaneId) }
    }
}

/// Counts the frames of a lane from 1; 0 means "no frame yet". Survives rewriting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The number of the frame after this one.
    #[must_use]
    pub fn next(self) -> Lsn {
        // Saturating: 2^64 frames never come, but a forged file may claim that they did.
        Lsn(self.0.saturating_add(1))
    }
}

/// Counts the records of a lane from 0, densely, over all its projects. Survives rewriting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The sequence `count` records later.
    #[must_use]
    pub fn plus(self, count: u32) -> Seq {
        Seq(self.0.saturating_add(u64::from(count)))
    }
}

/// Names a project. Never zero: a frame with project 0 is unclaimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(pub NonZeroU64);

impl ProjectId {
    /// `None` for zero.
    #[must_use]
    pub fn new(id: u64) -> Option<ProjectId> {
        NonZeroU64::new(id).map(ProjectId)
    }

    /// The plain number.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ProjectId {
    type Err = String;

    fn from_str(s: &str) -> Result<ProjectId, String> {
        let id = s.parse().ok().and_then(ProjectId::new);
        id.ok_or_else(|| format!("project {s:?} is not a number from 1"))
    }
}

/// Counts the segments of a lane from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

/// Names a data directory for ever: 16 random bytes made when it is created. Also the node's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// Where a reader stands: the next record it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The lane.
    pub lane: LaneId,
    /// The first record not yet read.
    pub seq: Seq,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lane, self.seq.0)
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(s: &str) -> Result<Position, String> {
        let wrong = || format!("position {s:?} is not LANE:SEQ, for example 0:1500 or unclaimed:0");
        let (lane, seq) = s.split_once(':').ok_or_else(wrong)?;
        Ok(Position { lane: lane.parse().map_err(|_| wrong())?, seq: Seq(seq.parse().map_err(|_| wrong())?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_it_prints() {
        for text in ["0:0", "3:1500", "unclaimed:7", "65534:18446744073709551615"] {
            assert_eq!(text.parse::<Position>().expect(text).to_string(), text);
        }
        // The number of the unclaimed lane is accepted and printed by its name.
        assert_eq!("65535:1".parse::<Position>().expect("a lane").to_string(), "unclaimed:1");
    }

    #[test]
    fn a_wrong_position_is_named_with_an_example() {
        for text in ["", "5", ":", "0:", ":0", "0:-1", "65536:0", "0:0:0", "lane:1", "0:18446744073709551616"]
        {
            let error = text.parse::<Position>().expect_err(text);
            assert!(error.contains(&format!("{text:?}")) && error.contains("LANE:SEQ"), "{error}");
        }
    }

    #[test]
    fn project_zero_is_no_project() {
        assert_eq!(ProjectId::new(0), None);
        assert_eq!(ProjectId::new(7).map(ProjectId::as_u64), Some(7));
    }

    #[test]
    fn numbers_at_their_end_do_not_overflow() {
        assert_eq!(Lsn(u64::MAX).next(), Lsn(u64::MAX));
        assert_eq!(Seq(u64::MAX - 1).plus(u32::MAX), Seq(u64::MAX));
    }

    #[test]
    fn segment_names_sort_as_their_numbers() {
        assert_eq!(SegmentId(12).to_string(), "00000000000000000012");
        assert_eq!(SegmentId(u64::MAX).to_string().len(), 20);
    }

    #[test]
    fn a_store_id_prints_as_32_hex_digits() {
        assert_eq!(StoreId([0xab; 16]).to_string(), "ab".repeat(16));
    }
}
