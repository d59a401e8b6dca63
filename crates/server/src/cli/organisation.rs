//! `forebay organisation` and `forebay owner`: who belongs to an organisation, as what, and how they come in.

use super::{Common, Done, Failure, dry_run, out};
use clap::Subcommand;
use forebay_control::{
    Acting, Invitation, Invited, NewInvitation, Organisation as Shown, OrganisationRole, PeopleError,
    PersonId, ProjectRole,
};
use jiff::Timestamp;
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
    /// Delete an organisation that has no project and no service account
    Delete {
        /// Its number
        id: u64,
        /// Only say what would go, and what stays
        #[arg(long)]
        dry_run: bool,
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
    /// Invite somebody; the code that is printed lets whoever has that address come in, once
    Invite(Invite),
    /// List the open invitations
    Invitations {
        /// The organisation's number
        id: u64,
    },
    /// Take an invitation back
    RevokeInvitation {
        /// The organisation's number
        id: u64,
        /// The invitation's number
        invitation: u64,
    },
    /// Take a person out of an organisation and its projects
    Remove {
        /// The organisation's number
        id: u64,
        /// The person's e-mail address
        email: String,
        /// Only say what would go, and what stays
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    /// The organisation's number
    id: u64,
    /// Whom: their e-mail address
    email: String,
    /// What they are to be: member, admin or owner
    #[arg(long, value_name = "ROLE", default_value = "member")]
    role: OrganisationRole,
    /// A project they are to have a role in
    #[arg(long, value_name = "ID", requires = "project_role")]
    project: Option<u64>,
    /// Which: consumer, analyst, admin or owner
    #[arg(long, value_name = "ROLE", requires = "project")]
    project_role: Option<ProjectRole>,
    /// Until when it can be taken, for example 2027-01-31 [default: for seven days]
    #[arg(long, value_name = "TIME", value_parser = super::time::moment)]
    expires: Option<Timestamp>,
    /// Have the running server, or the next that runs, send them the link by mail; takes `mail.host` and `console.url`
    #[arg(long)]
    mail: bool,
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

/// Give a locked-out organisation an owner, or the first person a link to set up by
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
    /// Let a person sign in again at once whom failed attempts keep out
    Unlock {
        /// Their e-mail address
        #[arg(long)]
        email: String,
    },
    /// Print another link to set up by, while nobody has: the one before ends
    SetupLink,
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
            Organisation::Delete { id, dry_run: true } => dry_run::delete_organisation(common, &host, id)?,
            Organisation::Delete { id, dry_run: false } => {
                host.delete_organisation(id, &super::proof(&host)?)?;
                if out.json {
                    out.value(&json!({ "deleted": id }))?;
                } else {
                    out.line(&format!("deleted organisation {id}"))?;
                }
            }
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
            Organisation::Invite(invite) => invite.run(&mut out, &host)?,
            Organisation::Invitations { id } => list_invitations(&mut out, &host.invitations(id)?)?,
            Organisation::RevokeInvitation { id, invitation } => {
                host.revoke_invitation(id, invitation)?;
                if out.json {
                    out.value(&json!({ "revoked": invitation }))?;
                } else {
                    out.line(&format!("revoked invitation {invitation}"))?;
                }
            }
            Organisation::Remove { id, email, dry_run: true } => {
                dry_run::remove_member(common, &host, id, &email)?;
            }
            Organisation::Remove { id, email, dry_run: false } => {
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
        match self {
            Owner::Grant { organisation, email } => {
                let whom = person(&host, &email)?;
                show(&mut out, &host.set_organisation_role(organisation, whom, OrganisationRole::Owner)?)?;
            }
            Owner::Unlock { email } => {
                let whom = person(&host, &email)?;
                let forgiven = host.forgive_failures(whom)?;
                if out.json {
                    out.value(&json!({ "id": whom, "failures_forgiven": forgiven }))?;
                } else {
                    out.line(&format!(
                        "{email} may sign in again; failed attempts that count no more: {forgiven}"
                    ))?;
                    out.line(
                        "a network from which too many attempts failed still waits, for up to 15 minutes",
                    )?;
                }
            }
            Owner::SetupLink => {
                let made = control.new_setup_code()?.ok_or_else(|| {
                    Failure::Failed(
                        "somebody has set up already; `forebay person list` shows who, and `forebay owner grant` makes \
                         a person an owner"
                            .to_owned(),
                    )
                })?;
                if out.json {
                    out.value(&made)?;
                } else {
                    out.line(&format!("code    {}", made.code))?;
                    out.line(&format!(
                        "open    /console/setup?code={} on this server, in a browser",
                        made.code
                    ))?;
                    out.line(&format!(
                        "ends    {} UTC, or when another is printed",
                        out::time(made.expires_at_ms)
                    ))?;
                }
            }
        }
        out.done()
    }
}

impl Invite {
    fn run(self, out: &mut out::Out, host: &Acting<'_>) -> Done {
        let invited = host.invite(&NewInvitation {
            organisation: self.id,
            email: self.email,
            role: self.role,
            project: self.project.zip(self.project_role),
            expires_at_ms: self.expires.map(|t| u64::try_from(t.as_millisecond()).unwrap_or(0)),
        })?;
        if self.mail && !host.mail_invitation(&invited.code)? {
            return Err(Failure::Failed(format!(
                "invitation {} is open, and no mail is sent: the server runs without mail.host or console.url",
                invited.invitation.id
            )));
        }
        if out.json {
            return out.value(&invited);
        }
        let Invited { invitation, code } = invited;
        out.line(&format!("invited {} to {}", invitation.email, invitation.organisation_name))?;
        out.line(&format!("code    {code}   (shown this once: pass it on to them alone)"))?;
        out.line(&format!("open    /console/invitation?code={code} on this server, in a browser"))?;
        out.line(&format!("ends    {} UTC", out::time(invitation.expires_at_ms)))
    }
}

fn list_invitations(out: &mut out::Out, open: &[Invitation]) -> Done {
    if out.json {
        return open.iter().try_for_each(|invitation| out.value(invitation));
    }
    let rows: Vec<_> = open
        .iter()
        .map(|i| {
            let project = i.project.zip(i.project_role).map(|(id, role)| format!("{id} ({role})"));
            [
                i.id.to_string(),
                i.email.clone(),
                i.role.to_string(),
                project.unwrap_or_default(),
                out::time(i.expires_at_ms),
                i.created_by.clone(),
            ]
        })
        .collect();
    out.table(["ID", "E-MAIL", "ROLE", "PROJECT", "ENDS (UTC)", "BY"], &rows)
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
