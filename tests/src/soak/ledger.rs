//! What was sent, what was answered, and who has read it: eight bytes an event, given back when it is over.
//!
//! # Invariants
//! * An id is in the ledger before its bytes are on the wire, and is sent once.
//! * Each reader sees an id at most once, all of them at the same position, under the owner it was sent to.
//! * Memory is bounded by what the store holds: a chunk of ids goes once retention took all that is in it and all
//!   readers are past it. An id of such a chunk must never be seen again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::line::{Place, UNCLAIMED};

/// Owners that can be kept apart: projects by index, and the unclaimed.
pub(crate) const OWNERS: usize = 16;
/// The owner of events whose token belongs to no project.
pub(crate) const NOBODY: usize = OWNERS - 1;

/// Ids in a chunk.
const CHUNK: usize = 4096;
/// Long enough for whatever a broken request left behind to be stored and read.
const DOUBT_ENDS: Duration = Duration::from_secs(600);

/// What is known of an event from its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was sent, and no whole answer came back.
    InDoubt = 1,
    /// It was answered with success.
    Acknowledged = 2,
    /// It was answered with something else.
    Refused = 3,
}

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// `log tail -f`, one process for the whole soak.
    Follower = 0,
    /// `log cat --from`, going on where it left off.
    Resumer = 1,
    /// `log cat` at the end.
    Last = 2,
}

/// An event: two bits of fate, three of readers, four of owner, six of lane, the rest its sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot(u64);

impl Slot {
    fn sent(owner: usize) -> Slot {
        Slot(Fate::InDoubt as u64 | ((owner as u64) << 5))
    }

    fn fate(self) -> Fate {
        match self.0 & 3 {
            2 => Fate::Acknowledged,
            3 => Fate::Refused,
            _ => Fate::InDoubt,
        }
    }

    fn with_fate(self, fate: Fate) -> Slot {
        Slot(self.0 & !3 | fate as u64)
    }

    fn seen_by(self, reader: Reader) -> bool {
        self.0 >> (2 + reader as u64) & 1 == 1
    }

    fn place(self) -> Option<Place> {
        let lane = u16::try_from(self.0 >> 9 & 63).ok()?;
        let lane = if lane == 63 { UNCLAIMED } else { lane };
        (self.0 >> 2 & 7 != 0).then_some(Place { lane, seq: self.0 >> 15 })
    }

    fn seen(self, reader: Reader, place: Place) -> Slot {
        let lane = u64::from(if place.lane == UNCLAIMED { 63 } else { place.lane });
        Slot(self.0 & 0x1ff | 1 << (2 + reader as u64) | lane << 9 | place.seq << 15)
    }

    fn owner(self) -> usize {
        usize::try_from(self.0 >> 5 & 15).expect("four bits fit")
    }
}

struct Chunk {
    slots: Vec<Slot>,
    full_at: Option<Instant>,
}

/// Sums since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    /// Events sent.
    pub sent: u64,
    /// Of those, answered with success.
    pub acknowledged: u64,
    /// Of those, answered otherwise.
    pub refused: u64,
    /// Seen by the follower, by owner.
    pub followed: [u64; OWNERS],
    /// Seen by the resumer.
    pub resumed: u64,
    /// Seen without an acknowledgement that arrived.
    pub unacknowledged: u64,
    /// Chunks given back.
    pub retired: u64,
}

#[derive(Default)]
struct Inner {
    chunks: BTreeMap<u64, Chunk>,
    next: u64,
    sums: Sums,
}

/// The ledger, shared by senders and readers.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Inner>);

