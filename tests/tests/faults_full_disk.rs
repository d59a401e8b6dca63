//! A disk that is really full: a loop-mounted ext4 of 64 MiB, filled under load.
//!
//! Needs root, `mkfs.ext4` and `mount`; fails and says so where one is missing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use forebay_tests::disk::LoopDisk;
use forebay_tests::senders::{Ledger, Senders};
use forebay_tests::{Connection, Request, Setup, cli, eventually};

/// A disk of `mib` MiB.
fn disk(mib: u64) -> LoopDisk {
    LoopDisk::new(mib).unwrap_or_else(|why| panic!("{why}"))
}

/// Something else on the same disk, to make room later.
fn ballast(disk: &LoopDisk, mib: usize) -> PathBuf {
    let path = disk.path().join("ballast");
    fs::write(&path, vec![1; mib << 20]).expect("writing ballast");
    path
}

/// Waits until nothing is acknowledged for a second.
fn wait_until_full(ledger: &Ledger) {
    let mut last = (Instant::now(), ledger.acknowledged());
    eventually("the disk is full", || {
        if ledger.acknowledged() != last.1 {
            last = (Instant::now(), ledger.acknowledged());
        }
        ledger.refused() > 0 && last.0.elapsed() > Duration::from_secs(1)
    });
}

/// How long it takes from now until an event is taken again.
fn until_taken_again(ledger: &Ledger, forebay: &forebay_tests::Forebay, token: &str) -> Duration {
    let freed = Instant::now();
    eventually("service is back", || {
        let mut connection = Connection::open(forebay.addr());
        let answer = ledger.send(&mut connection, token, 1).expect("an answer");
        answer.status == 200
    });
    freed.elapsed()
}

fn reading_works(forebay: &forebay_tests::Forebay, project: &forebay_tests::Project, ledger: &Ledger) {
    forebay.send(&Request::get("/health/live")).expect_status(200);
    let ready = forebay.send(&Request::get("/health/ready"));
    ready.expect_status(503);
    forebay.metrics();
    assert!(forebay.export(project).len() >= ledger.acknowledged(), "export is complete");
    ledger.check(forebay.data_dir(), &[]);
}

#[test]
fn a_full_disk_is_a_503_until_space_returns() {
    fill_and_free("direct");
}

/// Where a map of a file without blocks would be a SIGBUS.
#[test]
fn a_full_disk_is_a_503_until_space_returns_with_mapped_commits_too() {
    fill_and_free("mapped");
}

fn fill_and_free(backend: &str) {
    let disk = disk(64);
    let ballast = ballast(&disk, 20);
    let setup = Setup::new().data_dir(disk.path().join("data")).env("FOREBAY_LOG_BACKEND", backend);
    let forebay = setup.start();
    let project = forebay.create_project("Full");
    let ledger = Ledger::new();
    let senders = Senders::start(&ledger, forebay.addr(), &project.token, 6);
    wait_until_full(&ledger);
    eprintln!("full with {} acknowledged, {} bytes free", ledger.acknowledged(), disk.free_bytes());
    reading_works(&forebay, &project, &ledger);
    let full = ledger.acknowledged();
    thread::sleep(Duration::from_secs(2));
    assert!(ledger.acknowledged() - full < 1000, "a disk that is full stays full");
    fs::remove_file(ballast).expect("removing the ballast");
    let back_in = until_taken_again(&ledger, &forebay, &project.token);
    eventually("ready again", || forebay.send(&Request::get("/health/ready")).status == 200);
    let tally = senders.stop();
    eprintln!("back after {back_in:?}; {} successes, {} times 503", tally.successes, tally.unavailable);
    assert!(tally.odd.is_empty(), "only 200 and 503 with Retry-After: {:?}", tally.odd);
    assert_eq!(tally.broken, 0, "no connection broke");
    assert!(tally.unavailable > 0);
    let found = ledger.check(forebay.data_dir(), &[]);
    assert_eq!(found.acknowledged, ledger.acknowledged());
    let data_dir = forebay.data_dir().to_owned();
    forebay.stop();
    cli::run(&data_dir, &["log", "verify"]).success();
}

#[test]
fn a_server_killed_on_a_full_disk_starts_reads_and_heals() {
    let disk = disk(64);
    let ballast = ballast(&disk, 24);
    let setup = Setup::new().data_dir(disk.path().join("data"));
    let forebay = setup.start();
    let project = forebay.create_project("Full");
    let ledger = Ledger::new();
    let senders = Senders::start(&ledger, forebay.addr(), &project.token, 6);
    wait_until_full(&ledger);
    let setup = forebay.kill();
    senders.stop();
    fill(&disk.path());
    let forebay = setup.start();
    assert!(forebay.export(&project).len() >= ledger.acknowledged(), "export is complete");
    fs::remove_file(ballast).expect("removing the ballast");
    eprintln!("back after {:?}", until_taken_again(&ledger, &forebay, &project.token));
    let found = ledger.check(forebay.data_dir(), &[]);
    assert_eq!(found.acknowledged, ledger.acknowledged());
    forebay.stop();
}

#[test]
fn the_books_are_kept_while_the_disk_is_full_and_hold_over_a_kill() {
    let disk = disk(64);
    let forebay = Setup::new().data_dir(disk.path().join("data")).start();
    let project = forebay.create_project("Full");
    let ledger = Ledger::new();
    let senders = Senders::start(&ledger, forebay.addr(), &project.token, 6);
    eventually("some is stored", || ledger.acknowledged() > 1000);
    let fill = || _ = disk.fill().expect("filling the disk");
    eventually("the disk is full", || {
        fill();
        ledger.refused() > 0
    });
    senders.stop();
    let accounts = forebay.accounts();
    assert!(accounts.stored > 1000 && accounts.rejected > 0, "{accounts}");
    let booked = |dir: &Path| {
        fill();
        let stats = cli::run(dir, &["stats", "--json"]).success().json();
        let totals = stats.get("totals").expect("totals");
        (totals.u64("received"), totals.u64("stored"), totals.u64("unaccounted"))
    };
    let all = (accounts.received, accounts.stored, 0);
    let dir = forebay.data_dir().to_owned();
    eventually("everything is booked", || booked(&dir) == all);
    assert!(!forebay.stderr().contains("accounting cannot be booked"), "{}", forebay.stderr());
    let forebay = forebay.kill().start();
    assert_eq!(booked(&dir), all, "nothing was left to count");
    disk.free().expect("making room");
    forebay.stop();
}

/// Takes what is left, to the last block.
fn fill(dir: &Path) {
    use std::io::Write;
    let mut file = File::create(dir.join("filler")).expect("making a file needs no block");
    for block in [vec![1; 1 << 16], vec![1; 1 << 10]] {
        while file.write_all(&block).is_ok() && file.sync_data().is_ok() {}
    }
}
