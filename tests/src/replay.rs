//! What replaying recorded requests needs: the fixture's projects, and the records that each request stored.
//!
//! # Invariants
//! * [`Replay::fresh`] gives every stored record once: those since the call before.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::cli::repository;
use crate::{Forebay, Json};

/// A file of `tests/data`.
pub fn data(path: &str) -> PathBuf {
    repository().join("tests/data").join(path)
}

/// Reads a file of `tests/data`.
///
/// # Panics
/// If it is not there.
#[track_caller]
pub fn read(path: &str) -> Vec<u8> {
    std::fs::read(data(path)).unwrap_or_else(|e| panic!("reading {}: {e}", data(path).display()))
}

/// A server with a fixture's projects and service accounts, whose log is read as it grows.
pub struct Replay {
    /// The server.
    pub forebay: Forebay,
    next: HashMap<u64, u64>,
}

impl Replay {
    /// Starts a server and creates what the fixture names: `projects` with `id`, `token`, `secret` and perhaps
    /// `api_key`, `id_merge` and `lookup_tables`; `service_accounts` with `username`, `secret`, `projects`.
    #[track_caller]
    pub fn start(fixture: &Json) -> Replay {
        let forebay = Forebay::start();
        let list =
            |key: &str| fixture.get(key).and_then(Json::as_array).expect("the fixture has lists").to_vec();
        for project in list("projects") {
            let (id, name) = (project.u64("id").to_string(), format!("fixture-{}", project.u64("id")));
            let mut options = vec!["--id", &id, "--name", &name, "--token", project.str("token")];
            options.extend(["--api-secret", project.str("secret")]);
            for (key, option) in [("api_key", "--api-key"), ("id_merge", "--id-merge")] {
                if let Some(value) = project.get(key).and_then(Json::as_str) {
                    options.extend([option, value]);
                }
            }
            forebay.create_project_with(&options);
            for table in project.get("lookup_tables").and_then(Json::as_array).unwrap_or_default() {
                let (uuid, name) = (table.str("id"), table.str("name"));
                forebay.cli(&["lookup-table", "create", "--project", &id, "--name", name, "--id", uuid]);
            }
        }
        for account in list("service_accounts") {
            let ids: Vec<_> = account.get("projects").and_then(Json::as_array).expect("projects").to_vec();
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            let mut args = vec!["service-account", "create", "--json", "--username", account.str("username")];
            args.extend(["--secret", account.str("secret")]);
            for id in &ids {
                args.extend(["--project", id]);
            }
            forebay.cli(&args);
            forebay.wait_for_account(account.str("username"), account.str("secret"), &ids[0]);
        }
        Replay { forebay, next: HashMap::new() }
    }

    /// The records stored since the last call, in the order of their lanes.
    #[track_caller]
    pub fn fresh(&mut self) -> Vec<Json> {
        let mut from = Vec::new();
        for (lane, seq) in &self.next {
            from.push(format!("--from={lane}:{seq}"));
        }
        let mut args = vec!["log", "cat", "--json"];
        args.extend(from.iter().map(String::as_str));
        let records = self.forebay.cli(&args).lines();
        for record in &records {
            let next = self.next.entry(lane(record)).or_default();
            assert!(record.u64("seq") >= *next, "out of order or seen before: {record}");
            *next = record.u64("seq") + 1;
        }
        records
    }
}

fn lane(record: &Json) -> u64 {
    record.u64("lane")
}
