//! Projects and what they are told apart, guarded and read by, statement by statement: see docs/control.md.

use forebay_control::{Control, ProjectRole};
use forebay_record::ProjectId;
use forebay_route::{Kind, Owner, Row};
use forebay_tests::console::{PASSWORD, Visitor, enter};
use forebay_tests::{Forebay, Project, Request, event, eventually};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const DAY_MS: u64 = 24 * 3_600_000;

/// A server with an owner of its first organisation, and a project there.
fn with_owner() -> (Forebay, Project, Visitor) {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    enter(&forebay, ADA, "Ada");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", ADA]);
    let ada = Visitor::signed_in(forebay.addr(), ADA);
    (forebay, project, ada)
}

#[track_caller]
fn holds(page: &str, wanted: &[&str]) {
    for text in wanted {
        assert!(page.contains(text), "{text:?} is not in {page}");
    }
}

fn page_of(project: &Project) -> String {
    format!("/console/projects/{}", project.id)
}

#[test]
fn everybody_in_a_project_sees_its_token_and_no_page_shows_its_key_or_secret() {
    let (forebay, project, mut ada) = with_owner();
    enter(&forebay, BOB, "Bob");
    let id = project.id.to_string();
    let mut bob = Visitor::signed_in(forebay.addr(), BOB);
    for role in ProjectRole::ALL {
        forebay.cli(&["organisation", "set-project-role", &id, BOB, role.as_str()]);
        let overview = bob.get(&page_of(&project)).expect_status(200).text();
        holds(&overview, &[&project.token]);
        let keys = bob.get(&format!("{}/keys", page_of(&project)));
        assert_eq!(keys.status == 200, role >= ProjectRole::Admin, "{role}");
        for page in [overview, keys.text()] {
            assert!(!page.contains(&project.api_key) && !page.contains(&project.api_secret), "{role}");
        }
    }
    // Key and secret stand there by what they are and when they were used last.
    holds(&ada.get(&format!("{}/keys", page_of(&project))).text(), &["Secret last used", "Key last used"]);
    let listed = forebay.cli(&["project", "show", &id, "--json"]).text();
    assert!(!listed.contains(&project.api_key) && !listed.contains(&project.api_secret), "{listed}");
}

#[test]
fn a_token_is_32_lower_case_hex_digits_and_another_can_be_brought_along() {
    let (forebay, project, mut ada) = with_owner();
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(project.token.len() == 32 && project.token.chars().all(is_hex), "{}", project.token);
    let keys = format!("{}/keys", page_of(&project));
    ada.post(&format!("{keys}/tokens"), &[("token", "Shipped-in-2019")]).expect_status(303);
    eventually("what apps in people's hands send is the project's", || {
        forebay.track(&event("Shipped-in-2019", "Old", "me"));
        !forebay.export(&project).is_empty()
    });
    let other = forebay.create_project("Other");
    let taken = ada.post(&format!("{}/keys/tokens", page_of(&other)), &[("token", "Shipped-in-2019")]);
    holds(&taken.expect_status(409).text(), &["Another project has this token"]);
}

#[test]
fn a_token_is_said_to_be_public_and_the_project_guards_who_sends_by_it() {
    let (forebay, project, mut ada) = with_owner();
    holds(&ada.get(&format!("{}/keys", page_of(&project))).text(), &["Public: a token names this project"]);
    holds(
        &ada.get(&page_of(&project)).text(),
        &["It is public, stands in every app that sends, and reads nothing"],
    );
    let reads = Request::get("/api/2.0/export?from_date=2026-01-01&to_date=2026-01-02");
    forebay.send(&reads.basic(&project.token, "")).expect_status(401);
    let from = |origin: &str| {
        let request = Request::post("/track?verbose=1", event(&project.token, "Hello", "me"));
        forebay.send(&request.header("Origin", origin)).text().contains("\"status\":1")
    };
    let base = [("name", "Shop"), ("timezone", "UTC"), ("client_address", "drop"), ("id_merge", "original")];
    let mut save = |more: &[(&str, &str)]| {
        let fields = [&base[..], more].concat();
        ada.post(&format!("{}/settings", page_of(&project)), &fields).expect_status(303);
    };
    assert!(from("https://elsewhere.example"), "from anywhere, until origins are named");
    save(&[("accepts_events", "on"), ("allowed_origins", "https://shop.example")]);
    eventually("pages of others are refused", || !from("https://elsewhere.example"));
    assert!(from("https://shop.example"));
    save(&[]);
    eventually("nothing is taken any more", || !from("https://shop.example"));
}

