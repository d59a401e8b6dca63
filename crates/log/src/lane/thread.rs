//! The thread around a lane's writer: takes what is queued, commits it, tells who waits.
//!
//! Natural batching: while one group is flushed the next one gathers in the queue, so groups grow with the
//! load. On a disk that flushes faster than a commit is worth the CPU, commits of a busy lane begin a little apart. An
//! idle lane sleeps; it wakes once, after the heartbeat interval. A lane whose
//! disk fails refuses what comes, without touching the disk, and asks the disk again by itself.

use super::{Job, Lane, Message, ability::Obstacle, backoff::Backoff, writer::Writer};
use crate::{
    fault::Explained,
    handoff::Verdict,
    seat::{Seat, Seats},
    telling::Telling,
};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// Commits are kept apart only after a group of at least this many appends: a few senders never wait for others.
const LINGER_WORTH: usize = 4;
/// How many appends make a group when the lane closes.
const CLOSING_GROUP: usize = 16;
/// Until a lane that could not be opened is tried again.
const REOPEN: Duration = Duration::from_millis(500);

/// What a lane's thread needs.
pub(crate) struct LaneThread {
    pub(crate) lane: Arc<Lane>,
    /// The lane's place in every seat.
    pub(crate) place: usize,
    pub(crate) receiver: Receiver<Message>,
    pub(crate) seats: Arc<Seats>,
    pub(crate) telling: Arc<Telling>,
    pub(crate) group_bytes_max: usize,
    pub(crate) linger: Duration,
    pub(crate) heartbeat: Duration,
}

/// Says that the lane is gone, however its thread ends.
struct Gone<'a>(&'a LaneThread);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lane.ability.set(Obstacle::Dead, &Arc::from("its writer panicked: restart the server"));
            // The jobs it had were dropped before this, and so told.
            let _telling = self.0.telling.tell();
            self.0.lane.set_told();
        }
        self.0.seats.each(|seat| {
            seat.verdicts[self.0.place].close();
            seat.bell.ring();
        });
    }
}

/// The last commit.
#[derive(Clone, Copy)]
struct Began {
    at: Instant,
    jobs: usize,
}

/// What one look into the queue brought.
enum Taken {
    Jobs,
    Idle,
    Roll,
    Close,
}

impl LaneThread {
    /// Opens the lane, trying again for as long as that fails, and runs it until it is closed.
    ///
    /// # Errors
    /// When the watermark could not be made durable at the end.
    pub(crate) fn run(self, mut open: impl FnMut() -> io::Result<Writer>) -> io::Result<()> {
        let gone = Gone(&self);
        let mut told = Told { seats: Vec::new(), resolved: Vec::new() };
        let mut jobs = Vec::new();
        let mut writer = loop {
            let error = match open() {
                Ok(writer) => break writer,
                Err(error) => error,
            };
            let reason: Arc<str> = Arc::from(format!("the lane cannot be opened: {}", Explained(&error)));
            self.lane.ability.set(Obstacle::Opening, &reason);
            if self.refuse_until(Instant::now() + REOPEN, &mut jobs, &mut told) {
                return Ok(());
            }
        };
        self.lane.ability.clear(Obstacle::Opening);
        let mut last = None;
        loop {
            if self.sit_out(&mut writer, &mut jobs, &mut told) {
                break;
            }
            match self.take(&mut jobs, &writer, last) {
                Taken::Jobs => {}
                Taken::Idle => {
                    writer.heartbeat();
                    continue;
                }
                Taken::Roll => {
                    if let Err(reason) = writer.roll() {
                        tracing::debug!(lane = %self.lane.id, %reason, "no roll for retention now");
                    }
                    continue;
                }
                Taken::Close => break,
            }
            last = Some(Began { at: Instant::now(), jobs: jobs.len() });
            self.commit(&mut writer, &mut jobs, &mut told);
            if self.lane.is_closing() {
                break;
            }
        }
        // What came in before the end is still stored.
        while let Ok(message) = self.receiver.try_recv() {
            if let Message::Append(job) = message {
                jobs.push(job);
            }
            if jobs.len() >= CLOSING_GROUP {
                self.commit(&mut writer, &mut jobs, &mut told);
            }
        }
        self.commit(&mut writer, &mut jobs, &mut told);
        let closed = writer.close();
        drop(gone);
        closed
    }

    /// While the disk fails: refuses what comes and asks the disk again, ever more seldom. Says whether the lane
    /// was closed meanwhile.
    fn sit_out(&self, writer: &mut Writer, jobs: &mut Vec<Job>, told: &mut Told) -> bool {
        if writer.failing().is_none() {
            return false;
        }
        let mut backoff = Backoff::default();
        while let Some(reason) = writer.failing() {
            self.lane.ability.set(Obstacle::Flush, reason);
            if self.refuse_until(Instant::now() + backoff.pause(), jobs, told) {
                return true;
            }
            if let Err(reason) = writer.probe() {
                tracing::debug!(lane = %self.lane.id, %reason, "the disk still fails");
            }
        }
        self.lane.ability.clear(Obstacle::Flush);
        false
    }

