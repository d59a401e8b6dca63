//! `kill -9` under load: the accounting still says, to the event, what the log holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use forebay_tests::senders::{Ledger, Senders};
use forebay_tests::{Json, Setup, cli, eventually};

const KILLS: u64 = 6;

#[test]
fn after_each_kill_the_books_balance_and_count_as_stored_what_the_log_holds() {
    let dir = tempfile::tempdir().expect("making a directory");
    let data_dir = dir.path().join("data");
    // A fast machine fills the ring of unclaimed events in seconds: then the log rightly holds fewer than were booked.
    let setup = Setup::new().data_dir(&data_dir).env("FOREBAY_UNCLAIMED_BYTES_MAX", "0");
    let mut forebay = setup.clone().start();
    let projects = [forebay.create_project("Killed"), forebay.create_project("Killed too")];
    let ledger = Ledger::new();
    for round in 0..KILLS {
        let before = ledger.acknowledged();
        let tokens = [&projects[0].token[..], &projects[1].token, "of no project"];
        let senders = tokens.map(|token| Senders::start(&ledger, forebay.addr(), token, 3));
        eventually("something is acknowledged", || ledger.acknowledged() > before);
        // At another moment of the bookkeeper's second each time, before its first booking too.
        thread::sleep(Duration::from_millis(100 + 370 * (round * 5 % KILLS)));
        forebay.kill();
        for senders in senders {
            let tally = senders.stop();
            assert!(tally.odd.is_empty(), "round {round}: {:?}", tally.odd);
        }
        // Ready means that the books of the one before are closed.
        forebay = setup.clone().start();
        let booked = check(&data_dir, round);
        assert!(booked >= ledger.acknowledged() as u64, "round {round}: {booked} booked");
    }
    let senders = Senders::start(&ledger, forebay.addr(), &projects[0].token, 3);
    thread::sleep(Duration::from_millis(300));
    assert!(senders.stop().odd.is_empty());
    forebay.stop();
    check(&data_dir, KILLS);
}

/// Compares `stats` with `log cat`, owner by owner, and checks the balance; gives the events stored.
fn check(data_dir: &Path, round: u64) -> u64 {
    let stats = cli::run(data_dir, &["stats", "--json"]).success().json();
    let mut held: BTreeMap<Option<u64>, u64> = BTreeMap::new();
    let log = cli::run(data_dir, &["log", "cat", "--json"]).success().text();
    for line in log.lines() {
        // Not parsed as a whole: there are many, and the member stands before what senders wrote.
        let (_, project_id) = line.split_once(r#""project_id":"#).expect("every record says whose it is");
        let project_id = project_id.split(',').next().expect("split gives one at least");
        *held.entry(project_id.parse().ok()).or_default() += 1;
    }
    let mut booked = BTreeMap::new();
    for owner in stats.get("owners").and_then(Json::as_array).expect("owners") {
        let (received, stored) = (owner.u64("received"), owner.u64("stored"));
        let refused: u64 = ["rejected", "dropped"].into_iter().map(|kind| sum(owner, kind)).sum();
        assert_eq!(received, stored + refused, "round {round}: {owner}");
        assert_eq!((owner.u64("in_flight"), owner.u64("unaccounted")), (0, 0), "round {round}: {owner}");
        if stored > 0 {
            booked.insert(owner.get("project_id").and_then(Json::as_u64), stored);
        }
    }
    assert_eq!(booked, held, "round {round}: by project, booked as stored and held by the log");
    held.values().sum()
}

/// The events of a kind, for whatever reason.
fn sum(owner: &Json, kind: &str) -> u64 {
    match owner.get(kind) {
        Some(Json::Object(reasons)) => reasons.values().filter_map(Json::as_u64).sum(),
        other => panic!("no {kind}: {other:?}"),
    }
}
