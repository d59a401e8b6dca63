//! How many events of which name a project has, by day: counted once, and then only what has come since.
//!
//! The log's indexes know projects and times, not names. So the first question about a project reads the directories of
//! its events, as far back as was asked, a bounded number of them at a time; what was counted is kept, and the next
//! question goes on where that one stopped. An answer therefore always has what was durable when it was asked for.
//!
//! What goes away is not taken off: retention removes whole segments, and nothing says what was in them. So everything is
//! counted anew after [`KEPT_MS`], and each answer tells how old the count is that it goes by.
//!
//! # Invariants
//! * [`PROJECTS_MAX`] projects are kept, each with [`NAMES_MAX`] names and [`CELLS_MAX`] counts at most; beyond that an
//!   answer says that it is not everything.
//! * Two questions about a project never count at the same time, and one about another project waits for neither.

use crate::{
    Subject,
    read::{DAY_MS, event_name},
};
use forebay_log::{ReadError, Step, Store};
use forebay_record::{LaneId, ProjectId, Seq};
use jiff::civil::Date;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Projects whose counts are kept: the ones that were asked about last.
const PROJECTS_MAX: usize = 8;
/// Names of one project.
const NAMES_MAX: usize = 10_000;
/// The longest name that is counted by itself.
const NAME_BYTES_MAX: usize = 255;
/// Counts of one project: a name on a day.
const CELLS_MAX: usize = 100_000;
/// After so long everything is counted anew.
const KEPT_MS: u64 = 24 * 3_600_000;

/// What a project's events are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// How many events of each name there are in the days asked for.
    pub events: BTreeMap<String, u64>,
    /// Some are left out: there are more names than are kept, or longer ones.
    pub is_partial: bool,
    /// For how long events that have gone since may still be counted, in milliseconds.
    pub age_ms: u64,
}

/// Why there is no count.
#[derive(Debug)]
pub enum CensusError {
    /// The log could not be read.
    Read(ReadError),
    /// It takes longer than one question may: ask again, it goes on from here.
    Counting {
        /// Records counted so far.
        counted: u64,
    },
}

impl fmt::Display for CensusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CensusError::Read(_) => f.write_str("the log cannot be read now"),
            CensusError::Counting { counted } => {
                write!(
                    f,
                    "events are still being counted, {counted} so far: ask again, it goes on from there"
                )
            }
        }
    }
}

impl std::error::Error for CensusError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CensusError::Read(e) => Some(e),
            CensusError::Counting { .. } => None,
        }
    }
}

impl From<ReadError> for CensusError {
    fn from(e: ReadError) -> CensusError {
        CensusError::Read(e)
    }
}

/// The counts. Clones share them.
#[derive(Clone)]
pub struct Census {
    store: Store,
    projects: Arc<Mutex<Kept>>,
}

/// The one asked about last at the end.
type Kept = Vec<(ProjectId, Arc<Mutex<Count>>)>;

impl Census {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(store: Store) -> Census {
        Census { store, projects: Arc::default() }
    }

    /// The names of a project's events on `days`, reading no more than about `records_max` records for it.
    ///
    /// # Errors
    /// [`CensusError`].
    pub fn names(
        &self,
        subject: &Subject,
        days: &RangeInclusive<Date>,
        records_max: u64,
        now_ms: u64,
    ) -> Result<Names, CensusError> {
        let kept = self.kept(subject.project);
        let mut count = lock(&kept);
        let days = day(*days.start())..=day(*days.end());
        if !count.is_good(subject, *days.start(), now_ms) {
            *count = Count::new(subject, *days.start(), now_ms);
        }
        count.go_on(&self.store, subject, records_max)?;
        Ok(count.names(days, now_ms))
    }

    /// The project's count; that of the one asked about longest ago gives way to it.
    fn kept(&self, project: ProjectId) -> Arc<Mutex<Count>> {
        let mut projects = lock(&self.projects);
        let found = projects.iter().position(|(id, _)| *id == project).map(|at| projects.remove(at));
        let (_, count) = found.unwrap_or_else(|| (project, Arc::default()));
        if projects.len() >= PROJECTS_MAX
            // One that somebody counts on stays: there are no more of those than queries at once.
            && let Some(idle) = projects.iter().position(|(_, count)| Arc::strong_count(count) == 1)
        {
            projects.remove(idle);
        }
        projects.push((project, Arc::clone(&count)));
        count
    }
}

/// A count that broke off in the middle of a frame would count it twice: after a panic it is begun anew.
fn lock<T: Default>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned: PoisonError<MutexGuard<'_, T>>| {
        mutex.clear_poison();
        let mut guard = poisoned.into_inner();
        *guard = T::default();
        guard
    })
}

