//! The real binary: started on a directory of its own, asked by sockets and command line, and stopped.
//!
//! # Invariants
//! * A server never outlives its [`Forebay`], nor its directory, unless the test gave that itself.
//! * Every server that is stopped or dropped in order (not killed) has balanced books and exits with 0.

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;
use crate::cli::{self, Output};
use crate::metrics::{Accounts, Metrics};
use crate::wire::{Answer, Request, exchange};
use crate::{Json, contract, eventually};

mod setup;

pub use setup::{FailedStart, Setup};

/// A project as `project create --json` tells it.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What senders name it by.
    pub token: String,
    /// Its legacy import credential.
    pub api_key: String,
    /// What reads it.
    pub api_secret: String,
}

/// A server that runs.
///
/// Dropped outside a panic, it is stopped as [`Forebay::stop`] does, with all its checks.
pub struct Forebay {
    child: Child,
    addr: SocketAddr,
    ready: Json,
    started_in: Duration,
    data_dir: PathBuf,
    stderr_file: PathBuf,
    setup: Setup,
    over: bool,
    _home: tempfile::TempDir,
}

impl Forebay {
    /// Starts one with the defaults.
    #[track_caller]
    pub fn start() -> Forebay {
        Setup::new().start()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it answers health checks and metrics.
    pub fn admin_addr(&self) -> SocketAddr {
        self.setup.admin.unwrap_or(self.addr)
    }

    /// Where it listens, as `http://ADDR`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The line that said it was ready.
    pub fn ready(&self) -> &Json {
        &self.ready
    }

    /// How long it took from being started to saying so.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.stderr_file) {
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Its resident, anonymous and file-backed memory in bytes: `VmRSS`, `RssAnon`, `RssFile` and others of
    /// `/proc/PID/status`.
    #[track_caller]
    pub fn memory(&self, what: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("reading /proc");
        let line = text.lines().find_map(|l| l.strip_prefix(what)?.strip_prefix(':'));
        let kib = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("no {what} in {text}")) * 1024
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Runs a command on this data directory; it must succeed.
    #[track_caller]
    pub fn cli(&self, args: &[&str]) -> Output {
        cli::run(&self.data_dir, args).success()
    }

    /// Runs a command on this data directory, whatever comes of it.
    #[track_caller]
    pub fn try_cli(&self, args: &[&str]) -> Output {
        cli::run(&self.data_dir, args)
    }

    /// Creates a project with made-up credentials and waits until the server knows it.
    #[track_caller]
    pub fn create_project(&self, name: &str) -> Project {
        self.create_project_with(&["--name", name])
    }

    /// Creates a project with these options of `project create`, and waits until the server knows it.
    #[track_caller]
    pub fn create_project_with(&self, options: &[&str]) -> Project {
        let made = self.cli(&[&["project", "create", "--json"], options].concat()).json();
        let text = |key: &str| made.str(key).to_owned();
        let (token, api_key) = (text("token"), text("api_key"));
        let project = Project {
            id: made.u64("id"),
            name: text("name"),
            token,
            api_key,
            api_secret: text("api_secret"),
        };
        self.wait_until_known(&project);
        project
    }

    /// Waits until the server lets the project's secret read.
    #[track_caller]
    pub fn wait_until_known(&self, project: &Project) {
        eventually("the server knows the project", || {
            let answer = self.send(
                &Request::get("/api/2.0/export?from_date=2000-01-01&to_date=2000-01-01")
                    .basic(&project.api_secret, ""),
            );
            answer.status == 200
        });
    }

    /// Waits until the server lets a service account read that project.
    #[track_caller]
    pub fn wait_for_account(&self, username: &str, secret: &str, project_id: &str) {
        let target =
            format!("/api/2.0/export?from_date=2000-01-01&to_date=2000-01-01&project_id={project_id}");
        eventually("the server knows the service account", || {
            self.send(&Request::get(&target).basic(username, secret)).status == 200
        });
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Panics
    /// If no answer comes back.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answer {
        let answer = exchange(self.addr, &request.bytes())
            .unwrap_or_else(|e| panic!("no answer: {e}; stderr:\n{}", self.stderr()));
        contract::check(self.addr, request.method(), request.target(), &answer);
        answer
    }

    /// Posts JSON to `/track`.
    #[track_caller]
    pub fn track(&self, body: &str) -> Answer {
        self.send(&Request::post("/track", body).header("Content-Type", "application/json"))
    }

    /// All records in the log, lane by lane in order, read by `log cat --json` while the server runs.
    #[track_caller]
    pub fn records(&self) -> Vec<Json> {
        cli::records(&self.data_dir)
    }

    /// What the export API gives for that project, all days to today, `time` in milliseconds.
    #[track_caller]
    pub fn export(&self, project: &Project) -> Vec<Json> {
        let to = crate::day(0);
        let target = format!("/api/2.0/export?from_date=2011-01-01&to_date={to}&time_in_ms=true");
        let answer = self.send(&Request::get(&target).basic(&project.api_secret, ""));
        answer.expect_status(200);
        Json::lines(&answer.body)
    }

    /// A reading of `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let answer = exchange(self.admin_addr(), &Request::get("/metrics").bytes());
        let answer = answer.unwrap_or_else(|e| panic!("no metrics: {e}; stderr:\n{}", self.stderr()));
        answer.expect_status(200);
        Metrics::parse(&answer.text())
    }

