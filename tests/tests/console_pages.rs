//! The console's pages over the wire: their headers, what people type into them, how they say no.

use forebay_console::{Face, ROUTES, Verb};
use forebay_tests::console::{PASSWORD, Visitor, enter};
use forebay_tests::{Forebay, Request, Setup, eventually};

const OWNER: &str = "ada@example.com";

/// A server with an owner of its first organisation.
fn with_owner(name: &str) -> Forebay {
    let forebay = Forebay::start();
    forebay.create_project("Shop");
    enter(&forebay, OWNER, name);
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", OWNER]);
    forebay
}

#[test]
fn every_answer_carries_the_headers_that_keep_a_page_to_itself() {
    let forebay = with_owner("Ada");
    let mut visitor = Visitor::signed_in(forebay.addr(), OWNER);
    for path in [
        "/console/projects",
        "/console/sign-in",
        "/console/nothing",
        "/console/projects/77",
        "/api/app/me",
        "/console/assets/1/console.css",
        "/api/app/nothing",
    ] {
        let answer = visitor.send(Request::get(path).header("Origin", "https://evil.example"));
        let header = |name: &str| answer.header(name).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("access-control-allow-origin"), "", "{path} is read by another site");
        assert_eq!(header("cache-control") == "no-store", !path.contains("assets"), "{path}");
    }
    let preflight = Request::new("OPTIONS", "/console/me/name")
        .header("Origin", "https://evil.example")
        .header("Access-Control-Request-Method", "POST");
    assert_eq!(visitor.send(preflight).header("access-control-allow-origin"), None);
}

#[test]
fn pages_hold_no_script_and_no_style_of_their_own() {
    let forebay = with_owner("Ada");
    let project = forebay.cli(&["project", "list", "--json"]).lines();
    let project = project[0].u64("id").to_string();
    let mut visitor = Visitor::signed_in(forebay.addr(), OWNER);
    for route in ROUTES.iter().filter(|route| route.verb == Verb::Get && route.face == Face::Page) {
        let path =
            route.path.replace("{project}", &project).replace("{organisation}", "1").replace("{person}", "1");
        let answer = visitor.get(&path);
        if !answer.header("content-type").unwrap_or_default().starts_with("text/html") {
            continue;
        }
        let page = answer.text().to_ascii_lowercase();
        for bad in [" style=", "<style", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(bad), "{path} has {bad}");
        }
        let scripts = page.matches("<script").count();
        assert_eq!(scripts, page.matches("<script src=\"/console/assets/").count(), "{path}");
    }
}

