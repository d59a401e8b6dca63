//! `forebay stats` and `forebay rejects`: what became of every event.

use super::{Common, Done, Failure, out};
use forebay_control::{Stats as Answer, StatsFilter};
use forebay_record::ProjectId;
use forebay_route::{Counts, Owner};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What became of the events: received, stored, rejected, dropped
#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    /// Only this project; may be repeated
    #[arg(long = "project", value_name = "ID")]
    projects: Vec<ProjectId>,
    /// From this time on, for example 2026-11-01T00:00:00Z or 2026-11-01
    #[arg(long, value_name = "TIME", value_parser = super::time::moment)]
    from: Option<Timestamp>,
    /// Up to this time
    #[arg(long, value_name = "TIME", value_parser = super::time::moment)]
    to: Option<Timestamp>,
    /// Also list so many minutes, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    minutes: usize,
}

/// Unknown tokens shown.
const UNKNOWN_TOKENS: usize = 10;

impl Stats {
    pub(crate) fn run(self, common: &Common) -> Done {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(Failure::Usage(format!("--from {from} is not before --to {to}")));
        }
        let control = common.existing_control()?;
        for project in &self.projects {
            control.host().project(project.as_u64())?;
        }
        let ms = |t: Option<Timestamp>| t.map(|t| u64::try_from(t.as_millisecond()).unwrap_or(0));
        let stats = control.stats(&StatsFilter {
            owners: self.projects.iter().copied().map(Owner::Project).collect(),
            from_ms: ms(self.from),
            to_ms: ms(self.to),
            minutes_max: self.minutes,
        })?;
        let unknown =
            if self.projects.is_empty() { control.unknown_tokens(UNKNOWN_TOKENS)? } else { Vec::new() };
        let mut out = common.out();
        if out.json {
            let unknown: Vec<_> = unknown
                .iter()
                .map(|t| {
                    let token = String::from_utf8_lossy(&t.token);
                    json!({ "token": token, "events": t.events, "first_seen_ms": t.first_seen_ms, "last_seen_ms": t.last_seen_ms })
                })
                .collect();
            out.value(&stats_json(&stats, &unknown))?;
            return out.done();
        }
        let mut rows: Vec<_> = stats
            .owners
            .iter()
            .map(|o| {
                row(format!("{} {}", o.owner, o.name.as_deref().unwrap_or("")).trim().to_owned(), &o.counts)
            })
            .collect();
        rows.push(row("all".to_owned(), &stats.totals));
        out.table(
            ["PROJECT", "RECEIVED", "STORED", "REJECTED", "DROPPED", "IN FLIGHT", "BYTES STORED"],
            &rows,
        )?;
        let reasons: Vec<_> = stats
            .totals
            .iter()
            .filter(|(kind, ..)| !kind.reason().is_empty())
            .map(|(kind, events, _)| [kind.to_string(), kind.reason().to_owned(), events.to_string()])
            .collect();
        if !reasons.is_empty() {
            out.line("")?;
            out.table(["VERDICT", "REASON", "EVENTS"], &reasons)?;
        }
        if !stats.minutes.is_empty() {
            out.line("")?;
            let rows: Vec<_> = stats
                .minutes
                .iter()
                .map(|m| row(format!("{} {}", out::time(m.minute_ms), m.owner), &m.counts))
                .collect();
            out.table(
                ["MINUTE", "RECEIVED", "STORED", "REJECTED", "DROPPED", "IN FLIGHT", "BYTES STORED"],
                &rows,
            )?;
        }
        if !unknown.is_empty() {
            out.line("")?;
            out.line(
                "Tokens that belong to no project (`forebay project create --token T` claims one's events):",
            )?;
            let rows: Vec<_> = unknown
                .iter()
                .map(|t| {
                    let token = out::clipped(&String::from_utf8_lossy(&t.token), 64);
                    [token, t.events.to_string(), out::time(t.last_seen_ms)]
                })
                .collect();
            out.table(["TOKEN", "EVENTS", "LAST SEEN (UTC)"], &rows)?;
        }
        out.done()
    }
}

