//! Who belongs to an organisation: roles, invitations, leaving.

use askama::Template;
use forebay_control::{NewInvitation, OrganisationRole, PersonId, ProjectRole};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    page::{
        confirm::{self, Act},
        paging::{Paging, cut},
    },
    refusal::{Refusal, a},
    visit::{Visit, encoded},
    when,
};

struct Row {
    id: u64,
    name: String,
    email: String,
    role: &'static str,
    since: String,
    is_me: bool,
    /// The roles that the person who looks may give, if they may change this one.
    roles: Vec<&'static str>,
    can_remove: bool,
}

struct Open {
    id: u64,
    email: String,
    role: &'static str,
    ends: Moment,
    by: String,
}

#[derive(Template)]
#[template(path = "members.html")]
struct MembersPage<'a> {
    frame: Frame,
    organisation: u64,
    rows: Vec<Row>,
    paging: Paging,
    is_admin: bool,
    open: Vec<Open>,
    roles: Vec<&'static str>,
    email: &'a str,
    /// Invitations can be sent by mail.
    can_mail: bool,
}

/// The members, and for admins the open invitations.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let organisation = visit.organisation()?;
    let own = organisation.role;
    let me = visit.who_id();
    let is_admin = own >= OrganisationRole::Admin;
    let (members, paging) = cut(visit, organisation.members.iter().collect());
    let rows = members.into_iter().map(|member| {
        // As the store has it: below one's own, one's own, or among owners.
        let reaches = own == OrganisationRole::Owner || member.role < own || member.id == me;
        let may = is_admin && reaches;
        Row {
            id: member.id.0,
            name: member.name.clone(),
            email: member.email.clone(),
            role: member.role.as_str(),
            since: when::day(member.added_at_ms),
            is_me: member.id == me,
            roles: if may { roles_up_to(own) } else { Vec::new() },
            can_remove: may || member.id == me,
        }
    });
    let open = if is_admin { visit.acting()?.invitations(organisation.id)? } else { Vec::new() };
    let open = open.into_iter().map(|invitation| Open {
        id: invitation.id,
        email: invitation.email,
        role: invitation.role.as_str(),
        ends: Moment(invitation.expires_at_ms),
        by: visit.site.name_of(&invitation.created_by),
    });
    let page = MembersPage {
        frame: visit.frame("Members", Place::Organisation("members")),
        organisation: organisation.id,
        rows: rows.collect(),
        paging,
        is_admin,
        open: open.collect(),
        roles: roles_up_to(own),
        email: visit.form.text("email"),
        can_mail: can_mail(visit)?,
    };
    Ok(visit.page(&page))
}

/// Those that somebody of that role may give.
pub(crate) fn roles_up_to(own: OrganisationRole) -> Vec<&'static str> {
    OrganisationRole::ALL.into_iter().filter(|role| *role <= own).map(OrganisationRole::as_str).collect()
}

fn here(visit: &Visit<'_>) -> Result<String, Refusal> {
    Ok(format!("/console/organisations/{}/members", visit.organisation()?.id))
}

/// Gives a member another role.
pub(crate) fn set_role(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let whom = PersonId(visit.number("person")?);
    let set = role_of(visit.form.text("role"))
        .and_then(|role| Ok(visit.acting()?.set_organisation_role(visit.organisation()?.id, whom, role)?));
    match set {
        Ok(_) => Ok(visit.done(&here(visit)?, "role-changed")),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// An organisation's role, as a form has it.
pub(crate) fn role_of(word: &str) -> Result<OrganisationRole, Refusal> {
    word.parse().map_err(|error: forebay_control::NoRole| Refusal::Invalid(error.to_string()))
}

/// Asks whether somebody is to be removed, or whether one leaves.
pub(crate) fn remove_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = remove_act(visit)?;
    Ok(confirm::page(visit, Place::Organisation("members"), act))
}

/// Removes them.
pub(crate) fn remove(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let whom = PersonId(visit.number("person")?);
    let removed = remove_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        Ok(visit.acting()?.remove_member(visit.organisation()?.id, whom)?)
    });
    match removed {
        Ok(()) if whom == visit.who_id() => Ok(visit.done("/console/organisations", "left")),
        Ok(()) => Ok(visit.done(&here(visit)?, "member-removed")),
        Err(refusal) => visit.again(refusal, remove_page),
    }
}

