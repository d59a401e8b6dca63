//! Servers under measurement: processes of our own, or one that already runs.
//!
//! # Invariants
//! * A child never outlives its [`Server`], nor does its data directory.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Error, answer::Wanted, metrics::Metrics, pin, token::create_projects};

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// What it is called in the report.
    pub name: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its process, where that is known.
    pub pid: Option<u32>,
    /// Projects that it has, and that are sent to.
    pub projects: u64,
    /// Is it Forebay, started by us, so that its accounts must balance?
    pub is_ours: bool,
    /// What its answers must say.
    pub wanted: Wanted,
    child: Option<Child>,
    files: Option<TempDir>,
}

/// How to start servers.
#[derive(Clone, Debug)]
pub struct Starter {
    /// The `forebay` to start; it is the bare servers too.
    pub binary: PathBuf,
    /// Where data directories are made.
    pub scratch: PathBuf,
    /// The cores that servers run on; none means any.
    pub cores: Vec<usize>,
    /// More arguments for `forebay serve`.
    pub serve_args: Vec<String>,
}

impl Starter {
    /// Starts Forebay on a data directory of its own, with so many projects.
    ///
    /// # Errors
    /// When the projects cannot be made or it does not start.
    pub fn forebay(&self, name: &str, projects: u64) -> Result<Server, Error> {
        let files = tempfile::Builder::new().prefix("bench-http-").tempdir_in(&self.scratch);
        let files = files.map_err(Error::io(format!("make a folder in {}", self.scratch.display())))?;
        let data_dir = files.path().join("data");
        create_projects(&self.binary, &data_dir, projects)?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data_dir);
        command.args(&self.serve_args);
        let mut server = self.start(name, command, Some(files))?;
        (server.projects, server.is_ours, server.wanted) = (projects, true, Wanted::One);
        Ok(server)
    }

    /// Starts the bare server, or the one that also parses with simd-json.
    ///
    /// # Errors
    /// When it does not start.
    pub fn bare(&self, name: &str, parses: bool) -> Result<Server, Error> {
        let mut command = Command::new(&self.binary);
        command.args(["bench", "bare"]);
        if parses {
            command.arg("--parse");
        }
        self.start(name, command, None)
    }

    /// Starts `command`, whose first line on stdout is JSON with `listening`.
    fn start(&self, name: &str, mut command: Command, files: Option<TempDir>) -> Result<Server, Error> {
        let wrong = |what: String| Error::Server { name: name.to_owned(), what };
        let log = files.as_ref().map(|files| files.path().join("stderr"));
        let stderr = match &log {
            Some(path) => Stdio::from(fs::File::create(path).map_err(Error::io("make a file for its log"))?),
            None => Stdio::null(),
        };
        let allowed = rustix::thread::sched_getaffinity(None).ok();
        // Pinned by inheritance: no thread of the child ever runs elsewhere.
        pin(&self.cores).map_err(Error::io(format!("pin {name} to the cores {:?}", self.cores)))?;
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn();
        if let Some(allowed) = allowed {
            rustix::thread::sched_setaffinity(None, &allowed)
                .map_err(|e| wrong(format!("cannot unpin: {e}")))?;
        }
        let mut child = spawned.map_err(Error::io(format!("run {command:?}")))?;
        let stdout = child.stdout.take();
        let pid = child.id();
        // From here on it ends with what holds it.
        let mut server = Server {
            name: name.to_owned(),
            addr: SocketAddr::from(([0, 0, 0, 0], 0)),
            pid: Some(pid),
            projects: 1,
            is_ours: false,
            wanted: Wanted::Success,
            child: Some(child),
            files,
        };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line).map_err(Error::io(format!("hear from {name}")))?;
        }
        match listening(&line) {
            Some(addr) => server.addr = addr,
            None => {
                let said = log.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing");
                return Err(wrong(format!("it did not get ready: {last}; started as {command:?}")));
            }
        }
        Ok(server)
    }
}

/// The address in the line that says that a server is ready.
fn listening(line: &str) -> Option<SocketAddr> {
    let ready: serde_json::Value = serde_json::from_str(line).ok()?;
    ready["listening"].as_str()?.trim_start_matches("http://").trim_end_matches('/').parse().ok()
}

