//! Gzip bodies, inflated within a limit.
//!
//! The header and the checksums are read here, so that the inflaters' state can be used again for the
//! next request and the limit is checked while inflating: a bomb costs no more memory than the limit.
//!
//! Nearly every body is one member that says truly how long it is: libdeflate inflates that at once, a quarter faster
//! than zlib-rs. Whatever else it may be is for zlib-rs, piece by piece, which also says what is wrong with it.

use crate::GzipFault;
use bytes::BytesMut;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use libdeflater::Decompressor;
use memchr::memmem;
use std::fmt;

/// What every gzip member starts with.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
const DEFLATE: u8 = 8;
const HAS_HEADER_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;
/// The first guess at how much a body inflates to. Events shrink to a fifth, a single one to two thirds.
const RATIO_GUESS: usize = 4;
const CHUNK_BYTES_MIN: usize = 4096;
/// The most that deflate makes of a byte.
const RATIO_MAX: usize = 1032;

/// Inflates one body after the other.
pub struct Inflater {
    at_once: Decompressor,
    stream: Decompress,
    crc: Crc,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

/// Why a body cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// It inflates to more than the limit.
    TooLarge,
    /// It is not valid gzip.
    Broken(GzipFault),
}

impl From<GzipFault> for InflateError {
    fn from(fault: GzipFault) -> InflateError {
        InflateError::Broken(fault)
    }
}

impl Default for Inflater {
    fn default() -> Inflater {
        Inflater { at_once: Decompressor::new(), stream: Decompress::new(false), crc: Crc::new() }
    }
}

impl Inflater {
    /// Appends to `out` what `gzip` inflates to, at most `limit` bytes.
    ///
    /// Several members in a row are joined. Bytes after the last one that do not start another are
    /// ignored, as every gzip tool does.
    ///
    /// # Errors
    /// When the limit is passed or the bytes are not valid; `out` then holds what came before.
    pub fn inflate(&mut self, gzip: &[u8], limit: usize, out: &mut BytesMut) -> Result<(), InflateError> {
        let start = out.len();
        if self.at_once(gzip, limit, out).is_some() {
            return Ok(());
        }
        out.truncate(start);
        let mut rest = gzip;
        loop {
            rest = self.member(rest, start, limit, out)?;
            if !rest.starts_with(&MAGIC) {
                return Ok(());
            }
        }
    }

    /// Inflates a body that is one member from its first byte to its last. `None` where it is something else, whatever
    /// that may be: `out` then has nothing of it that counts.
    fn at_once(&mut self, gzip: &[u8], limit: usize, out: &mut BytesMut) -> Option<()> {
        let rest = self.skip_header(gzip).ok()?;
        let (deflated, trailer) = rest.split_last_chunk::<TRAILER_BYTES>()?;
        let len =
            usize::try_from(u32::from_le_bytes([trailer[4], trailer[5], trailer[6], trailer[7]])).ok()?;
        // What it claims is believed as far as it can be true, and no further than the limit.
        if len == 0 || len > limit || len / RATIO_MAX > deflated.len() {
            return None;
        }
        // Where the deflated bytes end libdeflate does not tell. Another member behind them, perhaps the same once more,
        // would start like this.
        if memmem::find(rest, &[MAGIC[0], MAGIC[1], DEFLATE]).is_some() {
            return None;
        }
        let start = out.len();
        out.resize(start + len, 0);
        let inflated = self.at_once.deflate_decompress(deflated, &mut out[start..]).ok()?;
        (inflated == len).then_some(())?;
        self.check(&out[start..], trailer).ok().map(drop)
    }

