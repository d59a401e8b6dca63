//! A server as a child process: started, asked for what it spent, ended.
//!
//! # Invariants
//! * A child never outlives its [`Server`].

use std::{
    fs, io,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::pin;

/// A running server.
pub struct Server {
    /// What it is called in the report.
    pub name: String,
    /// Where it listens.
    pub addr: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts `command`, whose first line on stdout is JSON with `listening`, on these cores.
    ///
    /// # Errors
    /// When it cannot be started or says something else.
    pub fn start(name: &str, mut command: Command, cores: &[usize]) -> io::Result<Server> {
        // Pinned by inheritance: no thread of the child ever runs elsewhere.
        pin(cores)?;
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        pin(&[])?;
        let wrong = |what: &str| io::Error::other(format!("{name}: {what}; started as {command:?}"));
        let mut child = spawned.map_err(|e| wrong(&e.to_string()))?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or_else(|| wrong("no stdout"))?;
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: serde_json::Value =
            serde_json::from_str(&line).map_err(|_| wrong("it did not get ready"))?;
        let url = ready["listening"].as_str().unwrap_or_default();
        let addr = url.trim_start_matches("http://").trim_end_matches('/').parse();
        let addr = addr.map_err(|_| wrong(&format!("no address in {line:?}")))?;
        Ok(Server { name: name.to_owned(), addr, child })
    }

    /// CPU time spent by all its threads so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        // Nanoseconds on a CPU, from the scheduler: /proc/PID/stat counts in hundredths of a second. A thread
        // that ended since the last look is missing here; the servers' threads live as long as they do.
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            total += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(total))
    }

    /// A value of `/proc/PID/status` in KiB, such as `RssAnon`; 0 if it is not there.
    #[must_use]
    pub fn status_kib(&self, what: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix(what)?.strip_prefix(':'));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// The sum of a metric's samples; `None` where there is no such metric.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").ok()?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with([' ', '{']) {
                return None;
            }
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        values.reduce(|a, b| a + b)
    }

    fn get(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Ends it by SIGTERM and waits.
    ///
    /// # Errors
    /// When it ends in another way than by exit 0 (or by the signal, for a server that does not handle it).
    pub fn stop(mut self) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or_else(|| io::Error::other("no process id"))?, Signal::TERM)?;
        let status = self.child.wait()?;
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::TERM.as_raw());
        if status.success() || by_signal {
            Ok(())
        } else {
            Err(io::Error::other(format!("{} ended with {status}", self.name)))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that serves Forebay on a free port from `dir`.
#[must_use]
pub fn forebay(binary: &Path, dir: &Path, args: &[String]) -> Command {
    let mut command = Command::new(binary);
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir).args(args);
    command.stderr(Stdio::null());
    command
}

/// Creates a project in `dir` and gives back its token.
///
/// # Errors
/// When the command fails or says no token.
pub fn create_project(binary: &Path, dir: &Path) -> io::Result<String> {
    let mut command = Command::new(binary);
    command.args(["project", "create", "--json", "--name", "load", "--data-dir"]).arg(dir);
    let output = command.stderr(Stdio::inherit()).output()?;
    let made: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    made["token"].as_str().map(str::to_owned).ok_or_else(|| io::Error::other("project create gave no token"))
}
