//! Replays the request vectors byte for byte against the real binary and compares answers and stored records.
//!
//! `tests/data/vectors/ingestion.jsonl` says of each request what must be answered and stored. Vectors that fix the
//! clock are for in-process tests.

use std::fmt::Write as _;

use forebay_tests::replay::{Replay, read};
use forebay_tests::vectors::{owners, request, wrong_answer, wrong_records};
use forebay_tests::{Json, wire};

#[test]
fn every_vector_is_answered_and_stored_as_it_says() {
    let fixture = Json::parse(read("vectors/ingestion.fixture.json"));
    let owners = owners(&fixture);
    let mut replay = Replay::start(&fixture);
    let vectors = Json::lines(read("vectors/ingestion.jsonl"));
    let (mut failures, mut passed) = (String::new(), 0);
    for vector in vectors.iter().filter(|v| v.get("now_ms").is_none()) {
        let answer = wire::exchange(replay.forebay.addr(), &request(vector).bytes());
        let stored = replay.fresh();
        let expect = vector.get("expect").expect("a vector expects something");
        let bad = match answer {
            Err(e) => Some(format!("no answer: {e}")),
            Ok(answer) => wrong_answer(expect, &answer).or_else(|| wrong_records(expect, &stored, &owners)),
        };
        match bad {
            None => passed += 1,
            Some(bad) => {
                writeln!(failures, "{} ({}): {bad}", vector.str("id"), vector.str("why"))
                    .expect("writing to memory");
            }
        }
    }
    assert!(failures.is_empty(), "{passed} vectors pass, these do not:\n{failures}");
    assert!(passed >= 250, "only {passed} vectors were replayed");
    replay.forebay.stop();
}
