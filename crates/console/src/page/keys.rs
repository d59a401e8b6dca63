//! A project's access keys: tokens, which send, and the API key and secret, which read.
//!
//! # Invariants
//! * Key and secret stand in the answer to the form that asked for them, and on no page that can be opened again.

use askama::Template;
use forebay_control::{Credentials, Grace, ProjectInfo, ProjectRole};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    page::confirm::{self, Act, Choice, PASSWORD},
    refusal::Refusal,
    visit::{Visit, encoded},
    when,
};

/// Of those who used key and secret, the last ones.
const CALLERS_SHOWN: usize = 20;

struct TokenRow {
    token: String,
    /// The same, as a part of an address.
    encoded: String,
    since: String,
    by: String,
    used: String,
    events: String,
    ends: Option<String>,
    /// It may be taken away: there is another one.
    can_go: bool,
}

struct FormerRow {
    kind: &'static str,
    ends: String,
    used: String,
    uses: String,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage<'a> {
    frame: Frame,
    base: String,
    tokens: Vec<TokenRow>,
    is_owner: bool,
    key_used: String,
    secret_used: String,
    secret_uses: String,
    former: Vec<FormerRow>,
    token: &'a str,
}

/// All of them.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (project, times) = (visit.project()?, visit.times());
    let stay = project.tokens.iter().filter(|token| token.ends_at_ms.is_none()).count();
    let tokens = project.tokens.iter().map(|token| TokenRow {
        since: when::day(token.created_at_ms),
        by: visit.site.name_of(&token.created_by),
        used: times.minute_or(token.last_used_ms, "never"),
        events: when::count(token.events),
        ends: token.ends_at_ms.map(|end_ms| times.minute(end_ms)),
        can_go: token.ends_at_ms.is_some() || stay > 1,
        encoded: encoded(&token.token),
        token: token.token.clone(),
    });
    let former = project.former_credentials.iter().map(|former| FormerRow {
        kind: if former.kind == "api_key" { "former API key" } else { "former API secret" },
        ends: times.minute(former.ends_at_ms),
        used: times.minute_or(former.last_used_ms, "never since"),
        uses: when::count(former.uses),
    });
    let page = KeysPage {
        frame: visit.frame("Access keys", Place::Project("keys")),
        base: here(project),
        tokens: tokens.collect(),
        is_owner: visit.project_role()? >= ProjectRole::Owner,
        key_used: times.minute_or(project.api_key_last_used_ms, "never"),
        secret_used: times.minute_or(project.api_secret_last_used_ms, "never"),
        secret_uses: when::of(project.api_secret_uses, "request"),
        former: former.collect(),
        token: visit.form.text("token"),
    };
    Ok(visit.page(&page))
}

fn here(project: &ProjectInfo) -> String {
    format!("/console/projects/{}/keys", project.id)
}

/// Lets another token send to the project: the one given, or a new one.
pub(crate) fn add_token(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let acting = visit.acting()?;
    let added = match visit.form.given("token") {
        Some(token) => acting.add_token(project.id, token),
        None => acting.new_token(project.id),
    };
    match added {
        Ok(_) => Ok(visit.done(&here(project), "token-added")),
        Err(error) => visit.again(error.into(), page),
    }
}

/// Asks whether a token is to go, and when.
pub(crate) fn remove_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = remove_act(visit)?;
    Ok(confirm::page(visit, Place::Project("keys"), act))
}

/// Takes a token away at once, or lets it send a while longer.
pub(crate) fn remove_token(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let removed = remove_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        let acting = visit.acting()?;
        let grace = grace_of(visit.form.text("grace"))?;
        Ok(match grace {
            Grace::None => acting.remove_token(project.id, &act.word)?,
            grace => acting.retire_token(project.id, &act.word, Some(visit.now_ms() + grace.as_ms()))?,
        })
    });
    match removed {
        Ok(_) => Ok(visit.done(&here(project), "token-removed")),
        Err(refusal) => visit.again(refusal, remove_page),
    }
}

fn remove_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let project = visit.project()?;
    let token = visit.form.given("token").or_else(|| visit.query.given("token")).unwrap_or_default();
    let found = project.tokens.iter().find(|one| one.token == token);
    let found = found.ok_or_else(|| Refusal::Conflict("the project has no such token".to_owned()))?;
    Ok(Act {
        title: "Remove a token".to_owned(),
        affected: vec![format!(
            "Every app that sends under it: {}.",
            visit.times().used(found.events, "event", found.last_used_ms)
        )],
        happens: vec![
            "Events sent under it no longer belong to this project. They are kept unclaimed for a while.".to_owned(),
            "With a time to follow it goes on until then, and stays the project's, so that nobody else takes it."
                .to_owned(),
        ],
        undo: "Yes, by adding the token again, as long as no other project has taken it.".to_owned(),
        word: found.token.clone(),
        word_is: "the token",
        button: "Remove token",
        action: format!("{}/tokens/remove", here(project)),
        back: here(project),
        hidden: vec![("token".to_owned(), found.token.clone())],
        choices: vec![grace_choice("It stops sending")],
        ..Act::default()
    })
}

