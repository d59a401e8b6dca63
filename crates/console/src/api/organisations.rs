//! Calls about organisations.

use forebay_control::AuditFilter;
use serde_json::{Value, json};

use crate::{answer::Answer, api::ok, refusal::Refusal, visit::Visit, when};

/// An organisation and who belongs to it.
pub(crate) fn show(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let organisation = visit.organisation()?;
    let members: Vec<Value> = organisation
        .members
        .iter()
        .map(|one| json!({ "id": one.id, "name": one.name, "email": one.email, "role": one.role }))
        .collect();
    Ok(ok(json!({
        "id": organisation.id, "name": organisation.name, "projects": organisation.projects,
        "requires_two_factor": organisation.requires_two_factor,
        "created": when::rfc3339(organisation.created_at_ms), "members": members,
    })))
}

/// Its audit, a page of up to a hundred; `before` is the `next` of the page before.
pub(crate) fn audit(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let filter = AuditFilter {
        organisation: Some(visit.organisation()?.id),
        before: visit.query.number("before"),
        action: visit.query.given("action").map(str::to_owned),
        limit: 100,
        ..AuditFilter::default()
    };
    let page = visit.acting()?.audit(&filter)?;
    Ok(ok(json!({ "entries": page.entries, "next": page.next })))
}
