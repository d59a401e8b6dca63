//! `forebay service-account`: machines that may read and import.

use super::{Common, Done, dry_run, out};
use clap::Subcommand;
use forebay_control::{
    Account, AccountProject, CreatedAccount, Grace, NewAccount, NoRole, OrganisationRole, Scope,
};
use forebay_record::ProjectId;
use jiff::Timestamp;
use serde_json::json;

/// Create, list and delete the machine accounts that may read and import
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceAccount {
    /// Create an account; its secret is shown this once
    Create(Create),
    /// List accounts
    List {
        /// Only those that may use this project
        #[arg(long, value_name = "ID")]
        project: Option<ProjectId>,
    },
    /// Let an account use another project, or in another role
    AddToProject {
        /// The account's name
        username: String,
        /// The project, and the role there if it is not admin: ID or ID=ROLE
        #[arg(value_name = "ID[=ROLE]", value_parser = account_project)]
        project: AccountProject,
    },
    /// Take an account's role in a project away; an owner or admin of the organisation still reaches it
    RemoveFromProject {
        /// The account's name
        username: String,
        /// The project's number
        project: u64,
    },
    /// Set when an account stops working
    Expire {
        /// The account's name
        username: String,
        /// When, for example 2027-01-31T00:00:00Z [default: never]
        #[arg(long, value_name = "TIME", value_parser = super::time::moment)]
        at: Option<Timestamp>,
    },
    /// Give an account another role in its organisation
    SetRole {
        /// The account's name
        username: String,
        /// member, admin or owner
        role: OrganisationRole,
    },
    /// Narrow an account to some of what its roles let it do
    Narrow {
        /// The account's name
        username: String,
        /// Between commas: export, import, and engage-read, gdpr, which do nothing yet; or `none`, to narrow it no longer
        #[arg(value_parser = narrowed)]
        scopes: Narrowed,
    },
    /// Give an account another secret, shown this once; the one before stops working, at once or after a time
    Rotate {
        /// The account's name
        username: String,
        /// How long the one before is taken too: 0, 1h, 24h or 7d
        #[arg(long, value_name = "TIME", default_value = "24h")]
        grace: Grace,
    },
    /// Delete an account; it stops working at once
    Delete {
        /// The account's name
        username: String,
        /// Only say what would go, and what stays
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The name; left out, one is chosen
    #[arg(long)]
    username: Option<String>,
    /// The secret; left out, one is chosen
    #[arg(long)]
    secret: Option<String>,
    /// A project it may use, and its role there if it is not admin; may be repeated
    #[arg(long = "project", value_name = "ID[=ROLE]", required_unless_present = "organisation_role",
          value_parser = account_project)]
    projects: Vec<AccountProject>,
    /// What it is in its organisation: member; or admin or owner, and so of each of its projects
    #[arg(long, value_name = "ROLE", default_value = "member")]
    organisation_role: OrganisationRole,
    /// What it is narrowed to, between commas: export, import, and engage-read, gdpr, which do nothing yet [default: not
    /// narrowed]
    #[arg(long, value_name = "SCOPES", value_parser = narrowed)]
    scopes: Option<Narrowed>,
    /// The organisation it belongs to [default: the only one there is]
    #[arg(long, value_name = "ID")]
    organisation: Option<u64>,
    /// When it stops working, for example 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = super::time::moment)]
    expires: Option<Timestamp>,
}

/// What an account is narrowed to, as it is asked for: `None`: nothing.
#[derive(Clone, Debug)]
pub(crate) struct Narrowed(Option<Vec<Scope>>);

impl Narrowed {
    fn scopes(self) -> Option<Vec<Scope>> {
        self.0
    }
}

fn narrowed(words: &str) -> Result<Narrowed, String> {
    if words == "none" {
        return Ok(Narrowed(None));
    }
    let scopes = words.split(',').map(|word| word.trim().parse()).collect::<Result<_, NoRole>>();
    scopes.map(|scopes| Narrowed(Some(scopes))).map_err(|error| format!("{error}; or none"))
}

fn account_project(text: &str) -> Result<AccountProject, String> {
    let (id, role) = text.split_once('=').map_or((text, None), |(id, role)| (id, Some(role)));
    let id = id.parse().map_err(|_| format!("{id:?} is no project's number"))?;
    match role {
        None => Ok(AccountProject::from(id)),
        Some(role) => Ok(AccountProject { id, role: role.parse().map_err(|e: NoRole| e.to_string())? }),
    }
}

