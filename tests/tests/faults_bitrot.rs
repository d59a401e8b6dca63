//! Files that rot while nobody looks: every kind of file, and bits at random places.
//!
//! What must hold for each: nothing panics, `verify` says how many records are lost, exactly those are missing, all
//! others are served, a server starts, and after `repair` the store is clean.

use std::fs;
use std::path::{Path, PathBuf};

use forebay_tests::senders::{Ledger, ids};
use forebay_tests::{Connection, Json, Setup, cli};

const CONFIG: &str = "
    [log]
    lanes = 1
    segment_bytes_min = 1_048_576
    segment_bytes_max = 1_048_576
";

/// A store of four segments, and the ids that were acknowledged into it.
struct Store {
    home: tempfile::TempDir,
    ids: Vec<usize>,
}

impl Store {
    fn new() -> Store {
        let home = tempfile::tempdir().expect("making a directory");
        let dir = home.path().join("whole");
        let ledger = Ledger::new();
        let forebay = Setup::new().data_dir(&dir).config(CONFIG).start();
        let project = forebay.create_project("Rotten");
        let mut connection = Connection::open(forebay.addr());
        for nth in 0..300 {
            let answer = ledger.send(&mut connection, &project.token, 1 + nth * 7 % 60).expect("an answer");
            answer.expect(200, "1");
        }
        forebay.stop();
        let mut ids = stored(&dir);
        ids.sort_unstable();
        assert_eq!(ids.len(), ledger.acknowledged());
        Store { home, ids }
    }

    /// A copy to damage.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.home.path().join(name);
        copy(&self.home.path().join("whole"), &to);
        to
    }

    /// Checks a damaged copy as far as the command line goes; gives the number of records lost.
    fn check(&self, dir: &Path, what: &str) -> usize {
        let lost = lost(dir, what);
        let found = stored(dir);
        let mut sorted = found.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), found.len(), "{what}: nothing is read twice");
        assert!(sorted.iter().all(|id| self.ids.binary_search(id).is_ok()), "{what}: nothing is invented");
        assert_eq!(self.ids.len() - found.len(), lost, "{what}: verify says how many are missing");
        lost
    }

    /// Starts a server on it, stops it, repairs it; the same records are there throughout.
    fn serve_and_repair(&self, dir: &Path, what: &str) {
        let before = stored(dir);
        let forebay = Setup::new().data_dir(dir).config(CONFIG).start();
        assert_eq!(stored(dir), before, "{what}: a running server reads the same");
        let project = forebay.cli(&["project", "list", "--json"]).lines();
        assert!(!project.is_empty(), "{what}: the registry is there");
        forebay.stop();
        assert_eq!(stored(dir), before, "{what}: a server that stopped left the same");
        cli::run(dir, &["log", "repair", "--accept-loss"]).success();
        cli::run(dir, &["log", "verify"]).success();
        assert_eq!(stored(dir), before, "{what}: a repair gives up nothing more");
        fs::remove_dir_all(dir).expect("removing the copy");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("making a directory");
    for entry in fs::read_dir(from).expect("listing") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copying");
        }
    }
}

fn stored(dir: &Path) -> Vec<usize> {
    ids(&cli::run(dir, &["log", "cat", "--json"]).success().stdout)
}

/// The records that `log verify` says are lost.
fn lost(dir: &Path, what: &str) -> usize {
    let output = cli::run(dir, &["log", "verify", "--json"]);
    assert!(!output.stderr.contains("panicked"), "{what}: {}", output.stderr);
    let report = output.json();
    let lanes =
        report.get("lanes").and_then(Json::as_array).unwrap_or_else(|| panic!("{what}: {}", output.text()));
    let damage = lanes.iter().flat_map(|lane| lane.get("damage").and_then(Json::as_array).expect("damage"));
    let lost: u64 = damage.map(|d| d.u64("records_lost")).sum();
    assert!(lost == 0 || !output.status.success(), "{what}: a loss is a failure");
    usize::try_from(lost).expect("few")
}

/// Changes a file's bytes.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap_or_else(|e| panic!("reading {}: {e}", path.display()));
    change(&mut bytes);
    fs::write(path, bytes).expect("writing");
}

