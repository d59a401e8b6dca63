//! Whether whoever asks may: the one place that a route's needs are looked at.

use forebay_control::{Account, OrganisationRole, ProjectRole};

use crate::{
    refusal::{Refusal, a},
    route::{Needs, Verb},
    visit::Visit,
};

/// Demands what the route needs, and finds what its path names.
///
/// To those who have no role in it, a project or an organisation does not exist.
pub(crate) fn check(visit: &mut Visit<'_>) -> Result<(), Refusal> {
    if let Some(account) = visit.account.take() {
        check_account(visit, &account)?;
        visit.account = Some(account);
        return Ok(());
    }
    match visit.route.needs {
        Needs::Nobody => Ok(()),
        Needs::Person => visit.who().map(drop),
        Needs::Operator => {
            visit.who()?;
            if visit.site.is_operator(visit) {
                Ok(())
            } else {
                Err(Refusal::Denied(
                    "this is for the owners of the organisation that the server was set up with".to_owned(),
                ))
            }
        }
        Needs::Organisation(needs) => {
            let organisation = visit.acting()?.organisation(visit.number("organisation")?)?;
            let role = organisation.role;
            visit.organisation = Some(organisation);
            if role >= needs {
                return Ok(());
            }
            let (role, needs) = (a(role.as_str()), a(needs.as_str()));
            Err(Refusal::Denied(format!("you are {role} of this organisation, and this takes {needs}")))
        }
        Needs::Project(needs) => {
            let id = visit.number("project")?;
            let view = visit.acting()?.project(id)?;
            let role = view.role;
            visit.project = Some((view.project, role));
            if role >= needs {
                return Ok(());
            }
            let (role, needs) = (a(role.as_str()), a(needs.as_str()));
            Err(Refusal::Denied(format!("you are {role} of this project, and this takes {needs}")))
        }
    }
}

/// Demands the same of a service account: it has the roles that it was given in projects, reads, and changes nothing.
fn check_account(visit: &mut Visit<'_>, account: &Account) -> Result<(), Refusal> {
    let refuse = |role: ProjectRole, needs: ProjectRole| {
        let (role, needs) = (a(role.as_str()), a(needs.as_str()));
        Err(Refusal::Denied(format!("the service account is {role} of this project, and this takes {needs}")))
    };
    match visit.route.needs {
        _ if visit.route.verb != Verb::Get => Err(Refusal::Denied(
            "service accounts read here; changes are for people who are signed in".to_owned(),
        )),
        Needs::Nobody | Needs::Person => Ok(()),
        Needs::Operator => Err(Refusal::Denied("this is not for service accounts".to_owned())),
        // It belongs to its organisation as a member does.
        Needs::Organisation(needs) => {
            if visit.number("organisation")? != account.organisation {
                return Err(Refusal::NotFound);
            }
            let admins_all = account.projects.iter().any(|project| project.role >= ProjectRole::Admin);
            if needs == OrganisationRole::Member || admins_all {
                Ok(())
            } else {
                Err(Refusal::Denied("the service account is an admin of no project".to_owned()))
            }
        }
        Needs::Project(needs) => {
            let id = visit.number("project")?;
            let role = account.projects.iter().find(|one| one.id == id).map(|one| one.role);
            let role = role.ok_or(Refusal::NotFound)?;
            visit.project = Some((visit.control().host().project(id)?.project, role));
            if role >= needs { Ok(()) } else { refuse(role, needs) }
        }
    }
}
