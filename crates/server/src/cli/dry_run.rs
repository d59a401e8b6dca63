//! What a command that deletes would take, and what stays: told instead of done, with `--dry-run`.
//!
//! # Invariants
//! * Nothing is changed here. With `--json` one object is printed, with `"dry_run": true` in it.

use super::{Common, Done, Failure};
use forebay_control::{Account, Acting, PeopleError, ProjectMember, TransferLosses};
use serde_json::json;

/// Of a project that is to be deleted.
pub(super) fn delete_project(common: &Common, host: &Acting<'_>, id: u64) -> Done {
    let project = host.project(id)?.project;
    let losses = host.transfer_losses(id)?;
    let mut out = common.out();
    if out.json {
        out.value(&json!({ "dry_run": true, "deletes": project, "access": losses }))?;
        return out.done();
    }
    out.line(&format!("would delete project {id} ({})", project.name))?;
    for token in &project.tokens {
        out.line(&format!("stops    token {} with {} events so far", token.token, token.events))?;
    }
    out.line(&format!(
        "stops    API key and secret, used {} and {} times",
        project.api_key_uses, project.api_secret_uses
    ))?;
    tell_losses(&mut out, &losses)?;
    out.line("stays    all of it, its events too, for thirty days: `forebay project undelete` has it back")?;
    out.done()
}

/// Of a project that is to be handed on.
pub(super) fn transfer_project(common: &Common, host: &Acting<'_>, id: u64, to: u64) -> Done {
    let (project, to) = (host.project(id)?.project, host.organisation(to)?);
    let losses = host.transfer_losses(id)?;
    let mut out = common.out();
    if out.json {
        let organisation = json!({ "id": to.id, "name": to.name });
        out.value(
            &json!({ "dry_run": true, "transfers": project.id, "to": organisation, "access": losses }),
        )?;
        return out.done();
    }
    out.line(&format!("would hand project {id} ({}) to organisation {} ({})", project.name, to.id, to.name))?;
    tell_losses(&mut out, &losses)?;
    out.line("stays    its events, tokens, API key and secret")?;
    out.done()
}

fn tell_losses(out: &mut super::out::Out, losses: &TransferLosses) -> Done {
    let TransferLosses { members, service_accounts, invitations } = losses;
    for ProjectMember { email, role, .. } in members {
        out.line(&format!("loses    {email}, {role}"))?;
    }
    for name in service_accounts {
        out.line(&format!("loses    service account {name}"))?;
    }
    out.line(&format!("ends     {invitations} open invitations to it"))
}

/// Of a token that is to go.
pub(super) fn remove_token(common: &Common, host: &Acting<'_>, id: u64, token: &str) -> Done {
    let project = host.project(id)?.project;
    let stays =
        project.tokens.iter().filter(|other| other.token != token && other.ends_at_ms.is_none()).count();
    let found = project.tokens.into_iter().find(|known| known.token == token);
    let found = found.ok_or_else(|| Failure::Failed(format!("project {id} has no token {token:?}")))?;
    let mut out = common.out();
    if out.json {
        out.value(&json!({ "dry_run": true, "removes": found, "other_tokens": stays }))?;
        return out.done();
    }
    out.line(&format!("would remove token {token}, with {} events so far", found.events))?;
    out.line(match stays {
        0 => "refused: the project has no other token that stays; add one first",
        _ => "events sent under it would be kept unclaimed for a while",
    })?;
    out.done()
}

/// Of an organisation that is to be deleted.
pub(super) fn delete_organisation(common: &Common, host: &Acting<'_>, id: u64) -> Done {
    let organisation = host.organisation(id)?;
    let deleted = host.deleted_projects(id)?.len();
    let accounts = accounts_of(host, id)?;
    let mut out = common.out();
    if out.json {
        out.value(&json!({
            "dry_run": true, "deletes": organisation, "deleted_projects": deleted, "service_accounts": accounts,
        }))?;
        return out.done();
    }
    out.line(&format!("would delete organisation {id} ({})", organisation.name))?;
    for member in &organisation.members {
        out.line(&format!("loses    {}, {}", member.email, member.role))?;
    }
    let (projects, accounts) = (organisation.projects, accounts.len());
    if projects + deleted as u64 + accounts as u64 > 0 {
        out.line(&format!(
            "refused: {projects} projects, {deleted} deleted ones and {accounts} service accounts are in the way"
        ))?;
    }
    out.done()
}

fn accounts_of(host: &Acting<'_>, organisation: u64) -> Result<Vec<String>, PeopleError> {
    let accounts = host.list_service_accounts(None)?.into_iter();
    Ok(accounts.filter(|one| one.organisation == organisation).map(|one| one.username).collect())
}

/// Of a person who is to be taken out of an organisation.
pub(super) fn remove_member(common: &Common, host: &Acting<'_>, id: u64, email: &str) -> Done {
    let (organisation, person) = (host.organisation(id)?, host.person_of_email(email)?);
    let member = organisation.members.iter().find(|member| member.id == person.id);
    let member = member.ok_or_else(|| PeopleError::NotAMember { who: email.to_owned(), organisation: id })?;
    let mut projects = Vec::new();
    for project in person.projects {
        if host.project(project.id)?.project.organisation == id {
            projects.push(project);
        }
    }
    let mut out = common.out();
    if out.json {
        out.value(&json!({ "dry_run": true, "removes": member, "organisation": id, "projects": projects }))?;
        return out.done();
    }
    out.line(&format!(
        "would take {email} out of organisation {id} ({}), as {}",
        organisation.name, member.role
    ))?;
    for project in &projects {
        out.line(&format!("loses    {} in project {} ({})", project.role, project.id, project.name))?;
    }
    out.line("stays    the person, and what they belong to elsewhere")?;
    out.done()
}

/// Of a service account that is to be deleted.
pub(super) fn delete_account(common: &Common, host: &Acting<'_>, username: &str) -> Done {
    let account = host.list_service_accounts(None)?.into_iter().find(|account| account.username == username);
    let not_found = || forebay_control::AccountError::NotFound { username: username.to_owned() };
    let account: Account = account.ok_or_else(not_found)?;
    let mut out = common.out();
    if out.json {
        out.value(&json!({ "dry_run": true, "deletes": account }))?;
        return out.done();
    }
    let last = account.last_used_ms.map_or_else(|| "never".to_owned(), super::out::time);
    out.line(&format!("would delete service account {username}, used {} times, last {last}", account.uses))?;
    for project in &account.projects {
        out.line(&format!("loses    {} in project {}", project.role, project.id))?;
    }
    out.done()
}
