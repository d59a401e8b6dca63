//! HAProxy and nginx in front of two nodes, configured as `deploy/` shows: who sent a request is known behind them, a node
//! drains under load without a request lost, and their own errors carry CORS headers.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay_tests::balancer::{Balancer, free_port};
use forebay_tests::{Answer, Connection, Forebay, Json, Request, Setup, event, eventually};
use rustix::process::Signal;

/// A token that both nodes know.
const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// What the balancers' sockets to the nodes are bound to: the one network that the nodes trust.
const BALANCER: &str = "127.0.0.2";

/// Where clients claim to be, by a PROXY header to the balancer: an address of the internet.
const CLIENT: Ipv4Addr = Ipv4Addr::new(93, 184, 215, 14);

struct Node {
    forebay: Forebay,
    _dir: tempfile::TempDir,
}

/// A node with health checks on a port of their own, as behind a real balancer.
fn node(more: &str, ready_red_ms: u32) -> Node {
    let dir = tempfile::tempdir().expect("making a directory");
    let config = format!(
        "[http]\ntrusted_proxies = [\"{BALANCER}\"]\n{more}\n[http.drain]\nready_red_ms = {ready_red_ms}\nfinish_ms = 10000\n"
    );
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let forebay = Setup::new().data_dir(dir.path()).admin_listen(admin).config(&config).start();
    forebay.create_project_with(&["--name", "Shop", "--token", TOKEN]);
    Node { forebay, _dir: dir }
}

fn two_nodes(more: &str) -> [Node; 2] {
    [node(more, 0), node(more, 0)]
}

fn addrs(nodes: &[Node; 2]) -> ([SocketAddr; 2], [SocketAddr; 2]) {
    (nodes.each_ref().map(|n| n.forebay.addr()), nodes.each_ref().map(|n| n.forebay.admin_addr()))
}

/// Changes that give the balancer's clients addresses of the internet and its own sockets that of the trusted network.
const HAPROXY_TEST: [(&str, &str); 2] = [
    ("    maxconn 20000\n", "    maxconn 2000\n"),
    ("default-server inter 1s", "default-server source 127.0.0.2 inter 200ms"),
];

fn haproxy(nodes: &[Node; 2], changes: &[(&str, &str)]) -> Balancer {
    let (to, checks) = addrs(nodes);
    Balancer::haproxy(to, checks, &[&HAPROXY_TEST, changes].concat())
}

fn nginx(nodes: &[Node; 2], changes: &[(&str, &str)]) -> Balancer {
    let (to, _) = addrs(nodes);
    let ours = [("proxy_pass http://forebay;", "proxy_pass http://forebay; proxy_bind 127.0.0.2;")];
    Balancer::nginx(to, &[&ours, changes].concat())
}

/// Waits until the balancer passes requests on.
#[track_caller]
fn wait_until_up(balancer: &Balancer, first: &[u8]) {
    eventually("the balancer sees a node", || ask(balancer, first, &Request::get("/").close()).status != 503);
}

/// Sends a request on a connection that begins with `first`.
#[track_caller]
fn ask(balancer: &Balancer, first: &[u8], request: &Request) -> Answer {
    let bytes = [first, &request.bytes()].concat();
    forebay_tests::wire::exchange(balancer.addr(), &bytes)
        .unwrap_or_else(|e| panic!("{e}; {}", balancer.log()))
}

/// Checks that an event sent through the balancer by [`CLIENT`] is stored with that address.
#[track_caller]
fn check_client_address(nodes: &[Node; 2], balancer: &Balancer) {
    let claim = format!("PROXY TCP4 {CLIENT} 127.0.0.1 40000 80\r\n");
    wait_until_up(balancer, claim.as_bytes());
    let spoof = "198.51.100.66"; // what senders say of themselves is not believed
    for i in 0..6 {
        let body = event(TOKEN, "Where from", &format!("user-{i}"));
        let request =
            Request::post("/track?ip=1", body).header("X-Forwarded-For", spoof).header("X-Real-IP", spoof);
        ask(balancer, claim.as_bytes(), &request.close()).expect(200, "1");
    }
    let records: Vec<_> = nodes.iter().flat_map(|n| n.forebay.records()).collect();
    assert_eq!(records.len(), 6);
    for record in records {
        assert_eq!(record.str("client_ip"), CLIENT.to_string(), "{record}");
    }
}

