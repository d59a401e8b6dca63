//! `forebay project`: who may send, under which token, and who may read.

mod show;

use super::{Common, Done, Failure, dry_run};
use clap::{Subcommand, ValueEnum};
use forebay_control::{Grace, NewProject, ProjectChange, RegistryDocument};
use forebay_record::ProjectId;
use forebay_route::{ClientAddress, IdMerge};
use jiff::Timestamp;
use show::{callers, list, members, show, show_created, show_credentials, show_deleted};
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
        /// The token, such as the one that shipped apps have; left out, one is chosen
        token: Option<String>,
    },
    /// Let a token send until a time and no longer; it stays the project's
    RetireToken {
        #[command(flatten)]
        which: Which,
        /// The token
        token: String,
        /// When, for example 2027-01-31T00:00:00Z [default: now]
        #[arg(long, value_name = "TIME", value_parser = super::time::moment, conflicts_with = "undo")]
        at: Option<Timestamp>,
        /// Take the retirement back
        #[arg(long)]
        undo: bool,
    },
    /// Stop a token from sending to a project, and forget it
    RemoveToken {
        #[command(flatten)]
        which: Which,
        /// The token
        token: String,
        /// Only say what would go, and what stays
        #[arg(long)]
        dry_run: bool,
    },
    /// Show a project's API key and secret
    RevealSecret(Which),
    /// Give a project a new API key and secret; those it had stop working, at once or after a time
    ResetSecret {
        #[command(flatten)]
        which: Which,
        /// How long those it had are taken too: 0, 1h, 24h or 7d
        #[arg(long, value_name = "TIME", default_value = "0")]
        grace: Grace,
    },
    /// What used a project's API key and secret in the last thirty days, the last one first
    Callers(Which),
    /// Take none but a project's present API key and secret from now on
    EndGrace(Which),
    /// Delete a project: its tokens and credentials stop at once; for thirty days it can be had back
    Delete {
        #[command(flatten)]
        which: Which,
        /// Only say what would go, and what stays
        #[arg(long)]
        dry_run: bool,
    },
    /// List the deleted projects of an organisation that can be had back
    Deleted {
        /// The organisation's number
        organisation: u64,
    },
    /// Take a deleted project back, as it was
    Undelete(Which),
    /// Hand a project to another organisation; people's roles in it and service accounts stay behind
    Transfer {
        #[command(flatten)]
        which: Which,
        /// The other organisation's number
        organisation: u64,
        /// Only say what would go, and what stays
        #[arg(long)]
        dry_run: bool,
    },
    /// List the tokens under which events arrive that belong to no project, those seen most first
    Unclaimed {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// List who has a role in a project
    Members(Which),
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
    /// The organisation it belongs to [default: the only one there is]
    #[arg(long, value_name = "ID")]
    organisation: Option<u64>,
    /// The time zone that its times are shown in, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "NAME")]
    timezone: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    #[command(flatten)]
    which: Which,
    /// How identities are resolved
    #[arg(long, value_enum)]
    id_merge: Option<Merge>,
    /// What is kept of senders' addresses where the request asks for geography: nothing, the network, or all
    #[arg(long, value_enum, value_name = "drop|mask|keep")]
    client_address: Option<Address>,
    /// An origin that browsers may send from, such as https://shop.example; may be repeated. Others are refused
    #[arg(long = "allowed-origin", value_name = "ORIGIN", conflicts_with = "any_origin")]
    allowed_origins: Vec<String>,
    /// Browsers may send from anywhere
    #[arg(long)]
    any_origin: bool,
    /// The time zone that its times are shown in, such as Europe/Berlin
    #[arg(long, value_name = "NAME")]
    timezone: Option<String>,
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

/// What is kept of senders' addresses, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Address {
    /// Nothing
    Drop,
    /// The network: 24 bits of IPv4, 48 of IPv6
    Mask,
    /// All of it
    Keep,
}

