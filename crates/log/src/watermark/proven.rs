//! How far a lane's own frames prove it durable, for when its watermark file was lost.

use super::Durable;
use crate::{
    disk::DiskFile,
    lane_view::LaneView,
    read_error::ReadError,
    segment::window::{Copies, Source},
    track::{Find, Place, Track},
};
use forebay_record::{FRAME_HEADER_BYTES, Lsn, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId, Watermark};
use std::{collections::VecDeque, io};

impl Durable {
    /// Sound at any time: a frame only ever names what was durable before it was written, and a segment is
    /// begun when all before it is.
    pub(crate) fn proven(view: &mut LaneView) -> Result<Option<Durable>, ReadError> {
        let ids = view.segments()?;
        for (i, &id) in ids.iter().enumerate().rev() {
            let Some(Ok(header)) = view.header(id)? else { continue };
            let path = view.segment_path(id);
            let file = match view.disk().open_read(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                file => file.map_err(ReadError::of("open", &path))?,
            };
            let (proven, open) = last_frames(&*file, &header).map_err(ReadError::of("read", &path))?;
            if let Some((_, after)) = open.filter(|(lsn, _)| *lsn <= proven) {
                return Ok(Some(Durable::told(Watermark {
                    count: 0,
                    durable_lsn: Lsn(after.lsn.0.saturating_sub(1)),
                    next_seq: after.seq,
                    segment: id,
                    end: after.position as u64,
                    chain_crc: after.prev_crc,
                    failed_through: SegmentId(0),
                })));
            }
            // The segment was begun, so all that counts of the one before it was durable; also where retention has
            // taken that one since.
            if header.base_lsn > Lsn(1) {
                let before = i.checked_sub(1).and_then(|before| ids.get(before));
                let (segment, end) = before.map_or((id, SEGMENT_HEADER_BYTES as u64), |&id| (id, u64::MAX));
                return Ok(Some(Durable::told(Watermark {
                    count: 0,
                    durable_lsn: Lsn(header.base_lsn.0 - 1),
                    next_seq: header.base_seq,
                    segment,
                    end,
                    chain_crc: header.prev_crc,
                    failed_through: SegmentId(0),
                })));
            }
        }
        Ok(None)
    }
}

/// The newest frame that the frames of a segment prove, and the first one of them that ends behind it.
fn last_frames(file: &dyn DiskFile, header: &SegmentHeader) -> io::Result<(Lsn, Option<(Lsn, Place)>)> {
    // Copies: the file may be cut by a server that starts right now.
    let mut bytes = Copies::of(file)?;
    let first = SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES;
    if bytes.get(first.clone()).is_ok_and(|head| head.iter().all(|&b| b == 0)) {
        // It has no frame yet: what is still to be written is not pulled into the cache.
        bytes.cut(first.end);
    }
    let mut track = Track { bytes, salt: header.salt, place: Place::first(header), goal: None };
    let (mut proven, mut open) = (Lsn(0), VecDeque::new());
    loop {
        match track.next(&|_| false)? {
            Find::Frame(found) => {
                proven = proven.max(found.header.durable_lsn);
                open.push_back((found.header.lsn, track.place));
                while open.front().is_some_and(|(_, after)| after.lsn <= proven) {
                    open.pop_front();
                }
            }
            Find::Damage(_) => {}
            Find::End => return Ok((proven, open.pop_front())),
        }
    }
}
