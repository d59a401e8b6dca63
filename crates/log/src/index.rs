//! The index of a sealed segment: whose frames lie where.
//!
//! With it a reader of one small project touches that project's frames and no others, a reader of some days
//! skips segments without opening them, and any sequence is found without walking from the start.
//!
//! ```text
//!   0  magic "FBINDEX\n" | version u16 | reserved u16 = 0 | head_crc u32
//!  16  store id 16 bytes | lane u16 | reserved u16 = 0 | generation u32 | segment id u64
//!  48  salt u64 | base_lsn u64 | base_seq u64 | next_lsn u64 | next_seq u64 | end u64
//!  96  least event time i64 | greatest i64 | least receive time u64 | greatest u64
//! 128  routes u32 | waypoints u32 | postings u32 | next_prev_crc u32
//! 144  routes, 48 bytes each, sorted by kind and key:
//!        key u64 | kind u32 | first posting u32 | postings u32 | postings_crc u32
//!        records u64 | least event time i64 | greatest i64
//!      waypoints, 16 bytes each, one every 64 KiB: frame at u32 | lsn u32 | seq u32 | prev_crc u32
//!      postings, 24 bytes each, by route and then position:
//!        frame at u32 | seq u32 | records u32 | kind u32 | least event time u32 | greatest u32
//! ```
//! Frame places are in units of eight bytes; lsns and sequences count from the segment's; event times of a
//! posting are whole seconds after its route's least, rounded outward. `head_crc` covers the head with its
//! own bytes as zero, the routes and the waypoints; each route's postings have a checksum of their own, so
//! that a reader need not read those of others.
//!
//! # Invariants
//! * Everything here is derived: a missing, old or damaged index costs time and never an answer.
//! * An index speaks of one file: segment, generation and salt must match.

mod build;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use build::{Content, IndexBuilder, build, build_from, event_times, write};

use crate::{
    disk::{Disk, DiskFile},
    filter::{Filter, RouteKey, token_hash},
};
use forebay_record::{FrameKind, Lsn, ProjectId, SegmentHeader, Seq, crc32c};
use std::{fmt, io, path::Path};

pub(crate) const HEAD_BYTES: usize = 144;
pub(crate) const ROUTE_BYTES: usize = 48;
pub(crate) const WAYPOINT_BYTES: usize = 16;
pub(crate) const POSTING_BYTES: usize = 24;
/// Distance between waypoints.
pub(crate) const WAYPOINT_SPACING: u64 = 64 << 10;
const MAGIC: &[u8; 8] = b"FBINDEX\n";
const VERSION: u16 = 1;
/// No index of a segment that fits its own limits is larger than this: a damaged length is not believed.
const TABLES_BYTES_MAX: u64 = 1 << 30;

/// Whose frames a route's postings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    /// Losses: they concern every reader.
    Loss,
    Project(u64),
    /// Unclaimed, by the token's hash.
    Token(u64),
}

impl Route {
    fn code(self) -> (u32, u64) {
        match self {
            Route::Loss => (0, 0),
            Route::Project(id) => (1, id),
            Route::Token(hash) => (2, hash),
        }
    }

    fn of_key(key: &RouteKey) -> Route {
        match key {
            RouteKey::Project(project) => Route::Project(project.as_u64()),
            RouteKey::Token(token) => Route::Token(token_hash(token)),
        }
    }

    pub(crate) fn of(kind: FrameKind, project: Option<ProjectId>, token: &[u8]) -> Route {
        match (kind, project) {
            (FrameKind::Loss, _) => Route::Loss,
            (_, Some(project)) => Route::Project(project.as_u64()),
            (_, None) => Route::Token(token_hash(token)),
        }
    }
}

/// A segment as its index sums it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// What follows the last frame.
    pub(crate) next_lsn: Lsn,
    pub(crate) next_seq: Seq,
    pub(crate) next_prev_crc: u32,
    /// The byte behind the last frame and its padding.
    pub(crate) end: u64,
    /// Least and greatest; the least is above the greatest if there are no records.
    pub(crate) event_time_ms: (i64, i64),
    pub(crate) received_at_ms: (u64, u64),
}

/// One frame of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) position: u64,
    pub(crate) seq: Seq,
    pub(crate) records: u32,
    pub(crate) kind: u32,
    /// Least and greatest event time: not more than a second wide of the truth.
    pub(crate) event_time_ms: (i64, i64),
}

/// A frame boundary from which a walk can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waypoint {
    pub(crate) position: u64,
    pub(crate) lsn: Lsn,
    pub(crate) seq: Seq,
    pub(crate) prev_crc: u32,
}

