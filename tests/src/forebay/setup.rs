//! How a server is to be started, and starting it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Forebay;
use crate::{Json, cli, unconnected};

/// How a server is to be started. Starts from [`Setup::new`]; [`Setup::start`] starts it.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) data_dir: Option<PathBuf>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    config: Option<String>,
    listen: String,
    pub(super) admin: Option<SocketAddr>,
    ready_within: Duration,
    unconnected: bool,
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
            unconnected: false,
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

    /// The server ends the moment it calls anybody: see [`unconnected`].
    pub fn unconnected(mut self) -> Setup {
        self.unconnected = true;
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
        let spawned = if self.unconnected { unconnected::spawn(&mut command) } else { command.spawn() };
        let mut child = spawned.unwrap_or_else(|e| panic!("starting {:?}: {e}", cli::binary()));
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
