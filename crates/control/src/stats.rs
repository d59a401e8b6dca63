//! Questions to the accounting: totals, by owner, by minute, and whether it balances.

use std::collections::BTreeMap;

use forebay_route::{Counts, Owner};

use crate::{
    Control, StoreError,
    accounting::{PageRow, Range, each_row, owner_code, owner_of},
};

/// Which part of the accounting; the default is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsFilter {
    /// Only these owners; empty: all.
    pub owners: Vec<Owner>,
    /// From this time on (its minute included).
    pub from_ms: Option<u64>,
    /// Up to this time (its minute included).
    pub to_ms: Option<u64>,
    /// How many minutes to list, the newest; 0: none.
    pub minutes_max: usize,
}

/// What an owner's events became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerStats {
    /// Whose.
    pub owner: Owner,
    /// The project's name.
    pub name: Option<String>,
    /// The counts.
    pub counts: Counts,
}

/// What the events of one minute became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinuteStats {
    /// The start of the minute.
    pub minute_ms: u64,
    /// Whose.
    pub owner: Owner,
    /// The counts.
    pub counts: Counts,
}

/// An answer of the accounting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// All owners asked for.
    pub totals: Counts,
    /// Each owner, in order.
    pub owners: Vec<OwnerStats>,
    /// The minutes asked for, oldest first.
    pub minutes: Vec<MinuteStats>,
}

impl Control {
    /// Answers from the accounting. A running server books once a second, so that the last second may
    /// be missing; [`Counts::balances`] says whether the answer adds up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stats(&self, filter: &StatsFilter) -> Result<Stats, StoreError> {
        self.read(|job| {
            let mut stats = Stats::default();
            let mut owners: BTreeMap<i64, Counts> = BTreeMap::new();
            let mut minutes = Minutes { left: filter.minutes_max, newest_first: Vec::new() };
            each_row(job, filter.range(), |minute_ms, row| {
                if filter.owners.is_empty()
                    || filter.owners.iter().any(|&owner| owner_code(owner) == row.owner)
                {
                    stats.totals.add(row.kind, row.events, row.bytes);
                    owners.entry(row.owner).or_default().add(row.kind, row.events, row.bytes);
                    minutes.add(minute_ms, row);
                }
            })?;
            let owner =
                |code| owner_of(code).ok_or_else(|| job.damaged(format!("the accounting has owner {code}")));
            for (code, counts) in owners {
                let sql = "SELECT name FROM projects WHERE id = ?1";
                let name = job.row(sql, [code], |row| row.get(0))?;
                stats.owners.push(OwnerStats { owner: owner(code)?, name, counts });
            }
            stats.owners.sort_by_key(|of| of.owner);
            for (minute_ms, owners) in minutes.newest_first.into_iter().rev() {
                for (code, counts) in owners {
                    stats.minutes.push(MinuteStats { minute_ms, owner: owner(code)?, counts });
                }
            }
            Ok(stats)
        })
    }
}

/// The newest minutes, as rows of ever older ones come in.
struct Minutes {
    left: usize,
    newest_first: Vec<(u64, BTreeMap<i64, Counts>)>,
}

impl Minutes {
    fn add(&mut self, minute_ms: u64, row: PageRow) {
        let is_new = self.newest_first.last().is_none_or(|&(newest_ms, _)| newest_ms != minute_ms);
        // What is summed up for good has no minute.
        if is_new && minute_ms > 0 && self.left > 0 {
            self.left -= 1;
            self.newest_first.push((minute_ms, BTreeMap::new()));
        }
        if let Some((_, owners)) =
            self.newest_first.last_mut().filter(|&&mut (newest_ms, _)| newest_ms == minute_ms)
        {
            owners.entry(row.owner).or_default().add(row.kind, row.events, row.bytes);
        }
    }
}

impl StatsFilter {
    /// What has to be read for it: whole minutes, and all owners between the first and the last of those asked for.
    fn range(&self) -> Range {
        let whole_minute = |ms: u64| (ms - ms % 60_000).min(Range::ALL.minutes_ms.1);
        let codes = || self.owners.iter().map(|&owner| owner_code(owner));
        Range {
            minutes_ms: (
                self.from_ms.map_or(Range::ALL.minutes_ms.0, whole_minute),
                self.to_ms.map_or(Range::ALL.minutes_ms.1, whole_minute),
            ),
            owners: codes().min().zip(codes().max()).unwrap_or(Range::ALL.owners),
        }
    }
}
