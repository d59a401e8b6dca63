//! `/api/app/me`: who one is and what one may see. Clients use it to find out whether a credential is any good.

use std::collections::BTreeMap;

use forebay_control::Account;
use serde_json::{Value, json};

use crate::{answer::Answer, api::ok, refusal::Refusal, visit::Visit};

/// Answers it.
pub(crate) fn me(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    if let Some(account) = &visit.account {
        return of_account(visit, account);
    }
    let person = &visit.who()?.person;
    let acting = visit.acting()?;
    let organisations: BTreeMap<String, Value> = acting
        .organisations()?
        .into_iter()
        .map(|one| {
            let value = json!({ "id": one.id, "name": one.name, "role": one.role, "permissions": [] });
            (one.id.to_string(), value)
        })
        .collect();
    let projects: BTreeMap<String, Value> = acting
        .projects()?
        .into_iter()
        .map(|view| {
            let value = json!({
                "name": view.project.name, "organization_id": view.project.organisation,
                "timezone": view.project.timezone, "domain": visit.senders_url(), "type": "PROJECT",
                "has_workspaces": false, "role": view.role,
            });
            (view.project.id.to_string(), value)
        })
        .collect();
    Ok(ok(json!({
        "user_id": person.id, "user_email": person.email, "user_name": person.name,
        "organizations": organisations, "projects": projects, "workspaces": {},
    })))
}

/// The same for a service account.
fn of_account(visit: &Visit<'_>, account: &Account) -> Result<Answer, Refusal> {
    let host = visit.control().host();
    let organisation = host.organisation(account.organisation)?;
    let mut projects = BTreeMap::new();
    for given in &account.projects {
        let project = host.project(given.id)?.project;
        let value = json!({
            "name": project.name, "organization_id": project.organisation, "timezone": project.timezone,
            "domain": visit.senders_url(), "type": "PROJECT", "has_workspaces": false, "role": given.role,
        });
        projects.insert(project.id.to_string(), value);
    }
    let organisations = json!({
        organisation.id.to_string(): {
            "id": organisation.id, "name": organisation.name, "role": "member", "permissions": [],
        },
    });
    Ok(ok(json!({
        "user_id": account.id, "user_email": account.username, "user_name": account.username,
        "organizations": organisations, "projects": projects, "workspaces": {},
    })))
}
