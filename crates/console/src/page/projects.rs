//! The list of projects.

use askama::Template;
use forebay_control::{OwnerStats, ProjectInfo, ProjectRole, StatsFilter};
use forebay_record::ProjectId;
use forebay_route::Owner;

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    refusal::Refusal,
    visit::Visit,
    when,
};

struct Card {
    id: u64,
    name: String,
    role: &'static str,
    today: String,
    rejected: Option<String>,
    is_off: bool,
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    cards: Vec<Card>,
}

const DAY_MS: u64 = 24 * 3_600_000;

/// Every project that one may see.
pub(crate) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let projects: Vec<_> = acting.projects()?.into_iter().map(|view| (view.project, view.role)).collect();
    let owners: Vec<_> =
        projects.iter().filter_map(|(info, _)| ProjectId::new(info.id)).map(Owner::Project).collect();
    let filter = StatsFilter {
        owners,
        from_ms: Some(visit.now_ms().saturating_sub(DAY_MS)),
        ..StatsFilter::default()
    };
    // Without owners the filter would be of all.
    let stats = if projects.is_empty() { Vec::new() } else { visit.control().stats(&filter)?.owners };
    let card = |(info, role): (ProjectInfo, ProjectRole)| {
        let is_its = |one: &&OwnerStats| one.owner.project().map(ProjectId::as_u64) == Some(info.id);
        let counts = stats.iter().find(is_its).map(|one| &one.counts);
        let rejected = counts.map_or(0, forebay_route::Counts::rejected_total);
        Card {
            id: info.id,
            name: info.name,
            role: role.as_str(),
            today: when::of(counts.map_or(0, |counts| counts.stored), "event"),
            rejected: (rejected > 0).then(|| when::count(rejected)),
            is_off: !info.accepts_events,
        }
    };
    let cards: Vec<_> = projects.into_iter().map(card).collect();
    Ok(visit.page(&ProjectsPage { frame: visit.frame("Projects", Place::Projects), cards }))
}
