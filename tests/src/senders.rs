//! Senders in the background, and a ledger of what they were told.
//!
//! Every event has an id of its own, is sent once and never again, so the ledger can say afterwards: what was
//! acknowledged is there exactly once, what was not acknowledged is there at most once, and nothing else is.
//!
//! # Invariants
//! * An id is in the ledger before its bytes are on the wire.
//! * Only a 200 with body `1`, read to its end, makes an id acknowledged.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{Answer, Connection, Request, cli};

/// What is known of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was sent, and no whole answer came back.
    InDoubt,
    /// It was answered with success.
    Acknowledged,
    /// It was answered with something else.
    Refused,
}

/// What was sent and what was answered, over any number of servers on one directory.
#[derive(Default)]
pub struct Ledger {
    fates: Mutex<Vec<Fate>>,
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
}

impl Ledger {
    /// An empty one, to share with senders.
    pub fn new() -> Arc<Ledger> {
        Arc::default()
    }

    /// Events acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Events refused so far.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes ids for `count` events about to be sent; gives the first.
    fn take(&self, count: usize) -> usize {
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let first = fates.len();
        fates.resize(first + count, Fate::InDoubt);
        first
    }

    fn settle(&self, first: usize, count: usize, fate: Fate) {
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        fates[first..first + count].fill(fate);
        match fate {
            Fate::Acknowledged => self.acknowledged.fetch_add(count, Ordering::Relaxed),
            Fate::Refused => self.refused.fetch_add(count, Ordering::Relaxed),
            Fate::InDoubt => 0,
        };
    }

    /// The body of `count` events of the ledger that start with id `first`.
    fn body(token: &str, first: usize, count: usize) -> String {
        let mut body = String::from("[");
        for id in first..first + count {
            let comma = if id == first { "" } else { "," };
            // Some 300 bytes: enough for groups of many pages.
            write!(
                body,
                r#"{comma}{{"event":"Load","properties":{{"token":"{token}","distinct_id":"e-{id}","$insert_id":"i-{id}","pad":"{:0200}"}}}}"#,
                id
            )
            .expect("writing to memory");
        }
        body.push(']');
        body
    }

    /// Sends `count` events on `connection` and enters what comes of it; the answer, if one came.
    pub fn send(&self, connection: &mut Connection, token: &str, count: usize) -> Option<Answer> {
        let first = self.take(count);
        let request = Request::post("/track", Ledger::body(token, first, count));
        let answer = connection.ask(&request).ok()?;
        let fate =
            if (answer.status, &answer.body[..]) == (200, b"1") { Fate::Acknowledged } else { Fate::Refused };
        self.settle(first, count, fate);
        Some(answer)
    }

    /// Compares the ledger with what `log cat` gives; says how many of each kind there are.
    ///
    /// # Panics
    /// If an acknowledged event is missing (other than those in `lost`) or doubled, or one is there that nobody sent.
    #[track_caller]
    pub fn check(&self, data_dir: &Path, lost: &[usize]) -> Found {
        let output = cli::run(data_dir, &["log", "cat", "--json"]).success();
        self.check_ids(&ids(&output.stdout), lost)
    }

    /// As [`Ledger::check`], for ids read elsewhere.
    #[track_caller]
    pub fn check_ids(&self, stored: &[usize], lost: &[usize]) -> Found {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = vec![0u32; fates.len()];
        for &id in stored {
            assert!(id < fates.len(), "event {id} is stored and was never sent");
            counts[id] += 1;
        }
        let mut found = Found::default();
        for (id, (&count, &fate)) in counts.iter().zip(fates.iter()).enumerate() {
            assert!(count <= 1, "event {id} ({fate:?}) was sent once and is stored {count} times");
            match (fate, count) {
                (Fate::Acknowledged, 0) if lost.contains(&id) => found.lost += 1,
                (Fate::Acknowledged, 0) => panic!("event {id} was acknowledged and is not there"),
                (Fate::Acknowledged, _) => found.acknowledged += 1,
                (Fate::InDoubt | Fate::Refused, 0) => found.absent += 1,
                (Fate::InDoubt | Fate::Refused, _) => found.unacknowledged += 1,
            }
        }
        found
    }
}

