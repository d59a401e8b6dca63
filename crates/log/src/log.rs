//! The writing side, put together.

mod opening;

use crate::{
    age,
    config::LogConfig,
    counters::{Health, LaneHealth, LogStats},
    disk::{Disk, RealDisk},
    error::{OpenError, StoreError},
    fault::Explained,
    housekeeping::{Housekeeper, Task},
    lane::{Lane, ability::Obstacle, thread::LaneThread},
    layout, origin,
    pending::Submitter,
    recovery::{self, RecoveredLane, Recovery},
    retention::Retired,
    seat::Seats,
    store::Store,
    store_id::{self, DirLock, StoreIdError},
    supply::{Preparer, Supply},
    telling::Telling,
};
use crossbeam_channel::Sender;
use forebay_record::{LaneId, StoreId};
use opening::{Opening, announce, sizes};
use std::{
    fmt, io,
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long opening waits for the first segments: a fresh log can store at once, and a slow disk does not
/// keep the rest of a server from starting.
const FIRST_SEGMENTS: Duration = Duration::from_millis(500);

/// A data directory's log, open for writing. Cheap to clone; the last clone to go closes it.
#[derive(Clone)]
pub struct Log {
    pub(crate) inner: Arc<Inner>,
    closer: Arc<Closer>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// What the log's parts share.
pub(crate) struct Inner {
    config: LogConfig,
    disk: Arc<dyn Disk>,
    store: StoreId,
    seats: Arc<Seats>,
    pub(crate) telling: Arc<Telling>,
    /// The configured lanes, by number.
    lanes: Vec<Arc<Lane>>,
    /// Lanes of an earlier configuration: kept and read, not written.
    retired: Vec<Arc<Lane>>,
    unclaimed: OnceLock<Arc<Lane>>,
    preparer: Arc<Preparer>,
    housekeeper: Arc<Housekeeper>,
    tasks: Sender<Task>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    lanes: Vec<(Arc<Lane>, JoinHandle<io::Result<()>>)>,
    others: Vec<JoinHandle<()>>,
    closed: bool,
}

/// Closes the log when the last [`Log`] goes; submitters do not count.
struct Closer(Arc<Inner>);

impl Drop for Closer {
    fn drop(&mut self) {
        if let Err(error) = self.0.close() {
            tracing::error!(%error, "closing the log");
        }
    }
}

impl Log {
    /// Opens the log: takes the directory's lock, recovers every lane, starts the writers.
    ///
    /// # Errors
    /// When a setting is wrong, the directory is in use, or something in it cannot be used.
    pub fn open(config: LogConfig) -> Result<(Log, Recovery), OpenError> {
        Log::open_on(Arc::new(RealDisk), config, true)
    }

    /// Opens a log on another disk than the machine's own: a simulated one has no lock.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        lock: bool,
    ) -> Result<(Log, Recovery), OpenError> {
        let started = Instant::now();
        config.check().map_err(OpenError::Config)?;
        let failed = |what| {
            let path = config.dir.clone();
            move |source| OpenError::Io { what, path, source }
        };
        disk.create_dir(&config.dir).map_err(failed("make"))?;
        let lock = if lock { Some(DirLock::take(&config.dir).map_err(OpenError::Lock)?) } else { None };
        let store = store_id::open_store_id(&*disk, &config.dir).map_err(OpenError::StoreId)?;
        disk.create_dir(&layout::log_dir(&config.dir)).map_err(failed("make the log folder of"))?;
        let lanes = lanes_to_open(&*disk, &config).map_err(failed("list the lanes of"))?;
        // Before the first change to any lane.
        origin::check(&*disk, &config.dir, store, &lanes)?;
        let recovered = recover_all(&disk, store, &config, &lanes)?;

        let (tasks, received) = crossbeam_channel::unbounded();
        let housekeeper = Arc::new(Housekeeper::new(
            Arc::clone(&disk),
            config.dir.clone(),
            Arc::clone(&config.clock),
            age::system_uptime(),
            config.retention,
            config.unclaimed,
        ));
        let preparer = Arc::new(Preparer::default());
        let mut starts = Vec::new();
        let mut report = Recovery::default();
        for (id, recovered) in lanes.iter().copied().zip(recovered) {
            report.lanes.push(recovered.report.clone());
            starts.push(LaneStart::new(&config, id, Some(recovered)));
        }
        let unclaimed = starts.pop_if(|start| start.lane.id == LaneId::UNCLAIMED);
        let retired = starts.split_off(usize::from(config.lanes));
        let inner = Arc::new(Inner {
            lanes: starts.iter().map(|start| Arc::clone(&start.lane)).collect(),
            retired: retired.iter().map(|start| Arc::clone(&start.lane)).collect(),
            unclaimed: OnceLock::new(),
            config,
            disk,
            store,
            seats: Arc::default(),
            telling: Arc::default(),
            preparer,
            housekeeper,
            tasks,
            threads: Mutex::default(),
        });
        let log = Log { inner: Arc::clone(&inner), closer: Arc::new(Closer(Arc::clone(&inner))) };
        let no_thread =
            |source| OpenError::Io { what: "start a thread for", path: inner.config.dir.clone(), source };
        inner.start_helpers(received, lock).map_err(no_thread)?;
        for start in retired {
            if let Some(mut recovered) = start.recovered {
                let retired = Retired { lane: Arc::clone(&start.lane), store, tip: recovered.tip };
                inner.housekeeper.retired.lock().unwrap_or_else(PoisonError::into_inner).push(retired);
                inner.announce(&start.lane, &mut recovered);
            }
        }
        let mut supplies = Vec::new();
        for (place, start) in starts.into_iter().enumerate() {
            supplies.push(inner.start_lane(place, start).map_err(no_thread)?);
        }
        if let Some(start) = unclaimed {
            let lane = Arc::clone(&start.lane);
            inner.start_lane(inner.lanes.len(), start).map_err(no_thread)?;
            // Nobody else has the log yet, so nobody set it.
            let _ = inner.unclaimed.set(lane);
        }
        let deadline = Instant::now() + FIRST_SEGMENTS;
        for supply in supplies {
            supply.wait_until_tried(deadline);
        }
        report.took = started.elapsed();
        Ok((log, report))
    }

    /// A submitter for the core whose thread this is called on.
    #[must_use]
    pub fn submitter(&self) -> Submitter {
        let seat = self.inner.seats.take(self.inner.lanes.len() + 1, self.inner.config.queue_len_max);
        Submitter::new(Arc::clone(&self.inner), seat)
    }

    /// The reading side of the same directory.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn store(&self) -> Result<Store, StoreIdError> {
        Store::open_on(Arc::clone(&self.inner.disk), &self.inner.config.dir)
    }

    /// The directory's id.
    #[must_use]
    pub fn store_id(&self) -> StoreId {
        self.inner.store
    }

    /// Lanes for claimed events.
    #[must_use]
    pub fn lanes(&self) -> u16 {
        self.inner.config.lanes
    }

    /// Can each lane store now?
    #[must_use]
    pub fn health(&self) -> Health {
        let lanes = self.inner.open_lanes();
        Health {
            lanes: lanes.map(|lane| LaneHealth { lane: lane.id, unable: lane.ability.unable() }).collect(),
        }
    }

    /// What was counted and what stands in the log.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let ages = self.inner.housekeeper.ages.lock().unwrap_or_else(PoisonError::into_inner);
        let clock_ahead_ms = ages.ahead_ms();
        drop(ages);
        LogStats { lanes: self.inner.all_lanes().map(|lane| lane.stats()).collect(), clock_ahead_ms }
    }

    /// Removes segments that the retention rules say may go. The log does so by itself every few seconds.
    pub fn run_retention(&self) {
        self.inner.housekeeper.expire();
    }

    /// Flushes, seals and stops. What is queued is stored first; later appends are refused. Dropping the
    /// last clone does the same.
    ///
    /// # Errors
    /// When a lane's last words could not be made durable. What was acknowledged is durable all the same.
    pub fn close(self) -> Result<(), StoreError> {
        self.closer.0.close()
    }
}

