//! Those who read while it runs: a follower, one that resumes, exports, and the checker of every byte.
//!
//! # Invariants
//! * In each lane a reader's sequences go up by one, or by an explicit gap of retention.
//! * An export of a day holds every event of that day acknowledged before it was asked for, once, and nothing that
//!   was not sent, save what retention took meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ledger::{Floors, Reader};
use super::line::{self, DAYS, Gap, Line, Place, lane_name, lane_of_name};
use super::{World, lock};
use crate::{Json, Random, Request, cli};

/// How long a gap's warning may be behind the record after it: it comes by another pipe.
const WARNED_WITHIN: Duration = Duration::from_secs(20);

/// How far a reader is, and the gaps it was told of.
#[derive(Default)]
pub(crate) struct Track {
    next: BTreeMap<u16, u64>,
    gaps: Vec<Gap>,
}

impl Track {
    /// Where it reads on, lane by lane.
    pub(crate) fn next(&self) -> &BTreeMap<u16, u64> {
        &self.next
    }

    /// Records in gaps.
    pub(crate) fn missed(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.to - gap.from).sum()
    }

    /// Gaps it was told of.
    pub(crate) fn gaps(&self) -> usize {
        self.gaps.len()
    }

    /// Whether a gap says so.
    pub(crate) fn excuses(&self, place: Place) -> bool {
        self.gaps.iter().any(|gap| gap.lane == place.lane && (gap.from..gap.to).contains(&place.seq))
    }

    /// Goes on to a record, waiting for the warning of a gap before it.
    fn step(&mut self, place: Place, warned: &Mutex<Vec<Gap>>) -> Result<(), String> {
        self.step_within(WARNED_WITHIN, place, warned)
    }

    fn step_within(&mut self, limit: Duration, place: Place, warned: &Mutex<Vec<Gap>>) -> Result<(), String> {
        let until = Instant::now() + limit;
        while self.next_of(place.lane) != place.seq {
            let late = Instant::now() > until;
            self.settle(warned)?;
            let next = self.next_of(place.lane);
            if next > place.seq || (late && next < place.seq) {
                return Err(format!(
                    "after {}:{next} comes {place}, and no gap says so",
                    lane_name(place.lane)
                ));
            }
            if next < place.seq {
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.next.insert(place.lane, place.seq + 1);
        Ok(())
    }

    fn next_of(&self, lane: u16) -> u64 {
        self.next.get(&lane).copied().unwrap_or(0)
    }

    /// Goes on over every gap that it was told of and has come to, whether or not a record follows.
    fn settle(&mut self, warned: &Mutex<Vec<Gap>>) -> Result<(), String> {
        let mut warned = warned.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(at) = warned.iter().position(|gap| gap.from == self.next_of(gap.lane)) {
            let gap = warned.swap_remove(at);
            if gap.reason != "retention" || gap.from >= gap.to {
                return Err(format!("a gap that retention did not make: {gap:?}"));
            }
            self.next.insert(gap.lane, gap.to);
            self.gaps.push(gap);
        }
        Ok(())
    }

    /// As [`Track::settle`], of a reader that has come to its end: it came to every gap.
    fn settle_all(&mut self, warned: &Mutex<Vec<Gap>>) -> Result<(), String> {
        self.settle(warned)?;
        match warned.lock().unwrap_or_else(PoisonError::into_inner).first() {
            None => Ok(()),
            Some(gap) => Err(format!("told of {gap:?} where the next record was {}", self.next_of(gap.lane))),
        }
    }
}

/// Reads a process's lines into the ledger until its stdout ends.
fn read_lines(
    world: &World,
    reader: Reader,
    track: &Mutex<Track>,
    stdout: ChildStdout,
    warned: &Mutex<Vec<Gap>>,
) -> Result<u64, String> {
    let mut lines = BufReader::with_capacity(1 << 16, stdout);
    let (mut text, mut count) = (String::new(), 0);
    loop {
        text.clear();
        match lines.read_line(&mut text) {
            Ok(0) => return Ok(count),
            Ok(_) if !text.ends_with('\n') => return Ok(count),
            Ok(_) => {}
            Err(e) => return Err(format!("{reader:?}: {e}")),
        }
        let line = Line::parse(&text).map_err(|e| format!("{reader:?}: {e}"))?;
        lock(track).step(line.place, warned).map_err(|e| format!("{reader:?}: {e}"))?;
        let owner = world.owner_of(line.token);
        let owner = owner.ok_or_else(|| format!("{reader:?}: a token that nobody sent: {line:?}"))?;
        world.ledger.seen(reader, line.place, owner, line.id)?;
        count += 1;
    }
}

/// Reads a process's warnings; gives what else it said.
fn read_warnings(from: impl Read + Send + 'static, gaps: Arc<Mutex<Vec<Gap>>>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut rest = String::new();
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            match Gap::parse(&line) {
                Some(gap) => gaps.lock().unwrap_or_else(PoisonError::into_inner).push(gap),
                None if rest.len() < 10_000 => rest.extend([&line, "\n"]),
                None => {}
            }
        }
        rest
    })
}

