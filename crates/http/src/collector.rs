//! What all cores share: configuration, log, routing table, books, clock.

use crate::{
    auth::{self, AuthError, Claim, Identity, Proof},
    config::{HttpConfig, HttpConfigError},
    counters::CoreCounters,
    queries::QueryCounters,
};
use forebay_control::{Control, Keyring};
use forebay_log::{Clock, Log};
use forebay_route::{Admission, Caller, Ledger, Registry, ServiceAccount};
use hyper::{
    HeaderMap,
    header::{HeaderValue, USER_AGENT},
};
use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What the collector is put together from.
pub struct Parts {
    /// Where events go.
    pub log: Log,
    /// Whose token is whose.
    pub registry: Arc<Registry>,
    /// How much may be in flight.
    pub admission: Arc<Admission>,
    /// What becomes of every event.
    pub ledger: Arc<Ledger>,
    /// Lookup tables, and the key that credentials are recognised by.
    pub control: Arc<Control>,
    /// The time.
    pub clock: Clock,
}

/// The collector: one per server, shared by its cores and by whatever is mounted beside it.
pub struct Collector {
    /// As checked.
    pub config: HttpConfig,
    /// Where events go.
    pub log: Log,
    /// Whose token is whose.
    pub registry: Arc<Registry>,
    /// How much may be in flight.
    pub admission: Arc<Admission>,
    /// What becomes of every event.
    pub ledger: Arc<Ledger>,
    /// Lookup tables.
    pub control: Arc<Control>,
    /// The time.
    pub clock: Clock,
    /// Of those who read.
    pub queries: Arc<QueryCounters>,
    keyring: Keyring,
    draining: AtomicBool,
    pub(crate) cores: Box<[Arc<CoreCounters>]>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Collector {
    /// Puts a collector together.
    ///
    /// # Errors
    /// When a value of the configuration cannot be.
    pub fn new(config: HttpConfig, parts: Parts) -> Result<Arc<Collector>, HttpConfigError> {
        config.check()?;
        let Parts { log, registry, admission, ledger, control, clock } = parts;
        let cores = (0..config.cores).map(|_| Arc::default()).collect();
        let (keyring, draining) = (control.keyring(), AtomicBool::new(false));
        Ok(Arc::new(Collector {
            config,
            log,
            registry,
            admission,
            ledger,
            control,
            clock,
            queries: Arc::default(),
            keyring,
            draining,
            cores,
        }))
    }

    /// Who a claim belongs to.
    ///
    /// # Errors
    /// Why nobody can be told from it.
    pub fn identify(&self, claim: Claim<'_>) -> Result<Identity, AuthError> {
        self.identify_at(claim, (self.clock)())
    }

    /// The service account that an `Authorization` header names and proves, whichever projects it may use.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn service_account(&self, authorization: &HeaderValue) -> Result<Arc<ServiceAccount>, AuthError> {
        let mac = |credential: &[u8]| self.keyring.mac(credential);
        auth::account(&self.registry, mac, (self.clock)(), authorization)
    }

    pub(crate) fn identify_at(&self, claim: Claim<'_>, now_ms: u64) -> Result<Identity, AuthError> {
        let mac = |credential: &[u8]| self.keyring.mac(credential);
        let identity = auth::identify(&self.registry, mac, now_ms, claim)?;
        if let Some(credential) = identity.credential() {
            self.ledger.used(credential, now_ms);
        }
        Ok(identity)
    }

    /// Notes who used a project's key or secret, as far as the project keeps addresses: whoever resets them is told.
    pub fn note_caller(&self, identity: &Identity, headers: &HeaderMap, client: IpAddr, now_ms: u64) {
        let is_secret = match identity.proof {
            Proof::ApiSecret(_) => true,
            Proof::ApiKey(_) => false,
            Proof::Token | Proof::ServiceAccount(..) => return,
        };
        let user_agent = headers.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
        let project = &identity.project;
        let address = project.client_address.of(client.to_canonical());
        self.ledger.called(Caller::new(project.id, is_secret, user_agent, address), now_ms);
    }

    /// Whether requests should go elsewhere, and why: what `/health/ready` says.
    ///
    /// # Errors
    /// The reason.
    pub fn ready(&self) -> Result<(), String> {
        if self.is_draining() {
            return Err("draining: this server is about to stop".to_owned());
        }
        let unable: Vec<String> = self
            .log
            .health()
            .lanes
            .iter()
            .filter_map(|lane| Some(format!("lane {} cannot store: {}", lane.lane, lane.unable.as_ref()?)))
            .collect();
        if unable.is_empty() { Ok(()) } else { Err(unable.join("; ")) }
    }

    /// Whether the server is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        // Relaxed: a flag that guards nothing else.
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.cores.iter().map(|core| core.open()).sum()
    }
}
