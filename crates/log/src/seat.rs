//! A core's place at the lanes: what lanes and one core share.

use crate::handoff::{Bell, Verdicts};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// What lanes and one core share.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Named in every append, so that the lane finds the seat again.
    pub(crate) index: usize,
    /// Rung once per commit that resolved something of this core.
    pub(crate) bell: Bell,
    /// By lane number; the unclaimed lane's last.
    pub(crate) verdicts: Box<[Verdicts]>,
    /// Tickets handed out by the last owner, by lane.
    pub(crate) issued: Box<[AtomicU64]>,
    /// A core has it.
    pub(crate) taken: AtomicBool,
}

impl Seat {
    /// Nobody has it and nothing of its last owner is still on its way.
    fn is_free(&self) -> bool {
        // Acquire: pairs with the Release when the owner left.
        !self.taken.load(Ordering::Acquire)
            && self
                .verdicts
                .iter()
                .zip(&self.issued)
                .all(|(v, issued)| v.resolved() >= issued.load(Ordering::Acquire))
    }
}

/// All seats ever given out; a free one is given out again.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    seats: Mutex<Vec<Arc<Seat>>>,
}

impl Seats {
    /// A free seat at `lanes` lanes, with room for `slots` open tickets at each.
    pub(crate) fn take(&self, lanes: usize, slots: usize) -> Arc<Seat> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(free) = seats.iter().find(|seat| seat.is_free()) {
            free.taken.store(true, Ordering::Release);
            return Arc::clone(free);
        }
        let seat = Arc::new(Seat {
            index: seats.len(),
            bell: Bell::default(),
            verdicts: (0..lanes).map(|_| Verdicts::new(slots)).collect(),
            issued: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
            taken: AtomicBool::new(true),
        });
        seats.push(Arc::clone(&seat));
        seat
    }

    /// Brings a lane's own copy of the list up to date.
    pub(crate) fn refresh(&self, copy: &mut Vec<Arc<Seat>>) {
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        copy.extend_from_slice(&seats[copy.len()..]);
    }

    /// Calls `f` with each.
    pub(crate) fn each(&self, f: impl FnMut(&Arc<Seat>)) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(f);
    }
}
