//! One's own settings: profile, password, sessions, deleting the account.

use askama::Template;
use forebay_control::{HandOver, OrganisationRole, Outcome, Person, PersonChange, PersonId};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    moment::Moment,
    page::{
        confirm::{self, Act, Choice, PASSWORD},
        joining::repeated,
        paging::{Paging, cut},
    },
    refusal::{Refusal, a},
    session::Cookie,
    visit::Visit,
    when,
};

struct Role {
    id: u64,
    name: String,
    role: &'static str,
    how: &'static str,
}

#[derive(Template)]
#[template(path = "me.html")]
struct ProfilePage<'a> {
    frame: Frame,
    person: &'a Person,
    since: Moment,
    organisations: Vec<Role>,
    projects: Vec<Role>,
}

/// Name, address, organisations and projects, with the roles there and how one got them.
pub(crate) fn profile(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let person = &visit.who()?.person;
    let organisations = person.organisations.iter().map(|membership| Role {
        id: membership.id,
        name: membership.name.clone(),
        role: membership.role.as_str(),
        how: match membership.role {
            OrganisationRole::Member => "projects are shared one by one",
            OrganisationRole::Admin => "makes you an admin of every project in it",
            OrganisationRole::Owner => "makes you an owner of every project in it",
        },
    });
    let projects = person.projects.iter().map(|membership| Role {
        id: membership.id,
        name: membership.name.clone(),
        role: membership.role.as_str(),
        how: "given to you in the project",
    });
    let page = ProfilePage {
        frame: visit.frame("Your profile", Place::Me("")),
        person,
        since: Moment(person.created_at_ms),
        organisations: organisations.collect(),
        projects: projects.collect(),
    };
    Ok(visit.page(&page))
}

/// Takes another name.
pub(crate) fn rename(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let change = PersonChange { name: Some(visit.form.text("name").to_owned()), email: None };
    match visit.acting()?.change_person(visit.who()?.person.id, &change, None) {
        Ok(_) => Ok(visit.done("/console/me", "saved")),
        Err(error) => visit.again(error.into(), profile),
    }
}

/// Takes another address, with the password.
pub(crate) fn change_email(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let change = PersonChange { name: None, email: Some(visit.form.text("email").to_owned()) };
    let acting = visit.acting()?;
    let changed = acting
        .prove_password(visit.form.raw(PASSWORD))
        .and_then(|proof| acting.change_person(visit.who_id(), &change, Some(&proof)));
    match changed {
        Ok(_) => Ok(visit.done("/console/me", "saved")),
        Err(error) => visit.again(error.into(), profile),
    }
}

#[derive(Template)]
#[template(path = "me_password.html")]
struct PasswordPage {
    frame: Frame,
}

/// Asks for another password.
pub(crate) fn password_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    Ok(visit.page(&PasswordPage { frame: visit.frame("Password", Place::Me("password")) }))
}

/// Takes it; all other sessions end.
pub(crate) fn change_password(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (acting, signed) = (visit.acting()?, visit.who()?);
    let changed = repeated(visit).and_then(|()| {
        let proof = acting.prove_password(visit.form.raw(PASSWORD))?;
        let new = visit.form.raw("password");
        Ok(acting.set_password(signed.person.id, new, Some(&signed.session), &proof)?)
    });
    match changed {
        Ok(()) => Ok(visit.done("/console/me/password", "password-changed")),
        Err(refusal) => visit.again(refusal, password_page),
    }
}

struct SessionRow {
    since: Moment,
    seen: Moment,
    address: String,
    user_agent: String,
    is_this: bool,
}

#[derive(Template)]
#[template(path = "me_sessions.html")]
struct SessionsPage {
    frame: Frame,
    sessions: Vec<SessionRow>,
    paging: Paging,
}

/// Where one is signed in.
pub(crate) fn sessions(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let signed = visit.who()?;
    let (sessions, paging) = cut(visit, visit.acting()?.sessions(signed.person.id)?);
    let rows = sessions.into_iter().map(|session| SessionRow {
        since: Moment(session.created_at_ms),
        seen: Moment(session.last_seen_ms),
        is_this: session.id == signed.session.id,
        address: session.address,
        user_agent: session.user_agent,
    });
    let page = SessionsPage {
        frame: visit.frame("Sessions", Place::Me("sessions")),
        sessions: rows.collect(),
        paging,
    };
    Ok(visit.page(&page))
}

/// Ends all sessions but this one.
pub(crate) fn end_sessions(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let signed = visit.who()?;
    visit.acting()?.end_sessions(signed.person.id, Some(&signed.session))?;
    Ok(visit.done("/console/me/sessions", "sessions-ended"))
}

