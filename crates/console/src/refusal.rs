//! Why something is not done, and what the person may do about it.
//!
//! # Invariants
//! * What a request did wrong, what a person may not, and what the server could not are told apart by the status.
//! * The causes of a failure of ours go to the log; the page says that there was one.
//! * Whoever may not know that something exists is told that it does not.

use forebay_control::{AccountError, PeopleError, ProjectError, StoreError, chain};
use forebay_http::BodyError;
use hyper::StatusCode;

/// Why there is no answer as asked for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not known who asks.
    Unknown,
    /// Nothing is there, or nothing that this person may know of.
    NotFound,
    /// The path takes other methods: these.
    Method(String),
    /// The person may not; with what it takes.
    Denied(String),
    /// The organisation requires a second factor, and the person has none.
    SecondFactor,
    /// The form is not one that this server made for this browser, or it is too old.
    Stale,
    /// The request came from a page of another site.
    ForeignPage,
    /// The body did not come as it should.
    Body(BodyError),
    /// What was entered cannot be: why.
    Invalid(String),
    /// It does not go together with what there is: why.
    Conflict(String),
    /// Too many attempts; the next one is looked at after so many seconds.
    Throttled(u64),
    /// As much was done as may be for now: what, and after how many seconds there is more.
    Spent(String, u64),
    /// It cannot be had now: why.
    Unavailable(String),
    /// Too many requests of the console at once.
    Busy,
    /// We failed: why, for the log.
    Failed(String),
}

impl Refusal {
    /// The status it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::Unknown => StatusCode::UNAUTHORIZED,
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Denied(_) | Refusal::SecondFactor | Refusal::Stale | Refusal::ForeignPage => {
                StatusCode::FORBIDDEN
            }
            Refusal::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Body(BodyError::Broken) => StatusCode::REQUEST_TIMEOUT,
            Refusal::Body(BodyError::Busy) | Refusal::Busy | Refusal::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::Throttled(_) | Refusal::Spent(..) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened, for a heading.
    pub(crate) fn title(&self) -> &'static str {
        match self {
            Refusal::Unknown => "Please sign in",
            Refusal::NotFound => "There is nothing here",
            Refusal::Method(_) => "Not this way",
            Refusal::Denied(_) => "Your role does not reach for this",
            Refusal::SecondFactor => "A second factor is needed first",
            Refusal::Stale => "This form is out of date",
            Refusal::ForeignPage => "This came from another site",
            Refusal::Body(BodyError::TooLarge) => "That is too much at once",
            Refusal::Body(BodyError::Broken) => "The request did not arrive whole",
            Refusal::Invalid(_) => "That cannot be",
            Refusal::Conflict(_) => "That does not go together",
            Refusal::Throttled(_) => "Too many attempts",
            Refusal::Spent(..) => "That is enough for now",
            Refusal::Body(BodyError::Busy) | Refusal::Busy | Refusal::Unavailable(_) => "Busy just now",
            Refusal::Failed(_) => "Something went wrong on our side",
        }
    }

    /// What happened and what to do, in a sentence or two.
    pub(crate) fn text(&self) -> String {
        match self {
            Refusal::Unknown => "This page is for people who are signed in.".to_owned(),
            Refusal::NotFound => {
                "The address may be mistyped, the thing deleted, or not shared with you. Ask an owner \
                                  of the organisation if you expected to see it."
                    .to_owned()
            }
            Refusal::Method(methods) => {
                format!("This address takes {methods} only. Go back and use the page's own buttons.")
            }
            Refusal::Denied(why)
            | Refusal::Invalid(why)
            | Refusal::Conflict(why)
            | Refusal::Spent(why, _)
            | Refusal::Unavailable(why) => sentence(why),
            Refusal::SecondFactor => {
                "This organisation asks everybody for a second factor at sign-in. Set one up under \
                                      your settings, then come back."
                    .to_owned()
            }
            Refusal::Stale => {
                "You signed in or out since the form was opened, or the browser keeps no cookies. Go \
                               back, reload the page and send it again; nothing was changed."
                    .to_owned()
            }
            Refusal::ForeignPage => {
                "The form was sent by a page that is not this server's, so nothing was changed. If \
                                     this is your own proxy, let it pass on the Host header."
                    .to_owned()
            }
            Refusal::Body(error) => format!("{}.", capital(&error.to_string())),
            Refusal::Throttled(seconds) => {
                format!("Too many attempts failed of late. Try again in {}.", duration(*seconds))
            }
            Refusal::Busy => {
                "Many people use the console at this moment. Try again in a few seconds.".to_owned()
            }
            Refusal::Failed(_) => {
                "Nothing was changed. The server's log says why; events are taken in regardless. Try \
                                   again in a moment."
                    .to_owned()
            }
        }
    }

    /// Whether the form it came from can be corrected and sent again.
    pub(crate) fn can_be_corrected(&self) -> bool {
        matches!(self, Refusal::Denied(_) | Refusal::Invalid(_) | Refusal::Conflict(_) | Refusal::Spent(..))
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// A message of the layers below as people read it: with a capital and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let text = capital(text.trim());
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Failed(chain(&error))
    }
}

impl From<getrandom::Error> for Refusal {
    fn from(error: getrandom::Error) -> Refusal {
        Refusal::Failed(error.to_string())
    }
}