/// The configured lanes, and those that exist.
fn lanes_to_open(disk: &dyn Disk, config: &LogConfig) -> io::Result<Vec<LaneId>> {
    let names = disk.list(&layout::log_dir(&config.dir))?;
    let mut lanes: Vec<_> = (0..config.lanes).map(LaneId).collect();
    lanes.extend(names.iter().filter_map(|name| layout::lane_of_name(name)));
    lanes.sort_unstable();
    lanes.dedup();
    Ok(lanes)
}

/// Recovers lanes at the same time: each waits mostly for the disk.
fn recover_all(
    disk: &Arc<dyn Disk>,
    store: StoreId,
    config: &LogConfig,
    lanes: &[LaneId],
) -> Result<Vec<RecoveredLane>, OpenError> {
    let one = |lane| recovery::recover(&**disk, store, lane, &layout::lane_dir(&config.dir, lane));
    std::thread::scope(|scope| {
        let running: Vec<_> = lanes.iter().map(|&lane| scope.spawn(move || one(lane))).collect();
        let panicked = |_| OpenError::Io {
            what: "recover",
            path: config.dir.clone(),
            source: io::Error::other("recovery panicked"),
        };
        running.into_iter().map(|thread| thread.join().map_err(panicked)?).collect()
    })
}

/// A lane about to get its thread.
struct LaneStart {
    lane: Arc<Lane>,
    receiver: crossbeam_channel::Receiver<crate::lane::Message>,
    recovered: Option<RecoveredLane>,
}

impl LaneStart {
    fn new(config: &LogConfig, id: LaneId, recovered: Option<RecoveredLane>) -> LaneStart {
        let (sender, receiver) = crossbeam_channel::bounded(config.queue_len_max);
        LaneStart { lane: Arc::new(Lane::new(id, sender, config.queue_bytes_max)), receiver, recovered }
    }
}

