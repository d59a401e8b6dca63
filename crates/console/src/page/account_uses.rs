//! Where a service account may be used, and until when: sharing it with a project, taking it out of one, its end.

use forebay_control::AccountProject;

use crate::{
    answer::Answer,
    frame::Place,
    page::{
        accounts::{account, here, page, role_of},
        confirm::{self, Act},
    },
    refusal::{Refusal, a},
    visit::{Visit, encoded},
};

/// So many accounts of the organisation are offered; the others by their name, in a call or by a command.
const OFFERED: usize = 500;

/// The organisation's accounts that the person manages and that do not use this project yet, by name.
pub(super) fn others(visit: &Visit<'_>) -> Result<Vec<String>, Refusal> {
    let project = visit.project()?;
    let all = visit.acting()?.list_service_accounts(None)?.into_iter();
    let others = all.filter(|one| {
        one.organisation == project.organisation && one.projects.iter().all(|of| of.id != project.id)
    });
    Ok(others.map(|one| one.username).take(OFFERED).collect())
}

/// Lets one of the organisation's accounts use this project, too.
pub(crate) fn share(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let shared = role_of(visit.form.text("role")).and_then(|role| {
        let project = AccountProject { id: visit.project()?.id, role };
        Ok(visit.acting()?.add_account_to_project(visit.form.text("account"), project)?)
    });
    match shared {
        Ok(_) => Ok(visit.done(&here(visit)?, "account-shared")),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// Sets when one stops working; an empty field: never.
pub(crate) fn expire(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let wrong = || Refusal::Invalid("give a day and a time of day, or nothing for no end".to_owned());
    let given = visit.form.given("at").map(|at| visit.times().parse_field(at).ok_or_else(wrong));
    let set = given
        .transpose()
        .and_then(|at_ms| Ok(visit.acting()?.set_account_expiry(&account(visit)?.username, at_ms)?));
    match set {
        Ok(_) => Ok(visit.done(&here(visit)?, "saved")),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// Asks whether one is to use this project no longer.
pub(crate) fn remove_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = remove_act(visit)?;
    Ok(confirm::page(visit, Place::Project("accounts"), act))
}

/// Takes it out of this project.
pub(crate) fn remove(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let removed = remove_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        Ok(visit.acting()?.remove_account_from_project(&act.word, visit.project()?.id)?)
    });
    match removed {
        Ok(account) => {
            let reaches = account.organisation_role.implies().is_some();
            let said = if reaches { "account-removed-reaches" } else { "account-removed" };
            Ok(visit.done(&here(visit)?, said))
        }
        Err(refusal) => visit.again(refusal, remove_page),
    }
}

fn remove_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let (account, here) = (account(visit)?, here(visit)?);
    // Its use is counted for all projects together.
    let used = visit.times().used(account.uses, "request", account.last_used_ms);
    Ok(Act {
        title: "Take a service account out of this project".to_owned(),
        affected: vec![format!("Whatever signs in as it, here or elsewhere: {used}.")],
        happens: vec![match (account.organisation_role.implies(), account.projects.len()) {
            (Some(role), _) => format!(
                "It loses its role here, at once. As {} of the organisation it still reaches every project, and this one \
                 as its {role}.",
                a(account.organisation_role.as_str())
            ),
            (None, 0 | 1) => "It uses this project no longer, at once. It has no other, and stays for the organisation's admins.".to_owned(),
            (None, _) => "It uses this project no longer, at once. In its other projects it goes on.".to_owned(),
        }],
        undo: "Yes: it can be shared with this project again, with the same secret.".to_owned(),
        action: format!("{here}/{}/remove", encoded(&account.username)),
        word: account.username,
        word_is: "its name",
        button: "Take it out",
        back: here,
        ..Act::default()
    })
}