impl From<PeopleError> for Refusal {
    fn from(error: PeopleError) -> Refusal {
        match error {
            PeopleError::OrganisationNotFound { .. } | PeopleError::ProjectNotFound { .. } => {
                Refusal::NotFound
            }
            PeopleError::PersonNotFound { who } => Refusal::Invalid(format!("nobody is known as {who}")),
            PeopleError::NotAMember { who, .. } => {
                Refusal::Conflict(format!("{who} does not belong to this organisation"))
            }
            PeopleError::EmailTaken { email } => {
                Refusal::Conflict(format!("another person has the address {email}"))
            }
            PeopleError::Denied { role, needs, .. } => Refusal::Denied(format!(
                "you are {} of this organisation, and this takes {}",
                a(role.as_str()),
                a(needs.as_str())
            )),
            PeopleError::ProjectDenied { role, needs, .. } => Refusal::Denied(format!(
                "you are {} of this project, and this takes {}",
                a(role.as_str()),
                a(needs.as_str())
            )),
            PeopleError::AboveOneself { role, other, .. } => Refusal::Denied(format!(
                "you are {} of this organisation: the role {other} is not yours to give or to change; ask an owner",
                a(role.as_str())
            )),
            PeopleError::NotOneself { .. } => {
                Refusal::Denied("only the person themselves may do that".to_owned())
            }
            PeopleError::PeopleOnly | PeopleError::Narrowed { .. } => Refusal::Denied(error.to_string()),
            PeopleError::TwoFactorRequired { .. } => Refusal::SecondFactor,
            PeopleError::Throttled { retry_after_s } => Refusal::Throttled(retry_after_s),
            PeopleError::OutreachExceeded { retry_after_s, .. }
            | PeopleError::TooManyOrganisations { retry_after_s, .. } => {
                Refusal::Spent(error.to_string(), retry_after_s)
            }
            PeopleError::TextsOff
            | PeopleError::CodeTooSoon { .. }
            | PeopleError::LastOwner { .. }
            | PeopleError::OrganisationInUse { .. }
            | PeopleError::FirstOrganisation { .. }
            | PeopleError::InvitationGone
            | PeopleError::InvitationSpent
            | PeopleError::TwoFactorOn
            | PeopleError::TwoFactorOff => Refusal::Conflict(error.to_string()),
            PeopleError::Project(error) => error.into(),
            PeopleError::Account(error) => error.into(),
            PeopleError::Store(error) => error.into(),
            error => Refusal::Invalid(error.to_string()),
        }
    }
}

impl From<ProjectError> for Refusal {
    fn from(error: ProjectError) -> Refusal {
        match error {
            ProjectError::NotFound { .. } => Refusal::NotFound,
            // Whose it is, is not for everybody to know.
            ProjectError::TokenTaken { .. } => {
                Refusal::Conflict("another project has this token; a token names one project".to_owned())
            }
            ProjectError::CredentialTaken { what, .. } => {
                Refusal::Conflict(format!("another project has this {what}"))
            }
            ProjectError::IdTaken { id, .. } => Refusal::Conflict(format!(
                "another project has the number {id}; leave it out to get a free one"
            )),
            ProjectError::LastToken { .. } => Refusal::Conflict(
                "the project has no other token; add one first, or stop accepting events in its settings"
                    .to_owned(),
            ),
            ProjectError::TokenUnknown { .. } => {
                Refusal::Conflict("the project has no such token".to_owned())
            }
            ProjectError::Store(error) => error.into(),
            error => Refusal::Invalid(error.to_string()),
        }
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Refusal {
        match error {
            AccountError::NotFound { .. } => Refusal::NotFound,
            AccountError::UsernameTaken { .. } => Refusal::Conflict(error.to_string()),
            AccountError::Project(error) => error.into(),
            AccountError::Store(error) => error.into(),
            error => Refusal::Invalid(error.to_string()),
        }
    }
}

/// A role with its article.
pub(crate) fn a(role: &str) -> String {
    let article = if role.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {role}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_happened_and_what_to_do() {
        for (refusal, status) in [
            (Refusal::Unknown, 401),
            (Refusal::NotFound, 404),
            (Refusal::Method("GET".into()), 405),
            (Refusal::Denied("no".into()), 403),
            (Refusal::SecondFactor, 403),
            (Refusal::Stale, 403),
            (Refusal::ForeignPage, 403),
            (Refusal::Body(BodyError::TooLarge), 413),
            (Refusal::Body(BodyError::Broken), 408),
            (Refusal::Body(BodyError::Busy), 503),
            (Refusal::Invalid("a name is missing".into()), 400),
            (Refusal::Conflict("taken".into()), 409),
            (Refusal::Throttled(90), 429),
            (Refusal::Spent("a hundred were invited".into(), 90), 429),
            (Refusal::Unavailable("too many exports are running".into()), 503),
            (Refusal::Busy, 503),
            (Refusal::Failed("the disk is full".into()), 500),
        ] {
            assert_eq!(refusal.status(), status, "{refusal:?}");
            let text = refusal.text();
            assert!(text.ends_with('.') && !refusal.title().ends_with('.'), "{text}");
            assert!(!text.contains("the disk is full"), "causes are for the log");
        }
    }

    #[test]
    fn whose_a_token_is_stays_untold() {
        let id = forebay_record::ProjectId::new(7).unwrap();
        let taken = ProjectError::TokenTaken { token: "t".into(), id, name: "Secret plans".into() };
        let refusal = Refusal::from(taken);
        assert!(!refusal.text().contains("Secret plans"), "{}", refusal.text());
    }
}