    /// Inflates one member; returns what follows it.
    fn member<'a>(
        &mut self,
        gzip: &'a [u8],
        start: usize,
        limit: usize,
        out: &mut BytesMut,
    ) -> Result<&'a [u8], InflateError> {
        let mut input = self.skip_header(gzip)?;
        self.stream.reset(false);
        let member_start = out.len();
        let mut written = member_start;
        loop {
            if written == out.len() {
                grow(out, start, limit, input.len());
            }
            let (read_before, written_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(input, &mut out[written..], FlushDecompress::None)
                .map_err(|_| GzipFault::Data)?;
            let read = progress(self.stream.total_in(), read_before);
            let wrote = progress(self.stream.total_out(), written_before);
            input = &input[read..];
            written += wrote;
            if written - start > limit {
                out.truncate(written);
                return Err(InflateError::TooLarge);
            }
            if status == Status::StreamEnd {
                break;
            }
            if read == 0 && wrote == 0 {
                out.truncate(written);
                return Err(GzipFault::Truncated.into());
            }
        }
        out.truncate(written);
        self.check(&out[member_start..], input)
    }

    /// Checks the header; returns what follows it.
    fn skip_header<'a>(&mut self, gzip: &'a [u8]) -> Result<&'a [u8], GzipFault> {
        let (header, mut rest) = gzip.split_at_checked(HEADER_BYTES).ok_or(GzipFault::Truncated)?;
        let flags = header[3];
        if !header.starts_with(&MAGIC) || header[2] != DEFLATE || flags & RESERVED != 0 {
            return Err(GzipFault::Header);
        }
        if flags & HAS_EXTRA != 0 {
            let (&len, after) = rest.split_first_chunk().ok_or(GzipFault::Truncated)?;
            rest = after.get(usize::from(u16::from_le_bytes(len))..).ok_or(GzipFault::Truncated)?;
        }
        for field in [HAS_NAME, HAS_COMMENT] {
            if flags & field != 0 {
                let end = memchr::memchr(0, rest).ok_or(GzipFault::Truncated)?;
                rest = &rest[end + 1..];
            }
        }
        if flags & HAS_HEADER_CRC != 0 {
            self.crc.reset();
            self.crc.update(&gzip[..gzip.len() - rest.len()]);
            let (&stored, after) = rest.split_first_chunk().ok_or(GzipFault::Truncated)?;
            // The header's checksum is the lower half of a CRC-32.
            if u32::from(u16::from_le_bytes(stored)) != self.crc.sum() & 0xffff {
                return Err(GzipFault::Header);
            }
            rest = after;
        }
        Ok(rest)
    }

    /// Compares checksum and length with the trailer; returns what follows it.
    fn check<'a>(&mut self, inflated: &[u8], trailer: &'a [u8]) -> Result<&'a [u8], InflateError> {
        let (trailer, rest) = trailer.split_at_checked(TRAILER_BYTES).ok_or(GzipFault::Truncated)?;
        let word =
            |i: usize| u32::from_le_bytes([trailer[i], trailer[i + 1], trailer[i + 2], trailer[i + 3]]);
        self.crc.reset();
        self.crc.update(inflated);
        // The format stores the length modulo 2^32; the limit is far below that.
        let same_len = usize::try_from(word(4)).is_ok_and(|len| len == inflated.len());
        if word(0) != self.crc.sum() || !same_len {
            return Err(GzipFault::Checksum.into());
        }
        Ok(rest)
    }
}

/// Makes room behind `out`'s bytes: about double, but never more than one byte past the limit, which is
/// enough to see it passed.
fn grow(out: &mut BytesMut, start: usize, limit: usize, input: usize) {
    let used = out.len() - start;
    let wanted = (used * 2).max(input.saturating_mul(RATIO_GUESS)).max(CHUNK_BYTES_MIN);
    out.resize(start + wanted.min(limit + 1).max(used + 1), 0);
}

