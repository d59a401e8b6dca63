//! The collector as the server wires it, in this process, on a free port and an empty directory.
//!
//! # Invariants
//! * When a harness ends well, no event is in flight or unaccounted: [`Harness::finish`].

#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "test code, outside of the test functions")]

use forebay_control::{Control, NewAccount, NewProject};
use forebay_http::{Collector, HttpConfig, Listeners, Parts, Running, serve};
use forebay_log::{Clock, Filter, Log, LogConfig, Step, Store, lane_of, system_clock};
use forebay_record::{FrameKind, LaneId, ProjectId, Seq};
use forebay_route::{
    Admission, AdmissionLimits, Change, IdMerge, Ledger, LedgerLimits, ProjectSettings, Registry,
};
use forebay_tests::{Answer, Connection, Json, Request, wire};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// The project that [`Harness::start`] creates.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Its secret.
pub(crate) const SECRET: &str = "5ec2e7a05ec2e7a05ec2e7a05ec2e7a0";
/// Its number.
pub(crate) const PROJECT: u64 = 1001;
/// Another project's token.
pub(crate) const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210";
/// Another project's number.
pub(crate) const OTHER_PROJECT: u64 = 1002;

/// What a test may change before the start.
pub(crate) struct Setup {
    pub(crate) http: HttpConfig,
    pub(crate) log: LogConfig,
    pub(crate) admission: AdmissionLimits,
    pub(crate) clock: Clock,
}

pub(crate) struct Harness {
    pub(crate) collector: Arc<Collector>,
    pub(crate) control: Arc<Control>,
    running: Option<Running>,
    log: Log,
    dir: tempfile::TempDir,
    next: HashMap<LaneId, Seq>,
}

impl Harness {
    /// Starts with the two projects named above.
    pub(crate) fn start(change: impl FnOnce(&mut Setup)) -> Harness {
        let harness = Harness::empty(change);
        harness.create_project(PROJECT, TOKEN, SECRET, "original");
        harness.create_project(OTHER_PROJECT, OTHER_TOKEN, "another-secret", "original");
        harness.reload();
        harness
    }

    /// Starts without projects.
    pub(crate) fn empty(change: impl FnOnce(&mut Setup)) -> Harness {
        let dir = tempfile::tempdir().unwrap();
        let mut setup = Setup {
            http: HttpConfig { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..HttpConfig::default() },
            log: LogConfig { lanes: 2, segment_bytes_min: 1 << 20, ..LogConfig::new(dir.path()) },
            admission: AdmissionLimits {
                server_bytes: 256 << 20,
                lane_bytes: 128 << 20,
                project_bytes: 64 << 20,
            },
            clock: system_clock(),
        };
        setup.http.drain.finish = Duration::from_secs(10);
        change(&mut setup);
        setup.log.clock = Arc::clone(&setup.clock);
        let lanes = setup.log.lanes;
        let control = Arc::new(Control::open(dir.path()).unwrap());
        let (log, _) = Log::open(setup.log).unwrap();
        let ledger = Ledger::new(LedgerLimits::default());
        let registry = Registry::new(Arc::clone(&ledger), move |project| lane_of(project, lanes));
        let (listen, admin) = (setup.http.listen.clone(), setup.http.admin_listen);
        let parts = Parts {
            log: log.clone(),
            registry: Arc::new(registry),
            admission: Admission::new(setup.admission, lanes),
            ledger,
            control: Arc::clone(&control),
            clock: setup.clock,
        };
        let collector = Collector::new(setup.http, parts).unwrap();
        let listeners = Listeners::bind(&listen, admin, 1024).unwrap();
        let running = serve(listeners, Arc::clone(&collector), Vec::new()).unwrap();
        Harness { collector, control, running: Some(running), log, dir, next: HashMap::new() }
    }

    pub(crate) fn create_project(&self, id: u64, token: &str, secret: &str, id_merge: &str) {
        self.control
            .host()
            .create_project(&NewProject {
                name: format!("project {id}"),
                id: Some(id),
                token: Some(token.to_owned()),
                api_secret: Some(secret.to_owned()),
                id_merge: IdMerge::parse(id_merge).unwrap(),
                ..NewProject::default()
            })
            .unwrap();
    }