/// A `http://host:port/path`: where to connect, and the path if it says one.
///
/// # Errors
/// What is wrong with it.
pub fn parse_url(url: &str) -> Result<(SocketAddr, Option<String>), String> {
    let rest = url.strip_prefix("http://").ok_or("it must begin with http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let with_port = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut found = with_port.to_socket_addrs().map_err(|e| format!("{authority}: {e}"))?;
    let addr = found.next().ok_or_else(|| format!("{authority} has no address"))?;
    Ok((addr, (!path.is_empty()).then(|| format!("/{path}"))))
}

impl Server {
    /// A server that already runs, which is left as it is.
    #[must_use]
    pub fn running(name: &str, addr: SocketAddr, pid: Option<u32>) -> Server {
        let is_forebay = Metrics::read(addr).is_ok_and(|metrics| metrics.is_forebay());
        let wanted = if is_forebay { Wanted::One } else { Wanted::Success };
        Server {
            name: name.to_owned(),
            addr,
            pid,
            projects: 1,
            is_ours: false,
            wanted,
            child: None,
            files: None,
        }
    }

    /// Its data directory, if it is Forebay and ours.
    #[must_use]
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.is_ours.then(|| self.files.as_ref().map(|files| files.path().join("data"))).flatten()
    }

    /// Its metrics; none where it has none.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::read(self.addr).unwrap_or_default()
    }

    /// Ends it in order; a server that already ran goes on. Its files go with the value that comes back.
    ///
    /// # Errors
    /// When it ends in another way than by exit 0 (or by the signal, for a server that does not handle it).
    pub fn stop(mut self) -> Result<Stopped, Error> {
        let wrong = |what: String| Error::Server { name: self.name.clone(), what };
        if let Some(mut child) = self.child.take() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let told = pid.map_or(Ok(()), |pid| kill_process(pid, Signal::TERM));
            let status = told.map_err(std::io::Error::from).and_then(|()| child.wait());
            let status = status.map_err(|e| wrong(format!("cannot stop it: {e}")))?;
            let by = std::os::unix::process::ExitStatusExt::signal(&status);
            if !status.success() && by != Some(Signal::TERM.as_raw()) {
                return Err(wrong(format!("it ended with {status}")));
            }
        }
        Ok(Stopped { files: self.files.take() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A server that has ended; its files are still there.
#[derive(Debug)]
pub struct Stopped {
    files: Option<TempDir>,
}

impl Stopped {
    /// How many records its log holds, by `forebay log stats`; `None` for a server without one of ours.
    ///
    /// # Errors
    /// When the command fails or says something else.
    pub fn records(&self, binary: &Path) -> Result<Option<u64>, Error> {
        let Some(files) = &self.files else { return Ok(None) };
        let mut command = Command::new(binary);
        command.args(["log", "stats", "--json", "--data-dir"].map(OsStr::new)).arg(files.path().join("data"));
        let output = command.stdin(Stdio::null()).output().map_err(Error::io("run forebay log stats"))?;
        let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let lanes = stats["lanes"].as_array();
        let records = lanes.and_then(|lanes| lanes.iter().map(|lane| lane["records"].as_u64()).sum());
        let wrong = || Error::Server {
            name: "forebay log stats".to_owned(),
            what: format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
        };
        records.map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_place_and_perhaps_a_path() {
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        for (url, expected) in [
            ("http://127.0.0.1:8080", Ok((local(8080), None))),
            ("http://127.0.0.1:8080/", Ok((local(8080), None))),
            ("http://127.0.0.1/track?ip=1", Ok((local(80), Some("/track?ip=1".to_owned())))),
        ] {
            assert_eq!(parse_url(url), expected, "{url}");
        }
        assert!(parse_url("https://127.0.0.1").is_err() && parse_url("http://").is_err());
    }

    #[test]
    fn a_server_that_does_not_get_ready_says_why() {
        let starter = Starter {
            binary: "/bin/false".into(),
            scratch: "/tmp".into(),
            cores: vec![],
            serve_args: vec![],
        };
        let error = starter.bare("bare", false).expect_err("false is no server").to_string();
        assert!(error.contains("did not get ready") && error.contains("/bin/false"), "{error}");
        assert_eq!(listening(r#"{"listening":"http://127.0.0.1:7/"}"#), Some(([127, 0, 0, 1], 7).into()));
    }
}
