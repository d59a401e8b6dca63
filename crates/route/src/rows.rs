//! Counts as values: what a tally held at one moment, and rows of the accounting by minute.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{Owner, Reason, Rule, UnknownReason};

/// What a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Events that came in.
    Received,
    /// Events that are durable.
    Stored,
    /// Events refused, by reason.
    Rejected(Reason),
    /// Events dropped on purpose, by rule.
    Dropped(Rule),
    /// Events that lost their verdict: always 0.
    Unaccounted,
}

impl Kind {
    /// The name without the reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Received => "received",
            Kind::Stored => "stored",
            Kind::Rejected(_) => "rejected",
            Kind::Dropped(_) => "dropped",
            Kind::Unaccounted => "unaccounted",
        }
    }

    /// The name of the reason or rule; empty where there is none.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Kind::Rejected(reason) => reason.as_str(),
            Kind::Dropped(rule) => rule.as_str(),
            Kind::Received | Kind::Stored | Kind::Unaccounted => "",
        }
    }

    /// The reverse of [`Kind::as_str`] and [`Kind::reason`].
    ///
    /// # Errors
    /// [`UnknownReason`] for names that are none.
    pub fn parse(kind: &str, reason: &str) -> Result<Kind, UnknownReason> {
        match kind {
            "received" => Ok(Kind::Received),
            "stored" => Ok(Kind::Stored),
            "unaccounted" => Ok(Kind::Unaccounted),
            "rejected" => Reason::from_str(reason).map(Kind::Rejected),
            "dropped" => Rule::from_str(reason).map(Kind::Dropped),
            _ => Err(UnknownReason(kind.to_owned())),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Events of one owner, one kind and one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The start of the minute they were counted in, in milliseconds since the epoch.
    pub minute_ms: u64,
    /// Whose they are.
    pub owner: Owner,
    /// What became of them.
    pub kind: Kind,
    /// How many.
    pub events: u64,
    /// Their bytes; 0 for what was refused or dropped.
    pub bytes: u64,
}

/// What a tally, or all of them, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that came in.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Events that are durable.
    pub stored: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Events refused; only reasons that occurred.
    pub rejected: BTreeMap<Reason, u64>,
    /// Events dropped on purpose; only rules that occurred.
    pub dropped: BTreeMap<Rule, u64>,
    /// Events that lost their verdict: always 0.
    pub unaccounted: u64,
}

impl Counts {
    /// Events refused, for whatever reason.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Events dropped on purpose, by whatever rule.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Events received that have no verdict yet: 0 when all is quiet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let settled = self.stored + self.rejected_total() + self.dropped_total() + self.unaccounted;
        self.received.saturating_sub(settled)
    }

    /// Whether nothing is in flight and no verdict was lost.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.unaccounted == 0 && self.received == self.stored + self.rejected_total() + self.dropped_total()
    }

    /// Adds `events` of `kind`; zero leaves no trace.
    pub fn add(&mut self, kind: Kind, events: u64, bytes: u64) {
        if events == 0 && bytes == 0 {
            return;
        }
        match kind {
            Kind::Received => {
                self.received += events;
                self.received_bytes += bytes;
            }
            Kind::Stored => {
                self.stored += events;
                self.stored_bytes += bytes;
            }
            Kind::Rejected(reason) => *self.rejected.entry(reason).or_default() += events,
            Kind::Dropped(rule) => *self.dropped.entry(rule).or_default() += events,
            Kind::Unaccounted => self.unaccounted += events,
        }
    }

    /// Every count that is not zero, as kind, events, bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64, u64)> + '_ {
        [
            (Kind::Received, self.received, self.received_bytes),
            (Kind::Stored, self.stored, self.stored_bytes),
            (Kind::Unaccounted, self.unaccounted, 0),
        ]
        .into_iter()
        .chain(self.rejected.iter().map(|(&reason, &events)| (Kind::Rejected(reason), events, 0)))
        .chain(self.dropped.iter().map(|(&rule, &events)| (Kind::Dropped(rule), events, 0)))
        .filter(|&(_, events, bytes)| events > 0 || bytes > 0)
    }

    /// What was counted since `earlier`, as kind, events, bytes.
    pub fn since<'a>(&'a self, earlier: &'a Counts) -> impl Iterator<Item = (Kind, u64, u64)> + 'a {
        self.iter()
            .map(|(kind, events, bytes)| {
                let (events_then, bytes_then) = earlier.of(kind);
                (kind, events - events_then.min(events), bytes - bytes_then.min(bytes))
            })
            .filter(|&(_, events, bytes)| events > 0 || bytes > 0)
    }

    fn of(&self, kind: Kind) -> (u64, u64) {
        match kind {
            Kind::Received => (self.received, self.received_bytes),
            Kind::Stored => (self.stored, self.stored_bytes),
            Kind::Rejected(reason) => (self.rejected.get(&reason).copied().unwrap_or(0), 0),
            Kind::Dropped(rule) => (self.dropped.get(&rule).copied().unwrap_or(0), 0),
            Kind::Unaccounted => (self.unaccounted, 0),
        }
    }
}
