//! `forebay log tail`: the newest records, and with `-f` every record as it becomes durable.

use super::{
    Common, Done, Failure,
    cat::{Begin, print_next},
    select::{Owners, Select},
};
use forebay_log::{Cursor, Step, Store};
use forebay_record::{LaneId, Seq};
use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    time::Duration,
};

/// Print the newest stored records
#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    select: Select,
    /// How many
    #[arg(short = 'n', long = "lines", value_name = "COUNT", default_value_t = 10)]
    count: usize,
    /// Go on with what is stored from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
}

/// How often a follower looks for more. A lane says nothing to other processes when it commits.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// How often it looks for new lanes and new owners of tokens: once in so many rounds.
const REFRESH_ROUNDS: u32 = 10;

/// A printed record and what it is ordered by.
type Line = (u64, LaneId, Seq, Vec<u8>);

impl Tail {
    pub(crate) fn run(&self, common: &Common) -> Done {
        let store = common.store()?;
        let control = common.existing_control()?;
        let (snapshot, mut watch) = control.watch()?;
        let mut owners = Owners::of_all(snapshot.projects);
        self.select.warn_of_unknown(&owners);
        let mut out = common.out();
        let mut ends = BTreeMap::new();
        let mut newest = VecDeque::new();
        for lane in store.lanes()?.into_iter().filter(|&lane| self.select.reads(lane)) {
            let end = store.durable(lane)?.seq;
            newest.extend(self.newest_of(&store, lane, end, &owners, out.json)?);
            ends.insert(lane, end);
        }
        newest.make_contiguous().sort_by_key(|(at, lane, seq, _)| (*at, *lane, *seq));
        for (.., line) in newest.iter().skip(newest.len().saturating_sub(self.count)) {
            out.bytes(line)?;
        }
        out.done()?;
        if !self.follow {
            return Ok(());
        }
        let mut cursors: BTreeMap<LaneId, Cursor> = BTreeMap::new();
        let mut lines = Vec::new();
        for round in 0_u32.. {
            if round % REFRESH_ROUNDS == 0 {
                // What changed, not everything: a registry may hold a million projects.
                owners.apply(watch.poll()?);
                for lane in store.lanes()?.into_iter().filter(|&lane| self.select.reads(lane)) {
                    if let Entry::Vacant(vacant) = cursors.entry(lane) {
                        let from = ends.get(&lane).copied().unwrap_or(Seq(0));
                        vacant.insert(store.cursor(lane, from, self.select.filter(&owners))?);
                    }
                }
            }
            for cursor in cursors.values_mut() {
                // Also of a lane that came to be while it follows: it begins where this reader goes on.
                let begin = Begin::WhereAsked;
                while print_next(cursor, begin, &self.select, &owners, out.json, None, &mut lines)? {
                    out.bytes(&lines)?;
                    lines.clear();
                }
            }
            out.done()?;
            std::thread::sleep(FOLLOW_INTERVAL);
        }
        Ok(())
    }

    /// The last records of a lane: looks further and further back until there are enough.
    fn newest_of(
        &self,
        store: &Store,
        lane: LaneId,
        end: Seq,
        owners: &Owners,
        json: bool,
    ) -> Result<VecDeque<Line>, Failure> {
        let mut back = self.count as u64;
        loop {
            let start = Seq(end.0.saturating_sub(back));
            let mut found: VecDeque<Line> = VecDeque::new();
            let mut cursor = store.cursor(lane, start, self.select.filter(owners))?;
            while let Some(step) = cursor.next()? {
                let Step::Frame(frame) = step else { continue };
                if frame.header().first_seq >= end {
                    break;
                }
                let Some(shown) = self.select.keeps(&frame, lane, owners) else { continue };
                for record in frame.records() {
                    let mut line = Vec::new();
                    shown.write(&record, json, &mut line)?;
                    found.push_back((shown.received_at_ms(), lane, record.seq, line));
                    if found.len() > self.count {
                        found.pop_front();
                    }
                }
            }
            if found.len() >= self.count || start == Seq(0) {
                return Ok(found);
            }
            back = back.saturating_mul(16);
        }
    }
}
