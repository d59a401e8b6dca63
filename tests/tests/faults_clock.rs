//! A clock that jumps: times are what it said, order and durability do not depend on it.
//!
//! The server runs in this process, because only there can a test own its clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use forebay_server::{Running, Server, config::Config};
use forebay_tests::senders::Ledger;
use forebay_tests::{Accounts, Connection, Metrics, Request, cli, wire};

const DAY_MS: u64 = 24 * 3600 * 1000;
/// A moment in November 2026.
const START_MS: u64 = 1_795_312_800_000;

fn start(dir: &Path, clock: &Arc<AtomicU64>) -> Running {
    let mut config = Config::new(dir);
    config.http.listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let clock = clock.clone();
    Server::start(config, Arc::new(move || clock.load(Ordering::Relaxed))).expect("it starts")
}

fn accounts(server: &Running) -> Accounts {
    let answer = wire::exchange(server.addr(), &Request::get("/metrics").close().bytes()).expect("an answer");
    Metrics::parse(&answer.expect_status(200).text()).accounts()
}

#[test]
fn a_clock_that_jumps_backwards_breaks_nothing() {
    let home = tempfile::tempdir().expect("making a directory");
    let dir = home.path().join("data");
    let clock = Arc::new(AtomicU64::new(START_MS));
    let ledger = Ledger::new();
    cli::run(&dir, &["project", "create", "--name", "Timeless", "--token", "timeless-token", "--json"])
        .success();
    let mut sent = 0;
    // Each line is one life of the server; each number a time that the clock jumps to, in days from the start.
    for life in [&[0, 1, -1, 0][..], &[-30, 400, -300], &[0]] {
        let server = start(&dir, &clock);
        let mut connection = Connection::open(server.addr());
        for &days in life {
            let ms =
                START_MS.checked_add_signed(days * i64::try_from(DAY_MS).expect("small")).expect("past 1970");
            clock.store(ms, Ordering::Relaxed);
            for _ in 0..20 {
                let answer = ledger.send(&mut connection, "timeless-token", 7).expect("an answer");
                answer.expect(200, "1");
                sent += 7;
            }
            // Long enough for an idle lane's heartbeat and for the books to be kept.
            thread::sleep(Duration::from_millis(1200));
        }
        assert_eq!(accounts(&server).check(), None);
        server.stop().expect("it stops in order");
        cli::run(&dir, &["log", "verify"]).success();
        assert_eq!(ledger.check(&dir, &[]).acknowledged, sent);
    }
    let stored = cli::records(&dir);
    let mut times: Vec<_> = stored.iter().map(|r| r.u64("received_at_ms")).collect();
    times.dedup();
    let expected =
        [0, 1, -1, 0, -30, 400, -300, 0].map(|d: i64| START_MS.wrapping_add_signed(d * 86_400_000));
    assert_eq!(times, expected, "each record has the time that the clock said");
    let sequences: Vec<_> = stored.iter().map(|r| r.u64("seq")).collect();
    assert!(sequences.is_sorted(), "and the order is the order they came in");
}
