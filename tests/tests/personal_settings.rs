//! Personal settings, statement by statement, as the real server's pages keep them: see docs/control.md.

use std::fs;
use std::process::{Command, Stdio};

use forebay_tests::console::{PASSWORD, Visitor, enter};
use forebay_tests::{Forebay, Json, Project, Setup, event, unconnected};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// A server with an owner of its first organisation, and a project there.
fn with_owner() -> (Forebay, Project) {
    let forebay = Forebay::start();
    let project = with_ada(&forebay);
    (forebay, project)
}

/// Makes her an owner of a server's first organisation, and a project there.
fn with_ada(forebay: &Forebay) -> Project {
    let project = forebay.create_project("Shop");
    enter(forebay, ADA, "Ada");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", ADA]);
    project
}

fn signed_in(forebay: &Forebay) -> Visitor {
    Visitor::signed_in(forebay.addr(), ADA)
}

#[track_caller]
fn holds(page: &str, wanted: &[&str]) {
    for text in wanted {
        assert!(page.contains(text), "{text:?} is not in {page}");
    }
}

#[test]
fn personal_settings_open_from_ones_name_at_addresses_that_stay() {
    let (forebay, project) = with_owner();
    let mut ada = signed_in(&forebay);
    let page = ada.get("/console/projects").text();
    holds(&page, &["<a href=\"/console/me\"><span class=\"unseen\">Your settings: </span>Ada</a>"]);
    for part in ["", "/password", "/second-factor", "/sessions", "/preferences", "/data", "/delete"] {
        ada.get(&format!("/console/me{part}")).expect_status(200);
    }
    ada.get(&format!("/console/projects/{}/settings", project.id)).expect_status(200);
    ada.get("/console/organisations/1").expect_status(200);
}

#[test]
fn ones_name_is_changed_and_shown_where_one_did_something() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    ada.post("/console/me/name", &[("name", "Ada Lovelace")]).expect_status(303);
    ada.post("/console/organisations/1/name", &[("name", "Engines")]).expect_status(303);
    let page = ada.get("/console/organisations/1/audit").text();
    holds(&page, &["<td>Ada Lovelace</td><th scope=\"row\">organisation.changed</th>"]);
}

#[test]
fn the_address_one_signs_in_by_is_seen_and_changed_with_the_password() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    holds(&ada.get("/console/me").text(), &["You sign in with <strong>ada@example.com</strong>"]);
    let new = ("email", "lovelace@example.com");
    ada.post("/console/me/email", &[new, ("current", "not the password")]).expect_status(400);
    ada.post("/console/me/email", &[new, ("current", PASSWORD)]).expect_status(303);
    Visitor::signed_in(forebay.addr(), "Lovelace@example.com");
}

#[test]
fn who_is_locked_out_gets_a_password_from_the_host() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    let file = forebay.data_dir().join("new-password");
    fs::write(&file, "another battery\n").expect("a file in the data directory");
    forebay.cli(&["person", "set-password", ADA, "--password-file", file.to_str().expect("UTF-8")]);
    assert_ne!(ada.get("/console/me").status, 200, "sessions end with it");
    let mut again = Visitor::new(forebay.addr());
    again.get("/console/sign-in");
    again.post("/console/sign-in", &[("email", ADA), ("password", "another battery")]).expect_status(303);
}

#[test]
fn ones_organisations_are_listed_with_number_role_and_how_one_came_by_it() {
    let (forebay, project) = with_owner();
    enter(&forebay, BOB, "Bob");
    forebay.cli(&["organisation", "create", "--name", "Workshop", "--owner", BOB]);
    forebay.cli(&["organisation", "set-project-role", &project.id.to_string(), BOB, "analyst"]);
    let page = Visitor::signed_in(forebay.addr(), BOB).get("/console/me").text();
    holds(
        &page,
        &[
            "<td>2</td><th scope=\"row\"><a href=\"/console/organisations/2\">Workshop</a></th><td>owner</td>",
            "makes you an owner of every project in it",
            "<td>1</td><th scope=\"row\"><a href=\"/console/organisations/1\">default</a></th><td>member</td>",
            "<td>analyst</td><td>given to you in the project</td>",
        ],
    );
}

#[test]
fn a_projects_token_stands_on_its_page_of_keys_and_in_what_the_command_line_shows() {
    let (forebay, project) = with_owner();
    let page = signed_in(&forebay).get(&format!("/console/projects/{}/keys", project.id)).text();
    holds(&page, &[&format!("<code>{}</code>", project.token), "Public: a token names this project"]);
    assert!(
        !page.contains(&project.api_secret) && !page.contains(&project.api_key),
        "neither key nor secret"
    );
    let shown = forebay.cli(&["project", "show", &project.id.to_string()]).stdout;
    holds(&String::from_utf8_lossy(&shown), &[&project.token]);
}