fn spawn(data_dir: &Path, args: &[&str]) -> Result<Child, String> {
    let mut command = Command::new(cli::binary());
    command.args(args).args(["--kind", "all", "--json", "--data-dir"]).arg(data_dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|e| format!("starting {command:?}: {e}"))
}

/// `log tail -f`: one process that lives as long as the soak, through all lives of the server.
pub(crate) struct Follower {
    world: Arc<World>,
    child: Child,
    reading: Option<JoinHandle<()>>,
    warned: Arc<Mutex<Vec<Gap>>>,
}

impl Follower {
    /// Starts it on a store that holds nothing yet.
    ///
    /// # Errors
    /// As starting it fails.
    pub(crate) fn start(world: &Arc<World>) -> Result<Follower, String> {
        let mut child = spawn(&world.data_dir, &["log", "tail", "-n", "0", "-f"])?;
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let warned = Arc::<Mutex<Vec<Gap>>>::default();
        let rest = read_warnings(stderr, Arc::clone(&warned));
        let (world, shared, told) = (Arc::clone(world), Arc::clone(world), Arc::clone(&warned));
        let reading = thread::spawn(move || {
            let read = read_lines(&world, Reader::Follower, &world.followed, stdout, &told);
            let rest = rest.join().unwrap_or_default();
            match read {
                Err(what) => world.fail(what),
                Ok(_) if world.follower_may_end.load(Ordering::Relaxed) => {}
                Ok(count) => world.fail(format!("the follower ended after {count} records: {rest}")),
            }
        });
        Ok(Follower { world: shared, child, reading: Some(reading), warned })
    }

