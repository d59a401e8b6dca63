//! The first minutes of a newcomer: what the first start prints and what the README says works when pasted.

use std::process::Command;

use forebay_tests::cli::{binary, finish, repository};
use forebay_tests::{Forebay, Output};

/// Runs a line as a shell would, with the binary under test on the path.
#[track_caller]
fn paste(line: &str) -> Output {
    let here = binary().parent().expect("a binary lies somewhere").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-euc", line]).env("PATH", format!("{here}:{path}"));
    finish(shell).success()
}

/// The lines of a text that start with this, without what is before it.
fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.lines().map(str::trim).filter(|line| line.starts_with(start)).collect()
}

#[test]
fn the_curl_line_of_the_first_start_stores_an_event_that_the_export_line_reads_back() {
    let forebay = Forebay::start();
    let report = forebay.stderr();
    let curl = lines(&report, "curl http");
    assert_eq!(curl.len(), 1, "one line sends an event:\n{report}");
    assert_eq!(paste(curl[0]).text(), "1");
    let export: Vec<_> = report.lines().filter(|line| line.contains("forebay export --project")).collect();
    assert_eq!(export.len(), 1, "one line reads it back:\n{report}");
    let events = paste(export[0]).lines();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].str("event"), "Hello");
    let dir = forebay.data_dir().display().to_string();
    assert!(report.contains(&dir), "it says where the data lies:\n{report}");
    for word in ["durable", "not durable"] {
        assert!(report.contains(word), "it says what is {word}:\n{report}");
    }
}

#[test]
fn a_later_start_does_not_make_a_second_project() {
    let dir = tempfile::tempdir().expect("making a directory");
    let setup = forebay_tests::Setup::new().data_dir(dir.path());
    let first = setup.clone().start();
    let projects = first.cli(&["project", "list", "--json"]).lines();
    assert_eq!(projects.len(), 1, "the first start makes one");
    first.stop();
    let second = setup.start();
    assert!(!second.stderr().contains("First start"), "{}", second.stderr());
    assert_eq!(second.cli(&["project", "list", "--json"]).lines(), projects);
}

#[test]
fn the_curl_lines_of_the_readme_work() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("reading the README");
    let ours = |line: &str| {
        line.replace("http://127.0.0.1:8080", &forebay.url())
            .replace("YOUR_TOKEN", &project.token)
            .replace("YOUR_API_SECRET", &project.api_secret)
    };
    let curl = lines(&readme, "curl ");
    assert_eq!(curl.len(), 2, "one sends, one reads: {curl:?}");
    assert_eq!(paste(&ours(curl[0])).text(), "1");
    assert_eq!(paste(&ours(curl[1])).lines().len(), 1);
}
