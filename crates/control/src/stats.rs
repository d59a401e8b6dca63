//! Questions to the accounting: totals, by owner, by minute, and whether it balances.

use std::collections::BTreeMap;

use forebay_route::{Counts, Kind, Owner};
use rusqlite::{params_from_iter, types::Value};

use crate::{
    Control, StoreError,
    accounting::{owner_code, owner_of},
    control::Job,
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
            let (condition, values) = filter.condition();
            let mut stats = Stats::default();
            let mut owners: BTreeMap<Owner, Counts> = BTreeMap::new();
            for row in rows(job, Per::Owner, &condition, &values)? {
                stats.totals.add(row.kind, row.events, row.bytes);
                owners.entry(row.owner).or_default().add(row.kind, row.events, row.bytes);
            }
            for (owner, counts) in owners {
                let sql = "SELECT name FROM projects WHERE id = ?1";
                let name = job.row(sql, [owner_code(owner)], |row| row.get(0))?;
                stats.owners.push(OwnerStats { owner, name, counts });
            }
            stats.minutes = minutes(job, filter, &condition, values)?;
            Ok(stats)
        })
    }
}

struct Found {
    owner: Owner,
    minute_ms: u64,
    kind: Kind,
    events: u64,
    bytes: u64,
}

impl StatsFilter {
    /// The condition in SQL, and its parameters.
    fn condition(&self) -> (String, Vec<Value>) {
        let mut condition = "true".to_owned();
        let mut values = Vec::new();
        let whole_minute = |ms: u64| Value::from(i64::try_from(ms - ms % 60_000).unwrap_or(i64::MAX));
        if let Some(from_ms) = self.from_ms {
            condition.push_str(" AND minute_ms >= ?");
            values.push(whole_minute(from_ms));
        }
        if let Some(to_ms) = self.to_ms {
            condition.push_str(" AND minute_ms <= ?");
            values.push(whole_minute(to_ms));
        }
        if !self.owners.is_empty() {
            let marks = vec!["?"; self.owners.len()].join(", ");
            condition.push_str(&format!(" AND owner IN ({marks})"));
            values.extend(self.owners.iter().map(|&owner| Value::from(owner_code(owner))));
        }
        (condition, values)
    }
}

#[derive(Clone, Copy)]
enum Per {
    Owner,
    OwnerAndMinute,
}

/// Sums by kind, reason and what `per` names.
fn rows(job: &Job<'_>, per: Per, condition: &str, values: &[Value]) -> Result<Vec<Found>, StoreError> {
    let (minute, group) = match per {
        Per::Owner => ("0", "owner"),
        Per::OwnerAndMinute => ("minute_ms", "minute_ms, owner"),
    };
    let sql = format!(
        "SELECT owner, {minute}, kind, reason, sum(events), sum(bytes) FROM accounting WHERE {condition} \
         GROUP BY {group}, kind, reason ORDER BY {group}"
    );
    let found = job.rows(&sql, params_from_iter(values), |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, String>(3)?,
            row.get(4)?,
            row.get(5)?,
        ))
    })?;
    found
        .into_iter()
        .map(|(owner, minute_ms, kind, reason, events, bytes)| {
            let known = owner_of(owner).zip(Kind::parse(&kind, &reason).ok());
            let (owner, kind) = known.ok_or_else(|| {
                job.damaged(format!("the accounting has owner {owner}, kind {kind:?}, reason {reason:?}"))
            })?;
            Ok(Found { owner, minute_ms, kind, events, bytes })
        })
        .collect()
}

fn minutes(
    job: &Job<'_>,
    filter: &StatsFilter,
    condition: &str,
    mut values: Vec<Value>,
) -> Result<Vec<MinuteStats>, StoreError> {
    if filter.minutes_max == 0 {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT DISTINCT minute_ms FROM accounting WHERE minute_ms > 0 AND {condition} \
         ORDER BY minute_ms DESC LIMIT {}",
        filter.minutes_max
    );
    let newest: Vec<i64> = job.rows(&sql, params_from_iter(&values), |row| row.get(0))?;
    let Some(&oldest) = newest.last() else { return Ok(Vec::new()) };
    values.insert(0, Value::from(oldest));
    let mut minutes: Vec<MinuteStats> = Vec::new();
    for row in rows(job, Per::OwnerAndMinute, &format!("minute_ms >= ? AND {condition}"), &values)? {
        match minutes.last_mut() {
            Some(last) if last.minute_ms == row.minute_ms && last.owner == row.owner => {
                last.counts.add(row.kind, row.events, row.bytes);
            }
            _ => {
                let mut counts = Counts::default();
                counts.add(row.kind, row.events, row.bytes);
                minutes.push(MinuteStats { minute_ms: row.minute_ms, owner: row.owner, counts });
            }
        }
    }
    Ok(minutes)
}
