//! Reading a lane's last segment: what is valid, what is proven, where it ends.

use super::DamagedRange;
use crate::{
    disk::DiskStream,
    lane::group::Chain,
    segment::window::{Source, Trouble},
    track::{Extent, Find, Place, Track},
};
use forebay_record::{FRAME_BYTES_MAX, FrameHeader, FrameKind, Lsn, SegmentHeader, Seq, Watermark};
use std::{convert::Infallible, ops::Range};

/// What the last segment comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// What the lane's next frame carries.
    pub(super) next: Chain,
    /// Where the frames that count end.
    pub(super) end: u64,
    /// Behind `end` lies something, never acknowledged, up to here.
    pub(super) torn: Option<u64>,
    /// From here to `end` nothing is proven to be on disk.
    pub(super) unproven_from: u64,
    /// The frames from there up to the last one with records: what is behind that nobody misses.
    pub(super) unproven: Vec<Unproven>,
    /// What the next frame carries behind those.
    pub(super) next_of_records: Chain,
    /// What was acknowledged and cannot be read.
    pub(super) damage: Vec<DamagedRange>,
    /// The newest receive time in it.
    pub(super) last_ms: u64,
    /// A frame that only another version can read, and where it lies.
    pub(super) of_another_version: Option<(u64, String)>,
}

/// A whole frame that nothing proves to be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unproven {
    pub(super) position: usize,
    pub(super) header: FrameHeader,
}

/// The bytes of a segment as they come.
struct Streamed<'s> {
    stream: &'s mut dyn DiskStream,
    end: usize,
}

impl Source for Streamed<'_> {
    type Error = Infallible;

    fn end(&self) -> usize {
        self.end
    }

    fn get(&mut self, range: Range<usize>) -> Result<&[u8], Trouble<Infallible>> {
        let end = range.end.min(self.end);
        Ok(&self.stream.upto(end)[range.start.min(end)..])
    }

    fn survivor(
        &mut self,
        salt: u64,
        position: usize,
        least: Lsn,
    ) -> Result<Option<(usize, FrameHeader)>, Infallible> {
        let mut bytes = self.stream.upto(self.end);
        // A segment is mostly unused: there is nothing to be found in zeros. What ends in zeros itself is a
        // frame at most.
        let end = written_bytes(bytes).saturating_add(FRAME_BYTES_MAX);
        bytes = &bytes[..end.min(bytes.len())];
        bytes.survivor(salt, position, least)
    }
}