#[test]
fn whatever_file_of_a_lane_rots_the_rest_is_served_and_repaired() {
    let store = Store::new();
    let segment = |n: usize| format!("log/0000/{n:020}.seg");
    let index = |n: usize| format!("log/0000/{n:020}.idx");
    let gone = |path: &Path| fs::remove_file(path).expect("removing");
    let zeros = |path: &Path| edit(path, |b| b.fill(0));
    let empty = |path: &Path| edit(path, Vec::clear);
    let half = |path: &Path| edit(path, |b| b.truncate(b.len() / 2));
    let noise = |path: &Path| {
        edit(path, |b| (0u32..).zip(b).for_each(|(i, b)| *b = i.wrapping_mul(0x9e37_79b1).to_le_bytes()[3]))
    };
    let head = |path: &Path| edit(path, |b| b[60] ^= 1);
    type Damage<'a> = (&'a str, String, &'a dyn Fn(&Path), bool);
    let cases: &[Damage<'_>] = &[
        ("no watermark", "log/0000/watermark".into(), &gone, false),
        ("a watermark of zeros", "log/0000/watermark".into(), &zeros, false),
        ("an empty watermark", "log/0000/watermark".into(), &empty, false),
        ("noise for a watermark", "log/0000/watermark".into(), &noise, false),
        ("no index", index(1), &gone, false),
        ("half an index", index(1), &half, false),
        ("noise for an index", index(2), &noise, false),
        (
            "an index of another segment",
            index(1),
            &|path| assert!(fs::copy(path.with_file_name(format!("{:020}.idx", 2)), path).is_ok()),
            false,
        ),
        ("a segment without its end", segment(2), &half, true),
        ("a segment with a damaged header", segment(2), &head, true),
        ("a segment of zeros", segment(2), &zeros, true),
        ("an empty segment", segment(2), &empty, true),
        ("no segment", segment(2), &gone, true),
        ("no first segment", segment(1), &gone, true),
    ];
    for (what, file, damage, loses) in cases {
        let dir = store.copy("damaged");
        damage(&dir.join(file));
        let lost = store.check(&dir, what);
        assert_eq!(lost > 0, *loses, "{what}: {lost} records lost");
        store.serve_and_repair(&dir, what);
    }
}

#[test]
fn flipped_bits_anywhere_lose_what_verify_says_and_no_more() {
    let store = Store::new();
    let mut state = 0x0123_4567_89ab_cdef_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % limit
    };
    let mut losses = 0;
    for case in 0..32 {
        let dir = store.copy("flipped");
        let mut files: Vec<_> = fs::read_dir(dir.join("log/0000"))
            .expect("listing")
            .map(|f| f.expect("an entry").path())
            .collect();
        files.retain(|f| f.is_file());
        files.sort();
        let mut what = format!("case {case}:");
        for _ in 0..=below(3) {
            let file = &files[below(files.len())];
            edit(file, |bytes| {
                let (at, bit) = (below(bytes.len()), below(8));
                bytes[at] ^= 1 << bit;
                what +=
                    &format!(" bit {bit} of byte {at} of {}", file.file_name().expect("a name").display());
            });
        }
        losses += usize::from(store.check(&dir, &what) > 0);
        if case % 8 == 0 {
            store.serve_and_repair(&dir, &what);
        }
    }
    assert!(losses > 5, "some flips hit records: {losses}");
}

#[test]
fn a_store_that_cannot_be_opened_says_which_file_and_what_to_do() {
    let store = Store::new();
    for (file, says) in [("store", "store"), ("control.db", "control.db")] {
        let dir = store.copy("unusable");
        edit(&dir.join(file), |b| b[..8].copy_from_slice(b"garbage!"));
        let failed = match Setup::new().data_dir(&dir).config(CONFIG).try_start() {
            Ok(_) => panic!("it started with garbage for {file}"),
            Err(failed) => failed,
        };
        assert!(failed.stderr.contains(says) && !failed.stderr.contains("panicked"), "{file}: {failed}");
        fs::remove_dir_all(dir).expect("removing the copy");
    }
}