fn progress(after: u64, before: u64) -> usize {
    usize::try_from(after - before).expect("a slice's length is a usize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder, write::GzEncoder};
    use std::io::Write;

    const LIMIT: usize = 1 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(gzip: &[u8], want: Result<&[u8], InflateError>) {
        let mut inflater = Inflater::default();
        let mut out = BytesMut::new();
        for _ in 0..2 {
            // The second round uses the same state again.
            out.clear();
            let got = inflater.inflate(gzip, LIMIT, &mut out).map(|()| &out[..]);
            assert_eq!(got, want);
        }
    }

    #[test]
    fn members_are_joined_and_what_follows_them_is_ignored() {
        check(&gzip(b"one"), Ok(b"one"));
        check(&[gzip(b"one"), gzip(b""), gzip(b" two")].concat(), Ok(b"one two"));
        check(&[gzip(b"one"), vec![0; 100]].concat(), Ok(b"one"));
        check(&[gzip(b"one"), b"junk".to_vec()].concat(), Ok(b"one"));
        // Told apart from one alone by nothing that stands at the end.
        check(&gzip(b"the same once more ").repeat(2), Ok(b"the same once more the same once more "));
    }

    #[test]
    fn optional_header_fields_are_skipped() {
        let mut encoder = GzBuilder::new()
            .filename("events.json")
            .comment("a comment")
            .extra(vec![1, 2, 3])
            .write(Vec::new(), Compression::fast());
        encoder.write_all(b"text").unwrap();
        check(&encoder.finish().unwrap(), Ok(b"text"));
    }

    #[test]
    fn a_member_in_which_the_start_of_another_seems_to_stand_is_still_one() {
        let bytes = [&[7; 50][..], &MAGIC, &[DEFLATE], &[7; 50]].concat();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(&bytes).unwrap();
        let stored = encoder.finish().unwrap();
        assert!(memmem::find(&stored[HEADER_BYTES..], &MAGIC).is_some());
        check(&stored, Ok(&bytes));
    }

    #[test]
    fn what_a_body_claims_to_inflate_to_takes_no_memory_that_it_cannot_fill() {
        let mut claims = gzip(b"text");
        let at = claims.len() - 4;
        claims[at..].copy_from_slice(&0xf_ffff_u32.to_le_bytes());
        let mut out = BytesMut::new();
        let got = Inflater::default().inflate(&claims, LIMIT, &mut out);
        assert_eq!(got, Err(InflateError::Broken(GzipFault::Checksum)));
        assert!(out.capacity() < 3 * CHUNK_BYTES_MIN, "{}", out.capacity());
    }

    #[test]
    fn every_truncation_is_noticed() {
        let whole = gzip(b"some text that is long enough to be compressed, compressed, compressed");
        for len in 0..whole.len() {
            check(&whole[..len], Err(InflateError::Broken(GzipFault::Truncated)));
        }
    }

    #[test]
    fn flipped_bytes_are_noticed() {
        let whole = gzip(b"text");
        let mut checksum = whole.clone();
        let at = checksum.len() - 5;
        checksum[at] ^= 1;
        check(&checksum, Err(InflateError::Broken(GzipFault::Checksum)));
        let mut length = whole.clone();
        let at = length.len() - 1;
        length[at] ^= 1;
        check(&length, Err(InflateError::Broken(GzipFault::Checksum)));
        let mut method = whole;
        method[2] = 7;
        check(&method, Err(InflateError::Broken(GzipFault::Header)));
        let noise = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 40]].concat();
        check(&noise, Err(InflateError::Broken(GzipFault::Data)));
    }

    #[test]
    fn a_bomb_costs_no_more_memory_than_the_limit() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        let mut out = BytesMut::new();
        let got = Inflater::default().inflate(&bomb, LIMIT, &mut out);
        assert_eq!(got, Err(InflateError::TooLarge));
        assert!(out.capacity() <= 2 * (LIMIT + 1), "{}", out.capacity());
        // Also when no single member is over it.
        let members = gzip(&vec![b' '; LIMIT / 2 + 1]).repeat(2);
        check(&members, Err(InflateError::TooLarge));
        check(&gzip(&vec![b'x'; LIMIT]), Ok(&vec![b'x'; LIMIT]));
    }
}
