//! Retention: which segments go, and when.
//!
//! Bytes go by whole segments, the oldest of a lane first; its newest says where the lane stands and is never
//! removed, but replaced. What time it is, and how old a segment is, [`crate::age`] says.
//!
//! # Invariants
//! * A lane is never left without a segment.
//! * By age only what is older than the age, by every stamp that can be believed, is removed.

use crate::{
    age::stamps,
    config::Retention,
    floor::Floor,
    housekeeping::Housekeeper,
    lane::{Lane, Message, writer::Tip},
    layout,
    segment::{
        SegmentInfo,
        map::{SegmentMapError, read_header},
    },
    store_id::read_store_id_on,
};
use forebay_record::{
    LaneId, Predecessor, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId, StoreId, WatermarkSeed,
};
use std::{
    io,
    path::Path,
    sync::{Arc, PoisonError},
};

/// A lane of an earlier configuration: read, and not written any more.
pub(crate) struct Retired {
    pub(crate) lane: Arc<Lane>,
    pub(crate) store: StoreId,
    pub(crate) tip: Tip,
}

impl Housekeeper {
    /// Removes what the retention rules say may go.
    pub(crate) fn expire(&self) {
        let lanes = self.lanes();
        let newest = || lanes.iter().filter_map(|lane| stamps::newest(&lane.segments.lock())).max();
        let wall = (self.clock)();
        let (now, believed) = {
            let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
            let now = ages.now_ms(&*self.disk, &self.dir, wall, newest);
            (now, ages.ahead_ms() == 0)
        };
        let (unclaimed, claimed): (Vec<_>, Vec<_>) =
            lanes.iter().cloned().partition(|lane| lane.id == LaneId::UNCLAIMED);
        for (lanes, retention) in [(claimed, self.retention), (unclaimed, self.unclaimed)] {
            self.expire_by_age(&lanes, retention, now, believed);
            self.expire_by_bytes(&lanes, retention, now);
        }
    }

    fn expire_by_age(&self, lanes: &[Arc<Lane>], retention: Retention, now: u64, believed: bool) {
        let Some(age) = retention.age else { return };
        let before = now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        for lane in lanes {
            // The newest is never removed, as it says where the lane stands: an old one is replaced. So is one
            // whose stamp cannot be right: the next one's says how old it is at most.
            let newest = lane.segments.lock().last().copied();
            let stamp = newest.map(|newest| newest.created_at_ms);
            let replace = |at: u64| at < before || (believed && !stamps::is_plausible(at, now));
            if stamp.is_some_and(replace) && !self.stand_in(lane, now) {
                let _ = lane.sender.try_send(Message::Roll);
            }
            let segments = lane.segments.lock().clone();
            let last = stamps::last_received(&segments, now);
            let old = segments.iter().zip(last).take_while(|(_, last)| *last < before);
            for (info, _) in old.take(segments.len().saturating_sub(1)) {
                if !self.remove(lane, *info) {
                    break;
                }
            }
        }
    }

    fn expire_by_bytes(&self, lanes: &[Arc<Lane>], retention: Retention, now: u64) {
        let Some(most) = retention.bytes else { return };
        while lanes.iter().map(|lane| lane.segments.bytes()).sum::<u64>() > most {
            let oldest = lanes
                .iter()
                .filter_map(|lane| {
                    let list = lane.segments.lock();
                    let last = stamps::last_received(&list, now);
                    let first =
                        list.first().filter(|_| list.len() > mutant!(RetentionTakesTheNewest: 0, else 1))?;
                    Some((lane, *first, *last.first()?))
                })
                .min_by_key(|(.., last)| *last);
            let Some((lane, oldest, _)) = oldest else { return };
            if !self.remove(lane, oldest) {
                return;
            }
        }
    }

