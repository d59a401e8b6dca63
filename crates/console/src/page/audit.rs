//! Who did what to whom, a page at a time, and as a file.

use askama::Template;
use forebay_control::{AuditEntry, AuditFilter};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    refusal::Refusal,
    stream::AuditFile,
    visit::Visit,
};

const SHOWN: usize = 100;
/// What can be looked at alone: how its actions begin, and what that is called.
const KINDS: [(&str, &str); 6] = [
    ("", "Everything"),
    ("organisation.", "Organisation"),
    ("project.", "Projects"),
    ("service_account.", "Service accounts"),
    ("person.", "People"),
    ("lookup_table.", "Lookup tables"),
];
/// What a choice among them is remembered under, for those who want that.
const VIEW: &str = "audit.kind";

struct Row {
    at: Moment,
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
    /// Values, labels, and which is chosen.
    kinds: Vec<(&'static str, &'static str, bool)>,
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

/// The same as a file, an entry a line, to the end.
pub(crate) fn of_organisation_file(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.organisation()?.id;
    let filter = AuditFilter { organisation: Some(id), ..AuditFilter::default() };
    let answer = Answer::download("application/x-ndjson", &format!("audit-{id}.ndjson"), Vec::new());
    Ok(answer.and_audit(AuditFile { person: visit.who()?.person.id, filter }))
}

/// Which kind is wanted: the one that is asked for, which is remembered where that is wanted; else the remembered one.
fn kind_of(visit: &Visit<'_>) -> Result<&'static str, Refusal> {
    let known = |word: &str| KINDS.iter().map(|(kind, _)| *kind).find(|kind| *kind == word);
    let acting = visit.acting()?;
    if visit.query.iter().any(|(name, _)| name == "kind") {
        let kind = known(visit.query.text("kind")).unwrap_or_default();
        acting.remember_view(visit.who_id(), VIEW, kind)?;
        return Ok(kind);
    }
    let remembered = acting.view_setting(visit.who_id(), VIEW)?;
    Ok(remembered.and_then(|word| known(&word)).unwrap_or_default())
}

fn show(visit: &Visit<'_>, place: Place, base: String, filter: AuditFilter) -> Result<Answer, Refusal> {
    let before = visit.query.number("before");
    let kind = kind_of(visit)?;
    let action = (!kind.is_empty()).then(|| kind.to_owned());
    let found = visit.acting()?.audit(&AuditFilter { before, limit: SHOWN, action, ..filter })?;
    let page = AuditHtml {
        frame: visit.frame("Audit log", place),
        base,
        kinds: KINDS.iter().map(|&(value, label)| (value, label, value == kind)).collect(),
        rows: found.entries.into_iter().map(|entry| row(visit, entry)).collect(),
        next: found.next,
        is_first: before.is_none(),
    };
    Ok(visit.page(&page))
}

fn row(visit: &Visit<'_>, entry: AuditEntry) -> Row {
    Row {
        at: Moment(entry.at_ms),
        who: visit.site.name_of(&entry.actor),
        action: entry.action,
        subject: visit.site.name_of(&entry.subject),
        detail: entry.detail,
    }
}
