//! What the console remembers and hands out: the audit log to its end, a view that was chosen, and who used a secret.

use forebay_tests::console::{PASSWORD, Visitor, enter};
use forebay_tests::wire::base64;
use forebay_tests::{Forebay, Request, eventually};

const OWNER: &str = "ada@example.com";

fn with_owner() -> (Forebay, forebay_tests::Project) {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    enter(&forebay, OWNER, "Ada");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", OWNER]);
    (forebay, project)
}

#[test]
fn the_audit_log_is_handed_out_to_its_end() {
    let (forebay, _) = with_owner();
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    let csrf = ada.csrf();
    // More than is read at once.
    const CHANGES: usize = 1100;
    for n in 0..CHANGES {
        let name = format!("name {n}");
        ada.post_as_is("/console/organisations/1/name", &[("csrf", &csrf), ("name", &name)])
            .expect_status(303);
    }
    let answer = ada.get("/console/organisations/1/audit/file");
    let text = answer.expect_status(200).text();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() > CHANGES, "{}", lines.len());
    assert!(lines[0].contains("name 1099") && lines[0].contains("organisation.changed"), "{}", lines[0]);
    let last = lines[lines.len() - 1];
    assert!(last.contains("organisation.created"), "the first of all comes last: {last}");
    let mut ids: Vec<u64> = lines
        .iter()
        .map(|line| line.split_once("\"id\":").expect("an entry").1.split(',').next().expect("a number"))
        .map(|id| id.parse().expect("a number"))
        .collect();
    let all = ids.len();
    ids.dedup();
    assert!(ids.is_sorted_by(|a, b| a > b) && ids.len() == all, "each once, newest first");
    let stranger = Visitor::new(forebay.addr()).get("/console/organisations/1/audit/file");
    assert_ne!(stranger.status, 200);
}

#[test]
fn a_chosen_view_is_remembered_only_where_one_wants_that() {
    let (forebay, _) = with_owner();
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    let audit = "/console/organisations/1/audit";
    let chosen = |page: String| page.contains("value=\"project.\" selected");
    assert!(chosen(ada.get(&format!("{audit}?kind=project.")).expect_status(200).text()));
    assert!(!chosen(ada.get(audit).text()), "off until it is switched on");
    ada.post("/console/me/preferences", &[("remembers_views", "on")]).expect_status(303);
    let page = ada.get(&format!("{audit}?kind=project.")).text();
    assert!(!page.contains("organisation.role_changed"), "{page}");
    assert!(chosen(ada.get(audit).text()), "remembered");
    ada.post("/console/me/preferences", &[]).expect_status(303);
    assert!(!chosen(ada.get(audit).text()), "forgotten at once");
    let page = ada.get(&format!("{audit}?kind=%3Cscript%3E")).expect_status(200).text();
    assert!(page.contains("value=\"\" selected"), "{page}");
}

#[test]
fn who_used_the_secret_is_named_before_it_is_reset() {
    let (forebay, project) = with_owner();
    let export = "/api/2.0/export?from_date=2026-01-01&to_date=2026-01-02";
    let credentials = format!("Basic {}", base64(format!("{}:", project.api_secret)));
    for _ in 0..3 {
        let request =
            Request::get(export).header("Authorization", &credentials).header("User-Agent", "tap-test/1.2");
        forebay.send(&request).expect_status(200);
    }
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    let reset = format!("/console/projects/{}/keys/reset", project.id);
    let want = "In the last 30 days, with the secret: tap-test/1.2 from 127.0.0.1: 3 requests";
    eventually("it is booked", || ada.get(&reset).text().contains(want));
    let listed = forebay.cli(&["project", "callers", &project.id.to_string(), "--json"]).stdout;
    let listed = String::from_utf8_lossy(&listed);
    assert!(
        listed.contains("\"user_agent\":\"tap-test/1.2\",\"address\":\"127.0.0.1\",\"uses\":3"),
        "{listed}"
    );
    let fields = [("typed", "Shop"), ("grace", "0"), ("current", PASSWORD)];
    let page = ada.post(&reset, &fields);
    page.expect_status(200);
    assert!(!ada.get(&reset).text().contains("tap-test"), "it is about the new ones from now on");
}
