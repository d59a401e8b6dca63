//! Handing a project to another organisation: what stays behind is listed before anybody agrees to it.

use forebay_control::OrganisationRole;

use crate::{
    answer::Answer,
    frame::Place,
    page::confirm::{self, Act, Choice, PASSWORD},
    refusal::Refusal,
    visit::Visit,
    when,
};

/// So many of each list are named; of the others it is said how many there are.
const NAMED: usize = 20;

/// Asks whether the project is to be handed on, and to whom.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = act(visit)?;
    Ok(confirm::page(visit, Place::Project("settings"), act))
}

/// Hands it on.
pub(crate) fn transfer(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (acting, id) = (visit.acting()?, visit.project()?.id);
    let done = act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        let to = visit.form.number("organisation");
        let to = to.ok_or_else(|| Refusal::Invalid("choose an organisation".to_owned()))?;
        let proof = acting.prove_password(visit.form.raw(PASSWORD))?;
        Ok(acting.transfer_project(id, to, &proof)?)
    });
    match done {
        Ok(_) => Ok(visit.done("/console/projects", "project-transferred")),
        Err(refusal) => visit.again(refusal, page),
    }
}

fn act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let (acting, project) = (visit.acting()?, visit.project()?);
    let losses = acting.transfer_losses(project.id)?;
    let others = acting.organisations()?.into_iter();
    let others: Vec<_> = others
        .filter(|one| one.id != project.organisation && one.role >= OrganisationRole::Admin)
        .map(|one| (one.id.to_string(), one.name))
        .collect();
    if others.is_empty() {
        return Err(Refusal::Conflict(
            "you are an admin of no other organisation: make one, or ask an owner of it for that role, and come back"
                .to_owned(),
        ));
    }
    let people =
        losses.members.iter().map(|member| format!("{} ({}), {}", member.name, member.email, member.role));
    let mut affected = named("loses access, unless they have a role there", people.collect());
    affected.extend(named(
        "may use it no longer",
        losses.service_accounts.iter().map(|name| format!("Service account {name}")).collect(),
    ));
    affected.push("Apps that send to it, and whoever uses its key and secret, notice nothing.".to_owned());
    let base = format!("/console/projects/{}/settings", project.id);
    Ok(Act {
        title: format!("Transfer {}", project.name),
        affected,
        happens: vec![
            "Its events, tokens, API key, API secret and settings go along.".to_owned(),
            format!("Roles given in it, service accounts and {} to it do not.", when::of(losses.invitations, "open invitation")),
        ],
        undo: "By an owner of it there, who transfers it back. Roles and service accounts have to be given again.".to_owned(),
        word: project.name.clone(),
        word_is: "the project's name",
        button: "Transfer project",
        action: format!("{base}/transfer"),
        back: base,
        choices: vec![Choice {
            name: "organisation".to_owned(),
            label: "To the organisation".to_owned(),
            hint: "Those that you are an admin or owner of.".to_owned(),
            options: others,
        }],
        asks_password: true,
        ..Act::default()
    })
}

/// A line for each, up to a number.
fn named(what: &str, mut each: Vec<String>) -> Vec<String> {
    let more = each.len().saturating_sub(NAMED);
    each.truncate(NAMED);
    let mut lines: Vec<_> = each.into_iter().map(|one| format!("{one}: {what}.")).collect();
    if more > 0 {
        lines.push(format!("And {} more: the same.", when::count(more as u64)));
    }
    lines
}
