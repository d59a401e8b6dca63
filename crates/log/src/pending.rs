//! The waiting side of a commit: one submitter a core, one pending a request.
//!
//! All of it belongs to one core: no lock and no atomic write a request but the lane's queue. The only
//! things shared with lanes are the [`Verdicts`](crate::handoff::Verdicts) and the core's bell.
//!
//! # Invariants
//! * A pending resolves after the flush that covers its append, never before.
//! * Tickets of one core and lane are handed over and resolved in order.

use crate::{
    append::Append,
    error::{Refusal, Refused, StoreError},
    handoff::Verdict,
    lane::{Job, Message},
    log::Inner,
    seat::Seat,
};
use crossbeam_channel::TrySendError;
use forebay_record::{LaneId, Lsn, Seq};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

/// Hands appends to the lanes. One per core, made on that core's thread ([`crate::Log::submitter`]) and
/// used there only.
pub struct Submitter {
    core: Rc<Core>,
}

impl fmt::Debug for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter").field("core", &self.core.seat.index).finish_non_exhaustive()
    }
}

/// One core's side of the hand-over.
struct Core {
    log: Arc<Inner>,
    seat: Arc<Seat>,
    /// By lane number; the unclaimed lane's last.
    queues: Vec<RefCell<Waiters>>,
    /// Reused by `drain`.
    wakers: Cell<Vec<Waker>>,
}

/// The open tickets of one core in one lane, oldest first.
struct Waiters {
    lane: LaneId,
    /// The ticket of the front.
    front: u64,
    /// Tickets below this have been read from the ring.
    drained: u64,
    queue: VecDeque<Waiter>,
}

enum Waiter {
    Waiting(Option<Waker>),
    Done(Verdict),
    /// Its pending was dropped or has its answer.
    Gone,
}

impl Waiters {
    fn next_ticket(&self) -> u64 {
        self.front + self.queue.len() as u64
    }

    fn at(&mut self, ticket: u64) -> Option<&mut Waiter> {
        let index = usize::try_from(ticket.checked_sub(self.front)?).ok()?;
        self.queue.get_mut(index)
    }

    fn forget(&mut self, ticket: u64) {
        if let Some(waiter) = self.at(ticket) {
            *waiter = Waiter::Gone;
        }
        while self.front < self.drained && matches!(self.queue.front(), Some(Waiter::Gone)) {
            self.queue.pop_front();
            self.front += 1;
        }
    }
}

impl Submitter {
    pub(crate) fn new(log: Arc<Inner>, seat: Arc<Seat>) -> Submitter {
        let lanes = seat.verdicts.len();
        let queues = (0..lanes)
            .map(|i| {
                // A seat may have had an owner before: go on where its tickets ended.
                let front = seat.verdicts[i].resolved();
                let lane = log.lane_id_at(i);
                RefCell::new(Waiters { lane, front, drained: front, queue: VecDeque::new() })
            })
            .collect();
        Submitter { core: Rc::new(Core { log, seat, queues, wakers: Cell::default() }) }
    }

    /// Hands over an append; never blocks. Dropping the `Pending` loses nothing: the append goes on.
    ///
    /// # Errors
    /// Gives the append back when it cannot be taken in now.
    pub fn submit(&self, lane: LaneId, append: Append) -> Result<Pending, Refused> {
        let (queue, ticket) = self.core.submit(lane, append)?;
        Ok(Pending { core: Some(Rc::clone(&self.core)), queue, ticket })
    }

    /// Wakes this core's waiting requests, once per commit. Run it on the core's own runtime for as long
    /// as the submitter is used; it never ends by itself.
    pub fn pump(&self) -> impl Future<Output = ()> + 'static {
        let core = Rc::clone(&self.core);
        poll_fn(move |cx| {
            core.seat.bell.attend(cx.waker(), || core.drain_all());
            Poll::Pending
        })
    }
}

impl Core {
    fn submit(&self, id: LaneId, append: Append) -> Result<(usize, u64), Refused> {
        let refuse = |reason, append| Err(Refused { reason, append: Box::new(append) });
        let Some((queue, lane)) = self.log.lane(id) else {
            return refuse(Refusal::Malformed("no such lane"), append);
        };
        let bytes = match append.check(id) {
            Ok(bytes) => bytes,
            Err(reason) => return refuse(reason, append),
        };
        if lane.is_closing() {
            return refuse(Refusal::Closed, append);
        }
        if let Some(reason) = lane.ability.unable() {
            return refuse(Refusal::Unable(reason), append);
        }
        let verdicts = &self.seat.verdicts[queue];
        // A lane that is gone rings once: a ticket taken after that would wait for ever.
        if verdicts.is_closed() {
            return refuse(Refusal::Closed, append);
        }
        let ticket = {
            let mut waiters = self.queues[queue].borrow_mut();
            if waiters.next_ticket() - waiters.drained >= verdicts.capacity() {
                drop(waiters);
                self.drain(queue);
                waiters = self.queues[queue].borrow_mut();
                if waiters.next_ticket() - waiters.drained >= verdicts.capacity() {
                    return refuse(Refusal::Full, append);
                }
            }
            waiters.next_ticket()
        };
        if !lane.reserve(bytes) {
            return refuse(Refusal::Full, append);
        }
        let job = Job::new(append, bytes, self.seat.index, ticket);
        match lane.sender.try_send(Message::Append(job)) {
            Ok(()) => {
                self.queues[queue].borrow_mut().queue.push_back(Waiter::Waiting(None));
                Ok((queue, ticket))
            }
            Err(e) => {
                lane.release(bytes);
                let (reason, message) = match e {
                    TrySendError::Full(message) => (Refusal::Full, message),
                    TrySendError::Disconnected(message) => (Refusal::Closed, message),
                };
                refuse(reason, message.into_append().expect("the message just made holds an append"))
            }
        }
    }