#[test]
fn nothing_that_people_type_becomes_markup() {
    const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}";
    let forebay = with_owner(HOSTILE);
    forebay.cli(&["organisation", "rename", "1", HOSTILE]);
    let made = forebay.cli(&["project", "create", "--name", HOSTILE, "--json"]).json();
    let (id, token) = (made.u64("id").to_string(), made.str("token").to_owned());
    let hostile = forebay_tests::json::quoted(HOSTILE);
    let event =
        format!(r#"{{"event":{hostile},"properties":{{"token":"{token}","distinct_id":{hostile}}}}}"#);
    eventually("the token is known", || {
        forebay.send(&Request::post("/track?verbose=1", event.clone())).text().contains("\"status\":1")
    });
    // A refusal, with a sample; and a token that is nobody's.
    forebay
        .send(&Request::post("/track", format!(r#"{{"properties":{{"token":"{token}","x":{hostile}}}}}"#)));
    forebay.send(&Request::post(
        "/track",
        r#"{"event":"e","properties":{"token":"\"><script>alert(1)</script>"}}"#,
    ));
    let mut visitor = Visitor::signed_in(forebay.addr(), OWNER);
    let invited = [("email", "new@example.com"), ("role", "member")];
    visitor.post("/console/organisations/1/invitations", &invited).expect_status(200);
    let name = forebay_tests::wire::percent(HOSTILE);
    for route in ROUTES.iter().filter(|route| route.verb == Verb::Get && route.face == Face::Page) {
        let path =
            route.path.replace("{project}", &id).replace("{organisation}", "1").replace("{person}", "1");
        let request = Request::get(&format!("{path}?next={name}&said={name}&event={name}"));
        let answer = visitor.send(request.header("User-Agent", "<script>alert(1)</script>"));
        if !answer.header("content-type").unwrap_or_default().starts_with("text/html") {
            continue; // A file to be saved: it is text, and no browser takes it for a page.
        }
        let page = answer.text();
        assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{path}: {page}");
    }
    let live = visitor.get(&format!("/console/projects/{id}/live")).text();
    assert!(live.contains("&#60;script&#62;alert(1)"), "the event is shown, as it was called: {live}");
}

#[test]
fn errors_are_pages_that_say_what_to_do() {
    let forebay = with_owner("Ada");
    let mut visitor = Visitor::signed_in(forebay.addr(), OWNER);
    let check = |answer: forebay_tests::Answer, status: u16, says: &str| {
        answer.expect_status(status);
        let page = answer.text();
        assert!(page.contains(says) && page.contains("<h1>"), "{says}: {page}");
    };
    check(visitor.get("/console/nothing"), 404, "There is nothing here");
    check(visitor.get("/console/projects/12345"), 404, "There is nothing here");
    check(visitor.send(Request::new("DELETE", "/console/projects")), 405, "GET, HEAD only");
    check(visitor.post_as_is("/console/me/name", &[("name", "B")]), 403, "This form is out of date");
    let long = "x".repeat(70_000);
    check(visitor.post("/console/me/name", &[("name", &long)]), 413, "That is too much at once");
    check(visitor.post("/console/me/name", &[("name", "")]), 400, "is not 1 to 255 bytes");
    // The error of a call is JSON, in its envelope.
    let answer = visitor.get("/api/app/nothing");
    assert_eq!(answer.expect_status(404).json().str("status"), "error");
}

#[test]
fn who_guesses_is_told_to_wait_and_learns_nothing_of_who_is_known() {
    let forebay = with_owner("Ada");
    let mut visitor = Visitor::new(forebay.addr());
    let mut guess = |email: &str| {
        let answer = visitor.post("/console/sign-in", &[("email", email), ("password", "not that one")]);
        (answer.status, answer.text().replace(email, "EMAIL"))
    };
    let known = guess(OWNER);
    assert_eq!(known.0, 400);
    let unknown = guess("nobody@example.com");
    assert_eq!(known, unknown, "the same page for who is known and who is not");
    let throttled = (0..12).map(|_| guess(OWNER)).find(|(status, _)| *status == 429);
    assert!(throttled.expect("an end to guessing").1.contains("Too many attempts"));
}

#[test]
fn who_guesses_locks_no_owner_out_of_a_browser_they_know_and_the_host_unlocks_the_others() {
    let forebay = with_owner("Ada");
    let mut known = Visitor::signed_in(forebay.addr(), OWNER);
    known.post("/console/sign-out", &[]).expect_status(303);
    let fields = |password: &'static str| [("email", OWNER), ("password", password)];
    let mut guessing = Visitor::new(forebay.addr());
    let mut guess = || guessing.post("/console/sign-in", &fields("a guess")).status;
    assert!((0..12).any(|_| guess() == 429), "an end to guessing");
    let mut new = Visitor::new(forebay.addr());
    new.post("/console/sign-in", &fields(PASSWORD)).expect_status(429);
    known.post("/console/sign-in", &fields(PASSWORD)).expect_status(303);
    let told = forebay.cli(&["owner", "unlock", "--email", OWNER, "--json"]).json();
    assert_eq!(told.u64("failures_forgiven"), 10);
    new.post("/console/sign-in", &fields(PASSWORD)).expect_status(303);
}

#[test]
fn a_browser_that_two_people_sign_in_with_is_known_for_both() {
    let forebay = with_owner("Ada");
    const BOB: &str = "bob@example.com";
    enter(&forebay, BOB, "Bob");
    let mut shared = Visitor::new(forebay.addr());
    for email in [OWNER, BOB] {
        shared.post("/console/sign-in", &[("email", email), ("password", PASSWORD)]).expect_status(303);
        shared.post("/console/sign-out", &[]).expect_status(303);
    }
    for email in [OWNER, BOB] {
        let mut guessing = Visitor::new(forebay.addr());
        let mut guess =
            || guessing.post("/console/sign-in", &[("email", email), ("password", "a guess")]).status == 429;
        assert!((0..12).any(|_| guess()), "an end to guessing");
        shared.post("/console/sign-in", &[("email", email), ("password", PASSWORD)]).expect_status(303);
        shared.post("/console/sign-out", &[]).expect_status(303);
    }
}

#[test]
fn a_session_ends_when_its_person_signs_out_and_opens_nothing_after() {
    let forebay = with_owner("Ada");
    let mut visitor = Visitor::signed_in(forebay.addr(), OWNER);
    let before = visitor.clone();
    visitor.post("/console/sign-out", &[]).expect_status(303);
    assert_eq!(visitor.cookie("forebay-session"), None);
    before.clone().get("/console/projects").expect_status(303);
}

#[test]
fn whoever_signs_in_goes_on_to_a_page_of_the_console_and_nowhere_else() {
    let forebay = with_owner("Ada");
    for (next, to) in [
        ("/console/me", "/console/me"),
        ("https://evil.example/", "/console/projects"),
        ("//evil.example/", "/console/projects"),
        ("/console//evil.example", "/console/projects"),
        ("/\\evil.example", "/console/projects"),
        ("/console/sign-out", "/console/projects"),
        ("/console/me\r\nSet-Cookie: a=b", "/console/projects"),
    ] {
        let mut visitor = Visitor::new(forebay.addr());
        let fields = [("email", OWNER), ("password", PASSWORD), ("next", next)];
        let answer = visitor.post("/console/sign-in", &fields);
        assert_eq!(answer.expect_status(303).header("location").as_deref(), Some(to), "{next:?}");
    }
}

#[test]
fn beside_an_admin_listener_the_console_is_only_there() {
    let admin = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        free.local_addr().expect("its address")
    };
    let forebay = Setup::new().admin_listen(admin).start();
    enter(&forebay, OWNER, "Ada");
    for path in ["/console", "/console/sign-in", "/console/assets/1/console.css"] {
        Visitor::new(forebay.addr()).get(path).expect_status(404);
    }
    Visitor::new(admin).get("/").expect_status(303);
    let mut visitor = Visitor::signed_in(admin, OWNER);
    visitor.get("/console/me").expect_status(200);
    visitor.get("/api/app/me").expect_status(200);
    // The same cookie where senders connect says nothing.
    let session = visitor.cookie("forebay-session").expect("a session").to_owned();
    let request = Request::get("/api/app/me").header("Cookie", &format!("forebay-session={session}"));
    forebay.send(&request).expect_status(401);
}

#[test]
fn behind_a_trusted_proxy_with_tls_cookies_are_secure_and_its_host_is_this_servers() {
    let forebay = Setup::new().arg("--set").arg("http.trusted_proxies=127.0.0.1").start();
    enter(&forebay, OWNER, "Ada");
    let proxied = |request: Request| {
        request.header("X-Forwarded-Proto", "https").header("X-Forwarded-Host", "console.example")
    };
    let page = forebay.send(&proxied(Request::get("/console/sign-in")));
    let cookie = page.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-forebay-visit=") && cookie.ends_with("; Secure"), "{cookie}");
    let pair = cookie.split(';').next().unwrap_or_default();
    let text = page.text();
    let csrf =
        text.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let sign_in = |origin: &str| {
        let body = format!("csrf={csrf}&email={OWNER}&password={}", PASSWORD.replace(' ', "+"));
        let request = Request::post("/console/sign-in", body).header("Cookie", pair).header("Origin", origin);
        forebay.send(&proxied(request))
    };
    sign_in("https://collector.test").expect_status(403);
    let entered = sign_in("https://console.example");
    let session = entered.expect_status(303).header("set-cookie").expect("a session");
    assert!(session.starts_with("__Host-forebay-session="), "{session}");
}

#[test]
fn a_service_accounts_role_in_the_organisation_is_set_on_its_page_by_those_who_may() {
    let forebay = with_owner("Ada");
    let project = forebay.create_project("Robots").id.to_string();
    forebay.cli(&["service-account", "create", "--username", "robot", "--project", &project]);
    let role = || {
        let listed = forebay.cli(&["service-account", "list", "--json"]).lines();
        listed[0].str("organisation_role").to_owned()
    };
    let page = format!("/console/projects/{project}/accounts");
    let form = format!("action=\"{page}/robot/role\"");
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    assert!(ada.get(&page).text().contains(&form));
    ada.post(&format!("{page}/robot/role"), &[("role", "admin")]).expect_status(303);
    assert_eq!(role(), "admin");
    let wrong = ada.post(&format!("{page}/robot/role"), &[("role", "emperor")]);
    assert!(wrong.expect_status(400).text().contains("member, admin, owner"), "{}", wrong.text());
    // Whose role reaches in the project only, sees it and changes nothing.
    enter(&forebay, "bob@example.com", "Bob");
    forebay.cli(&["organisation", "set-project-role", &project, "bob@example.com", "owner"]);
    let mut bob = Visitor::signed_in(forebay.addr(), "bob@example.com");
    let seen = bob.get(&page).text();
    assert!(seen.contains(", admin in the organisation") && !seen.contains(&form), "{seen}");
    bob.post(&format!("{page}/robot/role"), &[("role", "owner")]).expect_status(403);
    assert_eq!(role(), "admin");
}

#[test]
fn the_description_of_the_calls_is_served_to_everybody() {
    let forebay = Forebay::start();
    let document = forebay.send(&Request::get("/api/app/openapi.json/")).expect_status(200).json();
    assert_eq!(document.str("openapi"), "3.1.0");
    let paths = document.get("paths").and_then(forebay_tests::Json::as_object).expect("paths");
    let calls = ROUTES.iter().filter(|route| route.face == Face::Call);
    assert!(calls.clone().all(|route| paths.contains_key(route.path)) && calls.count() >= paths.len());
}

#[test]
fn the_export_page_counts_by_name_and_says_beside_the_field_what_is_wrong_with_a_condition() {
    let forebay = with_owner("Ada");
    let project = forebay.create_project("Counted");
    let event = |name: &str, n: u64| {
        format!(r#"{{"event":"{name}","properties":{{"token":"{}","n":{n}}}}}"#, project.token)
    };
    let events: Vec<_> = (0..5).map(|n| event(if n < 3 { "A" } else { "B" }, n)).collect();
    forebay.track(&format!("[{}]", events.join(",")));
    let mut visitor = Visitor::signed_in(forebay.addr(), OWNER);
    let page = format!("/console/projects/{}/export", project.id);
    for (event, rows) in [("", 5), ("A", 3), ("Nobody", 0)] {
        let answer = visitor.get(&format!("{page}?event={event}"));
        assert!(
            answer.text().contains(&format!("<dt>Rows</dt><dd>{rows}</dd>")),
            "{event}: {}",
            answer.text()
        );
    }
    let good = visitor.get(&format!("{page}?event=A&where=properties%5B%22n%22%5D+%3E+1"));
    assert_eq!(good.status, 200);
    assert!(good.text().contains("where=properties%5B%22n%22%5D+%3E+1"), "the line that fetches them has it");
    let wrong = visitor.get(&format!("{page}?where=properties.n+%3E+1"));
    let text = wrong.text();
    assert_eq!(wrong.status, 400);
    let problem = text.split("id=\"where-problem\"").nth(1).expect("it is told beside the field");
    assert!(problem.contains("column 11") && text.contains("aria-describedby=\"where-problem\""), "{text}");
    assert!(
        !text.contains("Download as NDJSON") && text.contains("value=\"properties.n &#62; 1\""),
        "{text}"
    );
    let file =
        |condition: &str| format!("{page}/file?from=2020-01-01&to=2099-01-01&event=&where={condition}");
    let found = visitor.get(&file("properties%5B%22n%22%5D+%3E+1"));
    let lines = forebay_tests::wire::gunzip(&found.body).expect("it is gzip");
    assert_eq!((found.status, lines.iter().filter(|b| **b == b'\n').count()), (200, 3));
    let misfit = visitor.get(&file("properties%5B%22n%22%5D"));
    assert_eq!(misfit.status, 400, "{}", misfit.text());
    let told = forebay.cli(&["audit", "list", "--json"]).text();
    assert!(told.contains("raw_event_export.requested") && told.contains("\"person:"), "{told}");
}
