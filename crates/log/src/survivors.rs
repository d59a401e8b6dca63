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

#[cfg(test)]
mod tests {
    use super::survivor;
    use crate::{sample::LaneWriter, segment::map::SegmentMap};
    use forebay_record::{LaneId, Lsn, resync};

    #[test]
    fn windows_find_what_a_search_of_the_whole_finds() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut lane = LaneWriter::new(dir.path(), LaneId(0));
        let events: Vec<String> = (0..200usize).map(|n| "x".repeat(n * 37 % 5000)).collect();
        for event in &events {
            lane.frame(1, "t", &[(event, None)]);
        }
        lane.commit();
        let map = SegmentMap::open(&lane.segment_path(1)).expect("a segment");
        let (end, ..) = lane.stand();
        assert!(end > 2 * super::WINDOW - 200_000, "more than one window: {end}");
        for position in (0..end).step_by(9973).chain([super::WINDOW - 1, super::WINDOW, end - 1]) {
            for (limit, least) in [(end, Lsn(0)), (end, Lsn(150)), (end / 2, Lsn(1)), (end / 2 + 3, Lsn(90))]
            {
                let whole = resync(map.bytes(limit), map.header().salt, position as u64, least);
                let expected =
                    whole.map(|frame| (usize::try_from(frame.position).expect("small"), frame.header));
                assert_eq!(survivor(&map, limit, position, least), expected, "{position} {limit} {least:?}");
            }
        }
    }
}