impl ServiceAccount {
    pub(crate) fn run(self, common: &Common) -> Done {
        let mut out = common.out();
        match self {
            ServiceAccount::Create(create) => {
                let new = NewAccount {
                    username: create.username,
                    secret: create.secret,
                    projects: create.projects,
                    expires_at_ms: create.expires.map(ms),
                    organisation: create.organisation,
                    organisation_role: create.organisation_role,
                    scopes: create.scopes.and_then(Narrowed::scopes),
                };
                show_secret(&mut out, &common.existing_control()?.host().create_service_account(&new)?)?;
            }
            ServiceAccount::SetRole { username, role } => {
                let control = common.existing_control()?;
                show(&mut out, &[control.host().set_account_role(&username, role)?])?;
            }
            ServiceAccount::Narrow { username, scopes } => {
                let control = common.existing_control()?;
                show(&mut out, &[control.host().set_account_scopes(&username, scopes.scopes().as_deref())?])?;
            }
            ServiceAccount::Rotate { username, grace } => {
                let control = common.existing_control()?;
                show_secret(&mut out, &control.host().rotate_service_account(&username, grace)?)?;
            }
            ServiceAccount::AddToProject { username, project } => {
                let control = common.existing_control()?;
                show(&mut out, &[control.host().add_account_to_project(&username, project)?])?;
            }
            ServiceAccount::RemoveFromProject { username, project } => {
                let control = common.existing_control()?;
                show(&mut out, &[control.host().remove_account_from_project(&username, project)?])?;
            }
            ServiceAccount::Expire { username, at } => {
                let control = common.existing_control()?;
                show(&mut out, &[control.host().set_account_expiry(&username, at.map(ms))?])?;
            }
            ServiceAccount::List { project } => {
                let control = common.existing_control()?;
                show(&mut out, &control.host().list_service_accounts(project)?)?;
            }
            ServiceAccount::Delete { username, dry_run: true } => {
                dry_run::delete_account(common, &common.existing_control()?.host(), &username)?;
            }
            ServiceAccount::Delete { username, dry_run: false } => {
                common.existing_control()?.host().delete_service_account(&username)?;
                if out.json {
                    out.value(&json!({ "deleted": username }))?;
                } else {
                    out.line(&format!("deleted {username}"))?;
                }
            }
        }
        out.done()
    }
}

/// A time before the epoch is as expired as one at it.
fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

fn show_secret(out: &mut out::Out, created: &CreatedAccount) -> Done {
    if out.json {
        return out.value(created);
    }
    out.line(&format!("user name  {}", created.username))?;
    out.line(&format!("secret     {}   (shown this once)", created.secret))?;
    if let Some(end) = created.former_ends_at_ms {
        out.line(&format!("           until {} UTC the one before is taken too", out::time(end)))?;
    }
    out.line(&format!("roles      {}", list(created.organisation_role, &created.projects)))?;
    created.scopes.as_deref().map_or(Ok(()), |scopes| out.line(&format!("narrowed   to {}", words(scopes))))
}

fn show(out: &mut out::Out, accounts: &[Account]) -> Done {
    if out.json {
        return accounts.iter().try_for_each(|account| out.value(account));
    }
    let or_never = |ms: Option<u64>| ms.map_or_else(|| "never".to_owned(), out::time);
    let rows: Vec<_> = accounts
        .iter()
        .map(|a| {
            let former = a.former_ends_at_ms.map(|end| {
                let last = or_never(a.former_last_used_ms);
                format!("until {}, used {} times, last {last}", out::time(end), a.former_uses)
            });
            [
                a.username.clone(),
                list(a.organisation_role, &a.projects),
                a.scopes.as_deref().map_or_else(String::new, words),
                or_never(a.expires_at_ms),
                or_never(a.last_used_ms),
                former.unwrap_or_default(),
            ]
        })
        .collect();
    out.table(
        ["USER NAME", "ROLES", "NARROWED TO", "EXPIRES (UTC)", "LAST USED (UTC)", "SECRET BEFORE"],
        &rows,
    )
}

/// What it is where: in projects, and in its organisation if it is more than a member.
fn list(role: OrganisationRole, projects: &[AccountProject]) -> String {
    let more = (role > OrganisationRole::Member).then(|| format!("organisation ({role})"));
    let projects = projects.iter().map(|project| format!("{} ({})", project.id, project.role));
    more.into_iter().chain(projects).collect::<Vec<_>>().join(" ")
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.for_people()).collect::<Vec<_>>().join(", ")
}
