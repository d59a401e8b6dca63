//! Notices: what people are told of by mail, in which words, and at which addresses.
//!
//! # Invariants
//! * No secret, code, token or key is in one, and nothing that whoever caused it could have put words into a mail with but
//!   names, which are shown in quotes and on one line.
//! * A person is told at the address they sign in by, so that nobody who took an account over keeps it from them; and at
//!   the address for notices, once it is shown to be theirs.

use std::fmt::Write as _;

use super::{Content, Draft, channels, put};
use crate::{OrganisationRole, PersonId, StoreError, control::Job, error::moment};

/// What there is to tell.
pub(crate) enum Notice<'a> {
    /// The password is another one.
    PasswordChanged,
    /// Another address signs in: this one.
    EmailChanged(&'a str),
    /// Notices go to another address, or to none besides.
    SecondAddress(Option<&'a str>),
    /// A second factor is asked for from now on.
    SecondFactorOn,
    /// It is not any more.
    SecondFactorOff,
    /// The recovery codes are others.
    RecoveryCodesRenewed,
    /// A recovery code was used at sign-in.
    RecoveryCodeUsed,
    /// Somebody signed in from where they have not been of late.
    SignedIn { network: &'a str, user_agent: &'a str },
    /// The GDPR token is another one.
    GdprTokenReset,
    /// A project's API key and secret are others; those before are taken for so long.
    SecretReset { project: (u64, &'a str), grace: &'a str },
    /// An owner came to an organisation.
    OwnerAdded { organisation: u64, who: PersonId },
    /// An owner of an organisation is none any more.
    OwnerRemoved { organisation: u64, who: &'a str },
    /// An owner came to a project, or is none any more.
    ProjectOwner { project: u64, who: PersonId, is: bool },
    /// The account is gone.
    AccountDeleted,
    /// The disk that the events lie on fills up.
    DiskLow { free_percent: u64, free_bytes: u64 },
    /// Events cannot be stored.
    CannotStore(&'a str),
}

impl Notice<'_> {
    /// As the outbox has it.
    pub(crate) fn about(&self) -> &'static str {
        match self {
            Notice::PasswordChanged => "password-changed",
            Notice::EmailChanged(_) => "email-changed",
            Notice::SecondAddress(_) => "notice-email-changed",
            Notice::SecondFactorOn => "second-factor-on",
            Notice::SecondFactorOff => "second-factor-off",
            Notice::RecoveryCodesRenewed => "recovery-codes-renewed",
            Notice::RecoveryCodeUsed => "recovery-code-used",
            Notice::SignedIn { .. } => "signed-in",
            Notice::GdprTokenReset => "gdpr-token-reset",
            Notice::SecretReset { .. } => "secret-reset",
            Notice::OwnerAdded { .. } => "owner-added",
            Notice::OwnerRemoved { .. } => "owner-removed",
            Notice::ProjectOwner { .. } => "project-owner",
            Notice::AccountDeleted => "account-deleted",
            Notice::DiskLow { .. } => "disk-low",
            Notice::CannotStore(_) => "cannot-store",
        }
    }

    /// Subject and what happened.
    fn words(&self, job: &Job<'_>) -> Result<(String, String), StoreError> {
        let plain = |subject: &str, text: &str| (subject.to_owned(), text.to_owned());
        Ok(match self {
            Notice::PasswordChanged => plain(
                "Your password was changed",
                "The password of your account was changed, and your other sessions were ended.",
            ),
            Notice::EmailChanged(new) => (
                "Your address was changed".to_owned(),
                format!("The address that you sign in by was changed to {new}."),
            ),
            Notice::SecondAddress(Some(new)) => (
                "Your address for notices was changed".to_owned(),
                format!("Notices are to go to {new} as well, once it is confirmed there."),
            ),
            Notice::SecondAddress(None) => plain(
                "Your address for notices was removed",
                "Notices go to the address that you sign in by, and to no other.",
            ),
            Notice::SecondFactorOn => {
                plain("A second factor was set up", "From now on a code is asked for when you sign in.")
            }
            Notice::SecondFactorOff => {
                plain("Your second factor was ended", "Your password alone signs you in from now on.")
            }
            Notice::RecoveryCodesRenewed => {
                plain("Your recovery codes were replaced", "Those you had before work no longer.")
            }
            Notice::RecoveryCodeUsed => plain(
                "A recovery code was used",
                "Somebody signed in to your account with your password and one of your recovery codes.",
            ),
            Notice::SignedIn { network, user_agent } => (
                "A sign-in from a new place".to_owned(),
                format!("Your account was signed in to from {network}, with {}.", quoted(user_agent)),
            ),
            Notice::GdprTokenReset => plain(
                "Your GDPR token was reset",
                "You have a new one; the one before stopped working at once.",
            ),
            Notice::SecretReset { project: (id, name), grace } => (
                format!("API key and secret of {} were reset", quoted(name)),
                format!(
                    "API key and secret of project {id}, {}, are new. Those before are taken for: {grace}.",
                    quoted(name)
                ),
            ),
            Notice::OwnerAdded { organisation, who } => {
                let (name, who) = (organisation_name(job, *organisation)?, who_is(job, *who)?);
                (
                    format!("{name} has another owner"),
                    format!("{who} is an owner of organisation {organisation}, {name}."),
                )
            }
            Notice::OwnerRemoved { organisation, who } => {
                let name = organisation_name(job, *organisation)?;
                (
                    format!("{name} has an owner less"),
                    format!("{} is no owner of organisation {organisation}, {name}, any more.", quoted(who)),
                )
            }
            Notice::ProjectOwner { project, who, is } => {
                let sql = "SELECT name FROM projects WHERE id = ?1";
                let name: Option<String> = job.row(sql, [project], |row| row.get(0))?;
                let (name, who) = (quoted(&name.unwrap_or_default()), who_is(job, *who)?);
                let is = if *is { "is an owner" } else { "is no owner any more" };
                (format!("Ownership of {name} changed"), format!("{who} {is} of project {project}, {name}."))
            }
            Notice::AccountDeleted => plain(
                "Your account was deleted",
                "You can no longer sign in. Projects and their events were not deleted with it.",
            ),
            Notice::DiskLow { free_percent, free_bytes } => (
                "The disk of the event collector fills up".to_owned(),
                format!(
                    "{free_percent} percent ({} MiB) are free where the events lie. When it is full, senders are told to \
                     come back later. Free some space, or let retention take older events.",
                    free_bytes >> 20
                ),
            ),
            Notice::CannotStore(why) => (
                "The event collector cannot store events".to_owned(),
                format!("Senders are told to come back later. The reason: {}.", quoted(why)),
            ),
        })
    }

    /// Whether it may be the work of somebody else than whom it is told to.
    fn may_be_an_attack(&self) -> bool {
        !matches!(self, Notice::DiskLow { .. } | Notice::CannotStore(_))
    }
}

/// Tells people, at the addresses that are theirs.
pub(crate) fn tell(job: &Job<'_>, whom: &[PersonId], notice: &Notice<'_>) -> Result<(), StoreError> {
    if !channels(job)?.mail {
        return Ok(());
    }
    for &person in whom {
        for address in addresses(job, person)? {
            tell_at(job, &address, Some(person), notice)?;
        }
    }
    Ok(())
}

/// Tells one address.
pub(crate) fn tell_at(
    job: &Job<'_>,
    address: &str,
    person: Option<PersonId>,
    notice: &Notice<'_>,
) -> Result<(), StoreError> {
    let channels = channels(job)?;
    if !channels.mail {
        return Ok(());
    }
    let (subject, what) = notice.words(job)?;
    let mut text = format!("{what}\n\nWhen: {}\n", moment(job.now_ms));
    if let Some(url) = &channels.console_url {
        let _ = writeln!(text, "Where: {url}");
    }
    if notice.may_be_an_attack() {
        text.push_str(
            "\nIf this was you, or you know of it, there is nothing to do. If not, change your password, end your \
             sessions, and tell whoever runs the server.\n",
        );
    }
    let content = Content::Mail { subject, text };
    put(
        job,
        &Draft { about: notice.about(), recipient: address, person, content: &content, expires_at_ms: None },
    )
}

/// Tells the owners of an organisation, and `also`; but not somebody who alone is concerned of what they do themselves.
pub(crate) fn tell_owners(
    job: &Job<'_>,
    organisation: u64,
    also: Option<PersonId>,
    notice: &Notice<'_>,
) -> Result<(), StoreError> {
    let mut whom = owners(job, organisation)?;
    whom.extend(also.filter(|also| !whom.contains(also)));
    let alone = whom.len() == 1 && job.actor() == crate::person::subject(whom[0]);
    if alone { Ok(()) } else { tell(job, &whom, notice) }
}

/// Those who own an organisation.
pub(crate) fn owners(job: &Job<'_>, organisation: u64) -> Result<Vec<PersonId>, StoreError> {
    let sql = "SELECT person_id FROM organisation_members WHERE organisation_id = ?1 AND role = ?2 ORDER BY person_id";
    let owner = OrganisationRole::Owner.as_str();
    job.rows(sql, rusqlite::params![organisation, owner], |row| row.get(0).map(PersonId))
}

/// Those who own a project: in it, or by their role in its organisation.
pub(crate) fn project_owners(job: &Job<'_>, project: u64) -> Result<Vec<PersonId>, StoreError> {
    let sql = "SELECT person_id FROM project_members WHERE project_id = ?1 AND role = 'owner' UNION \
               SELECT m.person_id FROM organisation_members m JOIN projects p ON p.organisation_id = m.organisation_id \
               WHERE p.id = ?1 AND m.role = 'owner' ORDER BY 1";
    job.rows(sql, [project], |row| row.get(0).map(PersonId))
}

/// Where a person is told something.
fn addresses(job: &Job<'_>, person: PersonId) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT email, CASE WHEN notice_email_confirmed_ms IS NULL THEN NULL ELSE notice_email END \
               FROM people WHERE id = ?1";
    let found =
        job.row(sql, [person.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
    let Some((email, other)) = found else { return Ok(Vec::new()) };
    let other = other.filter(|other| crate::person::key(other) != crate::person::key(&email));
    Ok(std::iter::once(email).chain(other).collect())
}

fn organisation_name(job: &Job<'_>, id: u64) -> Result<String, StoreError> {
    let name: Option<String> =
        job.row("SELECT name FROM organisations WHERE id = ?1", [id], |row| row.get(0))?;
    Ok(quoted(&name.unwrap_or_default()))
}

fn who_is(job: &Job<'_>, id: PersonId) -> Result<String, StoreError> {
    let sql = "SELECT name, email FROM people WHERE id = ?1";
    let found = job.row(sql, [id.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    Ok(found.map_or_else(|| format!("person {id}"), |(name, email)| format!("{} ({email})", quoted(&name))))
}

/// A name as part of a sentence: on one line, of bounded length, and without what a mail program would make a link of.
pub(crate) fn quoted(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_control() || "\"<>".contains(c) { ' ' } else { c }).take(120).collect();
    // A dot between two letters makes a host of them.
    let mut apart = String::with_capacity(plain.len());
    for c in plain.trim().replace("://", ": //").chars() {
        if c.is_alphanumeric() && apart.ends_with('.') {
            apart.push(' ');
        }
        apart.push(c);
    }
    format!("\"{apart}\"")
}
