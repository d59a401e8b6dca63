//! Counts what becomes of the events of one owner, with tokens that make a verdict hard to forget.
//!
//! [`Tally::receive`] counts events in and returns a [`Received`]. Each event leaves it by one verdict:
//! [`Received::reject`], [`Received::drop_by_rule`], or [`Received::hand_over`], whose [`HandedOver`]
//! the log's writer settles. What is left in either when it is dropped has lost its verdict and counts
//! as unaccounted.
//!
//! # Invariants
//! * Every event counted as received is counted once more, as exactly one other thing.
//! * A verdict on more events than are left is cut to what is left, and the excess is unaccounted.
//! * A tally that changed is in the inbox, or its collector has not read it yet: no change is missed.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use forebay_record::ProjectId;

use crate::{
    Counts, Kind, Reason, Rule,
    sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, leaves_out, lock, order},
};

/// Whose events a tally counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// Nobody's: no token could be read, because the payload was malformed or carried none.
    Nobody,
    /// Events kept under a token that belongs to no project yet.
    Unclaimed,
    /// A project's.
    Project(ProjectId),
}

impl Owner {
    /// The project, where it is one.
    #[must_use]
    pub fn project(self) -> Option<ProjectId> {
        match self {
            Owner::Project(id) => Some(id),
            Owner::Nobody | Owner::Unclaimed => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Nobody => f.write_str("none"),
            Owner::Unclaimed => f.write_str("unclaimed"),
            Owner::Project(id) => id.fmt(f),
        }
    }
}

/// The tallies that changed since they were last collected.
#[derive(Default)]
pub(crate) struct Inbox {
    changed: Mutex<Vec<Arc<Tally>>>,
}

impl Inbox {
    /// Takes what changed. Read each tally after [`Tally::unmark`], not before.
    pub(crate) fn take(&self) -> Vec<Arc<Tally>> {
        std::mem::take(&mut *lock(&self.changed))
    }
}

/// Reasons, then rules.
const REFUSALS: usize = Reason::ALL.len() + Rule::ALL.len();

/// The counters of one owner. Small, as there may be a million: the counts by reason exist only after
/// the first refusal.
pub struct Tally {
    owner: Owner,
    received: AtomicU64,
    received_bytes: AtomicU64,
    stored: AtomicU64,
    stored_bytes: AtomicU64,
    unaccounted: AtomicU64,
    refusals: OnceLock<Box<[AtomicU64; REFUSALS]>>,
    marked: AtomicBool,
    inbox: Arc<Inbox>,
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("owner", &self.owner).field("counts", &self.counts()).finish()
    }
}

impl Tally {
    pub(crate) fn new(owner: Owner, inbox: Arc<Inbox>) -> Arc<Tally> {
        Arc::new(Tally {
            owner,
            received: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
            unaccounted: AtomicU64::new(0),
            refusals: OnceLock::new(),
            marked: AtomicBool::new(false),
            inbox,
        })
    }

    /// Whose events these are.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Counts `events` of `bytes` in all as received. Each must leave the returned token by a verdict.
    pub fn receive(self: &Arc<Self>, events: u32, bytes: u64) -> Received {
        self.received.fetch_add(u64::from(events), Ordering::Relaxed);
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.mark();
        Received { tally: Arc::clone(self), left: events }
    }

    /// What it counts now. `received` is read last, so that no event appears settled before it came.
    #[must_use]
    pub fn counts(&self) -> Counts {
        // Acquire: pairs with the Release in `count`.
        let acquire = order("counts", Ordering::Acquire);
        let mut counts = Counts {
            stored: self.stored.load(acquire),
            stored_bytes: self.stored_bytes.load(acquire),
            unaccounted: self.unaccounted.load(acquire),
            ..Counts::default()
        };
        if let Some(refusals) = self.refusals.get() {
            let values = refusals.iter().map(|count| count.load(acquire));
            let kinds = Reason::ALL.iter().map(|&reason| Kind::Rejected(reason));
            for (kind, value) in kinds.chain(Rule::ALL.iter().map(|&rule| Kind::Dropped(rule))).zip(values) {
                counts.add(kind, value, 0);
            }
        }
        counts.received_bytes = self.received_bytes.load(acquire);
        counts.received = self.received.load(acquire);
        counts
    }