/// What a store held, compared with a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Acknowledged and there.
    pub acknowledged: usize,
    /// There without an acknowledgement that arrived: no harm.
    pub unacknowledged: usize,
    /// Neither acknowledged nor there.
    pub absent: usize,
    /// Acknowledged, not there, and said to be lost.
    pub lost: usize,
}

/// The ids of the ledger's events in NDJSON of any shape.
pub fn ids(ndjson: &[u8]) -> Vec<usize> {
    let marker = b"\"distinct_id\":\"e-";
    let of_line = |line: &[u8]| {
        let at = line.windows(marker.len()).position(|w| w == marker)? + marker.len();
        let digits = line[at..].split(|&b| b == b'"').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    ndjson.split(|&b| b == b'\n').filter_map(of_line).collect()
}

/// Threads that send until they are stopped.
pub struct Senders {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Tally>>,
}

/// What one sender, or all of them, met.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests answered with success.
    pub successes: usize,
    /// Requests answered with 503 and `Retry-After`.
    pub unavailable: usize,
    /// Connections that broke or were refused.
    pub broken: usize,
    /// Every other answer.
    pub odd: Vec<Answer>,
}

impl Senders {
    /// Starts `threads` of them, each on a connection of its own and anew when that breaks.
    pub fn start(ledger: &Arc<Ledger>, addr: SocketAddr, token: &str, threads: usize) -> Senders {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |nth: usize| {
            let (ledger, token, stop) = (ledger.clone(), token.to_owned(), stop.clone());
            thread::spawn(move || send_until(&stop, &ledger, addr, &token, nth))
        };
        Senders { threads: (0..threads).map(one).collect(), stop }
    }

    /// Stops them and waits for their last answers.
    #[track_caller]
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for thread in self.threads {
            let tally = thread.join().expect("a sender does not panic");
            sum.successes += tally.successes;
            sum.unavailable += tally.unavailable;
            sum.broken += tally.broken;
            sum.odd.extend(tally.odd);
        }
        sum
    }
}

fn send_until(stop: &AtomicBool, ledger: &Ledger, addr: SocketAddr, token: &str, nth: usize) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    let mut turn = nth;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = &mut connection else {
            connection = Connection::try_open(addr).ok();
            if connection.is_none() {
                tally.broken += 1;
                thread::sleep(Duration::from_millis(5));
            }
            continue;
        };
        turn += 1;
        let Some(answer) = ledger.send(open, token, 1 + turn % 20) else {
            tally.broken += 1;
            connection = None;
            continue;
        };
        if (answer.status, &answer.body[..]) == (200, b"1") {
            tally.successes += 1;
        } else if answer.status == 503
            && answer.header("retry-after").is_some_and(|v| v.parse::<u32>().is_ok())
        {
            tally.unavailable += 1;
            // Far sooner than asked: the server must bear it.
            thread::sleep(Duration::from_millis(2));
        } else if tally.odd.len() < 100 {
            tally.odd.push(answer.clone());
        }
        if answer.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close")) {
            connection = None;
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_any_line() {
        let body = Ledger::body("t", 7, 2);
        assert_eq!(ids(body.replace("},{", "}\n{").as_bytes()), [7, 8]);
        assert_eq!(ids(b"\n{\"distinct_id\":\"user\"}\n"), [0usize; 0]);
    }

    #[test]
    fn the_ledger_tells_what_is_there_from_what_is_not() {
        let ledger = Ledger::new();
        assert_eq!(ledger.take(4), 0);
        ledger.settle(0, 2, Fate::Acknowledged);
        ledger.settle(2, 1, Fate::Refused);
        let found = ledger.check_ids(&[0, 1, 3], &[]);
        assert_eq!(found, Found { acknowledged: 2, unacknowledged: 1, absent: 1, lost: 0 });
        assert_eq!(ledger.check_ids(&[0], &[1]).lost, 1);
        for bad in [&[0][..], &[0, 1, 1], &[0, 1, 4]] {
            assert!(std::panic::catch_unwind(|| ledger.check_ids(bad, &[])).is_err(), "{bad:?}");
        }
    }
}
