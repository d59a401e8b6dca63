//! Projects as people and programs read them.

use super::super::{Common, Done, out};
use forebay_control::{
    CallerInfo, CreatedProject, Credentials, DeletedProject, ProjectInfo, ProjectMember, ProjectRole,
    StoredUnknownToken,
};
use serde_json::json;

pub(super) fn show_created(common: &Common, created: &CreatedProject) -> Done {
    let mut out = common.out();
    if out.json {
        out.value(created)?;
    } else {
        let CreatedProject { id, name, token, api_key, api_secret } = created;
        out.line(&format!("project     {id} ({name})"))?;
        out.line(&format!("token       {token}   (public: goes into the apps that send)"))?;
        out.line(&format!("API key     {api_key}   (imports, for old tools)"))?;
        out.line(&format!("API secret  {api_secret}   (reads everything; keep it secret)"))?;
    }
    out.done()
}

pub(super) fn show_credentials(common: &Common, shown: &Credentials) -> Done {
    let mut out = common.out();
    if out.json {
        out.value(shown)?;
    } else {
        out.line(&format!("API key     {}   (imports, for old tools)", shown.api_key))?;
        out.line(&format!("API secret  {}   (reads everything; keep it secret)", shown.api_secret))?;
        if let Some(end) = shown.former_end_at_ms {
            out.line(&format!("until {} UTC those before are taken too", out::time(end)))?;
        }
    }
    out.done()
}

pub(super) fn callers(common: &Common, callers: &[CallerInfo]) -> Done {
    let mut out = common.out();
    if out.json {
        callers.iter().try_for_each(|caller| out.value(caller))?;
        return out.done();
    }
    let rows: Vec<_> = callers
        .iter()
        .map(|caller| {
            [
                if caller.is_secret { "secret" } else { "key" }.to_owned(),
                out::clipped(&caller.user_agent, 60),
                caller.address.clone().unwrap_or_default(),
                caller.uses.to_string(),
                out::time(caller.last_ms),
            ]
        })
        .collect();
    out.table(["WITH", "USER AGENT", "FROM", "REQUESTS", "LAST (UTC)"], &rows)?;
    out.done()
}

pub(super) fn list(common: &Common) -> Done {
    let projects: Vec<_> =
        common.existing_control()?.host().projects()?.into_iter().map(|view| view.project).collect();
    let mut out = common.out();
    if out.json {
        for project in &projects {
            out.value(project)?;
        }
        return out.done();
    }
    let rows: Vec<_> = projects
        .iter()
        .map(|p| {
            let state = if p.accepts_events { "accepts events" } else { "disabled" };
            [
                p.id.to_string(),
                out::clipped(&p.name, 40),
                p.token.clone(),
                state.to_owned(),
                out::time(p.created_at_ms),
            ]
        })
        .collect();
    out.table(["ID", "NAME", "TOKEN", "STATE", "CREATED (UTC)"], &rows)?;
    out.done()
}

pub(super) fn show(common: &Common, project: &ProjectInfo) -> Done {
    let mut out = common.out();
    if out.json {
        out.value(project)?;
        return out.done();
    }
    let when = |ms: Option<u64>| ms.map_or_else(|| "never".to_owned(), out::time);
    let mut fields = vec![
        ("project", format!("{} ({})", project.id, project.name)),
        (
            "events",
            if project.accepts_events { "accepted" } else { "refused: the project is disabled" }.to_owned(),
        ),
    ];
    for token in &project.tokens {
        let end =
            token.ends_at_ms.map_or_else(String::new, |end| format!("   retired {} UTC", out::time(end)));
        let last = when(token.last_used_ms);
        fields.push(("token", format!("{}   {} events, last {last}{end}", token.token, token.events)));
    }
    let address = match project.client_address {
        "keep" => "kept where ip=1",
        "mask" => "network kept where ip=1",
        _ => "not kept",
    };
    let origins = match &project.allowed_origins[..] {
        [] => "any".to_owned(),
        origins => origins.join(" "),
    };
    let retention =
        project.retention_days.map_or_else(|| "as the store".to_owned(), |days| format!("{days} days"));
    let used = |uses: u64, last: Option<u64>| format!("used {uses} times, last {}", when(last));
    fields.extend([
        ("API key", used(project.api_key_uses, project.api_key_last_used_ms)),
        ("API secret", used(project.api_secret_uses, project.api_secret_last_used_ms)),
        ("id merge", project.id_merge.to_owned()),
        ("client address", address.to_owned()),
        ("origins", origins),
        ("time zone", project.timezone.clone()),
        ("retention", retention),
        ("created", format!("{} by {}", out::time(project.created_at_ms), project.created_by)),
    ]);
    for former in &project.former_credentials {
        let what = if former.kind == "api_key" { "former API key" } else { "former secret" };
        let value =
            format!("until {} UTC; {}", out::time(former.ends_at_ms), used(former.uses, former.last_used_ms));
        fields.push((what, value));
    }
    for (name, value) in fields {
        out.line(&format!("{name:<15} {value}"))?;
    }
    out.done()
}

pub(super) fn show_deleted(common: &Common, deleted: &[DeletedProject]) -> Done {
    let mut out = common.out();
    if out.json {
        deleted.iter().try_for_each(|project| out.value(project))?;
        return out.done();
    }
    let rows: Vec<_> = deleted
        .iter()
        .map(|p| {
            let [deleted, purged] = [p.deleted_at_ms, p.purged_at_ms].map(out::time);
            [p.id.to_string(), out::clipped(&p.name, 40), deleted, p.deleted_by.clone(), purged]
        })
        .collect();
    out.table(["ID", "NAME", "DELETED (UTC)", "BY", "GONE FOR GOOD (UTC)"], &rows)?;
    out.done()
}

pub(super) fn members(common: &Common, members: &[ProjectMember]) -> Done {
    let mut out = common.out();
    if out.json {
        members.iter().try_for_each(|member| out.value(member))?;
        return out.done();
    }
    let rows: Vec<_> = members
        .iter()
        .map(|member| {
            let given = member.given.map_or("-", ProjectRole::as_str);
            [
                member.role.to_string(),
                member.email.clone(),
                member.name.clone(),
                given.to_owned(),
                member.organisation_role.to_string(),
            ]
        })
        .collect();
    out.table(["ROLE", "E-MAIL", "NAME", "GIVEN HERE", "IN THE ORGANISATION"], &rows)?;
    out.done()
}

/// Tokens that belong to no project.
pub(super) fn unclaimed(common: &Common, tokens: &[StoredUnknownToken]) -> Done {
    let mut out = common.out();
    let text = |token: &StoredUnknownToken| String::from_utf8_lossy(&token.token).into_owned();
    if out.json {
        for token in tokens {
            out.value(&json!({
                "token": text(token), "events": token.events, "first_seen_ms": token.first_seen_ms,
                "last_seen_ms": token.last_seen_ms,
            }))?;
        }
        return out.done();
    }
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let (first, last) = (out::time(token.first_seen_ms), out::time(token.last_seen_ms));
            [out::clipped(&text(token), 64), token.events.to_string(), first, last]
        })
        .collect();
    out.table(["TOKEN", "EVENTS", "FIRST SEEN (UTC)", "LAST SEEN (UTC)"], &rows)?;
    out.done()
}
