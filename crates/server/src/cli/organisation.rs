//! `forebay organisation` and `forebay owner`: who belongs to an organisation, and as what.

use super::{Common, Done, out};
use clap::Subcommand;
use forebay_control::{Acting, Organisation as Shown, OrganisationRole, PeopleError, PersonId, ProjectRole};
use serde_json::json;

/// Create, show and change organisations, and say who belongs to them
#[derive(Debug, Subcommand)]
pub(crate) enum Organisation {
    /// Create an organisation
    Create {
        /// Its name
        #[arg(long)]
        name: String,
        /// The e-mail address of its owner
        #[arg(long, value_name = "EMAIL")]
        owner: Option<String>,
    },
    /// List organisations
    List,
    /// Show an organisation and who belongs to it
    Show {
        /// Its number
        id: u64,
    },
    /// Give an organisation another name
    Rename {
        /// Its number
        id: u64,
        /// The new name
        name: String,
    },
    /// Require a second factor of everybody who does something in an organisation
    RequireTwoFactor {
        /// Its number
        id: u64,
        /// No longer
        #[arg(long)]
        off: bool,
    },
    /// Give a person a role, whether they belong to it or not yet
    SetRole {
        /// The organisation's number
        id: u64,
        /// The person's e-mail address
        email: String,
        /// member, admin or owner
        role: OrganisationRole,
    },
    /// Give a person a role in one project; `none` takes it away
    SetProjectRole {
        /// The project's number
        project: u64,
        /// The person's e-mail address
        email: String,
        /// consumer, analyst, admin, owner, or none
        #[arg(value_parser = project_role)]
        role: Given,
    },
    /// Take a person out of an organisation and its projects
    Remove {
        /// The organisation's number
        id: u64,
        /// The person's e-mail address
        email: String,
    },
}

/// A role to be given, or to be taken away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given(Option<ProjectRole>);

fn project_role(word: &str) -> Result<Given, String> {
    match word {
        "none" => Ok(Given(None)),
        word => word
            .parse()
            .map(|role| Given(Some(role)))
            .map_err(|e: forebay_control::NoRole| format!("{e}, none")),
    }
}

/// Give a locked-out organisation an owner
#[derive(Debug, Subcommand)]
pub(crate) enum Owner {
    /// Make a person an owner, whatever they were
    Grant {
        /// The organisation's number
        #[arg(long, value_name = "ID")]
        organisation: u64,
        /// The person's e-mail address
        #[arg(long)]
        email: String,
    },
}

impl Organisation {
    pub(crate) fn run(self, common: &Common) -> Done {
        let mut out = common.out();
        let control = common.existing_control()?;
        let host = control.host();
        match self {
            Organisation::Create { name, owner } => {
                let owner = owner.map(|email| person(&host, &email)).transpose()?;
                show(&mut out, &host.create_organisation(&name, owner)?)?;
            }
            Organisation::List => {
                let organisations = host.organisations()?;
                if out.json {
                    organisations.iter().try_for_each(|organisation| out.value(organisation))?;
                } else {
                    let rows: Vec<_> = organisations.iter().map(row).collect();
                    out.table(["ID", "NAME", "PROJECTS", "MEMBERS", "OWNERS"], &rows)?;
                }
            }
            Organisation::Show { id } => show(&mut out, &host.organisation(id)?)?,
            Organisation::Rename { id, name } => show(&mut out, &host.rename_organisation(id, &name)?)?,
            Organisation::RequireTwoFactor { id, off } => {
                show(&mut out, &host.require_two_factor(id, !off)?)?
            }
            Organisation::SetRole { id, email, role } => {
                let whom = person(&host, &email)?;
                show(&mut out, &host.set_organisation_role(id, whom, role)?)?;
            }
            Organisation::SetProjectRole { project, email, role: Given(role) } => {
                let whom = person(&host, &email)?;
                host.set_project_role(project, whom, role)?;
                let word = role.map_or("none", ProjectRole::as_str);
                if out.json {
                    out.value(&json!({ "project": project, "person": whom, "role": role }))?;
                } else {
                    out.line(&format!("project {project}: {email} has the role {word}"))?;
                }
            }
            Organisation::Remove { id, email } => {
                let whom = person(&host, &email)?;
                host.remove_member(id, whom)?;
                show(&mut out, &host.organisation(id)?)?;
            }
        }
        out.done()
    }
}

impl Owner {
    pub(crate) fn run(self, common: &Common) -> Done {
        let mut out = common.out();
        let control = common.existing_control()?;
        let host = control.host();
        let Owner::Grant { organisation, email } = self;
        let whom = person(&host, &email)?;
        show(&mut out, &host.set_organisation_role(organisation, whom, OrganisationRole::Owner)?)?;
        out.done()
    }
}

fn person(host: &Acting<'_>, email: &str) -> Result<PersonId, PeopleError> {
    Ok(host.person_of_email(email)?.id)
}

fn row(organisation: &Shown) -> [String; 5] {
    let owners = organisation.members.iter().filter(|member| member.role == OrganisationRole::Owner);
    let owners: Vec<_> = owners.map(|owner| owner.email.as_str()).collect();
    [
        organisation.id.to_string(),
        organisation.name.clone(),
        organisation.projects.to_string(),
        organisation.members.len().to_string(),
        if owners.is_empty() { "none: in the hands of this host".to_owned() } else { owners.join(", ") },
    ]
}

fn show(out: &mut out::Out, organisation: &Shown) -> Done {
    if out.json {
        return out.value(organisation);
    }
    let id = organisation.id;
    let two_factor = if organisation.requires_two_factor { "   second factor required" } else { "" };
    out.line(&format!(
        "organisation {id}  {}   projects: {}{two_factor}",
        organisation.name, organisation.projects
    ))?;
    if organisation.members.is_empty() {
        return out.line(&format!(
            "nobody belongs to it yet: forebay person create --email EMAIL --name NAME --organisation {id} --role owner"
        ));
    }
    let rows: Vec<_> = organisation
        .members
        .iter()
        .map(|member| {
            [
                member.role.to_string(),
                member.email.clone(),
                member.name.clone(),
                out::time(member.added_at_ms),
            ]
        })
        .collect();
    out.table(["ROLE", "E-MAIL", "NAME", "SINCE (UTC)"], &rows)
}
