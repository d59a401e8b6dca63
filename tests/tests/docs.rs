//! What `docs/operating.md` must not forget: every setting and every metric; and that the tests that `docs/control.md` names are
//! there.

use std::collections::BTreeSet;
use std::fs;

use forebay_tests::cli::{self, repository};
use forebay_tests::{Forebay, Request, event};

fn operating() -> String {
    fs::read_to_string(repository().join("docs/operating.md")).expect("reading docs/operating.md")
}

#[test]
fn every_setting_is_described_and_every_described_setting_exists() {
    let nowhere = tempfile::tempdir().expect("making a directory");
    let settings = cli::run(nowhere.path(), &["settings", "--json"]).success().lines();
    let known: BTreeSet<String> = settings.iter().map(|setting| setting.str("key").to_owned()).collect();
    assert!(known.len() > 40, "there are more settings than {known:?}");
    let text = operating();
    let table = text
        .split("## Every setting")
        .nth(1)
        .and_then(|t| t.split("## Every metric").next())
        .expect("a table");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let described: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(known.difference(&described).collect::<Vec<_>>(), Vec::<&String>::new(), "not described");
    assert_eq!(
        described.difference(&known).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "described, but no settings"
    );
}

#[test]
fn every_metric_is_described() {
    let forebay = Forebay::start();
    forebay.track(&event("nobodys-token", "Hello", "me")).expect(200, "1");
    let metrics = forebay.send(&Request::get("/metrics")).text();
    let text = operating();
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let missing: Vec<_> = names.filter(|name| !text.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
}

/// The names of the test functions below `dir`.
fn tests_below(dir: &std::path::Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a folder of the repository").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                tests_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if line == "#[test]"
                    && let Some(name) = lines.find_map(|line| line.strip_prefix("fn ")?.split('(').next())
                {
                    found.insert(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_promise_about_people_names_tests_that_exist() {
    let mut known = BTreeSet::new();
    ["crates", "tests"].iter().for_each(|dir| tests_below(&repository().join(dir), &mut known));
    let text = fs::read_to_string(repository().join("docs/control.md")).expect("reading docs/control.md");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|') && line.contains('`')).collect();
    let numbers: BTreeSet<u32> =
        rows.iter().filter_map(|row| row.split('|').nth(1)?.trim().parse().ok()).collect();
    // The others are of end users' data, which is to come, or promise nothing of their own.
    let wanted = (1..=23).chain(29..=33).chain(35..=52).chain([55]);
    assert_eq!(numbers, wanted.collect(), "the promises that are made");
    for row in rows {
        let cell = row.split('|').nth(3).expect("a last column");
        let named: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row} names no test");
        let missing: Vec<_> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(missing.is_empty(), "{missing:?} are no tests");
    }
}
