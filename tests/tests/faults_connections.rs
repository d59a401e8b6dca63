//! Ten thousand connections: idle ones cost little, slow ones are cut, active ones are served.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay_tests::{Connection, Forebay, Request, Setup, event};
use rustix::process::{Resource, getrlimit, setrlimit};

const IDLE: usize = 8_900;
const ACTIVE: usize = 100;
const SLOW: usize = 1_000;
/// When the server cuts slow heads and slow bodies, as configured below.
const CUT_AFTER: Duration = Duration::from_secs(3);

const CONFIG: &str = "
    [http.limits]
    connections_max = 12_000
    [http.timeouts]
    head_ms = 3_000
    body_idle_ms = 3_000
    body_grace_ms = 3_000
    body_bytes_per_second_min = 100
    idle_ms = 600_000
";

#[test]
fn ten_thousand_connections_leave_the_active_ones_served() {
    allow_files(2 * (IDLE + ACTIVE + SLOW) as u64);
    let forebay = Setup::new().config(CONFIG).start();
    let project = forebay.create_project("Busy");
    let body = event(&project.token, "Seen", "user");
    let request = Request::post("/track", body).bytes();
    // Warm: the first connections bring buffers that every later one shares.
    (0..50).for_each(|_| drop(served(forebay.addr(), &request)));
    let before = memory(&forebay);
    let idle: Vec<Connection> = (0..IDLE).map(|_| served(forebay.addr(), &request)).collect();
    let with_idle = memory(&forebay);
    let each = (with_idle.saturating_sub(before)) as f64 / IDLE as f64;
    println!("{IDLE} idle connections: {:.1} MiB more, {:.1} kB each", mib(with_idle - before), each / 1e3);

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let active: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| keep_asking(forebay.addr(), &request, ACTIVE / 4, &stop)))
            .collect();
        let slow = scope.spawn(|| one_byte_a_second(forebay.addr()));
        let cut = slow.join().expect("the slow ones do not panic");
        let most = memory(&forebay);
        stop.store(true, Ordering::Relaxed);
        let mut worst = Duration::ZERO;
        let mut answered = 0;
        for thread in active {
            let (n, longest) = thread.join().expect("the active ones do not panic");
            assert!(n > 0, "each thread was served");
            answered += n;
            worst = worst.max(longest);
        }
        println!(
            "{SLOW} slow ones cut within {cut:?}; {answered} requests of {ACTIVE} active ones answered meanwhile, the \
             slowest in {worst:?}; {:.1} MiB resident with all {}",
            mib(most),
            IDLE + ACTIVE + SLOW
        );
        assert!(
            cut < CUT_AFTER + Duration::from_secs(15),
            "slow ones are cut at the timeout, not after {cut:?}"
        );
        assert!(worst < CUT_AFTER + Duration::from_secs(15), "active ones are served, not within {worst:?}");
        assert!(most < 256 << 20, "memory is bounded, not {:.1} MiB", mib(most));
    });
    // The idle ones are still there, and still good.
    for mut connection in idle.into_iter().step_by(89) {
        connection.send(&request).expect("still open");
        connection.read().expect("an answer").expect("an answer").expect(200, "1");
    }
    forebay.stop();
}

fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|most| most >= count);
    assert!(enough, "this test needs {count} open files, `ulimit -Hn` allows {:?}", limit.maximum);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })
        .expect("raising the limit");
}

fn memory(forebay: &Forebay) -> u64 {
    forebay.memory("VmRSS")
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A connection on which one request was answered.
fn served(addr: SocketAddr, request: &[u8]) -> Connection {
    let mut connection = Connection::open(addr);
    connection.send(request).expect("sending");
    connection.read().expect("an answer").expect("an answer").expect(200, "1");
    connection
}

/// Asks on `count` connections in turn until stopped: how many answers, and how long the longest took.
fn keep_asking(addr: SocketAddr, request: &[u8], count: usize, stop: &AtomicBool) -> (usize, Duration) {
    let mut connections: Vec<_> = (0..count).map(|_| Connection::open(addr)).collect();
    let (mut answered, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        // All at once, so that all of them are under way.
        connections.iter_mut().for_each(|c| c.send(request).expect("sending"));
        for connection in &mut connections {
            connection.read().expect("an answer").expect("an answer").expect(200, "1");
            answered += 1;
        }
        longest = longest.max(asked.elapsed());
    }
    (answered, longest)
}

/// Sends one byte a second on each of the slow connections, half of them in the head and half in the body, until
/// the server has closed all; how long after the first byte that was.
fn one_byte_a_second(addr: SocketAddr) -> Duration {
    let start = |nth: usize| {
        let mut stream = TcpStream::connect(addr).expect("connecting");
        let head = if nth.is_multiple_of(2) {
            "P"
        } else {
            "POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"
        };
        stream.write_all(head.as_bytes()).expect("sending");
        stream.set_nonblocking(true).expect("making it non-blocking");
        stream
    };
    let mut streams: Vec<_> = (0..SLOW).map(start).collect();
    let started = Instant::now();
    while !streams.is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{} slow connections are still open",
            streams.len()
        );
        thread::sleep(Duration::from_secs(1));
        streams.retain_mut(|stream| {
            let open = match stream.read(&mut [0; 4096]) {
                Ok(0) => false,
                // An answer such as 408 before the end.
                Ok(_) => true,
                Err(e) => e.kind() == ErrorKind::WouldBlock,
            };
            open && stream.write_all(b"x").is_ok()
        });
    }
    started.elapsed()
}
