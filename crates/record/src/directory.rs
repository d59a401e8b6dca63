//! The event directory: where each event of a frame lies, and where its few looked-at fields lie in it.
//!
//! Made by the scanner while it validates, so that no later reader has to parse an event to find its
//! name, id or time.

/// Size of one entry on disk.
pub const DIRECTORY_ENTRY_BYTES: usize = 40;

/// A field's raw bytes within its event, without the quotes for a string.
///
/// `offset` counts from the event's first byte. A field longer than 65,534 bytes is [`Span::LONG`]: look
/// for it in the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// From the event's first byte.
    pub offset: u32,
    /// In bytes.
    pub len: u16,
}

impl Span {
    /// The field is absent.
    pub const NONE: Span = Span { offset: 0, len: 0 };
    /// The field is present and too long for a span.
    pub const LONG: Span = Span { offset: u32::MAX, len: u16::MAX };

    /// Builds a span from a byte range within the event.
    #[must_use]
    pub fn of(range: std::ops::Range<usize>) -> Span {
        match (u32::try_from(range.start), u16::try_from(range.len())) {
            (Ok(offset), Ok(len)) if len < u16::MAX => Span { offset, len },
            _ => Span::LONG,
        }
    }

    /// The field's bytes, if the span names a place inside `event`.
    #[must_use]
    pub fn get(self, event: &[u8]) -> Option<&[u8]> {
        if self == Span::NONE || self == Span::LONG {
            return None;
        }
        event.get(self.offset as usize..)?.get(..usize::from(self.len))
    }
}

/// One event of a frame.
///
/// In a frame `offset` counts from the first byte of the frame's event bytes; in an append that is not
/// written yet, from the first byte of the request's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Of the event's first byte.
    pub offset: u32,
    /// Of the event, in bytes.
    pub len: u32,
    /// `event`, raw (escapes not resolved). Empty for profile updates.
    pub name: Span,
    /// `properties.distinct_id`, `$distinct_id` or `$group_id`, raw; a number's digits if it was one.
    pub distinct_id: Span,
    /// `properties.$insert_id`, raw.
    pub insert_id: Span,
    /// The event's own time in milliseconds since the epoch, if it named one.
    pub time_ms: Option<i64>,
    /// One of the three spans contains a backslash: unescape before comparing.
    pub escaped: bool,
    /// The text was not valid UTF-8 as sent and was repaired before it was stored.
    pub repaired: bool,
    /// `ip=1` stood in the request: the client address may be used for this event.
    pub use_ip: bool,
}

const HAS_TIME: u16 = 1;
const ESCAPED: u16 = 2;
const REPAIRED: u16 = 4;
const USE_IP: u16 = 8;