fn remove_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let organisation = visit.organisation()?;
    let whom = PersonId(visit.number("person")?);
    let found = organisation.members.iter().find(|member| member.id == whom);
    let member = found.ok_or(Refusal::NotFound)?;
    let leaves = whom == visit.who_id();
    let here = here(visit)?;
    let who = if leaves { "You".to_owned() } else { member.name.clone() };
    Ok(Act {
        title: if leaves {
            format!("Leave {}", organisation.name)
        } else {
            format!("Remove {} from {}", member.name, organisation.name)
        },
        affected: vec![format!("{} ({}), {} here.", who, member.email, a(member.role.as_str()))],
        happens: vec![
            format!(
                "Access to the organisation and to all {} ends at once.",
                when::of(organisation.projects, "project")
            ),
            "Projects, events and service accounts stay as they are.".to_owned(),
        ],
        undo: "By inviting them again. Roles in projects have to be given again, too.".to_owned(),
        word: member.email.clone(),
        word_is: "the e-mail address",
        button: if leaves { "Leave" } else { "Remove" },
        action: format!("{here}/{whom}/remove"),
        back: here,
        ..Act::default()
    })
}

#[derive(Template)]
#[template(path = "invited.html")]
struct InvitedPage {
    frame: Frame,
    email: String,
    mailed: bool,
    link: String,
    ends: Moment,
    back: String,
}

/// Whether mail is sent, and it is known under which address its readers find this console.
pub(crate) fn can_mail(visit: &Visit<'_>) -> Result<bool, Refusal> {
    let channels = visit.control().channels()?;
    Ok(channels.mail && channels.console_url.is_some())
}

/// Makes an invitation and shows its link, this once.
pub(crate) fn invite(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let invited = role_of(visit.form.text("role")).and_then(|role| {
        let organisation = visit.organisation()?.id;
        invite_to(visit, organisation, visit.form.text("email"), role, None)
    });
    match invited {
        Ok(invited) => show_invited(visit, invited, Place::Organisation("members"), here(visit)?),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// Makes an invitation.
pub(crate) fn invite_to(
    visit: &Visit<'_>,
    organisation: u64,
    email: &str,
    role: OrganisationRole,
    project: Option<(u64, ProjectRole)>,
) -> Result<forebay_control::Invited, Refusal> {
    let new = NewInvitation { organisation, email: email.to_owned(), role, project, expires_at_ms: None };
    Ok(visit.acting()?.invite(&new)?)
}

/// Shows an invitation's link, this once.
pub(crate) fn show_invited(
    visit: &Visit<'_>,
    invited: forebay_control::Invited,
    place: Place,
    back: String,
) -> Result<Answer, Refusal> {
    let mailed = visit.form.is_on("by_mail") && visit.acting()?.mail_invitation(&invited.code)?;
    let page = InvitedPage {
        mailed,
        frame: visit.frame("Pass this link on", place),
        email: invited.invitation.email,
        link: format!("{}/console/invitation?code={}", visit.origin(), encoded(&invited.code)),
        ends: Moment(invited.invitation.expires_at_ms),
        back,
    };
    Ok(visit.page(&page))
}

/// Takes an invitation back.
pub(crate) fn revoke(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    match visit.acting()?.revoke_invitation(visit.organisation()?.id, visit.number("invitation")?) {
        Ok(()) => Ok(visit.done(&here(visit)?, "invitation-revoked")),
        Err(error) => visit.again(error.into(), page),
    }
}