    /// Ends it once it has seen everything up to these.
    ///
    /// # Errors
    /// If it does not come that far.
    pub(crate) fn finish(self, ends: &BTreeMap<u16, u64>) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(60);
        let behind = || {
            let mut track = lock(&self.world.followed);
            track.settle(&self.warned)?;
            let behind = ends.iter().find(|(lane, end)| track.next_of(**lane) < **end);
            Ok::<_, String>(behind.map(|(lane, end)| Place { lane: *lane, seq: *end }))
        };
        while let Some(end) = behind()? {
            if Instant::now() > until || self.world.failed().is_some() {
                return Err(format!("the follower never comes to the end {end}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        lock(&self.world.followed).settle_all(&self.warned)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.world.follower_may_end.store(true, Ordering::Relaxed);
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}

/// One `log cat --from`, from where the track stands to what is there now. Every lane is named, so that it is told
/// of all it misses, also of one that retention emptied before it ever came there.
///
/// # Errors
/// Whatever it reads that it may not.
pub(crate) fn read_on(world: &World, reader: Reader, track: &Mutex<Track>) -> Result<u64, String> {
    let lanes = bounds(world)?.0;
    let from: Vec<String> = {
        let track = lock(track);
        lanes.keys().map(|&lane| format!("--from={}:{}", lane_name(lane), track.next_of(lane))).collect()
    };
    let mut args = vec!["log", "cat"];
    args.extend(from.iter().map(String::as_str));
    let mut child = spawn(&world.data_dir, &args)?;
    let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let warned = Arc::<Mutex<Vec<Gap>>>::default();
    let rest = read_warnings(stderr, Arc::clone(&warned));
    let read = read_lines(world, reader, track, stdout, &warned);
    if read.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| format!("waiting for log cat: {e}"))?;
    let rest = rest.join().unwrap_or_default();
    let count = read?;
    if !status.success() {
        return Err(format!("`log cat {args:?}` ended with {status}: {rest}"));
    }
    lock(track).settle_all(&warned).map_err(|e| format!("{reader:?}: {e}"))?;
    Ok(count)
}

/// Resumes again and again, now and then so late that retention was there first.
pub(crate) fn resume(world: &World) {
    let mut random = Random::named(world.seed, "resumer");
    while !world.over() {
        world.nap(if random.chance(10, 100) { random.ms(60_000, 400_000) } else { random.ms(2_000, 15_000) });
        match read_on(world, Reader::Resumer, &world.resumed) {
            Ok(_) => _ = world.tally.reads.fetch_add(1, Ordering::Relaxed),
            Err(what) => world.fail(what),
        }
    }
}

/// Exports a day of a project, checks every byte, or asks for statistics, again and again.
pub(crate) fn inspect(world: &World) {
    let mut random = Random::named(world.seed, "inspector");
    while !world.over() {
        world.nap(random.ms(4_000, 16_000));
        let done = match random.within(0, 9) {
            0 => cli_succeeds(world, &["log", "verify", "--json"]).map(|out| {
                world.tally.verifies.fetch_add(1, Ordering::Relaxed);
                if out.lines().iter().any(|r| r.get("lanes").is_none()) {
                    world.fail(format!("no report of verify: {}", out.text()));
                }
            }),
            1 => cli_succeeds(world, &["stats", "--json"]).map(drop),
            _ => export(world, &mut random),
        };
        if let Err(what) = done {
            world.fail(what);
        }
        if let Err(what) = retire(world) {
            world.fail(what);
        }
    }
}

fn cli_succeeds(world: &World, args: &[&str]) -> Result<cli::Output, String> {
    let out = cli::run(&world.data_dir, args);
    if out.status.success() {
        return Ok(out);
    }
    Err(format!("`{}` ended with {}:\n{}{}", out.command, out.status, out.text(), out.stderr))
}

/// Where each lane begins and ends, as `log stats` says.
///
/// # Errors
/// As that fails.
pub(crate) fn bounds(world: &World) -> Result<(Floors, BTreeMap<u16, u64>), String> {
    let out = cli_succeeds(world, &["log", "stats", "--json"])?.json();
    let lanes = out.get("lanes").and_then(Json::as_array).unwrap_or_default();
    let of = |key: &str| {
        lanes.iter().filter_map(|lane| Some((lane_of_name(lane.str("lane"))?, lane.u64(key)))).collect()
    };
    Ok((of("first_seq"), of("next_seq")))
}

fn retire(world: &World) -> Result<(), String> {
    let (floors, _) = bounds(world)?;
    let resumed = lock(&world.resumed);
    world.ledger.retire(&floors, |place| resumed.excuses(place));
    Ok(())
}

fn export(world: &World, random: &mut Random) -> Result<(), String> {
    let Some((addr, pid)) = world.running() else { return Ok(()) };
    let owner = usize::try_from(random.within(0, world.projects().len() as u64 - 1)).expect("small");
    let (day, project) = (random.within(0, DAYS - 1), &world.projects()[owner]);
    let expected = world.ledger.acknowledged(owner, |id| id % DAYS == day);
    let date = line::date(day);
    let target = format!("/api/2.0/export?from_date={date}&to_date={date}");
    let request = Request::get(&target).basic(&project.api_secret, "").close();
    let answer = match crate::wire::exchange(addr, &request.bytes()) {
        Ok(answer) => answer,
        Err(_) if world.running() != Some((addr, pid)) || world.ending.load(Ordering::Relaxed) => {
            return Ok(());
        }
        Err(e) => return Err(format!("no answer to an export: {e}")),
    };
    if answer.status != 200 {
        // A server that stops answers so.
        if world.ending.load(Ordering::Relaxed) || world.running() != Some((addr, pid)) {
            return Ok(());
        }
        return Err(format!("an export: {answer:?}"));
    }
    let text = answer.text();
    let mut ids = text.lines().map(line::id).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("event {} is exported twice", pair[0]));
    }
    for &id in &ids {
        match world.ledger.owner(id) {
            // Given back meanwhile: retention took it after the export read it.
            None => {}
            Some(of) if of == owner && id % DAYS == day => {}
            Some(of) => return Err(format!("event {id} of owner {of} in the export of {owner}, {date}")),
        }
    }
    let missing: Vec<u64> = expected.into_iter().filter(|id| ids.binary_search(id).is_err()).collect();
    excuse_missing(world, &missing, &format!("the export of project {owner}, {date}"))?;
    world.tally.exports.fetch_add(1, Ordering::Relaxed);
    world.tally.exported.fetch_add(ids.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Only what retention took may be missing.
fn excuse_missing(world: &World, missing: &[u64], from: &str) -> Result<(), String> {
    if missing.is_empty() {
        return Ok(());
    }
    let (floors, _) = bounds(world)?;
    for &id in missing {
        if world.ledger.owner(id).is_none() {
            continue;
        }
        let expired = |place: Place| floors.get(&place.lane).is_some_and(|floor| place.seq < *floor);
        if !world.ledger.place(id).is_some_and(expired) {
            let (count, place) = (missing.len(), world.ledger.place(id));
            return Err(format!(
                "event {id}, acknowledged, at {place:?}, is not in {from} (of {count} missing)"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(from: u64, to: u64, reason: &str) -> Gap {
        Gap { lane: 1, from, to, reason: reason.to_owned() }
    }

    /// Steps through sequences of lane 1 after these warnings.
    fn steps(warned: &[Gap], seqs: &[u64]) -> Result<Track, String> {
        let (mut track, warned) = (Track::default(), Mutex::new(warned.to_vec()));
        for &seq in seqs {
            track.step_within(Duration::ZERO, Place { lane: 1, seq }, &warned)?;
        }
        Ok(track)
    }

    #[test]
    fn a_reader_goes_up_by_one_or_over_gaps_that_retention_made() {
        assert_eq!(steps(&[], &[0, 1, 2]).expect("in order").missed(), 0);
        assert_eq!(steps(&[gap(0, 40, "retention")], &[40, 41]).expect("an old store").missed(), 40);
        let track = steps(&[gap(2, 9, "retention")], &[0, 1, 9]).expect("a gap says so");
        assert_eq!((track.gaps(), track.missed()), (1, 7));
        assert!(track.excuses(Place { lane: 1, seq: 8 }) && !track.excuses(Place { lane: 1, seq: 9 }));
        let two = [gap(5, 9, "retention"), gap(2, 5, "retention")];
        assert_eq!(steps(&two, &[0, 1, 9]).expect("one behind the other").missed(), 7);
    }

    #[test]
    fn it_never_goes_back_nor_over_what_no_gap_or_another_gap_says() {
        for seqs in [&[0, 0][..], &[0, 2], &[0, 1, 9], &[40]] {
            assert!(steps(&[], seqs).is_err(), "{seqs:?}");
        }
        for (from, to) in [(2, 8), (2, 10), (3, 9)] {
            assert!(steps(&[gap(from, to, "retention")], &[0, 1, 9]).is_err(), "{from}..{to}");
        }
        assert!(steps(&[gap(2, 9, "damage")], &[0, 1, 9]).is_err(), "nothing is damaged here");
    }

    #[test]
    fn a_lane_that_retention_emptied_whole_is_a_gap_though_nothing_follows() {
        let at = Place { lane: 1, seq: 6 };
        for (seqs, from) in [(&[][..], 0), (&[0, 1], 2)] {
            let mut track = steps(&[], seqs).expect("in order");
            track.settle_all(&Mutex::new(vec![gap(from, 7, "retention")])).expect("it fits");
            assert!(track.excuses(at), "{from}");
            assert_eq!(track.next(), &BTreeMap::from([(1, 7)]), "it goes on behind it");
        }
        let mut track = steps(&[], &[0, 1]).expect("in order");
        assert!(
            track.settle_all(&Mutex::new(vec![gap(0, 7, "retention")])).is_err(),
            "it has read two of them"
        );
        assert!(!track.excuses(at));
    }
}
