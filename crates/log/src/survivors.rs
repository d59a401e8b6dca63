//! Looking behind damage in a segment without touching what may be cut off meanwhile.
//!
//! A segment that has just ended still has unused bytes behind its last frame, which its writer gives back at
//! any moment. A walk never gets there; a search for survivors does. So the search reads the file, in windows
//! and around places that the disk cannot read, and asks for a frame's bytes only where a checksummed header
//! says that there is one: those bytes stay.

use crate::{
    disk::{DiskFile, is_unreadable},
    segment::window::{Source, Trouble},
};
use forebay_record::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, Lsn, Seed};
use std::{io, ops::Range};

const WINDOW: usize = 256 << 10;
/// What is read on its own where a window cannot be read: what the system reads at once, and the disk.
const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// The next place behind `position` and before the end of `source`, whose file is `file`, where a frame with
/// an lsn of at least `least` validates, header and payload.
///
/// # Errors
/// When the file cannot be read for another reason than that the disk cannot.
pub(crate) fn survivor(
    source: &mut impl Source<Error = io::Error>,
    file: &dyn DiskFile,
    salt: u64,
    position: usize,
    least: Lsn,
) -> io::Result<Option<(usize, FrameHeader)>> {
    let Some(mut start) = position.checked_add(1).and_then(|p| p.checked_next_multiple_of(FRAME_ALIGN))
    else {
        return Ok(None);
    };
    let mut window = vec![0; WINDOW.min(source.end().saturating_sub(start))];
    while start < source.end() {
        let len = window.len().min(source.end() - start);
        let read = read_around(file, &mut window[..len], start as u64)?;
        let places = read.saturating_sub(FRAME_HEADER_BYTES - 1);
        for at in (0..places).step_by(FRAME_ALIGN) {
            let here = start + at;
            let seed = Seed { salt, position: here as u64 };
            let room = source.end() - here;
            if let Ok(header) = FrameHeader::decode_within(&window[at..read], room, seed)
                && header.lsn >= least
            {
                let frame = FRAME_HEADER_BYTES + header.stored_len as usize;
                match source.get(here..here + frame) {
                    Ok(frame) if header.payload(frame).is_ok() => return Ok(Some((here, header))),
                    Ok(_) | Err(Trouble::Unreadable) => {}
                    Err(Trouble::Failed(e)) => return Err(e),
                }
            }
        }
        if read < len || len < WINDOW {
            return Ok(None);
        }
        start += places.next_multiple_of(FRAME_ALIGN);
    }
    Ok(None)
}

/// Reads what there is at `offset`, with zeros for what the disk cannot read: those sectors and no others.
pub(crate) fn read_around(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    read_by(&[PAGE, SECTOR], file, buffer, offset)
}

/// Reads all at once or, where that cannot be, in pieces of the first of `sizes`, and those in pieces of the next.
fn read_by(sizes: &[usize], file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    match file.read_at(buffer, offset) {
        Err(e) if is_unreadable(&e) => {}
        read => return read,
    }
    let Some((&size, smaller)) = sizes.split_first() else {
        buffer.fill(0);
        return Ok(buffer.len());
    };
    let mut read = 0;
    while read < buffer.len() {
        let at = offset + read as u64;
        let into = usize::try_from(at % size as u64).unwrap_or(0);
        let len = (size - into).min(buffer.len() - read);
        let piece = read_by(smaller, file, &mut buffer[read..read + len], at)?;
        read += piece;
        if piece < len {
            break;
        }
    }
    Ok(read)
}

/// The place behind the last byte in `range` of a file that is not zero.
pub(crate) fn last_used(file: &dyn DiskFile, range: Range<usize>) -> io::Result<Option<usize>> {
    let mut window = vec![0; WINDOW.min(range.len())];
    let mut end = range.end;
    while end > range.start {
        let start = end.saturating_sub(WINDOW).max(range.start);
        let read = read_around(file, &mut window[..end - start], start as u64)?;
        if let Some(last) = window[..read].iter().rposition(|&b| b != 0) {
            return Ok(Some(start + last + 1));
        }
        end = start;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::{WINDOW, last_used, survivor};
    use crate::{
        disk::{Disk as _, RealDisk},
        sample::LaneWriter,
        segment::window::Copies,
    };
    use forebay_record::{LaneId, Lsn, resync};
    use std::fs;

    #[test]
    fn windows_find_what_a_search_of_the_whole_finds() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut lane = LaneWriter::new(dir.path(), LaneId(0));
        let events: Vec<String> = (0..200usize).map(|n| "x".repeat(n * 37 % 5000)).collect();
        for event in &events {
            lane.frame(1, "t", &[(event, None)]);
        }
        lane.commit();
        let path = lane.segment_path(1);
        let file = RealDisk.open_read(&path).expect("a segment");
        let bytes = fs::read(&path).expect("a segment");
        let (end, ..) = lane.stand();
        assert!(end > 2 * WINDOW - 200_000, "more than one window: {end}");
        for position in (0..end).step_by(9973).chain([WINDOW - 1, WINDOW, end - 1]) {
            for (limit, least) in [(end, Lsn(0)), (end, Lsn(150)), (end / 2, Lsn(1)), (end / 2 + 3, Lsn(90))]
            {
                let whole = resync(&bytes[..limit], lane.header.salt, position as u64, least);
                let expected =
                    whole.map(|frame| (usize::try_from(frame.position).expect("small"), frame.header));
                let mut source = Copies::of(&*file).expect("a length");
                source.cut(limit);
                let found = survivor(&mut source, &*file, lane.header.salt, position, least);
                assert_eq!(found.expect("readable"), expected, "{position} {limit} {least:?}");
            }
        }
    }

    #[test]
    fn the_last_used_byte_is_found_in_any_window() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        for at in [0, 1, 4095, WINDOW - 1, WINDOW, 2 * WINDOW + 77] {
            let mut bytes = vec![0; 3 * WINDOW];
            bytes[at] = 1;
            fs::write(&path, &bytes).expect("written");
            let file = RealDisk.open_read(&path).expect("a file");
            for end in [bytes.len(), at + 1] {
                assert_eq!(last_used(&*file, 0..end).expect("readable"), Some(at + 1));
            }
            assert_eq!(last_used(&*file, at + 1..bytes.len()).expect("readable"), None);
            assert_eq!(last_used(&*file, 0..at).expect("readable"), None);
        }
    }
}
