//! The payload of a frame that holds records.
//!
//! ```text
//! 0  token_len u16 | reserved u16 = 0 | meta_len u32
//! 8  directory: event_count entries of 40 bytes
//!    token bytes | meta bytes | event bytes
//! ```
//! `token` is the one that routed the records. `meta` is empty but for a replay (its query string).
//! Directory offsets count from the first of the event bytes.

use crate::{DIRECTORY_ENTRY_BYTES, DirectoryEntry};
use std::fmt;

/// Size of the fixed part in front of the directory.
pub const PREAMBLE_BYTES: usize = 8;

/// The lengths at the start of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// Length of the routing token in bytes.
    pub token_len: u16,
    /// Length of the meta bytes.
    pub meta_len: u32,
}

impl Preamble {
    /// The eight bytes on disk.
    #[must_use]
    pub fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let mut b = [0; PREAMBLE_BYTES];
        b[0..2].copy_from_slice(&self.token_len.to_le_bytes());
        b[4..8].copy_from_slice(&self.meta_len.to_le_bytes());
        b
    }
}

/// A checked view of a records payload: every entry lies inside it.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The token that routed these records, raw bytes as compared (escapes resolved).
    pub token: &'a [u8],
    /// See the module's layout.
    pub meta: &'a [u8],
    directory: &'a [u8],
    events: &'a [u8],
}

/// Why a payload with a right checksum cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// The lengths at its start reach past its end.
    Lengths,
    /// An entry's event reaches past the end.
    Entry(u32),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PayloadError::Lengths => f.write_str("payload lengths reach past its end"),
            PayloadError::Entry(i) => write!(f, "event {i} of the payload reaches past its end"),
        }
    }
}

impl std::error::Error for PayloadError {}

impl<'a> Payload<'a> {
    /// Bytes of a payload with these parts.
    #[must_use]
    pub fn bytes(token: usize, meta: usize, events: usize, event_bytes: usize) -> usize {
        PREAMBLE_BYTES + events * DIRECTORY_ENTRY_BYTES + token + meta + event_bytes
    }

    /// Checks the layout of `payload`, whose frame header says `event_count`.
    ///
    /// # Errors
    /// When a length or an entry points outside.
    pub fn parse(payload: &'a [u8], event_count: u32) -> Result<Payload<'a>, PayloadError> {
        let outside = PayloadError::Lengths;
        let (head, rest) = payload.split_at_checked(PREAMBLE_BYTES).ok_or(outside)?;
        let token_len = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let meta_len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let directory_len = (event_count as usize).checked_mul(DIRECTORY_ENTRY_BYTES).ok_or(outside)?;
        let (directory, rest) = rest.split_at_checked(directory_len).ok_or(outside)?;
        let (token, rest) = rest.split_at_checked(token_len).ok_or(outside)?;
        let (meta, events) = rest.split_at_checked(meta_len).ok_or(outside)?;
        let view = Payload { token, meta, directory, events };
        for (i, entry) in (0..event_count).zip(view.directory()) {
            if entry.offset as usize + entry.len as usize > events.len() {
                return Err(PayloadError::Entry(i));
            }
        }
        Ok(view)
    }

    /// The entries, in order.
    pub fn directory(&self) -> impl ExactSizeIterator<Item = DirectoryEntry> + use<'a> {
        let (entries, _) = self.directory.as_chunks::<DIRECTORY_ENTRY_BYTES>();
        entries.iter().map(DirectoryEntry::decode)
    }

    /// The entries with their events' bytes, in order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (DirectoryEntry, &'a [u8])> + use<'a> {
        self.events_from(0)
    }

    /// As [`Payload::events`], without the first `skip`, which are not looked at.
    pub fn events_from(
        &self,
        skip: usize,
    ) -> impl ExactSizeIterator<Item = (DirectoryEntry, &'a [u8])> + use<'a> {
        let events = self.events;
        let (entries, _) = self.directory.as_chunks::<DIRECTORY_ENTRY_BYTES>();
        let entries = entries.get(skip..).unwrap_or_default();
        entries
            .iter()
            .map(DirectoryEntry::decode)
            .map(move |e| (e, &events[e.offset as usize..][..e.len as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::payload;

    #[test]
    fn token_meta_and_events_read_back() {
        let events: [&[u8]; 3] = [b"{}", b"", b"{\"event\":\"x\"}"];
        let bytes = payload(b"token", b"distinct_id=7", &events);
        let view = Payload::parse(&bytes, 3).expect("as encoded");
        assert_eq!((view.token, view.meta), (&b"token"[..], &b"distinct_id=7"[..]));
        assert_eq!(view.events().map(|(_, e)| e).collect::<Vec<_>>(), events);
        assert_eq!(view.directory().len(), 3);
        assert_eq!(view.events_from(2).map(|(_, e)| e).collect::<Vec<_>>(), events[2..]);
        assert_eq!((view.events_from(3).len(), view.events_from(4).len()), (0, 0));
    }

    #[test]
    fn the_preamble_is_where_the_drawing_says() {
        let b = Preamble { token_len: 0x0102, meta_len: 0x0304_0506 }.encode();
        assert_eq!(b, [2, 1, 0, 0, 6, 5, 4, 3]);
    }

    #[test]
    fn a_cut_payload_is_refused_at_every_length() {
        let bytes = payload(b"tok", b"m", &[b"{}", b"{}"]);
        for len in 0..bytes.len() {
            assert!(Payload::parse(&bytes[..len], 2).is_err(), "{len} bytes");
        }
        assert!(Payload::parse(&bytes, 2).is_ok());
    }

    #[test]
    fn lengths_that_point_outside_are_refused() {
        let good = payload(b"tok", b"m", &[b"{}"]);
        let with = |at: usize, value: &[u8]| {
            let mut bytes = good.clone();
            bytes[at..at + value.len()].copy_from_slice(value);
            Payload::parse(&bytes, 1).map(|_| ()).expect_err("outside")
        };
        assert_eq!(with(0, &[0xff, 0xff]), PayloadError::Lengths);
        assert_eq!(with(4, &[0xff; 4]), PayloadError::Lengths);
        assert_eq!(with(8, &[1]), PayloadError::Entry(0), "offset 1, length 2, of 2 bytes");
        assert_eq!(with(8, &[0xff; 8]), PayloadError::Entry(0), "offset and length at their greatest");
        assert_eq!(Payload::parse(&good, u32::MAX).map(|_| ()), Err(PayloadError::Lengths));
    }
}