/// Where each lane begins: what lies before it, retention took.
pub(crate) type Floors = BTreeMap<u16, u64>;

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sums so far.
    pub(crate) fn sums(&self) -> Sums {
        self.lock().sums
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.lock().chunks.len()).expect("a length fits") * 8 * CHUNK as u64
    }

    /// Takes ids for events about to be sent, one for each owner named; gives the first.
    pub(crate) fn take(&self, owners: &[usize]) -> u64 {
        let mut inner = self.lock();
        let first = inner.next;
        for &owner in owners {
            let id = inner.next;
            let chunk = inner
                .chunks
                .entry(id / CHUNK as u64)
                .or_insert_with(|| Chunk { slots: Vec::with_capacity(CHUNK), full_at: None });
            chunk.slots.push(Slot::sent(owner));
            if chunk.slots.len() == CHUNK {
                chunk.full_at = Some(Instant::now());
            }
            inner.next += 1;
            inner.sums.sent += 1;
        }
        first
    }

    /// Enters what became of `count` events from `first` on.
    pub(crate) fn settle(&self, first: u64, count: usize, fate: Fate) {
        let mut inner = self.lock();
        for id in first..first + count as u64 {
            // A chunk that was given back had no acknowledgement outstanding that could still matter: its
            // senders gave up long ago.
            if let Some(slot) = slot(&mut inner.chunks, id) {
                *slot = slot.with_fate(fate);
            }
        }
        match fate {
            Fate::Acknowledged => inner.sums.acknowledged += count as u64,
            Fate::Refused => inner.sums.refused += count as u64,
            Fate::InDoubt => {}
        }
    }

    /// Enters that a reader saw an event.
    ///
    /// # Errors
    /// If it may not have: never sent, seen before, elsewhere or under another owner.
    pub(crate) fn seen(&self, reader: Reader, place: Place, owner: usize, id: u64) -> Result<(), String> {
        let mut inner = self.lock();
        if id >= inner.next {
            return Err(format!("{reader:?} reads event {id} at {place}, which was never sent"));
        }
        let Some(slot) = slot(&mut inner.chunks, id) else {
            return Err(format!("{reader:?} reads event {id} at {place}: retention took it before"));
        };
        let before = *slot;
        if before.seen_by(reader) {
            return Err(format!(
                "{reader:?} reads event {id} twice: at {place}, last at {:?}",
                before.place()
            ));
        }
        if before.place().is_some_and(|other| other != place) {
            return Err(format!("{reader:?} reads event {id} at {place}; it was at {:?}", before.place()));
        }
        if before.owner() != owner {
            return Err(format!(
                "event {id} at {place} is owner {owner}'s; it was sent to {}",
                before.owner()
            ));
        }
        *slot = before.seen(reader, place);
        match reader {
            Reader::Follower => inner.sums.followed[owner] += 1,
            Reader::Resumer => inner.sums.resumed += 1,
            Reader::Last => inner.sums.unacknowledged += u64::from(before.fate() != Fate::Acknowledged),
        }
        Ok(())
    }

    /// The ids of an owner that are acknowledged now and of which `wanted` is true.
    pub(crate) fn acknowledged(&self, owner: usize, wanted: impl Fn(u64) -> bool) -> Vec<u64> {
        let inner = self.lock();
        let of = |(base, chunk): (&u64, &Chunk)| {
            let of_owner = |(i, slot): (usize, &Slot)| {
                let id = base * CHUNK as u64 + i as u64;
                (slot.owner() == owner && slot.fate() == Fate::Acknowledged && wanted(id)).then_some(id)
            };
            chunk.slots.iter().enumerate().filter_map(of_owner).collect::<Vec<_>>()
        };
        inner.chunks.iter().flat_map(of).collect()
    }

    /// The owner an id was sent to, if it is still in the ledger.
    pub(crate) fn owner(&self, id: u64) -> Option<usize> {
        slot(&mut self.lock().chunks, id).map(|slot| slot.owner())
    }

    /// Where the follower saw an event.
    pub(crate) fn place(&self, id: u64) -> Option<Place> {
        slot(&mut self.lock().chunks, id).and_then(|slot| slot.place())
    }

    /// Gives back the chunks that are over. What the resumer did not see, `excused` has to know of: else its chunk
    /// stays, to be complained of at the end.
    pub(crate) fn retire(&self, floors: &Floors, excused: impl Fn(Place) -> bool) {
        let mut inner = self.lock();
        let mut over = Vec::new();
        for (&base, chunk) in &inner.chunks {
            let Some(full_at) = chunk.full_at else { continue };
            let gone = |slot: &Slot| match slot.place() {
                Some(place) => {
                    slot.seen_by(Reader::Follower)
                        && (slot.seen_by(Reader::Resumer) || excused(place))
                        && floors.get(&place.lane).is_some_and(|floor| place.seq < *floor)
                }
                None => slot.fate() != Fate::Acknowledged && full_at.elapsed() > DOUBT_ENDS,
            };
            if chunk.slots.iter().all(gone) {
                over.push(base);
            }
        }
        for base in over {
            inner.chunks.remove(&base);
            inner.sums.retired += 1;
        }
    }

    /// Checks every event that is left, after [`Reader::Last`] saw all there is: what was acknowledged is there or
    /// was taken by retention after the follower saw it, or is one of the `missed` that a gap told the follower of;
    /// and what is there every reader saw.
    ///
    /// # Errors
    /// The first event that is not as it must be.
    pub(crate) fn close(
        &self,
        floors: &Floors,
        missed: u64,
        excused: impl Fn(Reader, Place) -> bool,
    ) -> Result<Closing, String> {
        let inner = self.lock();
        let mut closing = Closing::default();
        for (base, chunk) in &inner.chunks {
            for (i, slot) in chunk.slots.iter().enumerate() {
                let id = base * CHUNK as u64 + i as u64;
                let Some(place) = slot.place() else {
                    if slot.fate() != Fate::Acknowledged {
                        closing.absent += 1;
                    } else if closing.unseen < missed {
                        closing.unseen += 1;
                    } else {
                        return Err(format!(
                            "event {id} was acknowledged, and no reader ever saw it; the follower was told of {missed} \
                             that retention took before it came to them"
                        ));
                    }
                    continue;
                };
                let expired = floors.get(&place.lane).is_some_and(|floor| place.seq < *floor);
                if slot.seen_by(Reader::Last) == expired {
                    return Err(format!(
                        "event {id} at {place} ({:?}): readable is {}, taken by retention is {expired}",
                        slot.fate(),
                        slot.seen_by(Reader::Last)
                    ));
                }
                for reader in [Reader::Follower, Reader::Resumer] {
                    if !slot.seen_by(reader) && !excused(reader, place) {
                        return Err(format!(
                            "event {id} at {place}: {reader:?} never saw it, and no gap says so"
                        ));
                    }
                }
                closing.expired += u64::from(expired);
                closing.readable += u64::from(!expired);
            }
        }
        Ok(closing)
    }
}