impl From<Address> for ClientAddress {
    fn from(address: Address) -> ClientAddress {
        match address {
            Address::Drop => ClientAddress::Drop,
            Address::Mask => ClientAddress::Mask,
            Address::Keep => ClientAddress::Keep,
        }
    }
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
        let rest = match self {
            Project::Create(create) => return create.run(common),
            Project::List => return list(common),
            Project::Set(set) => return set.run(common),
            Project::Export(export) => return export.run(common),
            Project::Import { file } => return import(common, &file),
            rest => rest,
        };
        let control = common.existing_control()?;
        let host = control.host();
        match rest {
            Project::Show(which) => show(common, &host.project(which.id())?.project),
            Project::Rename { which, name } => show(common, &host.rename_project(which.id(), &name)?),
            Project::AddToken { which, token: Some(token) } => {
                show(common, &host.add_token(which.id(), &token)?)
            }
            Project::AddToken { which, token: None } => show(common, &host.new_token(which.id())?),
            Project::RetireToken { which, token, at, undo } => {
                let at_ms = match at {
                    _ if undo => None,
                    // What is past is as retired as what is now.
                    Some(at) => Some(u64::try_from(at.as_millisecond()).unwrap_or(0)),
                    None => Some(0),
                };
                show(common, &host.retire_token(which.id(), &token, at_ms)?)
            }
            Project::RemoveToken { which, token, dry_run: true } => {
                dry_run::remove_token(common, &host, which.id(), &token)
            }
            Project::RemoveToken { which, token, dry_run: false } => {
                show(common, &host.remove_token(which.id(), &token)?)
            }
            Project::RevealSecret(which) => {
                show_credentials(common, &host.reveal_credentials(which.id(), &super::proof(&host)?)?)
            }
            Project::ResetSecret { which, grace } => {
                show_credentials(common, &host.reset_credentials(which.id(), grace, &super::proof(&host)?)?)
            }
            Project::Callers(which) => callers(common, &host.callers(which.id())?),
            Project::EndGrace(which) => show(common, &host.end_former_credentials(which.id())?),
            Project::Disable(which) => show(common, &host.disable_project(which.id())?),
            Project::Enable(which) => show(common, &host.enable_project(which.id())?),
            Project::Delete { which, dry_run: true } => dry_run::delete_project(common, &host, which.id()),
            Project::Delete { which, dry_run: false } => {
                show_deleted(common, &[host.delete_project(which.id(), &super::proof(&host)?)?])
            }
            Project::Deleted { organisation } => show_deleted(common, &host.deleted_projects(organisation)?),
            Project::Undelete(which) => show(common, &host.undelete_project(which.id())?),
            Project::Transfer { which, organisation, dry_run: true } => {
                dry_run::transfer_project(common, &host, which.id(), organisation)
            }
            Project::Unclaimed { limit } => show::unclaimed(common, &control.unknown_tokens(limit)?),
            Project::Transfer { which, organisation, dry_run: false } => {
                let proof = super::proof(&host)?;
                show(common, &host.transfer_project(which.id(), organisation, &proof)?)
            }
            Project::Members(which) => members(common, &host.project_members(which.id())?),
            Project::Create(_)
            | Project::List
            | Project::Set(_)
            | Project::Export(_)
            | Project::Import { .. } => Ok(()),
        }
    }
}

impl Create {
    fn run(self, common: &Common) -> Done {
        let Create { name, id, token, api_key, api_secret, id_merge, organisation, timezone } = self;
        let id_merge = id_merge.into();
        let new = NewProject { name, id, token, api_key, api_secret, id_merge, organisation, timezone };
        show_created(common, &common.control()?.host().create_project(&new)?)
    }
}

impl Set {
    fn run(self, common: &Common) -> Done {
        let change = ProjectChange {
            id_merge: self.id_merge.map(IdMerge::from),
            client_address: self.client_address.map(ClientAddress::from),
            allowed_origins: (self.any_origin || !self.allowed_origins.is_empty())
                .then_some(self.allowed_origins),
            timezone: self.timezone,
            retention_days: self.retention_days.map(|days| (days > 0).then_some(days)),
            ..ProjectChange::default()
        };
        if change == ProjectChange::default() {
            let text = "nothing to set: give --id-merge, --client-address, --allowed-origin, --any-origin, --timezone or \
                        --retention-days";
            return Err(Failure::Usage(text.to_owned()));
        }
        show(common, &common.existing_control()?.host().change_project(self.which.id(), &change)?)
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
        Failure::Failed(format!("cannot import {}: {}", path.display(), forebay_control::chain(e)))
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