#[test]
fn the_lines_to_paste_hold_host_and_token_and_a_light_turns_on_with_the_first_event() {
    let (forebay, project, mut ada) = with_owner();
    let page = ada.get(&page_of(&project)).text();
    holds(&page, &["Waiting for the first event"]);
    for library in ["curl", "Browser", "Node.js", "Python", "Swift"] {
        let (_, lines) = page.split_once(&format!("<summary>{library}</summary>")).expect(library);
        let lines = lines.split("</pre>").next().unwrap_or_default();
        holds(lines, &[&project.token, "collector.test"]);
    }
    forebay.track(&event(&project.token, "Hello", "me")).expect(200, "1");
    eventually("the light turns on", || {
        ada.get(&format!("{}/live", page_of(&project))).text().contains("Events arrive")
    });
}

#[test]
fn a_service_account_is_shared_given_an_end_and_taken_out_of_a_project_in_the_console() {
    let (forebay, project, mut ada) = with_owner();
    let other = forebay.create_project("Other");
    let grant = format!("{}=admin", project.id);
    let make = ["service-account", "create", "--username", "etl", "--secret", "s3cret", "--project", &grant];
    forebay.cli(&make);
    let export = format!("/api/2.0/export?from_date=2026-01-01&to_date=2026-01-02&project_id={}", other.id);
    let status = || forebay.send(&Request::get(&export).basic("etl", "s3cret")).status;
    let accounts = format!("{}/accounts", page_of(&other));
    holds(&ada.get(&accounts).text(), &["<option value=\"etl\">"]);
    let share = format!("{accounts}/share");
    ada.post(&share, &[("account", "etl"), ("role", "analyst")]).expect_status(303);
    eventually("it reads the other project, too", || status() == 200);
    assert!(!ada.get(&accounts).text().contains("<option value=\"etl\">"), "it is there already");
    ada.post(&share, &[("account", "nobody"), ("role", "analyst")]).expect_status(404);

    let expiry = format!("{accounts}/etl/expiry");
    ada.post(&expiry, &[("at", "2020-01-01T00:00")]).expect_status(400);
    ada.post(&expiry, &[("at", "soon")]).expect_status(400);
    ada.post(&expiry, &[("at", "2040-01-31T18:00")]).expect_status(303);
    holds(&ada.get(&accounts).text(), &["2040-01-31 18:00 UTC", "value=\"2040-01-31T18:00\""]);
    ada.post(&expiry, &[("at", "")]).expect_status(303);
    assert!(!ada.get(&accounts).text().contains("2040-01-31"), "it has no end again");

    let remove = format!("{accounts}/etl/remove");
    holds(&ada.get(&remove).text(), &["In its other projects it goes on"]);
    ada.post(&remove, &[("typed", "elt")]).expect_status(400);
    assert_eq!(status(), 200);
    ada.post(&remove, &[("typed", "etl")]).expect_status(303);
    eventually("it reads the other project no longer", || status() != 200);
    ada.get(&remove).expect_status(404);
    // An admin of the organisation loses a role here, and reaches the project all the same: so the page says.
    ada.post(&share, &[("account", "etl"), ("role", "analyst")]).expect_status(303);
    forebay.cli(&["service-account", "set-role", "etl", "admin"]);
    let asked = ada.get(&remove).text();
    holds(&asked, &["As an admin of the organisation it still reaches every project"]);
    assert!(!asked.contains("uses this project no longer"), "{asked}");
    let removed = ada.post(&remove, &[("typed", "etl")]);
    let next = removed.expect_status(303).header("location").expect("where it goes on");
    let told = ada.get(&next).text();
    holds(&told, &["Its role in the organisation still reaches the project"]);
    eventually("it reads the other project again", || status() == 200);
    let there = forebay.cli(&["service-account", "list", "--project", &project.id.to_string(), "--json"]);
    assert_eq!(there.lines().len(), 1, "it goes on where it was");
}

