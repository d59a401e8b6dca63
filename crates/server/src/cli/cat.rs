//! `forebay log cat`: every stored record, lane by lane, in order; also while the server runs.

use super::{
    Common, Done, Failure,
    select::{Owners, Select},
};
use forebay_log::{Cursor, Gap, Step};
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
            let start = from.get(&lane).copied().unwrap_or(Seq(0));
            let mut cursor = store.cursor(lane, start, self.select.filter(&owners))?;
            // What is stored meanwhile is the next reader's: a busy lane ends too.
            let end = store.durable(lane)?.seq;
            while print_next(&mut cursor, lane, &self.select, &owners, out.json, Some(end), &mut lines)? {
                out.bytes(&lines)?;
                lines.clear();
            }
        }
        out.done()
    }
}

/// Appends the next frame's records to `lines`; false if the lane has no more now, or none before `end`.
pub(crate) fn print_next(
    cursor: &mut Cursor,
    lane: LaneId,
    select: &Select,
    owners: &Owners,
    json: bool,
    end: Option<Seq>,
    lines: &mut Vec<u8>,
) -> Result<bool, Failure> {
    match cursor.next()? {
        None => return Ok(false),
        Some(Step::Gap(gap)) => report_gap(&gap),
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

/// Gaps go to stderr: stdout holds records and nothing else. A gap at the start of a lane that retention
/// made is how every old store looks, and not worth a word.
fn report_gap(gap: &Gap) {
    if !(gap.from == Seq(0) && gap.reason == forebay_log::GapReason::Retention) {
        eprintln!("warning: {gap} (not shown)");
    }
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
