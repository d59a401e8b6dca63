//! Organisations: the list, and one of them with its rules.

use askama::Template;
use forebay_control::{Organisation, OrganisationRole};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    refusal::Refusal,
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
    since: String,
    is_admin: bool,
    deleted: Vec<Deleted>,
}

/// A project that can be had back.
struct Deleted {
    id: u64,
    name: String,
    when: String,
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
        when: when::minute(project.deleted_at_ms),
        by: visit.site.name_of(&project.deleted_by),
        until: when::day(project.purged_at_ms),
    });
    let page = OrganisationPage {
        frame: visit.frame(&organisation.name, Place::Organisation("")),
        since: when::minute(organisation.created_at_ms),
        is_admin,
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