fn grace_choice(label: &str) -> Choice {
    let words = |grace| match grace {
        Grace::None => "at once",
        Grace::Hour => "after an hour",
        Grace::Day => "after a day",
        Grace::Week => "after a week",
    };
    Choice {
        name: "grace".to_owned(),
        label: label.to_owned(),
        hint: String::new(),
        options: Grace::ALL.map(|grace| (grace.as_str().to_owned(), words(grace).to_owned())).to_vec(),
    }
}

/// A time to follow, as a form has it.
pub(crate) fn grace_of(text: &str) -> Result<Grace, Refusal> {
    text.parse().map_err(Refusal::Invalid)
}

#[derive(Template)]
#[template(path = "credentials.html")]
struct CredentialsPage {
    frame: Frame,
    credentials: Credentials,
    former_end: Option<String>,
    back: String,
}

fn show(visit: &Visit<'_>, title: &str, credentials: Credentials) -> Result<Answer, Refusal> {
    let page = CredentialsPage {
        frame: visit.frame(title, Place::Project("keys")),
        former_end: credentials.former_end_at_ms.map(|end_ms| visit.times().minute(end_ms)),
        back: here(visit.project()?),
        credentials,
    };
    Ok(visit.page(&page))
}

/// Shows key and secret again, to an owner who gives their password.
pub(crate) fn reveal(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let id = visit.project()?.id;
    let shown = acting
        .prove_password(visit.form.raw(PASSWORD))
        .and_then(|proof| acting.reveal_credentials(id, &proof));
    match shown {
        Ok(credentials) => show(visit, "API key and secret", credentials),
        Err(error) => visit.again(error.into(), page),
    }
}

/// Asks whether key and secret are to be reset.
pub(crate) fn reset_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = reset_act(visit)?;
    Ok(confirm::page(visit, Place::Project("keys"), act))
}

/// Resets them, and shows the new ones.
pub(crate) fn reset(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let id = visit.project()?.id;
    let done = reset_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        let grace = grace_of(visit.form.text("grace"))?;
        let proof = acting.prove_password(visit.form.raw(PASSWORD))?;
        Ok(acting.reset_credentials(id, grace, &proof)?)
    });
    match done {
        Ok(credentials) => show(visit, "New API key and secret", credentials),
        Err(refusal) => visit.again(refusal, reset_page),
    }
}

fn reset_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let project = visit.project()?;
    let secret = visit.times().used(project.api_secret_uses, "request", project.api_secret_last_used_ms);
    let key = visit.times().used(project.api_key_uses, "request", project.api_key_last_used_ms);
    let mut affected = vec![
        format!("Whoever reads with the secret: {secret}."),
        format!("Whoever imports with the key: {key}."),
    ];
    affected.extend(callers(visit, project)?);
    affected.push("Apps that send are not affected: the token stays.".to_owned());
    Ok(Act {
        title: "Reset API key and secret".to_owned(),
        affected,
        happens: vec![
            "Both values change together. This may break what runs in production.".to_owned(),
            "The new ones are shown once; the old ones are taken for as long as you choose.".to_owned(),
        ],
        undo: "No. The old values do not come back.".to_owned(),
        word: project.name.clone(),
        word_is: "the project's name",
        button: "Reset",
        action: format!("{}/reset", here(project)),
        back: here(project),
        choices: vec![grace_choice("The old key and secret end")],
        asks_password: true,
        ..Act::default()
    })
}

/// Who used key and secret in the last thirty days, a line each.
fn callers(visit: &Visit<'_>, project: &ProjectInfo) -> Result<Vec<String>, Refusal> {
    let callers = visit.acting()?.callers(project.id)?;
    let mut lines: Vec<_> = callers
        .iter()
        .take(CALLERS_SHOWN)
        .map(|caller| {
            let what = if caller.is_secret { "secret" } else { "key" };
            let who = if caller.user_agent.is_empty() {
                "programs that do not say what they are"
            } else {
                &caller.user_agent
            };
            let from =
                caller.address.as_deref().map(|address| format!(" from {address}")).unwrap_or_default();
            let used = when::used(caller.uses, "request", Some(caller.last_ms));
            format!("In the last 30 days, with the {what}: {who}{from}: {used}.")
        })
        .collect();
    match callers.len().saturating_sub(CALLERS_SHOWN) {
        0 => {}
        more => lines.push(format!("And {} more.", when::of(more as u64, "caller"))),
    }
    Ok(lines)
}

/// Ends the former key and secret before their time.
pub(crate) fn end_former(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    match visit.acting()?.end_former_credentials(project.id) {
        Ok(_) => Ok(visit.done(&here(project), "token-retired")),
        Err(error) => visit.again(error.into(), page),
    }
}
