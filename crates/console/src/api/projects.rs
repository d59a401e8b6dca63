//! Calls about projects.

use forebay_control::{NewProject, ProjectRole, StatsFilter};
use forebay_record::ProjectId;
use forebay_route::Owner;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::Answer,
    api::{document, ok},
    refusal::Refusal,
    visit::Visit,
    when,
};

const DAY_MS: u64 = 24 * 3_600_000;

/// `/settings/project/{id}/metadata`: as old screens and tools ask for it.
///
/// Key and secret are told to a service account that is an owner, which is audited: it shows its own secret with each
/// request, and could reset these. A person's session is no such proof: they give their password, by another call.
pub(crate) fn metadata(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let is_owner = visit.project_role()? == ProjectRole::Owner;
    let told = match &visit.account {
        Some(_) if is_owner => {
            let acting = visit.acting()?;
            Some(acting.reveal_credentials(project.id, &acting.prove_password("")?)?)
        }
        _ => None,
    };
    let (api_key, secret) = told.map(|told| (told.api_key, told.api_secret)).unzip();
    Ok(ok(json!({
        "id": project.id, "name": project.name, "domain": visit.senders_url(),
        "timezone_name": project.timezone, "token": project.token, "api_key": api_key, "secret": secret,
    })))
}

/// A project: no secret in it.
pub(crate) fn show(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    Ok(ok(json!({
        "id": project.id, "name": project.name, "organization_id": project.organisation,
        "timezone": project.timezone, "token": project.token, "accepts_events": project.accepts_events,
        "retention_days": project.retention_days, "created": when::rfc3339(project.created_at_ms),
        "role": visit.project_role()?,
    })))
}

/// What became of its events in the last day.
pub(crate) fn stats(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let owner = ProjectId::new(visit.project()?.id).map(Owner::Project).ok_or(Refusal::NotFound)?;
    let from_ms = visit.now_ms().saturating_sub(DAY_MS);
    let filter = StatsFilter { owners: vec![owner], from_ms: Some(from_ms), ..StatsFilter::default() };
    let counts = visit.control().stats(&filter)?.totals;
    let rejected: Map<String, Value> = counts
        .rejected
        .iter()
        .map(|(reason, events)| (reason.as_str().to_owned(), (*events).into()))
        .collect();
    Ok(ok(json!({
        "from": when::rfc3339(from_ms), "received": counts.received, "stored": counts.stored,
        "stored_bytes": counts.stored_bytes, "rejected": rejected, "dropped": counts.dropped_total(),
    })))
}

#[derive(Deserialize)]
struct Create {
    project_name: String,
    token: Option<String>,
}

/// Makes one. Its secret is in the answer, this once.
pub(crate) fn create(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Create = document(visit)?;
    let new = NewProject {
        name: asked.project_name,
        token: asked.token,
        organisation: Some(visit.organisation()?.id),
        ..NewProject::default()
    };
    let made = visit.acting()?.create_project(&new)?;
    Ok(ok(json!({
        "id": made.id, "name": made.name, "token": made.token, "api_key": made.api_key, "secret": made.api_secret,
    })))
}