/// Why an index cannot be used.
#[derive(Debug)]
pub enum IndexError {
    /// There is none.
    Missing,
    /// It cannot be read.
    Io(io::Error),
    /// It is damaged.
    Damaged(&'static str),
    /// It is of a version that this one does not know.
    Version(u16),
    /// It speaks of another file.
    Other(&'static str),
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IndexError::Missing => f.write_str("there is no index"),
            IndexError::Io(e) => write!(f, "the index cannot be read: {e}"),
            IndexError::Damaged(what) => write!(f, "the index is damaged: {what}"),
            IndexError::Version(version) => write!(
                f,
                "the index is of version {version}, and this forebay reads {VERSION}: it is not used, and what it \
                 says stands in the segment too"
            ),
            IndexError::Other(what) => write!(f, "the index is of another segment: {what} differs"),
        }
    }
}

impl std::error::Error for IndexError {}

/// An open index whose head, routes and waypoints are checked. Postings are read when asked for.
#[derive(Debug)]
pub(crate) struct Index {
    file: Box<dyn DiskFile>,
    base_seq: Seq,
    base_lsn: Lsn,
    pub(crate) summary: Summary,
    routes: Vec<u8>,
    waypoints: Vec<u8>,
    /// How many there are.
    postings: u32,
    postings_at: u64,
}

struct RouteEntry {
    is_loss: bool,
    first: u32,
    count: u32,
    crc: u32,
    event_time_ms: (i64, i64),
}

impl RouteEntry {
    fn decode(b: &[u8; ROUTE_BYTES]) -> RouteEntry {
        RouteEntry {
            is_loss: u32_at(b, 8) == Route::Loss.code().0,
            first: u32_at(b, 12),
            count: u32_at(b, 16),
            crc: u32_at(b, 20),
            event_time_ms: (i64_at(b, 32), i64_at(b, 40)),
        }
    }
}

