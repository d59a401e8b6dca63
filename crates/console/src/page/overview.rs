//! A project at a glance: the light, the last hour, the last events with their verdicts, how to send.

use askama::Template;
use forebay_control::StatsFilter;
use forebay_record::ProjectId;
use forebay_route::{Counts, Owner};

use crate::{
    answer::Answer,
    chart::{self, Minute},
    frame::{Frame, Place},
    page::snippets::{self, Snippet},
    recent::{self, Seen},
    refusal::Refusal,
    visit::Visit,
    when,
};

const MINUTES: u64 = 60;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 3_600_000;
const EVENTS_SHOWN: usize = 20;
const REJECTED_SHOWN: usize = 100;

/// What changes while one looks at it.
#[derive(Template)]
#[template(path = "overview_live.html")]
struct Live {
    base: String,
    is_lit: bool,
    stored: String,
    accepts: bool,
    last: Option<String>,
    chart: String,
    most: String,
    has_refused: bool,
    today: Vec<(&'static str, String)>,
    seen: Vec<Seen>,
    /// When they came, in the project's zone.
    clocks: Vec<String>,
    zone: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    base: String,
    live: Live,
    token: String,
    snippets: Vec<Snippet>,
}

/// The page.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let page = OverviewPage {
        frame: visit.frame(&project.name, Place::Project("")),
        base: base(visit)?,
        live: live_of(visit)?,
        snippets: snippets::of(&visit.senders_url(), &project.token),
        token: project.token.clone(),
    };
    Ok(visit.page(&page))
}

/// The part of it that changes.
pub(crate) fn live(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(visit.page(&live_of(visit)?))
}

fn base(visit: &Visit<'_>) -> Result<String, Refusal> {
    Ok(format!("/console/projects/{}", visit.project()?.id))
}

fn live_of(visit: &Visit<'_>) -> Result<Live, Refusal> {
    let project = visit.project()?;
    let now_ms = visit.now_ms();
    let owners = vec![owner(project.id)?];
    let ever =
        visit.control().stats(&StatsFilter { owners: owners.clone(), ..StatsFilter::default() })?.totals;
    let day = StatsFilter {
        owners: owners.clone(),
        from_ms: Some(now_ms.saturating_sub(DAY_MS)),
        ..StatsFilter::default()
    };
    let today = visit.control().stats(&day)?.totals;
    let first_minute = (now_ms / MINUTE_MS).saturating_sub(MINUTES - 1);
    let hour = StatsFilter {
        owners,
        from_ms: Some(first_minute * MINUTE_MS),
        minutes_max: usize::try_from(MINUTES).unwrap_or_default(),
        ..StatsFilter::default()
    };
    let mut minutes = vec![Minute::default(); usize::try_from(MINUTES).unwrap_or_default()];
    for one in visit.control().stats(&hour)?.minutes {
        let at =
            (one.minute_ms / MINUTE_MS).checked_sub(first_minute).and_then(|at| usize::try_from(at).ok());
        if let Some(minute) = at.and_then(|at| minutes.get_mut(at)) {
            minute.stored += one.counts.stored;
            minute.refused += one.counts.rejected_total() + one.counts.dropped_total();
        }
    }
    let seen = recent::of_project(visit.site, project, EVENTS_SHOWN);
    let last = seen.iter().find(|one| one.refused.is_none()).map(|one| visit.times().minute(one.at_ms));
    Ok(Live {
        base: base(visit)?,
        // What is read from the log is there before it is booked.
        is_lit: ever.stored > 0 || last.is_some(),
        stored: when::of(ever.stored, "event"),
        accepts: project.accepts_events,
        last,
        chart: chart::minutes(&minutes),
        most: when::count(chart::most(&minutes)),
        has_refused: minutes.iter().any(|minute| minute.refused > 0),
        today: totals(&today),
        clocks: seen.iter().map(|one| visit.times().clock(one.at_ms)).collect(),
        zone: project.timezone.clone(),
        seen,
    })
}

fn totals(counts: &Counts) -> Vec<(&'static str, String)> {
    vec![
        ("Received", when::count(counts.received)),
        ("Stored", when::count(counts.stored)),
        ("Rejected", when::count(counts.rejected_total())),
        ("Dropped by rule", when::count(counts.dropped_total())),
    ]
}

fn owner(project: u64) -> Result<Owner, Refusal> {
    ProjectId::new(project).map(Owner::Project).ok_or(Refusal::NotFound)
}

#[derive(Template)]
#[template(path = "rejected.html")]
struct RejectedPage {
    frame: Frame,
    reasons: Vec<(String, String)>,
    seen: Vec<Seen>,
    times: Vec<String>,
}

/// What was refused of late, with why.
pub(crate) fn rejected(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let owner = owner(visit.project()?.id)?;
    let day = StatsFilter {
        owners: vec![owner],
        from_ms: Some(visit.now_ms().saturating_sub(DAY_MS)),
        ..StatsFilter::default()
    };
    let counts = visit.control().stats(&day)?.totals;
    let seen = recent::refused(visit.site, owner, REJECTED_SHOWN)?;
    let page = RejectedPage {
        frame: visit.frame("Rejected", Place::Project("rejected")),
        reasons: counts
            .rejected
            .iter()
            .map(|(reason, events)| (reason.as_str().to_owned(), when::count(*events)))
            .collect(),
        times: seen.iter().map(|one| visit.times().minute(one.at_ms)).collect(),
        seen,
    };
    Ok(visit.page(&page))
}
