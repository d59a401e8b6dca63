//! What must come out of a damaged store, worked out from the damage alone.
//!
//! The model knows the whole store ([`Truth`]) and compares bytes: a frame stands if its bytes are those that were
//! written there, and nothing else is a frame. It knows no checksum. From which frames stand, which headers and
//! which copies of the watermark, follow the ranges that are lost, what is served, and what a start may cut.

use crate::{
    packed::Image,
    truth::{Frame, Header, Kind, Lane, Mark, Segment, Truth, segment_id},
};
use std::{collections::BTreeMap, ops::Range};

/// What is to be said of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// File, bytes, frames, records.
    pub(crate) damage: Vec<Lost>,
    /// Bytes between frames that are not zero: file and bytes.
    pub(crate) padding: Vec<(String, Range<u64>)>,
    /// Segments whose seal does not agree with them.
    pub(crate) seals: Vec<String>,
    /// Indexes that cannot be used.
    pub(crate) indexes: Vec<String>,
    /// Accepted losses: file, bytes, records.
    pub(crate) losses: Vec<(String, Range<u64>, Range<u64>)>,
    /// What lies behind the durable end: file, bytes, whole frames, records in them.
    pub(crate) tail: Option<(String, Range<u64>, u64, u64)>,
    pub(crate) next_seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) file: String,
    pub(crate) bytes: Range<u64>,
    pub(crate) lsns: Range<u64>,
    pub(crate) seqs: Range<u64>,
}

/// What stands where a segment's header belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Whole(Header),
    Broken,
    /// A header, but of another segment, lane or store.
    Stranger,
}

/// A lane of a damaged store.
pub(crate) struct Damaged<'a> {
    pub(crate) truth: &'a Truth,
    pub(crate) lane: &'a Lane,
    pub(crate) image: &'a Image,
    /// Headers of other segments, lanes and stores.
    pub(crate) strangers: &'a [Vec<u8>],
}

/// Where a walk stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    lsn: u64,
    seq: u64,
}

/// What must follow a segment's last frame.
#[derive(Clone, Copy, Debug)]
struct Goal {
    lsn: u64,
    seq: u64,
    exact: bool,
}

/// What a walk found.
struct Walked<'a> {
    whole: Vec<&'a Frame>,
    lost: Vec<(Range<usize>, Range<u64>, Range<u64>)>,
    end: Place,
}

