//! Writing segments anew: with losses in the place of damage, or of nothing but a loss.

use super::{Repair, RepairError, RepairStep};
use crate::{
    disk::{Disk, DiskFile},
    index,
    lane_view::LaneView,
    layout,
    segment::window::Copies,
    survey::{Hole, Surveyed},
    survivors::{last_used, read_around},
    track::{Extent, Flaw, Goal},
    verify::range,
    watermark::WatermarkFile,
};
use forebay_record::{
    Endpoint, FRAME_HEADER_BYTES, FrameFlags, FrameHeader, FrameKind, GROUP_ALIGN, LossSummary, Lsn,
    Predecessor, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, SegmentId, Seq, Watermark, align_group, crc32c,
};
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// Files are copied in pieces of this size.
const COPY_BYTES: usize = 1 << 20;

/// What a segment's next generation changes.
pub(super) struct Rewrite {
    missealed: bool,
    segment: SegmentId,
    header: SegmentHeader,
    extents: Vec<Extent>,
    padding: Vec<Range<usize>>,
    complete: bool,
    goal: Option<Goal>,
    limit: usize,
}

impl Rewrite {
    pub(super) fn of(segment: &Surveyed) -> io::Result<Rewrite> {
        let mut extents = segment.extents.clone();
        if let Some(last) = extents.last_mut() {
            last.bytes.end = extent_end(segment, last)?;
        }
        let header = *segment.map.header();
        Ok(Rewrite {
            missealed: segment.missealed,
            segment: segment.id,
            header: SegmentHeader { generation: header.generation.saturating_add(1), ..header },
            extents,
            padding: segment.padding.clone(),
            complete: segment.complete,
            goal: segment.goal,
            limit: segment.limit,
        })
    }
}

/// Where a loss frame in the place of the segment's last extent ends.
fn extent_end(segment: &Surveyed, extent: &Extent) -> io::Result<usize> {
    if extent.bytes.end < segment.limit {
        return Ok(extent.bytes.end);
    }
    if let Some(end) = segment.durable_end {
        // The watermark says where the next frame is to start.
        return Ok(usize::try_from(end).unwrap_or(usize::MAX));
    }
    // To the segment's end, which is mostly zeros; or the file was cut short.
    let start = extent.bytes.start;
    let used = last_used(segment.map.file(), start..extent.bytes.end.min(segment.limit).max(start))?;
    Ok(align_group(used.unwrap_or(start).max(start + LossSummary::EXTENT_MIN)))
}

/// A loss frame that fills `bytes` of a segment; `None` if they are too few, or the loss too large for one
/// frame.
fn loss_frame(header: &SegmentHeader, extent: &Extent) -> Option<Vec<u8>> {
    let frames = extent.lsns.end.checked_sub(extent.lsns.start).filter(|&frames| frames > 0)?;
    let event_count = u32::try_from(extent.seqs.end.checked_sub(extent.seqs.start)?).ok()?;
    let payload_len = extent.bytes.len().checked_sub(FRAME_HEADER_BYTES)?;
    let stored_len = u32::try_from(payload_len).ok()?;
    let mut payload = LossSummary { frames, next_prev_crc: extent.next_prev_crc }.encode().to_vec();
    if payload_len < payload.len() {
        return None;
    }
    payload.resize(payload_len, 0);
    let frame = FrameHeader {
        kind: FrameKind::Loss,
        endpoint: Endpoint::Internal,
        flags: FrameFlags::default(),
        stored_len,
        raw_len: stored_len,
        payload_crc: crc32c(0, &payload),
        lsn: Lsn(extent.lsns.start),
        first_seq: Seq(extent.seqs.start),
        project: None,
        event_count,
        prev_crc: extent.prev_crc,
        received_at_ms: 0,
        client_ip: None,
        durable_lsn: Lsn(extent.lsns.start.saturating_sub(1)),
    };
    let seed = Seed { salt: header.salt, position: extent.bytes.start as u64 };
    let mut bytes = frame.encode(seed).to_vec();
    bytes.append(&mut payload);
    Some(bytes)
}

