//! A token's retirement: until when it sends, to the minute, in the project's time zone.

use askama::Template;
use forebay_control::TokenInfo;

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    refusal::Refusal,
    visit::Visit,
};

#[derive(Template)]
#[template(path = "token_retire.html")]
struct RetirePage {
    frame: Frame,
    action: String,
    back: String,
    token: String,
    used: String,
    ends: Option<String>,
    zone: String,
    at: String,
}

/// Asks until when a token is to send.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (project, token, times) = (visit.project()?, token(visit)?, visit.times());
    let back = format!("/console/projects/{}/keys", project.id);
    let page = RetirePage {
        frame: visit.frame("Retire a token", Place::Project("keys")),
        action: format!("{back}/tokens/retire"),
        back,
        used: times.used(token.events, "event", token.last_used_ms),
        ends: token.ends_at_ms.map(|end_ms| times.minute(end_ms)),
        at: visit.form.given("at").map_or_else(
            || token.ends_at_ms.map(|end_ms| times.field(end_ms)).unwrap_or_default(),
            str::to_owned,
        ),
        token: token.token.clone(),
        zone: project.timezone.clone(),
    };
    Ok(visit.page(&page))
}

fn token<'v>(visit: &'v Visit<'_>) -> Result<&'v TokenInfo, Refusal> {
    let token = visit.form.given("token").or_else(|| visit.query.given("token")).unwrap_or_default();
    let found = visit.project()?.tokens.iter().find(|one| one.token == token);
    found.ok_or_else(|| Refusal::Conflict("the project has no such token".to_owned()))
}

/// Takes the time, or takes the retirement back.
pub(crate) fn retire(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let id = visit.project()?.id;
    let back = format!("/console/projects/{id}/keys");
    let at_ms = match visit.form.is_on("undo") {
        true => Ok(None),
        false => visit.times().parse_field(visit.form.text("at")).map(Some).ok_or_else(|| {
            Refusal::Invalid(
                "that is no time; give a day and a time of day such as 2030-01-31T18:00".to_owned(),
            )
        }),
    };
    let retired =
        at_ms.and_then(|at_ms| Ok(visit.acting()?.retire_token(id, &token(visit)?.token, at_ms)?));
    match retired {
        Ok(_) if visit.form.is_on("undo") => Ok(visit.done(&back, "token-stays")),
        Ok(_) => Ok(visit.done(&back, "token-retires")),
        Err(refusal) => visit.again(refusal, page),
    }
}