impl<'a> Damaged<'a> {
    pub(crate) fn file(&self, segment: u64) -> Option<&'a [u8]> {
        self.image.get(&self.lane.path(segment)).map(Vec::as_slice)
    }

    /// The segments that have a file, in order.
    pub(crate) fn files(&self) -> Vec<u64> {
        let names = self.image.keys().filter_map(|path| path.strip_prefix(&self.lane.folder));
        names.filter_map(segment_id).collect()
    }

    fn known(&self, segment: u64) -> Option<&'a Segment> {
        self.lane.segments.iter().find(|known| known.id == segment)
    }

    pub(crate) fn head(&self, segment: u64) -> Head {
        let Some(block) = self.file(segment).and_then(|file| file.get(..4096)) else { return Head::Broken };
        let own =
            self.known(segment).and_then(|known| known.headers.iter().find(|(bytes, _)| bytes == block));
        match own {
            Some((_, header)) => Head::Whole(*header),
            None if self.strangers.iter().any(|stranger| stranger == block) => Head::Stranger,
            None => Head::Broken,
        }
    }

    fn whole_headers(&self) -> BTreeMap<u64, Header> {
        let heads = self.files().into_iter().map(|id| (id, self.head(id)));
        heads
            .filter_map(|(id, head)| if let Head::Whole(header) = head { Some((id, header)) } else { None })
            .collect()
    }

    pub(crate) fn heads(&self) -> Vec<(u64, Head)> {
        self.files().into_iter().map(|id| (id, self.head(id))).collect()
    }

    /// What the watermark file says.
    pub(crate) fn file_mark(&self) -> Option<Mark> {
        let file = self.image.get(&format!("{}watermark", self.lane.folder))?;
        let copies = [0, 4096].into_iter().filter_map(|at| {
            let copy = file.get(at..at + 64)?;
            self.lane.marks.iter().find(|(bytes, _)| bytes == copy).map(|(_, mark)| *mark)
        });
        copies.max_by_key(|mark| mark.count)
    }

    /// What the frames prove by themselves.
    fn proven(&self) -> Option<Mark> {
        let files = self.files();
        for (&id, header) in self.whole_headers().iter().rev() {
            let bytes = self.file(id)?;
            let walked = self.walk(id, header, bytes, None, false);
            let proven = walked.whole.iter().map(|frame| frame.durable).max().unwrap_or(0);
            let names = |frame: &&&Frame| frame.lsn <= proven && proven < frame.lsn_after;
            if let Some(frame) = walked.whole.iter().find(names) {
                let (lsn, seq, end) = (frame.lsn_after - 1, frame.seq_after, frame.next as u64);
                return Some(Mark { count: 0, lsn, seq, segment: id, end });
            }
            let before = files.iter().rev().find(|other| **other < id);
            if let Some(&segment) = before
                && header.base_lsn > 1
            {
                let (lsn, seq) = (header.base_lsn - 1, header.base_seq);
                return Some(Mark { count: 0, lsn, seq, segment, end: u64::MAX });
            }
        }
        None
    }

    /// How far a reader may go.
    pub(crate) fn readers_mark(&self) -> Option<Mark> {
        self.file_mark().or_else(|| self.proven())
    }

    /// How far the stopped lane is known to be durable.
    pub(crate) fn stopped_mark(&self) -> Option<Mark> {
        self.readers_mark().into_iter().chain(self.proven()).max_by_key(|mark| (mark.lsn, mark.count))
    }

    /// Follows the frames of a segment. `payloads`: a frame whose payload is damaged is lost.
    fn walk(&self, id: u64, header: &Header, bytes: &[u8], goal: Option<Goal>, payloads: bool) -> Walked<'a> {
        let frames = self.known(id).map_or(&[][..], |known| &known.frames);
        let bound = goal.unwrap_or(Goal { lsn: u64::MAX, seq: u64::MAX, exact: false });
        let mut place = Place { at: 4096, lsn: header.base_lsn, seq: header.base_seq };
        let (mut whole, mut lost) = (Vec::new(), Vec::new());
        while goal.is_none() || place.lsn < bound.lsn {
            let before = place;
            let here =
                |frame: &&Frame| frame.at == place.at && frame.lsn == place.lsn && frame.seq == place.seq;
            if let Some(frame) = frames.iter().filter(here).find(|frame| frame.is_whole(bytes)) {
                whole.push(frame);
                place = Place { at: frame.next, lsn: frame.lsn_after, seq: frame.seq_after };
                if frame.kind == Kind::Seal {
                    break;
                }
                continue;
            }
            // The header says where the next frame is, if not what this one held.
            let headed = |frame: &&Frame| frame.kind != Kind::Loss && frame.is_headed(bytes);
            if let Some(frame) = frames.iter().filter(here).find(headed) {
                place = Place { at: frame.next, lsn: frame.lsn_after, seq: frame.seq_after };
                if payloads {
                    lost.push((before.at..place.at, before.lsn..place.lsn, before.seq..place.seq));
                } else {
                    whole.push(frame);
                }
                if frame.kind == Kind::Seal && !payloads {
                    break;
                }
                continue;
            }
            let survives = |frame: &&Frame| {
                frame.at > place.at
                    && frame.lsn > place.lsn
                    && frame.lsn < bound.lsn
                    && (place.seq..=bound.seq).contains(&frame.seq)
                    && frame.is_whole(bytes)
            };
            if let Some(frame) = frames.iter().find(survives) {
                place = Place { at: frame.at, lsn: frame.lsn, seq: frame.seq };
            } else if bound.exact {
                place = Place { at: bytes.len().max(place.at), lsn: bound.lsn, seq: bound.seq };
            } else {
                let rest = bytes.get(place.at..).unwrap_or_default();
                let nothing = rest.is_empty() || rest.len() >= 96 && rest[..96].iter().all(|&b| b == 0);
                if !nothing {
                    lost.push((place.at..bytes.len(), place.lsn..place.lsn, place.seq..place.seq));
                }
                break;
            }
            lost.push((before.at..place.at, before.lsn..place.lsn, before.seq..place.seq));
        }
        Walked { whole, lost, end: place }
    }

    /// What verification of the stopped store must say.
    pub(crate) fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mark = self.stopped_mark();
        for id in self.files() {
            let bytes = self.file(id).unwrap_or_default();
            if !matches!(self.head(id), Head::Whole(_)) && mark.is_none_or(|mark| id > mark.segment) {
                verdict.damage.push(self.lost(id, 0..bytes.len(), 0..0, 0..0));
            }
        }
        let Some(mark) = mark else { return verdict };
        verdict.next_seq = mark.seq;
        let whole = self.whole_headers();
        let whole: Vec<_> = whole.iter().filter(|(id, _)| **id <= mark.segment).collect();
        let mut before: Option<(u64, Place)> = None;
        for (n, (id, header)) in whole.iter().enumerate() {
            self.hole(before, Some((**id, header)), &mark, &mut verdict);
            let next = whole.get(n + 1).map(|(_, next)| **next);
            before = Some((**id, self.segment(**id, header, next, &mark, &mut verdict)));
        }
        self.hole(before, None, &mark, &mut verdict);
        verdict
    }

    fn lost(&self, id: u64, bytes: Range<usize>, lsns: Range<u64>, seqs: Range<u64>) -> Lost {
        Lost { file: self.lane.path(id), bytes: bytes.start as u64..bytes.end as u64, lsns, seqs }
    }

    /// Segments that are gone or unreadable between two that are not.
    fn hole(
        &self,
        before: Option<(u64, Place)>,
        next: Option<(u64, &Header)>,
        mark: &Mark,
        verdict: &mut Verdict,
    ) {
        let first = before.map_or(0, |(id, _)| id + 1);
        let last = next.map_or(mark.segment, |(id, _)| id - 1);
        let files: Vec<u64> = self.files().into_iter().filter(|id| (first..=last).contains(id)).collect();
        let (to_lsn, to_seq) =
            next.map_or((mark.lsn + 1, mark.seq), |(_, next)| (next.base_lsn, next.base_seq));
        let none_left = self.files().is_empty() && mark.lsn > 0;
        let missing = !files.is_empty() || none_left || before.is_some_and(|(_, from)| from.lsn < to_lsn);
        // What retention took is not missing.
        let taken = next.is_some_and(|(id, _)| self.files().first() == Some(&id));
        if !missing || taken {
            return;
        }
        let start = (files.first() == Some(&1)).then_some((1, 0));
        let from = before.map(|(_, from)| (from.lsn, from.seq)).or(start);
        let unknown = (to_lsn - u64::from(next.is_none()), to_seq);
        let (from_lsn, from_seq) = from.unwrap_or(unknown);
        let (lsns, seqs) = (from_lsn..to_lsn, from_seq..to_seq);
        if files.is_empty() {
            verdict.damage.push(self.lost(first.max(1), 0..0, lsns, seqs));
            return;
        }
        let mut lost = Some((lsns, seqs));
        for id in files {
            let (lsns, seqs) = lost.take().unwrap_or((0..0, 0..0));
            let len = self.file(id).map_or(0, <[u8]>::len);
            verdict.damage.push(self.lost(id, 0..len, lsns, seqs));
        }
    }

    fn segment(
        &self,
        id: u64,
        header: &Header,
        next: Option<Header>,
        mark: &Mark,
        verdict: &mut Verdict,
    ) -> Place {
        let file = self.file(id).unwrap_or_default();
        let path = self.lane.path(id);
        let complete = id < mark.segment;
        let end = if complete { u64::MAX } else { mark.end };
        let limit = usize::try_from(end).unwrap_or(usize::MAX).min(file.len());
        let goal = match (complete, next) {
            (true, Some(next)) => {
                Some(Goal { lsn: next.base_lsn, seq: next.base_seq, exact: next.follows == id })
            }
            (true, None) => None,
            (false, _) => Some(Goal { lsn: mark.lsn + 1, seq: mark.seq, exact: true }),
        };
        let bytes = &file[..limit];
        let walked = self.walk(id, header, bytes, goal, true);
        for (bytes, lsns, seqs) in walked.lost.iter().cloned() {
            verdict.damage.push(self.lost(id, bytes, lsns, seqs));
        }
        for frame in &walked.whole {
            let padding = frame.end..frame.next.min(limit);
            if bytes.get(padding.clone()).is_some_and(|padding| padding.iter().any(|&b| b != 0)) {
                verdict.padding.push((path.clone(), padding.start as u64..padding.end as u64));
            }
            if frame.kind == Kind::Loss {
                let bytes = frame.at as u64..frame.next as u64;
                verdict.losses.push((path.clone(), bytes, frame.seq..frame.seq_after));
            }
        }
        self.seal(id, header, &walked, bytes, verdict);
        if !complete {
            verdict.tail = self.tail(id, limit, walked.end);
        }
        self.index(id, header, &walked, complete, verdict);
        walked.end
    }

    /// The seal of a segment as first written sums up every byte before it.
    fn seal(&self, id: u64, header: &Header, walked: &Walked<'_>, bytes: &[u8], verdict: &mut Verdict) {
        let sealed = walked.whole.last().filter(|frame| frame.kind == Kind::Seal);
        if let Some(seal) = sealed
            && header.generation == 0
            && walked.lost.is_empty()
        {
            let known = self.known(id).expect("it has frames");
            let then = |frame: &&Frame| frame.generations.contains(&0);
            let mut content = vec![0; seal.at];
            for frame in known.frames.iter().filter(then).filter(|frame| frame.at < seal.at) {
                content[frame.at..frame.end].copy_from_slice(&frame.bytes);
            }
            if bytes[4096..seal.at] != content[4096..] {
                verdict.seals.push(self.lane.path(id));
            }
        }
    }

    fn index(&self, id: u64, header: &Header, walked: &Walked<'_>, complete: bool, verdict: &mut Verdict) {
        let path = self.lane.index_path(id);
        let Some(index) = self.image.get(&path) else { return };
        let made_of = self.known(id).map(|known| &known.headers[0].1);
        let is_same = self.truth.image.get(&path) == Some(index) && made_of == Some(header);
        let known = self.known(id).map_or(&[][..], |known| &known.frames);
        let indexed: Vec<_> =
            known.iter().filter(|frame| frame.generations.contains(&header.generation)).collect();
        let agrees = walked.whole.iter().map(|f| (f.at, f.kind)).eq(indexed.iter().map(|f| (f.at, f.kind)));
        // Only the head of a damaged segment's index is compared.
        let head_is_same = made_of == Some(header)
            && self.truth.image.get(&path).is_some_and(|whole| {
                let tables = crate::truth::u32_at(whole, 128) * 48 + crate::truth::u32_at(whole, 132) * 16;
                let head = 144 + tables as usize;
                index.len() == whole.len() && index[..head] == whole[..head]
            });
        // Made when the segment had ended, which nothing else proves now: the next start finds out.
        if head_is_same && !complete && indexed.last().is_some_and(|last| last.lsn_after > walked.end.lsn) {
            return;
        }
        let is_usable = if walked.lost.is_empty() { is_same && agrees } else { head_is_same };
        if !is_usable {
            verdict.indexes.push(path);
        }
    }

    /// What lies behind the durable end.
    fn tail(&self, id: u64, limit: usize, end: Place) -> Option<(String, Range<u64>, u64, u64)> {
        let file = self.file(id)?;
        let last = file[limit..].iter().rposition(|&b| b != 0)?;
        let (mut place, mut frames, mut records) = (Place { at: limit, ..end }, 0, 0);
        let known = &self.known(id)?.frames;
        while let Some(frame) = known
            .iter()
            .find(|f| f.at == place.at && f.lsn == place.lsn && f.seq == place.seq && f.is_whole(file))
        {
            frames += 1;
            records += frame.seq_after - frame.seq;
            place = Place { at: frame.next, lsn: frame.lsn_after, seq: frame.seq_after };
        }
        Some((self.lane.path(id), limit as u64..(limit + last + 1) as u64, frames, records))
    }

    /// The whole frame at this place, if there is one.
    pub(crate) fn stands(&self, id: u64, at: usize, file: &[u8]) -> Option<&'a Frame> {
        self.known(id)?.frames.iter().find(|frame| frame.at == at && frame.is_whole(file))
    }

    /// Follows the frames of a segment of which nothing says where it ends: what stands, what is lost (bytes,
    /// frames, records) and where it ends (place, frame, record).
    #[expect(clippy::type_complexity, reason = "three plain lists")]
    pub(crate) fn follow(
        &self,
        id: u64,
        header: &Header,
        file: &[u8],
    ) -> (Vec<&'a Frame>, Vec<(Range<usize>, Range<u64>, Range<u64>)>, (usize, u64, u64)) {
        let Walked { whole, lost, end } = self.walk(id, header, file, None, true);
        (whole, lost, (end.at, end.lsn, end.seq))
    }

    /// The records that are served up to `mark`, by sequence: each as it was written.
    pub(crate) fn served(&self, mark: Option<&Mark>) -> BTreeMap<u64, &'a [u8]> {
        let mut served = BTreeMap::new();
        let Some(mark) = mark else { return served };
        for id in self.whole_headers().into_keys().filter(|&id| id <= mark.segment) {
            let file = self.file(id).unwrap_or_default();
            let frames = &self.known(id).expect("its header is known").frames;
            for frame in frames.iter().filter(|frame| frame.lsn <= mark.lsn && frame.is_whole(file)) {
                served.extend((frame.seq..).zip(frame.events.iter().map(Vec::as_slice)));
            }
        }
        served
    }
}

impl Frame {
    fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes.get(self.at..self.end) == Some(&self.bytes)
    }

    /// Its header stands, and its payload would fit.
    fn is_headed(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.end && bytes[self.at..self.at + 96] == self.bytes[..96]
    }
}
