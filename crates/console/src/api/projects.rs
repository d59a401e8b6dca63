//! Calls about projects: which there are, their settings, their end.

use forebay_control::{NewProject, ProjectChange, ProjectRole};
use forebay_route::{ClientAddress, IdMerge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::Answer,
    api::{Password, document, done, ok, proof},
    refusal::Refusal,
    visit::Visit,
};

/// A project as old screens and tools ask for it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectMetadata")]
pub(crate) struct Metadata {
    id: u64,
    name: String,
    /// Where senders reach this server.
    domain: String,
    timezone_name: String,
    token: String,
    /// Told to a service account that is an owner of the project.
    api_key: Option<String>,
    /// The same.
    secret: Option<String>,
}

/// `/settings/project/{id}/metadata`.
///
/// Key and secret are told to a service account that is an owner, which is audited: it shows its own secret with each
/// request, and could reset these. A person's session is no such proof: they give their password, by another call.
pub(crate) fn metadata(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let is_owner = visit.project_role()? == ProjectRole::Owner;
    let told = match &visit.account {
        Some(_) if is_owner => Some(visit.acting()?.reveal_credentials(project.id, &proof(visit, None)?)?),
        _ => None,
    };
    let (api_key, secret) = told.map(|told| (told.api_key, told.api_secret)).unzip();
    Ok(ok(&Metadata {
        id: project.id,
        name: project.name.clone(),
        domain: visit.senders_url(),
        timezone_name: project.timezone.clone(),
        token: project.token.clone(),
        api_key,
        secret,
    }))
}

/// Those one may see.
pub(crate) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.projects()?))
}

/// Those of an organisation.
pub(crate) fn of_organisation(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let organisation = visit.organisation()?.id;
    let mut projects = visit.acting()?.projects()?;
    projects.retain(|view| view.project.organisation == organisation);
    Ok(ok(&projects))
}

/// A project: no secret in it.
pub(crate) fn show(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.project(visit.project()?.id)?))
}

/// A project to be made. `cluster_id` and `timezone_id`, which some of Mixpanel's clients send, are not looked at: there are
/// no clusters, and zones have names.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewProject")]
pub(crate) struct Create {
    project_name: String,
    /// Its token, where one is brought along.
    token: Option<String>,
    /// The IANA name of the zone that its times are shown in; left out, UTC.
    timezone: Option<String>,
}

/// A project just made: the only time its secret is told unasked.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreatedProject")]
pub(crate) struct Created {
    id: u64,
    name: String,
    token: String,
    api_key: String,
    secret: String,
    timezone_name: String,
}

/// Makes one.
pub(crate) fn create(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Create = document(visit)?;
    let new = NewProject {
        name: asked.project_name,
        token: asked.token,
        organisation: Some(visit.organisation()?.id),
        timezone: asked.timezone,
        ..NewProject::default()
    };
    let made = visit.acting()?.create_project(&new)?;
    let timezone_name = visit.acting()?.project(made.id)?.project.timezone;
    let (id, name, token, api_key, secret) = (made.id, made.name, made.token, made.api_key, made.api_secret);
    Ok(ok(&Created { id, name, token, api_key, secret, timezone_name }))
}

/// What is kept of senders' addresses.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ClientAddress")]
enum Address {
    Drop,
    Mask,
    Keep,
}

/// How identities are resolved.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "IdMerge")]
enum Merge {
    Original,
    Simplified,
}

/// What is to change of a project; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProjectChange")]
pub(crate) struct Change {
    name: Option<String>,
    accepts_events: Option<bool>,
    client_address: Option<Address>,
    /// The origins that browsers may send from; none: any.
    allowed_origins: Option<Vec<String>>,
    /// By its IANA name.
    timezone: Option<String>,
    id_merge: Option<Merge>,
    /// Events are kept for so many days, at most 36500; 0: as long as the store keeps them. An owner's to change.
    #[schemars(range(max = 36500))]
    retention_days: Option<u32>,
}

const RETENTION_DAYS_MAX: u32 = 36_500;

/// Changes settings.
pub(crate) fn change(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Change = document(visit)?;
    if asked.retention_days.is_some_and(|days| days > RETENTION_DAYS_MAX) {
        return Err(Refusal::Invalid(format!("retention_days is at most {RETENTION_DAYS_MAX}")));
    }
    let change = ProjectChange {
        name: asked.name,
        accepts_events: asked.accepts_events,
        client_address: asked.client_address.map(|address| match address {
            Address::Drop => ClientAddress::Drop,
            Address::Mask => ClientAddress::Mask,
            Address::Keep => ClientAddress::Keep,
        }),
        allowed_origins: asked.allowed_origins,
        timezone: asked.timezone,
        id_merge: asked.id_merge.map(|merge| match merge {
            Merge::Original => IdMerge::Original,
            Merge::Simplified => IdMerge::Simplified,
        }),
        retention_days: asked.retention_days.map(|days| (days > 0).then_some(days)),
    };
    Ok(ok(&visit.acting()?.change_project(visit.project()?.id, &change)?))
}

/// Deletes it; for thirty days it can be had back.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Password = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    Ok(ok(&visit.acting()?.delete_project(visit.project()?.id, &proof)?))
}

/// Those that can be had back.
pub(crate) fn deleted(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.deleted_projects(visit.organisation()?.id)?))
}

/// Takes one back.
pub(crate) fn undelete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.number("deleted")?;
    let here = visit.acting()?.deleted_projects(visit.organisation()?.id)?;
    if !here.iter().any(|project| project.id == id) {
        return Err(Refusal::NotFound);
    }
    Ok(ok(&visit.acting()?.undelete_project(id)?))
}

/// Where a project is to go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TransferRequest")]
pub(crate) struct Transfer {
    /// The number of the other organisation.
    organization_id: u64,
    /// The password of the person who asks; a service account leaves it out.
    password: Option<String>,
}

/// What a transfer would drop.
pub(crate) fn transfer_losses(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.transfer_losses(visit.project()?.id)?))
}

/// Hands it to another organisation.
pub(crate) fn transfer(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Transfer = document(visit)?;
    let proof = proof(visit, asked.password.as_deref())?;
    visit.acting()?.transfer_project(visit.project()?.id, asked.organization_id, &proof)?;
    Ok(done())
}
