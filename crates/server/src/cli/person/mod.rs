//! `forebay person`: the people who may sign in, as whoever may run commands on the host sees and changes them.

mod personal;

use super::{Common, Done, Failure, out};
use clap::Subcommand;
use forebay_control::{
    Acting, HandOver, NewPerson, OrganisationRole, PeopleError, Person as Shown, PersonChange,
};
use serde_json::json;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Enter, list, change and delete the people who may sign in
#[derive(Debug, Subcommand)]
pub(crate) enum Person {
    /// Enter a person
    Create(Create),
    /// List everybody
    List,
    /// Show a person: what they belong to, and since when
    Show {
        /// Their e-mail address
        email: String,
    },
    /// Change a person's name or e-mail address
    Change(Change),
    /// Give a person another password, and end all their sessions
    SetPassword {
        /// Their e-mail address
        email: String,
        #[command(flatten)]
        password: Password,
    },
    /// List where a person is signed in
    Sessions {
        /// Their e-mail address
        email: String,
    },
    /// End all of a person's sessions
    SignOut {
        /// Their e-mail address
        email: String,
    },
    /// Sign a person in without a second factor again, who lost the authenticator and the recovery codes
    EndTwoFactor {
        /// Their e-mail address
        email: String,
    },
    /// Show what a person set for themselves, or change it
    Preferences(personal::Preferences),
    /// Print everything that is held about a person, as JSON
    Data {
        /// Their e-mail address
        email: String,
    },
    /// Erase what is held about a person besides their account, which goes on
    EraseData {
        /// Their e-mail address
        email: String,
        /// Only say what would go, and what stays
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete a person at once and for good; projects and events stay
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What they sign in by
    #[arg(long)]
    email: String,
    /// Their name
    #[arg(long)]
    name: String,
    /// An organisation they belong to from now on
    #[arg(long, value_name = "ID")]
    organisation: Option<u64>,
    /// What they are there: member, admin or owner
    #[arg(long, value_name = "ROLE", default_value = "member", requires = "organisation")]
    role: OrganisationRole,
    /// Without a password: they cannot sign in until one is set
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
    #[command(flatten)]
    password: Password,
}

/// Where a password comes from. Never the command line: others see it in the list of processes.
#[derive(Debug, clap::Args)]
pub(crate) struct Password {
    /// A file that holds the password; left out, the first line of standard input does
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    /// Their e-mail address
    email: String,
    /// The new name
    #[arg(long)]
    name: Option<String>,
    /// The new e-mail address
    #[arg(long, value_name = "EMAIL")]
    new_email: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// Their e-mail address
    email: String,
    /// Who becomes an owner of an organisation that would have none left, such as 1=zoe@example.com; may be repeated
    #[arg(long = "hand-over", value_name = "ORGANISATION=EMAIL", value_parser = hand_over)]
    hand_overs: Vec<(u64, String)>,
    /// Only say what they would lose, and what stays
    #[arg(long)]
    dry_run: bool,
}

fn hand_over(text: &str) -> Result<(u64, String), String> {
    let (organisation, email) =
        text.split_once('=').ok_or("it is written ORGANISATION=EMAIL, such as 1=zoe@example.com")?;
    let organisation =
        organisation.parse().map_err(|_| format!("{organisation:?} is no organisation's number"))?;
    Ok((organisation, email.to_owned()))
}

impl Person {
    pub(crate) fn run(self, common: &Common) -> Done {
        let mut out = common.out();
        match self {
            Person::Create(create) => {
                let password = match create.no_password {
                    true => None,
                    false => Some(create.password.read()?),
                };
                let control = common.control()?;
                let host = control.host();
                let new = NewPerson { email: create.email, name: create.name, password };
                let person = match create.organisation {
                    Some(organisation) => host.create_member(&new, organisation, create.role)?,
                    None => host.create_person(&new)?,
                };
                show(&mut out, &person)?;
            }
            Person::List => list(&mut out, &common.existing_control()?.host().people()?)?,
            Person::Show { email } => {
                let control = common.existing_control()?;
                show(&mut out, &control.host().person_of_email(&email)?)?;
            }
            Person::Change(change) => {
                if change.name.is_none() && change.new_email.is_none() {
                    return Err(Failure::Usage("nothing to change: give --name or --new-email".to_owned()));
                }
                let control = common.existing_control()?;
                let person = control.host().person_of_email(&change.email)?;
                let what = PersonChange { name: change.name, email: change.new_email };
                let proof = super::proof(&control.host())?;
                show(&mut out, &control.host().change_person(person.id, &what, Some(&proof))?)?;
            }
            Person::SetPassword { email, password } => {
                let control = common.existing_control()?;
                let person = control.host().person_of_email(&email)?;
                let proof = super::proof(&control.host())?;
                control.host().set_password(person.id, &password.read()?, None, &proof)?;
                tell(
                    &mut out,
                    &json!({ "id": person.id, "password": "set" }),
                    &format!("{} has a new password", person.email),
                )?;
            }
            Person::SignOut { email } => {
                let control = common.existing_control()?;
                let person = control.host().person_of_email(&email)?;
                let ended = control.host().end_sessions(person.id, None)?;
                let text = format!("{}: sessions ended: {ended}", person.email);
                tell(&mut out, &json!({ "id": person.id, "sessions_ended": ended }), &text)?;
            }
            Person::EndTwoFactor { email } => {
                let control = common.existing_control()?;
                let person = control.host().person_of_email(&email)?;
                let proof = super::proof(&control.host())?;
                control.host().end_two_factor(person.id, &proof)?;
                let text = format!("{} signs in by password alone", person.email);
                tell(&mut out, &json!({ "id": person.id, "two_factor": false }), &text)?;
            }
            Person::Sessions { email } => return personal::sessions(common, &email),
            Person::Preferences(preferences) => return preferences.run(common),
            Person::Data { email } => return personal::data(common, &email),
            Person::EraseData { email, dry_run } => return personal::erase(common, &email, dry_run),
            Person::Delete(delete) if delete.dry_run => return personal::losses(common, &delete.email),
            Person::Delete(delete) => {
                let control = common.existing_control()?;
                let host = control.host();
                let person = host.person_of_email(&delete.email)?;
                let hand_overs = hand_overs(&host, &delete.hand_overs)?;
                let proof = super::proof(&host)?;
                host.delete_person(person.id, &proof, &hand_overs)?;
                tell(&mut out, &json!({ "deleted": person.id }), &format!("deleted {}", person.email))?;
            }
        }
        out.done()
    }
}

fn hand_overs(host: &Acting<'_>, given: &[(u64, String)]) -> Result<Vec<HandOver>, PeopleError> {
    let found = given.iter().map(|(organisation, email)| {
        let to = host.person_of_email(email)?.id;
        Ok(HandOver { organisation: *organisation, to })
    });
    found.collect()
}

/// What is longer is not read: a password has at most 1024 bytes.
const READ_MAX: u64 = 4096;

impl Password {
    fn read(&self) -> Result<String, Failure> {
        let text = match &self.password_file {
            Some(path) => {
                std::fs::File::open(path).and_then(first_bytes).map_err(|e| unreadable(path, &e))?
            }
            None => {
                let stdin = std::io::stdin();
                if stdin.is_terminal() {
                    eprintln!(
                        "The password, then Enter. It shows as you type; --password-file FILE reads one instead."
                    );
                    let mut line = String::new();
                    stdin.read_line(&mut line).map_err(|e| unreadable(Path::new("standard input"), &e))?;
                    line
                } else {
                    first_bytes(stdin.lock()).map_err(|e| unreadable(Path::new("standard input"), &e))?
                }
            }
        };
        let first = text.lines().next().unwrap_or_default();
        if first.is_empty() {
            return Err(Failure::Usage("no password: its first line is empty".to_owned()));
        }
        Ok(first.to_owned())
    }
}

fn first_bytes(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(READ_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot read the password from {}: {error}", path.display()))
}

fn tell(out: &mut out::Out, value: &serde_json::Value, text: &str) -> Done {
    if out.json { out.value(value) } else { out.line(text) }
}

fn organisations(person: &Shown) -> String {
    let each = person.organisations.iter().map(|o| format!("{} ({}, {})", o.id, o.name, o.role));
    each.collect::<Vec<_>>().join(", ")
}

fn show(out: &mut out::Out, person: &Shown) -> Done {
    if out.json {
        return out.value(person);
    }
    out.line(&format!("id             {}", person.id))?;
    out.line(&format!("name           {}", person.name))?;
    out.line(&format!("e-mail         {}", person.email))?;
    out.line(&format!(
        "password       {}",
        if person.has_password { "set" } else { "none: cannot sign in" }
    ))?;
    out.line(&format!("entered        {} UTC by {}", out::time(person.created_at_ms), person.created_by))?;
    out.line(&format!("organisations  {}", organisations(person)))?;
    let projects: Vec<_> =
        person.projects.iter().map(|p| format!("{} ({}, {})", p.id, p.name, p.role)).collect();
    out.line(&format!("projects       {}", projects.join(", ")))
}

fn list(out: &mut out::Out, people: &[Shown]) -> Done {
    if out.json {
        return people.iter().try_for_each(|person| out.value(person));
    }
    let rows: Vec<_> = people
        .iter()
        .map(|person| {
            [person.id.to_string(), person.email.clone(), person.name.clone(), organisations(person)]
        })
        .collect();
    out.table(["ID", "E-MAIL", "NAME", "ORGANISATIONS"], &rows)
}
