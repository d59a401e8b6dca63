//! The service-accounts API, as Mixpanel's clients know it.

use forebay_control::{Account, AccountProject, NewAccount, OrganisationRole, ProjectRole, Scope};
use forebay_record::ProjectId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    api::{created, document, done, ok},
    refusal::Refusal,
    visit::Visit,
    when,
};

fn shown(visit: &Visit<'_>, account: &Account) -> Value {
    json!({
        "id": account.id, "username": account.username,
        "last_used": account.last_used_ms.map(when::rfc3339), "expires": account.expires_at_ms.map(when::rfc3339),
        "creator": visit.site.name_of(&account.created_by), "created": when::rfc3339(account.created_at_ms),
        "user": account.id, "projects": account.projects, "organization_role": account.organisation_role,
        "scopes": account.scopes,
    })
}

/// Those of the organisation that the caller may know of.
fn known(visit: &Visit<'_>) -> Result<Vec<Account>, Refusal> {
    let organisation = visit.organisation()?.id;
    let accounts = visit.acting()?.list_service_accounts(None)?;
    Ok(accounts.into_iter().filter(|one| one.organisation == organisation).collect())
}

/// Lists them.
pub(crate) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let accounts = known(visit)?;
    Ok(ok(accounts.iter().map(|account| shown(visit, account)).collect()))
}

/// One by its number.
fn by_id(visit: &Visit<'_>, id: u64) -> Result<Account, Refusal> {
    known(visit)?.into_iter().find(|account| account.id == id).ok_or(Refusal::NotFound)
}

/// Shows one.
pub(crate) fn show(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let account = by_id(visit, visit.number("id")?)?;
    Ok(ok(shown(visit, &account)))
}

#[derive(Deserialize)]
struct GivenProject {
    id: u64,
    role: Option<String>,
}

impl GivenProject {
    fn read(&self, otherwise: Option<&str>) -> Result<AccountProject, Refusal> {
        let role = self.role.as_deref().or(otherwise).unwrap_or("consumer");
        let role =
            role.parse().map_err(|error: forebay_control::NoRole| Refusal::Invalid(error.to_string()))?;
        Ok(AccountProject { id: self.id, role })
    }
}

#[derive(Deserialize)]
struct Create {
    username: String,
    role: Option<String>,
    expires: Option<String>,
    #[serde(default)]
    projects: Vec<GivenProject>,
    /// What it is to be in the organisation.
    #[serde(default)]
    organization_role: OrganisationRole,
    /// What it is narrowed to.
    scopes: Option<Vec<Scope>>,
}

/// Makes one. Its secret is in the answer, this once.
pub(crate) fn create(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Create = document(visit)?;
    let expires_at_ms = match &asked.expires {
        None => None,
        Some(text) => Some(when::parse_rfc3339(text).ok_or_else(|| {
            Refusal::Invalid(format!("expires is {text:?}: give a time such as 2030-01-31T00:00:00Z"))
        })?),
    };
    let projects =
        asked.projects.iter().map(|one| one.read(asked.role.as_deref())).collect::<Result<_, _>>()?;
    let new = NewAccount {
        username: Some(asked.username),
        secret: None,
        projects,
        expires_at_ms,
        organisation: Some(visit.organisation()?.id),
        organisation_role: asked.organization_role,
        scopes: asked.scopes,
    };
    let made = visit.acting()?.create_service_account(&new)?;
    let account = known(visit)?.into_iter().find(|one| one.username == made.username);
    let mut results = account.map_or_else(|| json!({}), |account| shown(visit, &account));
    results["token"] = made.secret.into();
    Ok(created(results))
}

/// Deletes one: it stops working everywhere at once.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let account = by_id(visit, visit.number("id")?)?;
    visit.acting()?.delete_service_account(&account.username)?;
    Ok(done())
}

#[derive(Deserialize)]
struct Add {
    projects: Vec<GivenProject>,
    service_account_ids: Vec<u64>,
}

/// Lets service accounts use projects. They are added one by one: what came before a refusal stays.
pub(crate) fn add_to_project(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Add = document(visit)?;
    let acting = visit.acting()?;
    for &id in &asked.service_account_ids {
        let account = by_id(visit, id)?;
        for project in &asked.projects {
            acting.add_account_to_project(&account.username, project.read(None)?)?;
        }
    }
    Ok(done())
}

#[derive(Deserialize)]
struct RemoveOf {
    id: u64,
    service_account_ids: Vec<u64>,
}

#[derive(Deserialize)]
struct Remove {
    projects: Vec<RemoveOf>,
}

/// Lets them use projects no longer, one by one.
pub(crate) fn remove_from_project(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Remove = document(visit)?;
    let acting = visit.acting()?;
    for project in &asked.projects {
        for &id in &project.service_account_ids {
            let account = by_id(visit, id)?;
            acting.remove_account_from_project(&account.username, project.id)?;
        }
    }
    Ok(done())
}

/// Those that may use a project, with their role there.
pub(crate) fn of_project(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?.id;
    let accounts = visit.acting()?.list_service_accounts(ProjectId::new(project))?;
    let results = accounts.iter().map(|account| {
        let role = account.projects.iter().find(|one| one.id == project).map(|one| one.role);
        let mut value = shown(visit, account);
        value["role"] = json!(role);
        value["role_order"] =
            json!(role.map(|role| ProjectRole::ALL.iter().rev().position(|one| *one == role)));
        value["target_type"] = "individual".into();
        value["email"] = account.username.clone().into();
        value["hasSensitiveAccess"] = true.into();
        value
    });
    Ok(ok(results.collect()))
}
