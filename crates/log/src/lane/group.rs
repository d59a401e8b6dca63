//! A commit group: the frames of many appends, encoded one after the other into the group's bytes.
//!
//! # Invariants
//! * Event bytes are copied once: from the request's text to where they go to disk from.
//! * Every byte of the group is written, padding too: nothing of an earlier group shows through.

use super::Job;
use crate::{
    append::Append,
    index::{Content, IndexBuilder, Route, event_times},
};
use forebay_record::{
    DIRECTORY_ENTRY_BYTES, DirectoryEntry, Endpoint, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameFlags,
    FrameHeader, FrameKind, Lsn, PREAMBLE_BYTES, Preamble, SealSummary, Seed, Seq, align_group, crc32c,
    frame_bytes,
};
use std::ops::Range;

/// What becomes one frame: some or all of an append's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Index into the jobs of the batch.
    pub(crate) job: usize,
    /// The append's events in this frame.
    pub(crate) events: Range<usize>,
    pub(crate) payload_bytes: usize,
}

impl Part {
    /// Bytes that the frame takes in a group.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload_bytes)
    }
}

/// Lays out `jobs` as frames: an append that is too large for one is split between events.
pub(crate) fn plan(jobs: &[Job], parts: &mut Vec<Part>) {
    parts.clear();
    for (job, append) in jobs.iter().map(Job::append).enumerate() {
        let payload = |events: usize, event_bytes| append.payload_bytes(events, event_bytes);
        let all = 0..append.events.len();
        let payload_bytes = payload(all.len(), append.event_bytes(all.clone()));
        if frame_bytes(payload_bytes) <= FRAME_BYTES_MAX {
            parts.push(Part { job, events: all, payload_bytes });
            continue;
        }
        let mut start = 0;
        let mut event_bytes = 0;
        for (i, event) in append.events.iter().enumerate() {
            let len = event.len as usize;
            if i > start && frame_bytes(payload(i + 1 - start, event_bytes + len)) > FRAME_BYTES_MAX {
                let payload_bytes = payload(i - start, event_bytes);
                parts.push(Part { job, events: start..i, payload_bytes });
                (start, event_bytes) = (i, 0);
            }
            event_bytes += len;
        }
        let events = start..append.events.len();
        let payload_bytes = payload(events.len(), event_bytes);
        parts.push(Part { job, events, payload_bytes });
    }
}

/// What the lane's next frame must carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) lsn: Lsn,
    pub(crate) seq: Seq,
    pub(crate) prev_crc: u32,
}

/// Encodes frames into the bytes of a group.
#[derive(Debug)]
pub(crate) struct GroupEncoder<'a> {
    group: &'a mut [u8],
    at: usize,
    /// Of the group's first byte in the segment.
    position: u64,
    salt: u64,
    chain: Chain,
    durable_lsn: Lsn,
    /// Hears of every frame.
    index: Option<&'a mut IndexBuilder>,
}

