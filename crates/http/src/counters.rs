//! What a core counts about connections and answers. Read by `/metrics`, from any thread.
//!
//! Each counter has one writer, its core's thread (the open connections have two: the acceptor adds one,
//! the core takes it away). All orderings are `Relaxed`: no counter guards other memory.

use hyper::StatusCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

macro_rules! endpoints {
    ($($name:ident $label:literal,)+) => {
        /// What an answer was for, as metrics name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Label { $($name,)+ }

        const LABELS: [&str; [$($label),+].len()] = [$($label),+];
    };
}

endpoints! {
    Track "track",
    Engage "engage",
    Groups "groups",
    Import "import",
    Record "record",
    Settings "settings",
    Flags "flags",
    LookupTables "lookup_tables",
    Decide "decide",
    Root "root",
    Admin "admin",
    Mounted "mounted",
    Preflight "preflight",
    None "none",
}

/// The statuses that are counted by themselves; the last place is for all others.
const STATUSES: [u16; 13] = [200, 204, 400, 401, 403, 404, 405, 413, 415, 429, 500, 503, 0];

/// One core's counters.
#[derive(Debug, Default)]
pub(crate) struct CoreCounters {
    open: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    answers: [[AtomicU64; STATUSES.len()]; LABELS.len()],
}

impl CoreCounters {
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// A connection was handed to this core; `refused` because there are too many.
    pub(crate) fn accepted(&self, refused: bool) {
        self.open.fetch_add(1, Relaxed);
        self.accepted.fetch_add(1, Relaxed);
        self.refused.fetch_add(refused.into(), Relaxed);
    }

    /// A connection was closed; `cut` by us, because it took too long.
    pub(crate) fn closed(&self, cut: bool) {
        self.open.fetch_sub(1, Relaxed);
        self.cut.fetch_add(cut.into(), Relaxed);
    }

    pub(crate) fn answered(&self, label: Label, status: StatusCode) {
        let others = STATUSES.len() - 1;
        let place = STATUSES.iter().position(|&s| s == status.as_u16()).unwrap_or(others);
        let counter = &self.answers[label as usize][place];
        // One writer: a load and a store are enough, and cheaper than an atomic addition.
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }
}

/// All cores' counters, added up.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) open: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) cut: u64,
    /// Endpoint, status, count; those above zero.
    pub(crate) answers: Vec<(&'static str, String, u64)>,
}

impl Totals {
    pub(crate) fn of<'a>(cores: impl Iterator<Item = &'a CoreCounters> + Clone) -> Totals {
        let sum = |of: fn(&CoreCounters) -> u64| cores.clone().map(of).sum();
        let mut answers = Vec::new();
        for (at, label) in LABELS.into_iter().enumerate() {
            for (place, status) in STATUSES.into_iter().enumerate() {
                let count = cores.clone().map(|core| core.answers[at][place].load(Relaxed)).sum();
                if count > 0 {
                    let status = if status == 0 { "other".to_owned() } else { status.to_string() };
                    answers.push((label, status, count));
                }
            }
        }
        Totals {
            open: sum(|core| core.open() as u64),
            accepted: sum(|core| core.accepted.load(Relaxed)),
            refused: sum(|core| core.refused.load(Relaxed)),
            cut: sum(|core| core.cut.load(Relaxed)),
            answers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_endpoint_and_status() {
        let cores = [CoreCounters::default(), CoreCounters::default()];
        cores[0].answered(Label::Track, StatusCode::OK);
        cores[1].answered(Label::Track, StatusCode::OK);
        cores[1].answered(Label::None, StatusCode::IM_A_TEAPOT);
        cores[0].accepted(false);
        cores[0].accepted(true);
        cores[0].closed(true);
        let totals = Totals::of(cores.iter());
        let want = [("track", "200".to_owned(), 2), ("none", "other".to_owned(), 1)];
        assert_eq!(totals.answers, want);
        assert_eq!((totals.open, totals.accepted, totals.refused, totals.cut), (1, 2, 1, 1));
    }
}
