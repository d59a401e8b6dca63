//! A server in this process with a clock of the test's own, and what talks to it.

#![allow(dead_code, unreachable_pub, reason = "each test that includes it uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use forebay_control::{Control, NewProject};
use forebay_server::{Running, Server, config::Config};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// 2025-10-09T08:53:20Z
pub const NOW_MS: u64 = 1_760_000_000_000;
pub const TODAY: &str = "from_date=2025-10-09&to_date=2025-10-09";

pub fn start(dir: &Path) -> Running {
    start_with(dir, |_| {})
}

pub fn start_with(dir: &Path, change: impl FnOnce(&mut Config)) -> Running {
    start_as(dir, change, Arc::new(|| NOW_MS))
}

/// With a clock that the test moves.
pub fn start_at(dir: &Path, clock: &Arc<AtomicU64>) -> Running {
    let clock = Arc::clone(clock);
    start_as(dir, |_| {}, Arc::new(move || clock.load(Ordering::Relaxed)))
}

fn start_as(
    dir: &Path,
    change: impl FnOnce(&mut Config),
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
) -> Running {
    let mut config = Config::new(dir);
    config.http.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.http.cores = 1;
    config.log.segment_bytes_min = 1 << 20;
    config.log.segment_bytes_max = 2 << 20;
    change(&mut config);
    Server::start(config, clock).unwrap()
}

/// A server in a directory of its own, with a project 7 that it knows by now: token `tok-7`, secret `sec-7`.
pub struct Serving {
    pub dir: TempDir,
    pub running: Running,
    pub addr: SocketAddr,
    pub control: Control,
}

pub fn serving() -> Serving {
    serving_with(|_| {})
}

pub fn serving_with(change: impl FnOnce(&mut Config)) -> Serving {
    let dir = tempfile::tempdir().unwrap();
    let running = start_with(dir.path(), change);
    let addr = running.addr();
    let control = Control::open_existing(dir.path()).unwrap();
    project(&control, 7, "tok-7", "sec-7");
    eventually(|| (export(addr, TODAY, "sec-7:").status == 200).then_some(()));
    Serving { dir, running, addr, control }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn lines(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

pub fn exchange(addr: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap().to_ascii_lowercase();
    let mut body = bytes.split_off(split);
    if head.contains("transfer-encoding: chunked") {
        body = dechunked(&body);
    }
    Answer { status: head[9..12].parse().unwrap(), head, body }
}

pub fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end =
            bytes.windows(2).position(|w| w == b"\r\n").expect("a chunked body ends with an empty chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        bytes = &bytes[end + 2..];
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

pub fn post(addr: SocketAddr, target: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    exchange(
        addr,
        &format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ),
    )
}

pub fn get(addr: SocketAddr, target: &str, headers: &str) -> Answer {
    exchange(addr, &format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n"))
}

pub fn export(addr: SocketAddr, query: &str, credential: &str) -> Answer {
    get(addr, &format!("/api/2.0/export?{query}"), &format!("Authorization: Basic {credential}\r\n"))
}

/// Waits until `done`, which the server's own threads bring about.
pub fn eventually<T>(mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match done() {
            Some(value) => return value,
            None if Instant::now() > end => panic!("it did not come about in 20 s"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

pub fn project(control: &Control, id: u64, token: &str, secret: &str) {
    let new = NewProject {
        name: format!("p{id}"),
        id: Some(id),
        token: Some(token.to_owned()),
        api_secret: Some(secret.to_owned()),
        ..NewProject::default()
    };
    control.host().create_project(&new).unwrap();
}

pub fn event(token: &str, name: &str, properties: &str) -> String {
    format!("{{\"event\":\"{name}\",\"properties\":{{\"token\":\"{token}\"{properties}}}}}")
}
