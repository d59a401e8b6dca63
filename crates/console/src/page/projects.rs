//! The list of projects, and making another.

use askama::Template;
use forebay_control::{OrganisationRole, StatsFilter};
use forebay_record::ProjectId;
use forebay_route::Owner;

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    page::paging::{Paging, cut},
    refusal::{Refusal, a},
    visit::Visit,
    when,
};

struct Card {
    id: u64,
    name: String,
    role: String,
    today: String,
    rejected: Option<String>,
    is_off: bool,
}

struct Group {
    name: String,
    cards: Vec<Card>,
    /// Where another project is made, for those who may.
    new_in: Option<u64>,
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    groups: Vec<Group>,
    paging: Paging,
}

const DAY_MS: u64 = 24 * 3_600_000;

/// Every project that one may see, by organisation.
pub(crate) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let mut projects = acting.projects()?;
    projects.sort_by_key(|view| (view.project.organisation, view.project.id));
    let (projects, paging) = cut(visit, projects);
    let owners: Vec<_> =
        projects.iter().filter_map(|p| ProjectId::new(p.project.id)).map(Owner::Project).collect();
    let filter = StatsFilter {
        owners,
        from_ms: Some(visit.now_ms().saturating_sub(DAY_MS)),
        ..StatsFilter::default()
    };
    // Without owners the filter would be of all.
    let stats = if projects.is_empty() { Vec::new() } else { visit.control().stats(&filter)?.owners };
    let mut groups = Vec::new();
    for organisation in acting.organisations()? {
        let cards = projects.iter().filter(|p| p.project.organisation == organisation.id).map(|view| {
            let counts = stats
                .iter()
                .find(|one| one.owner.project().map(ProjectId::as_u64) == Some(view.project.id))
                .map(|one| &one.counts);
            let rejected = counts.map_or(0, forebay_route::Counts::rejected_total);
            Card {
                id: view.project.id,
                name: view.project.name.clone(),
                role: a(view.role.as_str()),
                today: when::of(counts.map_or(0, |counts| counts.stored), "event"),
                rejected: (rejected > 0).then(|| when::count(rejected)),
                is_off: !view.project.accepts_events,
            }
        });
        let cards: Vec<_> = cards.collect();
        // Of an organisation whose projects are on other pages nothing is said here.
        if cards.is_empty() && paging.is_needed() {
            continue;
        }
        groups.push(Group {
            cards,
            new_in: (organisation.role >= OrganisationRole::Admin).then_some(organisation.id),
            name: organisation.name,
        });
    }
    Ok(visit.page(&ProjectsPage { frame: visit.frame("Projects", Place::Projects), groups, paging }))
}

#[derive(Template)]
#[template(path = "project_new.html")]
struct NewPage<'a> {
    frame: Frame,
    organisation: u64,
    name: &'a str,
    token: &'a str,
    timezone: &'a str,
}

/// Asks what a project is to be called.
pub(crate) fn new_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let page = NewPage {
        frame: visit.frame("New project", Place::Organisation("")),
        organisation: visit.organisation()?.id,
        name: visit.form.text("name"),
        token: visit.form.text("token"),
        timezone: visit.form.given("timezone").unwrap_or("UTC"),
    };
    Ok(visit.page(&page))
}

#[derive(Template)]
#[template(path = "project_created.html")]
struct CreatedPage {
    frame: Frame,
    id: u64,
    token: String,
    api_key: String,
    api_secret: String,
}

/// Makes it. The page holds the secret, so it is shown at once and not after a redirect.
pub(crate) fn create(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let new = forebay_control::NewProject {
        name: visit.form.text("name").to_owned(),
        token: visit.form.given("token").map(str::to_owned),
        organisation: Some(visit.organisation()?.id),
        timezone: visit.form.given("timezone").map(str::to_owned),
        ..forebay_control::NewProject::default()
    };
    match visit.acting()?.create_project(&new) {
        Ok(created) => Ok(visit.page(&CreatedPage {
            frame: visit.frame(&format!("{} was created", created.name), Place::Projects),
            id: created.id,
            token: created.token,
            api_key: created.api_key,
            api_secret: created.api_secret,
        })),
        Err(error) => visit.again(error.into(), new_page),
    }
}
