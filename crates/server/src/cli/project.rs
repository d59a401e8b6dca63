//! `forebay project`: who may send, under which token, and who may read.

use super::{Common, Done, Failure, out};
use clap::{Subcommand, ValueEnum};
use forebay_control::{CreatedProject, NewProject, ProjectChange, ProjectInfo, RegistryDocument};
use forebay_record::ProjectId;
use forebay_route::IdMerge;
use std::{
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Create, show and change projects
#[derive(Debug, Subcommand)]
pub(crate) enum Project {
    /// Create a project; what is left out is chosen
    Create(Create),
    /// List all projects
    List,
    /// Show one project
    Show(Which),
    /// Give a project another name
    Rename {
        #[command(flatten)]
        which: Which,
        /// The new name
        name: String,
    },
    /// Change a project's settings
    Set(Set),
    /// Let another token send to a project; unclaimed events kept under it read as the project's
    AddToken {
        #[command(flatten)]
        which: Which,
        /// The token
        token: String,
    },
    /// Stop a token from sending to a project
    RemoveToken {
        #[command(flatten)]
        which: Which,
        /// The token
        token: String,
    },
    /// Give a project a new API secret; the old one stops working
    ResetSecret(Which),
    /// Answer a project's senders with 0 and store nothing more
    Disable(Which),
    /// Take a project's events again
    Enable(Which),
    /// Write projects and service accounts as JSON, credentials included, for another node
    Export(Export),
    /// Make projects and service accounts what such a document says
    Import {
        /// The document; - is stdin
        file: PathBuf,
    },
}

/// Names a project.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The project's number
    #[arg(value_name = "ID")]
    id: ProjectId,
}

impl Which {
    fn id(&self) -> u64 {
        self.id.as_u64()
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The name, for people
    #[arg(long, default_value = "project")]
    name: String,
    /// The number, where a team brings an existing project's
    #[arg(long)]
    id: Option<u64>,
    /// The token, where a team brings an existing project's
    #[arg(long)]
    token: Option<String>,
    /// The API key, where a team brings an existing project's
    #[arg(long)]
    api_key: Option<String>,
    /// The API secret, where a team brings an existing project's
    #[arg(long)]
    api_secret: Option<String>,
    /// How identities are resolved
    #[arg(long, value_enum, default_value_t = Merge::Original)]
    id_merge: Merge,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    #[command(flatten)]
    which: Which,
    /// How identities are resolved
    #[arg(long, value_enum)]
    id_merge: Option<Merge>,
    /// Whether senders' addresses are stored where the request asks for geography
    #[arg(long, value_name = "true|false")]
    keeps_client_ip: Option<bool>,
    /// Events received longer ago are hidden; 0: as long as the store keeps them
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(..=36_500))]
    retention_days: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Only these projects
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    /// Write to this file, readable by you alone, instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How a project resolves identities, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Merge {
    /// `$identify`, `$create_alias` and `$merge` events
    Original,
    /// `$device_id` and `$user_id`
    Simplified,
}

impl From<Merge> for IdMerge {
    fn from(merge: Merge) -> IdMerge {
        match merge {
            Merge::Original => IdMerge::Original,
            Merge::Simplified => IdMerge::Simplified,
        }
    }
}

impl Project {
    pub(crate) fn run(self, common: &Common) -> Done {
        match self {
            Project::Create(create) => create.run(common),
            Project::List => list(common),
            Project::Show(which) => show(common, &common.existing_control()?.show_project(which.id())?),
            Project::Rename { which, name } => {
                show(common, &common.existing_control()?.rename_project(which.id(), &name)?)
            }
            Project::Set(set) => set.run(common),
            Project::AddToken { which, token } => {
                show(common, &common.existing_control()?.add_token(which.id(), &token)?)
            }
            Project::RemoveToken { which, token } => {
                show(common, &common.existing_control()?.remove_token(which.id(), &token)?)
            }
            Project::ResetSecret(which) => reset_secret(common, which.id()),
            Project::Disable(which) => show(common, &common.existing_control()?.disable_project(which.id())?),
            Project::Enable(which) => show(common, &common.existing_control()?.enable_project(which.id())?),
            Project::Export(export) => export.run(common),
            Project::Import { file } => import(common, &file),
        }
    }
}

