//! The routing table: who a token, a key, a secret or an account name belongs to.
//!
//! # Invariants
//! * Lookups are lock-free; changes are serialised by one mutex.
//! * A project keeps its tally and its bytes in flight through every change.
//! * A token, key or secret that moved to another project is never removed by the change that took it
//!   from the old one, in whatever order the two arrive.

use std::sync::Arc;

use forebay_record::{LaneId, ProjectId};

use crate::{
    CredentialKind, Ledger, Mac, Owner, Project, ProjectSettings, ServiceAccount,
    entry::{ByApiKey, ByApiSecret, ByFormer, ById, ByName, ByToken},
    gauge::Gauge,
    parts::Parts,
    sync::{Mutex, leaves_out, lock},
};

/// One change of the routing table, as the control store reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The project was created or changed: this is how it is now.
    Project(ProjectSettings),
    /// The project is gone.
    ProjectRemoved(ProjectId),
    /// The account was created or changed: this is how it is now.
    ServiceAccount(ServiceAccount),
    /// The account with this name is gone.
    ServiceAccountRemoved(Box<str>),
}

/// The routing table; one per server, shared by every core.
pub struct Registry {
    tokens: Parts<ByToken>,
    api_keys: Parts<ByApiKey>,
    api_secrets: Parts<ByApiSecret>,
    /// Few, and for a while each: asked only for what is none of the above.
    former: Parts<ByFormer>,
    projects: Parts<ById>,
    accounts: Parts<ByName>,
    ledger: Arc<Ledger>,
    lane_of: Box<dyn Fn(ProjectId) -> LaneId + Send + Sync>,
    changing: Mutex<()>,
}

impl Registry {
    /// An empty table. `lane_of` shards projects over lanes and must be stable.
    #[must_use]
    pub fn new(
        ledger: Arc<Ledger>,
        lane_of: impl Fn(ProjectId) -> LaneId + Send + Sync + 'static,
    ) -> Registry {
        Registry {
            tokens: Parts::new(),
            api_keys: Parts::new(),
            api_secrets: Parts::new(),
            former: Parts::new(),
            projects: Parts::new(),
            accounts: Parts::new(),
            ledger,
            lane_of: Box::new(lane_of),
            changing: Mutex::new(()),
        }
    }

    /// The project that `token` sends to.
    #[must_use]
    pub fn token(&self, token: &[u8]) -> Option<Arc<Project>> {
        self.tokens.find(token).map(|found| found.project)
    }

    /// The project with this number.
    #[must_use]
    pub fn project(&self, id: ProjectId) -> Option<Arc<Project>> {
        self.projects.find(&id.as_u64().to_le_bytes()).map(|found| found.0)
    }

    /// The project whose API secret has this digest, or had while that is still taken.
    #[must_use]
    pub fn by_secret_mac(&self, mac: &Mac) -> Option<Arc<Project>> {
        let found = self.api_secrets.find(&mac.0).map(|found| found.0);
        found.or_else(|| self.by_former(mac, CredentialKind::ApiSecret))
    }

    /// The project whose API key has this digest, or had while that is still taken.
    #[must_use]
    pub fn by_api_key_mac(&self, mac: &Mac) -> Option<Arc<Project>> {
        let found = self.api_keys.find(&mac.0).map(|found| found.0);
        found.or_else(|| self.by_former(mac, CredentialKind::ApiKey))
    }

    fn by_former(&self, mac: &Mac, kind: CredentialKind) -> Option<Arc<Project>> {
        self.former.find(&mac.0).filter(|found| found.kind() == kind).map(|found| found.project)
    }

    /// The account with this name; its secret and expiry are for the caller to check.
    #[must_use]
    pub fn service_account(&self, username: &str) -> Option<Arc<ServiceAccount>> {
        self.accounts.find(username.as_bytes()).map(|found| found.0)
    }

    /// How many projects there are.
    #[must_use]
    pub fn projects_len(&self) -> usize {
        self.projects.len()
    }

    /// Calls `each` for every project, in no order; changes meanwhile may or may not be seen.
    pub fn for_each_project(&self, mut each: impl FnMut(&Arc<Project>)) {
        self.projects.for_each(|entry| each(&entry.0));
    }

    /// Puts one change in force; every lookup that begins after this call sees it. Tokens that are no
    /// longer unknown leave the ledger's list.
    pub fn apply(&self, change: Change) {
        let _changing = (!leaves_out("one change at a time")).then(|| lock(&self.changing));
        match change {
            Change::Project(settings) => self.put_project(settings),
            Change::ProjectRemoved(id) => {
                if let Some(old) = self.project(id) {
                    self.forget_credentials(&old, None);
                    self.projects.remove_if(&id.as_u64().to_le_bytes(), |_| true);
                }
            }
            Change::ServiceAccount(account) => {
                self.accounts.insert(ByName(Arc::new(sorted(account))));
            }
            Change::ServiceAccountRemoved(username) => self.accounts.remove_if(username.as_bytes(), |_| true),
        }
    }