    /// Lets the next change put it in the inbox again.
    pub(crate) fn unmark(&self) {
        // Acquire: pairs with the Release in `mark`. A change whose mark came before this one is seen by
        // the counts read after it; one whose mark comes after finds the flag down and marks again.
        self.marked.swap(false, order("unmark", Ordering::AcqRel));
    }

    fn mark(self: &Arc<Self>) {
        // A read-modify-write and not a load: see `unmark`. It touches the cache line that the counters just
        // touched.
        if !self.marked.fetch_or(false, order("asking for the mark", Ordering::AcqRel)) {
            // Marked under the lock: who finds it marked, and then lets somebody collect, is collected.
            let mark = || self.marked.swap(true, order("mark", Ordering::AcqRel));
            let marked = leaves_out("marking under the lock").then(mark);
            let mut changed = lock(&self.inbox.changed);
            if !marked.unwrap_or_else(mark) {
                changed.push(Arc::clone(self));
            }
        }
    }

    fn count(self: &Arc<Self>, kind: Kind, events: u32) {
        if events == 0 {
            return;
        }
        let counter = match kind {
            Kind::Received => &self.received,
            Kind::Stored => &self.stored,
            Kind::Unaccounted => &self.unaccounted,
            Kind::Rejected(reason) => &self.refusals()[reason as usize],
            Kind::Dropped(rule) => &self.refusals()[Reason::ALL.len() + rule as usize],
        };
        // Release: pairs with the Acquire in `counts`.
        counter.fetch_add(u64::from(events), order("count", Ordering::Release));
        self.mark();
    }

    fn refusals(&self) -> &[AtomicU64; REFUSALS] {
        self.refusals.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))))
    }
}

/// Events counted as received and not yet judged.
#[must_use = "every event received needs a verdict; one without is counted as unaccounted"]
#[derive(Debug)]
pub struct Received {
    tally: Arc<Tally>,
    left: u32,
}

impl Received {
    /// How many still need a verdict.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Whose they are.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.tally.owner
    }

    /// Refuses `events` of them for `reason`.
    pub fn reject(&mut self, reason: Reason, events: u32) {
        let taken = self.take(events);
        self.tally.count(Kind::Rejected(reason), taken);
    }

    /// Drops `events` of them by `rule`.
    pub fn drop_by_rule(&mut self, rule: Rule, events: u32) {
        let taken = self.take(events);
        self.tally.count(Kind::Dropped(rule), taken);
    }

    /// Refuses all that are left for `reason`.
    pub fn reject_rest(mut self, reason: Reason) {
        self.reject(reason, self.left);
    }

    /// Gives `events` of them to the log; who holds the result settles them, from any thread.
    pub fn hand_over(&mut self, events: u32) -> HandedOver {
        let taken = self.take(events);
        HandedOver { tally: Arc::clone(&self.tally), left: AtomicU32::new(taken) }
    }

    fn take(&mut self, events: u32) -> u32 {
        let taken = events.min(self.left);
        self.tally.count(Kind::Unaccounted, events - taken);
        self.left -= taken;
        taken
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.tally.count(Kind::Unaccounted, self.left);
    }
}

/// Events given to the log: in flight until it says what became of them.
#[must_use = "events handed over need a verdict; one without is counted as unaccounted"]
#[derive(Debug)]
pub struct HandedOver {
    tally: Arc<Tally>,
    left: AtomicU32,
}

impl HandedOver {
    /// `events` of them are durable, as `bytes`.
    pub fn stored(&self, events: u32, bytes: u64) {
        let taken = self.take(events);
        if taken > 0 {
            self.tally.stored_bytes.fetch_add(bytes, Ordering::Release);
        }
        self.tally.count(Kind::Stored, taken);
    }

    /// `events` of them could not be stored.
    pub fn failed(&self, events: u32) {
        self.reject(Reason::StoreFailed, events);
    }

    /// `events` of them were given back unstored, for `reason`.
    pub fn reject(&self, reason: Reason, events: u32) {
        let taken = self.take(events);
        self.tally.count(Kind::Rejected(reason), taken);
    }

    /// How many are in flight.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    fn take(&self, events: u32) -> u32 {
        // Relaxed: the count guards no other memory.
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(events)))
            .unwrap_or_else(|unchanged| unchanged);
        let taken = events.min(before);
        self.tally.count(Kind::Unaccounted, events - taken);
        taken
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        let left = self.left.load(Ordering::Relaxed);
        self.tally.count(Kind::Unaccounted, left);
    }
}
