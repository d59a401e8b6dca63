//! How much each project received in all, and when last: what a project's one token was used for.
//!
//! Every event of a project came in under one of its tokens. Of a project with several, the tokens are counted one by one,
//! and `token_events` says how many events that were; what the project received beyond came in under the only one it has.
//!
//! # Invariants
//! * Nothing is written for a project but a place in a page: a booking costs the same however many projects it is of.
//! * Before a project with one token gets another, what that one was used for is noted in its own row: [`settle`].

use std::collections::BTreeMap;

use rusqlite::params;

use super::{
    page::{BadPage, put, take},
    pages,
};
use crate::{StoreError, control::Job};

/// Half as many to three quarters, mostly: some 30 KiB.
const PROJECTS_OF_PAGE: usize = 4096;

/// What was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) events: u64,
    /// The minute of the last.
    pub(crate) last_ms: u64,
}

impl Received {
    fn add(&mut self, events: u64, minute_ms: u64) {
        self.events += events;
        self.last_ms = self.last_ms.max(minute_ms);
    }
}

/// Adds what projects received in a minute, in the order of projects.
pub(super) fn add(job: &Job<'_>, minute_ms: u64, mut received: &[(u64, u64)]) -> Result<(), StoreError> {
    let pages: Vec<u64> =
        job.rows("SELECT first_project FROM received ORDER BY first_project", [], |row| row.get(0))?;
    while let Some((first, _)) = received.first() {
        // Its page is the last that does not begin after it; the first one, for what is before all.
        let at = pages.partition_point(|page| page <= first).saturating_sub(1);
        let next = pages.get(at + 1);
        let (here, others) = received
            .split_at(received.partition_point(|(project, _)| next.is_none_or(|next| project < next)));
        let mut page = match pages.get(at) {
            Some(first) => read(job, *first)?,
            None => BTreeMap::new(),
        };
        for &(project, events) in here {
            page.entry(project).or_default().add(events, minute_ms);
        }
        if let Some(first) = pages.get(at) {
            job.execute("DELETE FROM received WHERE first_project = ?1", [first])?;
        }
        write(job, &page)?;
        received = others;
    }
    Ok(())
}

/// Writes a page, or several of about the same size.
fn write(job: &Job<'_>, page: &BTreeMap<u64, Received>) -> Result<(), StoreError> {
    let all: Vec<_> = page.iter().collect();
    let parts = all.len().div_ceil(PROJECTS_OF_PAGE).max(1);
    for part in all.chunks(all.len().div_ceil(parts).max(1)) {
        let (mut bytes, mut before) = (Vec::new(), 0);
        for (project, received) in part {
            for number in [**project - before, received.events, received.last_ms / 60_000] {
                put(&mut bytes, number);
            }
            before = **project;
        }
        job.execute("INSERT INTO received (first_project, page) VALUES (?1, ?2)", params![part[0].0, bytes])?;
    }
    Ok(())
}

fn read(job: &Job<'_>, first: u64) -> Result<BTreeMap<u64, Received>, StoreError> {
    let sql = "SELECT page FROM received WHERE first_project = ?1";
    let page: Vec<u8> = job.row(sql, [first], |row| row.get(0))?.unwrap_or_default();
    decode(&page).map_err(|BadPage(what)| {
        job.damaged(format!("the page of what projects from {first} on received has {what}"))
    })
}

fn decode(mut page: &[u8]) -> Result<BTreeMap<u64, Received>, BadPage> {
    let (mut found, mut project) = (BTreeMap::new(), 0_u64);
    while !page.is_empty() {
        project = project.checked_add(take(&mut page)?).ok_or(BadPage("a project beyond all numbers"))?;
        let (events, minute) = (take(&mut page)?, take(&mut page)?);
        found.insert(project, Received { events, last_ms: minute.saturating_mul(60_000) });
    }
    Ok(found)
}

/// What a project, or each, received since this is counted.
fn of(job: &Job<'_>, only: Option<u64>) -> Result<BTreeMap<u64, Received>, StoreError> {
    let sql = "SELECT coalesce(max(first_project), 0) FROM received WHERE first_project <= ?1";
    let from = match only {
        Some(project) => job.row(sql, [project], |row| row.get(0))?.unwrap_or(0),
        None => 0,
    };
    let sql = "SELECT first_project FROM received WHERE first_project >= ?1 AND first_project <= ?2";
    let mut all = BTreeMap::new();
    for first in job.rows(sql, params![from, only.unwrap_or(i64::MAX.cast_unsigned())], |row| row.get(0))? {
        all.append(&mut read(job, first)?);
    }
    let owners = only.and_then(|id| i64::try_from(id).ok()).map_or((1, i64::MAX), |id| (id, id));
    pages::each_booked(job, owners, |minute_ms, row| {
        if let (forebay_route::Kind::Received, Ok(project)) = (row.kind, u64::try_from(row.owner)) {
            all.entry(project).or_default().add(row.events, minute_ms);
        }
    })?;
    if let Some(project) = only {
        all.retain(|id, _| *id == project);
    }
    Ok(all)
}

/// What a project, or each, received under its only token: what stands in no token's own count.
pub(crate) fn under_the_only_token(
    job: &Job<'_>,
    only: Option<u64>,
) -> Result<BTreeMap<u64, Received>, StoreError> {
    let mut received = of(job, only)?;
    let sql = format!(
        "SELECT project_id, events FROM token_events WHERE {}",
        crate::control::only_if(only, "project_id")
    );
    for (project, events) in
        job.rows(&sql, [only], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?)))?
    {
        if let Some(received) = received.get_mut(&project) {
            received.events = received.events.saturating_sub(events);
        }
    }
    received.retain(|_, received| received.events > 0);
    Ok(received)
}

/// Notes in the row of a project's one token what it was used for. To be called before the project's tokens change.
pub(crate) fn settle(job: &Job<'_>, project: u64) -> Result<(), StoreError> {
    let sql = "SELECT min(token) FROM tokens WHERE project_id = ?1 AND (ends_at_ms IS NULL OR ends_at_ms > ?2) \
               HAVING count(*) = 1";
    let Some(token) = job.row(sql, [project, job.now_ms], |row| row.get::<_, String>(0))? else {
        return Ok(());
    };
    let Some(received) = under_the_only_token(job, Some(project))?.remove(&project) else { return Ok(()) };
    let sql = "UPDATE tokens SET last_used_ms = max(coalesce(last_used_ms, 0), ?2), events = events + ?3 WHERE token = ?1";
    job.execute(sql, params![token, received.last_ms, received.events])?;
    note(job, project, received.events)
}

/// Notes that events of a project stand in the counts of its tokens.
pub(super) fn note(job: &Job<'_>, project: u64, events: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO token_events (project_id, events) VALUES (?1, ?2) \
               ON CONFLICT DO UPDATE SET events = events + excluded.events";
    job.execute(sql, [project, events]).map(drop)
}

/// Lets a project that is gone have received nothing: another may get its number.
pub(crate) fn forget(job: &Job<'_>, project: u64) -> Result<(), StoreError> {
    let events =
        under_the_only_token(job, Some(project))?.get(&project).map_or(0, |received| received.events);
    if events > 0 { note(job, project, events) } else { Ok(()) }
}
