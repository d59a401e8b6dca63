//! Errors of people and organisations.

use std::fmt;

use super::{AccountError, ProjectError, StoreError, moment};
use crate::{CodeSent, OrganisationRole, PersonId, ProjectRole, Scope, rules::PASSWORD_CHARS_MIN};

/// Why something about people or organisations was not done.
#[derive(Debug)]
pub enum PeopleError {
    /// There is no such organisation, or it is none of the actor's.
    OrganisationNotFound {
        /// The number given.
        id: u64,
    },
    /// There is no such project.
    ProjectNotFound {
        /// The number given.
        id: u64,
    },
    /// There is no such person.
    PersonNotFound {
        /// The number or address given.
        who: String,
    },
    /// The person does not belong to the organisation.
    NotAMember {
        /// The person.
        who: String,
        /// The organisation.
        organisation: u64,
    },
    /// A name is empty, too long, or holds control characters or white space at its ends.
    NameInvalid {
        /// The name given.
        name: String,
    },
    /// It is no e-mail address.
    EmailInvalid {
        /// The text given.
        email: String,
    },
    /// Another person has the address.
    EmailTaken {
        /// The address given.
        email: String,
    },
    /// The password is too easy to guess, or too long to be one.
    PasswordWeak {
        /// What it lacks.
        why: &'static str,
    },
    /// The password given to prove who one is, is not theirs.
    PasswordWrong,
    /// The act takes a fresh proof that the password was given; see [`crate::PasswordProof`].
    PasswordNeeded,
    /// Only whoever may run commands on the host does that.
    HostOnly,
    /// It is for people to do: no service account owns an organisation, or is one's own self.
    PeopleOnly,
    /// The service account is narrowed to something else.
    Narrowed {
        /// To what.
        scopes: Vec<Scope>,
    },
    /// The actor's role does not reach.
    Denied {
        /// Where.
        organisation: u64,
        /// What they are there.
        role: OrganisationRole,
        /// What it takes.
        needs: OrganisationRole,
    },
    /// The actor's role in a project does not reach.
    ProjectDenied {
        /// Which.
        project: u64,
        /// What they are there.
        role: ProjectRole,
        /// What it takes.
        needs: ProjectRole,
    },
    /// It was to be done to somebody whose role the actor's does not exceed, or to give one above their own.
    AboveOneself {
        /// Where.
        organisation: u64,
        /// What the actor is there.
        role: OrganisationRole,
        /// The role in question.
        other: OrganisationRole,
    },
    /// It is for the person themselves to do.
    NotOneself {
        /// The person.
        person: PersonId,
    },
    /// The organisation would have no owner left.
    LastOwner {
        /// The person.
        who: String,
        /// The organisation's number and name.
        organisation: (u64, String),
    },
    /// The person belongs to the organisation already.
    AlreadyMember {
        /// Their address.
        who: String,
        /// The organisation.
        organisation: u64,
    },
    /// What is to end, would end in the past or too far ahead.
    ExpiryInvalid {
        /// The end given, in milliseconds since the epoch.
        expires_at_ms: u64,
        /// How many days ahead it may be.
        days_max: u64,
    },
    /// The organisation has as many open invitations as it may.
    TooManyInvitations {
        /// Which.
        organisation: u64,
        /// How many that is.
        max: u64,
    },
    /// The organisation has no such invitation.
    InvitationNotFound {
        /// The number given.
        id: u64,
    },
    /// The code is none, was used, or has ended.
    InvitationGone,
    /// The invitation is for another address than the actor's.
    InvitationOfAnother,
    /// It was taken as somebody new under an address that somebody here has, and is used up by that.
    InvitationSpent,
    /// The code is none, was used or has ended, or somebody has set up already.
    SetupCodeGone,
    /// Which organisation is meant must be said: there are several for the actor, or none.
    OrganisationUnclear {
        /// Those there are.
        organisations: Vec<u64>,
    },
    /// The organisation still has projects or service accounts.
    OrganisationInUse {
        /// Which.
        id: u64,
    },
    /// The person has created as many organisations within the hour as are let through.
    TooManyOrganisations {
        /// How many that is.
        max: u64,
        /// When another one may be, in seconds.
        retry_after_s: u64,
    },
    /// The first organisation, whose owners look after the server, is not deleted by them.
    FirstOrganisation {
        /// Which.
        id: u64,
    },
    /// Nobody who is not an owner or admin of some project has a GDPR token.
    NoProjectToErase,
    /// Something about a project is in the way.
    Project(ProjectError),
    /// Something about a service account is in the way.
    Account(AccountError),
    /// Too many attempts to sign in failed of late.
    Throttled {
        /// When the next one is looked at, in seconds.
        retry_after_s: u64,
    },
    /// Address and password do not belong together, or nobody has that address: it is not said which.
    SignInWrong,
    /// The person has a second factor, and gave no code of it.
    CodeMissing,
    /// The person's second factor is a phone, and gave no code: one was sent there, if it was time for one.
    CodeSent(CodeSent),
    /// It is no number of a phone.
    PhoneInvalid,
    /// The server sends no text messages.
    TextsOff,
    /// It is no code of the second factor, or one that was used.
    CodeWrong,
    /// A code was sent a moment ago, or several within the hour.
    CodeTooSoon {
        /// When another one may be asked for, in seconds.
        retry_after_s: u64,
    },
    /// So many addresses were reached within the hour as may be.
    OutreachExceeded {
        /// By whom: such as person:7, or organisation:3 for whoever acts in its name.
        who: String,
        /// How many that is.
        max: u64,
        /// When another one may be, in seconds.
        retry_after_s: u64,
    },
    /// It is not the code that was sent, or that one has ended.
    ConfirmationWrong,
    /// There is no address for notices that waits to be confirmed, or no mail is sent.
    NothingToConfirm,
    /// There is a second factor already.
    TwoFactorOn,
    /// There is no second factor.
    TwoFactorOff,
    /// The organisation requires a second factor, and the actor has none.
    TwoFactorRequired {
        /// Which.
        organisation: u64,
    },
    /// The store itself failed.
    Store(StoreError),
}

