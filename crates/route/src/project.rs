//! What routing knows of a project and of a service account.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use forebay_record::{LaneId, ProjectId};

use crate::{Mac, Tally, gauge::Gauge, token_use::TokenUse};

/// How a project resolves identities; decides what a strict `/import` demands of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IdMerge {
    /// `$identify`, `$create_alias`, `$merge` events; `distinct_id` is required.
    #[default]
    Original,
    /// `$device_id` and `$user_id` suffice.
    Simplified,
}

impl IdMerge {
    /// As it stands in the control store and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            IdMerge::Original => "original",
            IdMerge::Simplified => "simplified",
        }
    }

    /// The reverse of [`IdMerge::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<IdMerge> {
        [IdMerge::Original, IdMerge::Simplified].into_iter().find(|merge| merge.as_str() == text)
    }
}

/// What is kept of the sender's address, where the request asks for geography.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// Nothing.
    Drop,
    /// The network: of IPv4 the first 24 bits, of IPv6 the first 48.
    Mask,
    /// All of it.
    #[default]
    Keep,
}

impl ClientAddress {
    /// As it stands in the control store and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ClientAddress::Drop => "drop",
            ClientAddress::Mask => "mask",
            ClientAddress::Keep => "keep",
        }
    }

    /// The reverse of [`ClientAddress::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<ClientAddress> {
        let all = [ClientAddress::Drop, ClientAddress::Mask, ClientAddress::Keep];
        all.into_iter().find(|kept| kept.as_str() == text)
    }

    /// What is kept of `address`.
    #[must_use]
    pub fn of(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address) {
            (ClientAddress::Drop, _) => None,
            (ClientAddress::Keep, address) => Some(address),
            (ClientAddress::Mask, IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                Some(Ipv4Addr::new(a, b, c, 0).into())
            }
            (ClientAddress::Mask, IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => self.of(address.into()),
                None => {
                    let [a, b, c, ..] = address.segments();
                    Some(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into())
                }
            },
        }
    }
}

/// A credential that was replaced and is taken a while longer. When that while is over it is left out: by then the
/// control store has told of the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerCredential {
    /// Its digest.
    pub mac: Mac,
    /// An API key, or an API secret.
    pub kind: CredentialKind,
}

/// Which of a project's two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// Names the project, and imports.
    ApiKey,
    /// Reads.
    ApiSecret,
}

/// A project as the control store describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectSettings {
    /// Its number.
    pub id: ProjectId,
    /// Its name, for people.
    pub name: Box<str>,
    /// Every token that sends to it.
    pub tokens: Vec<Box<[u8]>>,
    /// Digest of its API key.
    pub api_key_mac: Option<Mac>,
    /// Digest of its API secret.
    pub api_secret_mac: Option<Mac>,
    /// False: its events are answered with `0` and the reason.
    pub accepts_events: bool,
    /// What is kept of the sender's address where the request asks for geography.
    pub client_address: ClientAddress,
    /// The origins that browsers may send from; none: any. Who is no browser names none, and is not asked.
    pub allowed_origins: Box<[Box<str>]>,
    /// API keys and secrets that were replaced and are still taken.
    pub former_credentials: Box<[FormerCredential]>,
    /// How it resolves identities.
    pub id_merge: IdMerge,
    /// Its own retention, where it is shorter than the store's.
    pub retention_days: Option<u32>,
    /// When it was created, in milliseconds since the epoch.
    pub created_at_ms: u64,
    /// The number of the organisation that it belongs to.
    pub organisation: u64,
}

impl ProjectSettings {
    /// As a new project has them: no token, no credential.
    #[must_use]
    pub fn new(id: ProjectId) -> ProjectSettings {
        ProjectSettings {
            id,
            name: "".into(),
            tokens: Vec::new(),
            api_key_mac: None,
            api_secret_mac: None,
            accepts_events: true,
            client_address: ClientAddress::Keep,
            allowed_origins: Box::default(),
            former_credentials: Box::default(),
            id_merge: IdMerge::Original,
            retention_days: None,
            created_at_ms: 0,
            organisation: 0,
        }
    }
}