impl Repair {
    pub(super) fn rewrite(&mut self, view: &LaneView, rewrite: Rewrite) -> Result<(), RepairError> {
        let path = view.segment_path(rewrite.segment);
        // What stands where in the next generation.
        let mut patches: Vec<(usize, Vec<u8>)> = vec![(0, rewrite.header.encode().to_vec())];
        for extent in &rewrite.extents {
            let found = extent.flaw.to_string();
            let (bytes, seqs) = (range(&extent.bytes), extent.seqs.clone());
            let (patch, step) = match loss_frame(&rewrite.header, extent) {
                Some(frame) => (frame, RepairStep::Replace { bytes, seqs: seqs.clone() }),
                // Nothing says how much was lost here; the hole behind it does, and is filled.
                None if extent.lsns.is_empty() => (vec![0; extent.bytes.len()], RepairStep::Clear { bytes }),
                None => {
                    self.did(view.lane, path.clone(), RepairStep::Nothing, found);
                    continue;
                }
            };
            patches.push((extent.bytes.start, patch));
            let kept = self.keep_bytes(view, &rewrite, &path, &extent.bytes)?;
            let action = self.did(view.lane, path.clone(), step, found);
            (action.records_lost, action.kept) = (seqs.end.saturating_sub(seqs.start), Some(kept));
        }
        for padding in &rewrite.padding {
            patches.push((padding.start, vec![0; padding.len()]));
            let kept = self.keep_bytes(view, &rewrite, &path, padding)?;
            let step = RepairStep::Clear { bytes: range(padding) };
            let found = "bytes between frames are not zero".to_owned();
            self.did(view.lane, path.clone(), step, found).kept = Some(kept);
        }
        if self.applies() && (patches.len() > 1 || rewrite.missealed) {
            let (disk, beside) = (&**view.disk(), beside(view, rewrite.segment));
            let written = write_patched(disk, &path, &beside, &patches);
            written.map_err(RepairError::write("write the next generation of", &path))?;
            put_in_place(disk, &beside, &path).map_err(RepairError::write("replace", &path))?;
            write_index(view, &rewrite)?;
        }
        Ok(())
    }

    fn keep_bytes(
        &self,
        view: &LaneView,
        rewrite: &Rewrite,
        path: &Path,
        bytes: &Range<usize>,
    ) -> Result<PathBuf, RepairError> {
        let dir = layout::quarantine_dir(&view.dir);
        let Rewrite { segment, header, .. } = rewrite;
        let kept =
            dir.join(format!("{segment}-{}-{}-{}.damaged", header.generation - 1, bytes.start, bytes.end));
        if self.applies() {
            let disk = &**view.disk();
            let copy = || copy(disk, path, bytes.clone(), &kept);
            copy().map_err(RepairError::write("keep a copy of", path))?;
        }
        Ok(kept)
    }

    /// Fills a hole with a segment of one loss frame, and moves away what stands there.
    pub(super) fn fill(&mut self, view: &LaneView, hole: &Hole, mark: &Watermark) -> Result<(), RepairError> {
        let (lsns, seqs) = (hole.lsns(), hole.seqs());
        let found = hole_text(hole);
        let filler = match lsns.is_empty() {
            true => None,
            false => match filler_id(hole, mark) {
                Some(id) => Some(id),
                None => {
                    let after = hole.before.map_or(SegmentId(0), |id| id);
                    self.did(view.lane, view.segment_path(after), RepairStep::Nothing, found);
                    return Ok(());
                }
            },
        };
        // The filler first: until it stands, the files in the hole are all that says that there is one.
        if let Some(id) = filler {
            let there = hole.files.iter().any(|(file, _)| *file == id);
            let kept = if there { Some(self.set_aside(view, id, true)?) } else { None };
            let path = view.segment_path(id);
            if self.applies() {
                let bytes = filler_bytes(view, hole, mark, id).map_err(RepairError::write("fill", &path))?;
                put_filler(view, hole, mark, &bytes, id).map_err(RepairError::write("write", &path))?;
            }
            let action = self.did(view.lane, path, RepairStep::Fill { seqs: seqs.clone() }, found);
            (action.records_lost, action.kept) = (seqs.end.saturating_sub(seqs.start), kept);
        }
        for (id, flaw) in hole.files.iter().filter(|(id, _)| filler != Some(*id)) {
            let kept = self.set_aside(view, *id, false)?;
            let path = view.segment_path(*id);
            self.did(view.lane, path, RepairStep::SetAside, flaw.to_string()).kept = Some(kept);
        }
        Ok(())
    }

