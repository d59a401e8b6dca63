//! The server: the crates wired together, started, drained, stopped.
//!
//! [`Server::start`] is what `forebay serve` runs and what tests run inside their own process, with a clock
//! of theirs. The command line is [`cli::run`].
//!
//! # Order
//! Starting: check the registry's version, lock and recover the log, open the registry, fill the routing table, listen. Stopping is the
//! reverse: the listeners close and requests finish, then the last counts are booked, then the log is
//! sealed. So nothing is ever accepted that cannot be stored, or stored and not counted.

mod bookkeeper;
pub mod cli;
mod closing;
pub mod config;
mod logging;
mod messages;
mod report;
mod watcher;

use bookkeeper::Bookkeeper;
use closing::Closing;
use config::Config;
use forebay_console::Console;
use forebay_control::{Control, Options};
use forebay_export::ExportMount;
use forebay_http::{Collector, Listeners, Mount, Parts};
use forebay_log::{Clock, Log, Store, lane_of};
use forebay_notify::Courier;
use forebay_route::{Admission, Ledger, LedgerLimits, Registry};
pub use report::Report;
use std::{fmt, net::SocketAddr, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};
use watcher::Watcher;

/// Starts servers.
pub struct Server;

/// A server that runs. Dropping it without [`Running::stop`] is a crash as far as the log is concerned:
/// nothing acknowledged is lost.
pub struct Running {
    http: forebay_http::Running,
    collector: Arc<Collector>,
    bookkeeper: Bookkeeper,
    watcher: Watcher,
    courier: Courier,
    report: Report,
}

/// Why a server did not start, or did not stop as it should: what was being done, and why it failed.
#[derive(Debug)]
pub struct ServerError {
    /// What was being done.
    pub what: String,
    /// Why it failed.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.what)
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

impl ServerError {
    fn of<E>(what: impl Into<String>) -> impl FnOnce(E) -> ServerError
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| ServerError { what: what.into(), source: source.into() }
    }
}

impl Server {
    /// Starts a server: recovers the log, reads the registry, listens.
    ///
    /// # Errors
    /// What could not be done, and why. Nothing keeps running then.
    pub fn start(config: Config, clock: Clock) -> Result<Running, ServerError> {
        let dir = config.data_dir.clone();
        let shown = dir.display().to_string();
        // For nobody else: the events are readable in it.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(ServerError::of(format!("make the data directory {shown}")))?;
        // A directory that a later version has written to is left as it is: recovery would change the log.
        Control::check(&dir).map_err(ServerError::of(format!("open the registry in {shown}")))?;
        let mut log_config = config.log.clone();
        log_config.dir.clone_from(&dir);
        log_config.clock = Arc::clone(&clock);
        let lanes = log_config.lanes;
        // Before anything is changed: it takes the lock of the directory.
        let (log, recovery) =
            Log::open(log_config).map_err(ServerError::of(format!("open the log in {shown}")))?;
        // Before a first project is made, whose token is shown only when everything has worked.
        let listeners = Listeners::bind(&config.http.listen, config.http.admin_listen, config.http.backlog)
            .map_err(ServerError::of("start listening"))?;
        let options = Options { clock: Arc::clone(&clock), outreach: config.outreach, ..Options::default() };
        let control = Control::open_with(&dir, options);
        let control = Arc::new(control.map_err(ServerError::of(format!("open the registry in {shown}")))?);
        let using = format!("use the registry in {shown}");
        let first_project = control.ensure_first_project().map_err(ServerError::of(using.as_str()))?;
        let ledger = Ledger::new(LedgerLimits::default());
        let registry = Arc::new(Registry::new(Arc::clone(&ledger), move |project| lane_of(project, lanes)));
        let (snapshot, watch) = control.watch().map_err(ServerError::of(using.as_str()))?;
        let projects = snapshot.projects.len();
        registry.replace_all(snapshot.projects, snapshot.accounts);

        let store = Store::open(&dir).map_err(ServerError::of(format!("read the log in {shown}")))?;
        let closing = Closing::new(&log, store.clone());
        let parts = Parts {
            log,
            registry: Arc::clone(&registry),
            admission: Admission::new(config.admission, lanes),
            ledger: Arc::clone(&ledger),
            control,
            clock: Arc::clone(&clock),
        };
        let collector =
            Collector::new(config.http.clone(), parts).map_err(ServerError::of("use the configuration"))?;
        // Before anything is served: what the last process left unbooked is not to mix with what comes now.
        let (control, log) = (Arc::clone(&collector.control), collector.log.clone());
        let bookkeeper = Bookkeeper::start(control, Arc::clone(&ledger), log, closing, clock)
            .map_err(ServerError::of("start a thread"))?;
        let courier = messages::start(&config, &collector)?;
        let watcher = Watcher::start(watch, registry, ledger).map_err(ServerError::of("start a thread"))?;
        let export = ExportMount::new(store.clone(), &collector, config.queries);
        let mut mounts: Vec<Arc<dyn Mount>> = vec![Arc::new(export.clone())];
        let mut setup_code = None;
        if config.console_enabled {
            let port = listeners.addresses().first().map_or(0, SocketAddr::port);
            let console = Console::new(Arc::clone(&collector), store, export, port, config.console.clone());
            mounts.extend(console.mounts());
            setup_code = collector.control.new_setup_code().map_err(ServerError::of(using.as_str()))?;
        }
        let http = forebay_http::serve(listeners, Arc::clone(&collector), mounts)
            .map_err(ServerError::of("start the threads that serve"))?;
        let report = Report {
            addresses: http.addresses().to_vec(),
            admin_addr: http.admin_address(),
            config,
            recovery,
            projects,
            first_project,
            setup_code,
        };
        Ok(Running { http, collector, bookkeeper, watcher, courier, report })
    }
}

impl Running {
    /// Where senders connect: the first address, its port known.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.report.addr()
    }

    /// Where health checks and metrics are answered, if that is a place of its own.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.report.admin_addr
    }

    /// Where everything lies.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.report.config.data_dir
    }

    /// What all cores share.
    #[must_use]
    pub fn collector(&self) -> &Arc<Collector> {
        &self.collector
    }

    /// What the start came to.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Stops in order: no new connections, requests under way finish, the counts are booked, the log is
    /// sealed.
    ///
    /// # Errors
    /// What did not end as it should. Everything acknowledged is on disk regardless.
    pub fn stop(self) -> Result<(), ServerError> {
        let Running { http, collector, bookkeeper, watcher, courier, .. } = self;
        let drained = http.drain();
        courier.stop();
        watcher.stop();
        let closed = collector.log.clone().close();
        // After the log: only now has every event its verdict.
        bookkeeper.stop();
        let stopped = drained.map_err(ServerError::of("serve to the end"))?;
        if stopped.cut_connections > 0 {
            tracing::warn!(
                connections = stopped.cut_connections,
                "requests did not finish in time and were cut"
            );
        }
        closed.map_err(ServerError::of("close the log in order"))
    }
}