/// A day by its number since 1970.
fn day(date: Date) -> i64 {
    let since = date.since(Date::constant(1970, 1, 1));
    since.map_or(i64::MIN, |span| i64::from(span.get_days()))
}

/// What was counted of one project.
#[derive(Default)]
struct Count {
    /// Of events with these tokens besides the project's own.
    tokens: Vec<Box<[u8]>>,
    /// How long the project keeps its events; 0: as long as the log does.
    kept_ms: u64,
    first_day: i64,
    begun_ms: u64,
    is_begun: bool,
    /// How far each lane was counted.
    lanes: BTreeMap<LaneId, Seq>,
    names: HashMap<Box<str>, u32>,
    days: BTreeMap<i64, HashMap<u32, u64>>,
    cells: usize,
    counted: u64,
    is_partial: bool,
}

impl Count {
    fn new(subject: &Subject, first_day: i64, now_ms: u64) -> Count {
        Count {
            tokens: subject.tokens.clone(),
            kept_ms: kept_ms(subject, now_ms),
            first_day,
            begun_ms: now_ms,
            is_begun: true,
            ..Count::default()
        }
    }

    /// Does it still answer for this project?
    fn is_good(&self, subject: &Subject, first_day: i64, now_ms: u64) -> bool {
        self.is_begun
            && self.tokens == subject.tokens
            && self.kept_ms == kept_ms(subject, now_ms)
            && self.first_day <= first_day
            && (self.begun_ms..=self.begun_ms.saturating_add(KEPT_MS)).contains(&now_ms)
    }

    /// Counts what is durable now and was not counted yet.
    fn go_on(&mut self, store: &Store, subject: &Subject, records_max: u64) -> Result<(), CensusError> {
        let mut left = records_max;
        for lane in store.lanes()? {
            let end = store.durable(lane)?.seq;
            let from = self.lanes.get(&lane).copied().unwrap_or(Seq(0));
            if from >= end {
                continue;
            }
            let first_ms = self.first_day.saturating_mul(DAY_MS);
            let mut cursor = store.cursor(lane, from, subject.filter(lane, first_ms..=i64::MAX))?;
            loop {
                match cursor.next()? {
                    Some(Step::Frame(frame)) if frame.header().first_seq < end => {
                        let records = frame.record_count();
                        if subject.owns(&frame) {
                            let received = i64::try_from(frame.header().received_at_ms).unwrap_or(i64::MAX);
                            for record in frame.records() {
                                let time_ms = record.entry.time_ms.unwrap_or(received);
                                let name = event_name(&record.entry, record.json);
                                self.add(time_ms.div_euclid(DAY_MS), name.as_deref());
                            }
                            self.counted += u64::from(records);
                        }
                        self.lanes.insert(lane, frame.header().first_seq.plus(frame.header().event_count));
                        left = left.saturating_sub(u64::from(records));
                        if left == 0 {
                            return Err(CensusError::Counting { counted: self.counted });
                        }
                    }
                    Some(Step::Gap(_)) => {}
                    Some(Step::Frame(_)) | None => break,
                }
            }
            self.lanes.insert(lane, end);
        }
        Ok(())
    }

    fn add(&mut self, day: i64, name: Option<&[u8]>) {
        if day < self.first_day {
            return;
        }
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|n| n.len() <= NAME_BYTES_MAX);
        let known = name.and_then(|name| self.names.get(name).copied());
        let id = match (known, name) {
            (Some(id), _) => id,
            (None, Some(name)) if self.names.len() < NAMES_MAX => {
                let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
                self.names.insert(name.into(), id);
                id
            }
            _ => return self.is_partial = true,
        };
        if let Some(count) = self.days.get_mut(&day).and_then(|names| names.get_mut(&id)) {
            *count += 1;
        } else if self.cells < CELLS_MAX {
            self.cells += 1;
            self.days.entry(day).or_default().insert(id, 1);
        } else {
            self.is_partial = true;
        }
    }

    fn names(&self, days: RangeInclusive<i64>, now_ms: u64) -> Names {
        let mut by_id: HashMap<u32, u64> = HashMap::new();
        if days.start() <= days.end() {
            for (id, count) in self.days.range(days).flat_map(|(_, names)| names) {
                *by_id.entry(*id).or_default() += count;
            }
        }
        let events = self.names.iter().filter_map(|(name, id)| Some((name.to_string(), *by_id.get(id)?)));
        Names {
            events: events.collect(),
            is_partial: self.is_partial,
            age_ms: now_ms.saturating_sub(self.begun_ms),
        }
    }
}

