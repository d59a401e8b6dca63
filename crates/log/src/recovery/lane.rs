//! Recovery of one lane's folder.

use super::{
    Cut, LaneRecovery, carry,
    tail::{self, Tail},
};
use crate::{
    disk::{Disk, DiskFile},
    error::OpenError,
    fault::is_full,
    lane::{group::Chain, writer::Tip},
    layout, origin,
    recovery::DamagedRange,
    segment::SegmentInfo,
    watermark::WatermarkFile,
};
use forebay_record::{
    FRAME_HEADER_BYTES, FrameHeader, FrameKind, GROUP_ALIGN, LaneId, Lsn, Predecessor, SEGMENT_HEADER_BYTES,
    SealSummary, Seed, SegmentHeader, SegmentId, Seq, StoreId, Watermark, WatermarkSeed,
};
use std::{
    cmp::Ordering,
    io,
    path::{Path, PathBuf},
};

/// Copies of cut tails kept in a lane; the oldest go first.
const QUARANTINE_MAX: usize = 16;

/// A lane ready to go on.
pub(crate) struct RecoveredLane {
    pub(crate) report: LaneRecovery,
    pub(crate) tip: Tip,
    pub(crate) watermark: WatermarkFile,
    pub(crate) segments: Vec<SegmentInfo>,
    /// Segments of which nothing but the header was read.
    pub(crate) unread: Vec<SegmentId>,
}

/// Opens the lane in `dir`, making it if it does not exist.
///
/// # Errors
/// When a file cannot be read or written, or belongs elsewhere.
pub(crate) fn recover(
    disk: &dyn Disk,
    store: StoreId,
    lane: LaneId,
    dir: &Path,
) -> Result<RecoveredLane, OpenError> {
    let io = |what, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { what, path, source }
    };
    disk.create_dir(dir).map_err(io("make", dir))?;
    let names = disk.list(dir).map_err(io("list", dir))?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        let path = dir.join(name);
        disk.remove(&path).map_err(io("remove", &path))?;
    }
    let mut ids: Vec<_> = names.iter().filter_map(|name| layout::segment_of_name(name)).collect();
    ids.sort_unstable();
    let path = layout::watermark_path(dir);
    let seed = WatermarkSeed { store, lane };
    let mut watermark = WatermarkFile::open(disk, dir, seed).map_err(io("open or make", &path))?;
    let mark = watermark.newest();
    remove_begun_in_vain(disk, dir, &mut ids, mark).map_err(io("remove failed segments of", dir))?;

    let mut recovering = Recovering { disk, lane, dir, segments: Vec::new(), damage: Vec::new() };
    let mut last = None;
    for &id in &ids {
        match recovering.read_header(store, id)? {
            Some(header) => last = Some(header),
            None => recovering.damage.push(DamagedRange {
                segment: id,
                bytes: 0..0,
                lsn: Lsn(0)..Lsn(0),
                seq: Seq(0)..Seq(0),
                what: String::new(),
            }),
        }
    }
    recovering.name_unreadable(&ids, mark);
    if let Some(mark) = mark.filter(|mark| ids.is_empty() && mark.durable_lsn > Lsn(0)) {
        // Retention never takes the newest: somebody did.
        recovering.damage.push(DamagedRange {
            segment: mark.segment,
            bytes: 0..0,
            lsn: mark.durable_lsn..mark.durable_lsn.next(),
            seq: mark.next_seq..mark.next_seq,
            what: "all segments of the lane are missing; what they held is not known".to_owned(),
        });
    }
    let newest = ids.last().copied().max(mark.map(|m| m.segment.max(m.failed_through)));
    let newest = newest.unwrap_or(SegmentId(0));
    let mut report = LaneRecovery {
        lane,
        durable_lsn: Lsn(0),
        next_seq: Seq(0),
        segments: 0,
        scanned_bytes: 0,
        cut: None,
        damage: Vec::new(),
    };
    let End { mut next, mut segment, mut position } = match &last {
        None => End { next: first_chain(mark), segment: newest, position: SEGMENT_HEADER_BYTES as u64 },
        Some(header) => recovering.recover_tail(header, mark, newest, &mut report)?,
    };
    // Unreadable segments behind the last readable one may have held frames that no watermark names:
    // numbers that may have been given out are not given out again.
    let behind = recovering.damage.iter().filter(|d| last.as_ref().is_none_or(|l| d.segment > l.id));
    for range in behind {
        next = Chain {
            lsn: next.lsn.max(range.lsn.end),
            seq: next.seq.max(range.seq.end),
            prev_crc: next.prev_crc,
        };
        if range.segment >= segment {
            // Readers are to hear of what stood there, also while nothing follows it.
            (segment, position) = (range.segment, range.bytes.end);
        }
    }
    if let Some(mark) = mark.filter(|mark| mark.segment > segment && !ids.contains(&mark.segment)) {
        // So they are of a newest segment that is gone.
        (segment, position) = (mark.segment, mark.end);
    }
    mutant!(SequenceReused, {
        next.seq = first_chain(mark).seq;
    });
    report.durable_lsn = Lsn(next.lsn.0 - 1);
    report.next_seq = next.seq;
    report.segments = recovering.segments.len();
    report.damage.append(&mut recovering.damage);
    report.log_damage();
    disk.sync_dir(dir).map_err(io("sync", dir))?;
    // What is kept is on disk: now readers may know.
    let publish =
        !ids.is_empty() && mark.is_none_or(|m| m.durable_lsn != report.durable_lsn || m.segment != segment);
    if publish {
        watermark.publish(Watermark {
            count: 0,
            durable_lsn: report.durable_lsn,
            next_seq: next.seq,
            segment,
            end: position,
            chain_crc: next.prev_crc,
            failed_through: SegmentId(0),
        });
        watermark.flush().map_err(io("flush", &path))?;
    }
    mutant!(PublishedBeforeFlush, {
        if let Some(last) = recovering.segments.last() {
            let flushed = disk.open(&layout::segment_path(dir, last.id)).and_then(|file| file.flush());
            flushed.map_err(io("flush", dir))?;
        }
    });
    let predecessor =
        recovering.segments.last().map_or(Predecessor::None, |last| Predecessor::Whole(last.id));
    let tip = Tip { next, segment: newest.max(segment), predecessor };
    let read = last.as_ref().filter(|_| report.scanned_bytes > 0).map(|last| last.id);
    let unread = ids.into_iter().filter(|&id| Some(id) != read).collect();
    Ok(RecoveredLane { report, tip, watermark, segments: recovering.segments, unread })
}

