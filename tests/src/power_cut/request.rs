//! Requests whose every byte follows from a seed and an id: who reads an event can tell whether it is right.

use std::fmt::Write;

use bytes::Bytes;
use forebay_log::{Append, lane_of};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId};

use super::ledger::SENDERS;
use crate::Random;

/// Lanes for claimed events.
pub const LANES: u16 = 2;
/// Ids from here on are those of requests sent after a power cut.
pub const PROBES: u64 = 1 << 40;

/// A request for the log.
pub struct Request {
    /// Its id.
    pub id: u64,
    /// The lane it goes to.
    pub lane: LaneId,
    /// Its events, in order.
    pub events: Vec<String>,
    project: Option<ProjectId>,
    /// It says that it is for another lane than its project's: the log refuses it.
    malformed: bool,
}

impl Request {
    /// The request of that id.
    pub fn derive(seed: u64, id: u64) -> Request {
        let mut random = Random::of(seed, id);
        let project = random.below(8);
        let count = 1 + random.below(4);
        let events = (0..count).map(|i| event(&mut random, id, i)).collect();
        let malformed = id < PROBES && random.chance(1, 40);
        Request::new(id, project, events, malformed)
    }

    /// A small request for a lane: 0 and up are projects', [`LANES`] is the unclaimed one.
    pub fn probe(seed: u64, number: u64, lane: u16) -> Request {
        // Probes come from one sender, and so have every second id.
        let id = PROBES + number * SENDERS;
        let project =
            (0..).find(|&project| lane_of_project(project) == lane_at(lane)).expect("every lane has some");
        let mut random = Random::of(seed, id);
        Request::new(id, project, vec![event(&mut random, id, 0)], false)
    }

    /// A request of one event for the first lane, whose group takes `bytes` on disk.
    pub fn of_bytes(bytes: usize) -> Request {
        let events = vec!["x".repeat(super::cost::event_bytes(bytes))];
        Request { lane: LaneId(0), ..Request::new(0, 1, events, false) }
    }

    fn new(id: u64, project: u64, events: Vec<String>, malformed: bool) -> Request {
        Request { id, lane: lane_of_project(project), events, project: ProjectId::new(project), malformed }
    }

    /// What is handed to the log.
    pub fn append(&self) -> Append {
        let mut offset = 0;
        let entries = self.events.iter().map(|event| {
            let len = u32::try_from(event.len()).expect("events are small");
            let entry = DirectoryEntry { offset, len, ..DirectoryEntry::default() };
            offset += len;
            entry
        });
        let events = entries.collect();
        Append {
            kind: FrameKind::Records,
            endpoint: Endpoint::Track,
            // Unclaimed appends are for the unclaimed lane only, and claimed ones never.
            project: if self.malformed { opposite(self.project) } else { self.project },
            token: Bytes::from_static(b"power-cut"),
            meta: Bytes::new(),
            received_at_ms: crate::now_ms(),
            client_ip: None,
            text: Bytes::from(self.events.concat()),
            events,
            outcome: None,
        }
    }

    /// Will the log refuse it?
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Bytes of its events.
    pub fn bytes(&self) -> u64 {
        self.events.iter().map(|event| event.len() as u64).sum()
    }
}

fn opposite(project: Option<ProjectId>) -> Option<ProjectId> {
    if project.is_some() { None } else { ProjectId::new(1) }
}

/// Project 0 stands for "unclaimed".
fn lane_of_project(project: u64) -> LaneId {
    ProjectId::new(project).map_or(LaneId::UNCLAIMED, |project| lane_of(project, LANES))
}

fn lane_at(lane: u16) -> LaneId {
    if lane < LANES { LaneId(lane) } else { LaneId::UNCLAIMED }
}

/// Mostly small, sometimes of many pages, now and then larger than the smallest segment.
fn event(random: &mut Random, id: u64, number: u64) -> String {
    let pad = match random.below(100) {
        0..70 => random.below(600),
        70..90 => random.below(6 << 10),
        90..99 => random.below(24 << 10),
        _ => (64 << 10) + random.below(20 << 10),
    };
    let mut text = format!(r#"{{"$insert_id":"{id}.{number}","pad":""#);
    while (text.len() as u64) < pad {
        let _ = write!(text, "{:016x}", random.next());
    }
    text.push_str("\"}");
    text
}

/// The id in an event's bytes.
pub fn id_of(event: &[u8]) -> Option<u64> {
    let rest = event.strip_prefix(br#"{"$insert_id":""#)?;
    let digits = rest.split(|byte| *byte == b'.').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_a_seed_give_the_same_request_every_time() {
        for id in 0..200 {
            let (one, other) = (Request::derive(7, id), Request::derive(7, id));
            assert_eq!((&one.events, one.lane), (&other.events, other.lane));
            assert_ne!(one.events, Request::derive(8, id).events);
            assert!(one.events.iter().all(|event| id_of(event.as_bytes()) == Some(id)));
        }
        let lanes: Vec<_> = (0..=LANES).map(|lane| Request::probe(7, 0, lane).lane).collect();
        assert_eq!(lanes, [LaneId(0), LaneId(1), LaneId::UNCLAIMED]);
    }
}