    /// Refuses what comes until then; true if the lane is to be closed.
    fn refuse_until(&self, until: Instant, jobs: &mut Vec<Job>, told: &mut Told) -> bool {
        while let Ok(message) = self.receiver.recv_deadline(until) {
            match message {
                Message::Append(job) => jobs.push(job),
                // Put off, not lost: retention asks again.
                Message::Roll => {}
                Message::Close => return true,
            }
            self.refuse(jobs, told);
        }
        false
    }

    fn refuse(&self, jobs: &mut Vec<Job>, told: &mut Told) {
        let events: usize = jobs.iter().map(|job| job.append().events.len()).sum();
        self.lane.counters.failed_events.add(events as u64);
        self.resolve(jobs, told);
    }

    /// Waits for something and takes all there is, up to one group.
    fn take(&self, jobs: &mut Vec<Job>, writer: &Writer, last: Option<Began>) -> Taken {
        let first = if writer.wants_heartbeat() {
            match self.receiver.recv_timeout(self.heartbeat) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => return Taken::Idle,
                Err(RecvTimeoutError::Disconnected) => return Taken::Close,
            }
        } else {
            match self.receiver.recv() {
                Ok(message) => message,
                Err(_) => return Taken::Close,
            }
        };
        let mut bytes = 0;
        let mut next = Some(first);
        let mut linger_until =
            last.filter(|last| last.jobs >= LINGER_WORTH).map(|last| last.at + self.linger);
        loop {
            match next {
                Some(Message::Append(job)) => {
                    bytes += job.bytes;
                    jobs.push(job);
                }
                Some(Message::Roll) if jobs.is_empty() => return Taken::Roll,
                // Put off, not lost: retention asks again.
                Some(Message::Roll) => {}
                Some(Message::Close) if jobs.is_empty() => return Taken::Close,
                // The lane is marked as closing: seen once these are stored.
                Some(Message::Close) => return Taken::Jobs,
                None => {
                    match linger_until.take().map(|until| until.saturating_duration_since(Instant::now())) {
                        Some(rest) if !rest.is_zero() => std::thread::sleep(rest),
                        _ => return Taken::Jobs,
                    }
                }
            }
            if bytes >= self.group_bytes_max {
                return Taken::Jobs;
            }
            next = self.receiver.try_recv().ok();
        }
    }

    fn commit(&self, writer: &mut Writer, jobs: &mut Vec<Job>, told: &mut Told) {
        if jobs.is_empty() {
            return;
        }
        if writer.failing().is_some() {
            return self.refuse(jobs, told);
        }
        if let Err(reason) = writer.commit(jobs) {
            self.lane.ability.note(&reason);
        }
        self.resolve(jobs, told);
        if !self.lane.is_closing()
            && let Err(reason) = writer.advance()
        {
            self.lane.ability.note(&reason);
        }
    }

    /// Tells everyone how the jobs ended: outcomes first, then each core, once.
    fn resolve(&self, jobs: &mut Vec<Job>, told: &mut Told) {
        let mut bytes = 0;
        let telling = self.telling.tell();
        for job in jobs.iter_mut() {
            job.tell();
            bytes += job.bytes;
            let seat = told.seat(&self.seats, job.seat);
            let verdict = if job.is_stored() {
                Verdict::Stored { first_seq: job.progress.first_seq.0, last_lsn: job.progress.last_lsn.0 }
            } else {
                Verdict::Failed
            };
            seat.verdicts[self.place].write(job.ticket, verdict);
            told.resolved[job.seat] = Some(job.ticket + 1);
        }
        self.lane.set_told();
        drop(telling);
        self.lane.release(bytes);
        for (seat, resolved) in told.seats.iter().zip(&mut told.resolved) {
            if let Some(resolved) = resolved.take() {
                seat.verdicts[self.place].publish(resolved);
                seat.bell.ring();
            }
        }
        jobs.clear();
    }
}

/// The lane's own list of seats, and what it has resolved of each in this batch.
struct Told {
    seats: Vec<Arc<Seat>>,
    resolved: Vec<Option<u64>>,
}

impl Told {
    fn seat(&mut self, seats: &Seats, index: usize) -> &Seat {
        if index >= self.seats.len() {
            seats.refresh(&mut self.seats);
            self.resolved.resize(self.seats.len(), None);
        }
        &self.seats[index]
    }
}
