//! What a start must make of a damaged lane: what it may cut, what it must report, what is served afterwards.

use crate::{
    check::{Wrong, equal},
    model::{Damaged, Head},
    packed::Image,
    truth::{Kind, Mark},
};
use forebay_log::LaneRecovery;
use std::{collections::BTreeMap, ops::Range, path::Path};

/// What a start of a lane comes to.
pub(crate) struct Start<'a> {
    /// What the lane goes on with: exact, or (when a header behind the last readable one is lost) at least.
    next: (u64, u64),
    exact: bool,
    /// The last readable segment, where its frames end, and what was torn off behind.
    last: Option<(u64, usize, Option<Range<usize>>)>,
    /// In the last readable segment: bytes, frames, records.
    damage: Vec<(Range<u64>, Range<u64>, Range<u64>)>,
    pub(crate) served: BTreeMap<u64, &'a [u8]>,
}

/// Works out the start of a lane.
pub(crate) fn of<'a>(lane: &Damaged<'a>) -> Start<'a> {
    let mark = lane.file_mark();
    let files = lane.files();
    let last = files.iter().rev().find_map(|&id| match lane.head(id) {
        Head::Whole(header) => Some((id, header)),
        _ => None,
    });
    let mut start = Start {
        next: mark.map_or((1, 0), |mark| (mark.lsn + 1, mark.seq)),
        exact: last.map(|(id, _)| id) == files.last().copied(),
        last: None,
        damage: Vec::new(),
        served: BTreeMap::new(),
    };
    let everything = |segment, lsn| Mark { count: 0, lsn, seq: 0, segment, end: u64::MAX };
    let Some((id, header)) = last else { return start };
    let file = lane.file(id).unwrap_or_default();
    let seal = |mark: &Mark| {
        let at = usize::try_from(mark.end).ok()?.checked_sub(4096)?;
        lane.stands(id, at, file).filter(|frame| frame.kind == Kind::Seal && frame.lsn == mark.lsn)
    };
    let sealed =
        mark.filter(|mark| mark.segment == id && mark.end <= file.len() as u64 && seal(mark).is_some());
    if let Some(mark) = sealed {
        // What lies behind the seal was never used.
        start.last = Some((id, usize::try_from(mark.end).unwrap_or(usize::MAX), None));
        start.served = lane.served(Some(&everything(id, u64::MAX)));
        return start;
    }
    let (whole, mut lost, end) = lane.follow(id, &header, file);
    let proven = whole.iter().map(|frame| frame.durable).chain(mark.map(|mark| mark.lsn)).max().unwrap_or(0);
    let proven = proven.max(header.base_lsn - 1);
    let torn = lost.iter().position(|(_, lsns, _)| lsns.start > proven);
    let cut = torn.map(|n| (lost[n].0.start, lost[n].1.start, lost[n].2.start));
    lost.truncate(torn.unwrap_or(lost.len()));
    let end = cut.unwrap_or(end);
    // Nothing behind it: how much it was is known from the watermark only.
    let open = lost.pop_if(|(_, lsns, _)| cut.is_none() && lsns.is_empty());
    let missing = open.map_or(end, |(bytes, lsns, seqs)| (bytes.start, lsns.start, seqs.start));
    start.damage = lost.into_iter().map(|(b, l, s)| (b.start as u64..b.end as u64, l, s)).collect();
    let known = mark.filter(|mark| missing.1 <= proven && cut.is_none() && mark.lsn == proven);
    let end_at = if let Some(mark) = known {
        let seq = mark.seq.max(missing.2);
        start.damage.push((missing.0 as u64..file.len() as u64, missing.1..proven + 1, missing.2..seq));
        start.next = (proven + 1, seq);
        file.len()
    } else {
        start.next = (end.1, end.2);
        end.0
    };
    let used = file.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    let sealed = whole.last().is_some_and(|frame| frame.kind == Kind::Seal);
    let torn = (!sealed && used > end_at).then_some(end_at..used);
    // Whole frames that nothing proves go to a segment of their own, but for those at the end that hold no
    // records: nobody misses them. A later segment, even an unreadable one, proves all before it.
    let unproven: Vec<_> = whole.iter().filter(|frame| frame.at < end_at && frame.lsn > proven).collect();
    let mut kept = end_at;
    if let Some(first) = unproven.first()
        && start.exact
    {
        kept = first.at;
        let missed =
            unproven.iter().rposition(|frame| frame.seq < frame.seq_after).map_or(0, |last| last + 1);
        if let Some(frame) = unproven.get(missed) {
            start.next = (frame.lsn, frame.seq);
        }
    }
    if !start.damage.is_empty() && torn.is_none() {
        kept = file.len();
    }
    start.last = Some((id, kept, torn));
    let lsn = start.next.0 - 1;
    start.served = lane.served(Some(&everything(id, lsn)));
    start
}

