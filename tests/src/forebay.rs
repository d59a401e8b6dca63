//! The real binary: started on a directory of its own, asked by sockets and command line, and stopped.
//!
//! # Invariants
//! * A server never outlives its [`Forebay`], nor its directory, unless the test gave that itself.
//! * Every server that is stopped or dropped in order (not killed) has balanced books and exits with 0.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{self, Output};
use crate::metrics::{Accounts, Metrics};
use crate::wire::{Answer, PATIENCE, Request, exchange};
use crate::{Json, eventually};

/// How a server is to be started. Starts from [`Setup::new`]; [`Setup::start`] starts it.
#[derive(Clone, Debug)]
pub struct Setup {
    data_dir: Option<PathBuf>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    config: Option<String>,
    listen: String,
    admin: Option<SocketAddr>,
    ready_within: Duration,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup::new()
    }
}

impl Setup {
    /// An empty directory, a free port, the defaults otherwise.
    pub fn new() -> Setup {
        Setup {
            data_dir: None,
            args: Vec::new(),
            env: Vec::new(),
            config: None,
            listen: "127.0.0.1:0".to_owned(),
            admin: None,
            ready_within: Duration::from_secs(30),
        }
    }

    /// Uses this data directory, which outlives the server.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Setup {
        self.data_dir = Some(dir.into());
        self
    }

    /// Adds one argument to `forebay serve`.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Setup {
        self.args.push(arg.into());
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives this text as the configuration file.
    pub fn config(mut self, toml: &str) -> Setup {
        self.config = Some(toml.to_owned());
        self
    }

    /// Listens there instead of a free port on 127.0.0.1.
    pub fn listen(mut self, addr: &str) -> Setup {
        self.listen = addr.to_owned();
        self
    }

    /// Answers health checks and metrics there, and nowhere else.
    pub fn admin_listen(mut self, addr: SocketAddr) -> Setup {
        self.admin = Some(addr);
        self
    }

    /// Gives up if the server is not ready by then (30 s unless set).
    pub fn ready_within(mut self, limit: Duration) -> Setup {
        self.ready_within = limit;
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// With what the server wrote to stderr, if it does not get ready.
    #[track_caller]
    pub fn start(self) -> Forebay {
        self.try_start().unwrap_or_else(|failed| panic!("{failed}"))
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// [`FailedStart`] if it ends instead.
    ///
    /// # Panics
    /// If it neither gets ready nor ends in time.
    pub fn try_start(self) -> Result<Forebay, FailedStart> {
        let home = tempfile::Builder::new().prefix("forebay-test-").tempdir().expect("making a directory");
        let data_dir = self.data_dir.clone().unwrap_or_else(|| home.path().join("data"));
        let stderr_file = home.path().join("stderr");
        let mut command = Command::new(cli::binary());
        command.args(["serve", "--json", "--listen", &self.listen, "--data-dir"]).arg(&data_dir);
        if let Some(toml) = &self.config {
            let path = home.path().join("forebay.toml");
            fs::write(&path, toml).expect("writing the configuration");
            command.arg("--config").arg(path);
        }
        if let Some(admin) = self.admin {
            command.args(["--admin-listen", &admin.to_string()]);
        }
        command.args(&self.args).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&stderr_file).expect("making the file for stderr"));
        let asked = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("starting {:?}: {e}", cli::binary()));
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // Reads to the end, so that the server never blocks on a full pipe.
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let first = lines.recv_timeout(self.ready_within);
        let started_in = asked.elapsed();
        let mut forebay = Forebay {
            child,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            ready: Json::Null,
            started_in,
            data_dir,
            stderr_file,
            setup: self,
            over: false,
            _home: home,
        };
        match first {
            Ok(line) => {
                forebay.ready = Json::parse(&line);
                let url = forebay.ready.str("listening");
                let addr = url.trim_start_matches("http://").trim_end_matches('/');
                forebay.addr = addr.parse().unwrap_or_else(|_| panic!("no address in {line}"));
                Ok(forebay)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                forebay.over = true;
                let status = forebay.child.wait().expect("waiting for a child");
                Err(FailedStart { status, stderr: forebay.stderr() })
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                forebay.over = true;
                let stderr = forebay.stderr();
                let _ = forebay.child.kill();
                let _ = forebay.child.wait();
                panic!("not ready within {:?}; stderr:\n{stderr}", forebay.setup.ready_within)
            }
        }
    }
}

/// A server that ended instead of getting ready.
#[derive(Clone, Debug)]
pub struct FailedStart {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it wrote to stderr.
    pub stderr: String,
}

impl std::fmt::Display for FailedStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "forebay serve ended with {} before it was ready; stderr:\n{}", self.status, self.stderr)
    }
}

impl std::error::Error for FailedStart {}

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

    /// Waits until the server lets the project's secret read, which it must within a second of its making.
    #[track_caller]
    pub fn wait_until_known(&self, project: &Project) {
        let asked = Instant::now();
        eventually(Duration::from_secs(5), "the server knows the project", || {
            let answer = self.send(
                &Request::get("/api/2.0/export?from_date=2000-01-01&to_date=2000-01-01")
                    .basic(&project.api_secret, ""),
            );
            answer.status == 200
        });
        // A second by contract; the rest is this machine being busy.
        assert!(asked.elapsed() < Duration::from_secs(3), "known only after {:?}", asked.elapsed());
    }

    /// Waits until the server lets a service account read that project.
    #[track_caller]
    pub fn wait_for_account(&self, username: &str, secret: &str, project_id: &str) {
        let target =
            format!("/api/2.0/export?from_date=2000-01-01&to_date=2000-01-01&project_id={project_id}");
        eventually(Duration::from_secs(5), "the server knows the service account", || {
            self.send(&Request::get(&target).basic(username, secret)).status == 200
        });
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Panics
    /// If no answer comes back.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answer {
        exchange(self.addr, &request.bytes())
            .unwrap_or_else(|e| panic!("no answer: {e}; stderr:\n{}", self.stderr()))
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