impl Index {
    /// Opens the index at `path` of the segment with this header.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, segment: &SegmentHeader) -> Result<Index, IndexError> {
        let file = disk.open_read(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => IndexError::Missing,
            _ => IndexError::Io(e),
        })?;
        let len = file.len().map_err(IndexError::Io)?;
        let mut head = [0; HEAD_BYTES];
        if len < HEAD_BYTES as u64 {
            return Err(IndexError::Damaged("too short"));
        }
        file.read_exact_at(&mut head, 0).map_err(IndexError::Io)?;
        if &head[..8] != MAGIC {
            return Err(IndexError::Damaged("wrong magic"));
        }
        if u16::from_le_bytes([head[8], head[9]]) != VERSION {
            return Err(IndexError::Version(u16::from_le_bytes([head[8], head[9]])));
        }
        let (routes, waypoints, postings) = (u32_at(&head, 128), u32_at(&head, 132), u32_at(&head, 136));
        let routes_len = u64::from(routes) * ROUTE_BYTES as u64;
        let tables_len = routes_len + u64::from(waypoints) * WAYPOINT_BYTES as u64;
        let postings_at = HEAD_BYTES as u64 + tables_len;
        if tables_len > TABLES_BYTES_MAX || len != postings_at + u64::from(postings) * POSTING_BYTES as u64 {
            return Err(IndexError::Damaged("its tables do not fill the file"));
        }
        let mut tables = vec![0; usize::try_from(tables_len).unwrap_or(0)];
        file.read_exact_at(&mut tables, HEAD_BYTES as u64).map_err(IndexError::Io)?;
        if mutant!(IndexUnchecked: false, else head_crc(&head, &tables) != u32_at(&head, 12)) {
            return Err(IndexError::Damaged("checksum mismatch"));
        }
        let other = |same: bool, what| if same { Ok(()) } else { Err(IndexError::Other(what)) };
        other(head[16..32] == segment.store.0, "store")?;
        other(u64_at(&head, 40) == segment.id.0, "segment id")?;
        other(u32_at(&head, 36) == segment.generation, "generation")?;
        other(u64_at(&head, 48) == segment.salt, "salt")?;
        other(u64_at(&head, 56) == segment.base_lsn.0 && u64_at(&head, 64) == segment.base_seq.0, "base")?;
        let waypoints = tables.split_off(usize::try_from(routes_len).unwrap_or(0));
        Ok(Index {
            file,
            base_seq: segment.base_seq,
            base_lsn: segment.base_lsn,
            summary: Summary {
                next_lsn: Lsn(u64_at(&head, 72)),
                next_seq: Seq(u64_at(&head, 80)),
                end: u64_at(&head, 88),
                event_time_ms: (i64_at(&head, 96), i64_at(&head, 104)),
                received_at_ms: (u64_at(&head, 112), u64_at(&head, 120)),
                next_prev_crc: u32_at(&head, 140),
            },
            routes: tables,
            waypoints,
            postings,
            postings_at,
        })
    }

    /// The last waypoint at or before `seq`.
    pub(crate) fn waypoint(&self, seq: Seq) -> Option<Waypoint> {
        let (all, _) = self.waypoints.as_chunks::<WAYPOINT_BYTES>();
        let decode = |b: &[u8; WAYPOINT_BYTES]| Waypoint {
            position: u64::from(u32_at(b, 0)) * 8,
            lsn: Lsn(self.base_lsn.0.saturating_add(u32_at(b, 4).into())),
            seq: self.base_seq.plus(u32_at(b, 8)),
            prev_crc: u32_at(b, 12),
        };
        let after = all.partition_point(|b| decode(b).seq <= seq);
        all[..after].last().map(decode)
    }

    /// Does `filter` want nearly all frames? Then walking costs less than looking each up, and no list of them is held.
    pub(crate) fn is_mostly_wanted(&self, filter: &Filter) -> bool {
        let whole = |route: &RouteEntry| filter.covers_times(route.event_time_ms.0, route.event_time_ms.1);
        let frames: u64 = self.wanted(filter).iter().filter(|r| whole(r)).map(|r| u64::from(r.count)).sum();
        let records = filter.kinds.contains(FrameKind::Records);
        records && self.postings > 0 && frames * 4 >= u64::from(self.postings) * 3
    }

    /// The routes that `filter` names, and the losses'.
    fn wanted(&self, filter: &Filter) -> Vec<RouteEntry> {
        let (all, _) = self.routes.as_chunks::<ROUTE_BYTES>();
        let Some(keys) = &filter.routes else { return all.iter().map(RouteEntry::decode).collect() };
        let mut routes: Vec<Route> = keys.iter().map(Route::of_key).chain([Route::Loss]).collect();
        routes.sort_unstable();
        routes.dedup();
        let find = |r: Route| all.binary_search_by_key(&r.code(), |b| (u32_at(b, 8), u64_at(b, 0)));
        routes.into_iter().filter_map(|r| find(r).ok()).map(|i| RouteEntry::decode(&all[i])).collect()
    }

    /// The frames that `filter` may want, in the segment's order, with every loss.
    ///
    /// # Errors
    /// When a route's postings are damaged or cannot be read: walk the segment instead.
    pub(crate) fn postings(&self, filter: &Filter) -> Result<Vec<Posting>, IndexError> {
        let mut postings = Vec::new();
        for route in self.wanted(filter) {
            let loss = route.is_loss;
            if loss || filter.wants_times(route.event_time_ms.0, route.event_time_ms.1) {
                self.read_postings(&route, |p| {
                    let kind = 1u64.checked_shl(p.kind).unwrap_or(0);
                    if loss
                        || (filter.kinds.bits() & kind != 0
                            && filter.wants_times(p.event_time_ms.0, p.event_time_ms.1))
                    {
                        postings.push(p);
                    }
                })?;
            }
        }
        postings.sort_unstable_by_key(|p| p.position);
        Ok(postings)
    }

    fn read_postings(&self, route: &RouteEntry, mut each: impl FnMut(Posting)) -> Result<(), IndexError> {
        let mut bytes = vec![0; route.count as usize * POSTING_BYTES];
        let at = self.postings_at + u64::from(route.first) * POSTING_BYTES as u64;
        self.file.read_exact_at(&mut bytes, at).map_err(IndexError::Io)?;
        if crc32c(0, &bytes) != route.crc {
            return Err(IndexError::Damaged("checksum mismatch of a route's postings"));
        }
        let base = route.event_time_ms.0;
        for b in bytes.as_chunks::<POSTING_BYTES>().0 {
            let greatest = match u32_at(b, 20) {
                u32::MAX => i64::MAX,
                s => base.saturating_add(i64::from(s) * 1000),
            };
            each(Posting {
                position: u64::from(u32_at(b, 0)) * 8,
                seq: self.base_seq.plus(u32_at(b, 4)),
                records: u32_at(b, 8),
                kind: u32_at(b, 12),
                event_time_ms: (base.saturating_add(i64::from(u32_at(b, 16)) * 1000), greatest),
            });
        }
        Ok(())
    }
}

fn head_crc(head: &[u8; HEAD_BYTES], tables: &[u8]) -> u32 {
    crc32c(crc32c(crc32c(crc32c(0, &head[..12]), &[0; 4]), &head[16..]), tables)
}

fn u32_at(b: &[u8], i: usize) -> u32 {
    u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]])
}

fn u64_at(b: &[u8], i: usize) -> u64 {
    u64::from(u32_at(b, i)) | u64::from(u32_at(b, i + 4)) << 32
}

fn i64_at(b: &[u8], i: usize) -> i64 {
    i64::from_le_bytes(std::array::from_fn(|k| b[i + k]))
}