fn kept_ms(subject: &Subject, now_ms: u64) -> u64 {
    if subject.received_since_ms == 0 { 0 } else { now_ms.saturating_sub(subject.received_since_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{days, sample};

    const NOW_MS: u64 = 1_760_000_000_000;

    fn ask(
        census: &Census,
        from: &str,
        to: &str,
        records_max: u64,
        now_ms: u64,
    ) -> Result<Names, CensusError> {
        let days = days(Some(from), Some(to), Date::MAX).unwrap();
        census.names(&sample::subject(), &days, records_max, now_ms)
    }

    #[test]
    fn names_are_counted_by_day_and_the_next_question_counts_only_what_is_new() {
        let log = sample::Writing::new();
        log.write(&[("a", Some("2025-10-08")), ("b", Some("2025-10-09")), ("a", None)]);
        let census = Census::new(log.store());
        let events = |names: Names| names.events.into_iter().collect::<Vec<_>>();
        let all = |from, to| events(ask(&census, from, to, 100, NOW_MS).unwrap());
        let pair = |name: &str, count| (name.to_owned(), count);
        assert_eq!(all("2025-10-01", "2025-10-31"), [pair("a", 2), pair("b", 1)]);
        assert_eq!(all("2025-10-08", "2025-10-08"), [pair("a", 1)]);
        assert_eq!(all("2025-11-01", "2025-11-02"), []);
        log.write(&[("c \\\"d\\\"", None), ("b", None)]);
        let again = ask(&census, "2025-10-01", "2025-10-31", 2, NOW_MS + 7);
        assert!(
            matches!(again, Err(CensusError::Counting { counted: 5 })),
            "two new ones, and that was the budget"
        );
        let again = ask(&census, "2025-10-01", "2025-10-31", 1, NOW_MS + 7).unwrap();
        assert_eq!((again.age_ms, again.is_partial), (7, false));
        assert_eq!(events(again), [pair("a", 2), pair("b", 2), pair("c \"d\"", 1)]);
        let earlier = ask(&census, "2020-01-01", "2025-10-31", 4, NOW_MS).unwrap_err();
        assert_eq!(
            earlier.to_string(),
            "events are still being counted, 5 so far: ask again, it goes on from there"
        );
    }

    #[test]
    fn a_count_is_taken_anew_after_a_day() {
        let log = sample::Writing::new();
        log.write(&[("a", None)]);
        let census = Census::new(log.store());
        let age = |now_ms| ask(&census, "2025-10-01", "2025-10-31", 9, now_ms).unwrap().age_ms;
        assert_eq!([age(NOW_MS), age(NOW_MS + KEPT_MS), age(NOW_MS + KEPT_MS + 1)], [0, KEPT_MS, 0]);
        assert_eq!(age(NOW_MS), 0, "a clock that was set back is no reason to go by what it said before");
    }

    #[test]
    fn what_is_kept_of_a_project_is_bounded_and_an_answer_says_so() {
        let mut count = Count::new(&sample::subject(), 0, 0);
        for name in 0..NAMES_MAX {
            count.add(1, Some(name.to_string().as_bytes()));
        }
        assert!(!count.names(1..=1, 0).is_partial);
        count.add(1, Some(b"one more"));
        let names = count.names(1..=1, 0);
        assert!(names.is_partial && names.events.len() == NAMES_MAX);
        let mut count = Count::new(&sample::subject(), 0, 0);
        for at in 0..CELLS_MAX as i64 + 5 {
            count.add(at, Some(b"e"));
        }
        assert!(count.names(0..=9, 0).is_partial && count.cells == CELLS_MAX);
        let mut count = Count::new(&sample::subject(), 0, 0);
        count.add(1, Some("x".repeat(NAME_BYTES_MAX + 1).as_bytes()));
        assert!(count.names(1..=1, 0).is_partial && count.names.is_empty());
    }

    #[test]
    fn a_few_projects_are_kept_the_last_ones() {
        let log = sample::Writing::new();
        let census = Census::new(log.store());
        let project = |id| ProjectId::new(id).unwrap();
        for id in 1..=PROJECTS_MAX as u64 {
            census.kept(project(id));
        }
        census.kept(project(1));
        census.kept(project(99));
        let kept: Vec<_> = census.projects.lock().unwrap().iter().map(|(id, _)| id.as_u64()).collect();
        assert_eq!(kept, [3, 4, 5, 6, 7, 8, 1, 99]);
    }
}