#[test]
fn haproxy_tells_the_client_by_x_forwarded_for() {
    let nodes = two_nodes("");
    let balancer =
        haproxy(&nodes, &[("bind :80\n", "bind :80\n    tcp-request connection expect-proxy layer4\n")]);
    check_client_address(&nodes, &balancer);
}

fn haproxy_with_proxy_protocol(version: &str) {
    let nodes = two_nodes("proxy_protocol = \"v1v2\"");
    let own_header = format!("default-server {version}\n");
    let balancer = haproxy(
        &nodes,
        &[
            ("bind :80\n", "bind :80\n    tcp-request connection expect-proxy layer4\n"),
            ("    option forwardfor\n", ""),
            ("# default-server send-proxy-v2\n", &own_header),
            ("# http-reuse never", "http-reuse never"),
        ],
    );
    check_client_address(&nodes, &balancer);
}

#[test]
fn haproxy_tells_the_client_by_proxy_protocol_version_1() {
    haproxy_with_proxy_protocol("send-proxy");
}

#[test]
fn haproxy_tells_the_client_by_proxy_protocol_version_2() {
    haproxy_with_proxy_protocol("send-proxy-v2");
}

#[test]
fn nginx_tells_the_client_by_x_forwarded_for() {
    let nodes = two_nodes("");
    let real = "access_log off; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;";
    let balancer = nginx(
        &nodes,
        &[("listen 80 backlog=4096;", "listen 80 backlog=4096 proxy_protocol;"), ("access_log off;", real)],
    );
    check_client_address(&nodes, &balancer);
}

/// Checks that the balancer's own refusal can be read by a page of another origin, once no node is up.
#[track_caller]
fn check_own_error(nodes: [Node; 2], balancer: &Balancer) {
    wait_until_up(balancer, b"");
    for node in nodes {
        node.forebay.stop();
    }
    let post =
        Request::post("/track/", event(TOKEN, "Lost?", "user")).header("Origin", "https://shop.example");
    let answer = ask(balancer, b"", &post.close());
    answer.expect_status(503);
    assert_eq!(
        answer.header("access-control-allow-origin").as_deref(),
        Some("https://shop.example"),
        "{answer:?}"
    );
    assert_eq!(answer.header("access-control-allow-credentials").as_deref(), Some("true"), "{answer:?}");
    let wait = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok());
    assert!(wait.is_some(), "no Retry-After in whole seconds: {answer:?}");
    assert!(answer.json().get("error").is_some());
}

#[test]
fn haproxys_own_503_has_cors_headers() {
    let nodes = two_nodes("");
    let balancer = haproxy(&nodes, &[]);
    check_own_error(nodes, &balancer);
}

#[test]
fn nginxs_own_503_has_cors_headers() {
    let nodes = two_nodes("");
    let balancer = nginx(&nodes, &[]);
    check_own_error(nodes, &balancer);
}

/// What a page of another origin sees of a node's own answers through the balancer: CORS headers once, not twice.
#[track_caller]
fn check_cors_once(balancer: &Balancer) {
    wait_until_up(balancer, b"");
    let post = Request::post("/track/", "data=nonsense").header("Origin", "https://shop.example").close();
    let answer = ask(balancer, b"", &post);
    answer.expect(200, "0");
    for name in ["access-control-allow-origin", "access-control-allow-credentials"] {
        assert_eq!(answer.header_all(name).len(), 1, "{name} in {answer:?}");
    }
}

