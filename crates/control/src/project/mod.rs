//! Projects and their credentials.
//!
//! # Invariants
//! * A project has at least one token, one API key and one API secret.
//! * Whatever is created or changed shows in `changes` and `audit`, and no credential shows in either.

mod acts;
pub(crate) mod callers;
mod credentials;
mod hand_on;
mod rows;

use std::fmt;

use forebay_route::{ClientAddress, IdMerge};
use serde::Serialize;

use crate::{OrganisationRole, PersonId, ProjectRole};

pub(crate) use acts::purge;
pub use callers::CallerInfo;
pub use credentials::{Credentials, Grace};
pub use hand_on::TransferLosses;
use rows::create;
pub(crate) use rows::{
    API_KEY, API_SECRET, first_organisation, forebay_id, info, infos, insert, insert_token, new_uid,
    set_credential, uid, unseal, update,
};

/// A project to be created. What is left out is chosen.
#[derive(Clone, Default)]
pub struct NewProject {
    /// Its name, for people.
    pub name: String,
    /// Its number, where one is brought along.
    pub id: Option<u64>,
    /// Its token, where one is brought along.
    pub token: Option<String>,
    /// Its API key, where one is brought along.
    pub api_key: Option<String>,
    /// Its API secret, where one is brought along.
    pub api_secret: Option<String>,
    /// How it resolves identities.
    pub id_merge: IdMerge,
    /// Whose it is to be; left out, the only organisation's there is.
    pub organisation: Option<u64>,
    /// The IANA name of the zone that its times are shown in; left out, UTC.
    pub timezone: Option<String>,
}

impl fmt::Debug for NewProject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewProject").field("name", &self.name).field("id", &self.id).finish_non_exhaustive()
    }
}

/// A project just created, with its key and secret.
#[derive(Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CreatedProject {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its token.
    pub token: String,
    /// Its API key.
    pub api_key: String,
    /// Its API secret.
    pub api_secret: String,
}

impl fmt::Debug for CreatedProject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedProject")
            .field("id", &self.id)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// What is to change of a project; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// The name.
    pub name: Option<String>,
    /// Whether it accepts events.
    pub accepts_events: Option<bool>,
    /// What it keeps of senders' addresses.
    pub client_address: Option<ClientAddress>,
    /// The origins that browsers may send from; none: any.
    pub allowed_origins: Option<Vec<String>>,
    /// The time zone that its times are shown in, by its IANA name.
    pub timezone: Option<String>,
    /// How it resolves identities.
    pub id_merge: Option<IdMerge>,
    /// Its own retention; `Some(None)`: the store's.
    pub retention_days: Option<Option<u32>>,
}

/// A token of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct TokenInfo {
    /// The token.
    pub token: String,
    /// When it was added.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
    /// When events last came in under it, to the minute.
    pub last_used_ms: Option<u64>,
    /// About how many did.
    pub events: u64,
    /// From when on it sends no longer.
    pub ends_at_ms: Option<u64>,
}

/// An API key or secret that was replaced and is, or was, taken a while longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FormerInfo {
    /// `api_key` or `api_secret`.
    pub kind: String,
    /// When it was replaced.
    pub replaced_at_ms: u64,
    /// Until when it is taken.
    pub ends_at_ms: u64,
    /// When it was last used.
    pub last_used_ms: Option<u64>,
    /// How often, since it was replaced.
    pub uses: u64,
}

/// A project, and what the actor is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ProjectView {
    /// The project.
    #[serde(flatten)]
    pub project: ProjectInfo,
    /// The actor's role.
    pub role: ProjectRole,
}

/// A project that was deleted and can be had back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct DeletedProject {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// When it was deleted.
    pub deleted_at_ms: u64,
    /// By whom.
    pub deleted_by: String,
    /// When it is gone for good.
    pub purged_at_ms: u64,
}

/// Somebody with a role in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ProjectMember {
    /// The person's number.
    pub id: PersonId,
    /// Their address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// What they are there: the stronger of the two below.
    pub role: ProjectRole,
    /// What they were given there.
    pub given: Option<ProjectRole>,
    /// What they are in the organisation.
    pub organisation_role: OrganisationRole,
}

/// A project as it is shown: no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ProjectInfo {
    /// Its number.
    pub id: u64,
    /// The organisation it belongs to.
    pub organisation: u64,
    /// Its name.
    pub name: String,
    /// The token shown for it: the first that stays.
    pub token: String,
    /// All its tokens.
    pub tokens: Vec<TokenInfo>,
    /// Whether it accepts events.
    pub accepts_events: bool,
    /// What it keeps of senders' addresses: `drop`, `mask` or `keep`.
    pub client_address: &'static str,
    /// The origins that browsers may send from; none: any.
    pub allowed_origins: Vec<String>,
    /// The time zone that its times are shown in.
    pub timezone: String,
    /// How it resolves identities: `original` or `simplified`.
    pub id_merge: &'static str,
    /// Its own retention.
    pub retention_days: Option<u32>,
    /// When it was created.
    pub created_at_ms: u64,
    /// By whom.
    pub created_by: String,
    /// When its API key was last used.
    pub api_key_last_used_ms: Option<u64>,
    /// In how many requests.
    pub api_key_uses: u64,
    /// When its API secret was last used.
    pub api_secret_last_used_ms: Option<u64>,
    /// In how many requests.
    pub api_secret_uses: u64,
    /// API keys and secrets that were replaced not long ago.
    pub former_credentials: Vec<FormerInfo>,
}