    pub(crate) fn create_account(&self, username: &str, secret: &str, projects: &[u64]) {
        self.control
            .host()
            .create_service_account(&NewAccount {
                username: Some(username.to_owned()),
                secret: Some(secret.to_owned()),
                projects: projects.iter().map(|&id| id.into()).collect(),
                ..NewAccount::default()
            })
            .unwrap();
    }

    /// Puts in force what was created.
    pub(crate) fn reload(&self) {
        let snapshot = self.control.snapshot().unwrap();
        self.collector.registry.replace_all(snapshot.projects, snapshot.accounts);
    }

    /// Changes a project's settings in the routing table.
    pub(crate) fn change_project(&self, id: u64, change: impl FnOnce(&mut ProjectSettings)) {
        let project = self.collector.registry.project(ProjectId::new(id).unwrap()).unwrap();
        let mut settings = project.settings.clone();
        change(&mut settings);
        self.collector.registry.apply(Change::Project(settings));
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.running.as_ref().unwrap().addresses()[0]
    }

    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.running.as_ref().unwrap().admin_address().unwrap()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.addr())
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        wire::exchange(self.addr(), &request.bytes()).unwrap()
    }

    /// The records stored since the last call, as `log cat --json` prints them, lane by lane.
    pub(crate) fn stored(&mut self) -> Vec<Json> {
        let store = Store::open(self.dir.path()).unwrap();
        let mut stored = Vec::new();
        for lane in store.lanes().unwrap() {
            let from = self.next.get(&lane).copied().unwrap_or(Seq(0));
            let mut cursor = store.cursor(lane, from, Filter::all()).unwrap();
            while let Some(step) = cursor.next().unwrap() {
                let Step::Frame(frame) = step else { panic!("a gap in lane {lane}") };
                let header = frame.header();
                for record in frame.records() {
                    let json = if header.kind == FrameKind::Replay {
                        serde_json::to_string(&String::from_utf8_lossy(record.json)).unwrap()
                    } else {
                        String::from_utf8_lossy(record.json).into_owned()
                    };
                    let project = header.project.map_or("null".to_owned(), |p| p.to_string());
                    let client = header.client_ip.map_or("null".to_owned(), |ip| format!("\"{ip}\""));
                    let quoted =
                        |bytes: &[u8]| serde_json::to_string(&String::from_utf8_lossy(bytes)).unwrap();
                    stored.push(Json::parse(format!(
                        r#"{{"lane":{},"seq":{},"project_id":{project},"token":{},"meta":{},"endpoint":"{}","received_at_ms":{},"client_ip":{client},"repaired":{},"record":{json}}}"#,
                        lane.0,
                        record.seq.0,
                        quoted(frame.token()),
                        quoted(frame.meta()),
                        header.endpoint.as_str(),
                        header.received_at_ms,
                        record.entry.repaired,
                    )));
                }
            }
            self.next.insert(lane, cursor.position().seq);
        }
        stored
    }

    /// Stops the server and checks that nothing was lost count of.
    pub(crate) fn finish(mut self) {
        let stopped = self.running.take().unwrap().drain().unwrap();
        assert_eq!(stopped.cut_connections, 0, "connections had to be cut");
        let totals = self.collector.ledger.totals((self.collector.clock)());
        assert!(totals.balances(), "{totals:?}");
        self.log.clone().close().unwrap();
    }

    /// Begins to stop, on another thread.
    pub(crate) fn drain(&mut self) -> std::thread::JoinHandle<()> {
        let running = self.running.take().unwrap();
        std::thread::spawn(move || {
            let stopped = running.drain().unwrap();
            assert_eq!(stopped.cut_connections, 0);
        })
    }

    /// The books, once nothing is in flight.
    #[track_caller]
    pub(crate) fn books(&self) -> forebay_route::Counts {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let totals = self.collector.ledger.totals((self.collector.clock)());
            if totals.balances() {
                return totals;
            }
            assert!(Instant::now() < end, "unbalanced: {totals:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// An event as JSON.
pub(crate) fn event(token: &str, name: &str) -> String {
    format!(r#"{{"event":"{name}","properties":{{"token":"{token}","distinct_id":"u"}}}}"#)
}
