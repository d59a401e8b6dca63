//! When, and how often, credentials were used, gathered for the bookkeeper.
//!
//! # Invariants
//! * Only credentials that were recognised come in, so that there are at most as many as there exist.

use std::collections::HashMap;

use crate::{
    Mac,
    sync::{Mutex, lock},
};

/// A credential that was recognised, by the digest it was recognised by: a project or an account may have two for a
/// while.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A project's API key.
    ApiKey(Mac),
    /// A project's API secret.
    ApiSecret(Mac),
    /// A service account, by name, and its secret.
    ServiceAccount(Box<str>, Mac),
}

/// How a credential was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// In how many requests.
    pub count: u64,
    /// When last, in milliseconds since the epoch.
    pub last_ms: u64,
}

#[derive(Default)]
pub(crate) struct Used(Mutex<HashMap<Credential, Uses>>);

impl Used {
    pub(crate) fn note(&self, credential: Credential, more: Uses) {
        let mut used = lock(&self.0);
        let uses = used.entry(credential).or_default();
        uses.count += more.count;
        uses.last_ms = more.last_ms.max(uses.last_ms);
    }

    pub(crate) fn drain(&self) -> Vec<(Credential, Uses)> {
        lock(&self.0).drain().collect()
    }
}
