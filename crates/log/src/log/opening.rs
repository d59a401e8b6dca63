//! What it takes to open a lane: its sizes, its writer, and who has to hear of what recovery found.

use crate::{
    commit,
    config::LogConfig,
    disk::Disk,
    housekeeping::{Housekeeper, Sink, Task},
    lane::{
        Lane,
        writer::{Writer, WriterConfig},
    },
    recovery::RecoveredLane,
    segment::random_salt,
    supply::{Draw, Preparer, Sizes, Supply},
};
use crossbeam_channel::Sender;
use forebay_record::{LaneId, StoreId};
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
};

/// Frames of which the writers of all lanes together keep what their segments' indexes say: 48 bytes each.
const INDEX_FRAMES_MAX: usize = 1 << 18;

/// The unclaimed ring is kept in at least eight segments, so that dropping the oldest drops little.
pub(super) fn sizes(config: &LogConfig, lane: LaneId) -> Sizes {
    let mut sizes = Sizes { least: config.segment_bytes_min, most: config.segment_bytes_max };
    if let (LaneId::UNCLAIMED, Some(bytes)) = (lane, config.unclaimed.bytes) {
        let eighth = (bytes / 8).next_multiple_of(1 << 20);
        sizes.most = sizes.most.min(eighth);
        sizes.least = sizes.least.min(1 << 20);
    }
    sizes
}

/// Everything that a lane's thread needs to make its writer.
pub(super) struct Opening {
    pub(super) config: LogConfig,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) store: StoreId,
    pub(super) lane: Arc<Lane>,
    pub(super) dir: PathBuf,
    pub(super) supply: Arc<Supply>,
    pub(super) preparer: Arc<Preparer>,
    pub(super) housekeeper: Arc<Housekeeper>,
    pub(super) tasks: Sender<Task>,
}

impl Opening {
    /// Makes what recovery found known to preparer, housekeeping and statistics.
    pub(super) fn announce(&self, recovered: &mut RecoveredLane) {
        announce(&self.lane, recovered, &self.housekeeper, &self.tasks);
        self.preparer.add(Arc::clone(&self.supply));
    }

    pub(super) fn writer(&self, recovered: RecoveredLane) -> Writer {
        let config = WriterConfig {
            store: self.store,
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            clock: Arc::clone(&self.config.clock),
            group_bytes_max: self.config.group_bytes_max,
            index_frames_max: INDEX_FRAMES_MAX / usize::from(self.config.lanes.max(1)),
            flush_delay: self.config.flush_delay,
            salt: Box::new(random_salt),
        };
        let source = Draw { supply: Arc::clone(&self.supply), preparer: Arc::clone(&self.preparer) };
        Writer::new(
            config,
            Arc::clone(&self.lane),
            commit::backend(self.config.backend),
            Box::new(source),
            Box::new(Sink(self.tasks.clone())),
            recovered.watermark,
            recovered.tip,
        )
    }
}

/// Makes what recovery found known to housekeeping and statistics.
pub(super) fn announce(
    lane: &Arc<Lane>,
    recovered: &mut RecoveredLane,
    housekeeper: &Housekeeper,
    tasks: &Sender<Task>,
) {
    lane.counters.recovered(&recovered.report);
    lane.set_told();
    *lane.segments.lock() = std::mem::take(&mut recovered.segments);
    housekeeper.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(lane));
    // The thread ends after all lanes have: it is there.
    let unread = std::mem::take(&mut recovered.unread);
    let _ = tasks.send(Task::Opened { lane: Arc::clone(lane), unread });
}
