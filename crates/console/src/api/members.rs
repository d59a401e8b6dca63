//! Calls about who belongs to an organisation or has a role in a project, and how they come in.

use forebay_control::{NewInvitation, OrganisationRole, PersonId, ProjectRole};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Answer,
    api::{created, document, done, moment, ok},
    page::members,
    refusal::Refusal,
    visit::Visit,
};

/// Who has a role in a project.
pub(crate) fn of_project(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.project_members(visit.project()?.id)?))
}

/// A role in a project.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProjectRoleOf")]
pub(crate) struct InProject {
    /// The person's number.
    person: u64,
    /// Null takes it away.
    role: Option<ProjectRole>,
}

/// Gives a person a role in a project, or takes it away.
pub(crate) fn set_in_project(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: InProject = document(visit)?;
    let (acting, project) = (visit.acting()?, visit.project()?.id);
    // Whom one does not see, one cannot give anything to.
    acting.person(PersonId(asked.person))?;
    acting.set_project_role(project, PersonId(asked.person), asked.role)?;
    Ok(done())
}

/// Whom to invite to a project.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProjectInvitation")]
pub(crate) struct InviteToProject {
    email: String,
    role: ProjectRole,
    /// Whether the link is sent to them by mail, too.
    #[serde(default)]
    mail: bool,
}

/// Invites somebody to the organisation, with a role in the project.
pub(crate) fn invite_to_project(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: InviteToProject = document(visit)?;
    let project = visit.project()?;
    let new = NewInvitation {
        organisation: project.organisation,
        email: asked.email,
        role: OrganisationRole::Member,
        project: Some((project.id, asked.role)),
        expires_at_ms: None,
    };
    send(visit, &new, asked.mail)
}

/// Makes an invitation, and has it sent where that is wanted. The code is told in either case, this once.
fn send(visit: &Visit<'_>, new: &NewInvitation, by_mail: bool) -> Result<Answer, Refusal> {
    if by_mail && !members::can_mail(visit)? {
        let why = "no mail is sent: the server runs without mail.host or console.url; leave mail out, and pass the code on";
        return Err(Refusal::Conflict(why.to_owned()));
    }
    let acting = visit.acting()?;
    let invited = acting.invite(new)?;
    if by_mail {
        acting.mail_invitation(&invited.code)?;
    }
    Ok(created(&invited))
}

/// A role in an organisation.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrganizationRoleOf")]
pub(crate) struct InOrganisation {
    role: OrganisationRole,
}

/// The member that the path names.
fn member(visit: &Visit<'_>) -> Result<PersonId, Refusal> {
    let person = PersonId(visit.number("person")?);
    let members = &visit.organisation()?.members;
    if members.iter().any(|member| member.id == person) { Ok(person) } else { Err(Refusal::NotFound) }
}

/// Gives a member another role.
pub(crate) fn set_role(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let whom = member(visit)?;
    let asked: InOrganisation = document(visit)?;
    Ok(ok(&visit.acting()?.set_organisation_role(visit.organisation()?.id, whom, asked.role)?))
}

/// Takes a member out of the organisation and its projects.
pub(crate) fn remove(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    visit.acting()?.remove_member(visit.organisation()?.id, member(visit)?)?;
    Ok(done())
}

/// The open invitations.
pub(crate) fn invitations(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(ok(&visit.acting()?.invitations(visit.organisation()?.id)?))
}

/// Whom to invite.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrganizationInvitation")]
pub(crate) struct Invite {
    email: String,
    #[serde(default)]
    role: OrganisationRole,
    /// A project of the organisation, and what they are to be there.
    project: Option<Grant>,
    /// Until when it can be taken, such as 2030-01-31T00:00:00Z; left out, for seven days.
    #[schemars(extend("format" = "date-time"))]
    expires: Option<String>,
    /// Whether the link is sent to them by mail, too.
    #[serde(default)]
    mail: bool,
}

/// A role in a project, to come with an invitation.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InvitedToProject")]
struct Grant {
    id: u64,
    role: ProjectRole,
}

/// Invites somebody. The code is told, this once.
pub(crate) fn invite(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let asked: Invite = document(visit)?;
    let new = NewInvitation {
        organisation: visit.organisation()?.id,
        email: asked.email,
        role: asked.role,
        project: asked.project.map(|grant| (grant.id, grant.role)),
        expires_at_ms: asked.expires.as_deref().map(|at| moment("expires", at)).transpose()?,
    };
    send(visit, &new, asked.mail)
}

/// Takes an invitation back.
pub(crate) fn revoke(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    visit.acting()?.revoke_invitation(visit.organisation()?.id, visit.number("invitation")?)?;
    Ok(done())
}