fn row(name: String, counts: &Counts) -> [String; 7] {
    [
        name,
        counts.received.to_string(),
        counts.stored.to_string(),
        counts.rejected_total().to_string(),
        counts.dropped_total().to_string(),
        counts.in_flight().to_string(),
        out::bytes(counts.stored_bytes),
    ]
}

fn stats_json(stats: &Answer, unknown: &[Value]) -> Value {
    let owners: Vec<_> = stats
        .owners
        .iter()
        .map(|o| {
            let mut counts = counts_json(&o.counts);
            counts.insert("owner".into(), o.owner.to_string().into());
            counts.insert("project_id".into(), o.owner.project().map(ProjectId::as_u64).into());
            counts.insert("name".into(), o.name.clone().into());
            counts
        })
        .collect();
    let minutes: Vec<_> = stats
        .minutes
        .iter()
        .map(|m| {
            let mut counts = counts_json(&m.counts);
            counts.insert("minute_ms".into(), m.minute_ms.into());
            counts.insert("owner".into(), m.owner.to_string().into());
            counts.insert("project_id".into(), m.owner.project().map(ProjectId::as_u64).into());
            counts
        })
        .collect();
    json!({ "totals": counts_json(&stats.totals), "owners": owners, "minutes": minutes, "unknown_tokens": unknown })
}

fn counts_json(counts: &Counts) -> Map<String, Value> {
    let rejected: Map<_, _> =
        counts.rejected.iter().map(|(r, &n)| (r.as_str().to_owned(), n.into())).collect();
    let dropped: Map<_, _> = counts.dropped.iter().map(|(r, &n)| (r.as_str().to_owned(), n.into())).collect();
    let value = json!({
        "received": counts.received,
        "received_bytes": counts.received_bytes,
        "stored": counts.stored,
        "stored_bytes": counts.stored_bytes,
        "rejected": rejected,
        "dropped": dropped,
        "in_flight": counts.in_flight(),
        "unaccounted": counts.unaccounted,
    });
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// The last refusals, with reason and sample
#[derive(Debug, clap::Args)]
pub(crate) struct Rejects {
    /// Only this project's
    #[arg(long, value_name = "ID", conflicts_with = "owner")]
    project: Option<ProjectId>,
    /// Only those that belong to no project: none (no token could be read) or unclaimed
    #[arg(long, value_name = "none|unclaimed")]
    owner: Option<String>,
    /// How many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
}

impl Rejects {
    pub(crate) fn run(self, common: &Common) -> Done {
        let owner = match self.owner.as_deref() {
            None => self.project.map(Owner::Project),
            Some("none") => Some(Owner::Nobody),
            Some("unclaimed") => Some(Owner::Unclaimed),
            Some(other) => {
                return Err(Failure::Usage(format!("--owner is {other:?}: it must be none or unclaimed")));
            }
        };
        let control = common.existing_control()?;
        if let Some(project) = self.project {
            control.host().project(project.as_u64())?;
        }
        let rejects = control.rejects(owner, self.limit)?;
        let mut out = common.out();
        for r in &rejects {
            if out.json {
                out.value(&json!({
                    "at_ms": r.at_ms, "owner": r.owner.to_string(), "project_id": r.owner.project().map(ProjectId::as_u64),
                    "endpoint": r.endpoint, "reason": r.reason, "detail": r.detail, "events": r.events, "sample": r.sample,
                }))?;
            } else {
                let events =
                    if r.events == 1 { "1 event".to_owned() } else { format!("{} events", r.events) };
                out.line(&format!(
                    "{}  {}  {}  {events}  {}",
                    out::time(r.at_ms),
                    r.owner,
                    r.endpoint,
                    r.reason
                ))?;
                out.line(&format!("    {}", out::clipped(&r.detail, 200)))?;
                out.line(&format!("    {}", out::clipped(&r.sample, 200)))?;
            }
        }
        if rejects.is_empty() && !out.json {
            out.line("nothing was refused")?;
        }
        out.done()
    }
}
