//! What programs ask of a running server: exports with conditions, names, within limits, with an entry in the audit.

mod running;

use forebay_control::{Control, ProjectChange};
use running::{
    NOW_MS, Serving, TODAY, event, eventually, export, get, post, project, serving, serving_with, start,
    start_at, start_with,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02x}")).collect()
}

fn condition(addr: SocketAddr, text: &str) -> running::Answer {
    export(addr, &format!("{TODAY}&where={}", encoded(text)), "sec-7:")
}

#[test]
fn where_leaves_out_the_events_that_do_not_meet_it() {
    let Serving { dir, running, addr, .. } = serving();
    let events: Vec<_> = [
        ("A", r#","n":1,"plan":"pro""#),
        ("A", r#","n":2,"plan":"free""#),
        ("A", r#","n":3,"tags":["x","y"]"#),
        ("B", r#","n":"four","flag":"not a boolean""#),
    ]
    .iter()
    .map(|(name, properties)| event("tok-7", name, properties))
    .collect();
    assert_eq!(post(addr, "/track", "", &format!("[{}]", events.join(","))).text(), "1");

    for (text, found) in [
        (r#"properties["plan"] == "pro""#, &["1"][..]),
        (r#"properties["n"] > 1"#, &["2", "3"]),
        (r#"not properties["n"] > 1"#, &["1", "\"four\""]),
        (r#""x" in properties["tags"] or properties["plan"] in ["free", "pro"]"#, &["1", "2", "3"]),
        (r#"defined(properties["nothing"])"#, &[]),
        (r#"event["$event_name"] == "B""#, &["\"four\""]),
        (r#"(boolean(properties["plan"]) == true)"#, &["1", "2"]),
    ] {
        let answer = condition(addr, text);
        let lines = answer.lines();
        assert_eq!(
            lines.iter().map(|l| l["properties"]["n"].to_string()).collect::<Vec<_>>(),
            found,
            "{text}"
        );
        assert_eq!(answer.body.is_empty(), found.is_empty(), "nothing found is nothing sent");
    }
    let limited = format!("{TODAY}&limit=1&where={}", encoded(r#"properties["n"] > 1"#));
    assert_eq!(
        export(addr, &limited, "sec-7:").lines()[0]["properties"]["n"],
        2,
        "a limit counts what meets it"
    );

    let told = condition(addr, r#"properties["n"] = 1"#);
    assert_eq!(
        (told.status, told.text()),
        (400, "where, column 17: `=` means nothing here: to compare, write `==`")
    );
    assert!(told.head.contains("content-type: text/plain"), "{}", told.head);
    let told = condition(addr, r#"properties["flag"]"#);
    assert_eq!(told.status, 400, "what shows with the first events can still be said");
    let text = "where, column 1: this is a string in an event, neither true nor false: compare it, or write boolean(…) (record 0:";
    assert!(told.text().starts_with(text), "{}", told.text());
    // The event that it does not fit is left out by its name, before it is looked at.
    let named = format!("{TODAY}&event=%5B%22A%22%5D&where={}", encoded(r#"properties["flag"]"#));
    assert_eq!(export(addr, &named, "sec-7:").body, b"");
    running.stop().unwrap();

    let export = |condition: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command
            .args(["export", "--project", "7", "--where", condition, "--data-dir"])
            .arg(dir.path())
            .env_clear();
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (status, lines, _) = export(r#"properties["plan"] == "pro""#);
    assert_eq!((status, lines.lines().count()), (Some(0), 1));
    let (status, _, error) = export(r#"properties["plan"] == pro"#);
    assert_eq!(status, Some(2));
    assert!(error.contains("--where, column 23: `pro` is not known: strings stand in quotes"), "{error}");
    let (status, _, error) = export(r#"properties["flag"]"#);
    assert!(status == Some(1) && error.contains("where, column 1: this is a string in an event"), "{error}");
}

#[test]
fn event_names_come_with_both_prefixes_and_with_every_slash_and_are_never_redirected() {
    let Serving { dir: _dir, running, addr, .. } = serving();
    let ask =
        |path: &str, credential: &str| get(addr, path, &format!("Authorization: Basic {credential}\r\n"));
    let names = "/api/query/events/names";
    assert_eq!(ask(names, "sec-7:").text(), "[]");
    let events = [
        event("tok-7", "A", ""),
        event("tok-7", "B \\u00e9", ""),
        event("tok-7", "Old", ",\"time\":1756684800"),
        event("tok-7", "A", ""),
    ];
    assert_eq!(post(addr, "/track", "", &format!("[{}]", events.join(","))).text(), "1");
    for path in
        [names, "/api/2.0/events/names", "/api/2.0/events/names/", "//api/query//events/names/?type=general"]
    {
        let answer = ask(path, "sec-7:");
        assert_eq!((answer.status, answer.text()), (200, "[\"B \u{e9}\",\"A\"]"), "{path}");
        assert!(
            answer.head.contains("content-type: application/json") && answer.head.contains("\r\nage: 0\r\n")
        );
    }
    assert_eq!(ask(&format!("{names}?limit=1"), "sec-7:").text(), "[\"B \u{e9}\"]");
    assert_eq!(
        ask(&format!("{names}?from_date=2025-09-01&to_date=2025-09-01"), "sec-7:").text(),
        "[\"Old\"]"
    );
    for (path, credential, status, part) in [
        (format!("{names}?limit=none"), "sec-7:", 400, "limit must be a whole number"),
        (format!("{names}?to_date=2026-01-01"), "sec-7:", 400, "to_date cannot be later than today"),
        (names.to_owned(), "tok-7:", 401, "a token or API key only sends"),
    ] {
        let answer = ask(&path, credential);
        let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, told["request"].as_str()), (status, Some(&*path)));
        assert!(told["error"].as_str().unwrap().contains(part), "{told}");
    }
    let funnels: serde_json::Value =
        serde_json::from_slice(&ask("/api/query/funnels/list", "sec-7:").body).unwrap();
    assert!(funnels["error"].as_str().unwrap().contains("it has export and events/names"), "{funnels}");
    for path in ["/api/2.0/export", "/api/query/export", "/api/2.0/export/", "/api/query/export/"] {
        let answer = ask(&format!("{path}?{TODAY}&event=%5B%22A%22%5D"), "sec-7:");
        assert_eq!((answer.status, answer.lines().len()), (200, 2), "{path}");
    }
    running.stop().unwrap();
}

#[test]
fn whoever_asks_too_often_is_told_when_to_come_back_and_it_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let running = start_with(dir.path(), |config| config.queries.project_hour_max = 3);
    let addr = running.addr();
    let control = Control::open_existing(dir.path()).unwrap();
    project(&control, 7, "tok-7", "sec-7");
    project(&control, 8, "tok-8", "sec-8");
    let target = format!("/api/2.0/export?{TODAY}");
    let mut answered = 0;
    let refused = eventually(|| {
        let answer = export(addr, TODAY, "sec-7:");
        answered += u32::from(answer.status == 200);
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(answered, 3, "those that were refused for their credential do not count");
    let told: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(told["request"], target);
    // The test's clock stands at twenty seconds past a minute.
    let text = told["error"].as_str().unwrap();
    assert!(text.starts_with("Query rate limit exceeded for project_id: 7. "), "{text}");
    let rest = "/6 queries running concurrently and 3/3 queries running in the last hour. Try again in 3580 seconds.";
    assert!(text.ends_with(rest), "{text}");
    assert!(refused.head.contains("\r\nretry-after: 3580\r\n"), "{}", refused.head);
    let names = get(addr, "/api/query/events/names", "Authorization: Basic sec-7:\r\n");
    assert_eq!(names.status, 429, "all queries of a project count together");
    assert_eq!(export(addr, TODAY, "sec-8:").status, 200, "another project is not in its way");
    // A turn is given back by the thread that read, a moment after the last byte.
    let metrics = eventually(|| {
        let metrics = get(addr, "/metrics", "");
        metrics.text().contains("forebay_queries_running{} 0\n").then_some(metrics)
    });
    for line in ["forebay_queries_total{} 4\n", "forebay_queries_refused_total{reason=\"project_hour\"} 2\n"]
    {
        assert!(metrics.text().contains(line), "{line} in {}", metrics.text());
    }
    running.stop().unwrap();
}

#[test]
fn an_export_that_nobody_takes_is_given_up_its_connection_closed_and_its_turn_given_back() {
    let Serving { dir: _dir, running, addr, .. } = serving_with(|config| {
        (config.queries.concurrent_max, config.queries.project_concurrent_max) = (2, 1);
        config.queries.stall_timeout = std::time::Duration::from_millis(100);
        // Not what closes it.
        config.http.timeouts.write = std::time::Duration::from_secs(3600);
    });
    // More than sockets and buffers hold: a reader that takes nothing is felt.
    let long = format!(",\"text\":\"{}\"", "x".repeat(1 << 20));
    for _ in 0..24 {
        assert_eq!(post(addr, "/track", "", &event("tok-7", "Long", &long)).text(), "1");
    }
    let mut stalled = TcpStream::connect(addr).unwrap();
    let head = "Host: t\r\nAuthorization: Basic sec-7:";
    write!(stalled, "GET /api/2.0/export?{TODAY} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
    let metrics = |line: &str| get(addr, "/metrics", "").text().contains(line);
    eventually(|| metrics("forebay_queries_stalled_total{} 1\n").then_some(()));
    eventually(|| metrics("forebay_queries_running{} 0\n").then_some(()));
    // What it is sent comes to an end, and does not look whole.
    let mut bytes = Vec::new();
    let _ = stalled.read_to_end(&mut bytes);
    assert!(
        bytes.starts_with(b"HTTP/1.1 200") && !bytes.ends_with(b"\r\n0\r\n\r\n"),
        "{} bytes",
        bytes.len()
    );
    assert_eq!(export(addr, TODAY, "sec-7:").lines().len(), 24, "who takes it gets it");
    running.stop().unwrap();
}

#[test]
fn an_export_is_entered_in_the_audit_once_for_a_credential_and_a_day_however_often_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let addr = running.addr();
    let control = Control::open_existing(dir.path()).unwrap();
    project(&control, 7, "tok-7", "sec-7");
    let account = forebay_control::NewAccount {
        username: Some("robot".to_owned()),
        secret: Some("pass".to_owned()),
        projects: vec![7.into()],
        ..forebay_control::NewAccount::default()
    };
    control.host().create_service_account(&account).unwrap();
    let by_account = format!("{TODAY}&project_id=7");
    eventually(|| (export(addr, &by_account, "robot:pass").status == 200).then_some(()));
    for _ in 0..5 {
        assert_eq!(export(addr, TODAY, "sec-7:").status, 200);
        assert_eq!(export(addr, &by_account, "robot:pass").status, 200);
    }
    let filtered = format!("{TODAY}&event=%5B%22A%22%5D&where={}", encoded(r#"properties["n"]==1"#));
    assert_eq!(export(addr, &filtered, "sec-7:").status, 200);
    assert_eq!(export(addr, TODAY, "tok-7:").status, 401);
    let filter = forebay_control::AuditFilter {
        action: Some("raw_event_export.requested".to_owned()),
        project: Some(7),
        ..forebay_control::AuditFilter::default()
    };
    let page = control.host().audit(&filter).unwrap();
    let mut told: Vec<_> = page.entries.iter().map(|e| (e.actor.as_str(), e.detail.as_str())).collect();
    told.reverse();
    let days = "from_date 2025-10-09, to_date 2025-10-09";
    assert_eq!(
        told,
        [
            ("service_account:robot", days),
            ("api_secret:7", days),
            ("api_secret:7", &format!("{days}, events \"A\", where properties[\"n\"] == 1")),
        ]
    );
    assert!(page.entries.iter().all(|e| e.organisation.is_some() && e.subject == "7"));
    running.stop().unwrap();
}

#[test]
fn a_projects_own_retention_hides_at_once_what_came_in_before_and_no_other_projects() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let dir = tempfile::tempdir().unwrap();
    let control = Control::open(dir.path()).unwrap();
    project(&control, 1, "one", "secret-one");
    project(&control, 2, "two", "secret-two");
    let clock = Arc::new(AtomicU64::new(NOW_MS - 40 * DAY_MS));
    let server = start_at(dir.path(), &clock);
    let send = |name: &str| {
        for token in ["one", "two"] {
            assert_eq!(post(server.addr(), "/track", "", &event(token, name, "")).text(), "1");
        }
    };
    send("old");
    clock.store(NOW_MS, Ordering::Relaxed);
    send("new");
    let names = |secret: &str| -> Vec<String> {
        let lines =
            export(server.addr(), "from_date=2025-01-01&to_date=2025-10-09", &format!("{secret}:")).lines();
        lines.iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("secret-one"), ["old", "new"]);
    let keep = |days: Option<u32>| {
        let change = ProjectChange { retention_days: Some(days), ..ProjectChange::default() };
        control.host().change_project(1, &change).unwrap();
    };
    keep(Some(30));
    eventually(|| (names("secret-one") == ["new"]).then_some(()));
    assert_eq!(names("secret-two"), ["old", "new"]);
    // As long as the segment is there, a longer time has them back.
    keep(None);
    eventually(|| (names("secret-one") == ["old", "new"]).then_some(()));
}
