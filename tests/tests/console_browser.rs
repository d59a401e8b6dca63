//! The console in Debian's Chromium: every page and flow, at the width of a desk and of a phone, by day and by night.
//! Pictures of all pages are kept in `target/e2e/console`; axe-core finds nothing that stands in somebody's way.

use forebay_tests::{Forebay, Json, cli, json::quoted, sdk};

#[test]
fn people_walk_through_every_page_and_flow() {
    let forebay = Forebay::start();
    let setup = forebay.cli(&["owner", "setup-link", "--json"]).json();
    let pictures = cli::target_dir().join("e2e/console");
    // Those of pages that are gone are not to be taken for this run's.
    let _ = std::fs::remove_dir_all(&pictures);
    let told = sdk::node(
        "../../console/walk.js",
        &[&format!(
            r#"{{"url":{},"setup":{},"pictures":{}}}"#,
            quoted(&forebay.url()),
            quoted(setup.str("code")),
            quoted(pictures.to_str().expect("UTF-8"))
        )],
    );
    let list = |key: &str| told.get(key).and_then(Json::as_array).expect("the script prints lists");
    let complaints: Vec<_> = list("complaints").iter().filter_map(Json::as_str).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(list("pages").len() >= 20, "{told}");
}
