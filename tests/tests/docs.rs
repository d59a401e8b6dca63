//! What `docs/operating.md` must not forget: every setting and every metric.

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
