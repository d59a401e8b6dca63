//! Looking behind damage in a mapped segment without touching what may be cut off meanwhile.
//!
//! A segment that has just ended still has unused bytes behind its last frame, which its writer gives back at
//! any moment. A walk never gets there; a search for survivors does. So the search reads the file in windows,
//! and touches the map only where a checksummed header says that there is a frame: those bytes stay.

use crate::segment::map::SegmentMap;
use forebay_record::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameError, FrameHeader, Lsn, Seed};

const WINDOW: usize = 256 << 10;

/// The next place behind `position` and below `limit` where a frame with an lsn of at least `least`
/// validates, header and payload.
pub(crate) fn survivor(
    map: &SegmentMap,
    limit: usize,
    position: usize,
    least: Lsn,
) -> Option<(usize, FrameHeader)> {
    let salt = map.header().salt;
    let mut window = vec![0; WINDOW];
    let mut start = position.checked_add(1)?.next_multiple_of(FRAME_ALIGN);
    while start < limit {
        let len = window.len().min(limit - start);
        let read = map.read_at(&mut window[..len], start as u64).ok()?;
        let places = read.saturating_sub(FRAME_HEADER_BYTES - 1);
        for at in (0..places).step_by(FRAME_ALIGN) {
            let here = start + at;
            let seed = Seed { salt, position: here as u64 };
            // A frame that reaches out of the window fails only after its header's checksum was right.
            let header = FrameHeader::decode(&window[at..read], seed);
            if matches!(header, Ok(_) | Err(FrameError::Length(_)))
                && let Some(rest) = map.bytes(limit).get(here..)
                && let Ok(header) = FrameHeader::decode(rest, seed)
                && header.lsn >= least
                && header.payload(rest).is_ok()
            {
                return Some((here, header));
            }
        }
        if read < len || len < window.len() {
            return None;
        }
        start += places.next_multiple_of(FRAME_ALIGN);
    }
    None
}
