//! Damage to a store of one lane and many small segments, done to events whose ids are known.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::senders::{Ledger, ids};
use crate::{Connection, Forebay, Project, Setup};

/// One lane of many small segments.
const CONFIG: &str = "
    [log]
    lanes = 1
    segment_bytes_min = 1_048_576
    segment_bytes_max = 1_048_576
";
/// Events of a request, and so of a frame: some 6 KiB.
pub const EVENTS: usize = 20;

/// A server on that directory, with one lane of many small segments.
pub fn setup(dir: &Path) -> Setup {
    Setup::new().data_dir(dir).config(CONFIG)
}

/// Sends `requests` requests of [`EVENTS`] events, one after the other; each must be acknowledged.
///
/// # Panics
/// If one is not.
#[track_caller]
pub fn send(ledger: &Ledger, forebay: &Forebay, project: &Project, requests: usize) {
    let mut connection = Connection::open(forebay.addr());
    for _ in 0..requests {
        ledger.send(&mut connection, &project.token, EVENTS).expect("an answer").expect(200, "1");
    }
}

/// The segments of the lane, oldest first.
///
/// # Panics
/// If the folder cannot be listed.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let lane = dir.join("log/0000");
    let files = fs::read_dir(lane).expect("the lane's folder").map(|f| f.expect("an entry").path());
    let mut segments: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "seg")).collect();
    segments.sort();
    segments
}

/// A bit that was flipped.
#[derive(Clone, Debug)]
pub struct Flipped {
    /// In which file.
    pub segment: PathBuf,
    /// In which byte.
    pub at: usize,
    /// The ids of all events of the same frame.
    pub frame: Vec<usize>,
}

/// Flips a bit of an event in the middle of the `nth` segment.
///
/// # Panics
/// If there is no such event.
pub fn flip_an_event(dir: &Path, nth: usize) -> Flipped {
    let segment = segments(dir).into_iter().nth(nth).expect("so many segments");
    let bytes = fs::read(&segment).expect("reading a segment");
    flip_behind(&segment, &bytes, bytes.len() / 2).expect("an event in the second half")
}

/// Flips a bit in every frame of the `nth` segment that holds events.
///
/// # Panics
/// If there is no such segment.
pub fn flip_every_frame(dir: &Path, nth: usize) -> Vec<Flipped> {
    let segment = segments(dir).into_iter().nth(nth).expect("so many segments");
    let bytes = fs::read(&segment).expect("reading a segment");
    let mut flipped = Vec::new();
    let mut from = 0;
    while let Some(frame) = find(&bytes, b"FbFr", from) {
        from = find(&bytes, b"FbFr", frame + 4).unwrap_or(bytes.len());
        flipped.extend(flip_behind(&segment, &bytes[..from], frame));
    }
    flipped
}

/// In the padding of an event: valid JSON before and after, only the checksum can tell.
fn flip_behind(segment: &Path, bytes: &[u8], from: usize) -> Option<Flipped> {
    let event = find(bytes, b"\"distinct_id\":\"e-", from)?;
    let id = *ids(bytes.get(event..event + 200)?).first()?;
    let at = find(bytes, b"\"pad\":\"000", event)? + 8;
    let file = fs::OpenOptions::new().write(true).open(segment).expect("opening a segment");
    file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("flipping a bit");
    let first = id / EVENTS * EVENTS;
    Some(Flipped { segment: segment.to_owned(), at, frame: (first..first + EVENTS).collect() })
}

/// Where `needle` first occurs at or behind `from`.
fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(needle.len()).position(|window| window == needle).map(|at| from + at)
}