impl Create {
    fn run(self, common: &Common) -> Done {
        let Create { name, id, token, api_key, api_secret, id_merge } = self;
        let new = NewProject { name, id, token, api_key, api_secret, id_merge: id_merge.into() };
        show_created(common, &common.control()?.create_project(&new)?)
    }
}

fn show_created(common: &Common, created: &CreatedProject) -> Done {
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

fn reset_secret(common: &Common, id: u64) -> Done {
    let reset = common.existing_control()?.reset_secret(id)?;
    let mut out = common.out();
    if out.json {
        out.value(&reset)?;
    } else {
        out.line(&format!(
            "API secret  {}   (reads everything; the old one no longer works)",
            reset.api_secret
        ))?;
    }
    out.done()
}

fn list(common: &Common) -> Done {
    let projects = common.existing_control()?.list_projects()?;
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

fn show(common: &Common, project: &ProjectInfo) -> Done {
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
        fields.push(("token", format!("{}   last used {}", token.token, when(token.last_used_ms))));
    }
    let retention =
        project.retention_days.map_or_else(|| "as the store".to_owned(), |days| format!("{days} days"));
    fields.extend([
        ("API key", format!("last used {}", when(project.api_key_last_used_ms))),
        ("API secret", format!("last used {}", when(project.api_secret_last_used_ms))),
        ("id merge", project.id_merge.to_owned()),
        ("client address", if project.keeps_client_ip { "kept where ip=1" } else { "not kept" }.to_owned()),
        ("retention", retention),
        ("created", format!("{} by {}", out::time(project.created_at_ms), project.created_by)),
    ]);
    for (name, value) in fields {
        out.line(&format!("{name:<15} {value}"))?;
    }
    out.done()
}

impl Set {
    fn run(self, common: &Common) -> Done {
        let change = ProjectChange {
            id_merge: self.id_merge.map(IdMerge::from),
            keeps_client_ip: self.keeps_client_ip,
            retention_days: self.retention_days.map(|days| (days > 0).then_some(days)),
            ..ProjectChange::default()
        };
        if change == ProjectChange::default() {
            let text = "nothing to set: give --id-merge, --keeps-client-ip or --retention-days";
            return Err(Failure::Usage(text.to_owned()));
        }
        show(common, &common.existing_control()?.change_project(self.which.id(), &change)?)
    }
}

impl Export {
    fn run(self, common: &Common) -> Done {
        let document = common.existing_control()?.export(&self.ids)?;
        let mut text = serde_json::to_vec_pretty(&document)?;
        text.push(b'\n');
        let Some(path) = &self.out else {
            let mut out = common.out();
            out.bytes(&text)?;
            return out.done();
        };
        // A new file: an old one would keep its permissions, and this one holds secrets.
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::AlreadyExists => Failure::Failed(format!(
                "{} is there already and is not overwritten: remove it or name another file",
                path.display()
            )),
            _ => Failure::Failed(format!("cannot write {}: {e}", path.display())),
        };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)
    }
}

fn import(common: &Common, path: &Path) -> Done {
    let failed = |e| Failure::Failed(format!("cannot read {}: {e}", path.display()));
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut text).map_err(failed)?;
    } else {
        text = std::fs::read(path).map_err(failed)?;
    }
    let named = |e: &dyn std::error::Error| {
        Failure::Failed(format!("cannot import {}: {}", path.display(), crate::chain(e)))
    };
    // Read before the registry is opened: a wrong document leaves no new data directory behind.
    let document = RegistryDocument::parse(&text).map_err(|e| named(&e))?;
    let report = common.control()?.import(&document).map_err(|e| named(&e))?;
    let mut out = common.out();
    if out.json {
        out.value(&report)?;
    } else {
        let row = |what: &str, counts: [usize; 3]| {
            let [created, changed, unchanged] = counts.map(|n| n.to_string());
            [what.to_owned(), created, changed, unchanged]
        };
        let rows = [
            row("projects", [report.projects_created, report.projects_changed, report.projects_unchanged]),
            row(
                "service accounts",
                [
                    report.service_accounts_created,
                    report.service_accounts_changed,
                    report.service_accounts_unchanged,
                ],
            ),
        ];
        out.table(["", "CREATED", "CHANGED", "UNCHANGED"], &rows)?;
    }
    out.done()
}