/// The events that were left in the ledger at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Closing {
    /// In the log.
    pub readable: u64,
    /// Seen by readers, then taken by retention.
    pub expired: u64,
    /// Not acknowledged, and not there.
    pub absent: u64,
    /// Acknowledged, and taken by retention before any reader came to them, as a gap told the follower.
    pub unseen: u64,
}

fn slot(chunks: &mut BTreeMap<u64, Chunk>, id: u64) -> Option<&mut Slot> {
    let within = usize::try_from(id % CHUNK as u64).ok()?;
    chunks.get_mut(&(id / CHUNK as u64))?.slots.get_mut(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place = Place { lane: 2, seq: 7 };
    const ELSEWHERE: Place = Place { lane: UNCLAIMED, seq: 7 };

    /// One event of owner 3, acknowledged.
    fn one() -> Ledger {
        let ledger = Ledger::default();
        assert_eq!(ledger.take(&[3]), 0);
        ledger.settle(0, 1, Fate::Acknowledged);
        ledger
    }

    fn all_see(ledger: &Ledger, readers: &[Reader]) {
        readers.iter().for_each(|reader| ledger.seen(*reader, AT, 3, 0).expect("it may be seen"));
    }

    fn close(ledger: &Ledger, floor: u64) -> Result<Closing, String> {
        ledger.close(&Floors::from([(2, floor)]), 0, |_, _| false)
    }

    #[test]
    fn what_everyone_saw_is_as_it_must_be() {
        let ledger = one();
        all_see(&ledger, &[Reader::Follower, Reader::Resumer, Reader::Last]);
        assert_eq!(close(&ledger, 7).expect("it is there").readable, 1);
        assert_eq!((ledger.place(0), ledger.owner(0)), (Some(AT), Some(3)));
        assert_eq!(ledger.acknowledged(3, |_| true), [0]);
    }

    #[test]
    fn no_reader_may_see_twice_elsewhere_as_anothers_or_what_was_not_sent() {
        let ledger = one();
        all_see(&ledger, &[Reader::Follower]);
        for (reader, place, owner, id) in [
            (Reader::Follower, AT, 3, 0),
            (Reader::Resumer, ELSEWHERE, 3, 0),
            (Reader::Resumer, AT, 4, 0),
            (Reader::Resumer, AT, 3, 1),
        ] {
            assert!(ledger.seen(reader, place, owner, id).is_err(), "{reader:?} {place} {owner} {id}");
        }
    }

    #[test]
    fn what_was_acknowledged_may_be_missing_only_where_retention_was() {
        assert!(close(&one(), 0).is_err(), "nobody saw it");
        let ledger = one();
        all_see(&ledger, &[Reader::Follower, Reader::Resumer]);
        assert!(close(&ledger, 7).is_err(), "it is not readable at the end");
        assert_eq!(close(&ledger, 8).expect("retention took it").expired, 1);
        let ledger = one();
        all_see(&ledger, &[Reader::Follower, Reader::Last]);
        assert!(close(&ledger, 7).is_err(), "the resumer missed it");
        assert!(ledger.close(&Floors::from([(2, 7)]), 0, |reader, _| reader == Reader::Resumer).is_ok());
        let ledger = one();
        all_see(&ledger, &[Reader::Follower, Reader::Resumer, Reader::Last]);
        assert!(close(&ledger, 8).is_err(), "retention took it, and it is still read");
    }

    #[test]
    fn a_chunk_goes_when_all_in_it_is_over_and_never_comes_back() {
        let ledger = Ledger::default();
        ledger.take(&[0; CHUNK]);
        for id in 0..CHUNK as u64 {
            for reader in [Reader::Follower, Reader::Resumer] {
                ledger.seen(reader, Place { lane: 0, seq: id }, 0, id).expect("it may be seen");
            }
        }
        ledger.retire(&Floors::from([(0, CHUNK as u64 - 1)]), |_| false);
        assert_eq!(ledger.sums().retired, 0, "one event is still there");
        ledger.retire(&Floors::from([(0, CHUNK as u64)]), |_| false);
        assert_eq!((ledger.sums().retired, ledger.bytes()), (1, 0));
        assert!(ledger.seen(Reader::Last, Place { lane: 0, seq: 5 }, 0, 5).is_err());
    }
}
