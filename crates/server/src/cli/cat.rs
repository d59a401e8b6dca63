//! `forebay log cat`: every stored record, lane by lane, in order; also while the server runs.

use super::{
    Common, Done, Failure,
    select::{Owners, Select},
};
use forebay_log::{Cursor, Gap, GapReason, Step};
use forebay_record::{LaneId, Position, Seq};
use std::collections::HashMap;

/// Print stored records
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    #[command(flatten)]
    select: Select,
    /// Where a lane starts, for example 0:1500 or unclaimed:0; may be repeated
    #[arg(long = "from", value_name = "LANE:SEQ")]
    from: Vec<Position>,
}

impl Cat {
    pub(crate) fn run(&self, common: &Common) -> Done {
        let store = common.store()?;
        let owners = Owners::load(&common.existing_control()?)?;
        self.select.warn_of_unknown(&owners);
        let lanes = store.lanes()?;
        let from = starts(&self.from, &lanes)?;
        let mut out = common.out();
        let mut lines = Vec::new();
        for lane in lanes.into_iter().filter(|&lane| self.select.reads(lane)) {
            let (start, begin) = match from.get(&lane) {
                Some(&seq) => (seq, Begin::WhereAsked),
                None => (Seq(0), Begin::WhereItBegins),
            };
            let mut cursor = store.cursor(lane, start, self.select.filter(&owners))?;
            // What is stored meanwhile is the next reader's: a busy lane ends too.
            let end = store.durable(lane)?.seq;
            while print_next(&mut cursor, begin, &self.select, &owners, out.json, Some(end), &mut lines)? {
                out.bytes(&lines)?;
                lines.clear();
            }
        }
        out.done()
    }
}

/// Where a lane is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Where the lane begins now, wherever that is.
    WhereItBegins,
    /// Where a reader goes on: whatever is missing from there on, that reader misses.
    WhereAsked,
}

/// Appends the next frame's records to `lines`; false if the lane has no more now, or none before `end`.
pub(crate) fn print_next(
    cursor: &mut Cursor,
    begin: Begin,
    select: &Select,
    owners: &Owners,
    json: bool,
    end: Option<Seq>,
    lines: &mut Vec<u8>,
) -> Result<bool, Failure> {
    let lane = cursor.position().lane;
    match cursor.next()? {
        None => return Ok(false),
        // To stderr: stdout holds records and nothing else.
        Some(Step::Gap(gap)) if is_missed(&gap, begin) => eprintln!("warning: {gap} (not shown)"),
        Some(Step::Gap(_)) => {}
        Some(Step::Frame(frame)) => {
            if end.is_some_and(|end| frame.header().first_seq >= end) {
                return Ok(false);
            }
            if let Some(shown) = select.keeps(&frame, lane, owners) {
                for record in frame.records() {
                    shown.write(&record, json, lines)?;
                }
            }
        }
    }
    Ok(true)
}

/// A gap at the start of a lane that retention made is how every old store looks: not worth a word to those who
/// read it from where it begins, and all that is to be said to those who were to go on there.
fn is_missed(gap: &Gap, begin: Begin) -> bool {
    begin == Begin::WhereAsked || gap.from != Seq(0) || gap.reason != GapReason::Retention
}

fn starts(from: &[Position], lanes: &[LaneId]) -> Result<HashMap<LaneId, Seq>, Failure> {
    // The unclaimed lane is opened on first use: until then it is one without records.
    for position in from.iter().filter(|p| p.lane != LaneId::UNCLAIMED) {
        if !lanes.contains(&position.lane) {
            let known: Vec<_> = lanes.iter().map(LaneId::to_string).collect();
            return Err(Failure::Usage(format!(
                "--from {position}: there is no lane {}; this store has {}",
                position.lane,
                known.join(", ")
            )));
        }
    }
    Ok(from.iter().map(|p| (p.lane, p.seq)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_retention_took_from_the_start_is_told_to_those_who_go_on_there() {
        let gap = |from, reason| Gap { lane: LaneId(2), from: Seq(from), to: Seq(9), reason };
        for (gap, begin, told) in [
            (gap(0, GapReason::Retention), Begin::WhereItBegins, false),
            (gap(0, GapReason::Retention), Begin::WhereAsked, true),
            (gap(5, GapReason::Retention), Begin::WhereItBegins, true),
            (gap(0, GapReason::Damage), Begin::WhereItBegins, true),
            (gap(0, GapReason::Loss), Begin::WhereItBegins, true),
        ] {
            assert_eq!(is_missed(&gap, begin), told, "{gap:?} {begin:?}");
        }
    }
}