/// Removes segments behind the watermark's that were begun while the disk failed, where the watermark says that
/// nothing in them counts: their frames' senders were refused.
fn remove_begun_in_vain(
    disk: &dyn Disk,
    dir: &Path,
    ids: &mut Vec<SegmentId>,
    mark: Option<Watermark>,
) -> io::Result<()> {
    let Some(mark) = mark else { return Ok(()) };
    // A later one was begun and says itself what it follows; and without the watermark's own segment these
    // would be all that says where the lane stands.
    if ids.last().is_none_or(|&last| last > mark.failed_through) || !ids.contains(&mark.segment) {
        return Ok(());
    }
    for id in ids.split_off(ids.partition_point(|&id| id <= mark.segment)) {
        disk.remove(&layout::segment_path(dir, id))?;
    }
    Ok(())
}

fn first_chain(mark: Option<Watermark>) -> Chain {
    mark.map_or(Chain { lsn: Lsn(1), seq: Seq(0), prev_crc: 0 }, |m| Chain {
        lsn: m.durable_lsn.next(),
        seq: m.next_seq,
        prev_crc: m.chain_crc,
    })
}

/// Where a lane goes on.
struct End {
    next: Chain,
    /// Where the newest frame is, and where its durable bytes end.
    segment: SegmentId,
    position: u64,
}

/// What became of the frames that nothing proves.
enum Carried {
    /// They are in a segment of their own.
    To(SegmentInfo),
    /// There were none with records: nobody misses them.
    Nothing,
}

