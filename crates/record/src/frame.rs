//! The frame: what one request brought for one project, and the header in front of it.
//!
//! ```text
//!  0  magic u32 | header_crc u32 | stored_len u32 | raw_len u32
//! 16  payload_crc u32 | kind u8 | endpoint u8 | flags u16 | lsn u64
//! 32  first_seq u64 | project u64
//! 48  event_count u32 | prev_crc u32 | received_at_ms u64
//! 64  client address 16 bytes (IPv4 as ::ffff:a.b.c.d)
//! 80  durable_lsn u64 | reserved u64 = 0
//! ```
//! `header_crc` covers bytes 8..96 and, as a seed, the segment's salt and the frame's position in it: a
//! frame of another segment, of an earlier use of the file, or at another place never validates.

use crate::{Lsn, ProjectId, Seq, crc32c};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Size of the header on disk.
pub const FRAME_HEADER_BYTES: usize = 96;
/// The largest frame, header included, that shares a segment with others. A single larger event gets a
/// segment of its own.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Frames start at multiples of this.
pub const FRAME_ALIGN: usize = 8;
/// Commit groups start at multiples of this, so that no page is shared by two commits.
pub const GROUP_ALIGN: usize = 4096;

/// The first four bytes of a frame.
pub(crate) const MAGIC: [u8; 4] = *b"FbFr";

/// `len` rounded up to where the next frame of the same group starts.
#[must_use]
pub const fn align_frame(len: usize) -> usize {
    len.next_multiple_of(FRAME_ALIGN)
}

/// `len` rounded up to where the next group starts.
#[must_use]
pub const fn align_group(len: usize) -> usize {
    len.next_multiple_of(GROUP_ALIGN)
}

/// Bytes that a frame with this payload takes in a group.
#[must_use]
pub const fn frame_bytes(payload_len: usize) -> usize {
    align_frame(FRAME_HEADER_BYTES + payload_len)
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Events and profile updates: see [`crate::Payload`].
    Records = 1,
    /// A session replay body; its query string is the payload's meta.
    Replay = 2,
    /// A lookup table was replaced: one record, a JSON document that names the file.
    Lookup = 3,
    /// Nothing: proves the durable lsn of an idle lane.
    Heartbeat = 4,
    /// The last frame of a sealed segment; the payload is a [`crate::SealSummary`].
    Seal = 5,
    /// Records that were lost and accepted as lost by the operator: readers see a gap. The payload is a
    /// [`crate::LossSummary`].
    Loss = 6,
}

impl FrameKind {
    fn of(code: u8) -> Option<FrameKind> {
        use FrameKind::{Heartbeat, Lookup, Loss, Records, Replay, Seal};
        [Records, Replay, Lookup, Heartbeat, Seal, Loss].into_iter().find(|&k| k as u8 == code)
    }

    /// Does it count in the lane's sequence?
    #[must_use]
    pub fn holds_records(self) -> bool {
        matches!(self, FrameKind::Records | FrameKind::Replay | FrameKind::Lookup | FrameKind::Loss)
    }
}

/// The endpoint a request came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Endpoint {
    /// None: a frame the log itself wrote.
    Internal = 0,
    /// `/track`
    Track = 1,
    /// `/engage`
    Engage = 2,
    /// `/groups`
    Groups = 3,
    /// `/import`
    Import = 4,
    /// `/record`
    Record = 5,
    /// `/lookup-tables`
    LookupTables = 6,
}

impl Endpoint {
    fn of(code: u8) -> Option<Endpoint> {
        use Endpoint::{Engage, Groups, Import, Internal, LookupTables, Record, Track};
        [Internal, Track, Engage, Groups, Import, Record, LookupTables].into_iter().find(|&e| e as u8 == code)
    }

    /// As it stands in paths, metrics and `log cat`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::Internal => "internal",
            Endpoint::Track => "track",
            Endpoint::Engage => "engage",
            Endpoint::Groups => "groups",
            Endpoint::Import => "import",
            Endpoint::Record => "record",
            Endpoint::LookupTables => "lookup-tables",
        }
    }
}

/// Bits of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameFlags {
    /// The next frame, if any, starts at the next multiple of [`GROUP_ALIGN`].
    pub group_end: bool,
}