impl DirectoryEntry {
    /// Appends the 40 bytes of this entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encoded());
    }

    /// The 40 bytes of this entry.
    #[must_use]
    pub fn encoded(&self) -> [u8; DIRECTORY_ENTRY_BYTES] {
        let bit = |on: bool, bit: u16| if on { bit } else { 0 };
        let flags = bit(self.time_ms.is_some(), HAS_TIME)
            | bit(self.escaped, ESCAPED)
            | bit(self.repaired, REPAIRED)
            | bit(self.use_ip, USE_IP);
        let mut b = [0; DIRECTORY_ENTRY_BYTES];
        b[0..4].copy_from_slice(&self.offset.to_le_bytes());
        b[4..8].copy_from_slice(&self.len.to_le_bytes());
        b[8..12].copy_from_slice(&self.name.offset.to_le_bytes());
        b[12..16].copy_from_slice(&self.distinct_id.offset.to_le_bytes());
        b[16..20].copy_from_slice(&self.insert_id.offset.to_le_bytes());
        b[20..22].copy_from_slice(&self.name.len.to_le_bytes());
        b[22..24].copy_from_slice(&self.distinct_id.len.to_le_bytes());
        b[24..26].copy_from_slice(&self.insert_id.len.to_le_bytes());
        b[26..28].copy_from_slice(&flags.to_le_bytes());
        // Bytes 28..32 are reserved and zero.
        b[32..40].copy_from_slice(&self.time_ms.unwrap_or(0).to_le_bytes());
        b
    }

    /// Reads one entry. Every bit pattern is an entry; whether it lies inside the frame is the payload's
    /// check.
    #[must_use]
    pub fn decode(b: &[u8; DIRECTORY_ENTRY_BYTES]) -> DirectoryEntry {
        let u32_at = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u16_at = |i: usize| u16::from_le_bytes([b[i], b[i + 1]]);
        let flags = u16_at(26);
        let time = i64::from_le_bytes([b[32], b[33], b[34], b[35], b[36], b[37], b[38], b[39]]);
        DirectoryEntry {
            offset: u32_at(0),
            len: u32_at(4),
            name: Span { offset: u32_at(8), len: u16_at(20) },
            distinct_id: Span { offset: u32_at(12), len: u16_at(22) },
            insert_id: Span { offset: u32_at(16), len: u16_at(24) },
            time_ms: (flags & HAS_TIME != 0).then_some(time),
            escaped: flags & ESCAPED != 0,
            repaired: flags & REPAIRED != 0,
            use_ip: flags & USE_IP != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> DirectoryEntry {
        DirectoryEntry {
            offset: 0x0102_0304,
            len: 0x0506_0708,
            name: Span { offset: 11, len: 12 },
            distinct_id: Span { offset: 13, len: 14 },
            insert_id: Span { offset: 15, len: 16 },
            time_ms: Some(-2),
            escaped: true,
            repaired: false,
            use_ip: true,
        }
    }

    #[test]
    fn the_bytes_are_where_the_drawing_says() {
        let mut b = vec![0xee];
        entry().encode(&mut b);
        assert_eq!(b.len(), 1 + DIRECTORY_ENTRY_BYTES, "it appends");
        let expected: Vec<u8> = [
            &[4, 3, 2, 1, 8, 7, 6, 5][..],
            &[11, 0, 0, 0, 13, 0, 0, 0, 15, 0, 0, 0],
            &[12, 0, 14, 0, 16, 0],
            &[1 | 2 | 8, 0],
            &[0; 4],
            &(-2i64).to_le_bytes(),
        ]
        .concat();
        assert_eq!(b[1..], expected);
    }

    #[test]
    fn absent_time_and_time_zero_differ() {
        for time_ms in [None, Some(0), Some(i64::MIN), Some(i64::MAX)] {
            let mut b = Vec::new();
            DirectoryEntry { time_ms, ..entry() }.encode(&mut b);
            assert_eq!(DirectoryEntry::decode(b.as_chunks().0.first().expect("40 bytes")).time_ms, time_ms);
        }
    }

    #[test]
    fn a_span_names_bytes_or_says_that_it_cannot() {
        let event = br#"{"event":"hello"}"#;
        assert_eq!(Span::of(10..15).get(event), Some(&b"hello"[..]));
        assert_eq!(Span::of(17..17).get(event), Some(&b""[..]), "an empty string at the end");
        for (span, why) in [
            (Span::NONE, "absent"),
            (Span::LONG, "too long"),
            (Span::of(10..18), "past the end"),
            (Span::of(18..19), "behind the end"),
            (Span { offset: u32::MAX, len: 3 }, "far behind the end"),
        ] {
            assert_eq!(span.get(event), None, "{why}");
        }
    }

    #[test]
    fn a_field_too_long_for_a_span_is_long() {
        assert_eq!(Span::of(5..5 + 65_534), Span { offset: 5, len: 65_534 });
        assert_eq!(Span::of(5..5 + 65_535), Span::LONG);
        assert_eq!(Span::of(5..70_000), Span::LONG);
        assert_eq!(Span::of(1 << 32..(1 << 32) + 1), Span::LONG);
    }
}