    /// Moves an unreadable segment to the quarantine, or copies it there if it is about to be replaced.
    fn set_aside(&self, view: &LaneView, id: SegmentId, replaced: bool) -> Result<PathBuf, RepairError> {
        let (path, kept) = (view.segment_path(id), kept_whole(view, id));
        if self.applies() {
            let disk = &**view.disk();
            let keep = || {
                if replaced {
                    let len = usize::try_from(disk.len(&path)?).unwrap_or(usize::MAX);
                    return copy(disk, &path, 0..len, &kept);
                }
                let dir = layout::quarantine_dir(&view.dir);
                disk.create_dir(&dir)?;
                disk.rename(&path, &kept)?;
                disk.sync_dir(&dir)?;
                disk.sync_dir(&view.dir)
            };
            keep().map_err(RepairError::write("set aside", &path))?;
        }
        Ok(kept)
    }
}

fn hole_text(hole: &Hole) -> String {
    match hole.files.first() {
        Some((_, flaw)) => flaw.to_string(),
        None => Flaw::Missing.to_string(),
    }
}

/// Where the whole of an unreadable segment is kept.
fn kept_whole(view: &LaneView, id: SegmentId) -> PathBuf {
    let dir = layout::quarantine_dir(&view.dir);
    let names = (0u32..).map(|n| dir.join(format!("{id}-whole-{n}.seg")));
    // The first name that is free; the directory is not being changed by anyone else.
    names.into_iter().find(|name| view.disk().len(name).is_err()).unwrap_or(dir)
}

/// Removed at the next start, should a crash leave it behind.
fn beside(view: &LaneView, id: SegmentId) -> PathBuf {
    view.dir.join(format!("prepared-repair-{id}.tmp"))
}

/// The id of a segment that fits into a hole: the one that what follows names, else any between.
fn filler_id(hole: &Hole, mark: &Watermark) -> Option<SegmentId> {
    let after = hole.before.map_or(0, |id| id.0);
    let Some(next) = hole.next else { return Some(mark.segment) };
    let named = match next.predecessor {
        Predecessor::Whole(id) | Predecessor::Failed { id, .. } => Some(id.0),
        Predecessor::None => None,
    };
    let fits = |id: &u64| *id > after && *id < next.id.0;
    named.filter(fits).or(next.id.0.checked_sub(1).filter(fits)).map(SegmentId)
}

fn filler_bytes(view: &LaneView, hole: &Hole, mark: &Watermark, id: SegmentId) -> io::Result<Vec<u8>> {
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(|e| io::Error::other(e.to_string()))?;
    let from = hole.from;
    let least = SEGMENT_HEADER_BYTES + GROUP_ALIGN;
    let end = match hole.next {
        None if mark.end != u64::MAX => usize::try_from(mark.end).unwrap_or(usize::MAX).max(least),
        _ => least,
    };
    let header = SegmentHeader {
        store: view.store(),
        lane: view.lane,
        id,
        generation: 1,
        base_lsn: from.lsn,
        base_seq: from.seq,
        salt: u64::from_le_bytes(salt),
        created_at_ms: hole.next.map_or(0, |next| next.created_at_ms),
        predecessor: hole.before.map_or(Predecessor::None, Predecessor::Whole),
        prev_crc: from.prev_crc,
        capacity: end as u64,
    };
    let extent = Extent {
        bytes: SEGMENT_HEADER_BYTES..end,
        lsns: from.lsn.0..hole.to.lsn.0,
        seqs: from.seq.0..hole.to.seq.0,
        prev_crc: from.prev_crc,
        next_prev_crc: hole.to.prev_crc,
        flaw: Flaw::Missing,
    };
    let frame =
        loss_frame(&header, &extent).ok_or_else(|| io::Error::other("the loss does not fit a frame"))?;
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&frame);
    Ok(bytes)
}

