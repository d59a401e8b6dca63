//! Where a lane begins: the oldest segment that retention has left, and what it starts with.
//!
//! Without it a first segment that somebody took away looks like one that retention took. The file is one line
//! of text beside the watermark; retention writes it before it removes a segment, so what is missing at or
//! behind the floor is missing, and what lies before it is gone by rule.
//!
//! # Invariants
//! * The floor only rises, and durably so before anything below it goes.
//! * A floor that is missing or damaged is an unknown one: the lane's first segment is then taken for its floor,
//!   as if there were no such file.

use crate::{disk::Disk, layout, segment::SegmentInfo, track::Place};
use forebay_record::{Lsn, SEGMENT_HEADER_BYTES, SegmentId, Seq, WatermarkSeed, crc32c};
use std::{io, path::Path};

/// What the lane's oldest segment is, and starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) segment: SegmentId,
    pub(crate) lsn: Lsn,
    pub(crate) seq: Seq,
}

/// The most that a floor's line takes.
const LINE_MAX: usize = 128;
const NAME: &str = "forebay floor 1";

impl Floor {
    /// Where lanes begin.
    pub(crate) const FIRST: Floor = Floor { segment: SegmentId(1), lsn: Lsn(1), seq: Seq(0) };

    /// The floor that this segment is.
    pub(crate) fn of(info: &SegmentInfo) -> Floor {
        match info.id {
            // Whether or not its header can be read.
            SegmentId(1) => Floor::FIRST,
            segment => Floor { segment, lsn: info.base_lsn, seq: info.base_seq },
        }
    }

    /// In front of the floor's first frame.
    pub(crate) fn place(&self) -> Place {
        Place { position: SEGMENT_HEADER_BYTES, lsn: self.lsn, seq: self.seq, prev_crc: 0 }
    }

    /// The lane's floor; `None` if nobody knows.
    ///
    /// # Errors
    /// When the file is there and cannot be opened.
    pub(crate) fn read(disk: &dyn Disk, lane_dir: &Path, seed: WatermarkSeed) -> io::Result<Option<Floor>> {
        let file = match disk.open_read(&layout::floor_path(lane_dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut line = [0; LINE_MAX];
        let read = file.read_at(&mut line, 0).unwrap_or(0);
        Ok(Floor::decode(&line[..read], seed))
    }

    /// Makes this the lane's floor, durably, before what lies below it goes. Where there is no room for that the
    /// floor becomes unknown: a full disk must not keep retention from making room.
    ///
    /// # Errors
    /// When neither can be done.
    pub(crate) fn put(&self, disk: &dyn Disk, lane_dir: &Path, seed: WatermarkSeed) -> io::Result<()> {
        let (path, beside) = (layout::floor_path(lane_dir), lane_dir.join("floor.tmp"));
        let put = || {
            let file = disk.create(&beside)?;
            file.write_at(self.encode(seed).as_bytes(), 0)?;
            file.flush()?;
            disk.rename(&beside, &path)?;
            disk.sync_dir(lane_dir)
        };
        if put().is_ok() {
            return Ok(());
        }
        for name in [&beside, &path] {
            match disk.remove(name) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        disk.sync_dir(lane_dir)
    }

    fn encode(&self, seed: WatermarkSeed) -> String {
        let Floor { segment, lsn, seq } = self;
        let text = format!("{NAME} {} {} {}", segment.0, lsn.0, seq.0);
        format!("{text} {:08x}\n", crc(&text, seed))
    }

    fn decode(line: &[u8], seed: WatermarkSeed) -> Option<Floor> {
        let line = str::from_utf8(line).ok()?;
        let (text, stored) = line.strip_suffix('\n')?.rsplit_once(' ')?;
        if u32::from_str_radix(stored, 16).ok()? != crc(text, seed) {
            return None;
        }
        let mut numbers = text.strip_prefix(NAME)?.split_ascii_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Floor { segment: SegmentId(next()?), lsn: Lsn(next()?), seq: Seq(next()?) })
    }
}

/// Of the text, the store and the lane: a floor that strayed in from elsewhere is none.
fn crc(text: &str, seed: WatermarkSeed) -> u32 {
    let whose = crc32c(crc32c(0, &seed.store.0), &seed.lane.0.to_le_bytes());
    crc32c(whose, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Backend, Filter, GapReason, Store,
        disk::{Crash, SimDisk},
        lane::rig::{Rig, append},
        sample::{Got, drain},
        segment::map::read_header,
        verify_on,
    };
    use forebay_record::{LaneId, StoreId};
    use std::sync::{Arc, Mutex};

    const SEED: WatermarkSeed = WatermarkSeed { store: StoreId([7; 16]), lane: LaneId(2) };
    const FLOOR: Floor = Floor { segment: SegmentId(12), lsn: Lsn(345), seq: Seq(6789) };

    #[test]
    fn a_floor_is_one_line_that_says_whose_it_is() {
        let line = FLOOR.encode(SEED);
        assert!(line.starts_with("forebay floor 1 12 345 6789 ") && line.ends_with('\n'), "{line}");
        assert!(line.len() < LINE_MAX);
        assert_eq!(Floor::decode(line.as_bytes(), SEED), Some(FLOOR));
        let other = WatermarkSeed { lane: LaneId(3), ..SEED };
        assert_eq!(Floor::decode(line.as_bytes(), other), None);
    }

    #[test]
    fn a_floor_of_which_any_byte_is_damaged_or_missing_is_unknown() {
        let line = FLOOR.encode(SEED);
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut bytes = line.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let read = Floor::decode(&bytes, SEED);
                assert!(read.is_none() || read == Some(FLOOR), "byte {at}, bit {bit}: {read:?}");
            }
            assert_eq!(Floor::decode(&line.as_bytes()[..at], SEED), None, "cut at {at}");
        }
    }

