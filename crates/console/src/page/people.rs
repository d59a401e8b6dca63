//! Who has a role in a project, and how they got it.

use std::collections::HashSet;

use askama::Template;
use forebay_control::{PersonId, ProjectRole};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    page::{
        accounts::role_of,
        members,
        paging::{Paging, cut},
    },
    refusal::{Refusal, a},
    visit::Visit,
};

struct Row {
    id: u64,
    name: String,
    email: String,
    role: &'static str,
    how: String,
    /// What stands in the form: the role given here, or none.
    given: &'static str,
    can_change: bool,
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage<'a> {
    frame: Frame,
    base: String,
    rows: Vec<Row>,
    paging: Paging,
    roles: Vec<&'static str>,
    is_admin: bool,
    /// Those of the organisation who have no role here yet.
    others: Vec<(u64, String)>,
    can_invite: bool,
    /// Invitations can be sent by mail.
    can_mail: bool,
    email: &'a str,
}

/// All of them.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let own = visit.project_role()?;
    let acting = visit.acting()?;
    let members = acting.project_members(project.id)?;
    let is_admin = own >= ProjectRole::Admin;
    let rows: Vec<_> = members
        .iter()
        .map(|member| {
            let implied = member.organisation_role.implies();
            let how = match (member.given, implied) {
                (Some(given), Some(_)) if given >= member.role => "given here".to_owned(),
                (_, Some(_)) => format!("as {} of the organisation", a(member.organisation_role.as_str())),
                _ => "given here".to_owned(),
            };
            // As the store has it: below one's own, or among owners, or one's own.
            let reaches = member.given.is_none_or(|given| given < own || own == ProjectRole::Owner);
            Row {
                id: member.id.0,
                name: member.name.clone(),
                email: member.email.clone(),
                role: member.role.as_str(),
                how,
                given: member.given.map_or("none", ProjectRole::as_str),
                can_change: is_admin && (reaches || member.id == visit.who_id()),
            }
        })
        .collect();
    let organisation = acting.organisation(project.organisation)?;
    let have: HashSet<u64> = rows.iter().map(|row| row.id).collect();
    let others = organisation.members.iter().filter(|member| !have.contains(&member.id.0));
    let (rows, paging) = cut(visit, rows);
    let page = PeoplePage {
        frame: visit.frame("Members", Place::Project("members")),
        base: here(visit)?,
        roles: ProjectRole::ALL.into_iter().filter(|role| *role <= own).map(ProjectRole::as_str).collect(),
        is_admin,
        others: others.map(|member| (member.id.0, format!("{} ({})", member.name, member.email))).collect(),
        can_invite: organisation.role >= forebay_control::OrganisationRole::Admin,
        can_mail: members::can_mail(visit)?,
        email: visit.form.text("email"),
        rows,
        paging,
    };
    Ok(visit.page(&page))
}

fn here(visit: &Visit<'_>) -> Result<String, Refusal> {
    Ok(format!("/console/projects/{}/members", visit.project()?.id))
}

/// Gives somebody of the organisation a role here, or takes it away.
pub(crate) fn set_role(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let word = visit.form.text("role");
    let role = if word == "none" { Ok(None) } else { role_of(word).map(Some) };
    let set = role.and_then(|role| {
        let person = visit.form.number("person");
        let whom = person.ok_or_else(|| Refusal::Invalid("choose somebody".to_owned()))?;
        Ok(visit.acting()?.set_project_role(visit.project()?.id, PersonId(whom), role)?)
    });
    match set {
        Ok(()) => Ok(visit.done(&here(visit)?, "role-changed")),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// Invites somebody new to the organisation, with a role here.
pub(crate) fn invite(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let invited = role_of(visit.form.text("role")).and_then(|role| {
        let project = visit.project()?;
        let member = forebay_control::OrganisationRole::Member;
        let email = visit.form.text("email");
        members::invite_to(visit, project.organisation, email, member, Some((project.id, role)))
    });
    match invited {
        Ok(invited) => members::show_invited(visit, invited, Place::Project("members"), here(visit)?),
        Err(refusal) => visit.again(refusal, page),
    }
}
