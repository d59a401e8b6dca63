//! A server in this process, a clock of the test's own: what is sent comes back out, also after a restart.

mod running;

use flate2::read::GzDecoder;
use forebay_control::{Control, NewAccount};
use forebay_server::{Server, config::Config};
use running::{NOW_MS, Serving, TODAY, event, eventually, export, get, post, project, serving, start};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

/// Whether a chunked answer came to its end.
fn is_whole(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n0\r\n\r\n") || bytes.ends_with(b"\r\n\r\n0\r\n\r\n")
}

#[test]
fn what_is_sent_comes_back_also_after_a_restart() {
    let Serving { dir, running, addr, .. } = serving();
    assert_eq!(export(addr, TODAY, "sec-7:").body, b"", "nothing found is nothing sent");

    let batch = format!(
        "[{},\n{}]",
        event("tok-7", "A", ",\"distinct_id\":\"u\",\"$insert_id\":\"i\",\"ip\":\"1.2.3.4\",\"n\":1.50"),
        event("tok-7", "B", ",\"distinct_id\":\"u\",\"time\":1759881600")
    );
    let answer = post(addr, "/track", "Content-Type: application/json\r\n", &batch);
    assert_eq!((answer.status, answer.text()), (200, "1"));

    let first = export(addr, TODAY, "sec-7:").lines();
    assert_eq!(first.len(), 1, "B happened the day before");
    let properties = json!({
        "time": 1_760_000_000, "distinct_id": "u", "$insert_id": "i", "$mp_api_timestamp_ms": NOW_MS, "n": 1.5
    });
    assert_eq!(first[0], json!({ "event": "A", "properties": properties }));
    let two_days = "from_date=2025-10-08&to_date=2025-10-09";
    assert_eq!(export(addr, two_days, "sec-7").lines().len(), 2);
    assert_eq!(export(addr, &format!("{two_days}&event=%5B%22B%22%5D"), "c2VjLTc6").lines()[0]["event"], "B");
    assert_eq!(export(addr, &format!("{two_days}&limit=1"), "c2VjLTc=").lines().len(), 1);
    running.stop().unwrap();

    let again = start(dir.path());
    assert_eq!(export(again.addr(), TODAY, "sec-7:").lines(), first);
    again.stop().unwrap();
}

#[test]
fn only_a_secret_or_a_service_account_reads() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let addr = running.addr();
    let control = Control::open_existing(dir.path()).unwrap();
    project(&control, 7, "tok-7", "sec-7");
    let (username, secret) = (Some("robot".to_owned()), Some("pass".to_owned()));
    control
        .host()
        .create_service_account(&NewAccount {
            username,
            secret,
            projects: vec![7.into()],
            ..NewAccount::default()
        })
        .unwrap();
    eventually(|| (export(addr, &format!("{TODAY}&project_id=7"), "robot:pass").status == 200).then_some(()));

    for (query, credential, status, part) in [
        (TODAY, "sec-7:", 200, ""),
        (TODAY, "tok-7:", 401, "a token or API key only sends"),
        (TODAY, "nobody:", 401, "Invalid credentials"),
        (TODAY, "robot:pass", 401, "project_id"),
        (TODAY, "robot:wrong", 401, "Invalid credentials"),
        ("from_date=2025-10-09&to_date=2025-10-10", "sec-7:", 400, "to_date cannot be later than today"),
        ("from_date=2025-10-09", "sec-7:", 400, "to_date, missing or empty"),
        (
            "from_date=2025-10-09&to_date=2025-10-09&where=x",
            "sec-7:",
            400,
            "where, column 1: `x` is not known",
        ),
    ] {
        let answer = export(addr, query, credential);
        assert_eq!(answer.status, status, "{credential} {query}: {}", answer.text());
        assert!(answer.text().contains(part), "{part} in {}", answer.text());
    }
    let refused: Value = serde_json::from_slice(&get(addr, "/api/2.0/export?x=1", "").body).unwrap();
    assert_eq!(refused["request"], "/api/2.0/export?x=1");
    assert!(refused["error"].as_str().unwrap().contains("no credentials"));
    running.stop().unwrap();
}

#[test]
fn unclaimed_events_are_read_once_their_token_has_a_project() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let addr = running.addr();
    assert_eq!(post(addr, "/track", "", &event("early", "Before", "")).text(), "1");
    let control = Control::open_existing(dir.path()).unwrap();
    project(&control, 9, "early", "sec-9");
    eventually(|| (export(addr, TODAY, "sec-9:").status == 200).then_some(()));
    assert_eq!(post(addr, "/track", "", &event("early", "After", "")).text(), "1");
    let mut names: Vec<_> =
        export(addr, TODAY, "sec-9:").lines().iter().map(|e| e["event"].to_string()).collect();
    names.sort();
    assert_eq!(names, ["\"After\"", "\"Before\""]);

    let gzip = "Authorization: Basic sec-9:\r\nAccept-Encoding: gzip\r\n";
    let packed = get(addr, &format!("/api/2.0/export?{TODAY}"), gzip);
    assert!(packed.head.contains("content-encoding: gzip"), "{}", packed.head);
    let mut text = String::new();
    GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 2);
    running.stop().unwrap();

    // Everything is booked by the time the server has stopped.
    let stats = control.stats(&forebay_control::StatsFilter::default()).unwrap();
    assert!(stats.totals.balances(), "{:?}", stats.totals);
    assert_eq!(stats.totals.stored, 2);
}

#[test]
fn an_export_that_cannot_be_completed_does_not_look_complete() {
    let Serving { dir, running, addr, .. } = serving();
    assert_eq!(post(addr, "/track", "", &event("tok-7", "A", "")).text(), "1");

    // A folder where the segment was: it can be opened and not read.
    let lane = dir.path().join("log").join("0000");
    let segment = std::fs::read_dir(&lane).unwrap().map(|e| e.unwrap().path());
    let segment = segment.filter(|p| p.extension().is_some_and(|e| e == "seg")).min().unwrap();
    let aside = dir.path().join("aside");
    std::fs::rename(&segment, &aside).unwrap();
    std::fs::create_dir(&segment).unwrap();
    let raw = |query: &str| {
        let mut stream = TcpStream::connect(addr).unwrap();
        let head = "Host: t\r\nConnection: close\r\nAuthorization: Basic sec-7:";
        write!(stream, "GET /api/2.0/export?{query} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        // A reset is as good an end as a missing last chunk.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    };
    let broken = raw(TODAY);
    assert!(!is_whole(&broken), "{}", String::from_utf8_lossy(&broken));
    std::fs::remove_dir(&segment).unwrap();
    std::fs::rename(&aside, &segment).unwrap();
    assert!(is_whole(&raw(TODAY)));
    running.stop().unwrap();
}

#[test]
fn a_second_server_on_the_same_directory_says_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let config = Config::new(dir.path());
    let text = match Server::start(config, Arc::new(|| NOW_MS)) {
        Ok(_) => panic!("two servers on one directory"),
        Err(e) => format!("{e}: {}", std::error::Error::source(&e).unwrap()),
    };
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    running.stop().unwrap();
}
