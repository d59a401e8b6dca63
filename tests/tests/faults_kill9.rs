//! `kill -9` under load, again and again: what was acknowledged is there, once, and nothing else is.

use std::thread;
use std::time::Duration;

use forebay_tests::senders::{Ledger, Senders};
use forebay_tests::{Setup, cli};

const KILLS: u64 = 20;

#[test]
fn every_acknowledged_event_survives_twenty_kills_exactly_once() {
    let dir = tempfile::tempdir().expect("making a directory");
    let mut setup = Setup::new().data_dir(dir.path().join("data"));
    let ledger = Ledger::new();
    let forebay = setup.clone().start();
    let project = forebay.create_project("Killed");
    setup = forebay.kill();
    for round in 0..KILLS {
        let forebay = setup.clone().start();
        let started_in = forebay.started_in();
        assert!(started_in < Duration::from_secs(1), "round {round}: ready only after {started_in:?}");
        let before = ledger.acknowledged();
        let senders = Senders::start(&ledger, forebay.addr(), &project.token, 8);
        // At another moment of the commit each time: 60 to 440 ms in, in steps of 20 ms.
        thread::sleep(Duration::from_millis(60 + 20 * (round * 7 % 20)));
        setup = forebay.kill();
        let tally = senders.stop();
        assert!(tally.odd.is_empty(), "round {round}: {:?}", tally.odd);
        assert!(ledger.acknowledged() > before, "round {round}: nothing was acknowledged");
        cli::run(&dir.path().join("data"), &["log", "verify"]).success();
    }
    let forebay = setup.start();
    let found = ledger.check(forebay.data_dir(), &[]);
    println!("after {KILLS} kills: {found:?}");
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
