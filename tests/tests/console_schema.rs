//! The calls of `/api/app` under a fuzzer that knows their description: no answer of ours is an error of ours, each is as
//! described, and nobody gets in who is not known.

use forebay_tests::console::{Visitor, enter};
use forebay_tests::{Forebay, Request, eventually, sdk};

/// Of what schemathesis can check. Left out: that whatever fits its schema is taken (an address, a time zone and a role
/// have rules that no schema says), and the Allow of OPTIONS, which is answered for browsers before any route is looked at.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,missing_required_header";

/// Fuzzes for that many seconds at most, with these checks and arguments besides.
fn fuzz(forebay: &Forebay, project: u64, seconds: &str, checks: &str, more: &[&str]) {
    // Numbers that are there, so that it gets past "there is no such project".
    let config = forebay.data_dir().join("schemathesis.toml");
    let parameters = format!("[parameters]\norganisation = 1\nproject = {project}\n");
    std::fs::write(&config, parameters).expect("a file in the data directory");
    let description = format!("{}/api/app/openapi.json", forebay.url());
    let checks: String = format!("{CHECKS}{checks}").split_whitespace().collect();
    let config = config.to_str().expect("UTF-8");
    let mut args = vec![
        "--config-file",
        config,
        "run",
        description.as_str(),
        "--checks",
        &checks,
        "--max-time",
        seconds,
    ];
    args.extend([
        "--phases",
        "coverage,fuzzing",
        "--max-examples",
        "8",
        "--seed",
        "7",
        "--no-color",
        "--warnings",
        "off",
    ]);
    args.extend(more);
    sdk::schemathesis(&args);
}

#[test]
fn a_fuzzer_with_a_service_account_finds_nothing() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let args = ["service-account", "create", "--username", "fuzzer", "--secret", "s3cret"];
    forebay.cli(&[&args[..], &["--organisation-role", "owner"]].concat());
    eventually("the account is known", || {
        forebay.send(&Request::get("/api/app/me").basic("fuzzer", "s3cret")).status == 200
    });
    // It would end itself, or what it asks about.
    let ends = "/delete$|/transfer$|service-accounts/.id.|sign-in|setup";
    fuzz(
        &forebay,
        project.id,
        "25",
        ",negative_data_rejection,ignored_auth",
        &["--auth", "fuzzer:s3cret", "--exclude-path-regex", ends],
    );
}

#[test]
fn a_fuzzer_with_a_persons_session_finds_nothing() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    enter(&forebay, "ada@example.com", "Ada");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", "ada@example.com"]);
    let mut ada = Visitor::signed_in(forebay.addr(), "ada@example.com");
    let cookie = format!("Cookie: forebay-session={}", ada.cookie("forebay-session").expect("a session"));
    let csrf = format!("X-CSRF-Token: {}", ada.csrf());
    let ends = "/delete$|sign-out|sign-in|setup|/me/password$";
    let more = [
        "-H",
        &cookie,
        "-H",
        &csrf,
        "--include-path-regex",
        "/api/app/me|/invitation",
        "--exclude-path-regex",
        ends,
    ];
    // The cookie stands on every request, also on those that are to be without it.
    fuzz(&forebay, project.id, "15", "", &more);
}
