//! Segments made ahead, so that a full disk shows here and never in a commit.
//!
//! Each lane has a [`Supply`] of prepared segments; one [`Preparer`] thread keeps two in each. Sizes double
//! from the configured least to the greatest, each when it is a quarter of what the lane has filled, so that a small store
//! stays small and what is made ahead of need is never more than half of what was needed so far, or two of the least. When
//! the disk runs full smaller ones are made, down to 1 MiB, and lanes that hold large ones give them up to lanes that have
//! none. When nothing can be made any more the lane says so, and the preparer tries again every half second.
//!
//! # Invariants
//! * A lane counts as unable only while it has no prepared segment and the last try to make one failed.
//! * Some space is left to others on the same disk: accounting, indexes, the operator.

use crate::{
    config::{Backend, SEGMENT_BYTES_FLOOR},
    disk::Disk,
    fault::{Explained, is_full},
    lane::{Lane, ability::Obstacle, writer::SegmentSource},
    segment::{Prepared, prepare},
};
use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Kept ready in each lane.
const READY: usize = 2;
/// A segment is at most such a part of what its lane has filled since it was opened, or as small as they get.
const PART: u64 = 4;
/// Left free for everything else that lives on the disk.
const RESERVE_BYTES: u64 = 2 << 20;
/// Until a failed try is repeated.
const RETRY: Duration = Duration::from_millis(500);
/// How long a writer waits for a segment that is being made.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sizes of a lane's segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Sizes {
    /// The smallest that is tried on a full disk.
    fn floor(self) -> u64 {
        SEGMENT_BYTES_FLOOR.min(self.least)
    }

    /// What is made next for a lane that has filled so much.
    fn after(self, filled: u64) -> u64 {
        let mut bytes = self.least;
        while bytes < self.most && (bytes * 2).min(self.most) <= filled / PART {
            bytes = (bytes * 2).min(self.most);
        }
        bytes
    }
}

/// One lane's prepared segments.
#[derive(Debug)]
pub(crate) struct Supply {
    lane: Arc<Lane>,
    disk: Arc<dyn Disk>,
    backend: Backend,
    dir: PathBuf,
    sizes: Sizes,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Prepared>,
    /// Why the last try failed.
    failure: Option<Arc<str>>,
    /// A try has ended since the lane was opened, one way or the other.
    tried: bool,
    /// The next one is not to be larger: something failed lately.
    bytes_max: u64,
    /// Bytes of those that were taken.
    taken: u64,
    /// Names the files.
    made: u64,
    closed: bool,
}

/// What one try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Enough are ready.
    Enough,
    /// One was made.
    Made,
    /// The disk is full, or failing.
    Failed,
}