impl fmt::Display for PeopleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeopleError::OrganisationNotFound { id } => {
                write!(f, "there is no organisation {id}; `forebay organisation list` shows those there are")
            }
            PeopleError::ProjectNotFound { id } => {
                write!(f, "there is no project {id}; `forebay project list` shows those there are")
            }
            PeopleError::PersonNotFound { who } => {
                write!(f, "there is no person {who}; `forebay person list` shows those there are")
            }
            PeopleError::NotAMember { who, organisation } => write!(
                f,
                "{who} does not belong to organisation {organisation}; \
                 `forebay organisation show {organisation}` lists who does"
            ),
            PeopleError::NameInvalid { name } => write!(
                f,
                "name {name:?} is not 1 to 255 bytes of printable text without white space at its ends"
            ),
            PeopleError::EmailInvalid { email } => {
                write!(f, "{email:?} is no e-mail address; one looks like name@example.com")
            }
            PeopleError::EmailTaken { email } => {
                write!(f, "another person has the address {email}; `forebay person list` shows who")
            }
            PeopleError::PasswordWeak { why } => {
                write!(
                    f,
                    "the password {why}; take at least {PASSWORD_CHARS_MIN} characters that nobody would guess"
                )
            }
            PeopleError::PasswordWrong => f.write_str("that is not the password; give the present one"),
            PeopleError::PasswordNeeded => f.write_str("give the password once more to do that"),
            PeopleError::HostOnly => {
                f.write_str("only `forebay person create` on the host does that; invite people instead")
            }
            PeopleError::PeopleOnly => f.write_str("that is for people to do, not for service accounts"),
            PeopleError::Narrowed { scopes } => {
                let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
                write!(
                    f,
                    "the service account is narrowed to {}; take one that is not, or has the scope",
                    scopes.join(", ")
                )
            }
            PeopleError::Denied { organisation, role, needs } => {
                write!(
                    f,
                    "the role {role} in organisation {organisation} does not reach for that; it takes {needs}"
                )
            }
            PeopleError::ProjectDenied { project, role, needs } => {
                write!(f, "the role {role} in project {project} does not reach for that; it takes {needs}")
            }
            PeopleError::AboveOneself { organisation, role, other } => write!(
                f,
                "the role {role} in organisation {organisation} does not reach for giving the role {other} or changing \
                 who has it; ask an owner"
            ),
            PeopleError::NotOneself { person } => {
                write!(f, "only person {person} may do that, or `forebay person` on the host")
            }
            PeopleError::LastOwner { who, organisation: (id, name) } => write!(
                f,
                "{who} is the only owner of organisation {id} ({name}); make another member an owner first"
            ),
            PeopleError::AlreadyMember { who, organisation } => {
                write!(f, "{who} belongs to organisation {organisation} already; change their role instead")
            }
            PeopleError::ExpiryInvalid { expires_at_ms, days_max } => {
                write!(f, "it would end at {}; give a time from now to {days_max} days ahead", moment(*expires_at_ms))
            }
            PeopleError::TooManyInvitations { organisation, max } => {
                write!(f, "organisation {organisation} has {max} open invitations; take some back first")
            }
            PeopleError::InvitationNotFound { id } => write!(
                f,
                "there is no invitation {id}; `forebay organisation invitations` shows those that are open"
            ),
            PeopleError::InvitationGone => {
                f.write_str("that invitation was used or taken back, or has ended; ask for another")
            }
            PeopleError::InvitationOfAnother => f.write_str(
                "sign in as whom that invitation is for to take it, or ask for one to your own address",
            ),
            PeopleError::InvitationSpent => f.write_str(
                "somebody here has the address that invitation was for, and it is used up; ask for another one, and sign in \
                 before you take it",
            ),
            PeopleError::SetupCodeGone => f.write_str(
                "that set-up link was used, replaced or has ended; `forebay owner setup-link` on the host prints another \
                 while nobody has set up",
            ),
            PeopleError::OrganisationUnclear { organisations } if organisations.is_empty() => {
                f.write_str("you belong to no organisation; create one first")
            }
            PeopleError::OrganisationUnclear { organisations } => {
                let ids: Vec<_> = organisations.iter().map(u64::to_string).collect();
                write!(f, "say which organisation is meant: {}", ids.join(", "))
            }
            PeopleError::TooManyOrganisations { max, retry_after_s } => write!(
                f,
                "you have created {max} organisations within the hour, and no more are let through; the next one can be \
                 in {retry_after_s} seconds"
            ),
            PeopleError::FirstOrganisation { id } => write!(
                f,
                "organisation {id} is the first one, whose owners look after this server; only a command on the host \
                 deletes it: `forebay organisation delete {id}`"
            ),
            PeopleError::OrganisationInUse { id } => write!(
                f,
                "organisation {id} still has projects or service accounts; hand those on or delete them first (a deleted \
                 project is gone for good after thirty days)"
            ),
            PeopleError::NoProjectToErase => {
                f.write_str("a GDPR token is for owners and admins of a project; ask one, or for the role")
            }
            PeopleError::Project(error) => error.fmt(f),
            PeopleError::Account(error) => error.fmt(f),
            PeopleError::Throttled { retry_after_s } => {
                write!(f, "too many attempts to sign in failed; try again in {retry_after_s} seconds")
            }
            PeopleError::SignInWrong => f.write_str("address and password do not belong together"),
            PeopleError::CodeMissing => {
                f.write_str("a code of the authenticator is needed, or a recovery code")
            }
            PeopleError::CodeSent(CodeSent { to, is_sent: true, .. }) => {
                write!(f, "a code was sent to {to}; give that, or a recovery code")
            }
            PeopleError::CodeSent(CodeSent { to, .. }) => {
                write!(f, "no code can be sent to {to} now; wait a while, or give a recovery code")
            }
            PeopleError::PhoneInvalid => f.write_str(
                "that is no phone number; give it with the plus and the country's digits, such as +49 170 1234567",
            ),
            PeopleError::TextsOff => f.write_str(
                "this server sends no text messages (`second_factor.gateway.url`); use an authenticator instead",
            ),
            PeopleError::CodeWrong => {
                f.write_str("that code is not right, or it was used; wait for the next one, or ask for another")
            }
            PeopleError::CodeTooSoon { retry_after_s } => {
                write!(f, "a code was sent already; another one can be asked for in {retry_after_s} seconds")
            }
            PeopleError::OutreachExceeded { who, max, retry_after_s } => {
                let key = if who.starts_with("organisation:") { "organisation" } else { "person" };
                write!(
                    f,
                    "{who} has invited or written to {max} addresses within the hour, and no more are let through \
                     (`people.{key}_addresses_hour_max`); the next one can be in {retry_after_s} seconds"
                )
            }
            PeopleError::ConfirmationWrong => {
                f.write_str("that is not the code that was sent, or it has ended; ask for another")
            }
            PeopleError::NothingToConfirm => f.write_str(
                "there is no address for notices to be confirmed, or this server sends no mail (`mail.host`)",
            ),
            PeopleError::TwoFactorOn => f.write_str("there is a second factor already; end that one first"),
            PeopleError::TwoFactorOff => f.write_str("there is no second factor; begin one first"),
            PeopleError::TwoFactorRequired { organisation } => {
                write!(f, "organisation {organisation} requires a second factor; set one up first")
            }
            PeopleError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PeopleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PeopleError::Store(error) => error.source(),
            PeopleError::Project(error) => error.source(),
            PeopleError::Account(error) => error.source(),
            _ => None,
        }
    }
}