#[test]
fn a_nodes_own_cors_headers_pass_unchanged() {
    let nodes = two_nodes("");
    check_cors_once(&haproxy(&nodes, &[]));
    check_cors_once(&nginx(&nodes, &[]));
}

/// Drains node 0 by SIGTERM while senders keep posting through the balancer, starts it again, and checks that every
/// request was answered with success and every event is on one of the nodes, once.
fn drain_under_load(balance: fn(&[Node; 2]) -> Balancer) {
    // As `deploy/forebay.toml` has it: longer than the balancer takes to see red.
    let mut nodes = [node("", 3000), node("", 3000)];
    let balancer = balance(&nodes);
    wait_until_up(&balancer, b"");
    let running = AtomicBool::new(true);
    let sent: Vec<_> = thread::scope(|scope| {
        let (addr, running) = (balancer.addr(), &running);
        let senders: Vec<_> = (0..16).map(|n| scope.spawn(move || send_until(addr, running, n))).collect();
        thread::sleep(Duration::from_millis(1500));
        drain_and_restart(&mut nodes[0]);
        thread::sleep(Duration::from_millis(2500));
        running.store(false, Ordering::Relaxed);
        senders.into_iter().flat_map(|s| s.join().expect("a sender does not panic")).collect()
    });
    let failed: Vec<_> = sent.iter().filter(|(_, bad)| bad.is_some()).collect();
    let (bad, all, log) = (failed.len(), sent.len(), balancer.log());
    assert!(failed.is_empty(), "{bad} of {all} requests failed: {:?}\n{log}", &failed[..bad.min(5)]);
    let mut stored: HashMap<String, usize> = HashMap::new();
    for record in nodes.iter().flat_map(|n| n.forebay.records()) {
        let id = record.at("record.properties.distinct_id").and_then(Json::as_str).expect("an id").to_owned();
        *stored.entry(id).or_default() += 1;
    }
    let lost: Vec<_> = sent.iter().filter(|(id, _)| !stored.contains_key(id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {all} acknowledged events are on no node: {:?}",
        lost.len(),
        lost.first()
    );
    assert_eq!(stored.len(), sent.len(), "nothing is there that nobody sent");
    let twice = stored.values().filter(|n| **n > 1).count();
    assert_eq!(twice, 0, "a drain in order leaves no request unanswered, so none is sent twice");
    assert!(sent.len() > 500, "only {all} requests in all that time");
}

/// Stops the node in order and starts it again on the same port and directory.
fn drain_and_restart(node: &mut Node) {
    let asked = Instant::now();
    node.forebay.signal(Signal::TERM);
    node.forebay.wait();
    assert!(asked.elapsed() >= Duration::from_secs(2), "the node must be red for a while before it closes");
    node.forebay = node.forebay.again();
}

/// Posts one event after the other on keep-alive connections; gives each id with what went wrong, if anything did.
fn send_until(addr: SocketAddr, running: &AtomicBool, sender: usize) -> Vec<(String, Option<String>)> {
    let (mut sent, mut connection) = (Vec::new(), None);
    for i in 0.. {
        if !running.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("sender-{sender}-{i}");
        let request = Request::post("/track", event(TOKEN, "Sent", &id));
        let open = connection.get_or_insert_with(|| Connection::open(addr));
        let answer = open.ask(&request);
        let bad = match &answer {
            Ok(Answer { status: 200, body, .. }) if body == b"1" => None,
            other => Some(format!("{other:?}")),
        };
        let close =
            answer.map_or(true, |a| a.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close")));
        sent.push((id, bad));
        if close || i % 50 == 49 {
            // A new connection now and then, as many senders make.
            connection = None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    sent
}

#[test]
fn haproxy_drains_a_node_without_a_request_lost() {
    drain_under_load(|nodes| haproxy(nodes, &[]));
}

#[test]
fn nginx_drains_a_node_without_a_request_lost() {
    drain_under_load(|nodes| nginx(nodes, &[]));
}
