//! What `docs/operating.md` must not forget: every setting and every metric.

use std::collections::BTreeSet;
use std::fs;

use forebay_tests::cli::repository;
use forebay_tests::{Forebay, Request, event};

fn operating() -> String {
    fs::read_to_string(repository().join("docs/operating.md")).expect("reading docs/operating.md")
}

#[test]
fn every_setting_is_described_and_every_described_setting_exists() {
    // The table of settings, as the server has it.
    let source = repository().join("crates/server/src/config/keys.rs");
    let source = fs::read_to_string(&source).unwrap_or_else(|e| panic!("reading {}: {e}", source.display()));
    let top = ["data_dir", "listen", "admin_listen", "strict_tokens"];
    let mut known: BTreeSet<String> = BTreeSet::new();
    for literal in source.split('"').skip(1).step_by(2) {
        let is_key = |c: char| c.is_ascii_lowercase() || "._".contains(c);
        if top.contains(&literal) || (literal.chars().all(is_key) && literal.split('.').count() > 1) {
            known.insert(literal.trim_end_matches('.').to_owned());
        }
    }
    known.remove("http.paths");
    for endpoint in source.split("paths!(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        known.insert(format!("http.paths.{endpoint}"));
    }
    assert!(known.len() > 40, "the table of settings is not where it was: {known:?}");
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
