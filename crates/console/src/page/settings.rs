//! A project's settings: what it accepts, what it keeps, and its end.

use std::num::NonZero;

use askama::Template;
use forebay_control::{ProjectChange, ProjectInfo, ProjectRole, StatsFilter};
use forebay_record::ProjectId;
use forebay_route::{ClientAddress, IdMerge, Owner};

use crate::{
    answer::Answer,
    frame::{Frame, Place},
    page::confirm::{self, Act, PASSWORD},
    refusal::Refusal,
    visit::Visit,
    when,
};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    frame: Frame,
    base: String,
    project: &'a ProjectInfo,
    since: String,
    by: String,
    origins: String,
    days: String,
    addresses: [(&'static str, &'static str); 3],
    merges: [(&'static str, &'static str); 2],
    is_owner: bool,
}

/// All of them.
pub(crate) fn page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let page = SettingsPage {
        frame: visit.frame("Settings", Place::Project("settings")),
        base: here(project),
        since: visit.times().minute(project.created_at_ms),
        by: visit.site.name_of(&project.created_by),
        origins: project.allowed_origins.join("\n"),
        days: project.retention_days.map(|days| days.to_string()).unwrap_or_default(),
        addresses: [
            ("drop", "nothing"),
            ("mask", "the network: 24 bits of IPv4, 48 of IPv6"),
            ("keep", "the whole address"),
        ],
        merges: [
            ("original", "original: by $identify, $create_alias and $merge events"),
            ("simplified", "simplified: by $device_id and $user_id"),
        ],
        is_owner: visit.project_role()? >= ProjectRole::Owner,
        project,
    };
    Ok(visit.page(&page))
}

fn here(project: &ProjectInfo) -> String {
    format!("/console/projects/{}/settings", project.id)
}

/// Takes what was changed.
pub(crate) fn save(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let saved =
        change_of(visit).and_then(|change| Ok(visit.acting()?.change_project(project.id, &change)?));
    match saved {
        Ok(_) => Ok(visit.done(&here(project), "saved")),
        Err(refusal) => visit.again(refusal, page),
    }
}

fn change_of(visit: &Visit<'_>) -> Result<ProjectChange, Refusal> {
    let form = &visit.form;
    let address = form.text("client_address");
    let address = ClientAddress::parse(address).ok_or_else(|| {
        Refusal::Invalid(format!("{address:?} is no way to keep addresses; there are drop, mask, keep"))
    })?;
    let merge = form.text("id_merge");
    let merge = IdMerge::parse(merge).ok_or_else(|| {
        Refusal::Invalid(format!("{merge:?} is no way to merge identities; there are original, simplified"))
    })?;
    let origins = form.raw("allowed_origins").split_whitespace().map(str::to_owned).collect();
    Ok(ProjectChange {
        name: Some(form.text("name").to_owned()),
        accepts_events: Some(form.is_on("accepts_events")),
        client_address: Some(address),
        allowed_origins: Some(origins),
        timezone: Some(form.text("timezone").to_owned()),
        id_merge: Some(merge),
        ..ProjectChange::default()
    })
}

/// Asks whether events are to be kept for so long only.
pub(crate) fn retention_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    match retention_act(visit) {
        Ok((act, _)) => Ok(confirm::page(visit, Place::Project("settings"), act)),
        Err(refusal) => visit.again(refusal, page),
    }
}

/// Takes how long events are kept: an owner's, as what it hides is gone.
pub(crate) fn save_retention(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let project = visit.project()?;
    let saved = retention_act(visit).and_then(|(act, days)| {
        confirm::check(visit, &act)?;
        let change = ProjectChange { retention_days: Some(days), ..ProjectChange::default() };
        Ok(visit.acting()?.change_project(project.id, &change)?)
    });
    match saved {
        Ok(_) => Ok(visit.done(&here(project), "saved")),
        Err(refusal) => visit.again(refusal, retention_page),
    }
}

