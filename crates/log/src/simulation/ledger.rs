//! What was sent, what was acknowledged, and what readers have been shown: kept outside of the simulated
//! machine, and never asked by it.
//!
//! Every event says which lane and how many events before it there were, so that one that is read is known at
//! once, or known to be invented.

use super::reading::Reading;
use crate::{Gap, GapReason};
use forebay_record::{LaneId, Lsn};
use std::sync::Arc;

/// What is known of one lane.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) lane: LaneId,
    /// Every event, in the order in which they were handed over.
    pub(super) sent: Vec<Arc<str>>,
    pub(super) acked: Vec<Acked>,
    /// By sequence: the event that a reader was shown there.
    shown: Vec<Option<u32>>,
    /// May its oldest segments go?
    retention: bool,
}

/// An acknowledged event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acked {
    seq: u64,
    event: u32,
    /// Of the frame that holds it, or of a later one of the same append.
    pub(super) lsn: Lsn,
}

/// What a check has to excuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Excuse {
    /// The disk broke its word: records may be in gaps that say so, and what nothing on the disk proves any more
    /// beyond this frame may be gone.
    pub(super) damaged_past: Option<Lsn>,
}

impl Ledger {
    pub(super) fn new(lane: LaneId, retention: bool) -> Ledger {
        Ledger { lane, sent: Vec::new(), acked: Vec::new(), shown: Vec::new(), retention }
    }

    /// The next event, about so long: sent from now on.
    pub(super) fn send(&mut self, len: usize) -> Arc<str> {
        const FILL: &str = "the quick brown fox jumps over the lazy dog; ";
        let n = self.sent.len();
        let mut event = format!("{}/{n}:", self.lane.0);
        while event.len() < len {
            let from = n % FILL.len();
            event.push_str(&FILL[from..]);
        }
        event.truncate(len.max(12));
        event.push('.');
        let event: Arc<str> = event.into();
        self.sent.push(Arc::clone(&event));
        event
    }

    /// So many events from `first` on were acknowledged at `seq`.
    pub(super) fn ack(&mut self, seq: u64, first: usize, count: usize, lsn: Lsn) {
        let event = |i: usize| u32::try_from(first + i).expect("few events");
        self.acked.extend((0..count).map(|i| Acked { seq: seq + i as u64, event: event(i), lsn }));
    }

    /// Which event these bytes are.
    ///
    /// # Errors
    /// When nobody ever sent them.
    pub(super) fn event_of(&self, bytes: &[u8]) -> Result<u32, String> {
        let number = || -> Option<u32> {
            let text = std::str::from_utf8(bytes).ok()?;
            let (lane, rest) = text.split_once('/')?;
            let (number, _) = rest.split_once(':')?;
            (lane.parse() == Ok(self.lane.0)).then_some(number.parse().ok()?)
        };
        let there = number().filter(|n| self.sent.get(*n as usize).is_some_and(|s| s.as_bytes() == bytes));
        there.ok_or_else(|| {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            format!("lane {}: an event that nobody sent, or not like this: {start:?}", self.lane)
        })
    }

    /// A reader saw this; it agrees with what readers saw before.
    pub(super) fn show(&mut self, reading: &Reading) -> Result<(), String> {
        for &(seq, event) in &reading.events {
            let at = usize::try_from(seq).map_err(|e| e.to_string())?;
            if self.shown.len() <= at {
                self.shown.resize(at + 1, None);
            }
            match self.shown[at].replace(event) {
                Some(before) if before != event => {
                    return Err(format!(
                        "lane {}: record {seq} was event {before} to a reader, and now is event {event}",
                        self.lane
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All of the lane was read, from its start, after a recovery: acked ⊆ readable ⊆ sent, in order, each
    /// once, and what readers have seen is still there.
    pub(super) fn check(&mut self, all: &Reading, excuse: Excuse) -> Result<(), String> {
        self.in_order(all)?;
        self.gaps(all, excuse)?;
        let first = all.first();
        let lane = self.lane;
        let mut events = all.events.iter().peekable();
        let mut gone = Vec::new();
        for (i, acked) in self.acked.iter().enumerate() {
            if acked.seq < first {
                continue;
            }
            while events.next_if(|(seq, _)| *seq < acked.seq).is_some() {}
            let found = events.peek().filter(|(seq, _)| *seq == acked.seq).map(|(_, event)| *event);
            if found == Some(acked.event) || excuse.damaged_past.is_some() && all.is_gap(acked.seq) {
                continue;
            }
            if excuse.damaged_past.is_some_and(|proven| acked.lsn > proven) {
                gone.push(i);
                continue;
            }
            return Err(format!(
                "lane {lane}: event {} was acknowledged as record {} (frame {}), where a reader finds {found:?}",
                acked.event, acked.seq, acked.lsn.0
            ));
        }
        // Nothing on the disk proves them, and the disk had lost them: the blind spot. Their numbers are free.
        let from = gone.first().map(|&i| self.acked[i].seq);
        for i in gone.into_iter().rev() {
            self.acked.remove(i);
        }
        self.still_shown(all, from, excuse)?;
        self.show(all)
    }

    /// Sequences are dense, events in the order in which they were sent, none twice.
    fn in_order(&self, all: &Reading) -> Result<(), String> {
        let mut before: Option<u32> = None;
        let mut next = 0;
        let mut gaps = all.gaps.iter().peekable();
        for &(seq, event) in &all.events {
            while let Some(gap) = gaps.next_if(|gap| gap.from.0 == next) {
                next = gap.to.0;
            }
            if seq != next {
                return Err(format!("lane {}: record {seq} where record {next} belongs", self.lane));
            }
            if before.is_some_and(|before| event <= before) {
                return Err(format!(
                    "lane {}: event {event} at record {seq}, behind event {before:?}: twice, or out of order",
                    self.lane
                ));
            }
            before = Some(event);
            next += 1;
        }
        Ok(())
    }

    /// On an honest disk the only gap is what retention took.
    fn gaps(&self, all: &Reading, excuse: Excuse) -> Result<(), String> {
        let allowed = |gap: &Gap| {
            excuse.damaged_past.is_some()
                || self.retention && gap.reason == GapReason::Retention && gap.from.0 == 0
        };
        match all.gaps.iter().find(|gap| !allowed(gap)) {
            Some(gap) => Err(format!("a gap on a disk that damaged nothing: {gap}")),
            None => Ok(()),
        }
    }

    fn still_shown(&mut self, all: &Reading, gone: Option<u64>, excuse: Excuse) -> Result<(), String> {
        let first = all.first();
        let end = all.end();
        let mut events = all.events.iter().peekable();
        for (seq, shown) in (0u64..).zip(&mut self.shown) {
            let Some(event) = *shown else { continue };
            while events.next_if(|(at, _)| *at < seq).is_some() {}
            let found = events.peek().filter(|(at, _)| *at == seq).map(|(_, event)| *event);
            if seq < first || found == Some(event) {
                continue;
            }
            if excuse.damaged_past.is_some() && (all.is_gap(seq) || gone.is_some_and(|gone| seq >= gone)) {
                *shown = None;
                continue;
            }
            if excuse.damaged_past.is_some() && found.is_none() && seq >= end {
                // Not acknowledged yet, shown out of the cache, and lost by the disk.
                *shown = None;
                continue;
            }
            return Err(format!(
                "lane {}: a reader was shown event {event} as record {seq}; now there is {found:?} (of {first}..{end})",
                self.lane
            ));
        }
        Ok(())
    }
}
