//! Who a credential belongs to: for `/import`, `/record`, lookup tables, and the reading side.
//!
//! Four kinds are told apart, because they may do different things: a **token** is public and names a
//! project for sending; an **API key** names it too, for legacy imports; an **API secret** and a **service
//! account** may also read. Secrets are compared by their digest under the server's key.
//!
//! # Invariants
//! * An identity always has its project; a `project_id` that says another one is refused.
//! * Nothing here prints a credential.

use forebay_record::ProjectId;
use forebay_route::{Credential as Used, Mac, Project, Registry, ServiceAccount};
use forebay_scan::basic::{self, Credential};
use hyper::header::HeaderValue;
use std::{fmt, sync::Arc};

/// By what somebody proved himself.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The project's token: public, good for sending only.
    Token,
    /// The project's API key, by its digest: good for importing.
    ApiKey(Mac),
    /// The project's API secret, by its digest: good for everything a project's owner may do by machine.
    ApiSecret(Mac),
    /// A service account that is a member of the project, by the digest of its secret.
    ServiceAccount(Arc<ServiceAccount>, Mac),
}

/// Somebody, and the project he acts for.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The project.
    pub project: Arc<Project>,
    /// By what he proved himself.
    pub proof: Proof,
}

impl Identity {
    /// Whether this identity may read the project's data. A service account's role must reach for it.
    #[must_use]
    pub fn may_read(&self) -> bool {
        match &self.proof {
            Proof::Token | Proof::ApiKey(_) => false,
            Proof::ApiSecret(_) => true,
            Proof::ServiceAccount(account, _) => account.may_read(&self.project.settings),
        }
    }

    /// Whether it was proven by a secret: a token is public, and an API key good for importing alone.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.proof, Proof::ApiSecret(_) | Proof::ServiceAccount(..))
    }

    /// Whether this identity may add to the project: import and record. A service account's role must reach for it.
    #[must_use]
    pub fn may_write(&self) -> bool {
        match &self.proof {
            Proof::Token | Proof::ApiKey(_) | Proof::ApiSecret(_) => true,
            Proof::ServiceAccount(account, _) => account.may_write(&self.project.settings),
        }
    }

    /// The credential whose use is noted: a token's is not, it is public.
    #[must_use]
    pub fn credential(&self) -> Option<Used> {
        match &self.proof {
            Proof::Token => None,
            Proof::ApiKey(mac) => Some(Used::ApiKey(*mac)),
            Proof::ApiSecret(mac) => Some(Used::ApiSecret(*mac)),
            Proof::ServiceAccount(account, mac) => Some(Used::ServiceAccount(account.username.clone(), *mac)),
        }
    }
}

/// Why a credential is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// There is none.
    Missing,
    /// The `Authorization` is not a Basic one.
    NotBasic,
    /// It belongs to nobody.
    Unknown,
    /// The user name is no service account's.
    UnknownAccount,
    /// The service account's secret is another, or it has expired.
    WrongSecret,
    /// A service account has to say which project it acts for.
    ProjectIdMissing,
    /// The service account may not use that project.
    NotMember,
    /// The credential's project is not the one that `project_id` says.
    Mismatch,
    /// It is good for sending only; or the service account's role, or what it is narrowed to, does not reach for reading.
    NotReading,
    /// The service account's role in the project, or what it is narrowed to, is good for reading only.
    NotWriting,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthError::Missing => {
                "Unauthorized, no credentials: send HTTP Basic with a service account, an API secret or a token"
            }
            AuthError::NotBasic => "Unauthorized, the Authorization header must be a Basic one",
            AuthError::Unknown => "Invalid credentials",
            AuthError::UnknownAccount => "Not a valid service account username",
            AuthError::WrongSecret => "Invalid credentials: wrong or expired service account secret",
            AuthError::ProjectIdMissing => "Unauthorized, a service account needs the parameter project_id",
            AuthError::NotMember => "Unauthorized, service account is not a project member",
            AuthError::Mismatch => {
                "Mismatch between the project ID of the credentials and the URL's project ID"
            }
            AuthError::NotWriting => {
                "Unauthorized, the service account's role or scopes in this project only read: it takes admin, and import"
            }
            AuthError::NotReading => {
                "Unauthorized, this needs the project's API secret or a service account that is an analyst, and has the \
                 scope export if it is narrowed: a token or API key only sends"
            }
        })
    }
}

impl std::error::Error for AuthError {}

/// What a request brought to prove who sent it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a HeaderValue>,
    /// The parameter `api_key`: taken where there is no header.
    pub api_key: Option<&'a str>,
    /// The parameter `project_id`; an empty one counts as none.
    pub project_id: Option<&'a str>,
}