    /// The accounts once nothing is in flight, checked.
    ///
    /// # Panics
    /// If they do not balance within a few seconds.
    #[track_caller]
    pub fn accounts(&self) -> Accounts {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let accounts = self.metrics().accounts();
            match accounts.check() {
                None => return accounts,
                Some(bad) => assert!(Instant::now() < until, "{bad}"),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id is positive");
        kill_process(pid, signal).unwrap_or_else(|e| panic!("sending {signal:?}: {e}"));
    }

    /// Checks the accounts, sends SIGTERM and waits: it must exit with 0 within 20 s.
    ///
    /// # Panics
    /// If the books do not balance or it ends in another way.
    #[track_caller]
    pub fn stop(mut self) -> Stopped {
        self.end()
    }

    /// Sends SIGTERM without asking for the accounts, for servers that no longer answer, and waits as
    /// [`stop`](Forebay::stop) does.
    #[track_caller]
    pub fn terminate(mut self) -> Stopped {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for a server that was told to end: it must exit with 0 within 20 s.
    #[track_caller]
    pub fn wait(&mut self) -> Stopped {
        self.over = true;
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("waiting for a child") {
                Some(status) => break status,
                None if Instant::now() > until => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    panic!("no end within {PATIENCE:?} of SIGTERM; stderr:\n{}", self.stderr());
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        assert!(status.success(), "ended with {status}; stderr:\n{}", self.stderr());
        Stopped { stderr: self.stderr() }
    }

    /// Starts it again on the same port and directory after [`wait`](Forebay::wait).
    #[track_caller]
    pub fn again(&self) -> Forebay {
        assert!(self.over, "it still runs");
        self.setup.clone().listen(&self.addr.to_string()).start()
    }

    /// Kills it with SIGKILL and gives back how to start it again on the same directory, which must be one that
    /// the test gave: see [`Setup::data_dir`].
    #[track_caller]
    pub fn kill(mut self) -> Setup {
        assert!(self.setup.data_dir.is_some(), "the directory would go with the server");
        self.over = true;
        let _ = self.child.kill();
        let status = self.child.wait().expect("waiting for a child");
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "it ended by itself; stderr:\n{}",
            self.stderr()
        );
        self.setup.clone()
    }

    #[track_caller]
    fn end(&mut self) -> Stopped {
        assert!(self.is_alive(), "the server ended by itself; stderr:\n{}", self.stderr());
        self.accounts();
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Forebay {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if thread::panicking() {
            self.over = true;
            let _ = self.child.kill();
            let _ = self.child.wait();
            #[expect(clippy::print_stderr, reason = "beside the failure that is being reported")]
            {
                eprintln!("the server's stderr:\n{}", self.stderr());
            }
        } else {
            self.end();
        }
    }
}

/// A server that stopped in order.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// All that it wrote to stderr.
    pub stderr: String,
}
