//! What is handed to the log: one request's records for one project.

use crate::error::Refusal;
use bytes::Bytes;
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, Payload, ProjectId};
use std::{fmt, net::IpAddr, ops::Range, sync::Arc};

/// Records of one kind, from one request, for one project, to be stored as a whole.
#[derive(Clone)]
pub struct Append {
    /// [`FrameKind::Records`], [`FrameKind::Replay`] or [`FrameKind::Lookup`].
    pub kind: FrameKind,
    /// Where the request came in.
    pub endpoint: Endpoint,
    /// Whose; `None` for the unclaimed lane.
    pub project: Option<ProjectId>,
    /// The token that routed it, escapes resolved.
    pub token: Bytes,
    /// Empty, or a replay's query string.
    pub meta: Bytes,
    /// The server's clock when the request had been read.
    pub received_at_ms: u64,
    /// The client's address, where it may be kept.
    pub client_ip: Option<IpAddr>,
    /// What the events' offsets point into. Only the events themselves are stored.
    pub text: Bytes,
    /// The events, in order.
    pub events: Vec<DirectoryEntry>,
    /// Told how it ended.
    pub outcome: Option<Arc<dyn Outcome>>,
}

/// Is told how an append ended: each of its events once, as stored or as failed.
///
/// Called by the lane's writer thread, before the request that waits is woken: it must be quick and must
/// not block.
pub trait Outcome: Send + Sync {
    /// So many events are durable, in so many bytes of the senders' own.
    fn stored(&self, events: u32, bytes: u64);
    /// So many events could not be stored.
    fn failed(&self, events: u32);
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append")
            .field("kind", &self.kind)
            .field("endpoint", &self.endpoint)
            .field("project", &self.project)
            .field("events", &self.events.len())
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl Append {
    /// Checks what the writer relies on and returns the bytes that the append takes in the log.
    pub(crate) fn check(&self, lane: LaneId) -> Result<usize, Refusal> {
        if !matches!(self.kind, FrameKind::Records | FrameKind::Replay | FrameKind::Lookup) {
            return Err(Refusal::Malformed("a kind that only the log itself writes"));
        }
        if self.events.is_empty() {
            return Err(Refusal::Malformed("no records"));
        }
        if self.project.is_none() != (lane == LaneId::UNCLAIMED) {
            return Err(Refusal::Malformed("the unclaimed lane is for appends without a project, only"));
        }
        if u16::try_from(self.token.len()).is_err() {
            return Err(Refusal::Malformed("a token of more than 65535 bytes"));
        }
        let mut event_bytes = 0;
        for event in &self.events {
            // Two u32 never overflow a usize here: the crate is for 64-bit machines.
            if event.offset as usize + event.len as usize > self.text.len() {
                return Err(Refusal::Malformed("an event that reaches past its text"));
            }
            event_bytes += event.len as usize;
        }
        let payload = self.payload_bytes(self.events.len(), event_bytes);
        // Room for the split's own headers is no concern: a split part is far below the limit.
        if payload > APPEND_BYTES_MAX {
            return Err(Refusal::Malformed("more than 512 MiB in one append"));
        }
        Ok(forebay_record::frame_bytes(payload))
    }

    /// Bytes of a payload with so many of the append's events.
    pub(crate) fn payload_bytes(&self, events: usize, event_bytes: usize) -> usize {
        Payload::bytes(self.token.len(), self.meta.len(), events, event_bytes)
    }

    /// Bytes of the events in `range`, as sent.
    pub(crate) fn event_bytes(&self, range: Range<usize>) -> usize {
        self.events[range].iter().map(|e| e.len as usize).sum()
    }
}

/// Lengths in a frame are 32-bit; this stays far from that.
const APPEND_BYTES_MAX: usize = 512 << 20;

/// The lane of a project's records: the same for ever, as long as the number of lanes is.
///
/// # Panics
/// If there are no lanes.
#[must_use]
pub fn lane_of(project: ProjectId, lanes: u16) -> LaneId {
    assert!(lanes > 0, "a log has at least one lane");
    // The finaliser of SplitMix64: every bit of the id moves every bit of the result.
    let mut x = project.as_u64().wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    let lane = (u128::from(x) * u128::from(lanes)) >> 64;
    LaneId(u16::try_from(lane).expect("below `lanes`, a u16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_spread_evenly_over_lanes_and_stay_where_they_are() {
        let mut counts = [0; 7];
        for id in 1..=70_000 {
            let project = ProjectId::new(id).unwrap();
            counts[usize::from(lane_of(project, 7).0)] += 1;
        }
        assert!(counts.iter().all(|c| (9_500..10_500).contains(c)), "{counts:?}");
        // Written down: a change here would move every project of an existing store.
        let lanes: Vec<_> = (1..=8).map(|id| lane_of(ProjectId::new(id).unwrap(), 4).0).collect();
        assert_eq!(lanes, [2, 2, 0, 1, 1, 2, 1, 2]);
    }
}
