//! What stands in the routing table's parts: a project, by each of the keys it is found by, and an account by its name.
//!
//! # Invariants
//! * An entry's key never changes: what it points to is replaced as a whole.

use std::sync::Arc;

use crate::{CredentialKind, Mac, Project, ServiceAccount, parts::Entry};

/// A project, by one of its tokens.
#[derive(Clone)]
pub(crate) struct ByToken {
    pub(crate) project: Arc<Project>,
    /// Which of its tokens.
    nth: u32,
}

impl ByToken {
    /// One for each of its tokens.
    pub(crate) fn all(project: &Arc<Project>) -> impl Iterator<Item = ByToken> {
        let tokens = (0..).zip(&project.settings.tokens);
        tokens.map(|(nth, _)| ByToken { project: Arc::clone(project), nth })
    }
}

impl Entry for ByToken {
    fn key<T>(&self, on: impl FnOnce(&[u8]) -> T) -> T {
        on(&self.project.settings.tokens[self.nth as usize])
    }
}

/// A project, by the digest of its API key.
#[derive(Clone)]
pub(crate) struct ByApiKey(pub(crate) Arc<Project>);

impl ByApiKey {
    /// If it has one.
    pub(crate) fn of(project: &Arc<Project>) -> Option<ByApiKey> {
        project.settings.api_key_mac.as_ref().map(|_| ByApiKey(Arc::clone(project)))
    }
}

impl Entry for ByApiKey {
    fn key<T>(&self, on: impl FnOnce(&[u8]) -> T) -> T {
        on(digest(self.0.settings.api_key_mac.as_ref()))
    }
}

/// A project, by the digest of its API secret.
#[derive(Clone)]
pub(crate) struct ByApiSecret(pub(crate) Arc<Project>);

impl ByApiSecret {
    /// If it has one.
    pub(crate) fn of(project: &Arc<Project>) -> Option<ByApiSecret> {
        project.settings.api_secret_mac.as_ref().map(|_| ByApiSecret(Arc::clone(project)))
    }
}

impl Entry for ByApiSecret {
    fn key<T>(&self, on: impl FnOnce(&[u8]) -> T) -> T {
        on(digest(self.0.settings.api_secret_mac.as_ref()))
    }
}

/// A project, by the digest of a credential that was replaced and is still taken.
#[derive(Clone)]
pub(crate) struct ByFormer {
    pub(crate) project: Arc<Project>,
    /// Which of those.
    nth: u32,
}

impl ByFormer {
    /// One for each.
    pub(crate) fn all(project: &Arc<Project>) -> impl Iterator<Item = ByFormer> {
        let former = (0..).zip(&project.settings.former_credentials);
        former.map(|(nth, _)| ByFormer { project: Arc::clone(project), nth })
    }

    pub(crate) fn kind(&self) -> CredentialKind {
        self.project.settings.former_credentials[self.nth as usize].kind
    }
}

impl Entry for ByFormer {
    fn key<T>(&self, on: impl FnOnce(&[u8]) -> T) -> T {
        on(&self.project.settings.former_credentials[self.nth as usize].mac.0)
    }
}

/// Only projects that have one are entered; an empty key is nobody's.
fn digest(mac: Option<&Mac>) -> &[u8] {
    mac.map_or(&[], |mac| &mac.0)
}

/// A project, by its number.
#[derive(Clone)]
pub(crate) struct ById(pub(crate) Arc<Project>);

impl Entry for ById {
    fn key<T>(&self, on: impl FnOnce(&[u8]) -> T) -> T {
        on(&self.0.id.as_u64().to_le_bytes())
    }
}

/// A service account, by its name.
#[derive(Clone)]
pub(crate) struct ByName(pub(crate) Arc<ServiceAccount>);

impl Entry for ByName {
    fn key<T>(&self, on: impl FnOnce(&[u8]) -> T) -> T {
        on(self.0.username.as_bytes())
    }
}
