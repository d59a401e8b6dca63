//! How much of a server its readers may take: so many queries at once in all, and for each project so many at once and so
//! many in an hour.
//!
//! # Invariants
//! * What is kept of a project is of fixed size, and nothing is kept of one that has not asked for an hour.
//! * A query that was let in counts as running until its [`Turn`] is dropped, whatever becomes of it.
//! * One project never has all turns: [`QueryLimits::check`].

use forebay_http::QueryCounters;
use forebay_record::ProjectId;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many queries there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// That read at once, of all projects. More wait for their turn.
    pub concurrent_max: usize,
    /// Of one project at once, those that wait included. More get 429.
    pub project_concurrent_max: u32,
    /// Of one project in an hour. More get 429; 0: no limit.
    pub project_hour_max: u32,
    /// How long an export waits for its reader to take a piece of it, 128 KiB or less. Then it is given up.
    pub stall_timeout: Duration,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits {
            concurrent_max: 8,
            project_concurrent_max: QueryLimits::share(8),
            project_hour_max: 3600,
            // Less than a connection waits for whom takes nothing at all, so that it is counted here.
            stall_timeout: Duration::from_secs(25),
        }
    }
}

impl QueryLimits {
    /// How many of so many turns one project has where nothing else is said: three quarters.
    #[must_use]
    pub fn share(concurrent_max: usize) -> u32 {
        u32::try_from((concurrent_max.saturating_mul(3) / 4).max(1)).unwrap_or(u32::MAX)
    }

    /// Refuses limits by which one project could have all turns, and others wait until its readers are done.
    ///
    /// # Errors
    /// Which limits those are, and what to set instead.
    pub fn check(&self) -> Result<(), String> {
        let (project, all) = (self.project_concurrent_max, self.concurrent_max);
        if usize::try_from(project).is_ok_and(|project| project < all) {
            return Ok(());
        }
        Err(format!(
            "export.project_concurrent_max is {project} and export.concurrent_max {all}: one project could take every turn \
             and keep all others waiting; set the first to at most {}, or the second to at least {}",
            all.saturating_sub(1).max(1),
            u64::from(project) + 1
        ))
    }
}

/// How long a query waits for its turn. Clients wait much longer for the first byte.
const TURN_WAIT: Duration = Duration::from_secs(20);
/// When to come back after that, or when there are too many at once.
const RETRY_AFTER_S: u64 = 30;
const MINUTE_MS: u64 = 60_000;
const MINUTES: usize = 60;

/// Lets queries in. Clones share what they count.
#[derive(Clone)]
pub(crate) struct Gate {
    limits: QueryLimits,
    turns: Arc<Semaphore>,
    turn_wait: Duration,
    projects: Arc<Mutex<HashMap<ProjectId, Window>>>,
    counters: Arc<QueryCounters>,
}

/// Why a query is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// The project has enough of them.
    Project { project: ProjectId, running: u32, hour: u32, limits: QueryLimits, retry_after_s: u64 },
    /// The server has: it waited.
    Turns,
}

impl Exceeded {
    /// When to come back.
    pub(crate) fn retry_after_s(&self) -> u64 {
        match self {
            Exceeded::Project { retry_after_s, .. } => *retry_after_s,
            Exceeded::Turns => RETRY_AFTER_S,
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retry_after_s = self.retry_after_s();
        match self {
            Exceeded::Project { project, running, hour, limits, .. } => {
                write!(
                    f,
                    "Query rate limit exceeded for project_id: {project}. {running}/{} queries running concurrently and {hour}/",
                    limits.project_concurrent_max
                )?;
                match limits.project_hour_max {
                    0 => f.write_str("unlimited")?,
                    most => write!(f, "{most}")?,
                }
                write!(f, " queries running in the last hour. Try again in {retry_after_s} seconds.")
            }
            Exceeded::Turns => {
                write!(f, "too many queries are running on this server; try again in {retry_after_s} seconds")
            }
        }
    }
}

/// A query that was let in.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    _running: Running,
}

struct Running {
    gate: Gate,
    project: ProjectId,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gate.counters.running.fetch_sub(1, Relaxed);
        if let Some(window) = self.gate.windows().get_mut(&self.project) {
            window.running = window.running.saturating_sub(1);
        }
    }
}

impl Gate {
    pub(crate) fn new(limits: QueryLimits, counters: Arc<QueryCounters>) -> Gate {
        let turns = Arc::new(Semaphore::new(limits.concurrent_max.clamp(1, Semaphore::MAX_PERMITS)));
        Gate { limits, turns, turn_wait: TURN_WAIT, projects: Arc::default(), counters }
    }

