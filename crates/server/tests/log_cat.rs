//! `forebay log cat --json` on a live store: the lines that tools rely on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use forebay_control::{Control, NewProject};
use forebay_server::{Running, Server, config::Config};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::Arc,
};

const NOW_MS: u64 = 1_760_000_000_000;

fn start(dir: &Path) -> Running {
    let mut config = Config::new(dir);
    config.http.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.http.cores = 1;
    config.log.segment_bytes_min = 1 << 20;
    Server::start(config, Arc::new(|| NOW_MS)).unwrap()
}

fn post(running: &Running, target: &str, headers: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(running.addr()).unwrap();
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The lines that the command prints, as text and parsed.
fn cat(dir: &Path, args: &[&str]) -> Vec<(String, Value)> {
    let done = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["log", "cat", "--json", "--data-dir"])
        .arg(dir)
        .args(args)
        .env_clear()
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    // A lone surrogate is printed as sent, and serde_json does not read one.
    let parse = |line: &str| serde_json::from_str(&line.replace("\\ud800", "?")).unwrap();
    text.lines().map(|line| (line.to_owned(), parse(line))).collect()
}

#[test]
fn a_line_is_the_contract_and_the_record_is_the_senders_bytes() {
    let dir = tempfile::tempdir().unwrap();
    // Before the start, so that no waiting is needed.
    let control = Control::open(dir.path()).unwrap();
    let new = |id: u64, token: &str| NewProject {
        name: "p".to_owned(),
        id: Some(id),
        token: Some(token.to_owned()),
        ..NewProject::default()
    };
    control.host().create_project(&new(7, "tok-7")).unwrap();
    let running = start(dir.path());
    let sent = "{\"event\":\"A\",\n \"properties\":\r\n{\"token\":\"tok-7\",\"n\":1.0e3,\"s\":\"\\ud800 \\u00e9 ü\"}}";
    assert!(post(&running, "/track?ip=1", "", sent.as_bytes()).ends_with("\r\n\r\n1"));
    let imported = br#"{"event":"I","properties":{"token":"not used","time":1}}"#;
    let basic = "Authorization: Basic tok-7:\r\n";
    assert!(post(&running, "/import", basic, imported).ends_with("\r\n\r\n1"));
    let stray = br#"{"$token":"stray","$distinct_id":"u","$set":{"a":1}}"#;
    assert!(post(&running, "/engage", "", stray).ends_with("\r\n\r\n1"));
    let replay = b"\x1f\x8b\x00\xff";
    assert!(post(&running, "/record?seq=0&replay_id=r", basic, replay).contains("200 OK"));

    let lines = cat(dir.path(), &[]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    let (text, line) = &lines[0];
    let one_line = sent.replace(['\n', '\r'], " ");
    assert!(text.ends_with(&format!(",\"record\":{one_line}}}")), "{text}");
    assert_eq!(
        (&line["lane"], &line["seq"], &line["project_id"], &line["token"]),
        (&0.into(), &0.into(), &7.into(), &"tok-7".into())
    );
    assert_eq!(
        (&line["endpoint"], &line["received_at_ms"], &line["client_ip"]),
        (&"track".into(), &NOW_MS.into(), &"127.0.0.1".into())
    );
    let (_, line) = &lines[1];
    assert_eq!((&line["endpoint"], &line["token"]), (&"import".into(), &"tok-7".into()));
    let (_, line) = &lines[2];
    assert_eq!(
        (&line["lane"], &line["project_id"], &line["token"], &line["client_ip"]),
        (&65535.into(), &Value::Null, &"stray".into(), &Value::Null)
    );

    let replays = cat(dir.path(), &["--kind", "record"]);
    assert_eq!(replays.len(), 1);
    assert_eq!(replays[0].1["query"], "seq=0&replay_id=r");
    assert_eq!(replays[0].1["body_b64"], "H4sA/w==");

    for (args, count) in [
        (&["--project", "7"][..], 2),
        (&["--unclaimed"], 1),
        (&["--project", "7", "--unclaimed"], 3),
        (&["--from", "0:1"], 2),
        (&["--from", "0:9", "--from", "unclaimed:0"], 1),
        (&["--project", "8"], 0),
        (&["--kind", "all"], 4),
    ] {
        assert_eq!(cat(dir.path(), args).len(), count, "{args:?}");
    }
    // What is claimed later is the project's from then on.
    control.host().create_project(&new(8, "stray")).unwrap();
    assert_eq!(cat(dir.path(), &["--unclaimed"]).len(), 0);
    let claimed = cat(dir.path(), &["--project", "8"]);
    assert_eq!((claimed.len(), &claimed[0].1["project_id"]), (1, &8.into()));
    running.stop().unwrap();
    assert_eq!(cat(dir.path(), &[]).len(), 3, "also when it is stopped");
}
