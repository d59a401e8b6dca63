//! A project's service accounts: machines that read and import, each with a role and a secret of its own.

use askama::Template;
use forebay_control::{
    Account, AccountProject, CreatedAccount, NewAccount, NoRole, OrganisationRole, ProjectRole, Scope,
};
use forebay_record::ProjectId;

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    page::{
        account_uses,
        confirm::{self, Act},
        keys::grace_of,
        members,
        paging::{Paging, cut},
    },
    refusal::Refusal,
    visit::{Visit, encoded},
    when,
};

const DAY_MS: u64 = 24 * 3_600_000;

struct Row {
    username: String,
    encoded: String,
    role: &'static str,
    /// How many other projects it may use.
    others: usize,
    expires: String,
    /// As the field of a form has it.
    expires_at: String,
    used: String,
    by: String,
    former: Option<String>,
    /// What it is narrowed to, and each scope with whether it is one of them.
    narrowed: Option<String>,
    scopes: Vec<(Offered, bool)>,
    /// What it is in the organisation, and what whoever looks may make it there.
    organisation_role: &'static str,
    organisation_roles: Vec<&'static str>,
}

/// A scope that can be ticked.
struct Offered {
    word: &'static str,
    label: String,
}

impl Offered {
    fn of(scope: Scope) -> Offered {
        Offered { word: scope.as_str(), label: scope.for_people() }
    }
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage<'a> {
    frame: Frame,
    base: String,
    rows: Vec<Row>,
    paging: Paging,
    roles: Vec<&'static str>,
    scopes: [Offered; 4],
    username: &'a str,
    /// Those of the organisation that could use this project, too.
    others: Vec<String>,
    zone: &'a str,
}

/// All of them.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?.id;
    let own = visit.project_role()?;
    let in_organisation = visit.acting()?.organisation(visit.project()?.organisation)?.role;
    let (accounts, paging) = cut(visit, visit.acting()?.list_service_accounts(ProjectId::new(project))?);
    let times = visit.times();
    let row = |account: Account| {
        let role =
            account.projects.iter().find(|one| one.id == project).map_or("none", |one| one.role.as_str());
        Row {
            encoded: encoded(&account.username),
            role,
            others: account.projects.len().saturating_sub(1),
            expires: times.minute_or(account.expires_at_ms, "never"),
            expires_at: account.expires_at_ms.map(|end| times.field(end)).unwrap_or_default(),
            used: times.minute_or(account.last_used_ms, "never"),
            by: visit.site.name_of(&account.created_by),
            former: account
                .former_ends_at_ms
                .filter(|&end| end > visit.now_ms())
                .map(|end| times.minute(end)),
            narrowed: account.scopes.as_ref().map(|scopes| words(scopes)),
            scopes: Scope::ALL
                .map(|scope| {
                    (Offered::of(scope), account.scopes.as_ref().is_some_and(|all| all.contains(&scope)))
                })
                .into_iter()
                .collect(),
            organisation_role: account.organisation_role.as_str(),
            // As the store has it: an admin's, and nobody above themselves.
            organisation_roles: if in_organisation >= OrganisationRole::Admin.max(account.organisation_role) {
                members::roles_up_to(in_organisation)
            } else {
                Vec::new()
            },
            username: account.username,
        }
    };
    let page = AccountsPage {
        frame: visit.frame("Service accounts", Place::Project("accounts")),
        base: here(visit)?,
        rows: accounts.into_iter().map(row).collect(),
        paging,
        scopes: Scope::ALL.map(Offered::of),
        roles: ProjectRole::ALL.into_iter().filter(|role| *role <= own).map(ProjectRole::as_str).collect(),
        username: visit.form.text("username"),
        others: account_uses::others(visit)?,
        zone: &visit.project()?.timezone,
    };
    Ok(visit.page(&page))
}

pub(super) fn here(visit: &Visit<'_>) -> Result<String, Refusal> {
    Ok(format!("/console/projects/{}/accounts", visit.project()?.id))
}

#[derive(Template)]
#[template(path = "account_secret.html")]
struct SecretPage {
    frame: Frame,
    username: String,
    secret: String,
    former_end: Option<String>,
    curl: String,
    back: String,
}

fn show(visit: &Visit<'_>, title: &str, created: CreatedAccount) -> Result<Answer, Refusal> {
    let page = SecretPage {
        frame: visit.frame(title, Place::Project("accounts")),
        curl: format!("curl -u '{}:SECRET' {}/api/app/me", created.username, visit.senders_url()),
        former_end: created.former_ends_at_ms.map(|end_ms| visit.times().minute(end_ms)),
        back: here(visit)?,
        username: created.username,
        secret: created.secret,
    };
    Ok(visit.page(&page))
}

