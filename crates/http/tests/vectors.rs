//! Replays the request vectors byte for byte, all of them: with the fixture's clock and lookup tables.

mod harness;

use forebay_record::ProjectId;
use forebay_tests::{Json, replay::read, vectors, wire};
use harness::Harness;
use std::sync::Arc;

fn start(fixture: &Json) -> Harness {
    let now_ms = fixture.u64("now_ms");
    let harness = Harness::empty(|setup| {
        // One lane: the order of a request is then kept across its projects.
        setup.log.lanes = 1;
        setup.clock = Arc::new(move || now_ms);
    });
    let list = |json: &Json, key: &str| json.get(key).and_then(Json::as_array).unwrap_or_default().to_vec();
    for project in list(fixture, "projects") {
        let id = project.u64("id");
        harness.create_project(id, project.str("token"), project.str("secret"), project.str("id_merge"));
        for table in list(&project, "lookup_tables") {
            let project = ProjectId::new(id).expect("a fixture's ids are not zero");
            let (name, id) = (table.str("name"), Some(table.str("id")));
            harness.control.create_lookup_table(project, name, id).expect("creating a lookup table");
        }
    }
    for account in list(fixture, "service_accounts") {
        let projects: Vec<u64> = list(&account, "projects").iter().filter_map(Json::as_u64).collect();
        harness.create_account(account.str("username"), account.str("secret"), &projects);
    }
    harness.reload();
    harness
}

#[test]
fn every_vector_is_answered_and_stored_as_it_says() {
    let fixture = Json::parse(read("vectors/ingestion.fixture.json"));
    let owners = vectors::owners(&fixture);
    let mut harness = start(&fixture);
    let (mut failures, mut passed) = (String::new(), 0);
    let files = ["vectors/ingestion.jsonl", "vectors/found.jsonl"];
    for vector in files.into_iter().flat_map(|file| Json::lines(read(file))) {
        let expect = vector.get("expect").expect("a vector expects something");
        let answer = wire::exchange(harness.addr(), &vectors::request(&vector).bytes());
        let feature = vector.get("feature").and_then(Json::as_str);
        let mut stored = harness.stored();
        if matches!(feature, Some("record" | "lookup_tables")) {
            // Kinds of their own, which the vectors say nothing about.
            stored.clear();
        }
        let bad = match answer {
            Err(error) => Some(format!("no answer: {error}")),
            Ok(answer) => vectors::wrong_answer(expect, &answer)
                .or_else(|| vectors::wrong_records(expect, &stored, &owners)),
        };
        match bad {
            None => passed += 1,
            Some(bad) => failures += &format!("{} ({}): {bad}\n", vector.str("id"), vector.str("why")),
        }
    }
    assert!(failures.is_empty(), "{passed} vectors pass, these do not:\n{failures}");
    assert!(passed >= 260, "only {passed} vectors were replayed");
    harness.finish();
}