fn retention_act(visit: &Visit<'_>) -> Result<(Act, Option<u32>), Refusal> {
    let project = visit.project()?;
    let given = visit.form.given("days").or_else(|| visit.query.given("days"));
    let wrong =
        || Refusal::Invalid("give a number of days, or nothing for as long as the store keeps".to_owned());
    let days = given.map(str::parse::<NonZero<u32>>).transpose().map_err(|_| wrong())?.map(NonZero::get);
    let words = |days: Option<u32>| {
        days.map_or("as long as the store keeps".to_owned(), |days| when::of(days.into(), "day"))
    };
    let act = Act {
        title: "Change how long events are kept".to_owned(),
        affected: vec![
            "Whoever reads this project's events, by whatever way.".to_owned(),
            hidden(visit, days)?,
        ],
        happens: vec![
            format!("Events are kept for {}; until now for {}.", words(days), words(project.retention_days)),
            if project.retention_days.is_some() && hides_no_more(project, days) {
                "Events that are hidden now, and not too old then, show again at once if the store still has them."
            } else {
                "Older ones are hidden at once, and their bytes go with the segment they are in."
            }
            .to_owned(),
        ],
        undo: "By another time, for events whose segment is still there. What has gone does not come back."
            .to_owned(),
        word: project.name.clone(),
        word_is: "the project's name",
        button: "Change",
        action: format!("{}/retention", here(project)),
        back: here(project),
        hidden: vec![("days".to_owned(), days.map(|days| days.to_string()).unwrap_or_default())],
        ..Act::default()
    };
    Ok((act, days))
}

const DAY_MS: u64 = 24 * 3_600_000;

/// Are events to be kept for as long as now, or longer?
fn hides_no_more(project: &ProjectInfo, days: Option<u32>) -> bool {
    match (project.retention_days, days) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(old), Some(new)) => new >= old,
    }
}

/// How much of what can be read now would be hidden at once, or when the first of it would be.
fn hidden(visit: &Visit<'_>, days: Option<u32>) -> Result<String, Refusal> {
    let project = visit.project()?;
    let Some(days) = days.filter(|_| !hides_no_more(project, days)) else {
        return Ok("Nothing more is hidden.".to_owned());
    };
    let kept_ms = u64::from(days) * DAY_MS;
    let before_ms = visit.now_ms().saturating_sub(kept_ms);
    // What is older than is kept now, is hidden already.
    let from_ms = project.retention_days.map(|old| visit.now_ms().saturating_sub(u64::from(old) * DAY_MS));
    let owners = ProjectId::new(project.id).map(Owner::Project).into_iter().collect();
    let filter = StatsFilter { owners, from_ms, to_ms: Some(before_ms), ..StatsFilter::default() };
    let counts = visit.control().stats(&filter)?.totals;
    if counts.stored == 0 {
        let first_ms = project.created_at_ms.saturating_add(kept_ms);
        if first_ms <= visit.now_ms() {
            return Ok("Nothing that is there now is hidden at once.".to_owned());
        }
        let first = visit.times().minute(first_ms);
        return Ok(format!("Nothing is hidden now; the first events not before {first}."));
    }
    // What is counted by the hour or as one sum may reach beyond that moment.
    Ok(format!(
        "Hidden at once: about {}, {} as they came in, received before {}.",
        when::of(counts.stored, "event"),
        when::bytes(counts.stored_bytes),
        visit.times().minute(before_ms)
    ))
}

/// Asks whether the project is to be deleted.
pub(crate) fn delete_page(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let act = delete_act(visit)?;
    Ok(confirm::page(visit, Place::Project("settings"), act))
}

/// Deletes it; for thirty days it can be had back.
pub(crate) fn delete(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let acting = visit.acting()?;
    let id = visit.project()?.id;
    let deleted = delete_act(visit).and_then(|act| {
        confirm::check(visit, &act)?;
        let proof = acting.prove_password(visit.form.raw(PASSWORD))?;
        Ok(acting.delete_project(id, &proof)?)
    });
    match deleted {
        Ok(_) => Ok(visit.done("/console/projects", "project-deleted")),
        Err(refusal) => visit.again(refusal, delete_page),
    }
}

fn delete_act(visit: &Visit<'_>) -> Result<Act, Refusal> {
    let project = visit.project()?;
    let members = visit.acting()?.project_members(project.id)?.len() as u64;
    let sent: u64 = project.tokens.iter().map(|token| token.events).sum();
    Ok(Act {
        title: format!("Delete {}", project.name),
        affected: vec![
            format!("{} with a role in it.", if members == 1 { "One person".to_owned() } else { format!("{members} people") }),
            format!("Every app that sends to it: {} so far.", when::of(sent, "event")),
        ],
        happens: vec![
            "Its tokens, key, secret and service accounts stop at once; events sent to it are no longer its own."
                .to_owned(),
            "Its events can no longer be read.".to_owned(),
        ],
        undo: "Yes, for thirty days, on the page of its organisation. Then it is gone for good.".to_owned(),
        word: project.name.clone(),
        word_is: "the project's name",
        button: "Delete project",
        action: format!("{}/delete", here(project)),
        back: here(project),
        asks_password: true,
        ..Act::default()
    })
}
