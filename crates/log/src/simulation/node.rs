//! A process that writes a data directory, without its threads: recovery, writers, preparer, housekeeping and
//! scrub, each called when the run says so.

use super::plan::Plan;
use crate::{
    Append, LaneRecovery, OpenError, commit,
    config::Clock,
    disk::{Disk, SimDisk, sim::Random},
    housekeeping::Housekeeper,
    lane::{
        Job, Lane, Message,
        rig::Closed,
        writer::{SegmentSource, Writer, WriterConfig},
    },
    layout, recovery,
    scrub::Scrub,
    segment::Prepared,
    store_id,
    supply::{self, Draw, Preparer, Sizes, Supply},
};
use crossbeam_channel::Receiver;
use forebay_record::{LaneId, Lsn, SegmentId, Seq};
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Where everything lies on the simulated disk.
pub(super) const DIR: &str = "/sim";

/// The process.
pub(super) struct Node {
    pub(super) lanes: Vec<NodeLane>,
    housekeeper: Housekeeper,
    scrub: Scrub,
    supplies: Arc<Mutex<Vec<Arc<Supply>>>>,
    caught_up: bool,
    disk: SimDisk,
}

/// One of its lanes.
pub(super) struct NodeLane {
    pub(super) id: LaneId,
    pub(super) lane: Arc<Lane>,
    pub(super) writer: Writer,
    pub(super) recovered: LaneRecovery,
    unread: Vec<SegmentId>,
    messages: Receiver<Message>,
    closed: Closed,
}

/// How much of an append was stored, and where.
pub(super) struct Stored {
    pub(super) events: usize,
    pub(super) first_seq: Seq,
    pub(super) last_lsn: Lsn,
}

/// Takes prepared segments; where a server's writer would wait for the preparer, this calls it.
struct Source {
    draw: Draw,
    supplies: Arc<Mutex<Vec<Arc<Supply>>>>,
}

impl SegmentSource for Source {
    fn take(&mut self, least: u64) -> Result<Prepared, Arc<str>> {
        if self.draw.supply.is_empty_handed() {
            let supplies = self.supplies.lock().expect("no panic while it was held").clone();
            supply::round(&supplies);
        }
        self.draw.take(least)
    }

    fn is_ready(&self, least: u64) -> bool {
        self.draw.is_ready(least)
    }

    fn spoilt(&mut self) {
        self.draw.spoilt();
    }
}

impl Node {
    /// Starts the process: recovers every lane.
    ///
    /// # Errors
    /// As opening a log has them.
    pub(super) fn open(disk: &SimDisk, plan: &Plan, clock: &Clock) -> Result<Node, OpenError> {
        let disk = disk.process();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = Path::new(DIR);
        let io = |source| OpenError::Io { what: "make", path: dir.to_owned(), source };
        shared.create_dir(&layout::log_dir(dir)).map_err(io)?;
        let store = store_id::open_store_id(&*shared, dir).map_err(OpenError::StoreId)?;
        let uptime = disk.clone();
        let mut node = Node {
            lanes: Vec::new(),
            housekeeper: Housekeeper::new(
                Arc::clone(&shared),
                dir.to_owned(),
                Arc::clone(clock),
                Box::new(move || Duration::from_millis(uptime.elapsed_ms())),
                plan.retention,
                plan.unclaimed,
            ),
            scrub: Scrub::default(),
            supplies: Arc::default(),
            caught_up: false,
            disk: disk.clone(),
        };
        let preparer = Arc::new(Preparer::default());
        for &id in &plan.lanes {
            let lane_dir = layout::lane_dir(dir, id);
            let recovered = recovery::recover(&*shared, store, id, &lane_dir)?;
            let (sender, messages) = crossbeam_channel::bounded(4);
            let lane = Arc::new(Lane::new(id, sender, usize::MAX));
            lane.counters.recovered(&recovered.report);
            *lane.segments.lock() = recovered.segments;
            let sizes = Sizes { least: plan.segment_least, most: plan.segment_most };
            let supply = Arc::new(Supply::new(
                Arc::clone(&lane),
                Arc::clone(&shared),
                plan.backend,
                lane_dir.clone(),
                sizes,
            ));
            node.supplies.lock().expect("no panic while it was held").push(Arc::clone(&supply));
            let draw = Draw { supply, preparer: Arc::clone(&preparer) };
            let mut salts = Random::of(plan.seed ^ disk.life() << 32, 2 + u64::from(id.0));
            let config = WriterConfig {
                store,
                disk: Arc::clone(&shared),
                dir: lane_dir,
                clock: Arc::clone(clock),
                group_bytes_max: plan.group_bytes_max,
                // Some segments have more: their indexes are made from their files.
                index_frames_max: 8,
                flush_delay: Duration::ZERO,
                salt: Box::new(move || salts.next()),
            };
            let closed = Closed::default();
            let writer = Writer::new(
                config,
                Arc::clone(&lane),
                commit::backend(plan.backend),
                Box::new(Source { draw, supplies: Arc::clone(&node.supplies) }),
                Box::new(closed.clone()),
                recovered.watermark,
                recovered.tip,
            );
            node.housekeeper.lanes.lock().expect("no panic while it was held").push(Arc::clone(&lane));
            node.lanes.push(NodeLane {
                id,
                lane,
                writer,
                recovered: recovered.report,
                unread: recovered.unread,
                messages,
                closed,
            });
        }
        Ok(node)
    }