#[test]
fn an_api_key_names_a_project_and_reads_nothing() {
    let (forebay, project) = with_owner();
    let import = forebay_tests::Request::post("/import?strict=0", event(&project.token, "Old", "me"));
    let import = import.header("Content-Type", "application/json").basic(&project.api_key, "");
    forebay.send(&import).expect_status(200);
    let export = "/api/2.0/export?from_date=2026-01-01&to_date=2026-01-02";
    let with = |user: &str| forebay.send(&forebay_tests::Request::get(export).basic(user, "")).status;
    assert_eq!((with(&project.api_key), with(&project.api_secret)), (401, 200));
}

#[test]
fn a_reset_warns_takes_name_and_password_and_shows_the_new_values_this_once() {
    let (forebay, project) = with_owner();
    let mut ada = signed_in(&forebay);
    let reset = format!("/console/projects/{}/keys/reset", project.id);
    holds(&ada.get(&reset).text(), &["Who is affected", "This may break what runs in production", "Shop"]);
    ada.post(&reset, &[("typed", "Shed"), ("grace", "0"), ("current", PASSWORD)]).expect_status(400);
    ada.post(&reset, &[("typed", "Shop"), ("grace", "0"), ("current", "not the password")])
        .expect_status(400);
    let answer = ada.post(&reset, &[("typed", "Shop"), ("grace", "0"), ("current", PASSWORD)]);
    let page = answer.expect_status(200).text();
    let value = |id: &str| {
        let (_, rest) = page.split_once(&format!("id=\"{id}\">")).expect("a value");
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    let (key, secret) = (value("key"), value("secret"));
    assert!(key != project.api_key && secret != project.api_secret, "both are new");
    let keys = ada.get(&format!("/console/projects/{}/keys", project.id)).text();
    assert!(!keys.contains(&secret) && !keys.contains(&key), "not shown again");
    let audit = forebay.cli(&["audit", "list", "--action", "project.secret_reset", "--json"]).stdout;
    let audit = String::from_utf8_lossy(&audit);
    assert!(audit.contains("person:1") && !audit.contains(&secret), "{audit}");
}

#[test]
fn resetting_the_gdpr_token_warns_and_ends_the_one_before() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    let (path, fields) = ("/console/me/data/gdpr", [("typed", ADA), ("days", "365"), ("current", PASSWORD)]);
    ada.post(path, &fields).expect_status(200);
    let page = ada.get(path).text();
    holds(
        &page,
        &["Whatever uses the present token", "every application that uses the present one stops working"],
    );
    ada.post(path, &[("typed", "somebody@example.com"), fields[1], fields[2]]).expect_status(400);
    let page = ada.post(path, &fields).expect_status(200).text();
    let token = page.split_once("id=\"token\">").expect("a token").1.split('<').next().unwrap_or_default();
    assert!(!ada.get("/console/me/data").text().contains(token), "not shown again");
}

#[test]
fn a_server_connects_to_nobody_by_itself() {
    let forebay = Setup::new().unconnected().start();
    let project = with_ada(&forebay);
    // A program that calls somebody ends so: what follows would not go on.
    let mut asks = Command::new(forebay_tests::cli::binary());
    asks.args(["health", "--url", &forebay.url()]).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(asks.status().expect("a command").success(), "it may call, and there is somebody to answer");
    let mut caught = unconnected::spawn(&mut asks).expect("a command that may not");
    assert!(unconnected::has_called(caught.wait().expect("waiting for a child")), "a connection is seen");
    // From its start to its end, through what people and senders do with it.
    let mut ada = signed_in(&forebay);
    ada.post("/console/me/preferences", &[("notice_email", "ada@notices.example.com")]).expect_status(303);
    ada.post("/console/organisations/1/invitations", &[("email", BOB), ("role", "member")])
        .expect_status(200);
    for path in ["/console/projects", "/console/me/data/file", "/metrics", "/health/ready"] {
        ada.get(path).expect_status(200);
    }
    forebay.track(&event(&project.token, "Hello", "me")).expect(200, "1");
    assert_eq!(forebay.export(&project).len(), 1);
    forebay.stop();
}

#[test]
fn ones_data_is_there_to_download_as_soon_as_it_is_asked_for() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    let page = ada.post("/console/me/data/request", &[]).expect_status(200).text();
    holds(&page, &["Your request was received, and is done", "Download as JSON"]);
    let answer = ada.get("/console/me/data/file");
    assert_eq!(
        answer.header("content-disposition").as_deref(),
        Some("attachment; filename=\"my-data.json\"")
    );
    let data = answer.expect_status(200).json();
    assert_eq!(data.get("account").expect("an account").str("email"), ADA);
    for part in ["preferences", "two_factor", "sessions", "sign_ins", "usage", "views", "messages", "audit"] {
        assert!(data.get(part).is_some(), "{part}");
    }
    assert!(
        !answer.text().contains("argon2")
            && !answer.text().contains(ada.cookie("forebay-session").expect("one"))
    );
}