/// Finds out who a claim belongs to. `mac` digests a credential under the server's key.
///
/// # Errors
/// Why nobody can be told from it.
pub fn identify(
    registry: &Registry,
    mac: impl Fn(&[u8]) -> Mac,
    now_ms: u64,
    claim: Claim<'_>,
) -> Result<Identity, AuthError> {
    let asked = claim.project_id.filter(|id| !id.is_empty());
    let Some(header) = claim.authorization else {
        let key = claim.api_key.filter(|key| !key.is_empty()).ok_or(AuthError::Missing)?;
        let identity = by_one_word(registry, &mac, key).ok_or(AuthError::Unknown)?;
        return for_project(identity, asked);
    };
    let candidates = basic::parse(header.as_bytes());
    let mut worst = AuthError::NotBasic;
    for credential in candidates.iter() {
        match by_credential(registry, &mac, now_ms, credential, asked) {
            Ok(identity) => return Ok(identity),
            // The decoded reading comes first and is nearly always the one meant: its reason is the one told.
            Err(error) if worst == AuthError::NotBasic => worst = error,
            Err(_) => {}
        }
    }
    Err(worst)
}

/// The service account that a header names and proves, whichever projects it may use.
///
/// # Errors
/// Why it is not taken.
pub(crate) fn account(
    registry: &Registry,
    mac: impl Fn(&[u8]) -> Mac,
    now_ms: u64,
    authorization: &HeaderValue,
) -> Result<Arc<ServiceAccount>, AuthError> {
    let mut worst = AuthError::NotBasic;
    for Credential { user, password } in basic::parse(authorization.as_bytes()).iter() {
        worst = match registry.service_account(user) {
            Some(account) if account.accepts(&mac(password.as_bytes()), now_ms) => return Ok(account),
            Some(_) => AuthError::WrongSecret,
            None => AuthError::UnknownAccount,
        };
    }
    Err(worst)
}

fn by_credential(
    registry: &Registry,
    mac: &impl Fn(&[u8]) -> Mac,
    now_ms: u64,
    credential: &Credential,
    asked: Option<&str>,
) -> Result<Identity, AuthError> {
    let Credential { user, password } = credential;
    if password.is_empty() {
        let identity = by_one_word(registry, mac, user).ok_or(AuthError::Unknown)?;
        return for_project(identity, asked);
    }
    let account = registry.service_account(user).ok_or(AuthError::UnknownAccount)?;
    let digest = mac(password.as_bytes());
    if !account.accepts(&digest, now_ms) {
        return Err(AuthError::WrongSecret);
    }
    let id = asked.ok_or(AuthError::ProjectIdMissing)?;
    let id = id.parse().ok().and_then(ProjectId::new).ok_or(AuthError::NotMember)?;
    let project = registry
        .project(id)
        .filter(|project| account.may_use(&project.settings))
        .ok_or(AuthError::NotMember)?;
    Ok(Identity { project, proof: Proof::ServiceAccount(account, digest) })
}

/// A token, a secret or a key, whichever it is.
fn by_one_word(registry: &Registry, mac: &impl Fn(&[u8]) -> Mac, word: &str) -> Option<Identity> {
    if let Some(project) = registry.token(word.as_bytes()) {
        return Some(Identity { project, proof: Proof::Token });
    }
    let digest = mac(word.as_bytes());
    if let Some(project) = registry.by_secret_mac(&digest) {
        return Some(Identity { project, proof: Proof::ApiSecret(digest) });
    }
    registry.by_api_key_mac(&digest).map(|project| Identity { project, proof: Proof::ApiKey(digest) })
}