struct Recovering<'a> {
    disk: &'a dyn Disk,
    lane: LaneId,
    dir: &'a Path,
    segments: Vec<SegmentInfo>,
    damage: Vec<DamagedRange>,
}

impl Recovering<'_> {
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>, OpenError> {
        let failed = |source| OpenError::Io { what: "open", path: path.to_owned(), source };
        self.disk.open(path).map_err(failed)
    }

    /// A segment's header; `None` when the disk damaged it.
    fn read_header(&mut self, store: StoreId, id: SegmentId) -> Result<Option<SegmentHeader>, OpenError> {
        let path = layout::segment_path(self.dir, id);
        let failed = |source| OpenError::Io { what: "read", path: path.clone(), source };
        let file = self.open(&path)?;
        let bytes = file.len().map_err(failed)?;
        let mut block = vec![0; SEGMENT_HEADER_BYTES];
        // A block that cannot be read is as damaged as one that cannot be understood.
        let read = file.read_at(&mut block, 0).unwrap_or(0);
        let header = match SegmentHeader::decode(&block[..read]) {
            Ok(header) => header,
            Err(e) if e.is_of_another_version() => {
                return Err(OpenError::Version { path, what: e.to_string() });
            }
            Err(_) => {
                self.note(id, Chain::default(), 0, bytes);
                return Ok(None);
            }
        };
        origin::belongs(&header, store, self.lane, id.0, path)?;
        let base = Chain { lsn: header.base_lsn, seq: header.base_seq, prev_crc: header.prev_crc };
        self.note(id, base, header.created_at_ms, bytes);
        Ok(Some(header))
    }

    /// Adds a segment to the list; the one before it ended when this one was made.
    fn note(&mut self, id: SegmentId, base: Chain, created_at_ms: u64, bytes: u64) {
        if let Some(before) = self.segments.last_mut() {
            before.last_ms = Some(created_at_ms.max(before.created_at_ms));
        }
        self.segments.push(SegmentInfo {
            id,
            base_lsn: base.lsn,
            base_seq: base.seq,
            created_at_ms,
            last_ms: Some(created_at_ms),
            bytes,
        });
    }

    /// Works out what the segments with unreadable headers held, from the segments around them.
    fn name_unreadable(&mut self, ids: &[SegmentId], mark: Option<Watermark>) {
        let after_last = mark.map_or((Lsn(1), Seq(0)), |m| (m.durable_lsn.next(), m.next_seq));
        for range in &mut self.damage {
            let at = ids.binary_search(&range.segment).unwrap_or(0);
            let known = |info: &&SegmentInfo| info.base_lsn != Lsn(0);
            let bytes = self.segments[at].bytes;
            let from = self.segments[..at]
                .iter()
                .rfind(known)
                .map_or((Lsn(1), Seq(0)), |i| (i.base_lsn, i.base_seq));
            let to = self.segments[at..].iter().find(known).map(|i| (i.base_lsn, i.base_seq));
            // Nothing behind it: it cannot have held more frames and records than it has room for behind what
            // the watermark counts, which is all of the segments before its own.
            let counted = mark.map_or(0, |mark| match range.segment.cmp(&mark.segment) {
                Ordering::Less => bytes,
                Ordering::Equal => mark.end,
                Ordering::Greater => 0,
            });
            let most = bytes.saturating_sub(counted) / FRAME_HEADER_BYTES as u64;
            let to = to.unwrap_or((
                Lsn(after_last.0.0.max(from.0.0) + most),
                Seq(after_last.1.0.max(from.1.0) + most),
            ));
            range.bytes = 0..bytes;
            range.lsn = from.0..to.0;
            range.seq = from.1..to.1;
            "the segment's header cannot be read: at most these records".clone_into(&mut range.what);
            let info = &mut self.segments[at];
            (info.base_lsn, info.base_seq) = (to.0, to.1);
        }
    }

    /// Recovers the last readable segment.
    fn recover_tail(
        &mut self,
        header: &SegmentHeader,
        mark: Option<Watermark>,
        newest: SegmentId,
        report: &mut LaneRecovery,
    ) -> Result<End, OpenError> {
        let path = layout::segment_path(self.dir, header.id);
        let failed = |what| {
            let path = path.clone();
            move |source| OpenError::Io { what, path, source }
        };
        let file = self.open(&path)?;
        if let Some(mark) = mark
            && let Some(seal) = seal(&*file, header, &mark)
        {
            // Whatever lies behind the seal was never used.
            if file.len().map_err(failed("read"))? > mark.end {
                file.set_len(mark.end).map_err(failed("cut"))?;
            }
            if let Some(info) = self.segments.iter_mut().find(|info| info.id == header.id) {
                info.bytes = info.bytes.min(mark.end);
                info.last_ms = Some(header.created_at_ms.max(seal.received_last_ms));
            }
            return Ok(End { next: first_chain(Some(mark)), segment: header.id, position: mark.end });
        }
        mutant!(WatermarkBelieved, {
            if let Some(mark) = mark.filter(|mark| mark.segment == header.id) {
                return Ok(End { next: first_chain(Some(mark)), segment: header.id, position: mark.end });
            }
        });
        let mut stream = file.stream().map_err(failed("read"))?;
        let tail = tail::read(&mut *stream, header, mark);
        if let Some((position, what)) = tail.of_another_version {
            // Neither damage nor a torn tail: nothing of it is touched.
            let what = origin::of_another_version(format!("at byte {position}, {what}")).to_string();
            return Err(OpenError::Version { path, what });
        }
        let bytes = stream.upto(usize::MAX);
        report.scanned_bytes = bytes.len() as u64;
        self.drop_index(header.id)?;
        if let Some(torn_end) = tail.torn {
            let torn = &bytes[to_index(tail.end)..to_index(torn_end)];
            let copy = self.quarantine(header.id, tail.end, torn);
            // What every crash leaves: nobody needs to do anything.
            tracing::info!(
                lane = %self.lane, segment = header.id.0, position = tail.end, bytes = torn.len(), ?copy,
                "a torn tail, never acknowledged, is cut"
            );
            report.cut = Some(Cut { segment: header.id, position: tail.end, bytes: torn.len() as u64, copy });
        }
        // A group at most: the rest of the file's bytes are not needed any more.
        // Its padding may have been cut off.
        let end = to_index(tail.end).min(bytes.len());
        let unproven = bytes[to_index(tail.unproven_from).min(end)..end].to_vec();
        drop(stream);
        // Damaged and not torn: nothing about this file is changed.
        let cut = tail.damage.is_empty() || tail.torn.is_some();
        if cut {
            // Before anything is carried over: on a full disk this makes the room for it. And for good: what is torn
            // must not come back behind frames that stand elsewhere then.
            file.set_len(tail.end).map_err(failed("cut"))?;
            file.flush().map_err(failed("flush"))?;
        }
        let carried = mutant!(TailNotCarried: None, else self.carry(&unproven, header, &tail, newest)?);
        let end = if carried.is_some() { tail.unproven_from } else { tail.end };
        if cut && end < tail.end {
            file.set_len(end).map_err(failed("cut"))?;
        }
        file.flush().map_err(failed("flush"))?;
        let bytes = file.len().map_err(failed("read"))?;
        if let Some(info) = self.segments.iter_mut().find(|info| info.id == header.id) {
            info.bytes = bytes;
            info.last_ms = Some(tail.last_ms);
        }
        report.damage = tail.damage;
        Ok(match carried {
            Some(Carried::To(info)) => {
                let end = End { next: tail.next_of_records, segment: info.id, position: info.bytes };
                self.segments.push(info);
                end
            }
            Some(Carried::Nothing) => End { next: tail.next_of_records, segment: header.id, position: end },
            None => End { next: tail.next, segment: header.id, position: end },
        })
    }

    /// Removes the index of the segment whose end is looked for, if the last process came to make one: it may speak
    /// of more than what is kept. Housekeeping makes it anew.
    fn drop_index(&self, id: SegmentId) -> Result<(), OpenError> {
        let path = layout::index_path(self.dir, id);
        match self.disk.remove(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.disk.sync_dir(self.dir)).map_err(|source| OpenError::Io {
                what: "remove",
                path,
                source,
            }),
        }
    }

    /// Carries what nothing proves over to a fresh segment; `None` if it stays where it is.
    fn carry(
        &self,
        unproven: &[u8],
        header: &SegmentHeader,
        tail: &Tail,
        newest: SegmentId,
    ) -> Result<Option<Carried>, OpenError> {
        // A later segment, though it cannot be read, was begun when all of this one was durable.
        if tail.unproven_from == tail.end || self.segments.last().is_some_and(|last| last.id > header.id) {
            return Ok(None);
        }
        if tail.unproven.is_empty() {
            return Ok(Some(Carried::Nothing));
        }
        let id = SegmentId(newest.0 + 1);
        // Without room for it the lane is not opened: what readers are shown where it stands now, a power cut may
        // take. The last process's prepared segments and this one's unused end have made room already, and it is no
        // larger than it must be.
        let carry = || carry::carry(self.disk, self.dir, unproven, header, tail, id);
        let carried = carry().or_else(|e| if is_full(&e) && self.make_room()? { carry() } else { Err(e) });
        let failed = |source| {
            let path = layout::segment_path(self.dir, id);
            OpenError::Io { what: "carry unproven frames over to", path, source }
        };
        carried.map(|info| Some(Carried::To(info))).map_err(failed)
    }

    /// Gives up what is only of use: copies of cut tails, and indexes, which are made anew. Says whether there was any.
    fn make_room(&self) -> io::Result<bool> {
        let quarantine = layout::quarantine_dir(self.dir);
        let mut made = false;
        for (dir, end) in [(&*quarantine, ".cut"), (self.dir, ".idx")] {
            for name in self.disk.list(dir)?.iter().filter(|name| name.ends_with(end)) {
                self.disk.remove(&dir.join(name))?;
                made = true;
            }
        }
        if made {
            tracing::warn!(
                lane = %self.lane,
                "the disk is full: copies of torn tails and indexes were removed, for what is to be kept"
            );
        }
        Ok(made)
    }

    /// Keeps a copy of what is about to be cut. That a full disk prevents it must not prevent the start.
    fn quarantine(&self, id: SegmentId, position: u64, torn: &[u8]) -> Option<PathBuf> {
        let dir = layout::quarantine_dir(self.dir);
        let path = dir.join(format!("{id}-{position}.cut"));
        let keep = || -> io::Result<()> {
            self.disk.create_dir(&dir)?;
            // Of its own kind only: what a repair has put here are the only copies of what it gave up.
            let mut names = self.disk.list(&dir)?;
            names.retain(|name| name.ends_with(".cut"));
            names.sort_unstable();
            for name in names.iter().rev().skip(QUARANTINE_MAX - 1) {
                self.disk.remove(&dir.join(name))?;
            }
            let file = self.disk.create(&path)?;
            file.write_at(torn, 0)?;
            file.flush()?;
            self.disk.sync_dir(&dir)
        };
        match keep() {
            Ok(()) => Some(path),
            Err(error) => {
                tracing::warn!(lane = %self.lane, %error, "cannot keep a copy of the torn tail");
                let _ = self.disk.remove(&path);
                None
            }
        }
    }
}

/// The seal that the segment ends with, if the watermark says that it does: then nothing else of it needs to be
/// read.
fn seal(file: &dyn DiskFile, header: &SegmentHeader, mark: &Watermark) -> Option<SealSummary> {
    let seal = mark.end.saturating_sub(GROUP_ALIGN as u64);
    if mark.segment != header.id || seal < SEGMENT_HEADER_BYTES as u64 {
        return None;
    }
    let mut group = vec![0; GROUP_ALIGN];
    let seed = Seed { salt: header.salt, position: seal };
    file.read_at(&mut group, seal).ok().filter(|&read| read == GROUP_ALIGN)?;
    let frame = FrameHeader::decode(&group, seed).ok()?;
    let is_it = frame.kind == FrameKind::Seal && frame.lsn == mark.durable_lsn;
    SealSummary::decode(frame.payload(&group).ok().filter(|_| is_it)?)
}

fn to_index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
