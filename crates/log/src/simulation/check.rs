//! What must be true, at any moment and after any recovery.

use super::{
    ledger::{Excuse, Ledger},
    node::Node,
    plan::Plan,
    reading::{self, Reading},
    run::Ledgers,
};
use crate::{
    OpenError,
    disk::{SimDisk, sim::Random},
};
use forebay_record::{FRAME_HEADER_BYTES, FrameHeader, Lsn, SEGMENT_HEADER_BYTES, Seed};

/// Says that a damaged store was refused, which ends a run and is no failure.
pub(super) const REFUSED: &str = "the damaged store was refused with a clear message";

/// Is that all there is to say?
pub(super) fn is_refusal(what: &str) -> bool {
    what.ends_with(REFUSED)
}

/// By lane: how far what is on the disk proves that it was durable; `None` on disks that keep their word.
pub(super) type Proven = Vec<Option<Lsn>>;

/// A segment that a stray write has made one of another lane is not opened: somebody has to look.
pub(super) fn may_refuse(plan: &Plan, error: &OpenError) -> bool {
    plan.is_damaging() && matches!(error, OpenError::Foreign { .. })
}

/// What the bytes on the disk prove, frame by frame, found without the log's own reading.
pub(super) fn proven(plan: &Plan, disk: &SimDisk) -> Proven {
    let lane = |&lane| {
        if !plan.is_damaging() {
            return None;
        }
        let quiet = disk.quiet();
        let mark = reading::watermark(&quiet, lane).ok().flatten();
        let mut proven = mark.map_or(Lsn(0), |mark| mark.durable_lsn);
        for (header, bytes) in reading::segments(&quiet, lane).unwrap_or_default() {
            let bytes = bytes.bytes();
            proven = proven.max(Lsn(header.base_lsn.0.saturating_sub(1)));
            for at in (SEGMENT_HEADER_BYTES..bytes.len().saturating_sub(FRAME_HEADER_BYTES)).step_by(8) {
                let seed = Seed { salt: header.salt, position: at as u64 };
                if bytes[at..].starts_with(b"FbFr")
                    && let Ok(frame) = FrameHeader::decode(&bytes[at..], seed)
                    && frame.payload(&bytes[at..]).is_ok()
                {
                    proven = proven.max(frame.durable_lsn);
                }
            }
        }
        Some(proven)
    };
    plan.lanes.iter().map(lane).collect()
}

/// A process was killed, and nothing else happened: its watermark file stands, and names all that was
/// acknowledged.
pub(super) fn killed(plan: &Plan, disk: &SimDisk, ledgers: &Ledgers) -> Result<(), String> {
    if plan.is_damaging() || plan.faults.failing_calls > 0 || !ledgers.is_up() {
        return Ok(());
    }
    for ledger in ledgers.lock().iter() {
        let acked = ledger.acked.last().map_or(Lsn(0), |acked| acked.lsn);
        let mark = reading::watermark(disk, ledger.lane)?.map_or(Lsn(0), |mark| mark.durable_lsn);
        if mark < acked {
            return Err(format!(
                "lane {}: frame {} was acknowledged, and after a kill the watermark says {}",
                ledger.lane, acked.0, mark.0
            ));
        }
    }
    Ok(())
}

/// At this moment a reader in another process may look: whatever it is shown must stay.
pub(super) fn show_now(plan: &Plan, disk: &SimDisk, ledgers: &Ledgers) -> Result<(), String> {
    let quiet = disk.quiet();
    let mut ledgers = ledgers.lock();
    for ledger in ledgers.iter_mut() {
        let reading = reading::read(&quiet, ledger, 0, None)?;
        if !plan.is_damaging() {
            agree(&quiet, ledger, &reading)?;
        }
        ledger.show(&reading)?;
    }
    Ok(())
}

/// The product's reading of a lane is what its bytes say.
fn agree(disk: &SimDisk, ledger: &Ledger, reading: &Reading) -> Result<(), String> {
    // A reader then has only what the frames prove: that it stays is checked, and that is all there is to say.
    let Some((events, start)) = reading::from_bytes(disk, ledger)? else { return Ok(()) };
    if events != reading.events || start != reading.first() {
        return Err(format!(
            "lane {}: a cursor reads {} records, gaps {:?}; the bytes say {} from {start}",
            ledger.lane,
            reading.events.len(),
            reading.gaps,
            events.len(),
        ));
    }
    Ok(())
}

/// Right after a recovery.
pub(super) fn recovered(
    plan: &Plan,
    disk: &SimDisk,
    node: &Node,
    ledgers: &Ledgers,
    proven: &Proven,
    random: &mut Random,
) -> Result<(), String> {
    let quiet = disk.quiet();
    let now = self::proven(plan, disk);
    let mut ledgers = ledgers.lock();
    for ((ledger, lane), (proven, now)) in ledgers.iter_mut().zip(&node.lanes).zip(proven.iter().zip(now)) {
        let report = &lane.recovered;
        if proven.is_none() && !report.damage.is_empty() {
            return Err(format!("damage reported on a disk that damaged nothing: {:?}", report.damage));
        }
        let all = reading::read(&quiet, ledger, 0, None)?;
        if proven.is_none() {
            agree(&quiet, ledger, &all)?;
        }
        // The disk may have damaged the watermark behind recovery's back, while it was at work: until the next commit
        // readers then have what is proven without it. Nothing of the rest is lost.
        let untold = now.is_some_and(|now| now < report.durable_lsn);
        if all.end() > report.next_seq.0 || all.end() < report.next_seq.0 && !untold {
            return Err(format!(
                "lane {}: recovery goes on with record {}, a reader comes to {}; gaps {:?}, recovered {report:?}, on disk {}",
                ledger.lane,
                report.next_seq.0,
                all.end(),
                all.gaps,
                reading::describe(&quiet, ledger.lane),
            ));
        }
        let excuse = Excuse { damaged_past: if untold { now.min(*proven) } else { *proven } };
        ledger.check(&all, excuse).map_err(|e| {
            let left = reading::describe(&quiet, ledger.lane);
            format!("{e}; proven {proven:?}, gaps {:?}, recovered {report:?}, on disk {left}", all.gaps)
        })?;
        from_anywhere(&quiet, ledger, &all, random)?;
    }
    Ok(())
}

/// From any record, and of any one project: the same records, or gaps.
fn from_anywhere(disk: &SimDisk, ledger: &Ledger, all: &Reading, random: &mut Random) -> Result<(), String> {
    let from = random.next() % (all.end() + 1);
    let project = random.coin().then(|| 1 + random.next() % 3);
    let part = reading::read(disk, ledger, from, project)?;
    let wanted = all.events.iter().zip(&all.projects);
    let wanted = wanted.filter(|((seq, _), whose)| *seq >= from && project.is_none_or(|p| p == **whose));
    let mut part_events = part.events.iter().copied().peekable();
    for (&(seq, event), _) in wanted {
        if part_events.next_if_eq(&(seq, event)).is_none() {
            return Err(format!(
                "lane {}: reading all gives event {event} as record {seq}, reading from {from} of {project:?} does not",
                ledger.lane
            ));
        }
    }
    match part_events.next() {
        Some(more) => Err(format!(
            "lane {}: reading from {from} of {project:?} gives {more:?}, reading all does not",
            ledger.lane
        )),
        None => Ok(()),
    }
}