#[test]
fn erasing_ones_data_says_what_goes_and_is_done_when_it_says_so() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    let page = ada.get("/console/me/data/erase").text();
    holds(&page, &["Erase personal data", "it remains in operation", "attempt to sign in: deleted"]);
    let fields = [("typed", ADA), ("current", PASSWORD)];
    let page = ada.post("/console/me/data/erase", &fields).expect_status(200).text();
    holds(&page, &["Your request was received, and is done", "Your account remains in operation"]);
    let data = ada.get("/console/me/data/file").expect_status(200).json();
    assert_eq!(data.get("sign_ins").and_then(Json::as_array).map(<[Json]>::len), Some(0));
}

#[test]
fn the_only_cookies_are_those_of_the_session_and_of_a_browser_that_is_known() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    assert_eq!(ada.cookies().collect::<Vec<_>>(), ["forebay-browser", "forebay-session"]);
    for path in
        ["/console/projects", "/console/me/preferences", "/console/organisations/1/audit?kind=project."]
    {
        assert_eq!(ada.get(path).header_all("set-cookie"), Vec::<&str>::new(), "{path}");
    }
}

#[test]
fn which_pages_one_opens_is_noted_only_from_when_to_when_one_wants_that() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    let noted = |ada: &mut Visitor| {
        let data = ada.get("/console/me/data/file").json();
        let usage = data.get("usage").and_then(Json::as_array).expect("a list");
        usage.iter().filter(|one| one.str("page") == "/console/me/sessions").count()
    };
    ada.get("/console/me/sessions");
    assert_eq!(noted(&mut ada), 0, "off by default");
    ada.post("/console/me/preferences", &[("logs_usage", "on")]).expect_status(303);
    ada.get("/console/me/sessions");
    assert_eq!(noted(&mut ada), 1, "from then on");
    ada.post("/console/me/preferences", &[]).expect_status(303);
    ada.get("/console/me/sessions");
    assert_eq!(noted(&mut ada), 0, "off, and what was noted is gone");
}

#[test]
fn what_one_set_for_oneself_shows_in_the_call_and_on_the_command_line_at_once() {
    let (forebay, _) = with_owner();
    let mut ada = signed_in(&forebay);
    let shown = |ada: &mut Visitor| {
        let me = ada.get("/api/app/me").expect_status(200).json();
        let preferences =
            me.get("results").and_then(|results| results.get("preferences")).expect("preferences");
        preferences.get("remembers_views").map(ToString::to_string)
    };
    assert_eq!(shown(&mut ada).as_deref(), Some("false"));
    ada.post("/console/me/preferences", &[("remembers_views", "on")]).expect_status(303);
    assert_eq!(shown(&mut ada).as_deref(), Some("true"));
    let text = forebay.cli(&["person", "preferences", ADA]).stdout;
    holds(&String::from_utf8_lossy(&text), &["remember views  on"]);
    let page = ada.get("/console/me/preferences").text();
    holds(&page, &["checked aria-describedby=\"views-hint\"", "Remember how I set views"]);
}

#[test]
fn an_account_goes_at_once_with_password_and_typed_address_and_events_stay() {
    let (forebay, project) = with_owner();
    enter(&forebay, BOB, "Bob");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", BOB]);
    forebay.track(&event(&project.token, "Kept", "me")).expect(200, "1");
    let mut ada = signed_in(&forebay);
    let mut elsewhere = signed_in(&forebay);
    let page = ada.get("/console/me/delete").text();
    holds(
        &page,
        &["you lose access; one other person keeps access", "Projects and their events are not deleted"],
    );
    let typed = ("typed", ADA);
    ada.post("/console/me/delete", &[typed, ("current", "not the password")]).expect_status(400);
    ada.post("/console/me/delete", &[("typed", "ada"), ("current", PASSWORD)]).expect_status(400);
    ada.post("/console/me/delete", &[typed, ("current", PASSWORD)]).expect_status(303);
    assert_ne!(elsewhere.get("/console/projects").status, 200, "every session is gone");
    let mut again = Visitor::new(forebay.addr());
    again.get("/console/sign-in");
    assert_ne!(again.post("/console/sign-in", &[("email", ADA), ("password", PASSWORD)]).status, 303);
    assert_eq!(forebay.export(&project).len(), 1, "the event stays");
}

#[test]
fn a_sole_owner_names_the_next_one_and_goes_in_one_act() {
    let (forebay, _) = with_owner();
    enter(&forebay, BOB, "Bob");
    forebay.cli(&["organisation", "set-role", "1", BOB, "member"]);
    let mut ada = signed_in(&forebay);
    let page = ada.get("/console/me/delete").text();
    holds(&page, &["Next owner of default", "You are its only owner", "Bob (bob@example.com)"]);
    let fields = [("typed", ADA), ("current", PASSWORD)];
    let refused = ada.post("/console/me/delete", &fields);
    holds(&refused.expect_status(409).text(), &["is the only owner of organisation 1"]);
    ada.get("/console/me").expect_status(200);
    ada.post("/console/me/delete", &[fields[0], fields[1], ("owner-1", "2")]).expect_status(303);
    let shown = forebay.cli(&["organisation", "show", "1", "--json"]).stdout;
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("\"email\":\"bob@example.com\"") && shown.contains("\"role\":\"owner\""),
        "{shown}"
    );
    assert!(!shown.contains(ADA), "{shown}");
}