/// Makes `bytes` the segment `id`, in the place of `hole`.
fn put_filler(view: &LaneView, hole: &Hole, mark: &Watermark, bytes: &[u8], id: SegmentId) -> io::Result<()> {
    let (disk, beside, path) = (&**view.disk(), beside(view, id), view.segment_path(id));
    let end = bytes.len() as u64;
    if hole.next.is_none() && mark.end < end {
        // The watermark names a segment without a frame. It moves first: should we be cut off here, the next
        // repair fills the hole up to it.
        let mut file = WatermarkFile::open(disk, &view.dir, view.watermark_seed())?;
        file.publish(Watermark { segment: id, end, ..*mark });
        file.flush()?;
    }
    let file = disk.create(&beside)?;
    file.write_at(bytes, 0)?;
    file.flush()?;
    put_in_place(disk, &beside, &path)?;
    // One that was made of what stood here before must not stay.
    let header = SegmentHeader::decode(bytes).map_err(io::Error::other)?;
    match index::build(bytes, &header, None).and_then(|builder| builder.encode()) {
        Some(encoded) => index::write(disk, &view.index_path(id), &encoded),
        None => Ok(()),
    }
}

/// Copies what can be read of `range` of a file to `to`, durably; what the disk cannot read becomes zeros.
fn copy(disk: &dyn Disk, from: &Path, range: Range<usize>, to: &Path) -> io::Result<()> {
    let dir = to.parent().unwrap_or(Path::new("."));
    disk.create_dir(dir)?;
    // Beside, then renamed: a name in the quarantine leads to a whole copy.
    let beside = to.with_extension("tmp");
    let file = disk.create(&beside)?;
    copy_bytes(&*disk.open_read(from)?, range, &*file)?;
    file.flush()?;
    disk.rename(&beside, to)?;
    disk.sync_dir(dir)
}

/// Copies `range` of one file to the start of another.
fn copy_bytes(from: &dyn DiskFile, range: Range<usize>, to: &dyn DiskFile) -> io::Result<()> {
    let mut chunk = vec![0; COPY_BYTES.min(range.len())];
    for start in range.clone().step_by(COPY_BYTES) {
        let wanted = COPY_BYTES.min(range.end - start);
        let read = read_around(from, &mut chunk[..wanted], start as u64)?;
        to.write_at(&chunk[..read], (start - range.start) as u64)?;
        if read < wanted {
            break;
        }
    }
    Ok(())
}

/// Copies `from` with `patches` over it to `beside`, durably.
fn write_patched(
    disk: &dyn Disk,
    from: &Path,
    beside: &Path,
    patches: &[(usize, Vec<u8>)],
) -> io::Result<()> {
    let (from, file) = (disk.open_read(from)?, disk.create(beside)?);
    let len = usize::try_from(from.len()?).unwrap_or(usize::MAX);
    copy_bytes(&*from, 0..len, &*file)?;
    for (at, bytes) in patches {
        file.write_at(bytes, *at as u64)?;
    }
    file.flush()
}

/// Gives the file `beside` its name, durably.
fn put_in_place(disk: &dyn Disk, beside: &Path, path: &Path) -> io::Result<()> {
    disk.rename(beside, path)?;
    // A segment's folder is its parent: `path` was made by joining the two.
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the index of a segment that was written anew.
fn write_index(view: &LaneView, rewrite: &Rewrite) -> Result<(), RepairError> {
    let path = view.index_path(rewrite.segment);
    let Ok(map) = view.map(rewrite.segment)? else { return Ok(()) };
    let end = rewrite.extents.last().map_or(0, |extent| extent.bytes.end).max(rewrite.limit);
    let make = || {
        // Behind the newest segment's durable end a crash may have left whole frames: the next start decides
        // about them, and makes the index.
        if rewrite.complete || last_used(map.file(), end..map.file_len()?.max(end))?.is_none() {
            let mut bytes = Copies::of(map.file())?;
            bytes.cut(end);
            let built = index::build_from(bytes, map.header(), rewrite.goal)?;
            if let Some(encoded) = built.and_then(|builder| builder.encode()) {
                return index::write(&**view.disk(), &path, &encoded);
            }
        }
        // One of the generation before would only be ignored.
        match view.disk().remove(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    };
    make().map_err(RepairError::write("write", &path))
}
