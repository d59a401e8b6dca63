//! The ledger of a load: what was sent, what became of it, what readers were shown, and when.
//!
//! "When" is the recording disk's number at that moment, so that for a power cut at operation n it is known what had
//! been promised. The ledger is a text file outside of the disk; a line is written in one piece.
//!
//! ```text
//! sent ID
//! acked ID AT LANE SEQ     its events are durable, the first one as SEQ
//! refused ID               not taken in: it must never be seen
//! failed ID                could not be stored: it may be seen or not
//! shown LANE SEQ ID AT     a reader was given it
//! ```
//!
//! # Invariants
//! * `sent` stands in the file before the log is given the request.
//! * AT is read before anything else is done about an answer, so no operation is counted that may have come after it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Threads that send; the ids of each are those with its remainder.
pub const SENDERS: u64 = 2;

/// The number of the disk's next operation.
pub struct Sequence(File);

impl Sequence {
    /// Follows a recording disk.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path) -> io::Result<Sequence> {
        File::open(path).map(Sequence)
    }

    /// How many operations there have been.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn now(&self) -> u64 {
        self.read().0
    }

    /// How many operations there have been, and bytes in them.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn read(&self) -> (u64, u64) {
        let mut last = [0; 16];
        loop {
            let mut counts = [0; 16];
            self.0.read_exact_at(&mut counts, 0).expect("the disk's sequence stands in memory");
            // Read twice, as it may have been written meanwhile.
            if counts == last {
                let word =
                    |at: usize| u64::from_le_bytes(counts[at..at + 8].try_into().expect("eight bytes"));
                return (word(0), word(8));
            }
            last = counts;
        }
    }
}

/// Writes a ledger; each thread has its own.
pub struct LedgerWriter(File);

impl LedgerWriter {
    /// Goes on with a ledger.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(path: &Path) -> io::Result<LedgerWriter> {
        OpenOptions::new().append(true).create(true).open(path).map(LedgerWriter)
    }

    /// Adds a line.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn note(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).expect("writing the ledger");
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was sent.
    InDoubt,
    /// It was acknowledged when the disk had seen so many operations.
    Acked {
        /// So many.
        at: u64,
        /// The sequence of its first event.
        seq: u64,
    },
    /// It was not taken in.
    Refused,
}

/// A reader was given a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The lane, as a number.
    pub lane: u16,
    /// The sequence of its first event.
    pub seq: u64,
    /// The request that it holds.
    pub id: u64,
    /// When the disk had seen so many operations.
    pub at: u64,
}

/// A ledger, read.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By id.
    pub requests: BTreeMap<u64, Fate>,
    /// In the order of the file.
    pub shown: Vec<Shown>,
}

impl Ledger {
    /// Reads a ledger's text. What was not finished when its writer was killed does not count.
    ///
    /// # Errors
    /// The first line that is none of a ledger.
    pub fn parse(text: &str) -> Result<Ledger, String> {
        let mut ledger = Ledger::default();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            ledger.add(line).ok_or_else(|| format!("not a ledger's line: {line:?}"))?;
        }
        Ok(ledger)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let (word, numbers) = line.split_once(' ')?;
        let numbers: Vec<u64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        match (word, numbers.as_slice()) {
            ("sent", &[id]) => self.requests.insert(id, Fate::InDoubt).map_or(Some(()), |_| None)?,
            ("acked", &[id, at, _, seq]) => *self.requests.get_mut(&id)? = Fate::Acked { at, seq },
            ("refused", &[id]) => *self.requests.get_mut(&id)? = Fate::Refused,
            ("failed", &[id]) => drop(self.requests.get(&id)?),
            ("shown", &[lane, seq, id, at]) => {
                self.shown.push(Shown { lane: u16::try_from(lane).ok()?, seq, id, at });
            }
            _ => return None,
        }
        Some(())
    }

    /// The ledger's text.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for (id, fate) in &self.requests {
            lines.push(format!("sent {id}\n"));
            match fate {
                Fate::InDoubt => {}
                Fate::Acked { at, seq } => lines.push(format!("acked {id} {at} 0 {seq}\n")),
                Fate::Refused => lines.push(format!("refused {id}\n")),
            }
        }
        for Shown { lane, seq, id, at } in &self.shown {
            lines.push(format!("shown {lane} {seq} {id} {at}\n"));
        }
        lines.concat()
    }

    /// The ledger as it stood when the power was cut after `at` operations, for a disk that starts from there: what had
    /// been promised is promised from the start, everything else is in doubt.
    pub fn at_cut(&self, at: u64) -> Ledger {
        let mut ledger = self.clone();
        for fate in ledger.requests.values_mut() {
            *fate = match *fate {
                Fate::Acked { at: acked, seq } if acked <= at => Fate::Acked { at: 0, seq },
                Fate::Acked { .. } => Fate::InDoubt,
                other => other,
            };
        }
        ledger.shown.retain(|shown| shown.at <= at);
        ledger.shown.iter_mut().for_each(|shown| shown.at = 0);
        ledger
    }

    /// How many requests had been acknowledged after `at` operations.
    pub fn acked(&self, at: u64) -> usize {
        self.requests
            .values()
            .filter(|fate| matches!(fate, Fate::Acked { at: acked, .. } if *acked <= at))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_says_what_had_been_promised_at_a_cut() {
        let text = "sent 1\nsent 2\nacked 1 10 0 5\nsent 3\nrefused 3\nshown 0 5 1 12\nacked 2 20 0 6\nfailed 2\nsent 4";
        let ledger = Ledger::parse(text).expect("a ledger");
        assert_eq!(ledger.requests.len(), 3, "an unfinished line does not count");
        assert_eq!((ledger.acked(9), ledger.acked(10), ledger.acked(20)), (0, 1, 2));
        let cut = ledger.at_cut(12);
        assert_eq!(cut.requests[&1], Fate::Acked { at: 0, seq: 5 });
        assert_eq!((cut.requests[&2], cut.requests[&3], cut.shown.len()), (Fate::InDoubt, Fate::Refused, 1));
        assert_eq!(Ledger::parse(&cut.text()).expect("a ledger").requests, cut.requests);
        for wrong in ["acked 1 2 3 4\n", "sent 1\nsent 1\n", "shown 1\n", "sent x\n"] {
            assert!(Ledger::parse(wrong).is_err(), "{wrong}");
        }
    }
}