fn for_project(identity: Identity, asked: Option<&str>) -> Result<Identity, AuthError> {
    let same = asked.is_none_or(|id| id.parse() == Ok(identity.project.id.as_u64()));
    if same { Ok(identity) } else { Err(AuthError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_record::LaneId;
    use forebay_route::{Change, Ledger, LedgerLimits, ProjectSettings};

    /// Not a digest, but as different for the short credentials of these tests.
    fn mac(credential: &[u8]) -> Mac {
        let mut bytes = [0; 32];
        bytes[..credential.len()].copy_from_slice(credential);
        Mac(bytes)
    }

    fn registry() -> Registry {
        let registry = Registry::new(Ledger::new(LedgerLimits::default()), |_| LaneId(0));
        for id in [1, 2] {
            registry.apply(Change::Project(ProjectSettings {
                name: "p".into(),
                tokens: vec![format!("token-{id}").into_bytes().into()],
                api_key_mac: Some(mac(format!("key-{id}").as_bytes())),
                api_secret_mac: Some(mac(format!("secret-{id}").as_bytes())),
                ..ProjectSettings::new(ProjectId::new(id).unwrap())
            }));
        }
        registry.apply(Change::ServiceAccount(ServiceAccount {
            username: "robot".into(),
            secret_mac: mac(b"pass"),
            former_secret: None,
            projects: vec![ProjectId::new(1).unwrap()],
            reads: vec![ProjectId::new(1).unwrap()],
            writes: vec![],
            administers: None,
            scoped_to_read: true,
            scoped_to_write: true,
            expires_at_ms: Some(1000),
        }));
        registry
    }

    fn check(header: Option<&str>, api_key: Option<&str>, project_id: Option<&str>, want: &str) {
        check_at(0, header, api_key, project_id, want);
    }

    fn check_at(
        now_ms: u64,
        header: Option<&str>,
        api_key: Option<&str>,
        project_id: Option<&str>,
        want: &str,
    ) {
        let value = header.map(|h| HeaderValue::from_str(h).unwrap());
        let claim = Claim { authorization: value.as_ref(), api_key, project_id };
        let got = match identify(&registry(), mac, now_ms, claim) {
            Ok(identity) => {
                let proof = match identity.proof {
                    Proof::Token => "token",
                    Proof::ApiKey(_) => "key",
                    Proof::ApiSecret(_) => "secret",
                    Proof::ServiceAccount(..) => "account",
                };
                format!("{proof} of {}", identity.project.id)
            }
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(got, want, "{header:?} {api_key:?} {project_id:?}");
    }

    #[test]
    fn every_form_of_every_credential_finds_its_project() {
        check(Some("Basic dG9rZW4tMTo="), None, None, "token of 1");
        check(Some("Basic dG9rZW4tMQ=="), None, None, "token of 1");
        check(Some("Basic token-1:"), None, None, "token of 1");
        check(Some("basic c2VjcmV0LTI6"), None, Some("2"), "secret of 2");
        check(Some("Basic key-2"), None, Some(""), "key of 2");
        check(Some("Basic cm9ib3Q6cGFzcw=="), None, Some("1"), "account of 1");
        check(Some("Basic robot:pass"), None, Some("1"), "account of 1");
        check(None, Some("key-1"), None, "key of 1");
        check(None, Some("secret-1"), None, "secret of 1");
        check(None, Some("token-2"), Some("2"), "token of 2");
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(None, None, None, "Missing");
        check(None, Some(""), Some("1"), "Missing");
        check(None, Some("nobody"), None, "Unknown");
        check(Some("Bearer abc"), None, None, "NotBasic");
        check(Some("Bearer abc"), Some("key-1"), None, "NotBasic");
        check(Some("Basic bm9wZTo="), None, None, "Unknown");
        check(Some("Basic token-1:"), None, Some("2"), "Mismatch");
        check(Some("Basic token-1:"), None, Some("one"), "Mismatch");
        check(Some("Basic robot:pass"), None, None, "ProjectIdMissing");
        check(Some("Basic robot:pass"), None, Some("2"), "NotMember");
        check(Some("Basic robot:pass"), None, Some("99"), "NotMember");
        check(Some("Basic robot:wrong"), None, Some("1"), "WrongSecret");
        check(Some("Basic human:pass"), None, Some("1"), "UnknownAccount");
        check_at(1000, Some("Basic robot:pass"), None, Some("1"), "WrongSecret");
    }

    #[test]
    fn a_service_account_writes_where_its_role_reaches_and_others_always() {
        let registry = registry();
        let robot = registry.service_account("robot").unwrap();
        let project = registry.project(ProjectId::new(1).unwrap()).unwrap();
        let may_write = |proof| Identity { project: Arc::clone(&project), proof }.may_write();
        assert!(
            may_write(Proof::Token)
                && may_write(Proof::ApiKey(mac(b"k")))
                && may_write(Proof::ApiSecret(mac(b"s")))
        );
        assert!(!may_write(Proof::ServiceAccount(Arc::clone(&robot), mac(b"pass"))));
        let admin = ServiceAccount { writes: robot.projects.clone(), ..ServiceAccount::clone(&robot) };
        assert!(may_write(Proof::ServiceAccount(Arc::new(admin.clone()), mac(b"pass"))));
        let narrowed = ServiceAccount { scoped_to_write: false, ..admin };
        assert!(!may_write(Proof::ServiceAccount(Arc::new(narrowed), mac(b"pass"))));
    }

    #[test]
    fn a_service_account_reads_where_its_role_and_scopes_reach_and_what_is_public_never() {
        let registry = registry();
        let robot = registry.service_account("robot").unwrap();
        let project = registry.project(ProjectId::new(1).unwrap()).unwrap();
        let may_read = |proof| Identity { project: Arc::clone(&project), proof }.may_read();
        let account = |account| Proof::ServiceAccount(Arc::new(account), mac(b"pass"));
        assert!(may_read(Proof::ApiSecret(mac(b"s"))) && may_read(account(ServiceAccount::clone(&robot))));
        assert!(!may_read(Proof::Token) && !may_read(Proof::ApiKey(mac(b"k"))));
        let consumer = ServiceAccount { reads: vec![], ..ServiceAccount::clone(&robot) };
        assert!(!may_read(account(consumer)));
        let importer = ServiceAccount { scoped_to_read: false, ..ServiceAccount::clone(&robot) };
        assert!(!may_read(account(importer)));
    }
}
