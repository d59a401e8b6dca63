//! Carrying frames that nothing proves over to a fresh segment.
//!
//! Behind the newest proven frame may stand whole frames: of a group whose flush was under way, or had returned
//! and been acknowledged, when the machine or the process went down. After a kill they may stand in the cache
//! only, clean, left by a flush that failed; so a flush alone does not make them durable. Writing them again in
//! place would, and would tear what a power cut meets half written, acknowledged or not. So they go to a segment
//! of their own, which gets its name when it is whole and durable; the old one is not touched until then.

use super::tail::Tail;
use crate::{disk::Disk, layout, segment::SegmentInfo};
use forebay_record::{
    FRAME_HEADER_BYTES, Predecessor, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, SegmentId, align_group,
};
use std::{io, path::Path};

/// Makes the segment `id` of the frames that nothing proves; `unproven` are the bytes they stand in, those of the
/// segment that `header` belongs to from `tail.unproven_from` on.
///
/// # Errors
/// As the disk says; then nothing has changed.
pub(super) fn carry(
    disk: &dyn Disk,
    dir: &Path,
    unproven: &[u8],
    header: &SegmentHeader,
    tail: &Tail,
    id: SegmentId,
) -> io::Result<SegmentInfo> {
    let Some(first) = tail.unproven.first() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut fresh = SegmentHeader {
        id,
        generation: 0,
        base_lsn: first.header.lsn,
        base_seq: first.header.first_seq,
        // Random as the old one, and another.
        salt: mix(header.salt ^ id.0),
        created_at_ms: tail.last_ms,
        predecessor: Predecessor::Failed { id: header.id, end: tail.unproven_from },
        prev_crc: first.header.prev_crc,
        ..*header
    };
    let start = usize::try_from(tail.unproven_from).unwrap_or(usize::MAX);
    let mut copy = vec![0; SEGMENT_HEADER_BYTES];
    for frame in &tail.unproven {
        let (at, len) = (copy.len(), frame.header.stored_len as usize);
        let seed = Seed { salt: fresh.salt, position: at as u64 };
        copy.extend_from_slice(&frame.header.encode(seed));
        let payload = frame.position.saturating_sub(start) + FRAME_HEADER_BYTES;
        copy.extend_from_slice(unproven.get(payload..payload + len).unwrap_or_default());
        copy.resize(at + frame.header.extent(at), 0);
    }
    copy.resize(align_group(copy.len()), 0);
    fresh.capacity = copy.len() as u64;
    copy[..SEGMENT_HEADER_BYTES].copy_from_slice(&fresh.encode()[..]);

    let beside = dir.join(format!("prepared-carried-{id}.tmp"));
    let put = || {
        let file = disk.create(&beside)?;
        mutant!(CarriedUnflushed: file.write_at(&copy, 0), else mutant!(PublishedBeforeFlush: file.write_at(&copy, 0), else file.write_durable(&copy, 0)))?;
        disk.rename(&beside, &layout::segment_path(dir, id))?;
        disk.sync_dir(dir)
    };
    put().inspect_err(|_| {
        let _ = disk.remove(&beside);
    })?;
    Ok(SegmentInfo {
        id,
        base_lsn: fresh.base_lsn,
        base_seq: fresh.base_seq,
        created_at_ms: fresh.created_at_ms,
        last_ms: Some(fresh.created_at_ms),
        bytes: fresh.capacity,
    })
}

/// The finaliser of `SplitMix64`.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
