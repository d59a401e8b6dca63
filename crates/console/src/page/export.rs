//! The raw export: which days, about how many rows, and the line that fetches them.

use std::{cmp::Reverse, collections::HashSet, ops::RangeInclusive};

use askama::Template;
use forebay_export::{CensusError, Condition, Names, Query};
use forebay_record::ProjectId;
use forebay_route::ProjectSettings;
use hyper::StatusCode;
use jiff::civil::Date;

use crate::{
    answer::{Answer, Export},
    frame::{Frame, Place},
    page::snippets::shell,
    refusal::Refusal,
    visit::Visit,
    when,
};

const DAY_MS: u64 = 24 * 3_600_000;
/// So many days are proposed.
const DAYS: u64 = 7;
/// So many names of events are offered; any other can be typed.
const OFFERED: usize = 200;

#[derive(Template)]
#[template(path = "export.html")]
struct ExportPage {
    frame: Frame,
    base: String,
    from: String,
    to: String,
    event: String,
    /// Names of events to choose from.
    offered: Vec<String>,
    /// What the events' properties have to meet, as it was entered.
    condition: String,
    /// Why that cannot be.
    condition_problem: Option<String>,
    today: String,
    /// How many events there are, or why that is not known.
    rows: Result<String, String>,
    /// Some are not in that number.
    is_partial: bool,
    by_account: String,
    by_secret: String,
    /// Where the file is.
    file: String,
}

/// The page.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let today = when::day(visit.now_ms());
    let week_ago = when::day(visit.now_ms().saturating_sub((DAYS - 1) * DAY_MS));
    // A day that is none is not taken over.
    let day = |name: &str, otherwise: &str| match when::day_start_ms(visit.query.text(name)) {
        Some(start_ms) => when::day(start_ms),
        None => otherwise.to_owned(),
    };
    let (from, to) = (day("from", &week_ago), day("to", &today));
    let (from, to) = if from <= to { (from, to) } else { (to, from) };
    let event = visit.query.text("event").to_owned();
    let condition = visit.query.text("where").to_owned();
    let condition_problem = condition_of(visit).err().map(|refusal| refusal.text());
    let settings = settings(visit)?;
    let counted = count(visit, &settings, &from, &to);
    let is_partial = matches!(&counted, Ok(names) if names.is_partial);
    let offered = counted.as_ref().map(offered).unwrap_or_default();
    let rows = counted.map(|names| {
        let of_all = || names.events.values().sum();
        when::count(if event.is_empty() { of_all() } else { names.events.get(&event).copied().unwrap_or(0) })
    });
    let mut query = format!("from_date={from}&to_date={to}");
    if !event.is_empty() {
        let names = serde_json::json!([event]).to_string();
        query.push_str("&event=");
        query.extend(form_urlencoded::byte_serialize(names.as_bytes()));
    }
    if !condition.is_empty() {
        query.push_str("&where=");
        query.extend(form_urlencoded::byte_serialize(condition.as_bytes()));
    }
    let url = format!("{}/api/2.0/export?{query}", visit.senders_url());
    let with_project = shell(&format!("{url}&project_id={}", project.id));
    let mut file = format!("/console/projects/{}/export/file?from={from}&to={to}&event=", project.id);
    file.extend(form_urlencoded::byte_serialize(event.as_bytes()));
    file.push_str("&where=");
    file.extend(form_urlencoded::byte_serialize(condition.as_bytes()));
    let page = ExportPage {
        file,
        frame: visit.frame("Export", Place::Project("export")),
        base: format!("/console/projects/{}/export", project.id),
        by_account: format!("curl --compressed -u USERNAME:SECRET -o events.ndjson {with_project}"),
        by_secret: format!("curl --compressed -u API_SECRET: -o events.ndjson {}", shell(&url)),
        rows,
        is_partial,
        from,
        to,
        event,
        offered,
        condition,
        condition_problem,
        today,
    };
    match page.condition_problem {
        Some(_) => Ok(Answer::page(StatusCode::BAD_REQUEST, &page)),
        None => Ok(visit.page(&page)),
    }
}

/// The project that the path names, as those who read its events know it.
pub(crate) fn settings(visit: &Visit<'_>) -> Result<ProjectSettings, Refusal> {
    let id = ProjectId::new(visit.project()?.id);
    let known = id.and_then(|id| visit.site.collector.registry.project(id));
    Ok(known.ok_or(Refusal::NotFound)?.settings.clone())
}

/// How many events of each name there are on these days, or why that is not known.
fn count(visit: &Visit<'_>, project: &ProjectSettings, from: &str, to: &str) -> Result<Names, String> {
    let day = |text: &str| text.parse::<Date>().map_err(|e| e.to_string());
    names(visit, project, &(day(from)?..=day(to)?)).map_err(|why| why.to_string())
}

/// The names to choose from: those that most events have.
fn offered(names: &Names) -> Vec<String> {
    let mut most: Vec<_> = names.events.iter().collect();
    most.sort_by_key(|(_, count)| Reverse(**count));
    most.into_iter().take(OFFERED).map(|(name, _)| name.clone()).collect()
}

/// How many events of each name there are on these days.
pub(crate) fn names(
    visit: &Visit<'_>,
    project: &ProjectSettings,
    days: &RangeInclusive<Date>,
) -> Result<Names, CensusError> {
    let names = visit.site.export.names(project, days, visit.now_ms());
    names.inspect_err(|why| {
        if matches!(why, CensusError::Read(_)) {
            tracing::error!(error = forebay_control::chain(why), "events could not be counted");
        }
    })
}

/// The condition that the query names.
fn condition_of(visit: &Visit<'_>) -> Result<Option<Condition>, Refusal> {
    let given = visit.query.given("where").map(Condition::parse);
    given.transpose().map_err(|e| Refusal::Invalid(e.to_string()))
}

/// The events themselves, as a file: an object a line, gzip.
pub(crate) fn file(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.project()?.id;
    let day = |name: &str| {
        let text = visit.query.text(name);
        text.parse::<Date>()
            .map_err(|_| Refusal::Invalid(format!("{name} is {text:?}: give a day such as 2026-03-01")))
    };
    let (from, to) = (day("from")?, day("to")?);
    let project = settings(visit)?;
    tracing::info!(project = id, person = visit.who_id().0, from_date = %from, to_date = %to, "export by a person");
    let query = Query {
        days: from..=to,
        events: visit.query.given("event").map(|name| HashSet::from([name.to_owned()])),
        condition: condition_of(visit)?,
        limit: None,
        time_in_ms: false,
    };
    let actor = format!("person:{}", visit.who_id());
    let name = format!("events-{id}-{from}-{to}.ndjson.gz");
    Ok(Answer::download("application/gzip", &name, "").and_export(Export { actor, project, query }))
}
