//! Several kinds of damage at once in a larger store, from a seed.
//!
//! The store is written by the log itself, run after run, so that its lanes hold many segments; it is another one
//! in each test run (ids and salts are random), the damage is what the seed says. `MATRIX_SEED=7` runs one seed, `MATRIX_SEEDS=5000` so many.

use crate::{check::Matrix, dice::Random, harm, opening::config, packed, truth::Truth};
use bytes::Bytes;
use forebay_log::{Append, Log};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId};
use std::path::Path;

const SEEDS: u64 = 40;
const RUNS: u64 = 7;

/// One run of a server: appends of some events each, in all lanes.
fn run(dir: &Path, random: &mut Random) {
    let (log, _) = Log::open(config(dir)).expect("opened");
    let hands = log.submitter();
    for _ in 0..4 + random.below(12) {
        let lane = [0, 1, u16::MAX][random.below(3)];
        let project = (lane != u16::MAX).then(|| 1 + random.below(4) as u64);
        let (mut text, mut events) = (String::new(), Vec::new());
        for n in 0..1 + random.below(5) {
            let json = format!(r#"{{"n":{n},"pad":"{}"}}"#, "x".repeat(random.below(3000)));
            let offset = u32::try_from(text.len()).expect("small");
            let len = u32::try_from(json.len()).expect("small");
            events.push(DirectoryEntry { offset, len, ..DirectoryEntry::default() });
            text += &json;
        }
        let append = Append {
            kind: FrameKind::Records,
            endpoint: Endpoint::Track,
            project: project.and_then(ProjectId::new),
            token: Bytes::from_static(b"token"),
            meta: Bytes::new(),
            received_at_ms: 1_700_000_000_000,
            client_ip: None,
            text: Bytes::from(text),
            events,
            outcome: None,
        };
        drop(hands.submit(LaneId(lane), append).expect("taken in"));
    }
    drop(hands);
    log.close().expect("stored");
}

#[test]
fn several_kinds_of_damage_at_once_in_a_larger_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut random = Random::new(7);
    (0..RUNS).for_each(|_| run(dir.path(), &mut random));
    let truth = Truth::of(packed::read(dir.path()).expect("readable"));
    let segments: usize = truth.lanes.iter().map(|lane| lane.segments.len()).sum();
    assert!(segments > 12, "{segments} segments are few");
    let matrix = Matrix::new(truth, &[]);
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds = match number("MATRIX_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MATRIX_SEEDS").unwrap_or(SEEDS),
    };
    let mut wrong = Vec::new();
    for seed in seeds {
        let mut random = Random::new(seed);
        let mut image = matrix.truth.image.clone();
        let harms: Vec<_> = (0..1 + random.below(4)).map(|_| harm::any(&image, &mut random)).collect();
        for harm in &harms {
            harm.apply(&mut image);
        }
        if let Err(e) = matrix.check(&image) {
            let harms: Vec<_> = harms.iter().map(ToString::to_string).collect();
            wrong.push(format!("seed {seed}, {}: {e}", harms.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "{} seeds:\n{}", wrong.len(), wrong.join("\n"));
}
