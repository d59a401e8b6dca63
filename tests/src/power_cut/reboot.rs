//! After the power is back: the log on the mounted image, held against the ledger.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use forebay_log::{
    Backend, Filter, GapReason, Log, Recovery, Step, Store, VerifyError, VerifyReport, verify,
};
use forebay_record::{LaneId, Seq};

use super::ledger::{Fate, Ledger, SENDERS};
use super::load::config;
use super::request::{LANES, PROBES, Request, id_of};
use super::sender::Sender;

/// What must be so.
#[derive(Clone, Copy)]
pub struct Promised<'a> {
    /// What was sent, acknowledged and shown.
    pub ledger: &'a Ledger,
    /// How many operations the disk had seen when the power was cut.
    pub at: u64,
    /// What requests follow from.
    pub seed: u64,
    /// The most bytes of claimed events kept; 0 for all.
    pub kept: u64,
    /// How groups are committed.
    pub backend: Backend,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Requests that had been acknowledged.
    pub acked: u64,
    /// Requests that were readable without having been acknowledged.
    pub in_doubt: u64,
    /// Torn tails that were cut.
    pub cut_tails: u64,
}

/// Opens the log in `dir` and holds everything against what was promised; stores something new; opens it again.
///
/// # Errors
/// The promise that was broken.
pub fn check(dir: &Path, promised: Promised) -> Result<Survey, String> {
    match verify(dir, &mut |_| {}) {
        Ok(report) => clean("before it was opened", &report)?,
        // Not yet a store, or just being made one.
        Err(VerifyError::Store(_)) if promised.ledger.acked(promised.at) == 0 => {}
        Err(e) => return Err(format!("verify before it was opened: {}", chain(&e))),
    }
    let config = config(dir, promised.backend, promised.kept);
    let (log, recovery) =
        Log::open(config.clone()).map_err(|e| format!("it does not open: {}", chain(&e)))?;
    undamaged("opening it", &recovery)?;
    let found = Lanes::read(dir)?;
    let mut survey = promised.hold(&found)?;
    survey.cut_tails = recovery.lanes.iter().filter(|lane| lane.cut.is_some()).count() as u64;

    let stored = store_more(&log, promised)?;
    log.close().map_err(|e| format!("closing it: {}", chain(&e)))?;
    let report =
        verify(dir, &mut |_| {}).map_err(|e| format!("verify after it was closed: {}", chain(&e)))?;
    clean("after it was closed", &report)?;
    if report.live {
        return Err("a closed log counts as live".to_owned());
    }

    let (log, recovery) = Log::open(config).map_err(|e| format!("it does not open again: {}", chain(&e)))?;
    undamaged("opening it again", &recovery)?;
    if let Some(lane) = recovery.lanes.iter().find(|lane| lane.cut.is_some()) {
        return Err(format!("after an orderly close a tail was cut: {lane:?}"));
    }
    let again = Lanes::read(dir)?;
    found.is_followed_by(&again, &stored)?;
    drop(log);
    Ok(survey)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn clean(when: &str, report: &VerifyReport) -> Result<(), String> {
    if report.is_clean() {
        return Ok(());
    }
    let damage = report.damage().map(|(lane, damage)| format!("lane {lane}: {damage}"));
    let indexes =
        report.lanes.iter().flat_map(|lane| &lane.index_problems).map(|problem| format!("{problem:?}"));
    let all: Vec<_> = damage.chain(indexes).collect();
    Err(format!("verify {when} says: {}", all.join("; ")))
}

fn undamaged(what: &str, recovery: &Recovery) -> Result<(), String> {
    match recovery
        .lanes
        .iter()
        .flat_map(|lane| lane.damage.iter().map(move |damage| (lane.lane, damage)))
        .next()
    {
        Some((lane, damage)) => Err(format!("{what} found damage in lane {lane}: {damage:?}")),
        None => Ok(()),
    }
}

/// Stores one request in each lane.
fn store_more(log: &Log, promised: Promised) -> Result<Vec<(Request, u64)>, String> {
    let mut sender = Sender::new(log);
    let first = promised.ledger.requests.keys().filter(|&&id| id >= PROBES).count() as u64;
    let mut stored = Vec::new();
    for lane in 0..=LANES {
        let request = Request::probe(promised.seed, first + u64::from(lane), lane);
        let id = request.id;
        let refused = |e: &dyn Display| format!("after the power cut request {id} could not be stored: {e}");
        let pending = sender.submit(request.lane, request.append()).map_err(|e| refused(&e))?;
        let committed = sender.wait(pending).map_err(|e| refused(&e))?;
        stored.push((request, committed.first_seq().0));
    }
    Ok(stored)
}

/// An event, where it stands and whose it is.
type Event = (u64, u64, Vec<u8>);

/// Everything readable, lane by lane.
#[derive(Default)]
struct Lanes(BTreeMap<LaneId, Lane>);

#[derive(Default)]
struct Lane {
    /// Retention has taken everything before this.
    from: u64,
    /// Sequence, request, bytes.
    events: Vec<Event>,
}

impl Lane {
    fn end(&self) -> u64 {
        self.events.last().map_or(self.from, |event| event.0 + 1)
    }

    fn at(&self, seq: u64) -> Option<&Event> {
        let index = usize::try_from(seq.checked_sub(self.from)?).ok()?;
        self.events.get(index)
    }
}

impl Lanes {
    fn read(dir: &Path) -> Result<Lanes, String> {
        let store = Store::open(dir).map_err(|e| format!("opening it for reading: {}", chain(&e)))?;
        let mut lanes = Lanes::default();
        for id in store.lanes().map_err(|e| format!("listing the lanes: {}", chain(&e)))? {
            let wrong = |e| format!("reading lane {id}: {}", chain(&e));
            let mut cursor = store.cursor(id, Seq(0), Filter::all()).map_err(wrong)?;
            let mut lane = Lane::default();
            while let Some(step) = cursor.next().map_err(wrong)? {
                match step {
                    Step::Gap(gap) if gap.reason == GapReason::Retention && lane.events.is_empty() => {
                        lane.from = gap.to.0;
                    }
                    Step::Gap(gap) => return Err(format!("a reader is given a gap: {gap}")),
                    Step::Frame(frame) => {
                        for record in frame.records() {
                            if record.seq.0 != lane.end() {
                                return Err(format!(
                                    "lane {id}: {} comes behind {}",
                                    record.seq.0,
                                    lane.end()
                                ));
                            }
                            let request = id_of(record.json).ok_or_else(|| {
                                format!("lane {id} {}: bytes that nobody sent", record.seq.0)
                            })?;
                            lane.events.push((record.seq.0, request, record.json.to_vec()));
                        }
                    }
                }
            }
            lanes.0.insert(id, lane);
        }
        Ok(lanes)
    }

    /// Is `again` the same, with what was stored in between, and only that, behind it?
    fn is_followed_by(&self, again: &Lanes, stored: &[(Request, u64)]) -> Result<(), String> {
        let none = Lane::default();
        for (id, lane) in &again.0 {
            let before = self.0.get(id).unwrap_or(&none);
            // Retention may go on.
            let same = before.events.iter().filter(|event| event.0 >= lane.from);
            let mut wanted: Vec<_> = same.cloned().collect();
            for (request, seq) in stored.iter().filter(|(request, _)| request.lane == *id) {
                wanted.push((*seq, request.id, request.events[0].clone().into_bytes()));
            }
            if lane.from < before.from || wanted != lane.events {
                return Err(format!(
                    "lane {id} reads otherwise when it is opened again: it was {}..{}, and is {}..{}",
                    before.from,
                    before.end(),
                    lane.from,
                    lane.end()
                ));
            }
        }
        let missing = self.0.keys().find(|id| !again.0.contains_key(id));
        missing.map_or(Ok(()), |id| Err(format!("lane {id} is gone when it is opened again")))
    }
}

impl Promised<'_> {
    /// Acked ⊆ readable ⊆ sent, in order.
    fn hold(&self, found: &Lanes) -> Result<Survey, String> {
        let mut survey = Survey::default();
        for (id, lane) in &found.0 {
            if lane.from > 0 && self.kept == 0 {
                return Err(format!("lane {id} begins at {} though everything is kept", lane.from));
            }
            survey.in_doubt += self.hold_readable(*id, lane)?;
        }
        for (&id, &fate) in &self.ledger.requests {
            if let Fate::Acked { at, seq } = fate
                && at <= self.at
            {
                survey.acked += 1;
                self.hold_acked(found, id, seq, at)?;
            }
        }
        for shown in self.ledger.shown.iter().filter(|shown| shown.at <= self.at) {
            let lane = found.0.get(&LaneId(shown.lane));
            let there = lane.is_some_and(|lane| {
                shown.seq < lane.from || lane.at(shown.seq).is_some_and(|event| event.1 == shown.id)
            });
            if !there {
                return Err(format!("a reader was shown what is not there any more: {shown:?}"));
            }
        }
        Ok(survey)
    }

    /// Everything in the lane was sent, as it is, whole, once and in this order; gives how many requests of it were
    /// not acknowledged.
    fn hold_readable(&self, id: LaneId, lane: &Lane) -> Result<u64, String> {
        let mut in_doubt = 0;
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut rest = lane.events.as_slice();
        while let Some((seq, request_id, _)) = rest.first() {
            match self.ledger.requests.get(request_id) {
                None => return Err(format!("lane {id} {seq}: request {request_id} was never sent")),
                Some(Fate::Refused) => {
                    return Err(format!("lane {id} {seq}: request {request_id} was refused, and is there"));
                }
                Some(Fate::Acked { at, .. }) if *at <= self.at => {}
                Some(_) => in_doubt += 1,
            }
            let request = if *request_id < PROBES {
                Request::derive(self.seed, *request_id)
            } else {
                let number = (request_id - PROBES) / SENDERS;
                Request::probe(self.seed, number, if id.0 < LANES { id.0 } else { LANES })
            };
            let sender = request_id % SENDERS;
            if last.insert(sender, *request_id).is_some_and(|before| before >= *request_id) {
                return Err(format!(
                    "lane {id} {seq}: request {request_id} stands behind a later one, or twice"
                ));
            }
            if request.lane != id {
                return Err(format!(
                    "lane {id} {seq}: request {request_id} was sent to lane {}",
                    request.lane
                ));
            }
            let (events, later) = rest.split_at(rest.len().min(request.events.len()));
            let same = |(event, sent): (&Event, &String)| event.2 == sent.as_bytes();
            if events.len() != request.events.len() || !events.iter().zip(&request.events).all(same) {
                return Err(format!(
                    "lane {id} {seq}: request {request_id} reads otherwise than it was sent"
                ));
            }
            rest = later;
        }
        Ok(in_doubt)
    }

    /// An acknowledged request stands where its acknowledgement said. What its events read is checked elsewhere.
    fn hold_acked(&self, found: &Lanes, id: u64, seq: u64, at: u64) -> Result<(), String> {
        let request = self.derive(id);
        let lost = || {
            format!(
                "request {id}, acknowledged as lane {} {seq} after {at} operations, is lost",
                request.lane
            )
        };
        let lane = found.0.get(&request.lane).ok_or_else(lost)?;
        let there = seq < lane.from || lane.at(seq).is_some_and(|event| event.1 == id);
        if there { Ok(()) } else { Err(lost()) }
    }

    fn derive(&self, id: u64) -> Request {
        if id < PROBES {
            return Request::derive(self.seed, id);
        }
        let number = (id - PROBES) / SENDERS;
        let lane = u16::try_from(number % u64::from(LANES + 1)).expect("few lanes");
        Request::probe(self.seed, number, lane)
    }
}
