//! Who did what to whom, a page at a time, and as a file.

use askama::Template;
use forebay_control::{AuditEntry, AuditFilter};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    refusal::Refusal,
    visit::Visit,
    when,
};

const SHOWN: usize = 100;
/// Of the file: at most so many pages of a thousand.
const FILE_PAGES_MAX: usize = 100;

struct Row {
    at: String,
    who: String,
    action: String,
    subject: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditHtml {
    frame: Frame,
    base: String,
    rows: Vec<Row>,
    next: Option<u64>,
    is_first: bool,
}

/// What was done in an organisation and its projects.
pub(crate) fn of_organisation(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.organisation()?.id;
    let filter = AuditFilter { organisation: Some(id), ..AuditFilter::default() };
    show(visit, Place::Organisation("audit"), format!("/console/organisations/{id}/audit"), filter)
}

/// The same as a file, an entry a line.
pub(crate) fn of_organisation_file(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.organisation()?.id;
    let acting = visit.acting()?;
    let mut filter = AuditFilter { organisation: Some(id), ..AuditFilter::default() };
    let mut lines = Vec::new();
    for _ in 0..FILE_PAGES_MAX {
        let page = acting.audit(&filter)?;
        for entry in &page.entries {
            serde_json::to_writer(&mut lines, entry).map_err(|error| Refusal::Failed(error.to_string()))?;
            lines.push(b'\n');
        }
        match page.next {
            Some(next) => filter.before = Some(next),
            None => break,
        }
    }
    Ok(Answer::download("application/x-ndjson", &format!("audit-{id}.ndjson"), lines))
}

fn show(visit: &Visit<'_>, place: Place, base: String, filter: AuditFilter) -> Result<Answer, Refusal> {
    let before = visit.query.number("before");
    let found = visit.acting()?.audit(&AuditFilter { before, limit: SHOWN, ..filter })?;
    let page = AuditHtml {
        frame: visit.frame("Audit log", place),
        base,
        rows: found.entries.into_iter().map(|entry| row(visit, entry)).collect(),
        next: found.next,
        is_first: before.is_none(),
    };
    Ok(visit.page(&page))
}

fn row(visit: &Visit<'_>, entry: AuditEntry) -> Row {
    Row {
        at: when::minute(entry.at_ms),
        who: visit.site.name_of(&entry.actor),
        action: entry.action,
        subject: visit.site.name_of(&entry.subject),
        detail: entry.detail,
    }
}