/// A project as a request meets it: its settings, its lane, and its shared counters.
#[derive(Debug)]
pub struct Project {
    /// Its number.
    pub id: ProjectId,
    /// The lane its events are appended to.
    pub lane: LaneId,
    /// False: its events are answered with `0` and the reason.
    pub accepts_events: bool,
    /// What is kept of the sender's address where the request asks for geography.
    pub client_address: ClientAddress,
    /// How it resolves identities.
    pub id_merge: IdMerge,
    /// Everything else the control store says.
    pub settings: ProjectSettings,
    /// What became of its events; the same through every change of its settings.
    pub tally: Arc<Tally>,
    /// Its bytes in flight; the same through every change of its settings.
    pub(crate) in_flight: Arc<Gauge>,
    /// Of each of its tokens in turn, where it has several.
    pub(crate) token_uses: Box<[Arc<TokenUse>]>,
}

impl Project {
    /// Its bytes in flight now.
    #[must_use]
    pub fn bytes_in_flight(&self) -> u64 {
        self.in_flight.value()
    }

    /// Counts events that came in under `token`, where the project has several.
    #[inline]
    pub fn count_token(&self, token: &[u8], events: u32, now_ms: u64) {
        if self.token_uses.is_empty() {
            return;
        }
        let nth = self.settings.tokens.iter().position(|known| **known == *token);
        if let Some(used) = nth.and_then(|nth| self.token_uses.get(nth)) {
            used.count(u64::from(events), now_ms);
        }
    }

    /// Whether a browser's page of that origin may send, which is asked for only where it matters; `None`: no browser's
    /// page.
    #[must_use]
    pub fn allows_origin<'o>(&self, origin: impl FnOnce() -> Option<&'o [u8]>) -> bool {
        let allowed = &self.settings.allowed_origins;
        if allowed.is_empty() {
            return true;
        }
        let Some(origin) = origin() else { return true };
        allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin))
    }

    /// The first of its tokens: the one shown for it.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        self.settings.tokens.first().map_or(&[], |token| token)
    }
}

/// A machine's account: reads in the projects listed, and in some of them imports and replaces lookup tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The name it signs in with.
    pub username: Box<str>,
    /// Digest of its secret.
    pub secret_mac: Mac,
    /// Digest of the secret before it, and until when that is taken too.
    pub former_secret: Option<(Mac, u64)>,
    /// The projects it was given a role in, in ascending order.
    pub projects: Vec<ProjectId>,
    /// Those of them whose events its role reads, in ascending order.
    pub reads: Vec<ProjectId>,
    /// Those of them its role writes to: import, and replace lookup tables. In ascending order.
    pub writes: Vec<ProjectId>,
    /// The organisation that it is an admin or owner of, and so of each of its projects.
    pub administers: Option<u64>,
    /// Whether it is narrowed so that it reads events still.
    pub scoped_to_read: bool,
    /// Whether it is narrowed so that it writes still.
    pub scoped_to_write: bool,
    /// When it stops working, in milliseconds since the epoch; `None`: never.
    pub expires_at_ms: Option<u64>,
}

impl ServiceAccount {
    /// Whether `secret_mac` is its secret, or the one before while that is taken, and it has not expired at `now_ms`.
    #[must_use]
    pub fn accepts(&self, secret_mac: &Mac, now_ms: u64) -> bool {
        let is_former = |(former, end): &(Mac, u64)| (*former == *secret_mac) & (now_ms < *end);
        let is_its_own =
            (self.secret_mac == *secret_mac) | self.former_secret.as_ref().is_some_and(is_former);
        is_its_own && self.expires_at_ms.is_none_or(|end| now_ms < end)
    }

    /// Whether it may write to `project`: its role reaches for it, and it is not narrowed to something else.
    #[must_use]
    pub fn may_write(&self, project: &ProjectSettings) -> bool {
        self.scoped_to_write && self.has(&self.writes, project)
    }

    /// Whether it may read the events of `project`: its role reaches for it, and it is not narrowed to something else.
    #[must_use]
    pub fn may_read(&self, project: &ProjectSettings) -> bool {
        self.scoped_to_read && self.has(&self.reads, project)
    }

    /// Whether it has a role in `project`.
    #[must_use]
    pub fn may_use(&self, project: &ProjectSettings) -> bool {
        self.has(&self.projects, project)
    }

    fn has(&self, given: &[ProjectId], project: &ProjectSettings) -> bool {
        self.administers == Some(project.organisation) || given.binary_search(&project.id).is_ok()
    }
}