/// Asks whether the account is to be deleted, and who takes over.
pub(crate) fn delete_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = delete_act(visit)?;
    Ok(confirm::page(visit, Place::Me("delete"), act))
}

/// Deletes it: hand-over and deletion are one act.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let deleted = confirm::check(visit, &delete_act(visit)?).and_then(|()| {
        let proof = acting.prove_password(visit.form.raw(PASSWORD))?;
        Ok(acting.delete_person(visit.who_id(), &proof, &hand_overs(visit))?)
    });
    match deleted {
        Ok(()) => {
            let answer = visit.done("/console/sign-in", "account-gone");
            let answer = answer.and_cookie(&Cookie::Browser.clear(visit.is_secure));
            Ok(answer.and_cookie(&Cookie::Session.clear(visit.is_secure)))
        }
        Err(refusal) => visit.again(refusal, delete_page),
    }
}

/// So many service accounts are named; of the others it is said how many there are.
const ACCOUNTS_NAMED: usize = 20;

/// The service accounts of one's organisations, which stay.
fn living_on(accounts: &[String]) -> String {
    let Some(more) = accounts.len().checked_sub(ACCOUNTS_NAMED).filter(|more| *more > 0) else {
        return match accounts {
            [] => "There is no service account that would live on.".to_owned(),
            accounts => format!("Service accounts live on: {}.", accounts.join(", ")),
        };
    };
    let named = accounts[..ACCOUNTS_NAMED].join(", ");
    format!("Service accounts live on: {named}, and {more} more.")
}

/// So many projects are named; of the others it is said how many there are.
const PROJECTS_NAMED: usize = 20;

fn hand_overs(visit: &Visit<'_>) -> Vec<HandOver> {
    let fields = visit.form.iter().filter_map(|(name, value)| {
        let organisation = name.strip_prefix("owner-")?.parse().ok()?;
        Some(HandOver { organisation, to: PersonId(value.parse().ok()?) })
    });
    fields.collect()
}

fn delete_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let person = &visit.who()?.person;
    let losses = visit.acting()?.losses(person.id)?;
    let mut affected = Vec::new();
    let mut choices = Vec::new();
    for organisation in &losses.organisations {
        let goes_on = match (organisation.outcome, organisation.others.len()) {
            (Outcome::Goes, _) => "it goes with you: nobody and nothing else is in it".to_owned(),
            (Outcome::NeedsMember, _) => {
                "you are alone in it, and it has projects or service accounts: invite somebody first, or delete those"
                    .to_owned()
            }
            (_, 1) => "one other person keeps access".to_owned(),
            (_, more) => format!("{more} other people keep access"),
        };
        affected.push(format!(
            "{}, as {}: you lose access; {goes_on}.",
            organisation.name,
            a(organisation.role.as_str())
        ));
        if organisation.outcome == Outcome::NeedsOwner {
            choices.push(Choice {
                name: format!("owner-{}", organisation.id),
                label: format!("Next owner of {}", organisation.name),
                hint: "You are its only owner. The hand-over happens together with the deletion.".to_owned(),
                options: organisation
                    .others
                    .iter()
                    .map(|member| (member.id.to_string(), format!("{} ({})", member.name, member.email)))
                    .collect(),
            });
        }
    }
    for project in losses.projects.iter().take(PROJECTS_NAMED) {
        let others = match project.others {
            0 => "nobody else sees it".to_owned(),
            1 => "one other person sees it".to_owned(),
            more => format!("{more} other people see it"),
        };
        affected.push(format!(
            "Project {}, as {}: it stays, with its events; {others}.",
            project.name,
            a(project.role.as_str())
        ));
    }
    if let Some(more) = losses.projects.len().checked_sub(PROJECTS_NAMED).filter(|more| *more > 0) {
        affected.push(format!("And {}: they stay, too.", when::of(more as u64, "more project")));
    }
    if affected.is_empty() {
        affected.push("Only you: you belong to no organisation.".to_owned());
    }
    Ok(Act {
        title: "Delete your account".to_owned(),
        affected,
        happens: vec![
            format!(
                "Your account ends at once, with {}, {} that you gave{}.",
                when::of(losses.sessions, "session"),
                when::of(losses.invitations, "open invitation"),
                if losses.gdpr_token { ", and your GDPR token" } else { "" }
            ),
            "Projects and their events are not deleted.".to_owned(),
            living_on(&losses.service_accounts),
            "In the audit log your number stays; your name and address do not.".to_owned(),
        ],
        undo: "No. You would have to be invited again.".to_owned(),
        word: person.email.clone(),
        word_is: "your e-mail address",
        button: "Delete my account",
        action: "/console/me/delete".to_owned(),
        back: "/console/me".to_owned(),
        choices,
        asks_password: true,
        ..Act::default()
    })
}