impl<'a> GroupEncoder<'a> {
    /// For the group that fills `group`, at `position` of a segment with this salt.
    pub(crate) fn new(
        group: &'a mut [u8],
        position: u64,
        salt: u64,
        chain: Chain,
        durable_lsn: Lsn,
    ) -> GroupEncoder<'a> {
        GroupEncoder { group, at: 0, position, salt, chain, durable_lsn, index: None }
    }

    /// Has the segment's index told of every frame.
    pub(crate) fn indexed(self, index: Option<&'a mut IndexBuilder>) -> GroupEncoder<'a> {
        GroupEncoder { index, ..self }
    }

    /// One part of an append; `last` if the group ends with it.
    pub(crate) fn records(&mut self, append: &Append, part: &Part, last: bool) {
        let payload = self.payload(part.payload_bytes);
        put_payload(payload, append, &part.events);
        let payload_crc = crc32c(0, payload);
        let events = u32::try_from(part.events.len()).expect("an append of at most 512 MiB");
        let content = self.index.is_some().then(|| Content {
            route: Route::of(append.kind, append.project, &append.token),
            event_time_ms: event_times(
                append.events[part.events.clone()].iter().copied(),
                append.received_at_ms,
            ),
        });
        let header = FrameHeader {
            kind: append.kind,
            endpoint: append.endpoint,
            payload_crc,
            project: append.project,
            event_count: events,
            received_at_ms: append.received_at_ms,
            client_ip: append.client_ip,
            ..self.blank(part.payload_bytes, last)
        };
        self.header(&header, content);
        self.chain.seq = self.chain.seq.plus(events);
    }

    /// A frame of the log's own, which ends the group.
    pub(crate) fn internal(&mut self, kind: FrameKind, bytes: &[u8], now_ms: u64) {
        self.payload(bytes.len()).copy_from_slice(bytes);
        let payload_crc = crc32c(0, bytes);
        let blank = self.blank(bytes.len(), true);
        self.header(&FrameHeader { kind, payload_crc, received_at_ms: now_ms, ..blank }, None);
    }

    /// The seal, as a group of its own behind what there is: `summary` lacks only the checksum of that.
    pub(crate) fn seal(&mut self, summary: SealSummary, now_ms: u64) {
        let end = align_group(self.at);
        self.group[self.at..end].fill(0);
        self.at = end;
        let content_crc = crc32c(summary.content_crc, &self.group[..end]);
        self.internal(FrameKind::Seal, &SealSummary { content_crc, ..summary }.encode(), now_ms);
    }

    /// Fills what is left with zeros and says what the next group's first frame carries.
    pub(crate) fn finish(self) -> Chain {
        self.group[self.at..].fill(0);
        self.chain
    }

    fn payload(&mut self, len: usize) -> &mut [u8] {
        &mut self.group[self.at + FRAME_HEADER_BYTES..][..len]
    }

    fn blank(&self, payload_bytes: usize, last: bool) -> FrameHeader {
        let len = u32::try_from(payload_bytes).expect("an append of at most 512 MiB");
        FrameHeader {
            kind: FrameKind::Heartbeat,
            endpoint: Endpoint::Internal,
            flags: FrameFlags { group_end: last },
            stored_len: len,
            raw_len: len,
            payload_crc: 0,
            lsn: self.chain.lsn,
            first_seq: self.chain.seq,
            project: None,
            event_count: 0,
            prev_crc: self.chain.prev_crc,
            received_at_ms: 0,
            client_ip: None,
            durable_lsn: self.durable_lsn,
        }
    }

    /// Puts the header in front of the payload that is there already, and steps behind both.
    fn header(&mut self, header: &FrameHeader, content: Option<Content>) {
        let position = self.position + self.at as u64;
        let encoded = header.encode(Seed { salt: self.salt, position });
        self.group[self.at..][..FRAME_HEADER_BYTES].copy_from_slice(&encoded);
        let end = self.at + FRAME_HEADER_BYTES + header.stored_len as usize;
        self.at += frame_bytes(header.stored_len as usize);
        self.group[end..self.at].fill(0);
        self.chain.lsn = self.chain.lsn.next();
        self.chain.prev_crc = FrameHeader::chain_crc(&encoded);
        if let Some(index) = &mut self.index {
            index.written(position, header, content, self.chain.prev_crc);
        }
    }
}

/// The layout that `forebay_record::Payload` reads.
fn put_payload(out: &mut [u8], append: &Append, events: &Range<usize>) {
    let token_len = u16::try_from(append.token.len()).expect("checked when it was taken in");
    let meta_len = u32::try_from(append.meta.len()).expect("an append of at most 512 MiB");
    let (preamble, rest) = out.split_at_mut(PREAMBLE_BYTES);
    let (directory, rest) = rest.split_at_mut(events.len() * DIRECTORY_ENTRY_BYTES);
    let (token, rest) = rest.split_at_mut(append.token.len());
    let (meta, mut rest) = rest.split_at_mut(append.meta.len());
    preamble.copy_from_slice(&Preamble { token_len, meta_len }.encode());
    token.copy_from_slice(&append.token);
    meta.copy_from_slice(&append.meta);
    let mut offset = 0;
    for (slot, entry) in directory.chunks_exact_mut(DIRECTORY_ENTRY_BYTES).zip(&append.events[events.clone()])
    {
        let (event, behind) = rest.split_at_mut(entry.len as usize);
        event.copy_from_slice(&append.text[entry.offset as usize..][..entry.len as usize]);
        rest = behind;
        slot.copy_from_slice(&DirectoryEntry { offset, ..*entry }.encoded());
        offset += entry.len;
    }
}
