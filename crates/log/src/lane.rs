//! A lane: one append stream with one writer thread.
//!
//! [`Lane`] is what cores, the writer, the preparer and housekeeping share; [`writer::Writer`] is the lane's
//! logic, driven by [`thread`] and, without threads, by tests.

pub(crate) mod ability;
mod backoff;
pub(crate) mod group;
#[cfg(test)]
mod proptests;
#[cfg(test)]
pub(crate) mod rig;
#[cfg(test)]
mod tests;
pub(crate) mod thread;
pub(crate) mod writer;

use crate::{
    append::Append,
    counters::{LaneCounters, LaneStats},
    segment::SegmentList,
};
use ability::Ability;
use crossbeam_channel::Sender;
use forebay_record::{LaneId, Lsn, Seq};
use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

/// What goes through a lane's queue.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are appends, and boxing them would allocate for each"
)]
pub(crate) enum Message {
    /// Store this.
    Append(Job),
    /// Seal the segment and go on in a new one, so that retention can remove the old one.
    Roll,
    /// Store what is queued, seal and end.
    Close,
}

impl Message {
    pub(crate) fn into_append(self) -> Option<Append> {
        match self {
            Message::Append(job) => Some(job.give_back()),
            Message::Roll | Message::Close => None,
        }
    }
}

/// An append on its way through a lane, and who waits for it.
#[derive(Debug)]
pub(crate) struct Job {
    /// `None` once given back.
    append: Option<Append>,
    /// Reserved in the lane's queue.
    pub(crate) bytes: usize,
    /// The seat it came from.
    pub(crate) seat: usize,
    pub(crate) ticket: u64,
    /// How far the writer has come with it.
    pub(crate) progress: Progress,
    told: bool,
}

/// What the writer has stored of an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) first_seq: Seq,
    pub(crate) last_lsn: Lsn,
    /// Events that are durable: the first so many of the append's.
    pub(crate) events: usize,
}

impl Job {
    pub(crate) fn new(append: Append, bytes: usize, seat: usize, ticket: u64) -> Job {
        Job { append: Some(append), bytes, seat, ticket, progress: Progress::default(), told: false }
    }

    /// What to store.
    pub(crate) fn append(&self) -> &Append {
        self.append.as_ref().expect("only `give_back`, which takes the job, empties it")
    }

    /// Is all of it durable?
    pub(crate) fn is_stored(&self) -> bool {
        self.progress.events == self.append().events.len()
    }

    fn give_back(mut self) -> Append {
        self.told = true;
        self.append.take().expect("only this method, which takes the job, empties it")
    }

    /// Tells the append's outcome how it ended; only the first call does.
    pub(crate) fn tell(&mut self) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let stored = self.progress.events;
        let Some(append) = &self.append else { return };
        let Some(outcome) = &append.outcome else { return };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        if stored > 0 {
            outcome.stored(count(stored), append.event_bytes(0..stored) as u64);
        }
        if stored < append.events.len() {
            outcome.failed(count(append.events.len() - stored));
        }
    }
}

impl Drop for Job {
    /// A job that is dropped on its way (a lane that ended) has failed, and its outcome hears so.
    fn drop(&mut self) {
        self.tell();
    }
}

/// What everyone who deals with a lane shares.
pub(crate) struct Lane {
    pub(crate) id: LaneId,
    /// The lane's queue.
    pub(crate) sender: Sender<Message>,
    /// Bytes waiting or being committed.
    queue_bytes: AtomicUsize,
    queue_bytes_max: usize,
    /// No more appends are taken in.
    closing: AtomicBool,
    pub(crate) ability: Ability,
    pub(crate) counters: LaneCounters,
    pub(crate) segments: SegmentList,
    /// The record after the last one whose outcome was told as stored.
    told: AtomicU64,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Lane {
    pub(crate) fn new(id: LaneId, sender: Sender<Message>, queue_bytes_max: usize) -> Lane {
        Lane {
            id,
            sender,
            queue_bytes: AtomicUsize::new(0),
            queue_bytes_max,
            closing: AtomicBool::new(false),
            ability: Ability::new(id),
            counters: LaneCounters::default(),
            segments: SegmentList::default(),
            told: AtomicU64::new(0),
        }
    }

    /// Every outcome of what is durable now has been told. To be called where the lane does so.
    pub(crate) fn set_told(&self) {
        // Release: pairs with the Acquire in `told`.
        self.told.store(self.counters.next_seq.now(), Ordering::Release);
    }

    pub(crate) fn told(&self) -> Seq {
        Seq(self.told.load(Ordering::Acquire))
    }

    /// Takes room for `bytes` in the queue. An append larger than the whole queue gets in when it is empty.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        // Relaxed: a count of its own; what is queued travels through the channel.
        let before = self.queue_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before + bytes <= self.queue_bytes_max;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.queue_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes no more appends and ends the lane's thread once what is queued is stored.
    pub(crate) fn close(&self) {
        // Release: pairs with the Acquire in `is_closing`.
        self.closing.store(true, Ordering::Release);
        // Wakes the thread; fails only when the thread has ended.
        let _ = self.sender.send(Message::Close);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn stats(&self) -> LaneStats {
        let mut stats = self.counters.stats(self.id);
        stats.queue_bytes = self.queue_bytes.load(Ordering::Relaxed) as u64;
        self.segments.fill(&mut stats);
        stats
    }
}
