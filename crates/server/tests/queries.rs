//! What programs ask of a running server: exports with conditions.

mod running;

use forebay_control::Control;
use running::{TODAY, event, eventually, export, post, project, start};
use std::{net::SocketAddr, process::Command};

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02x}")).collect()
}

fn condition(addr: SocketAddr, text: &str) -> running::Answer {
    export(addr, &format!("{TODAY}&where={}", encoded(text)), "sec-7:")
}

#[test]
fn where_leaves_out_the_events_that_do_not_meet_it() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let addr = running.addr();
    let control = Control::open_existing(dir.path()).unwrap();
    project(&control, 7, "tok-7", "sec-7");
    eventually(|| (export(addr, TODAY, "sec-7:").status == 200).then_some(()));
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
