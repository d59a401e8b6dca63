//! What routing knows of a project and of a service account.

use std::sync::Arc;

use forebay_record::{LaneId, ProjectId};

use crate::{Mac, Tally, gauge::Gauge};

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
    /// True: the sender's address is stored where the request asks for geography.
    pub keeps_client_ip: bool,
    /// How it resolves identities.
    pub id_merge: IdMerge,
    /// Its own retention, where it is shorter than the store's.
    pub retention_days: Option<u32>,
    /// When it was created, in milliseconds since the epoch.
    pub created_at_ms: u64,
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
    /// True: the sender's address is stored where the request asks for geography.
    pub keeps_client_ip: bool,
    /// How it resolves identities.
    pub id_merge: IdMerge,
    /// Everything else the control store says.
    pub settings: ProjectSettings,
    /// What became of its events; the same through every change of its settings.
    pub tally: Arc<Tally>,
    /// Its bytes in flight; the same through every change of its settings.
    pub(crate) in_flight: Arc<Gauge>,
}

impl Project {
    /// Its bytes in flight now.
    #[must_use]
    pub fn bytes_in_flight(&self) -> u64 {
        self.in_flight.value()
    }

    /// The first of its tokens: the one shown for it.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        self.settings.tokens.first().map_or(&[], |token| token)
    }
}

/// A machine's account: may read, import and replace lookup tables in the projects listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The name it signs in with.
    pub username: Box<str>,
    /// Digest of its secret.
    pub secret_mac: Mac,
    /// The projects it may use, in ascending order.
    pub projects: Vec<ProjectId>,
    /// When it stops working, in milliseconds since the epoch; `None`: never.
    pub expires_at_ms: Option<u64>,
}

impl ServiceAccount {
    /// Whether `secret_mac` is its secret and it has not expired at `now_ms`.
    #[must_use]
    pub fn accepts(&self, secret_mac: &Mac, now_ms: u64) -> bool {
        self.secret_mac == *secret_mac && self.expires_at_ms.is_none_or(|end| now_ms < end)
    }

    /// Whether it may use `project`.
    #[must_use]
    pub fn may_use(&self, project: ProjectId) -> bool {
        self.projects.binary_search(&project).is_ok()
    }
}
