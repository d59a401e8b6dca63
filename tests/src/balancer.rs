//! HAProxy and nginx as they stand in `deploy/`, with addresses and ports of the test.
//!
//! # Invariants
//! * Nothing of an example is changed but addresses, ports and what a test names; a text to be replaced that is not
//!   there fails the test, so that examples and tests stay together.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::repository;
use crate::eventually;

/// A load balancer that runs.
pub struct Balancer {
    child: Child,
    addr: SocketAddr,
    home: tempfile::TempDir,
}

/// A free port on 127.0.0.1. Nobody keeps it: somebody else may take it, which on a test machine does not happen.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binding a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

impl Balancer {
    /// HAProxy with `deploy/haproxy.cfg`, its two nodes at `nodes`, their health checks at `checks`, and `changes` made.
    #[track_caller]
    pub fn haproxy(nodes: [SocketAddr; 2], checks: [SocketAddr; 2], changes: &[(&str, &str)]) -> Balancer {
        let port = free_port();
        let mut all = vec![("bind :80\n".to_owned(), format!("bind 127.0.0.1:{port}\n"))];
        all.push((" check port 9090\n".to_owned(), " check\n".to_owned()));
        for (i, (node, check)) in nodes.iter().zip(checks).enumerate() {
            let example = format!("node{n} 10.0.0.1{n}:8080\n", n = i + 1);
            all.push((example, format!("node{} {node} port {}\n", i + 1, check.port())));
        }
        let config = example("haproxy.cfg", &all, changes);
        Balancer::start(port, "haproxy", "haproxy.cfg", &config, |home| {
            let mut command = Command::new(program("haproxy"));
            command.arg("-db").arg("-f").arg(home.join("haproxy.cfg"));
            command
        })
    }

    /// nginx with `deploy/nginx.conf`, its two nodes at `nodes`, and `changes` made.
    #[track_caller]
    pub fn nginx(nodes: [SocketAddr; 2], changes: &[(&str, &str)]) -> Balancer {
        let port = free_port();
        let mut all = vec![("listen 80 ".to_owned(), format!("listen 127.0.0.1:{port} "))];
        all.push((
            "worker_processes auto;".to_owned(),
            "worker_processes 1; daemon off; pid nginx.pid;".to_owned(),
        ));
        // Debian's build otherwise keeps these where only root may write.
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|n| format!("{n}_temp_path {n};"));
        all.push(("access_log off;".to_owned(), format!("access_log off; {}", temporary.join(" "))));
        for (i, node) in nodes.iter().enumerate() {
            all.push((format!("server 10.0.0.1{}:8080 ", i + 1), format!("server {node} ")));
        }
        let config = example("nginx.conf", &all, changes);
        Balancer::start(port, "nginx", "nginx.conf", &config, |home| {
            let mut command = Command::new(program("nginx"));
            command.arg("-p").arg(home).arg("-c").arg(home.join("nginx.conf"));
            command.arg("-e").arg(home.join("error.log"));
            command
        })
    }

    #[track_caller]
    fn start(
        port: u16,
        name: &str,
        file: &str,
        config: &str,
        command: impl Fn(&Path) -> Command,
    ) -> Balancer {
        let home =
            tempfile::Builder::new().prefix("forebay-balancer-").tempdir().expect("making a directory");
        fs::write(home.path().join(file), config).expect("writing the configuration");
        let log = File::create(home.path().join("stderr")).expect("making the log");
        let mut command = command(home.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let child =
            command.spawn().unwrap_or_else(|e| panic!("starting {name} (cargo xtask test installs it): {e}"));
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut balancer = Balancer { child, addr, home };
        eventually(name, || {
            assert!(
                matches!(balancer.child.try_wait(), Ok(None)),
                "{name} ended: {}\n{config}",
                balancer.log()
            );
            TcpStream::connect(addr).is_ok()
        });
        balancer
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        ["stderr", "error.log"]
            .map(|f| fs::read_to_string(self.home.path().join(f)).unwrap_or_default())
            .concat()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // TERM: nginx then takes its worker with it.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

#[track_caller]
fn example(file: &str, ours: &[(String, String)], changes: &[(&str, &str)]) -> String {
    let path = repository().join("deploy").join(file);
    let mut text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("reading {}: {e}", path.display()));
    let ours = ours.iter().map(|(from, to)| (from.as_str(), to.as_str()));
    for (from, to) in changes.iter().copied().chain(ours) {
        assert!(text.contains(from), "deploy/{file} has no {from:?}");
        text = text.replace(from, to);
    }
    text
}

/// Debian keeps servers where not everyone's path leads.
fn program(name: &str) -> String {
    let sbin = format!("/usr/sbin/{name}");
    if Path::new(&sbin).exists() { sbin } else { name.to_owned() }
}
