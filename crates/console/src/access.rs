//! Whether whoever asks may: the one place that a route's needs are looked at.

use crate::{
    refusal::{Refusal, a},
    route::Needs,
    visit::Visit,
};

/// Demands what the route needs, and finds what its path names.
///
/// To those who have no role in it, a project or an organisation does not exist.
pub(crate) fn check(visit: &mut Visit<'_>) -> Result<(), Refusal> {
    match visit.route.needs {
        Needs::Nobody => Ok(()),
        Needs::Somebody => visit.acting().map(drop),
        Needs::Person if visit.account.is_some() => {
            Err(Refusal::Denied("this is for people who are signed in, not for service accounts".to_owned()))
        }
        Needs::Person => visit.who().map(drop),
        Needs::Operator => {
            visit.acting()?;
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
