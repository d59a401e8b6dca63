//! How connections behave: kept alive, pipelined, slow, proxied, too many, and drained.

mod harness;

use forebay_http::{ProxyProtocol, TrustedProxies};
use forebay_route::Reason;
use forebay_tests::{Connection, Json, Request, eventually};
use harness::{Harness, Setup, TOKEN, event};
use std::{
    io::{Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

fn track(name: &str) -> Request {
    Request::post("/track", event(TOKEN, name))
}

#[test]
fn a_connection_carries_many_requests_one_after_the_other_or_at_once() {
    let mut harness = Harness::start(|_| {});
    let mut connection = harness.connect();
    for i in 0..50 {
        connection.ask(&track(&format!("one-{i}"))).unwrap().expect(200, "1");
    }
    let many: Vec<u8> = (0..50).flat_map(|i| track(&format!("many-{i}")).bytes()).collect();
    connection.send(&many).unwrap();
    for _ in 0..50 {
        connection.read().unwrap().unwrap().expect(200, "1");
    }
    let stored = harness.stored();
    let names: Vec<_> = stored.iter().map(|r| r.at("record.event").and_then(Json::as_str).unwrap()).collect();
    let want: Vec<_> =
        (0..50).map(|i| format!("one-{i}")).chain((0..50).map(|i| format!("many-{i}"))).collect();
    assert_eq!(names, want);
    drop(connection);
    harness.finish();
}

#[test]
fn methods_paths_and_framing_are_taken_as_senders_write_them() {
    let harness = Harness::start(|_| {});
    let body = event(TOKEN, "a");
    for head in ["post /track", "POST //track//", "POST /track/%23create-identity"] {
        let mut connection = harness.connect();
        let text = format!("{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        connection.send(text.as_bytes()).unwrap();
        connection.read().unwrap().unwrap().expect(200, "1");
    }
    let mut connection = harness.connect();
    let (a, b) = body.split_at(10);
    connection.send(b"POST /track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for part in [a, b] {
        connection.send(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).unwrap();
    }
    connection.send(b"0\r\n\r\n").unwrap();
    connection.read().unwrap().unwrap().expect(200, "1");
    let expecting = format!(
        "POST /track HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.send(expecting.as_bytes()).unwrap();
    connection.send(body.as_bytes()).unwrap();
    connection.read().unwrap().unwrap().expect(200, "1");
    drop(connection);
    harness.finish();
}

#[test]
fn long_request_lines_and_headers_are_taken_and_longer_ones_refused() {
    let harness = Harness::start(|_| {});
    let data = forebay_tests::wire::base64(event(TOKEN, &"x".repeat(46_000)));
    assert!(data.len() > 60_000);
    let get = Request::get(&format!("/track?data={}", forebay_tests::wire::percent(data)));
    let cookie = |bytes: usize| "c".repeat(bytes);
    harness.ask(&get.header("Cookie", &cookie(30_000))).expect(200, "1");
    // hyper's own refusals: it could not read the request, so there is nothing to say beyond the status.
    let request = Request::get("/track?data=x").header("Cookie", &cookie(120_000));
    harness.ask(&request).expect_status(431);
    harness.ask(&Request::get(&format!("/track?data={}", cookie(70_000)))).expect_status(414);
    harness.finish();
}

#[test]
fn a_sender_that_shuts_his_side_still_gets_his_answer() {
    let harness = Harness::start(|setup| setup.log.flush_delay = Duration::from_millis(100));
    let mut connection = harness.connect();
    connection.send(&track("a").bytes()).unwrap();
    connection.socket().shutdown(Shutdown::Write).unwrap();
    connection.read().unwrap().unwrap().expect(200, "1");
    harness.finish();
}

#[test]
fn a_sender_that_hangs_up_while_we_flush_loses_nothing_but_the_answer() {
    let mut harness = Harness::start(|setup| setup.log.flush_delay = Duration::from_millis(100));
    let mut connection = harness.connect();
    connection.send(&track("a").bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    drop(connection);
    eventually("the event is stored", || harness.books().stored == 1);
    assert_eq!(harness.stored().len(), 1);
    harness.finish();
}

#[test]
fn a_sender_that_hangs_up_in_mid_body_is_counted() {
    let harness = Harness::start(|_| {});
    let mut connection = harness.connect();
    connection.send(b"POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    std::thread::sleep(Duration::from_millis(30));
    drop(connection);
    eventually("it is counted", || harness.books().rejected.get(&Reason::Interrupted) == Some(&1));
    harness.finish();
}

fn impatient(setup: &mut Setup) {
    let timeouts = &mut setup.http.timeouts;
    timeouts.head = Duration::from_millis(200);
    timeouts.body_idle = Duration::from_millis(300);
    timeouts.body_grace = Duration::from_millis(300);
    timeouts.idle = 2 * SECOND;
}

/// How long until the server closes, and what it said before.
fn until_closed(connection: &mut Connection, mut feed: impl FnMut(&mut Connection)) -> (Duration, String) {
    let begun = Instant::now();
    connection.socket().set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout above zero");
    let (mut said, mut buffer) = (Vec::new(), [0; 1024]);
    while begun.elapsed() < 10 * SECOND {
        feed(connection);
        match connection.socket().read(&mut buffer) {
            Ok(0) => return (begun.elapsed(), String::from_utf8_lossy(&said).into_owned()),
            Ok(n) => said.extend_from_slice(&buffer[..n]),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return (begun.elapsed(), String::from_utf8_lossy(&said).into_owned()),
        }
    }
    panic!("not closed within ten seconds, before which no default would");
}

#[test]
fn slow_senders_are_cut_and_others_are_not() {
    let harness = Harness::start(impatient);
    // Nothing, half a head, and a head that trickles in.
    for (first, trickle) in [("", ""), ("POST /track HT", ""), ("POST /track HTTP/1.1\r\n", "a: b\r\n")] {
        let mut connection = harness.connect();
        connection.send(first.as_bytes()).unwrap();
        let (_, said) = until_closed(&mut connection, |c| drop(c.socket().write(trickle.as_bytes())));
        assert_eq!(said, "");
    }
    // A body that stops, and one that trickles in: told why, in a way that makes SDKs come again.
    for trickle in ["", "x"] {
        let mut connection = harness.connect();
        connection.send(b"POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{").unwrap();
        let (_, said) = until_closed(&mut connection, |c| drop(c.socket().write(trickle.as_bytes())));
        assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 2"), "{said}");
    }
    // Idle between two requests: longer patience, then closed.
    let mut connection = harness.connect();
    connection.ask(&track("a")).unwrap().expect(200, "1");
    std::thread::sleep(Duration::from_millis(350));
    connection.ask(&track("b")).unwrap().expect(200, "1");
    let (took, _) = until_closed(&mut connection, |_| {});
    assert!(took > SECOND, "{took:?}");
    let books = harness.books();
    assert_eq!((books.stored, books.rejected[&Reason::Interrupted]), (2, 2));
    harness.finish();
}

#[test]
fn connections_over_the_limit_are_told_so() {
    let harness = Harness::start(|setup| setup.http.limits.connections_max = 2);
    let mut held = [harness.connect(), harness.connect()];
    for connection in &mut held {
        connection.ask(&track("a")).unwrap().expect(200, "1");
    }
    let answer = harness.ask(&track("b").header("Origin", "https://shop.example"));
    answer.expect_status(503);
    assert_eq!(answer.header("retry-after").as_deref(), Some("2"));
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("https://shop.example"));
    drop(held);
    eventually("there is room again", || harness.ask(&track("c")).status == 200);
    harness.finish();
}

#[test]
fn the_proxy_header_names_the_client_and_is_required_of_trusted_peers() {
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend_from_slice(&[8, 8, 4, 4, 10, 0, 0, 1, 0x9c, 0x40, 0, 80]);
    let mut harness = Harness::start(|setup| {
        setup.http.proxy_protocol = ProxyProtocol::V1V2;
        setup.http.trusted_proxies = TrustedProxies::parse(&["127.0.0.1"]).unwrap();
    });
    let request =
        Request::post("/track?ip=1", event(TOKEN, "a")).header("X-Forwarded-For", "9.9.9.9").bytes();
    for (header, client) in [
        (&b"PROXY TCP4 8.8.8.8 10.0.0.1 40000 80\r\n"[..], "8.8.8.8"),
        (&v2, "8.8.4.4"),
        // The balancer speaks for itself, so its headers are believed.
        (b"PROXY UNKNOWN\r\n", "9.9.9.9"),
    ] {
        let mut connection = harness.connect();
        // In pieces, the last of them with the request: the rest of a read is not lost.
        let (first, last) = header.split_at(9);
        connection.send(first).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        connection.send(&[last, &request].concat()).unwrap();
        connection.read().unwrap().unwrap().expect(200, "1");
        let stored = harness.stored();
        assert_eq!(stored[0].get("client_ip").and_then(Json::as_str), Some(client));
    }
    let mut without = harness.connect();
    without.send(&request).unwrap();
    assert!(matches!(without.read(), Ok(None) | Err(_)), "a trusted peer without a header is closed");
    let mut proxied = harness.connect();
    proxied
        .send(b"PROXY TCP4 8.8.8.8 10.0.0.1 40000 80\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    proxied.read().unwrap().unwrap().expect_status(404);
    drop((without, proxied));
    harness.finish();
}

#[test]
fn a_connection_that_rested_goes_on_where_it_was() {
    let mut harness = Harness::start(|_| {});
    let mut connection = harness.connect();
    connection.ask(&track("before")).unwrap().expect(200, "1");
    // Longer than an idle connection keeps its buffers.
    let pause = Duration::from_millis(1600);
    std::thread::sleep(pause);
    // Behind a whole request the beginning of the next, which is read together with it.
    let (one, two) = (track("one").bytes(), track("two").bytes());
    let (beginning, rest) = two.split_at(8);
    connection.send(&[&one, beginning].concat()).unwrap();
    connection.read().unwrap().unwrap().expect(200, "1");
    std::thread::sleep(pause);
    connection.send(rest).unwrap();
    connection.read().unwrap().unwrap().expect(200, "1");
    std::thread::sleep(pause);
    assert_eq!(harness.collector.connections(), 1);
    drop(connection);
    eventually("its end is noticed while it rests", || harness.collector.connections() == 0);
    assert_eq!(harness.stored().len(), 3);
    harness.finish();
}

#[test]
fn draining_loses_no_request() {
    let red = 2 * SECOND;
    let mut harness = Harness::start(|setup| {
        setup.http.drain.ready_red = red;
        setup.log.flush_delay = Duration::from_millis(150);
    });
    let mut kept_alive = harness.connect();
    kept_alive.ask(&track("before")).unwrap().expect(200, "1");
    let mut idle = harness.connect();
    idle.ask(&track("before")).unwrap().expect(200, "1");
    let addr = harness.addr();
    let draining = harness.drain();
    eventually("readiness is red", || harness.collector.is_draining());
    // Still served, on old and new connections, and asked to go.
    let answer = kept_alive.ask(&track("while red")).unwrap();
    answer.expect(200, "1");
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    let answer = Connection::open(addr).ask(&Request::get("/health/ready")).unwrap();
    answer.expect_status(503);
    assert!(answer.text().contains("draining"), "{answer:?}");
    // In flight when the listeners close.
    let mut late = Connection::open(addr);
    let bytes = track("late").bytes();
    let (most, rest) = bytes.split_at(bytes.len() - 5);
    late.send(most).unwrap();
    std::thread::sleep(red);
    late.send(rest).unwrap();
    late.read().unwrap().unwrap().expect(200, "1");
    draining.join().unwrap();
    assert!(matches!(idle.read(), Ok(None)), "an idle connection ends in order");
    assert!(Connection::try_open(addr).is_err(), "nobody listens any more");
    assert_eq!(harness.books().stored, 4);
}
