//! Replays captured requests of real SDKs byte for byte against the real binary and compares what was stored.
//!
//! `tests/data/captures/index.jsonl` says of each request what it carries (`decoded`) and what made it. The records stored
//! must equal that as JSON values, in order, in the project of their token or credential, and the answer must be one
//! that its SDK takes for success.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use forebay_tests::replay::{Replay, read};
use forebay_tests::{Answer, Json, now_ms, wire};

/// Requests of the reading side, which has tests of its own.
const ELSEWHERE: [&str; 4] = ["export", "profile-query", "jql", "segment"];

/// The made-up projects that the captures were made with.
fn fixture() -> Json {
    let project = |id: u64, n: &str, more: &str| {
        format!(
            r#"{{"id":{id},"token":"7e57000000000000000000000000{n}","secret":"5ec2e7000000000000000000000000{s}"{more}}}"#,
            s = n.strip_suffix("000").map_or_else(|| n.replacen("b00", "b", 1), |_| n[..2].to_owned())
        )
    };
    let mut projects: Vec<_> = (1..8)
        .map(|n| {
            let key = match n {
                1 => r#","api_key":"py-api-key-made-up""#,
                3 => r#","api_key":"nd-api-key-made-up""#,
                _ => "",
            };
            project(5000 + n, &format!("b00{n}"), key)
        })
        .collect();
    projects.push(project(1_234_567, "c000", ""));
    Json::parse(format!(
        r#"{{"projects":[{}],"service_accounts":[{{"username":"sa-user.1a2b3c.mp-service-account",
            "secret":"sa-secret-made-up","projects":[1234567]}}]}}"#,
        projects.join(",")
    ))
}

#[test]
fn every_capture_is_taken_for_success_and_stored_as_it_was_meant() {
    let fixture = fixture();
    let owners = owners(&fixture);
    let mut replay = Replay::start(&fixture);
    let (mut failures, mut passed) = (String::new(), 0);
    for row in Json::lines(read("captures/index.jsonl")).into_iter().map(Row) {
        let answered = row.0.get("answered").map_or(0, |a| a.u64("status"));
        if ELSEWHERE.contains(&row.0.str("kind")) || answered >= 300 {
            continue;
        }
        let bytes = read(&format!("captures/{}", row.0.str("file")));
        let answer = wire::exchange(replay.forebay.addr(), &bytes);
        let stored = replay.fresh();
        let bad = match answer {
            Err(e) => Some(format!("no answer: {e}")),
            Ok(answer) => {
                let bad = row.wrong_answer(&answer).or_else(|| wrong_cors(&bytes, &answer));
                bad.or_else(|| row.wrong_records(&stored, &owners))
                    .map(|bad| format!("{bad}; answer {answer:?}"))
            }
        };
        match bad {
            None => passed += 1,
            Some(bad) => {
                writeln!(failures, "{} ({}): {bad}", row.0.str("file"), row.0.str("call"))
                    .expect("writing to memory");
            }
        }
    }
    assert!(failures.is_empty(), "{passed} captures pass, these do not:\n{failures}");
    assert!(passed >= 150, "only {passed} captures were replayed");
    replay.forebay.stop();
}

/// Which project each token and credential names.
fn owners(fixture: &Json) -> HashMap<String, u64> {
    let mut owners = HashMap::new();
    for project in fixture.get("projects").and_then(Json::as_array).expect("projects") {
        for key in ["token", "secret", "api_key"] {
            if let Some(name) = project.get(key).and_then(Json::as_str) {
                owners.insert(name.to_owned(), project.u64("id"));
            }
        }
    }
    for account in fixture.get("service_accounts").and_then(Json::as_array).expect("accounts") {
        let first = account.get("projects").and_then(Json::as_array).and_then(|ids| ids[0].as_u64());
        owners.insert(account.str("username").to_owned(), first.expect("an account has a project"));
    }
    owners
}

/// A line of the index.
struct Row(Json);