/// Reads the lane's last segment in full; `mark` is what the watermark file says.
pub(super) fn read(stream: &mut dyn DiskStream, header: &SegmentHeader, mark: Option<Watermark>) -> Tail {
    let first = Place::first(header);
    // Behind a failed flush lies what was refused, however whole it looks.
    let failed = mark.filter(|m| m.segment == header.id && m.failed_through >= header.id);
    let limit = failed.and_then(|m| usize::try_from(m.end).ok()).unwrap_or(usize::MAX);
    let len = limit.min(stream.len());
    let bytes = Streamed { stream, end: len };
    let mut track = Track { bytes, salt: header.salt, place: first, goal: None };
    // The header itself proves that all before it was durable.
    let mut proven = Lsn(header.base_lsn.0.saturating_sub(1)).max(mark.map_or(Lsn(0), |m| m.durable_lsn));
    let mut frames: Vec<Unproven> = Vec::new();
    let mut breaks: Vec<(Place, Extent)> = Vec::new();
    let mut last_ms = header.created_at_ms;
    let mut sealed = false;
    let mut of_another_version = None;
    loop {
        let before = track.place;
        let Ok(find) = track.next(&|_| mutant!(RecoveryTrustsPayloads: false, else true));
        match find {
            Find::Frame(found) => {
                if found.header.durable_lsn > proven {
                    proven = found.header.durable_lsn;
                    frames.retain(|frame| frame.header.lsn > proven);
                }
                last_ms = last_ms.max(found.header.received_at_ms);
                if found.header.lsn > proven {
                    frames.push(Unproven { position: found.position, header: found.header });
                }
                if found.header.kind == FrameKind::Seal {
                    sealed = true;
                    break;
                }
            }
            Find::Damage(extent) => {
                if extent.flaw.is_of_another_version() {
                    of_another_version.get_or_insert((extent.bytes.start as u64, extent.flaw.to_string()));
                }
                breaks.push((before, extent));
            }
            Find::End => break,
        }
    }
    // A break behind all that is proven is where the torn tail starts; valid frames behind it belong to a
    // group that was never acknowledged.
    let torn_at = breaks.iter().position(|(before, _)| {
        mutant!(CutAtFirstBadFrame, {
            return true;
        });
        before.lsn > mutant!(TornTailKept: Lsn(u64::MAX), else proven)
    });
    let cut = torn_at.map(|i| breaks[i].0);
    breaks.truncate(torn_at.unwrap_or(breaks.len()));
    let end = cut.unwrap_or(track.place);
    // The last break reaches the end of the bytes when nothing valid follows it: what it held is known
    // only from the watermark file.
    let open_end = breaks.pop_if(|(_, extent)| cut.is_none() && extent.lsns.is_empty());
    let mut damage: Vec<_> = breaks.iter().map(|(_, extent)| range(header, extent)).collect();
    let missing = open_end.as_ref().map_or(end, |(before, _)| *before);
    let lost = mark.filter(|m| missing.lsn <= proven && cut.is_none() && m.durable_lsn == proven);
    let next = match lost {
        Some(mark) => {
            let what =
                open_end.map_or("no frame where there was one".to_owned(), |(_, e)| e.flaw.to_string());
            damage.push(DamagedRange {
                segment: header.id,
                bytes: missing.position as u64..len as u64,
                lsn: missing.lsn..proven.next(),
                seq: missing.seq..mark.next_seq.max(missing.seq),
                what,
            });
            Chain { lsn: proven.next(), seq: mark.next_seq.max(missing.seq), prev_crc: mark.chain_crc }
        }
        None => Chain { lsn: end.lsn, seq: end.seq, prev_crc: end.prev_crc },
    };
    let end_at = if lost.is_some() { len } else { end.position };
    let written = written_bytes(stream.upto(usize::MAX));
    frames.retain(|frame| frame.position < end_at);
    let unproven_from = frames.first().map_or(end_at, |frame| frame.position) as u64;
    let mut next_of_records = next;
    while let Some(frame) = frames.pop_if(|frame| !frame.header.kind.holds_records()) {
        let FrameHeader { lsn, first_seq, prev_crc, .. } = frame.header;
        next_of_records = Chain { lsn, seq: first_seq, prev_crc };
    }
    Tail {
        next,
        end: end_at as u64,
        torn: ((!sealed || failed.is_some()) && written > end_at).then_some(written as u64),
        unproven_from,
        unproven: frames,
        next_of_records,
        damage,
        last_ms,
        of_another_version,
    }
}

/// Up to and with the last byte that is not zero.
fn written_bytes(bytes: &[u8]) -> usize {
    const PAGE: usize = 4096;
    // Whole pages first: a segment is mostly unused, and comparing pages runs at memory speed.
    let page = bytes.chunks(PAGE).rposition(|page| page != &[0; PAGE][..page.len()]);
    let end = page.map_or(0, |page| ((page + 1) * PAGE).min(bytes.len()));
    bytes[..end].iter().rposition(|&b| b != 0).map_or(0, |last| last + 1)
}

fn range(header: &SegmentHeader, extent: &Extent) -> DamagedRange {
    DamagedRange {
        segment: header.id,
        bytes: extent.bytes.start as u64..extent.bytes.end as u64,
        lsn: Lsn(extent.lsns.start)..Lsn(extent.lsns.end),
        seq: Seq(extent.seqs.start)..Seq(extent.seqs.end),
        what: extent.flaw.to_string(),
    }
}