#[test]
fn what_a_scope_does_not_do_yet_is_said_wherever_it_is_shown() {
    let (forebay, project, mut ada) = with_owner();
    let grant = project.id.to_string();
    let make =
        ["service-account", "create", "--username", "etl", "--project", &grant, "--scopes", "gdpr,export"];
    forebay.cli(&make);
    let page = ada.get(&format!("{}/accounts", page_of(&project))).text();
    holds(&page, &["export, gdpr (nothing yet)", "engage-read (nothing yet)", "can do nothing yet"]);
    assert!(!page.contains("export (nothing yet)") && !page.contains("import (nothing yet)"), "{page}");
    holds(&forebay.cli(&["service-account", "list"]).text(), &["export, gdpr (nothing yet)"]);
    holds(&forebay.cli(&["service-account", "narrow", "--help"]).text(), &["which do nothing yet"]);
    let described = forebay.send(&Request::get("/api/app/openapi.json")).text();
    holds(&described, &["`engage-read` and `gdpr` name what is still to come"]);
    holds(&ada.get("/console/me/data").text(), &["Those calls are still to come"]);
}

#[test]
fn a_projects_times_are_shown_in_its_zone_and_its_export_stays_as_it_was() {
    let (forebay, project, mut ada) = with_owner();
    forebay.track(&event(&project.token, "Hello", "me")).expect(200, "1");
    let before = forebay.export(&project);
    forebay.cli(&["project", "set", &project.id.to_string(), "--timezone", "Asia/Tokyo"]);
    let settings = format!("{}/settings", page_of(&project));
    eventually("the zone is known", || ada.get(&settings).text().contains(" JST ("));
    holds(&ada.get(&settings).text(), &[" UTC)"]);
    assert_eq!(forebay.export(&project), before, "the export is in UTC whatever the zone");

    // A project is made in its zone, by command, call and page.
    let zone = |id: u64| {
        forebay.cli(&["project", "show", &id.to_string(), "--json"]).json().str("timezone").to_owned()
    };
    assert_eq!(zone(forebay.create_project_with(&["--timezone", "Asia/Tokyo"]).id), "Asia/Tokyo");
    forebay.try_cli(&["project", "create", "--timezone", "Mars/Olympus"]).failure(&["Mars/Olympus"]);
    let csrf = ada.csrf();
    let create = |body: &str| {
        Request::post("/api/app/organizations/1/create-project", body).header("X-CSRF-Token", &csrf)
    };
    let made =
        ada.send(create(r#"{"project_name":"Called","timezone":"Europe/Vienna"}"#)).expect_status(200).json();
    let made = made.get("results").expect("results");
    assert_eq!(
        (made.str("timezone_name"), zone(made.u64("id")).as_str()),
        ("Europe/Vienna", "Europe/Vienna")
    );
    ada.send(create(r#"{"project_name":"Called","timezone":"Mars/Olympus"}"#)).expect_status(400);
    let fields = [("name", "Paged"), ("token", ""), ("timezone", "America/Lima")];
    ada.post("/console/organisations/1/projects/new", &fields).expect_status(200);
    let last = forebay.cli(&["project", "list", "--json"]).lines();
    let last = last.iter().find(|project| project.str("name") == "Paged").expect("it was made");
    assert_eq!(last.str("timezone"), "America/Lima");
}

#[test]
fn how_long_events_are_kept_is_asked_with_how_many_that_hides() {
    let (forebay, project, mut ada) = with_owner();
    forebay.track(&event(&project.token, "Hello", "me")).expect(200, "1");
    let asked = |days: &str| format!("{}/settings/retention?days={days}", page_of(&project));
    holds(&ada.get(&asked("30")).text(), &["Nothing is hidden now; the first events not before"]);
    holds(&ada.get(&asked("")).text(), &["Nothing more is hidden", "for as long as the store keeps"]);
    // What the books say of forty days ago; they balance as they are.
    let owner = Owner::Project(ProjectId::new(project.id).expect("a number"));
    let minute_ms = (forebay_tests::now_ms() / DAY_MS - 40) * DAY_MS;
    let row = |kind| Row { minute_ms, owner, kind, events: 1234, bytes: 3 << 20 };
    let control = Control::open_existing(forebay.data_dir()).expect("the registry");
    control.record_accounting(&[row(Kind::Received), row(Kind::Stored)], &[]).expect("booked");
    let page = ada.get(&asked("30")).text();
    holds(&page, &["Hidden at once: about 1\u{202f}234 events, 3.0 MiB as they came in, received before "]);
    holds(&ada.get(&asked("0")).expect_status(400).text(), &["Give a number of days"]);
    let change = format!("{}/settings/retention", page_of(&project));
    ada.post(&change, &[("days", "30"), ("typed", "Shed")]).expect_status(400);
    ada.post(&change, &[("days", "30"), ("typed", "Shop")]).expect_status(303);
    let shown = forebay.cli(&["project", "show", &project.id.to_string(), "--json"]).json();
    assert_eq!(shown.u64("retention_days"), 30);
    // For longer, or for less when those of forty days ago are hidden already: no more of them goes.
    let longer = ada.get(&asked("60")).text();
    holds(&longer, &["Nothing more is hidden", "show again at once"]);
    assert!(!longer.contains("Hidden at once"), "{longer}");
    let less = ada.get(&asked("20")).text();
    assert!(!less.contains("Hidden at once") && !less.contains("show again"), "{less}");
    ada.post(&change, &[("days", "60"), ("typed", "Shop")]).expect_status(303);
    holds(&ada.get(&asked("30")).text(), &["Hidden at once: about 1\u{202f}234 events"]);
}

#[test]
fn what_an_export_would_bring_is_counted_by_page_call_and_command_alike() {
    let (forebay, project, mut ada) = with_owner();
    for (name, times) in [("Signed up", 3), ("Left", 1)] {
        for _ in 0..times {
            forebay.track(&event(&project.token, name, "me")).expect(200, "1");
        }
    }
    let page = ada.get(&format!("{}/export?event=Signed%20up", page_of(&project))).text();
    let offered = "<option value=\"Signed up\"></option><option value=\"Left\"></option>";
    holds(&page, &["<dt>Rows</dt><dd>3</dd>", offered]);
    let call = format!("/api/app/projects/{}/event-counts", project.id);
    let told = ada.get(&call).expect_status(200).json();
    let told = told.get("results").expect("results");
    let events = told.get("events").expect("names");
    assert_eq!((told.u64("total"), events.u64("Signed up"), events.u64("Left")), (4, 3, 1));
    let none = ada.get(&format!("{call}?from_date=2020-01-01&to_date=2020-01-02")).json();
    assert_eq!(none.get("results").map(|results| results.u64("total")), Some(0));
    ada.get(&format!("{call}?from_date=soon")).expect_status(400);
    let id = project.id.to_string();
    let count = ["export", "--project", &id, "--event", "Signed up", "--count"];
    assert_eq!(forebay.cli(&count).text(), "3\n");
    assert_eq!(forebay.cli(&[&count[..], &["--json"]].concat()).json().u64("events"), 3);
}

#[test]
fn an_organisation_is_deleted_in_the_console_once_nothing_is_left_in_it() {
    let (forebay, _, mut ada) = with_owner();
    let full = ada.get("/console/organisations/1/delete").text();
    holds(&full, &["2 projects left in it", "You (ada@example.com), an owner here"]);
    let fields = |name| [("typed", name), ("current", PASSWORD)];
    ada.post("/console/organisations/1/delete", &fields("default")).expect_status(409);
    forebay.cli(&["organisation", "create", "--name", "Empty", "--owner", ADA]);
    let empty = "/console/organisations/2/delete";
    ada.post(empty, &fields("Full")).expect_status(400);
    ada.post(empty, &[("typed", "Empty"), ("current", "not the password")]).expect_status(400);
    ada.post(empty, &fields("Empty")).expect_status(303);
    ada.get("/console/organisations/2").expect_status(404);
    let told = forebay.cli(&["audit", "list", "--action", "organisation.deleted", "--json"]).json();
    assert_eq!((told.str("subject"), told.str("actor")), ("2", "person:1"));
}
