//! When credentials were last used, gathered for the bookkeeper.
//!
//! # Invariants
//! * Only credentials that were recognised come in, so that there are at most as many as there exist.

use std::collections::HashMap;

use forebay_record::ProjectId;

use crate::sync::{Mutex, lock};

/// A credential that was recognised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// A project's API key.
    ApiKey(ProjectId),
    /// A project's API secret.
    ApiSecret(ProjectId),
    /// A service account, by name.
    ServiceAccount(Box<str>),
}

#[derive(Default)]
pub(crate) struct Used(Mutex<HashMap<Credential, u64>>);

impl Used {
    pub(crate) fn note(&self, credential: Credential, at_ms: u64) {
        let mut used = lock(&self.0);
        let last = used.entry(credential).or_default();
        *last = at_ms.max(*last);
    }

    pub(crate) fn drain(&self) -> Vec<(Credential, u64)> {
        lock(&self.0).drain().collect()
    }
}
