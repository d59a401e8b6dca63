//! `forebay log`: check, repair, read and measure the log, live or stopped.

use super::{Common, Done, Failure, cat::Cat, out, tail::Tail};
use clap::Subcommand;
use forebay_log::{
    LaneReport, Progress, RepairChoice, RepairReport, RepairStep, TornTail, VerifyReport, repair, verify,
};
use indicatif::{ProgressBar, ProgressStyle};

/// Check, repair and read the log
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Check every byte; exit status 1 if anything that was acknowledged cannot be read
    Verify,
    /// Make a damaged, stopped log whole again; says what it would do unless told to do it. Exit status 1 if
    /// something cannot be mended
    Repair {
        /// Do it: give up what cannot be read (its bytes are kept aside) and make indexes anew
        #[arg(long)]
        accept_loss: bool,
    },
    /// Print stored records, lane by lane, in order
    Cat(Cat),
    /// Print the newest records
    Tail(Tail),
    /// Show what the log holds
    Stats,
}

impl Log {
    pub(crate) fn run(self, common: &Common) -> Done {
        match self {
            Log::Verify => run_verify(common),
            Log::Repair { accept_loss } => run_repair(common, accept_loss),
            Log::Cat(cat) => cat.run(common),
            Log::Tail(tail) => tail.run(common),
            Log::Stats => super::log_stats::run(common),
        }
    }
}

fn run_verify(common: &Common) -> Done {
    let bar = bytes_bar();
    let report = verify(&common.data_dir()?, &mut |p: Progress| {
        bar.set_length(p.bytes_total);
        bar.set_position(p.bytes_done);
        bar.set_message(format!("lane {}", p.lane));
    })?;
    bar.finish_and_clear();
    let mut out = common.out();
    if out.json {
        out.value(&report)?;
    } else {
        let rows: Vec<_> = report.lanes.iter().map(verified_row).collect();
        out.table(
            ["LANE", "SEGMENTS", "BYTES", "FRAMES", "RECORDS", "NEXT SEQ", "DAMAGE", "RECORDS LOST"],
            &rows,
        )?;
        write_findings(&report, &mut out)?;
    }
    out.done()?;
    if report.is_clean() { Ok(()) } else { Err(Failure::Found) }
}

fn verified_row(lane: &LaneReport) -> [String; 8] {
    [
        lane.lane.to_string(),
        lane.segments.to_string(),
        out::bytes(lane.bytes),
        lane.frames.to_string(),
        lane.records.to_string(),
        lane.next_seq.to_string(),
        lane.damage.len().to_string(),
        lane.damage.iter().map(|d| d.records_lost).sum::<u64>().to_string(),
    ]
}

fn write_findings(report: &VerifyReport, out: &mut out::Out) -> Done {
    for (lane, damage) in report.damage() {
        out.line(&format!("damage in lane {lane}: {damage}"))?;
    }
    for lane in &report.lanes {
        for loss in &lane.losses {
            let (from, to) = (loss.seqs.start, loss.seqs.end);
            out.line(&format!("lost and accepted in lane {}: sequence {from}..{to}", lane.lane))?;
        }
        if let Some(torn) = &lane.torn_tail {
            out.line(&format!("behind what is proven durable in lane {}: {}", lane.lane, tail(torn)))?;
        }
        for problem in &lane.index_problems {
            out.line(&format!("index of lane {}: {}: {}", lane.lane, problem.file.display(), problem.what))?;
        }
    }
    let end = match (report.is_clean(), report.records_lost()) {
        (true, _) if report.lanes.iter().any(|lane| !lane.losses.is_empty()) => {
            "every acknowledged record is there but those accepted as lost".to_owned()
        }
        (true, _) => "every acknowledged record is there".to_owned(),
        (false, 0) => {
            "no acknowledged record is known to be lost; `forebay log repair` says what it can mend"
                .to_owned()
        }
        (false, n) => {
            format!(
                "acknowledged records that cannot be read: {n}; `forebay log repair` says what can be done"
            )
        }
    };
    out.line(&format!("{end}{}", if report.live { " (checked while a server runs)" } else { "" }))
}

/// What lies behind the durable end: nobody was told that it is stored, or nothing proves that somebody was.
fn tail(torn: &TornTail) -> String {
    let TornTail { file, bytes, frames, records } = torn;
    let place = format!("{} bytes {}..{}", file.display(), bytes.start, bytes.end);
    match (frames, records) {
        (0, _) => {
            format!("{place} hold no whole frame; the next start copies them to quarantine and cuts them off")
        }
        (_, 0) => format!(
            "{place} start with {frames} whole frames of the log's own; the next start cuts what is torn"
        ),
        _ => format!(
            "{place} start with {frames} whole frames ({records} records), which the next start keeps; \
             what is torn behind them it copies to quarantine and cuts off"
        ),
    }
}

fn run_repair(common: &Common, accept_loss: bool) -> Done {
    let choice = if accept_loss { RepairChoice::AcceptLoss } else { RepairChoice::DryRun };
    let report = repair(&common.data_dir()?, choice)?;
    let mut out = common.out();
    if out.json {
        out.value(&report)?;
        out.done()?;
        return mended(&report);
    }
    for action in &report.actions {
        out.line(&action.to_string())?;
    }
    let beyond = report.actions.iter().filter(|action| action.step == RepairStep::Nothing).count();
    let (steps, lost) = (report.actions.len() - beyond, report.records_lost());
    out.line(&match (steps, report.dry_run) {
        (0, _) if beyond > 0 => "nothing that can be repaired".to_owned(),
        (0, _) => "nothing to repair".to_owned(),
        (_, true) => {
            format!("steps: {steps}, records given up: {lost}; nothing was changed, --accept-loss does it")
        }
        (_, false) => format!("steps done: {steps}, records given up: {lost}"),
    })?;
    if beyond > 0 {
        out.line(&format!("beyond repair, left as it is: {beyond}"))?;
    }
    out.done()?;
    mended(&report)
}

/// Exit status 1 if something was found that no repair can mend.
fn mended(report: &RepairReport) -> Done {
    let is_mended = report.actions.iter().all(|action| action.step != RepairStep::Nothing);
    if is_mended { Ok(()) } else { Err(Failure::Found) }
}

fn bytes_bar() -> ProgressBar {
    let template = "{bar:40} {bytes}/{total_bytes} {msg}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