impl Row {
    fn is(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.0.str("kind"))
    }

    fn has_records(&self) -> bool {
        self.is(&["event", "people", "group"])
    }

    fn undecodable(&self) -> bool {
        self.0.get("undecodable").is_some_and(Json::is_set)
    }

    /// A parameter of the query, else of the body.
    fn param(&self, name: &str) -> Option<&str> {
        let find = |part: &str| self.0.get(part)?.get(name)?.as_str();
        find("query").or_else(|| find("body_params"))
    }

    fn is_import(&self) -> bool {
        self.0.str("path").trim_matches('/').ends_with("import")
    }

    fn is_strict(&self) -> bool {
        self.is_import() && self.0.at("query.strict").and_then(Json::as_str) == Some("1")
    }

    fn credential(&self) -> Option<&str> {
        self.0.at("auth.user").and_then(Json::as_str).or_else(|| self.param("api_key"))
    }

    /// The records that must be stored, and the status of the answer.
    fn wanted(&self, owners: &HashMap<String, u64>) -> (Vec<(u64, Json)>, u16) {
        if !self.has_records() || self.undecodable() {
            return (Vec::new(), 200);
        }
        if self.is_import() && self.credential().is_none() {
            return (Vec::new(), 401);
        }
        let token = if self.is(&["event"]) { "token" } else { "$token" };
        let decoded = self.0.get("decoded").and_then(Json::as_array).expect("decoded records");
        let good: Vec<_> = decoded.iter().filter(|r| !self.is_strict() || is_strictly_good(r)).collect();
        let owner = |record: &Json| {
            let holder = record.get("properties").unwrap_or(record);
            let name =
                if self.is_import() { self.credential() } else { holder.get(token).and_then(Json::as_str) };
            owners[name.expect("a token or credential")]
        };
        let status = if good.len() == decoded.len() { 200 } else { 400 };
        (good.into_iter().map(|r| (owner(r), r.clone())).collect(), status)
    }

    fn wrong_answer(&self, answer: &Answer) -> Option<String> {
        if !self.has_records() {
            let json = self.is(&["preflight"]) || Json::read(&answer.body).is_ok();
            return (!(200..300).contains(&answer.status) || !json)
                .then(|| "want a 2xx with JSON".to_owned());
        }
        let (_, status) = self.wanted(&owners(&fixture()));
        if answer.status != status {
            return Some(format!("want status {status}"));
        }
        let success = status == 200 && self.takes_for_success(answer);
        (status == 200 && success == self.undecodable())
            .then(|| "its SDK takes that for the opposite".to_owned())
    }

    /// Would the SDK take this answer for success?
    fn takes_for_success(&self, answer: &Answer) -> bool {
        let mut body = answer.text();
        if self.param("img") == Some("1") {
            return answer.body.starts_with(b"\x89PNG") || answer.body.starts_with(b"GIF8");
        }
        if let Some(callback) = self.param("callback") {
            let call = body.trim_end_matches(';').strip_prefix(callback);
            let Some(argument) = call.and_then(|r| r.strip_prefix('(')?.strip_suffix(')')) else {
                return false;
            };
            body = argument.to_owned();
        }
        let has =
            |part: &str| Json::read(&body).is_ok_and(|got| Json::parse(part).missing_in(&got).is_none());
        if self.is_strict() {
            let count = self.0.u64("events");
            return has(&format!(r#"{{"code":200,"num_records_imported":{count},"status":"OK"}}"#));
        }
        if self.param("verbose") == Some("1") {
            return has(r#"{"error":null,"status":1}"#);
        }
        body == "1"
    }

    fn wrong_records(&self, stored: &[Json], owners: &HashMap<String, u64>) -> Option<String> {
        let (mut wanted, _) = self.wanted(owners);
        let mut got: Vec<_> = stored
            .iter()
            .map(|r| {
                (
                    r.get("project_id").and_then(Json::as_u64).unwrap_or(0),
                    r.get("record").expect("it").clone(),
                )
            })
            .collect();
        // The order holds within a project.
        wanted.sort_by_key(|(project, _)| *project);
        got.sort_by_key(|(project, _)| *project);
        if wanted.len() != got.len() {
            return Some(format!("want {} records, got {}", wanted.len(), got.len()));
        }
        let (want, got) = wanted.iter().zip(&got).find(|(want, got)| want != got)?;
        Some(format!("want in project {} {}\n  got  in project {} {}", want.0, want.1, got.0, got.1))
    }
}

/// The part of the strict rules that captures of mixpanel-utils meet: a time that is neither missing nor of the
/// future, an insert id of letters, digits and hyphens, no lone surrogate (which reads as U+FFFD), and objects no more
/// than three deep.
fn is_strictly_good(record: &Json) -> bool {
    let now = now_ms().to_string().parse::<f64>().expect("a number");
    let time = record.at("properties.time").and_then(Json::as_f64);
    let time = time.map(|t| if t < 1e11 { t * 1000.0 } else { t });
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let id = record.at("properties.$insert_id").and_then(Json::as_str);
    time.is_some_and(|t| t <= now + 3_600_000.0)
        && id.is_some_and(|id| id.len() <= 36 && id.chars().all(letters))
        && !record.to_string().contains(char::REPLACEMENT_CHARACTER)
        && record.get("properties").is_some_and(|properties| depth(properties) <= 4)
}

/// How many objects deep a value is.
fn depth(value: &Json) -> usize {
    match value {
        Json::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Json::Array(elements) => elements.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What a browser would miss in the answer, for requests that name their origin.
fn wrong_cors(request: &[u8], answer: &Answer) -> Option<String> {
    let head = String::from_utf8_lossy(request);
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    let asked = |name: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let origin = asked("origin")?;
    for (name, want) in
        [("access-control-allow-origin", &*origin), ("access-control-allow-credentials", "true")]
    {
        if answer.header_all(name) != [want] {
            return Some(format!("want {name}: {want}, once"));
        }
    }
    let allowed = answer.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
    let allowed: BTreeSet<_> = allowed.split(',').map(str::trim).collect();
    let wanted = asked("access-control-request-headers").unwrap_or_default().to_ascii_lowercase();
    let missing: Vec<_> = wanted.split(',').filter(|h| !h.is_empty() && !allowed.contains(h)).collect();
    (!missing.is_empty()).then(|| format!("access-control-allow-headers lacks {missing:?}"))
}