    /// What housekeeping does first after a start.
    pub(super) fn catch_up(&mut self) {
        if std::mem::replace(&mut self.caught_up, true) {
            return;
        }
        for lane in &mut self.lanes {
            self.housekeeper.adopt_floor(&lane.lane);
            self.housekeeper.catch_up(&lane.lane);
            self.scrub.add(&lane.lane, &std::mem::take(&mut lane.unread));
        }
    }

    /// Commits these appends to the lane with this index as one batch.
    pub(super) fn commit(&mut self, lane: usize, batch: Vec<Append>) -> Vec<Stored> {
        let mut jobs: Vec<_> = batch.into_iter().map(|append| Job::new(append, 0, 0, 0)).collect();
        let result = self.lanes[lane].writer.commit(&mut jobs);
        assert_eq!(result.is_ok(), jobs.iter().all(Job::is_stored), "{result:?}");
        let stored = |job: &Job| Stored {
            events: job.progress.events,
            first_seq: job.progress.first_seq,
            last_lsn: job.progress.last_lsn,
        };
        let stored = jobs.iter().map(stored).collect();
        // What comes of it shows in the next commit.
        let _ = self.lanes[lane].writer.advance();
        stored
    }

    /// The lane with this index is idle, or asks a disk that failed whether it still does.
    pub(super) fn idle(&mut self, lane: usize) {
        let writer = &mut self.lanes[lane].writer;
        if writer.failing().is_some() {
            // It still fails: it is asked again.
            let _ = writer.probe();
        } else {
            writer.heartbeat();
        }
    }

    /// The preparer has its turn.
    pub(super) fn prepare(&self) {
        let supplies = self.supplies.lock().expect("no panic while it was held").clone();
        supply::round(&supplies);
    }

    /// Housekeeping has its turn; then the writers hear what it asks of them.
    pub(super) fn keep_house(&mut self) {
        self.catch_up();
        for lane in &self.lanes {
            let closed = std::mem::take(&mut *lane.closed.0.lock().expect("no panic while it was held"));
            for closed in closed {
                self.housekeeper.finish(closed);
            }
        }
        self.housekeeper.expire();
        for lane in &mut self.lanes {
            while let Ok(message) = lane.messages.try_recv() {
                if matches!(message, Message::Roll) {
                    // No segment now: retention asks again.
                    let _ = lane.writer.roll();
                }
            }
        }
    }

    /// The scrub has its turn.
    pub(super) fn scrub(&mut self) {
        self.scrub.step(&self.disk, Path::new(DIR));
    }

    /// Ends in order.
    pub(super) fn close(mut self) {
        for lane in &mut self.lanes {
            // What was stored is stored.
            let _ = lane.writer.close();
        }
        for supply in &*self.supplies.lock().expect("no panic while it was held") {
            supply.close();
        }
    }
}
