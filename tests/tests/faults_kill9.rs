//! `kill -9` under load, again and again: what was acknowledged is there, once, and nothing else is.

use std::thread;
use std::time::Duration;

use forebay_tests::senders::{Ledger, Senders};
use forebay_tests::{Setup, cli, eventually};

#[test]
fn every_acknowledged_event_survives_twenty_kills_exactly_once() {
    kill_again_and_again(20, "direct");
}

#[test]
fn every_acknowledged_event_survives_ten_kills_of_mapped_commits_exactly_once() {
    kill_again_and_again(10, "mapped");
}

fn kill_again_and_again(kills: u64, backend: &str) {
    let dir = tempfile::tempdir().expect("making a directory");
    let mut setup = Setup::new().data_dir(dir.path().join("data")).env("FOREBAY_LOG_BACKEND", backend);
    let ledger = Ledger::new();
    let forebay = setup.clone().start();
    let project = forebay.create_project("Killed");
    setup = forebay.kill();
    let mut slowest = Duration::ZERO;
    for round in 0..kills {
        let forebay = setup.clone().start();
        slowest = slowest.max(forebay.started_in());
        let before = ledger.acknowledged();
        let senders = Senders::start(&ledger, forebay.addr(), &project.token, 8);
        eventually("something is acknowledged", || ledger.acknowledged() > before);
        // At another moment of the commit each time: up to 380 ms later, in steps of 20 ms.
        thread::sleep(Duration::from_millis(20 * (round * 7 % 20)));
        setup = forebay.kill();
        let tally = senders.stop();
        assert!(tally.odd.is_empty(), "round {round}: {:?}", tally.odd);
        cli::run(&dir.path().join("data"), &["log", "verify"]).success();
    }
    let forebay = setup.start();
    let found = ledger.check(forebay.data_dir(), &[]);
    eprintln!("after {kills} kills of {backend} commits, ready again within {slowest:?}: {found:?}");
    assert_eq!(found.acknowledged, ledger.acknowledged());
    let exported = forebay.export(&project).len();
    assert_eq!(exported, found.acknowledged + found.unacknowledged, "export and `log cat` agree");
    forebay.stop();
}

#[test]
fn sigterm_under_load_loses_nothing() {
    let dir = tempfile::tempdir().expect("making a directory");
    let setup = Setup::new().data_dir(dir.path().join("data"));
    let mut forebay = setup.clone().start();
    let project = forebay.create_project("Stopped");
    let ledger = Ledger::new();
    for _ in 0..3 {
        let senders = Senders::start(&ledger, forebay.addr(), &project.token, 8);
        thread::sleep(Duration::from_millis(300));
        forebay.terminate();
        let tally = senders.stop();
        assert!(tally.odd.is_empty() && tally.successes > 0, "{tally:?}");
        forebay = setup.clone().start();
    }
    forebay.stop();
    let found = ledger.check(&dir.path().join("data"), &[]);
    assert_eq!(found.acknowledged, ledger.acknowledged());
    cli::run(&dir.path().join("data"), &["log", "verify"]).success();
}
