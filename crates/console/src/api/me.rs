//! `/api/app/me`: who one is and what one may see. Clients use it to find out whether a credential is any good.

use std::collections::BTreeMap;

use forebay_control::{Account, Organisation, ProjectView};
use serde_json::{Value, json};

use crate::{answer::Answer, api::ok, refusal::Refusal, visit::Visit};

/// Answers it.
pub(crate) fn me(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (id, email, name) = match &visit.account {
        Some(account) => (account.id, &account.username, &account.username),
        None => {
            let person = &visit.who()?.person;
            (person.id.0, &person.email, &person.name)
        }
    };
    let organisations: BTreeMap<String, Value> = organisations(visit)?
        .into_iter()
        .map(|one| {
            let value = json!({ "id": one.id, "name": one.name, "role": one.role, "permissions": [] });
            (one.id.to_string(), value)
        })
        .collect();
    let projects: BTreeMap<String, Value> = projects(visit)?
        .into_iter()
        .map(|ProjectView { project, role }| {
            let value = json!({
                "name": project.name, "organization_id": project.organisation, "timezone": project.timezone,
                "domain": visit.senders_url(), "type": "PROJECT", "has_workspaces": false, "role": role,
            });
            (project.id.to_string(), value)
        })
        .collect();
    // Of a person: a service account sets nothing for itself.
    let preferences = match visit.account {
        Some(_) => None,
        None => Some(visit.acting()?.preferences(visit.who_id())?),
    };
    let scopes = visit.account.as_ref().and_then(|account| account.scopes.as_ref());
    Ok(ok(json!({
        "user_id": id, "user_email": email, "user_name": name, "organizations": organisations,
        "projects": projects, "workspaces": {}, "scopes": scopes, "preferences": preferences,
    })))
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
