//! The service-accounts API, as Mixpanel's clients know it, and what it lacks: changing an account and its secret.

use forebay_control::{Account, AccountProject, NewAccount, OrganisationRole, ProjectRole, Scope};
use forebay_record::ProjectId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::Answer,
    api::{created, document, done, keys::Follow, moment, ok},
    refusal::Refusal,
    visit::Visit,
    when,
};

/// A service account as Mixpanel's clients know it, and what Forebay's have besides.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ServiceAccount")]
pub(crate) struct Shown {
    id: u64,
    username: String,
    last_used: Option<String>,
    expires: Option<String>,
    creator: String,
    created: String,
    user: u64,
    projects: Vec<AccountProject>,
    /// What it is in its organisation.
    organization_role: OrganisationRole,
    /// What it is narrowed to; null: it may what its roles let it. `engage-read` and `gdpr` name what is still to come.
    scopes: Option<Vec<Scope>>,
}

impl Shown {
    fn of(visit: &Visit<'_>, account: &Account) -> Shown {
        Shown {
            id: account.id,
            username: account.username.clone(),
            last_used: account.last_used_ms.map(when::rfc3339),
            expires: account.expires_at_ms.map(when::rfc3339),
            creator: visit.site.name_of(&account.created_by),
            created: when::rfc3339(account.created_at_ms),
            user: account.id,
            projects: account.projects.clone(),
            organization_role: account.organisation_role,
            scopes: account.scopes.clone(),
        }
    }
}

/// Those of the organisation that the caller may know of.
fn known(visit: &Visit<'_>) -> Result<Vec<Account>, Refusal> {
    let organisation = visit.organisation()?.id;
    let accounts = visit.acting()?.list_service_accounts(None)?;
    Ok(accounts.into_iter().filter(|one| one.organisation == organisation).collect())
}

/// Lists them.
pub(crate) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&known(visit)?.iter().map(|account| Shown::of(visit, account)).collect::<Vec<_>>()))
}

/// One by its number.
fn by_id(visit: &Visit<'_>, id: u64) -> Result<Account, Refusal> {
    known(visit)?.into_iter().find(|account| account.id == id).ok_or(Refusal::NotFound)
}

/// The one that the path names.
fn named(visit: &Visit<'_>) -> Result<Account, Refusal> {
    by_id(visit, visit.number("id")?)
}

/// Shows one.
pub(crate) fn show(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&Shown::of(visit, &named(visit)?)))
}

/// A project, and what a service account is to be there.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct GivenProject {
    id: u64,
    /// Left out: the role said for all, or else consumer.
    role: Option<ProjectRole>,
}

impl GivenProject {
    fn read(&self, otherwise: Option<ProjectRole>) -> AccountProject {
        AccountProject { id: self.id, role: self.role.or(otherwise).unwrap_or(ProjectRole::Consumer) }
    }
}

/// A service account to be made.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewServiceAccount")]
pub(crate) struct Create {
    username: String,
    /// What it is to be in the projects that name no role.
    role: Option<ProjectRole>,
    /// When it stops working, such as 2030-01-31T00:00:00Z; left out: never.
    expires: Option<String>,
    #[serde(default)]
    projects: Vec<GivenProject>,
    /// What it is to be in the organisation.
    #[serde(default)]
    organization_role: OrganisationRole,
    /// What it is to be narrowed to; `engage-read` and `gdpr` name what is still to come, and let it do nothing yet.
    scopes: Option<Vec<Scope>>,
}

/// A service account just made: the only time its secret is told.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreatedServiceAccount")]
pub(crate) struct Made {
    /// The secret.
    token: String,
    #[serde(flatten)]
    account: Shown,
}