    /// Lets a query of `project` in, perhaps after a while.
    pub(crate) async fn turn(&self, project: ProjectId, now_ms: u64) -> Result<Turn, Exceeded> {
        let running = self.admit(project, now_ms).inspect_err(|exceeded| {
            let over_hour = matches!(exceeded, Exceeded::Project { running, limits, .. } if *running < limits.project_concurrent_max);
            let counter =
                if over_hour { &self.counters.refused_hour } else { &self.counters.refused_concurrent };
            counter.fetch_add(1, Relaxed);
        })?;
        match tokio::time::timeout(self.turn_wait, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit, _running: running }),
            _ => {
                self.counters.refused_turns.fetch_add(1, Relaxed);
                Err(Exceeded::Turns)
            }
        }
    }

    /// Nothing is half done in it when a thread panics: counts.
    fn windows(&self) -> MutexGuard<'_, HashMap<ProjectId, Window>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, project: ProjectId, now_ms: u64) -> Result<Running, Exceeded> {
        let minute = now_ms / MINUTE_MS;
        let mut windows = self.windows();
        if !windows.contains_key(&project) {
            // As often as projects come, and so for each of them once.
            windows.retain(|_, window| window.running > 0 || window.hour(minute) > 0);
        }
        let window = windows.entry(project).or_default();
        let (running, hour, limits) = (window.running, window.hour(minute), self.limits);
        let exceeded = |retry_after_s| Exceeded::Project { project, running, hour, limits, retry_after_s };
        if running >= limits.project_concurrent_max {
            return Err(exceeded(RETRY_AFTER_S));
        }
        if limits.project_hour_max > 0 && hour >= limits.project_hour_max {
            return Err(exceeded(window.until_fewer_s(now_ms)));
        }
        window.add(minute);
        self.counters.admitted.fetch_add(1, Relaxed);
        self.counters.running.fetch_add(1, Relaxed);
        Ok(Running { gate: self.clone(), project })
    }
}

/// What is kept of a project.
struct Window {
    running: u32,
    /// Of the last hour, by minute modulo sixty; those behind `minute` are of the hour before.
    counts: [u32; MINUTES],
    minute: u64,
}

impl Default for Window {
    fn default() -> Window {
        Window { running: 0, counts: [0; MINUTES], minute: 0 }
    }
}

fn place(minute: u64) -> usize {
    usize::try_from(minute % MINUTES as u64).unwrap_or(0)
}

impl Window {
    /// Forgets what is older than an hour by then. A clock that goes back keeps what is there.
    fn pass(&mut self, minute: u64) {
        for passed in self.minute.saturating_add(1).max(minute.saturating_sub(MINUTES as u64 - 1))..=minute {
            self.counts[place(passed)] = 0;
        }
        self.minute = self.minute.max(minute);
    }

