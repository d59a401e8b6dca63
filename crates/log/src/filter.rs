//! Which records a reader wants, said coarsely enough to skip whole frames and segments.

use bytes::Bytes;
use forebay_record::{FrameHeader, FrameKind, Payload, ProjectId, crc32c};
use std::ops::RangeInclusive;

/// Kinds of frames that hold records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindSet(u8);

impl KindSet {
    /// Events and profile updates, session replays, lookup tables.
    pub const ALL: KindSet = KindSet(0b1110);
    /// Events and profile updates.
    pub const RECORDS: KindSet = KindSet(1 << FrameKind::Records as u8);
    /// Session replays.
    pub const REPLAYS: KindSet = KindSet(1 << FrameKind::Replay as u8);
    /// Lookup tables.
    pub const LOOKUPS: KindSet = KindSet(1 << FrameKind::Lookup as u8);

    /// These and those.
    #[must_use]
    pub const fn or(self, other: KindSet) -> KindSet {
        KindSet(self.0 | other.0)
    }

    /// One bit for each kind, by its number on disk.
    pub(crate) const fn bits(self) -> u64 {
        self.0 as u64
    }

    /// Is `kind` one of them?
    #[must_use]
    pub const fn contains(self, kind: FrameKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

/// Whose records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteKey {
    /// A project's.
    Project(ProjectId),
    /// Those that came unclaimed with this token.
    Token(Bytes),
}

impl RouteKey {
    /// Whose frame this is.
    pub(crate) fn matches(&self, header: &FrameHeader, token: impl FnOnce() -> Option<bool>) -> bool {
        match self {
            RouteKey::Project(project) => header.project == Some(*project),
            RouteKey::Token(_) => header.project.is_none() && token().unwrap_or(true),
        }
    }
}

/// What a token is looked up by: equal tokens have equal hashes, and a reader compares the token itself.
pub(crate) fn token_hash(token: &[u8]) -> u64 {
    u64::from(crc32c(0, token)) | u64::from(crc32c(0x9e37_79b9, token)) << 32
}

/// What a cursor delivers. Frames are delivered whole: a frame may hold records outside the time range
/// beside some inside it.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Of these kinds.
    pub kinds: KindSet,
    /// Of these routes; `None` is all.
    pub routes: Option<Vec<RouteKey>>,
    /// With a record whose event time, or receive time where it names none, lies in this range
    /// (milliseconds since the epoch).
    pub event_time_ms: Option<RangeInclusive<i64>>,
}

impl Default for Filter {
    fn default() -> Filter {
        Filter { kinds: KindSet::ALL, routes: None, event_time_ms: None }
    }
}

impl Filter {
    /// Everything.
    #[must_use]
    pub fn all() -> Filter {
        Filter::default()
    }

    /// Is anything left out, so that an index can help?
    pub(crate) fn selects(&self) -> bool {
        self.kinds != KindSet::ALL || self.routes.is_some() || self.event_time_ms.is_some()
    }

    /// Can the frame be wanted, as far as its header says?
    pub(crate) fn wants_header(&self, header: &FrameHeader) -> bool {
        self.kinds.contains(header.kind)
            && self.routes.as_ref().is_none_or(|routes| routes.iter().any(|r| r.matches(header, || None)))
    }

    /// Is it wanted, now that its payload is known?
    pub(crate) fn wants_payload(&self, header: &FrameHeader, payload: &Payload<'_>) -> bool {
        self.routes.as_ref().is_none_or(|routes| {
            routes.iter().any(|r| match r {
                RouteKey::Token(token) => header.project.is_none() && token[..] == *payload.token,
                RouteKey::Project(_) => r.matches(header, || None),
            })
        }) && self.event_time_ms.as_ref().is_none_or(|range| {
            payload.directory().any(|e| range.contains(&event_time_ms(e.time_ms, header.received_at_ms)))
        })
    }

    /// Can a frame or segment with these least and greatest event times be wanted?
    pub(crate) fn wants_times(&self, least: i64, greatest: i64) -> bool {
        self.event_time_ms.as_ref().is_none_or(|range| *range.start() <= greatest && least <= *range.end())
    }

    /// Is every frame or segment with these least and greatest event times wanted, as far as time goes?
    pub(crate) fn covers_times(&self, least: i64, greatest: i64) -> bool {
        self.event_time_ms.as_ref().is_none_or(|range| *range.start() <= least && greatest <= *range.end())
    }
}

/// The time an event counts as: its own, or when it was received.
pub(crate) fn event_time_ms(own: Option<i64>, received_at_ms: u64) -> i64 {
    own.unwrap_or_else(|| i64::try_from(received_at_ms).unwrap_or(i64::MAX))
}
