//! How a lane's writer tells a core that its appends are durable: verdicts by ticket, and a bell.
//!
//! A core numbers what it hands to a lane: tickets 0, 1, 2, … The lane resolves them in that order. Each
//! (core, lane) pair has [`Verdicts`], a ring written by the lane and read by the core; each core has one
//! [`Bell`], rung once after a commit however many tickets it resolved.
//!
//! # Invariants
//! * A verdict is written before its ticket counts as resolved, and not overwritten before the core has
//!   read it: a core never has more tickets open than the ring has slots.
//! * After a ring of the bell, the core's pump runs and sees every ticket resolved before the ring.
//!
//! Checked under loom: `RUSTFLAGS="--cfg loom" cargo test -p forebay-log --release --lib loom`.

use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, leaves_out, order};
use std::{sync::PoisonError, task::Waker};

/// What became of one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is durable.
    Stored {
        /// The sequence of its first record.
        first_seq: u64,
        /// Its last frame; never 0.
        last_lsn: u64,
    },
    /// It could not be stored.
    Failed,
}

/// A ring of verdicts, one writer and one reader.
#[derive(Debug)]
pub(crate) struct Verdicts {
    slots: Box<[Slot]>,
    /// Tickets below this are resolved.
    resolved: AtomicU64,
    /// No further ticket will be resolved: what is open has failed.
    closed: AtomicBool,
}

#[derive(Debug)]
struct Slot {
    first_seq: AtomicU64,
    /// 0: failed.
    last_lsn: AtomicU64,
}

impl Verdicts {
    /// A ring of at least `slots` slots.
    #[must_use]
    pub(crate) fn new(slots: usize) -> Verdicts {
        let slots = slots.next_power_of_two();
        Verdicts {
            slots: (0..slots)
                .map(|_| Slot { first_seq: AtomicU64::new(0), last_lsn: AtomicU64::new(0) })
                .collect(),
            resolved: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// How many tickets may be open at once.
    #[must_use]
    pub(crate) fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    fn slot(&self, ticket: u64) -> &Slot {
        let mask = self.slots.len() - 1;
        // The ring's length is a power of two, and only the low bits matter.
        #[expect(clippy::cast_possible_truncation, reason = "masked to the ring's length")]
        &self.slots[ticket as usize & mask]
    }

    /// The lane: writes the verdict on `ticket`, which the core sees after [`Verdicts::publish`].
    pub(crate) fn write(&self, ticket: u64, verdict: Verdict) {
        let (first_seq, last_lsn) = match verdict {
            Verdict::Stored { first_seq, last_lsn } => (first_seq, last_lsn),
            Verdict::Failed => (0, 0),
        };
        let slot = self.slot(ticket);
        // Relaxed: ordered by the Release in `publish`.
        slot.first_seq.store(first_seq, Ordering::Relaxed);
        slot.last_lsn.store(last_lsn, Ordering::Relaxed);
    }

    /// The lane: all tickets below `resolved` have their verdict.
    pub(crate) fn publish(&self, resolved: u64) {
        // Release: pairs with the Acquire in `resolved`, so that the core sees the verdicts.
        self.resolved.store(resolved, order("publish", Ordering::Release));
    }

    /// The lane: it is gone.
    pub(crate) fn close(&self) {
        // Release: pairs with the Acquire in `is_closed`, so that the core sees what was resolved last.
        self.closed.store(true, order("close", Ordering::Release));
    }

    /// The core: tickets below this are resolved.
    #[must_use]
    pub(crate) fn resolved(&self) -> u64 {
        // Acquire: pairs with the Release in `publish`.
        self.resolved.load(order("resolved", Ordering::Acquire))
    }

    /// The core: is the lane gone? Ask before [`Verdicts::resolved`]: what that says is then final.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.closed.load(order("is closed", Ordering::Acquire))
    }

    /// The core: the verdict on a ticket below [`Verdicts::resolved`].
    #[must_use]
    pub(crate) fn read(&self, ticket: u64) -> Verdict {
        let slot = self.slot(ticket);
        // Relaxed: ordered by the Acquire in `resolved`.
        let first_seq = slot.first_seq.load(Ordering::Relaxed);
        match slot.last_lsn.load(Ordering::Relaxed) {
            0 => Verdict::Failed,
            last_lsn => Verdict::Stored { first_seq, last_lsn },
        }
    }
}

/// Wakes one core's pump, from any lane.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    /// A lane: something was resolved.
    pub(crate) fn ring(&self) {
        // Release: pairs with the Acquire in `attend`: the pump sees what was resolved before. If it was
        // rung already, the pump has yet to look and will see this too.
        if self.rung.swap(true, order("ring", Ordering::AcqRel)) {
            return;
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The pump, polled with this waker: looks once for every time it was rung, and is woken at the next.
    pub(crate) fn attend(&self, waker: &Waker, mut look: impl FnMut()) {
        // Listening comes before asking: a ring in between finds the waker, or is found here. One that finds
        // the waker wakes it, and so comes back here, where it is listened for again.
        // AcqRel: pairs with `ring`, both ways.
        let ask = || self.rung.swap(false, order("attend", Ordering::AcqRel));
        let asked = leaves_out("asking after listening").then(ask);
        self.listen(waker);
        if asked.unwrap_or_else(ask) {
            look();
        }
    }

    fn listen(&self, waker: &Waker) {
        let mut held = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|held| !held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
