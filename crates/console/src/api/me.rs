//! `/api/app/me`: who one is and what one may see. Clients use it to find out whether a credential is any good.

use std::collections::BTreeMap;

use forebay_control::{
    Account, Organisation, OrganisationRole, Preferences, ProjectRole, ProjectView, Scope,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{answer::Answer, api::ok, refusal::Refusal, visit::Visit};

/// Who asks, and what they may see, by number as text.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Me {
    user_id: u64,
    user_email: String,
    user_name: String,
    organizations: BTreeMap<String, InOrganisation>,
    projects: BTreeMap<String, InProject>,
    /// Always empty: there are none here.
    workspaces: BTreeMap<String, u64>,
    /// What a service account is narrowed to, if it is.
    scopes: Option<Vec<Scope>>,
    /// What a person set for themselves.
    preferences: Option<Preferences>,
}

/// An organisation that one belongs to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrganizationOfMe")]
struct InOrganisation {
    id: u64,
    name: String,
    role: OrganisationRole,
    /// Always empty: the role says it all.
    permissions: Vec<String>,
}

/// A project that one has a role in.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectOfMe")]
struct InProject {
    name: String,
    organization_id: u64,
    timezone: String,
    domain: String,
    #[serde(rename = "type")]
    kind: &'static str,
    has_workspaces: bool,
    role: ProjectRole,
}

/// Answers it.
pub(crate) fn me(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (user_id, email, name) = match &visit.account {
        Some(account) => (account.id, &account.username, &account.username),
        None => {
            let person = &visit.who()?.person;
            (person.id.0, &person.email, &person.name)
        }
    };
    let organizations = organisations(visit)?.into_iter().map(|one| {
        let shown = InOrganisation { id: one.id, name: one.name, role: one.role, permissions: Vec::new() };
        (one.id.to_string(), shown)
    });
    let projects = projects(visit)?.into_iter().map(|ProjectView { project, role }| {
        let shown = InProject {
            name: project.name,
            organization_id: project.organisation,
            timezone: project.timezone,
            domain: visit.senders_url(),
            kind: "PROJECT",
            has_workspaces: false,
            role,
        };
        (project.id.to_string(), shown)
    });
    // Of a person: a service account sets nothing for itself.
    let preferences = match visit.account {
        Some(_) => None,
        None => Some(visit.acting()?.preferences(visit.who_id())?),
    };
    Ok(ok(&Me {
        user_id,
        user_email: email.clone(),
        user_name: name.clone(),
        organizations: organizations.collect(),
        projects: projects.collect(),
        workspaces: BTreeMap::new(),
        scopes: visit.account.as_ref().and_then(|account| account.scopes.clone()),
        preferences,
    }))
}

/// The service account that asks, if it is narrowed: it may do nothing here, and is still told what it is good for.
fn narrowed<'v>(visit: &'v Visit<'_>) -> Option<&'v Account> {
    visit.account.as_ref().filter(|account| account.scopes.is_some())
}

fn organisations(visit: &Visit<'_>) -> Result<Vec<Organisation>, Refusal> {
    let Some(account) = narrowed(visit) else { return Ok(visit.acting()?.organisations()?) };
    let organisation = visit.control().host().organisation(account.organisation)?;
    Ok(vec![Organisation { role: account.organisation_role, ..organisation }])
}

fn projects(visit: &Visit<'_>) -> Result<Vec<ProjectView>, Refusal> {
    let Some(account) = narrowed(visit) else { return Ok(visit.acting()?.projects()?) };
    let all = visit.control().host().projects()?.into_iter();
    let seen = all.filter_map(|ProjectView { project, .. }| {
        let given = account.projects.iter().find(|given| given.id == project.id).map(|given| given.role);
        let implied =
            account.organisation_role.implies().filter(|_| project.organisation == account.organisation);
        Some(ProjectView { role: given.max(implied)?, project })
    });
    Ok(seen.collect())
}