    /// How many there were in the hour up to this minute.
    fn hour(&mut self, minute: u64) -> u32 {
        self.pass(minute);
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn add(&mut self, minute: u64) {
        self.pass(minute);
        let count = &mut self.counts[place(self.minute)];
        *count = count.saturating_add(1);
        self.running += 1;
    }

    /// In how many seconds the oldest of them is an hour ago.
    fn until_fewer_s(&self, now_ms: u64) -> u64 {
        let oldest = (0..MINUTES as u64)
            .rev()
            .map(|ago| self.minute.saturating_sub(ago))
            .find(|minute| self.counts[place(*minute)] > 0)
            .unwrap_or(self.minute);
        let gone_ms = (oldest + MINUTES as u64) * MINUTE_MS;
        gone_ms.saturating_sub(now_ms).div_ceil(1000).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_760_000_000_000;

    fn gate(concurrent_max: usize, project_concurrent_max: u32, project_hour_max: u32) -> Gate {
        let limits = QueryLimits {
            concurrent_max,
            project_concurrent_max,
            project_hour_max,
            ..QueryLimits::default()
        };
        Gate { turn_wait: Duration::ZERO, ..Gate::new(limits, Arc::default()) }
    }

    fn project(id: u64) -> ProjectId {
        ProjectId::new(id).unwrap()
    }

    fn ask(gate: &Gate, id: u64, now_ms: u64) -> Result<Turn, Exceeded> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(gate.turn(project(id), now_ms))
    }

    #[test]
    fn a_project_has_so_many_queries_at_once_and_others_are_not_in_its_way() {
        let gate = gate(10, 2, 0);
        let turns = [ask(&gate, 1, NOW_MS).ok().unwrap(), ask(&gate, 1, NOW_MS).ok().unwrap()];
        let refused = ask(&gate, 1, NOW_MS).err().unwrap();
        assert_eq!(
            refused.to_string(),
            "Query rate limit exceeded for project_id: 1. 2/2 queries running concurrently and 2/unlimited queries running \
             in the last hour. Try again in 30 seconds."
        );
        assert_eq!(refused.retry_after_s(), 30);
        assert!(ask(&gate, 2, NOW_MS).is_ok());
        drop(turns);
        assert!(ask(&gate, 1, NOW_MS).is_ok());
        assert_eq!(gate.counters.refused_concurrent.load(Relaxed), 1);
        assert_eq!(gate.counters.running.load(Relaxed), 0);
        assert_eq!(gate.counters.admitted.load(Relaxed), 4);
    }

    #[test]
    fn a_project_has_so_many_queries_in_an_hour_and_is_told_when_the_next_one_is_free() {
        let gate = gate(10, 10, 3);
        let minutes = |n: u64| NOW_MS + n * MINUTE_MS;
        // 2025-10-09T08:53:20Z: the minute began twenty seconds before.
        for now_ms in [NOW_MS, minutes(10), minutes(10)] {
            drop(ask(&gate, 1, now_ms).ok().unwrap());
        }
        let refused = ask(&gate, 1, minutes(20)).err().unwrap();
        assert!(
            refused.to_string().contains("0/10 queries running concurrently and 3/3 queries"),
            "{refused}"
        );
        assert_eq!(refused.retry_after_s(), 40 * 60 - 20);
        assert!(ask(&gate, 2, minutes(20)).is_ok());
        assert!(ask(&gate, 1, minutes(20) + refused.retry_after_s() * 1000).is_ok(), "as was told");
        assert!(ask(&gate, 1, minutes(61)).is_err());
        assert!(ask(&gate, 1, minutes(70)).is_ok());
        assert_eq!(gate.counters.refused_hour.load(Relaxed), 2);
        assert!(
            ask(&gate, 1, minutes(5)).is_ok() && ask(&gate, 1, minutes(5)).is_err(),
            "a clock that went back"
        );
    }

    #[test]
    fn one_project_never_has_all_turns() {
        QueryLimits::default().check().unwrap();
        for concurrent_max in 2..100 {
            let project_concurrent_max = QueryLimits::share(concurrent_max);
            let limits = QueryLimits { concurrent_max, project_concurrent_max, ..QueryLimits::default() };
            limits.check().unwrap();
            let gate = Gate { turn_wait: Duration::ZERO, ..Gate::new(limits, Arc::default()) };
            let turns: Vec<_> = std::iter::from_fn(|| ask(&gate, 1, NOW_MS).ok()).collect();
            assert_eq!(turns.len(), project_concurrent_max as usize);
            assert!(ask(&gate, 2, NOW_MS).is_ok(), "another project is let in: {limits:?}");
        }
        let all = QueryLimits { concurrent_max: 8, project_concurrent_max: 8, ..QueryLimits::default() };
        let told = all.check().unwrap_err();
        assert!(told.contains("set the first to at most 7, or the second to at least 9"), "{told}");
    }

    #[test]
    fn the_server_has_so_many_at_once_and_the_next_one_waits_and_is_told() {
        let gate = gate(1, 10, 0);
        let turn = ask(&gate, 1, NOW_MS).ok().unwrap();
        assert_eq!(ask(&gate, 2, NOW_MS).err(), Some(Exceeded::Turns));
        drop(turn);
        assert!(ask(&gate, 2, NOW_MS).is_ok());
        assert_eq!(gate.counters.refused_turns.load(Relaxed), 1);
    }

    #[test]
    fn nothing_is_kept_of_a_project_that_has_not_asked_for_an_hour() {
        let gate = gate(2000, 10, 10);
        let running = ask(&gate, 5000, NOW_MS).ok().unwrap();
        for id in 1..=1000 {
            drop(ask(&gate, id, NOW_MS).ok().unwrap());
        }
        assert_eq!(gate.windows().len(), 1001);
        drop(ask(&gate, 3000, NOW_MS + 61 * MINUTE_MS).ok().unwrap());
        assert_eq!(gate.windows().len(), 2, "this one and the one that still runs");
        drop(running);
    }
}
