//! What a request costs from the socket to the answer: hyper, scan, routing, books, the lane's commit, the wake-up.
//!
//! The server runs in this process as the binary wires it: one core, one lane. One sender on one connection waits
//! for each answer; its few hundred instructions (one write, one read) are counted too.

use crate::{
    Benchmark, Counter, events,
    log::{Directory, config},
};
use forebay_control::Control;
use forebay_http::{Collector, HttpConfig, Listeners, Parts, serve};
use forebay_log::Log;
use forebay_record::LaneId;
use forebay_route::{Admission, AdmissionLimits, Ledger, LedgerLimits, Registry};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

/// Many times what the lane does after an answer, under valgrind.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "http/json/1",
        unit: "request",
        run: |c, temp| requests(c, temp, 200, "application/json", events::json(1).as_bytes()),
    },
    Benchmark {
        name: "http/base64/1",
        unit: "request",
        run: |c, temp| {
            requests(
                c,
                temp,
                200,
                "application/x-www-form-urlencoded",
                &events::base64_form(&events::json(1)),
            )
        },
    },
    Benchmark {
        name: "http/json/50",
        unit: "request",
        run: |c, temp| requests(c, temp, 50, "application/json", events::json(50).as_bytes()),
    },
    Benchmark {
        name: "http/gzip/2000",
        unit: "request",
        run: |c, temp| requests(c, temp, 2, "application/json", &events::gzip(&events::json(2000))),
    },
];

fn requests(counter: &Counter, temp: &Path, repetitions: u64, content_type: &str, body: &[u8]) {
    let dir = Directory::new(temp, "http");
    let control = Arc::new(Control::open(&dir.0).expect("a control store"));
    let config = config(&dir.0);
    let clock = Arc::clone(&config.clock);
    let (log, _) = Log::open(config).expect("opening");
    let ledger = Ledger::new(LedgerLimits::default());
    let registry = Arc::new(Registry::new(Arc::clone(&ledger), |_| LaneId(0)));
    registry.replace_all([crate::route::settings(1)], []);
    let limits = AdmissionLimits { server_bytes: 1 << 30, lane_bytes: 1 << 30, project_bytes: 1 << 30 };
    let admission = Admission::new(limits, 1);
    let parts = Parts { log: log.clone(), registry, admission, ledger: Arc::clone(&ledger), control, clock };
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let listeners = Listeners::bind(&listen, None, 16).expect("a free port");
    let collector =
        Collector::new(HttpConfig { listen, cores: 1, ..HttpConfig::default() }, parts).expect("valid");
    let running = serve(listeners, collector, Vec::new()).expect("threads");

    let mut request = format!(
        "POST /track?ip=1&_=1762000000000 HTTP/1.1\r\n\
         Host: collect.example.com\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
         Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n\
         Origin: https://shop.example.com\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    let mut sender = TcpStream::connect(running.addresses()[0]).expect("a connection");
    sender.set_nodelay(true).expect("a socket option");
    let mut answer = [0; 4096];
    let mut ask = move || {
        sender.write_all(&request).expect("sent");
        // Small answers come whole.
        let len = sender.read(&mut answer).expect("answered");
        assert!(answer[..len].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..len]));
        // Answered is not let go: whether the connection's buffer is free again for the next request, or a new one
        // is needed, must not depend on how the threads were scheduled.
        thread::sleep(PAUSE);
    };
    counter.count_at_rest(repetitions, 1, &mut ask);
    let totals = ledger.totals(events::NOW_MS);
    assert!(totals.balances() && totals.rejected_total() == 0, "{totals:?}");
    drop(ask);
    running.drain().expect("stopped");
    log.close().expect("closing");
}
