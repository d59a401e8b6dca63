//! Tokens under which events arrive that belong to no project, and giving them to one.

use askama::Template;
use forebay_control::ProjectRole;

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    page::paging::{Paging, cut},
    refusal::Refusal,
    visit::Visit,
    when,
};

/// So many are looked at; the others were seen less.
const SEEN_MAX: usize = 10_000;

struct Row {
    token: String,
    /// It is text as a token may be, so that a project can have it.
    can_be_claimed: bool,
    events: String,
    first: Moment,
    last: Moment,
}

#[derive(Template)]
#[template(path = "unclaimed.html")]
struct UnclaimedPage {
    frame: Frame,
    rows: Vec<Row>,
    paging: Paging,
    projects: Vec<(u64, String)>,
}

/// Those seen most.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (tokens, paging) = cut(visit, visit.control().unknown_tokens(SEEN_MAX)?);
    let rows = tokens.into_iter().map(|unknown| {
        let text = String::from_utf8(unknown.token);
        Row {
            can_be_claimed: text.is_ok(),
            token: text.unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned()),
            events: when::count(unknown.events),
            first: Moment(unknown.first_seen_ms),
            last: Moment(unknown.last_seen_ms),
        }
    });
    let projects = visit.acting()?.projects()?;
    let may = projects.into_iter().filter(|view| view.role >= ProjectRole::Admin);
    let page = UnclaimedPage {
        frame: visit.frame("Unclaimed tokens", Place::Unclaimed),
        rows: rows.collect(),
        paging,
        projects: may.map(|view| (view.project.id, view.project.name)).collect(),
    };
    Ok(visit.page(&page))
}

/// Gives a token to a project: its events read as that project's from then on.
pub(crate) fn claim(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.form.number("project");
    let claimed = project
        .ok_or_else(|| Refusal::Invalid("choose a project".to_owned()))
        .and_then(|project| Ok(visit.acting()?.add_token(project, visit.form.raw("token"))?));
    match claimed {
        Ok(_) => Ok(visit.done("/console/unclaimed", "claimed")),
        Err(refusal) => visit.again(refusal, page),
    }
}