    #[test]
    fn retention_that_is_cut_off_anywhere_never_looks_like_damage() {
        let (disk, dir) = (SimDisk::new(5), Path::new("/store"));
        let mut rig = Rig::open(&disk, dir, Backend::Pwrite).expect("a healthy disk");
        for n in 0..3 {
            rig.commit(vec![append(Some(7), &[n.to_string()])]);
            rig.writer.roll().expect("a healthy disk");
        }
        rig.writer.close().expect("a healthy disk");
        let lane = LaneId(0);
        let lane_dir = layout::lane_dir(dir, lane);
        let store = |disk: &SimDisk| Store::open_on(Arc::new(disk.clone()), dir).expect("a store");
        let seed = WatermarkSeed { store: store(&disk).id(), lane };
        Floor::FIRST.put(&disk, &lane_dir, seed).expect("a healthy disk");

        let moments: Arc<Mutex<Vec<SimDisk>>> = Arc::default();
        let seen = Arc::clone(&moments);
        disk.watch(move |moment| seen.lock().expect("one thread").push(moment));
        for id in 1..=2 {
            let next = layout::segment_path(&lane_dir, SegmentId(id + 1));
            let header = read_header(&*disk.open(&next).expect("there")).expect("whole");
            let floor = Floor { segment: header.id, lsn: header.base_lsn, seq: header.base_seq };
            floor.put(&disk, &lane_dir, seed).expect("a healthy disk");
            disk.remove(&layout::segment_path(&lane_dir, SegmentId(id))).expect("there");
            disk.sync_dir(&lane_dir).expect("a healthy disk");
        }
        disk.unwatch();
        let mut crashes = 0;
        for (step, moment) in moments.lock().expect("one thread").iter().enumerate() {
            for crash in [Crash::Kill, Crash::LoseAll, Crash::LoseSome] {
                let machine = moment.fork();
                machine.reseed(step as u64);
                machine.reboot(crash);
                crashes += 1;
                let mut cursor = store(&machine).cursor(lane, Seq(0), Filter::all()).expect("a cursor");
                let mut next = 0;
                for got in drain(&mut cursor) {
                    next = match got {
                        Got::Gap(0, to, GapReason::Retention) => to,
                        Got::Record(seq, json) if seq == next && json == seq.to_string().as_bytes() => {
                            seq + 1
                        }
                        other => panic!("step {step}, {crash:?}: {other:?}"),
                    };
                }
                assert_eq!(next, 3, "step {step}, {crash:?}");
                let shared: Arc<dyn Disk> = Arc::new(machine);
                let report = verify_on(&shared, dir, false, &mut |_| {}).expect("a report");
                assert!(report.is_clean(), "step {step}, {crash:?}: {report:?}");
            }
        }
        assert!(crashes > 30, "{crashes}");
    }

    #[test]
    fn a_disk_without_room_for_a_floor_makes_it_unknown_and_lets_retention_go_on() {
        let (disk, dir) = (SimDisk::new(6), Path::new("/lane"));
        disk.create_dir(dir).expect("a folder");
        FLOOR.put(&disk, dir, SEED).expect("room");
        assert_eq!(Floor::read(&disk, dir, SEED).expect("readable"), Some(FLOOR));
        disk.set_capacity(0);
        Floor { segment: SegmentId(13), ..FLOOR }.put(&disk, dir, SEED).expect("a removal needs no room");
        assert_eq!(Floor::read(&disk, dir, SEED).expect("readable"), None);
    }
}