impl Inner {
    /// A lane and its place in every seat; the unclaimed one is opened when it is first asked for.
    pub(crate) fn lane(self: &Arc<Inner>, id: LaneId) -> Option<(usize, &Arc<Lane>)> {
        if id == LaneId::UNCLAIMED {
            return Some((self.lanes.len(), self.unclaimed.get_or_init(|| self.open_unclaimed())));
        }
        let place = usize::from(id.0);
        Some((place, self.lanes.get(place)?))
    }

    /// The lane at a place of a seat.
    pub(crate) fn lane_id_at(&self, place: usize) -> LaneId {
        self.lanes.get(place).map_or(LaneId::UNCLAIMED, |lane| lane.id)
    }

    /// Also those that are not written any more.
    pub(crate) fn all_lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.lanes.iter().chain(&self.retired).chain(self.unclaimed.get())
    }

    fn open_lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.lanes.iter().chain(self.unclaimed.get())
    }

    fn announce(&self, lane: &Arc<Lane>, recovered: &mut RecoveredLane) {
        announce(lane, recovered, &self.housekeeper, &self.tasks);
    }

    /// Starts the unclaimed lane. Its thread does all that touches the disk.
    fn open_unclaimed(self: &Arc<Inner>) -> Arc<Lane> {
        let start = LaneStart::new(&self.config, LaneId::UNCLAIMED, None);
        let lane = Arc::clone(&start.lane);
        if let Err(error) = self.start_lane(self.lanes.len(), start) {
            let reason = Arc::from(format!("no thread for the unclaimed lane: {}", Explained(&error)));
            lane.ability.set(Obstacle::Dead, &reason);
        }
        lane
    }

    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the preparer and housekeeping; the latter keeps the directory's lock.
    fn start_helpers(
        &self,
        received: crossbeam_channel::Receiver<Task>,
        lock: Option<DirLock>,
    ) -> io::Result<()> {
        let mut threads = self.lock_threads();
        threads.others.push(self.preparer.start()?);
        let housekeeper = Arc::clone(&self.housekeeper);
        let run = move || {
            housekeeper.run(&received);
            drop(lock);
        };
        threads.others.push(std::thread::Builder::new().name("housekeeping".to_owned()).spawn(run)?);
        Ok(())
    }

    fn start_lane(self: &Arc<Inner>, place: usize, start: LaneStart) -> io::Result<Arc<Supply>> {
        let LaneStart { lane, receiver, recovered } = start;
        let config = &self.config;
        let dir = layout::lane_dir(&config.dir, lane.id);
        let sizes = sizes(config, lane.id);
        let supply = Arc::new(Supply::new(
            Arc::clone(&lane),
            Arc::clone(&self.disk),
            config.backend,
            dir.clone(),
            sizes,
        ));
        let thread = LaneThread {
            lane: Arc::clone(&lane),
            place,
            receiver,
            seats: Arc::clone(&self.seats),
            telling: Arc::clone(&self.telling),
            group_bytes_max: config.group_bytes_max,
            linger: config.linger,
            heartbeat: config.heartbeat,
        };
        let opening = Opening {
            config: config.clone(),
            disk: Arc::clone(&self.disk),
            store: self.store,
            lane: Arc::clone(&lane),
            dir,
            supply: Arc::clone(&supply),
            preparer: Arc::clone(&self.preparer),
            housekeeper: Arc::clone(&self.housekeeper),
            tasks: self.tasks.clone(),
        };
        let mut recovered = recovered;
        if let Some(recovered) = &mut recovered {
            // Known at once, not only when the thread runs: statistics are right from the start.
            opening.announce(recovered);
        }
        let mut ready = recovered;
        let open = move || {
            let recovered = match ready.take() {
                Some(recovered) => recovered,
                None => {
                    let mut recovered =
                        recovery::recover(&*opening.disk, opening.store, opening.lane.id, &opening.dir)
                            .map_err(io::Error::other)?;
                    opening.announce(&mut recovered);
                    recovered
                }
            };
            Ok(opening.writer(recovered))
        };
        let mut threads = self.lock_threads();
        if threads.closed {
            return Err(io::Error::other("the log is closed"));
        }
        let handle =
            std::thread::Builder::new().name(format!("lane {}", lane.id)).spawn(move || thread.run(open))?;
        threads.lanes.push((lane, handle));
        Ok(supply)
    }

    fn close(&self) -> Result<(), StoreError> {
        let (lanes, others) = {
            let mut threads = self.lock_threads();
            threads.closed = true;
            (std::mem::take(&mut threads.lanes), std::mem::take(&mut threads.others))
        };
        for (lane, _) in &lanes {
            lane.close();
        }
        let mut result = Ok(());
        for (lane, thread) in lanes {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
            if let Err(e) = ended {
                result = Err(StoreError { lane: lane.id, reason: Arc::from(format!("closing: {e}")) });
            }
        }
        self.preparer.close();
        self.housekeeper.closing.store(true, Ordering::Relaxed);
        let _ = self.tasks.send(Task::Close);
        for thread in others {
            // Neither holds anything that is not on disk.
            let _ = thread.join();
        }
        result
    }
}

#[cfg(test)]
mod expiry;
#[cfg(test)]
mod stress;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trouble;
