//! `forebay service-account`: machines that may read and import.

use super::{Common, Done, out};
use clap::Subcommand;
use forebay_control::NewAccount;
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
    /// Delete an account; it stops working at once
    Delete {
        /// The account's name
        username: String,
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
    /// A project it may use; may be repeated
    #[arg(long = "project", value_name = "ID", required = true)]
    projects: Vec<u64>,
    /// When it stops working, for example 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = super::time::moment)]
    expires: Option<Timestamp>,
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
                    // A time before the epoch is as expired as one at it.
                    expires_at_ms: create.expires.map(|t| u64::try_from(t.as_millisecond()).unwrap_or(0)),
                };
                let created = common.existing_control()?.create_service_account(&new)?;
                if out.json {
                    out.value(&created)?;
                } else {
                    out.line(&format!("user name  {}", created.username))?;
                    out.line(&format!("secret     {}   (shown this once)", created.secret))?;
                    out.line(&format!("projects   {}", list(&created.projects)))?;
                }
            }
            ServiceAccount::List { project } => {
                let control = common.existing_control()?;
                if let Some(project) = project {
                    control.show_project(project.as_u64())?;
                }
                let accounts = control.list_service_accounts(project)?;
                if out.json {
                    for account in &accounts {
                        out.value(account)?;
                    }
                } else {
                    let rows: Vec<_> = accounts
                        .iter()
                        .map(|a| {
                            let or_never = |ms: Option<u64>| ms.map_or_else(|| "never".to_owned(), out::time);
                            [
                                a.username.clone(),
                                list(&a.projects),
                                or_never(a.expires_at_ms),
                                or_never(a.last_used_ms),
                            ]
                        })
                        .collect();
                    out.table(["USER NAME", "PROJECTS", "EXPIRES (UTC)", "LAST USED (UTC)"], &rows)?;
                }
            }
            ServiceAccount::Delete { username } => {
                common.existing_control()?.delete_service_account(&username)?;
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

fn list(projects: &[u64]) -> String {
    projects.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}