impl Supply {
    pub(crate) fn new(
        lane: Arc<Lane>,
        disk: Arc<dyn Disk>,
        backend: Backend,
        dir: PathBuf,
        sizes: Sizes,
    ) -> Supply {
        let state = State {
            ready: VecDeque::new(),
            failure: None,
            tried: false,
            bytes_max: sizes.most,
            taken: 0,
            made: 0,
            closed: false,
        };
        Supply { lane, disk, backend, dir, sizes, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one more segment if fewer than two are ready.
    pub(crate) fn fill(&self) -> Fill {
        let (wanted, path) = {
            let mut state = self.lock();
            if state.closed || state.ready.len() >= READY {
                return Fill::Enough;
            }
            state.made += 1;
            (
                self.sizes.after(state.taken).min(state.bytes_max),
                self.dir.join(format!("prepared-{}.tmp", state.made)),
            )
        };
        let made = self.make(wanted, &path);
        let mut state = self.lock();
        state.tried = true;
        let fill = match made {
            Ok(prepared) => {
                self.lane.counters.prepared_bytes.add(prepared.bytes());
                // After a failure each is at most twice the one before.
                state.bytes_max = (prepared.bytes() * 2).clamp(state.bytes_max, self.sizes.most);
                state.failure = None;
                if !state.closed {
                    state.ready.push_back(prepared);
                }
                self.lane.ability.clear(Obstacle::NoSegment);
                Fill::Made
            }
            Err(e) => {
                let reason = format!("cannot prepare a segment in {}: {}", self.dir.display(), Explained(&e));
                let reason: Arc<str> = Arc::from(reason);
                if state.ready.is_empty() {
                    self.lane.ability.note(&reason);
                }
                state.failure = Some(reason);
                state.bytes_max = self.sizes.floor();
                Fill::Failed
            }
        };
        drop(state);
        self.changed.notify_all();
        fill
    }

    /// A segment of `wanted` bytes or, on a disk that has not so much, of what it has.
    fn make(&self, wanted: u64, path: &std::path::Path) -> io::Result<Prepared> {
        let floor = self.sizes.floor();
        let free = self.disk.free_space(&self.dir)?.saturating_sub(RESERVE_BYTES);
        let mut bytes = wanted;
        // At most half of what is left: the other half is for the one after it, and for other lanes.
        while bytes > floor && bytes > free / 2 {
            bytes = (bytes / 2).max(floor);
        }
        if bytes > free {
            return Err(io::ErrorKind::StorageFull.into());
        }
        loop {
            match prepare(&self.disk, self.backend, path, bytes) {
                Err(e) if is_full(&e) && bytes > floor => bytes = (bytes / 2).max(floor),
                result => return result,
            }
        }
    }

    pub(crate) fn is_empty_handed(&self) -> bool {
        let state = self.lock();
        state.ready.is_empty() && !state.closed
    }

    /// Gives up the largest spare segment, for a lane that has none.
    fn give_up_one(&self) -> bool {
        let mut state = self.lock();
        if state.ready.len() < READY {
            return false;
        }
        state.bytes_max = self.sizes.floor();
        // The one made last is the larger. Its file goes when it is dropped.
        state.ready.pop_back().is_some()
    }

    /// Waits until the first try has ended.
    pub(crate) fn wait_until_tried(&self, deadline: Instant) {
        let mut state = self.lock();
        while !state.tried {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Removes what is ready and makes no more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.ready.clear();
        drop(state);
        self.changed.notify_all();
    }
}

/// A writer's end of a supply.
#[derive(Debug)]
pub(crate) struct Draw {
    pub(crate) supply: Arc<Supply>,
    pub(crate) preparer: Arc<Preparer>,
}

impl SegmentSource for Draw {
    fn take(&mut self, least: u64) -> Result<Prepared, Arc<str>> {
        let supply = &*self.supply;
        let deadline = Instant::now() + PATIENCE;
        let mut state = supply.lock();
        loop {
            if let Some(at) = state.ready.iter().position(|prepared| prepared.bytes() >= least) {
                let prepared = state.ready.remove(at);
                state.taken += prepared.as_ref().map_or(0, Prepared::bytes);
                drop(state);
                self.preparer.wake();
                return prepared.ok_or_else(|| Arc::from("no segment"));
            }
            if !state.ready.is_empty() {
                // One event, or one disk, out of the ordinary: a segment of its own, made here and now.
                state.made += 1;
                let path = supply.dir.join(format!("prepared-{}.tmp", state.made));
                drop(state);
                let bytes = least.next_multiple_of(1 << 20);
                return prepare(&supply.disk, supply.backend, &path, bytes).map_err(|e| {
                    Arc::from(format!(
                        "cannot make a segment of {bytes} bytes in {}: {}",
                        supply.dir.display(),
                        Explained(&e)
                    ))
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let reason = match &state.failure {
                Some(reason) => Some(Arc::clone(reason)),
                None if state.closed => Some(Arc::from("the log is closing")),
                None if left.is_zero() => Some(Arc::from("preparing a segment takes too long")),
                None => None,
            };
            if let Some(reason) = reason {
                supply.lane.ability.set(Obstacle::NoSegment, &reason);
                drop(state);
                self.preparer.wake();
                return Err(reason);
            }
            self.preparer.wake();
            state = supply.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_ready(&self, least: u64) -> bool {
        self.supply.lock().ready.iter().any(|prepared| prepared.bytes() >= least)
    }

    fn spoilt(&mut self) {
        self.supply.lock().bytes_max = self.supply.sizes.floor();
    }
}

/// Keeps all supplies filled, on a thread of its own.
#[derive(Debug, Default)]
pub(crate) struct Preparer {
    orders: Mutex<Orders>,
    ordered: Condvar,
}

#[derive(Debug, Default)]
struct Orders {
    supplies: Vec<Arc<Supply>>,
    /// Something was taken since the last round.
    wanted: bool,
    closed: bool,
}

impl Preparer {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after one more lane.
    pub(crate) fn add(&self, supply: Arc<Supply>) {
        let mut orders = self.lock();
        orders.supplies.push(supply);
        orders.wanted = true;
        drop(orders);
        self.ordered.notify_one();
    }

    /// Something was taken.
    pub(crate) fn wake(&self) {
        self.lock().wanted = true;
        self.ordered.notify_one();
    }

    /// Ends the thread and removes what is ready.
    pub(crate) fn close(&self) {
        let mut orders = self.lock();
        orders.closed = true;
        for supply in &orders.supplies {
            supply.close();
        }
        drop(orders);
        self.ordered.notify_all();
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(self: &Arc<Preparer>) -> io::Result<JoinHandle<()>> {
        let preparer = Arc::clone(self);
        std::thread::Builder::new().name("prepare".to_owned()).spawn(move || preparer.run())
    }

    fn run(&self) {
        loop {
            let supplies = {
                let mut orders = self.lock();
                if orders.closed {
                    return;
                }
                orders.wanted = false;
                orders.supplies.clone()
            };
            let failed = round(&supplies);
            let mut orders = self.lock();
            while !orders.wanted && !orders.closed {
                if !failed {
                    orders = self.ordered.wait(orders).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                let (back, timeout) =
                    self.ordered.wait_timeout(orders, RETRY).unwrap_or_else(PoisonError::into_inner);
                orders = back;
                if timeout.timed_out() {
                    break;
                }
            }
            if failed {
                // Writers ask at every failed batch: the disk is not asked more often than this.
                let pause = self.ordered.wait_timeout_while(orders, RETRY / 5, |orders| !orders.closed);
                drop(pause.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

/// Fills every supply, those with nothing first; says whether a try failed.
pub(crate) fn round(supplies: &[Arc<Supply>]) -> bool {
    let mut failed = false;
    loop {
        let mut made = false;
        let (mut order, rest): (Vec<_>, Vec<_>) = supplies.iter().partition(|s| s.is_empty_handed());
        order.extend(rest);
        for supply in order {
            match supply.fill() {
                Fill::Enough => {}
                Fill::Made => made = true,
                Fill::Failed => {
                    failed = true;
                    if supply.is_empty_handed()
                        && supplies.iter().any(|other| !Arc::ptr_eq(other, supply) && other.give_up_one())
                    {
                        made |= supply.fill() == Fill::Made;
                    }
                }
            }
        }
        if !made || failed {
            return failed;
        }
    }
}

#[cfg(test)]
mod tests;
