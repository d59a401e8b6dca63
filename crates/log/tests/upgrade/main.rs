//! Upgrades and downgrades: what earlier versions wrote is read as it was written, and what only a later one can
//! read is refused, by name, and left alone.
//!
//! `tests/stores/v1` is a store of format version 1 as it was written then, with its listing: see
//! `examples/sample_store.rs`. **It is never made again.** A build that cannot read it, or reads anything else than
//! `listing.txt` says, breaks every store that is out there; a later format gets a folder of its own beside it.

mod newer;
#[path = "../common/opening.rs"]
mod opening;
#[path = "../common/packed.rs"]
mod packed;

use bytes::Bytes;
use forebay_log::{Append, Filter, GapReason, Log, Step, Store, verify};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId, Seq};
use opening::config;
use packed::Image;
use std::{error::Error, fmt::Write as _, fs, path::Path};
use tempfile::TempDir;

fn v1() -> (TempDir, Image) {
    let dir = tempfile::tempdir().expect("a folder");
    let image = packed::unpack(&packed::v1());
    packed::write(&image, dir.path()).expect("written");
    (dir, image)
}

/// An error and its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text += &format!(": {e}");
        cause = e.source();
    }
    text
}

/// Everything that a reader is told of a store, line by line.
fn listing(dir: &Path) -> Result<String, String> {
    let store = Store::open(dir).map_err(|e| chain(&e))?;
    let mut out = format!("store {}\n", store.id());
    for lane in store.lanes().map_err(|e| chain(&e))? {
        let mut cursor = store.cursor(lane, Seq(0), Filter::all()).map_err(|e| chain(&e))?;
        loop {
            match cursor.next().map_err(|e| chain(&e))? {
                None => break,
                Some(Step::Gap(gap)) => writeln!(out, "gap {gap}").expect("into memory"),
                Some(Step::Frame(frame)) => {
                    let h = frame.header();
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    writeln!(
                        out,
                        "frame {}:{} lsn {} {:?} {} project {:?} token {:?} meta {:?} received {} from {:?}",
                        lane,
                        h.first_seq.0,
                        h.lsn.0,
                        h.kind,
                        h.endpoint.as_str(),
                        h.project.map(ProjectId::as_u64),
                        text(frame.token()),
                        text(frame.meta()),
                        h.received_at_ms,
                        h.client_ip,
                    )
                    .expect("into memory");
                    for record in frame.records() {
                        let DirectoryEntry { name, distinct_id, insert_id, time_ms, .. } = record.entry;
                        let fields =
                            [name, distinct_id, insert_id].map(|span| span.get(record.json).map(text));
                        let flags = [record.entry.escaped, record.entry.repaired, record.entry.use_ip];
                        writeln!(
                            out,
                            "  {} {time_ms:?} {fields:?} {flags:?} {}",
                            record.seq.0,
                            text(record.json)
                        )
                        .expect("into memory");
                    }
                }
            }
        }
    }
    Ok(out)
}

fn expected() -> String {
    fs::read_to_string(packed::v1().join("listing.txt")).expect("the listing made with the store")
}

#[test]
fn a_store_of_version_1_reads_as_it_was_written_and_is_not_touched() {
    let (dir, image) = v1();
    assert_eq!(listing(dir.path()).expect("readable"), expected());
    assert_eq!(packed::read(dir.path()).expect("readable"), image, "nothing is changed by reading");
}

#[test]
fn a_store_of_version_1_is_whole_but_for_what_was_accepted_as_lost() {
    let (dir, _) = v1();
    let report = verify(dir.path(), &mut |_| {}).expect("a report");
    assert!(report.is_clean(), "{report:?}");
    let losses: Vec<_> =
        report.lanes.iter().flat_map(|lane| &lane.losses).map(|l| (l.seqs.start, l.seqs.end)).collect();
    assert_eq!(losses, [(5, 7)]);
    let of: Vec<_> = report.lanes.iter().map(|l| (l.segments, l.indexes, l.records, l.next_seq)).collect();
    assert_eq!(of, [(3, 2, 10, 12), (3, 2, 7, 7), (2, 2, 3, 3)]);
}

#[test]
fn this_version_goes_on_in_a_store_of_version_1() {
    let (dir, _) = v1();
    let (log, recovery) = Log::open(config(dir.path())).expect("opened");
    for lane in &recovery.lanes {
        assert_eq!((&lane.cut, &lane.damage), (&None, &Vec::new()), "lane {}", lane.lane);
    }
    let hands = log.submitter();
    let json = r#"{"event":"of a later version"}"#;
    let entry =
        DirectoryEntry { len: u32::try_from(json.len()).expect("small"), ..DirectoryEntry::default() };
    let append = Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: ProjectId::new(7),
        token: Bytes::from_static(b"tok-7"),
        meta: Bytes::new(),
        received_at_ms: 1_700_000_200_000,
        client_ip: None,
        text: Bytes::from_static(json.as_bytes()),
        events: vec![entry],
        outcome: None,
    };
    drop(hands.submit(LaneId(0), append).expect("taken in"));
    drop(hands);
    log.close().expect("stored");

    let now = listing(dir.path()).expect("readable");
    let new: Vec<&str> = now.lines().filter(|line| !expected().contains(*line)).collect();
    assert_eq!(new.len(), 2, "{new:?}");
    assert!(new[0].starts_with("frame 0:12 ") && new[1].ends_with(json), "{new:?}");
    let old: Vec<&str> = now.lines().filter(|line| !new.contains(line)).collect();
    assert_eq!(old, expected().lines().collect::<Vec<_>>(), "and all that was there, in its order");
    assert!(verify(dir.path(), &mut |_| {}).expect("a report").is_clean());
}

#[test]
fn the_stored_version_1_holds_everything_that_its_format_knows() {
    let listing = expected();
    for what in ["track", "engage", "groups", "import", "record", "lookup-tables"] {
        assert!(listing.contains(&format!(" {what} project")), "no record of {what}");
    }
    for what in
        ["Records", "Replay", "Lookup", "project None", "gap lane 0 records 5..7: loss", "2001:db8::9"]
    {
        assert!(listing.contains(what), "no {what}");
    }
    assert_eq!(GapReason::Loss.as_str(), "loss");
    // Kinds that a listing does not show, by their bytes: frame magic, and the kind twenty bytes in.
    let kinds: Vec<u8> = packed::unpack(&packed::v1())
        .values()
        .flat_map(|bytes| bytes.chunks_exact(8))
        .collect::<Vec<_>>()
        .windows(3)
        .filter(|w| w[0].starts_with(b"FbFr"))
        .map(|w| w[2][4])
        .collect();
    for kind in 1..=6 {
        assert!(kinds.contains(&kind), "no frame of kind {kind}");
    }
}

/// Writes the listing of a store that was just made: for a new format's folder, never for an old one.
#[test]
#[ignore = "run by hand when a new format's store is made"]
fn write_the_listing_of_a_new_store() {
    let path = packed::v1().join("listing.txt");
    assert!(!path.exists(), "{} is there: it is never made again", path.display());
    let (dir, _) = v1();
    fs::write(&path, listing(dir.path()).expect("readable")).expect("written");
}
