//! npm's mixpanel-browser in Chromium, on a page of another origin: what it believes delivered is what the export
//! gives back. The scenarios are those of `sdk/node/browser.js`.

use std::collections::BTreeSet;

use forebay_tests::{Forebay, Json, delivered, json::quoted, sdk};

/// Runs a scenario; the requests that carried its events must be of this method and resource type, and the events no
/// fewer: where the SDK waits in vain for the lock of its queue, it sends a record by itself, and perhaps twice.
#[track_caller]
fn check(scenario: &str, method: &str, kind: &str, events: usize) {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let told = sdk::node(
        "browser.js",
        &[&format!(
            r#"{{"url":{},"token":{},"secret":{},"scenario":{}}}"#,
            quoted(&forebay.url()),
            quoted(&project.token),
            quoted(&project.api_secret),
            quoted(scenario)
        )],
    );
    let list = |key: &str| told.get(key).and_then(Json::as_array).expect("the script prints lists");
    assert!(list("events").len() >= events, "the page did not do its work: {told}");
    let shapes: BTreeSet<_> =
        list("requests").iter().map(|r| (r.str("method"), r.str("kind"), r.u64("status"))).collect();
    let expected = if kind.is_empty() { BTreeSet::new() } else { BTreeSet::from([(method, kind, 200)]) };
    assert_eq!(shapes, expected);
    // The library notes on each event of a batch which version of itself sent it, after the hook saw it.
    delivered::events(list("events"), &forebay.export(&project), &["mp_sent_by_lib_version"]);
    let records = forebay.records();
    delivered::updates(list("people"), &records, "engage");
    delivered::updates(list("groups"), &records, "groups");
}

#[test]
fn batches_of_forms_with_base64() {
    check("form_batch", "POST", "xhr", 62);
}

#[test]
fn batches_of_forms_with_json() {
    check("json_batch", "POST", "xhr", 62);
}

#[test]
fn a_request_for_each_event() {
    check("immediate", "POST", "xhr", 6);
}

#[test]
fn a_request_for_each_event_with_a_verbose_answer() {
    check("verbose", "POST", "xhr", 3);
}

#[test]
fn get_requests() {
    check("get", "GET", "xhr", 6);
}

#[test]
fn scripts_that_call_back() {
    check("jsonp", "GET", "script", 5);
}

#[test]
fn pixels() {
    check("img", "GET", "image", 3);
}

#[test]
fn beacons() {
    check("beacon", "POST", "ping", 3);
}

#[test]
fn the_flush_of_a_page_that_goes_away() {
    check("unload", "", "", 7);
}

#[test]
fn profiles_and_groups() {
    check("profiles", "POST", "xhr", 2);
}
