//! Organisations: the list, and one of them with its rules.

use askama::Template;
use forebay_control::{Organisation, OrganisationRole};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    page::confirm::{self, Act, PASSWORD},
    refusal::{Refusal, a},
    visit::Visit,
    when,
};

struct Row {
    id: u64,
    name: String,
    role: &'static str,
    projects: u64,
    members: usize,
}

#[derive(Template)]
#[template(path = "organisations.html")]
struct ListPage<'a> {
    frame: Frame,
    rows: Vec<Row>,
    name: &'a str,
}

/// Those one belongs to.
pub(crate) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let rows = visit.acting()?.organisations()?.into_iter().map(|organisation| Row {
        id: organisation.id,
        name: organisation.name,
        role: organisation.role.as_str(),
        projects: organisation.projects,
        members: organisation.members.len(),
    });
    let page = ListPage {
        frame: visit.frame("Organisations", Place::Organisations),
        rows: rows.collect(),
        name: visit.form.text("name"),
    };
    Ok(visit.page(&page))
}

/// Makes one, owned by whoever makes it.
pub(crate) fn create(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    match visit.acting()?.create_organisation(visit.form.text("name"), None) {
        Ok(made) => Ok(visit.done(&format!("/console/organisations/{}", made.id), "organisation-created")),
        Err(error) => visit.again(error.into(), list),
    }
}

#[derive(Template)]
#[template(path = "organisation.html")]
struct OrganisationPage<'a> {
    frame: Frame,
    organisation: &'a Organisation,
    since: Moment,
    is_admin: bool,
    is_owner: bool,
    deleted: Vec<Deleted>,
}

/// A project that can be had back.
struct Deleted {
    id: u64,
    name: String,
    when: Moment,
    by: String,
    until: String,
}

/// One of them.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let organisation = visit.organisation()?;
    let is_admin = organisation.role >= OrganisationRole::Admin;
    let deleted = if is_admin { visit.acting()?.deleted_projects(organisation.id)? } else { Vec::new() };
    let deleted = deleted.into_iter().map(|project| Deleted {
        id: project.id,
        name: project.name,
        when: Moment(project.deleted_at_ms),
        by: visit.site.name_of(&project.deleted_by),
        until: when::day(project.purged_at_ms),
    });
    let page = OrganisationPage {
        frame: visit.frame(&organisation.name, Place::Organisation("")),
        since: Moment(organisation.created_at_ms),
        is_admin,
        is_owner: organisation.role >= OrganisationRole::Owner,
        deleted: deleted.collect(),
        organisation,
    };
    Ok(visit.page(&page))
}

/// Takes another name.
pub(crate) fn rename(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.organisation()?.id;
    match visit.acting()?.rename_organisation(id, visit.form.text("name")) {
        Ok(_) => Ok(visit.done(&format!("/console/organisations/{id}"), "saved")),
        Err(error) => visit.again(error.into(), page),
    }
}

/// Asks everybody for a second factor, or no longer.
pub(crate) fn require_second_factor(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.organisation()?.id;
    match visit.acting()?.require_two_factor(id, visit.form.is_on("required")) {
        Ok(_) => Ok(visit.done(&format!("/console/organisations/{id}"), "saved")),
        Err(error) => visit.again(error.into(), page),
    }
}

/// Takes a deleted project back.
pub(crate) fn undelete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.organisation()?.id;
    match visit.acting()?.undelete_project(visit.number("deleted")?) {
        Ok(_) => Ok(visit.done(&format!("/console/organisations/{id}"), "project-back")),
        Err(error) => visit.again(error.into(), page),
    }
}

/// Asks whether it is to be deleted.
pub(crate) fn delete_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = delete_act(visit)?;
    Ok(confirm::page(visit, Place::Organisation(""), act))
}

/// Deletes it, if nothing is left in it.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let id = visit.organisation()?.id;
    let deleted = delete_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        let proof = acting.prove_password(visit.form.raw(PASSWORD))?;
        Ok(acting.delete_organisation(id, &proof)?)
    });
    match deleted {
        Ok(()) => Ok(visit.done("/console/organisations", "organisation-deleted")),
        Err(refusal) => visit.again(refusal, delete_page),
    }
}

fn delete_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let (organisation, acting) = (visit.organisation()?, visit.acting()?);
    let accounts = acting.list_service_accounts(None)?;
    let accounts = accounts.iter().filter(|one| one.organisation == organisation.id).count() as u64;
    let deleted = acting.deleted_projects(organisation.id)?.len() as u64;
    let left =
        [(organisation.projects, "project"), (deleted, "deleted project"), (accounts, "service account")];
    let left: Vec<_> = left.iter().filter(|(n, _)| *n > 0).map(|&(n, thing)| when::of(n, thing)).collect();
    let here = format!("/console/organisations/{}", organisation.id);
    Ok(Act {
        title: format!("Delete {}", organisation.name),
        affected: affected(organisation, visit),
        happens: vec![if left.is_empty() {
            "It ends at once, with its open invitations. What was done in it stays in the audit.".to_owned()
        } else {
            format!(
                "Nothing yet: {} left in it. Hand those on or delete them first; a deleted project is gone for good after \
                 thirty days.",
                left.join(", ")
            )
        }],
        undo: "No.".to_owned(),
        word: organisation.name.clone(),
        word_is: "the organisation's name",
        button: "Delete organisation",
        action: format!("{here}/delete"),
        back: here,
        asks_password: true,
        ..Act::default()
    })
}

/// So many members are named; of the others it is said how many there are.
const MEMBERS_NAMED: usize = 20;

/// Who loses access, a line each.
fn affected(organisation: &Organisation, visit: &Visit<'_>) -> Vec<String> {
    let lines = organisation.members.iter().take(MEMBERS_NAMED).map(|member| {
        let who = if member.id == visit.who_id() { "You" } else { &member.name };
        format!("{who} ({}), {} here.", member.email, a(member.role.as_str()))
    });
    let mut lines: Vec<_> = lines.collect();
    if let Some(more) = organisation.members.len().checked_sub(MEMBERS_NAMED).filter(|more| *more > 0) {
        lines.push(format!("And {}.", when::of(more as u64, "more member")));
    }
    lines
}