    /// Removes a lane's oldest segment.
    fn remove(&self, lane: &Lane, info: SegmentInfo) -> bool {
        // Whoever comes second must not raise a floor that the first has raised further, and then lost.
        let _one_at_a_time = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        if lane.segments.lock().first().is_none_or(|oldest| oldest.id > info.id) {
            return true;
        }
        let dir = self.lane_dir(lane.id);
        let path = layout::segment_path(&dir, info.id);
        let next = lane.segments.lock().iter().find(|next| next.id > info.id).map(|next| next.id);
        // Of a next one that cannot be read nobody knows where it begins: rather too much is missed than nothing.
        let raised = next.map(|id| {
            let known = self.floor_at(lane, id)?;
            self.raise_floor(lane, known.unwrap_or(Floor { segment: id, ..Floor::of(&info) }))
        });
        if let Some(Err(error)) = raised {
            tracing::warn!(dir = %dir.display(), %error, "cannot say where the lane begins from now on");
            return false;
        }
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove an expired segment");
                return false;
            }
            _ => {}
        }
        // An index without a segment is harmless, and removed at the next start.
        let _ = self.disk.remove(&layout::index_path(&dir, info.id));
        if let Err(error) = self.disk.sync_dir(&dir) {
            tracing::warn!(dir = %dir.display(), %error, "cannot sync a folder");
        }
        let mut list = lane.segments.lock();
        let before = list.len();
        list.retain(|other| other.id != info.id);
        // Whoever asks at the same time may have removed it, and counted it.
        if list.len() < before
            && let Some(next) = list.first()
        {
            let counters = &lane.counters;
            counters.expired_segments.add(1);
            counters.expired_frames.add(next.base_lsn.0.saturating_sub(info.base_lsn.0));
            counters.expired_events.add(next.base_seq.0.saturating_sub(info.base_seq.0));
        }
        true
    }

    /// The floor that a segment is, as its header says; `None` if the disk has damaged that.
    ///
    /// # Errors
    /// When it cannot be read now: then nobody knows whether it is damaged.
    fn floor_at(&self, lane: &Lane, id: SegmentId) -> io::Result<Option<Floor>> {
        let file = self.disk.open_read(&layout::segment_path(&self.lane_dir(lane.id), id))?;
        match read_header(&*file) {
            Ok(header) => Ok(Some(Floor { segment: id, lsn: header.base_lsn, seq: header.base_seq })),
            Err(SegmentMapError::Io(error)) => Err(error),
            Err(SegmentMapError::Header(_) | SegmentMapError::Unreadable) => Ok(None),
        }
    }

    /// Says that the lane begins there from now on, if it began before. For who holds `floors`.
    fn raise_floor(&self, lane: &Lane, floor: Floor) -> io::Result<()> {
        let (dir, seed) = (self.lane_dir(lane.id), self.seed(lane)?);
        match Floor::read(&*self.disk, &dir, seed)? {
            // The try that put it there may have failed before its name was durable.
            Some(old) if old.segment >= floor.segment => self.disk.sync_dir(&dir),
            _ => floor.put(&*self.disk, &dir, seed),
        }
    }

    /// Where no floor is known: what is there now is where the lane begins. Else what should be there is missed.
    pub(crate) fn adopt_floor(&self, lane: &Lane) {
        let _one_at_a_time = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = match lane.segments.lock().first() {
            Some(oldest) => Floor::of(oldest),
            None if lane.counters.next_seq.now() == 0 => Floor::FIRST,
            None => return,
        };
        // The very first begins where lanes begin, whether or not it can be read.
        if oldest.segment != SegmentId(1) && !matches!(self.floor_at(lane, oldest.segment), Ok(Some(_))) {
            return;
        }
        let dir = self.lane_dir(lane.id);
        let known = self.seed(lane).and_then(|seed| match Floor::read(&*self.disk, &dir, seed)? {
            None => oldest.put(&*self.disk, &dir, seed).map(|()| oldest),
            Some(floor) => Ok(floor),
        });
        match known {
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "cannot say where the lane begins");
            }
            Ok(floor) if floor.seq < oldest.seq => {
                let events = oldest.seq.0 - floor.seq.0;
                lane.counters.damaged_ranges.add(1);
                lane.counters.damaged_events.add(events);
                tracing::error!(
                    lane = %lane.id, from = floor.segment.0, to = oldest.segment.0, events,
                    "the lane's first segments are missing, and retention did not take them; see `forebay log verify`"
                );
            }
            Ok(_) => {}
        }
    }

    fn seed(&self, lane: &Lane) -> io::Result<WatermarkSeed> {
        let store = read_store_id_on(&*self.disk, &self.dir).map_err(io::Error::other)?;
        Ok(WatermarkSeed { store, lane: lane.id })
    }

    /// Where nobody writes the lane: puts a segment behind its newest that holds nothing and says where the lane
    /// stands. False if the lane has a writer.
    fn stand_in(&self, lane: &Lane, now: u64) -> bool {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(retired) = retired.iter_mut().find(|retired| retired.lane.id == lane.id) else {
            return false;
        };
        let newest = lane.segments.lock().last().copied();
        // One that holds nothing is as good as another, if it can be told from it how late it was.
        let good = newest.is_some_and(|newest| {
            newest.base_lsn == retired.tip.next.lsn && stamps::is_plausible(newest.created_at_ms, now)
        });
        if !good && let Err(error) = self.put_stand_in(lane, retired) {
            tracing::warn!(lane = %lane.id, %error, "cannot replace the newest segment of a lane no longer written");
        }
        true
    }

    fn put_stand_in(&self, lane: &Lane, retired: &mut Retired) -> io::Result<()> {
        let dir = self.lane_dir(lane.id);
        let Tip { next, segment, predecessor } = retired.tip;
        let header = SegmentHeader {
            store: retired.store,
            lane: lane.id,
            id: SegmentId(segment.0 + 1),
            generation: 0,
            base_lsn: next.lsn,
            base_seq: next.seq,
            salt: crate::segment::random_salt(),
            created_at_ms: (self.clock)(),
            predecessor,
            prev_crc: next.prev_crc,
            capacity: SEGMENT_HEADER_BYTES as u64,
        };
        self.put_segment(&dir, header.id, &header.encode()[..])?;
        (retired.tip.segment, retired.tip.predecessor) = (header.id, Predecessor::Whole(header.id));
        lane.segments.lock().push(SegmentInfo {
            id: header.id,
            base_lsn: header.base_lsn,
            base_seq: header.base_seq,
            created_at_ms: header.created_at_ms,
            last_ms: Some(header.created_at_ms),
            bytes: header.capacity,
        });
        Ok(())
    }

    /// Written and flushed beside, then renamed: a name never leads to a file without a header.
    fn put_segment(&self, dir: &Path, id: SegmentId, bytes: &[u8]) -> io::Result<()> {
        let beside = dir.join(format!("prepared-stand-in-{id}.tmp"));
        let put = || {
            self.disk.create(&beside)?.write_durable(bytes, 0)?;
            self.disk.rename(&beside, &layout::segment_path(dir, id))?;
            self.disk.sync_dir(dir)
        };
        put().inspect_err(|_| {
            let _ = self.disk.remove(&beside);
        })
    }
}