    fn drain_all(&self) {
        for queue in 0..self.queues.len() {
            self.drain(queue);
        }
    }

    /// Reads the verdicts that have come in and wakes who waits for them.
    fn drain(&self, queue: usize) {
        let verdicts = &self.seat.verdicts[queue];
        let mut wakers = self.wakers.take();
        {
            let mut waiters = self.queues[queue].borrow_mut();
            let closed = verdicts.is_closed();
            let resolved = verdicts.resolved();
            let end = if closed { waiters.next_ticket() } else { resolved };
            for ticket in waiters.drained..end {
                let verdict = if ticket < resolved { verdicts.read(ticket) } else { Verdict::Failed };
                if let Some(waiter @ Waiter::Waiting(_)) = waiters.at(ticket)
                    && let Waiter::Waiting(Some(waker)) = std::mem::replace(waiter, Waiter::Done(verdict))
                {
                    wakers.push(waker);
                }
            }
            waiters.drained = waiters.drained.max(end);
            let front = waiters.front;
            if matches!(waiters.queue.front(), Some(Waiter::Gone)) {
                waiters.forget(front);
            }
        }
        // Outside the borrow: waking, or dropping a waker, may run code that comes back here.
        for waker in wakers.drain(..) {
            waker.wake();
        }
        self.wakers.set(wakers);
    }

    fn error(&self, queue: usize) -> StoreError {
        let lane = self.queues[queue].borrow().lane;
        let reason = self.log.lane(lane).and_then(|(_, lane)| lane.ability.last_reason());
        StoreError { lane, reason: reason.unwrap_or_else(|| Arc::from("the log was closed")) }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Release: pairs with the Acquire where seats are given out again.
        for (queue, issued) in self.queues.iter().zip(&self.seat.issued) {
            issued.store(queue.borrow().next_ticket(), Ordering::Release);
        }
        self.seat.taken.store(false, Ordering::Release);
    }
}

/// An append on its way to the disk. Dropping it loses nothing: the append goes on.
#[must_use = "an answer that says stored needs the outcome"]
pub struct Pending {
    /// `None` once it has given its answer.
    core: Option<Rc<Core>>,
    queue: usize,
    ticket: u64,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl Future for Pending {
    type Output = Result<Committed, StoreError>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (queue, ticket) = (self.queue, self.ticket);
        let core = self.core.as_ref().expect("a pending is not polled after it was ready");
        // Dropped at the end, outside every borrow: dropping a waker may run other code.
        let mut replaced = None;
        let mut waiting = |core: &Core| match core.queues[queue].borrow_mut().at(ticket) {
            Some(Waiter::Done(verdict)) => Some(*verdict),
            Some(Waiter::Waiting(held)) => {
                if held.as_ref().is_none_or(|held| !held.will_wake(cx.waker())) {
                    replaced = held.replace(cx.waker().clone());
                }
                None
            }
            // Only this pending's end makes it so.
            Some(Waiter::Gone) | None => unreachable!("a pending outlives its ticket"),
        };
        let mut verdict = waiting(core);
        if verdict.is_none() && core.seat.verdicts[queue].resolved() > ticket {
            core.drain(queue);
            verdict = waiting(core);
        }
        let Some(verdict) = verdict else { return Poll::Pending };
        let result = match verdict {
            Verdict::Stored { first_seq, last_lsn } => {
                let lane = core.queues[queue].borrow().lane;
                Ok(Committed { lane, first_seq: Seq(first_seq), last_lsn: Lsn(last_lsn) })
            }
            Verdict::Failed => Err(core.error(queue)),
        };
        if let Some(core) = self.core.take() {
            core.queues[queue].borrow_mut().forget(ticket);
        }
        Poll::Ready(result)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            // The waker it leaves behind is dropped outside the borrow: that may run other code.
            let waker = match core.queues[self.queue].borrow_mut().at(self.ticket) {
                Some(Waiter::Waiting(waker)) => waker.take(),
                _ => None,
            };
            core.queues[self.queue].borrow_mut().forget(self.ticket);
            drop(waker);
        }
    }
}

/// Proof that an append is durable. Only this crate makes one, after the covering flush returned `Ok`.
#[must_use = "the proof is what an answer of success is made from"]
#[derive(Debug, PartialEq, Eq)]
pub struct Committed {
    lane: LaneId,
    first_seq: Seq,
    last_lsn: Lsn,
}

impl Committed {
    /// The lane it is in.
    #[must_use]
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// The sequence of its first record.
    #[must_use]
    pub fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// The frame with its last record.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }
}