/// Makes one. Its secret is in the answer, this once.
pub(crate) fn create(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Create = document(visit)?;
    let new = NewAccount {
        username: Some(asked.username),
        secret: None,
        projects: asked.projects.iter().map(|one| one.read(asked.role)).collect(),
        expires_at_ms: asked.expires.as_deref().map(|at| moment("expires", at)).transpose()?,
        organisation: Some(visit.organisation()?.id),
        organisation_role: asked.organization_role,
        scopes: asked.scopes,
    };
    let made = visit.acting()?.create_service_account(&new)?;
    let account = known(visit)?.into_iter().find(|one| one.username == made.username);
    let account = account.ok_or(Refusal::NotFound)?;
    Ok(created(&Made { token: made.secret, account: Shown::of(visit, &account) }))
}

/// Deletes one: it stops working everywhere at once.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    visit.acting()?.delete_service_account(&named(visit)?.username)?;
    Ok(done())
}

/// What is to change of a service account; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ServiceAccountChange")]
pub(crate) struct Change {
    /// When it stops working; null: never.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    expires: Option<Option<String>>,
    organization_role: Option<OrganisationRole>,
    /// What it is narrowed to; null: it may what its roles let it, again. `engage-read` and `gdpr` let it do nothing yet.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<Vec<Scope>>")]
    scopes: Option<Option<Vec<Scope>>>,
}

/// Tells what is null from what is left out.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Changes it, one thing after the other.
pub(crate) fn change(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Change = document(visit)?;
    let (acting, account) = (visit.acting()?, named(visit)?);
    if let Some(expires) = asked.expires {
        let at_ms = expires.as_deref().map(|at| moment("expires", at)).transpose()?;
        acting.set_account_expiry(&account.username, at_ms)?;
    }
    if let Some(role) = asked.organization_role {
        acting.set_account_role(&account.username, role)?;
    }
    if let Some(scopes) = asked.scopes {
        acting.set_account_scopes(&account.username, scopes.as_deref())?;
    }
    show(visit)
}

/// How a secret is to be replaced.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RotateRequest")]
pub(crate) struct Rotate {
    /// How long the one before is taken too.
    #[serde(default)]
    grace: Follow,
}

/// Gives one another secret, which is in the answer, this once.
pub(crate) fn rotate(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Rotate = document(visit)?;
    let made = visit.acting()?.rotate_service_account(&named(visit)?.username, asked.grace.into())?;
    Ok(ok(&Made { token: made.secret, account: Shown::of(visit, &named(visit)?) }))
}

/// Which service accounts are to use which projects.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AddToProject")]
pub(crate) struct Add {
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
            acting.add_account_to_project(&account.username, project.read(None))?;
        }
    }
    Ok(done())
}

/// A project, and the service accounts that are to use it no longer.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RemovedFromProject")]
pub(crate) struct RemoveOf {
    id: u64,
    service_account_ids: Vec<u64>,
}

/// Which service accounts are to use which projects no longer.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RemoveFromProject")]
pub(crate) struct Remove {
    projects: Vec<RemoveOf>,
}

/// Takes their roles in projects away, one by one. An owner or admin of the organisation still reaches all of its projects.
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

/// A service account that may use a project, and what it is there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ServiceAccountOfProject")]
pub(crate) struct InProject {
    #[serde(flatten)]
    account: Shown,
    role: Option<ProjectRole>,
    /// 0 is an owner's.
    role_order: Option<usize>,
    target_type: &'static str,
    email: String,
    #[serde(rename = "hasSensitiveAccess")]
    has_sensitive_access: bool,
}

/// Those that may use a project, with their role there.
pub(crate) fn of_project(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?.id;
    let accounts = visit.acting()?.list_service_accounts(ProjectId::new(project))?;
    let results = accounts.iter().map(|account| {
        let role = account.projects.iter().find(|one| one.id == project).map(|one| one.role);
        InProject {
            account: Shown::of(visit, account),
            role,
            role_order: role.and_then(|role| ProjectRole::ALL.iter().rev().position(|one| *one == role)),
            target_type: "individual",
            email: account.username.clone(),
            has_sensitive_access: true,
        }
    });
    Ok(ok(&results.collect::<Vec<_>>()))
}