/// Makes one, and shows its secret, this once.
pub(crate) fn create(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let made = role_of(visit.form.text("role")).and_then(|role| {
        let project = visit.project()?;
        let days = visit.form.number("days").filter(|days| (1..=3650).contains(days));
        let new = NewAccount {
            username: visit.form.given("username").map(str::to_owned),
            secret: None,
            projects: vec![AccountProject { id: project.id, role }],
            expires_at_ms: days.map(|days| visit.now_ms() + days * DAY_MS),
            organisation: Some(project.organisation),
            scopes: scopes_of(visit)?,
            ..NewAccount::default()
        };
        Ok(visit.acting()?.create_service_account(&new)?)
    });
    match made {
        Ok(created) => show(visit, "A new service account", created),
        Err(refusal) => visit.again(refusal, page),
    }
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.for_people()).collect::<Vec<_>>().join(", ")
}

/// The scopes that were ticked; none: it is not narrowed.
fn scopes_of(visit: &Visit<'_>) -> Result<Option<Vec<Scope>>, Refusal> {
    let ticked = visit.form.iter().filter(|(name, _)| *name == "scope").map(|(_, word)| word.parse());
    let scopes = ticked.collect::<Result<Vec<Scope>, NoRole>>();
    let scopes = scopes.map_err(|error| Refusal::Invalid(error.to_string()))?;
    Ok((!scopes.is_empty()).then_some(scopes))
}

/// Narrows one, or no longer.
pub(crate) fn narrow(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let narrowed = scopes_of(visit).and_then(|scopes| {
        Ok(visit.acting()?.set_account_scopes(&account(visit)?.username, scopes.as_deref())?)
    });
    match narrowed {
        Ok(_) => Ok(visit.done(&here(visit)?, "account-narrowed")),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// Gives one another role in its organisation.
pub(crate) fn set_role(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let set = members::role_of(visit.form.text("role"))
        .and_then(|role| Ok(visit.acting()?.set_account_role(&account(visit)?.username, role)?));
    match set {
        Ok(_) => Ok(visit.done(&here(visit)?, "role-changed")),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// A project's role, as a form has it.
pub(crate) fn role_of(word: &str) -> Result<ProjectRole, Refusal> {
    word.parse().map_err(|error: NoRole| Refusal::Invalid(error.to_string()))
}

/// The account that the path names, if it may use this project.
pub(super) fn account(visit: &Visit<'_>) -> Result<Account, Refusal> {
    let accounts = visit.acting()?.list_service_accounts(ProjectId::new(visit.project()?.id))?;
    accounts.into_iter().find(|one| one.username == visit.part("account")).ok_or(Refusal::NotFound)
}

/// Gives one another secret, and shows it; the old one is taken for a while.
pub(crate) fn rotate(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let rotated = grace_of(visit.form.text("grace"))
        .and_then(|grace| Ok(visit.acting()?.rotate_service_account(&account(visit)?.username, grace)?));
    match rotated {
        Ok(created) => show(visit, "A new secret", created),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// Asks whether one is to be deleted.
pub(crate) fn delete_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = delete_act(visit)?;
    Ok(confirm::page(visit, Place::Project("accounts"), act))
}

/// Deletes it, or takes it out of this project.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let deleted = delete_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        Ok(visit.acting()?.delete_service_account(&act.word)?)
    });
    match deleted {
        Ok(()) => Ok(visit.done(&here(visit)?, "account-deleted")),
        Err(refusal) => visit.again(refusal, delete_page),
    }
}

fn delete_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let account = account(visit)?;
    let here = here(visit)?;
    let used = visit.times().used(account.uses, "request", account.last_used_ms);
    Ok(Act {
        title: "Delete a service account".to_owned(),
        affected: vec![
            format!("Whatever signs in as it: {used}."),
            format!("It may use {}.", when::of(account.projects.len() as u64, "project")),
        ],
        happens: vec![
            "It stops working everywhere at once. To end it here alone, take it out of this project."
                .to_owned(),
        ],
        undo: "No. Another one can be made, with another secret.".to_owned(),
        action: format!("{here}/{}/delete", encoded(&account.username)),
        word: account.username,
        word_is: "its name",
        button: "Delete service account",
        back: here,
        ..Act::default()
    })
}