/// What a header checksum starts from: the segment's salt and the frame's byte position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Random, made anew whenever a file is put to use as a segment.
    pub salt: u64,
    /// Of the frame's first byte in the segment file.
    pub position: u64,
}

impl Seed {
    fn crc(self) -> u32 {
        crc32c(crc32c(0, &self.salt.to_le_bytes()), &self.position.to_le_bytes())
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the payload is.
    pub kind: FrameKind,
    /// Where the request came in.
    pub endpoint: Endpoint,
    /// See [`FrameFlags`].
    pub flags: FrameFlags,
    /// Payload bytes as stored.
    pub stored_len: u32,
    /// Payload bytes once unpacked; equal to `stored_len` in this version.
    pub raw_len: u32,
    /// CRC32C of the stored payload.
    pub payload_crc: u32,
    /// This frame's number in its lane.
    pub lsn: Lsn,
    /// The sequence of its first record; for a frame without records, that of the next one.
    pub first_seq: Seq,
    /// Whose records; `None` is unclaimed, or the log's own.
    pub project: Option<ProjectId>,
    /// How many records.
    pub event_count: u32,
    /// [`FrameHeader::chain_crc`] of the lane's previous frame.
    pub prev_crc: u32,
    /// The server's clock when the request had been read, milliseconds since the epoch.
    pub received_at_ms: u64,
    /// The client's address by the trusted-proxy rule, where it may be kept.
    pub client_ip: Option<IpAddr>,
    /// All frames up to this one were known durable when this one was written.
    pub durable_lsn: Lsn,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Fewer bytes than a header.
    Short,
    /// All zero: nothing was written here.
    Zero,
    /// The first four bytes are not a frame's.
    Magic(u32),
    /// The header's checksum does not match.
    HeaderChecksum {
        /// As read.
        stored: u32,
        /// As it should be.
        computed: u32,
    },
    /// A checksummed header with a field this version does not know.
    Unknown {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// The payload would reach past the end of the segment.
    Length(u32),
    /// The payload's checksum does not match.
    PayloadChecksum {
        /// As read.
        stored: u32,
        /// As it should be.
        computed: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FrameError::Short => f.write_str("fewer than 96 bytes left for a frame header"),
            FrameError::Zero => f.write_str("no frame: all zero"),
            FrameError::Magic(m) => write!(f, "no frame: magic is {m:#010x}"),
            FrameError::HeaderChecksum { stored, computed } => {
                write!(f, "frame header checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")
            }
            FrameError::Unknown { field, value } => {
                write!(f, "frame {field} {value} is unknown to this version")
            }
            FrameError::Length(len) => {
                write!(f, "frame payload of {len} bytes reaches past the segment's end")
            }
            FrameError::PayloadChecksum { stored, computed } => {
                write!(f, "frame payload checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

const GROUP_END: u16 = 1;
const HAS_CLIENT_IP: u16 = 2;

impl FrameHeader {
    /// The header's bytes, checksummed for `seed`.
    #[must_use]
    pub fn encode(&self, seed: Seed) -> [u8; FRAME_HEADER_BYTES] {
        let mut flags = 0;
        if self.flags.group_end {
            flags |= GROUP_END;
        }
        if self.client_ip.is_some() {
            flags |= HAS_CLIENT_IP;
        }
        let address = match self.client_ip {
            None => [0; 16],
            Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
            Some(IpAddr::V6(v6)) => v6.octets(),
        };
        let mut b = [0; FRAME_HEADER_BYTES];
        b[0..4].copy_from_slice(&MAGIC);
        b[8..12].copy_from_slice(&self.stored_len.to_le_bytes());
        b[12..16].copy_from_slice(&self.raw_len.to_le_bytes());
        b[16..20].copy_from_slice(&self.payload_crc.to_le_bytes());
        b[20] = self.kind as u8;
        b[21] = self.endpoint as u8;
        b[22..24].copy_from_slice(&flags.to_le_bytes());
        b[24..32].copy_from_slice(&self.lsn.0.to_le_bytes());
        b[32..40].copy_from_slice(&self.first_seq.0.to_le_bytes());
        b[40..48].copy_from_slice(&self.project.map_or(0, ProjectId::as_u64).to_le_bytes());
        b[48..52].copy_from_slice(&self.event_count.to_le_bytes());
        b[52..56].copy_from_slice(&self.prev_crc.to_le_bytes());
        b[56..64].copy_from_slice(&self.received_at_ms.to_le_bytes());
        b[64..80].copy_from_slice(&address);
        b[80..88].copy_from_slice(&self.durable_lsn.0.to_le_bytes());
        let crc = crc32c(seed.crc(), &b[8..]);
        b[4..8].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads and checks the header at the start of `bytes`; the payload is not looked at, but must fit.
    ///
    /// # Errors
    /// Why these bytes are not a frame of this segment at this position.
    pub fn decode(bytes: &[u8], seed: Seed) -> Result<FrameHeader, FrameError> {
        FrameHeader::decode_within(bytes, bytes.len(), seed)
    }

    /// As [`FrameHeader::decode`], where `bytes` may end behind the header and the frame has `room` bytes to
    /// fit into.
    ///
    /// # Errors
    /// Why these bytes are not a frame of this segment at this position.
    pub fn decode_within(bytes: &[u8], room: usize, seed: Seed) -> Result<FrameHeader, FrameError> {
        let b: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk().ok_or(FrameError::Short)?;
        let u32_at = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        if b[0..4] != MAGIC {
            let zero = b.iter().all(|&x| x == 0);
            return Err(if zero { FrameError::Zero } else { FrameError::Magic(u32_at(0)) });
        }
        let (stored, computed) = (u32_at(4), crc32c(seed.crc(), &b[8..]));
        if stored != computed {
            return Err(FrameError::HeaderChecksum { stored, computed });
        }
        let unknown = |field, value: u64| FrameError::Unknown { field, value };
        let flags = u16::from_le_bytes([b[22], b[23]]);
        if flags & !(GROUP_END | HAS_CLIENT_IP) != 0 {
            return Err(unknown("flags", flags.into()));
        }
        if u64_at(88) != 0 {
            return Err(unknown("reserved field", u64_at(88)));
        }
        let header = FrameHeader {
            kind: FrameKind::of(b[20]).ok_or(unknown("kind", b[20].into()))?,
            endpoint: Endpoint::of(b[21]).ok_or(unknown("endpoint", b[21].into()))?,
            flags: FrameFlags { group_end: flags & GROUP_END != 0 },
            stored_len: u32_at(8),
            raw_len: u32_at(12),
            payload_crc: u32_at(16),
            lsn: Lsn(u64_at(24)),
            first_seq: Seq(u64_at(32)),
            project: ProjectId::new(u64_at(40)),
            event_count: u32_at(48),
            prev_crc: u32_at(52),
            received_at_ms: u64_at(56),
            client_ip: (flags & HAS_CLIENT_IP != 0).then(|| {
                let octets: [u8; 16] = std::array::from_fn(|i| b[64 + i]);
                Ipv6Addr::from(octets).to_canonical()
            }),
            durable_lsn: Lsn(u64_at(80)),
        };
        if header.raw_len != header.stored_len {
            return Err(unknown("compression (raw length)", header.raw_len.into()));
        }
        if room.saturating_sub(FRAME_HEADER_BYTES) < header.stored_len as usize {
            return Err(FrameError::Length(header.stored_len));
        }
        Ok(header)
    }

    /// Checks the payload that follows this header in `bytes` (which start at the header).
    ///
    /// # Errors
    /// When it is cut off or its checksum does not match.
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let payload = bytes
            .get(FRAME_HEADER_BYTES..)
            .and_then(|rest| rest.get(..self.stored_len as usize))
            .ok_or(FrameError::Length(self.stored_len))?;
        let computed = crc32c(0, payload);
        if computed != self.payload_crc {
            return Err(FrameError::PayloadChecksum { stored: self.payload_crc, computed });
        }
        Ok(payload)
    }

    /// What the next frame of the lane carries as `prev_crc`: a checksum of the header's content, which
    /// includes the payload's, but not of salt and position, so that rewriting a segment keeps the chain.
    #[must_use]
    pub fn chain_crc(encoded: &[u8; FRAME_HEADER_BYTES]) -> u32 {
        crc32c(0, &encoded[8..])
    }

    /// Bytes from this frame's start to where the next frame of the lane would start if this one starts
    /// at `position`.
    #[must_use]
    pub fn extent(&self, position: usize) -> usize {
        let end = position + frame_bytes(self.stored_len as usize);
        if self.flags.group_end { align_group(end) - position } else { end - position }
    }
}

#[cfg(test)]
mod tests;