impl Start<'_> {
    /// Compares with what the start said.
    pub(crate) fn check(&self, lane: &Damaged<'_>, said: &LaneRecovery, dir: &Path) -> Result<(), Wrong> {
        let next = (said.durable_lsn.0 + 1, said.next_seq.0);
        if self.exact {
            equal("what the lane goes on with", next, self.next)?;
        } else {
            // Numbers that may have been given out are not given out again.
            let frames = lane.lane.segments.iter().flat_map(|segment| &segment.frames);
            let given = frames.map(|frame| (frame.lsn_after, frame.seq_after)).max().unwrap_or((1, 0));
            equal(&format!("{next:?} is behind {given:?}"), next.0 >= given.0 && next.1 >= given.1, true)?;
        }
        let cut = said.cut.as_ref().map(|cut| (cut.segment.0, cut.position, cut.bytes));
        let last = self.last.as_ref();
        let torn = last.and_then(|(id, _, torn)| {
            torn.as_ref().map(|torn| (*id, torn.start as u64, (torn.end - torn.start) as u64))
        });
        equal("what is cut", cut, torn)?;
        if let (Some(cut), Some((id, _, Some(torn)))) = (&said.cut, last) {
            let copy = cut.copy.as_ref().ok_or("no copy of what was cut")?;
            let copy = std::fs::read(copy).map_err(|e| format!("{}: {e}", dir.display()))?;
            equal(
                "the copy of what was cut",
                Some(copy.as_slice()),
                lane.file(*id).and_then(|f| f.get(torn.clone())),
            )?;
        }
        let (last, others): (Vec<_>, Vec<_>) =
            said.damage.iter().partition(|d| last.is_some_and(|(id, ..)| d.segment.0 == *id));
        let found: Vec<_> = last
            .iter()
            .map(|d| (d.bytes.clone(), d.lsn.start.0..d.lsn.end.0, d.seq.start.0..d.seq.end.0))
            .collect();
        equal("damage in the last segment", found, self.damage.clone())?;
        let heads = lane.heads();
        let broken: Vec<u64> =
            heads.iter().filter(|(_, head)| *head == Head::Broken).map(|(id, _)| *id).collect();
        let told: Vec<u64> = others.iter().map(|d| d.segment.0).collect();
        if lane.files().is_empty() {
            return Ok(());
        }
        equal("segments without a header", &told, &broken)?;
        // Of several in a row the first is told to have held what all of them held.
        let held = lane.lane.segments.iter().filter(|segment| broken.contains(&segment.id));
        let mut held = held.flat_map(|segment| &segment.frames).flat_map(|frame| frame.seq..frame.seq_after);
        let told = |seq: u64| others.iter().any(|d| (d.seq.start.0..d.seq.end.0).contains(&seq));
        equal("a record that is not told of", held.find(|seq| !told(*seq)), None)
    }

    /// Nothing of a segment is changed but behind what was ever acknowledged.
    pub(crate) fn check_files(&self, lane: &Damaged<'_>, before: &Image, after: &Image) -> Result<(), Wrong> {
        for id in lane.files() {
            let path = lane.lane.path(id);
            let (was, is) = (&before[&path], after.get(&path).ok_or_else(|| format!("{path} was removed"))?);
            let kept = match &self.last {
                Some((last, kept, _)) if *last == id => *kept,
                _ => was.len(),
            };
            let mut expected = was[..kept.min(was.len())].to_vec();
            expected.resize(kept, 0);
            if *is != expected {
                return Err(format!("{path} was changed: {} bytes, {} expected", is.len(), expected.len()));
            }
        }
        Ok(())
    }
}