    /// Replaces the whole table, building each part once: the way to start, and to catch up after
    /// more changes than the control store remembers.
    pub fn replace_all(
        &self,
        projects: impl IntoIterator<Item = ProjectSettings>,
        accounts: impl IntoIterator<Item = ServiceAccount>,
    ) {
        let _changing = lock(&self.changing);
        let projects: Vec<_> = projects.into_iter().map(|settings| self.build(settings)).collect();
        self.api_keys.replace_all(projects.iter().filter_map(ByApiKey::of));
        self.api_secrets.replace_all(projects.iter().filter_map(ByApiSecret::of));
        self.former.replace_all(projects.iter().flat_map(ByFormer::all));
        self.tokens.replace_all(projects.iter().flat_map(ByToken::all));
        self.projects.replace_all(projects.into_iter().map(ById));
        self.accounts.replace_all(accounts.into_iter().map(|account| ByName(Arc::new(sorted(account)))));
        for unknown in self.ledger.unknown_tokens(usize::MAX) {
            if self.token(&unknown.token).is_some() {
                self.ledger.token_claimed(&unknown.token);
            }
        }
    }

    fn put_project(&self, settings: ProjectSettings) {
        let old = self.project(settings.id);
        let project = self.build(settings);
        if leaves_out("putting the new ones first")
            && let Some(old) = &old
        {
            self.forget_credentials(old, None);
        }
        // The new ones first: a token that stays is at no moment unknown.
        ByToken::all(&project).for_each(|entry| self.tokens.insert(entry));
        project.settings.tokens.iter().for_each(|token| self.ledger.token_claimed(token));
        if let Some(entry) = ByApiKey::of(&project) {
            self.api_keys.insert(entry);
        }
        if let Some(entry) = ByApiSecret::of(&project) {
            self.api_secrets.insert(entry);
        }
        ByFormer::all(&project).for_each(|entry| self.former.insert(entry));
        self.projects.insert(ById(Arc::clone(&project)));
        if let Some(old) = old {
            self.forget_credentials(&old, Some(&project.settings));
        }
    }

    /// Removes what `old` had and `new` has not, unless it belongs to another project by now.
    fn forget_credentials(&self, old: &Project, new: Option<&ProjectSettings>) {
        let still_its_own = |found: &Project| found.id == old.id || leaves_out("asking whose it is by now");
        for token in &old.settings.tokens {
            if new.is_none_or(|new| !new.tokens.contains(token)) {
                self.tokens.remove_if(token, |entry| still_its_own(&entry.project));
            }
        }
        for former in &old.settings.former_credentials {
            if new.is_none_or(|new| !new.former_credentials.iter().any(|kept| kept.mac == former.mac)) {
                self.former.remove_if(&former.mac.0, |entry| still_its_own(&entry.project));
            }
        }
        if let Some(mac) = &old.settings.api_key_mac
            && new.is_none_or(|new| new.api_key_mac.as_ref() != Some(mac))
        {
            self.api_keys.remove_if(&mac.0, |entry| still_its_own(&entry.0));
        }
        if let Some(mac) = &old.settings.api_secret_mac
            && new.is_none_or(|new| new.api_secret_mac.as_ref() != Some(mac))
        {
            self.api_secrets.remove_if(&mac.0, |entry| still_its_own(&entry.0));
        }
    }

    fn build(&self, settings: ProjectSettings) -> Arc<Project> {
        let in_flight = match self.project(settings.id) {
            Some(old) => Arc::clone(&old.in_flight),
            None => Arc::new(Gauge::new()),
        };
        // With one token, as nearly every project has, its tally says what came in under it.
        let token_uses = match settings.tokens.len() {
            0 | 1 => Box::default(),
            _ => settings.tokens.iter().map(|token| self.ledger.token_use(settings.id, token)).collect(),
        };
        Arc::new(Project {
            id: settings.id,
            lane: (self.lane_of)(settings.id),
            accepts_events: settings.accepts_events,
            client_address: settings.client_address,
            id_merge: settings.id_merge,
            tally: self.ledger.tally(Owner::Project(settings.id)),
            in_flight,
            token_uses,
            settings,
        })
    }
}

/// [`ServiceAccount::may_use`] and its like rely on the order.
fn sorted(mut account: ServiceAccount) -> ServiceAccount {
    for projects in [&mut account.projects, &mut account.reads, &mut account.writes] {
        projects.sort_unstable();
        projects.dedup();
    }
    account
}
