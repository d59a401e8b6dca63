//! The accounting's table: pages are booked as counts come in, merged when their minute is over, and summed up as they
//! grow old.
//!
//! # Invariants
//! * What pages of one minute and owner say adds up, in whichever of them it stands: merging changes no answer.
//! * A page that was booked is merged once, and what it says was received goes into [`received`] with that.

use forebay_route::{Kind, Row};
use rusqlite::{Connection, params};

use super::{
    owner_code,
    page::{BadPage, Merge, PageRow, PageWriter, Rows},
    received,
};
use crate::{StoreError, control::Job};

pub(super) const HOUR_MS: u64 = 3600 * 1000;

/// The minute that stands for all that were pruned.
const PRUNED: u64 = 0;

/// More pages of one minute are merged before it is over; a million busy projects book some 500 in a minute.
const BOOKED_OF_MINUTE_MAX: u64 = 1024;

/// More pages are merged before anything is booked: where merging fails, booking does too, and nothing grows without end.
const BOOKED_MAX: u64 = 4 * BOOKED_OF_MINUTE_MAX;

/// Writes the pages of one minute.
pub(super) struct Writer<'a> {
    connection: &'a Connection,
    minute_ms: u64,
    is_booked: bool,
    page: PageWriter,
}

impl<'a> Writer<'a> {
    pub(super) fn new(connection: &'a Connection, minute_ms: u64, is_booked: bool) -> Writer<'a> {
        Writer { connection, minute_ms, is_booked, page: PageWriter::default() }
    }

    /// Adds a row; of an owner that is not before the last one's.
    pub(super) fn add(&mut self, row: PageRow) -> rusqlite::Result<()> {
        if row.events > 0 || row.bytes > 0 {
            self.page.add(row);
        }
        if self.page.is_full() { self.write() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> rusqlite::Result<()> {
        self.write()
    }

    fn write(&mut self) -> rusqlite::Result<()> {
        let Some(page) = std::mem::take(&mut self.page).finish() else { return Ok(()) };
        let sql = "INSERT INTO accounting (minute_ms, booked, first_owner, last_owner, rows, page) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.connection.prepare_cached(sql)?.execute(params![
            self.minute_ms,
            self.is_booked,
            page.first_owner,
            page.last_owner,
            page.rows,
            page.bytes
        ])?;
        Ok(())
    }
}

/// Books rows, of whatever minutes and owners.
pub(super) fn book(job: &Job<'_>, rows: &[Row]) -> Result<(), StoreError> {
    if booked(job)?.iter().map(|(_, pages)| pages).sum::<u64>() >= BOOKED_MAX {
        merge(job, |_, _| true)?;
    }
    let mut rows: Vec<&Row> = rows.iter().collect();
    // They come nearly in this order.
    rows.sort_by_key(|row| (row.minute_ms, owner_code(row.owner)));
    for minute in rows.chunk_by(|one, next| one.minute_ms == next.minute_ms) {
        let mut writer = Writer::new(&job.transaction, minute[0].minute_ms, true);
        for row in minute {
            let owner = owner_code(row.owner);
            let row = PageRow { owner, kind: row.kind, events: row.events, bytes: row.bytes };
            writer.add(row).map_err(|e| job.wrap(e))?;
        }
        writer.finish().map_err(|e| job.wrap(e))?;
    }
    Ok(())
}

/// The minutes with booked pages, oldest first, and how many each has.
fn booked(job: &Job<'_>) -> Result<Vec<(u64, u64)>, StoreError> {
    let sql = "SELECT minute_ms, count(*) FROM accounting WHERE booked GROUP BY minute_ms ORDER BY minute_ms";
    job.rows(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Whether pages wait for being merged.
pub(super) fn is_due(job: &Job<'_>) -> Result<bool, StoreError> {
    let booked = booked(job)?;
    let newest = booked.last().map_or(0, |&(minute_ms, _)| minute_ms);
    Ok(booked.iter().any(|&(minute_ms, pages)| minute_ms < newest || pages > BOOKED_OF_MINUTE_MAX))
}

/// Merges the booked pages of each minute that is over, or has many.
pub(super) fn merge_due(job: &Job<'_>) -> Result<(), StoreError> {
    let newest = booked(job)?.last().map_or(0, |&(minute_ms, _)| minute_ms);
    merge(job, |minute_ms, pages| minute_ms < newest || pages > BOOKED_OF_MINUTE_MAX)
}

/// Merges all booked pages.
pub(super) fn merge_all(job: &Job<'_>) -> Result<(), StoreError> {
    merge(job, |_, _| true)
}

fn merge(job: &Job<'_>, is_due: impl Fn(u64, u64) -> bool) -> Result<(), StoreError> {
    for (minute_ms, _) in booked(job)?.into_iter().filter(|&(minute_ms, pages)| is_due(minute_ms, pages)) {
        let sql = "SELECT page FROM accounting WHERE booked AND minute_ms = ?1";
        let pages: Vec<Vec<u8>> = job.rows(sql, [minute_ms], |row| row.get(0))?;
        job.execute("DELETE FROM accounting WHERE booked AND minute_ms = ?1", [minute_ms])?;
        let received = rewrite(job, &pages, minute_ms)?;
        received::add(job, minute_ms, &received)?;
    }
    Ok(())
}

/// Writes what `pages` add up to as pages of a minute; returns how many events each project in them received.
fn rewrite(job: &Job<'_>, pages: &[Vec<u8>], minute_ms: u64) -> Result<Vec<(u64, u64)>, StoreError> {
    let mut writer = Writer::new(&job.transaction, minute_ms, false);
    let mut received = Vec::new();
    for merged in Merge::of(pages).map_err(|bad| damaged(job, minute_ms, bad))? {
        let (owner, counts) = merged.map_err(|bad| damaged(job, minute_ms, bad))?;
        for (kind, events, bytes) in counts.iter() {
            writer.add(PageRow { owner, kind, events, bytes }).map_err(|e| job.wrap(e))?;
        }
        if let Some(project) = u64::try_from(owner).ok().filter(|&id| id > 0 && counts.received > 0) {
            received.push((project, counts.received));
        }
    }
    writer.finish().map_err(|e| job.wrap(e))?;
    Ok(received)
}

/// Sums up the hours before `before_ms`, each in its first minute.
pub(super) fn sum_up_by_hour(job: &Job<'_>, before_ms: u64) -> Result<(), StoreError> {
    let sql = "SELECT DISTINCT minute_ms - minute_ms % ?2 FROM accounting \
               WHERE NOT booked AND minute_ms < ?1 AND minute_ms % ?2 <> 0";
    for hour_ms in job.rows(sql, [before_ms - before_ms % HOUR_MS, HOUR_MS], |row| row.get::<_, u64>(0))? {
        sum_up(job, hour_ms, hour_ms + HOUR_MS, hour_ms)?;
    }
    Ok(())
}

/// Sums up all minutes before `before_ms` for good.
pub(super) fn sum_up_for_good(job: &Job<'_>, before_ms: u64) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM accounting WHERE NOT booked AND minute_ms > ?1 AND minute_ms < ?2 LIMIT 1";
    if job.row(sql, [PRUNED, before_ms], |_| Ok(()))?.is_some() {
        sum_up(job, PRUNED, before_ms, PRUNED)?;
    }
    Ok(())
}

fn sum_up(job: &Job<'_>, from_ms: u64, before_ms: u64, into_ms: u64) -> Result<(), StoreError> {
    let those = "NOT booked AND minute_ms >= ?1 AND minute_ms < ?2";
    let sql = format!("SELECT page FROM accounting WHERE {those}");
    let pages: Vec<Vec<u8>> = job.rows(&sql, [from_ms, before_ms], |row| row.get(0))?;
    job.execute(&format!("DELETE FROM accounting WHERE {those}"), [from_ms, before_ms])?;
    rewrite(job, &pages, into_ms).map(drop)
}

/// Sums up the oldest minutes where there are more than `rows_max` rows: down to three quarters, so that the next ones
/// find room.
pub(super) fn bound(job: &Job<'_>, rows_max: u64) -> Result<(), StoreError> {
    let sql = "SELECT minute_ms, sum(rows) FROM accounting WHERE NOT booked GROUP BY minute_ms ORDER BY minute_ms DESC";
    let minutes: Vec<(u64, u64)> = job.rows(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if minutes.iter().map(|(_, rows)| rows).sum::<u64>() <= rows_max {
        return Ok(());
    }
    let of_pruned =
        minutes.last().filter(|&&(minute_ms, _)| minute_ms == PRUNED).map_or(0, |&(_, rows)| rows);
    let mut room = (rows_max / 4 * 3).saturating_sub(of_pruned);
    for (minute_ms, rows) in minutes {
        match room.checked_sub(rows) {
            Some(rest) => room = rest,
            None => return sum_up_for_good(job, minute_ms + 1),
        }
    }
    Ok(())
}

/// Which rows are asked for: minutes and owners, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) minutes_ms: (u64, u64),
    pub(crate) owners: (i64, i64),
}

impl Range {
    pub(crate) const ALL: Range =
        Range { minutes_ms: (0, i64::MAX.cast_unsigned()), owners: (i64::MIN, i64::MAX) };
}

/// Every row in the range with its minute, the newest minute first.
pub(crate) fn each_row(job: &Job<'_>, range: Range, row: impl FnMut(u64, PageRow)) -> Result<(), StoreError> {
    each(job, range, "true", row)
}

/// Of pages that were booked and not merged, every row of the project.
pub(super) fn each_booked(
    job: &Job<'_>,
    owners: (i64, i64),
    row: impl FnMut(u64, PageRow),
) -> Result<(), StoreError> {
    each(job, Range { owners, ..Range::ALL }, "booked", row)
}

fn each(
    job: &Job<'_>,
    range: Range,
    condition: &str,
    mut row: impl FnMut(u64, PageRow),
) -> Result<(), StoreError> {
    let ((from_ms, to_ms), (first, last)) = (range.minutes_ms, range.owners);
    let sql = format!(
        "SELECT minute_ms, page FROM accounting WHERE {condition} AND minute_ms >= ?1 AND minute_ms <= ?2 \
         AND first_owner <= ?4 AND last_owner >= ?3 ORDER BY minute_ms DESC"
    );
    job.each(&sql, params![from_ms, to_ms, first, last], |found| {
        let minute_ms: u64 = found.get(0).map_err(|e| job.wrap(e))?;
        let page = found.get_ref(1).map_err(|e| job.wrap(e))?;
        let page = page.as_blob().map_err(|e| job.wrap(e.into()))?;
        for each in Rows::of(page).map_err(|bad| damaged(job, minute_ms, bad))? {
            let each = each.map_err(|bad| damaged(job, minute_ms, bad))?;
            if (first..=last).contains(&each.owner) {
                row(minute_ms, each);
            }
        }
        Ok(())
    })
}

fn damaged(job: &Job<'_>, minute_ms: u64, BadPage(what): BadPage) -> StoreError {
    job.damaged(format!("a page of the accounting, of minute {minute_ms} ms, has {what}"))
}

/// Turns the rows of an earlier version into pages, and drops their table.
pub(crate) fn of_rows(
    connection: &Connection,
    damaged: impl Fn(String) -> StoreError,
) -> Result<(), StoreError> {
    let wrap = |e: rusqlite::Error| damaged(e.to_string());
    let sql =
        "SELECT minute_ms, owner, kind, reason, events, bytes FROM accounting_rows ORDER BY minute_ms, owner";
    let mut statement = connection.prepare(sql).map_err(wrap)?;
    let mut rows = statement.query([]).map_err(wrap)?;
    let mut writer = Writer::new(connection, PRUNED, false);
    while let Some(row) = rows.next().map_err(wrap)? {
        let minute_ms = row.get(0).map_err(wrap)?;
        let (name, reason): (String, String) = (row.get(2).map_err(wrap)?, row.get(3).map_err(wrap)?);
        let kind = Kind::parse(&name, &reason)
            .map_err(|_| damaged(format!("the accounting has kind {name:?}, reason {reason:?}")))?;
        if minute_ms != writer.minute_ms {
            std::mem::replace(&mut writer, Writer::new(connection, minute_ms, false))
                .finish()
                .map_err(wrap)?;
        }
        let (owner, events, bytes) =
            (row.get(1).map_err(wrap)?, row.get(4).map_err(wrap)?, row.get(5).map_err(wrap)?);
        writer.add(PageRow { owner, kind, events, bytes }).map_err(wrap)?;
    }
    writer.finish().map_err(wrap)?;
    drop(rows);
    drop(statement);
    connection.execute_batch("DROP TABLE accounting_rows").map_err(wrap)
}
