//! Who may do what in the console and its calls: every route, asked by everybody there could be.

use forebay_console::{Face, Needs, ROUTES, Route, Verb};
use forebay_control::{OrganisationRole, ProjectRole};
use forebay_tests::console::{Visitor, enter};
use forebay_tests::{Forebay, Request, eventually};

/// Somebody who asks: what they are in the organisation, and in the project.
struct Asker {
    email: &'static str,
    organisation: Option<OrganisationRole>,
    project: Option<ProjectRole>,
}

const fn asker(
    email: &'static str,
    organisation: Option<OrganisationRole>,
    project: Option<ProjectRole>,
) -> Asker {
    Asker { email, organisation, project }
}

/// Everybody who is known. `None` in both: somebody of another organisation.
const ASKERS: [Asker; 8] = [
    asker("stranger@x.example", None, None),
    asker("member@x.example", Some(OrganisationRole::Member), None),
    asker("consumer@x.example", Some(OrganisationRole::Member), Some(ProjectRole::Consumer)),
    asker("analyst@x.example", Some(OrganisationRole::Member), Some(ProjectRole::Analyst)),
    asker("admin@x.example", Some(OrganisationRole::Member), Some(ProjectRole::Admin)),
    asker("owner@x.example", Some(OrganisationRole::Member), Some(ProjectRole::Owner)),
    asker("org-admin@x.example", Some(OrganisationRole::Admin), Some(ProjectRole::Admin)),
    asker("org-owner@x.example", Some(OrganisationRole::Owner), Some(ProjectRole::Owner)),
];

impl Asker {
    fn may(&self, needs: Needs) -> bool {
        match needs {
            Needs::Nobody | Needs::Somebody => true,
            Needs::Person => !self.is_account(),
            Needs::Organisation(role) => self.organisation >= Some(role),
            Needs::Project(role) => self.project >= Some(role),
            Needs::Operator => self.organisation == Some(OrganisationRole::Owner),
        }
    }

    /// Whether it is a service account: people have addresses.
    fn is_account(&self) -> bool {
        !self.email.contains('@')
    }

    /// Whether they may know that what the path names is there.
    fn knows(&self, needs: Needs) -> bool {
        match needs {
            Needs::Organisation(_) => self.organisation.is_some(),
            Needs::Project(_) => self.project.is_some(),
            Needs::Nobody | Needs::Somebody | Needs::Person | Needs::Operator => true,
        }
    }
}

/// The path with something that is there in the place of every name.
fn path_of(route: &Route, project: u64) -> String {
    let parts = route.path.split('/').map(|part| match part {
        "{project}" => project.to_string(),
        "{organisation}" => "1".to_owned(),
        part if part.starts_with('{') => "999999".to_owned(),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Sends what the route is asked with, without anything filled in.
fn ask(visitor: &mut Visitor, route: &Route, path: &str, csrf: &str) -> u16 {
    let request = match (route.verb, route.face) {
        (Verb::Get, _) => Request::get(path),
        (verb, Face::Page) => Request::new(verb.as_str(), path).body(format!("csrf={csrf}")),
        (verb, Face::Call) => Request::new(verb.as_str(), path).header("X-CSRF-Token", csrf).body("{}"),
    };
    visitor.send(request).status
}

fn everybody(forebay: &Forebay) -> u64 {
    let project = forebay.create_project("Shop").id;
    let id = project.to_string();
    // Numbers nobody of: people of the other organisation get no role here.
    forebay.cli(&["organisation", "create", "--name", "Elsewhere"]);
    for asker in &ASKERS {
        enter(forebay, asker.email, asker.email);
        let role = asker.organisation.map_or(("2", "owner"), |role| ("1", role.as_str()));
        forebay.cli(&["organisation", "set-role", role.0, asker.email, role.1]);
        if let (Some(OrganisationRole::Member), Some(role)) = (asker.organisation, asker.project) {
            forebay.cli(&["organisation", "set-project-role", &id, asker.email, role.as_str()]);
        }
    }
    project
}

#[test]
fn every_route_is_there_for_those_whose_role_reaches_and_for_nobody_else() {
    let forebay = Forebay::start();
    let project = everybody(&forebay);
    let mut wrong = Vec::new();
    for asker in &ASKERS {
        let mut visitor = Visitor::signed_in(forebay.addr(), asker.email);
        let csrf = visitor.csrf();
        for route in ROUTES.iter().filter(|route| route.path != "/") {
            if route.path.ends_with("/sign-out") {
                // It works for everybody, and then nothing else would.
                continue;
            }
            let path = path_of(route, project);
            let status = ask(&mut visitor, route, &path, &csrf);
            let refused = matches!(status, 401 | 403 | 404);
            let names_more = route.names().any(|name| name != "project" && name != "organisation");
            let fine = match (asker.may(route.needs), asker.knows(route.needs)) {
                // What else the path names is not there.
                (true, _) => !matches!(status, 401 | 403 | 500) && (status != 404 || names_more),
                (false, true) => status == 403,
                (false, false) => status == 404,
            };
            if !fine || (refused && asker.may(route.needs) && !names_more) {
                wrong.push(format!("{} {path} as {}: {status}", route.verb.as_str(), asker.email));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same roles among service accounts. One of another organisation, and one of each.
const ACCOUNTS: [Asker; 8] = [
    asker("stranger", None, None),
    asker("member", Some(OrganisationRole::Member), None),
    asker("consumer", Some(OrganisationRole::Member), Some(ProjectRole::Consumer)),
    asker("analyst", Some(OrganisationRole::Member), Some(ProjectRole::Analyst)),
    asker("admin", Some(OrganisationRole::Member), Some(ProjectRole::Admin)),
    asker("owner", Some(OrganisationRole::Member), Some(ProjectRole::Owner)),
    asker("org-admin", Some(OrganisationRole::Admin), Some(ProjectRole::Admin)),
    asker("org-owner", Some(OrganisationRole::Owner), Some(ProjectRole::Owner)),
];

const SECRET: &str = "s3cret";

/// Makes a service account; `more` says what else it is.
fn make_account(forebay: &Forebay, name: &str, more: &[&str]) {
    let args = ["service-account", "create", "--username", name, "--secret", SECRET];
    forebay.cli(&[&args[..], more].concat());
}

fn calls() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| route.face == Face::Call)
}

/// Sends what a call is asked with, as a service account, without anything filled in.
fn ask_as(forebay: &Forebay, route: &Route, path: &str, name: &str) -> u16 {
    let request = Request::new(route.verb.as_str(), path).basic(name, SECRET);
    // No call takes such a body: an owner needs no password, and would end what the others ask about.
    let body = r#"{"there is no such field":1}"#;
    forebay.send(&if route.verb == Verb::Get { request } else { request.body(body) }).status
}

fn until_known(forebay: &Forebay, name: &str) {
    eventually("the account is known", || {
        forebay.send(&Request::get("/api/app/me").basic(name, SECRET)).status == 200
    });
}

#[test]
fn every_call_is_there_for_service_accounts_whose_role_reaches_and_for_no_others() {
    let forebay = Forebay::start();
    let project = everybody(&forebay);
    for asker in &ACCOUNTS {
        let organisation = if asker.organisation.is_some() { "1" } else { "2" };
        let role = asker.organisation.map_or("owner", OrganisationRole::as_str);
        let grant = asker.project.map(|role| format!("{project}={role}"));
        let mut more = vec!["--organisation", organisation, "--organisation-role", role];
        // What follows from the role in the organisation need not be given.
        if let (Some(OrganisationRole::Member), Some(grant)) = (asker.organisation, &grant) {
            more.extend(["--project", grant]);
        }
        make_account(&forebay, asker.email, &more);
    }
    ACCOUNTS.iter().for_each(|asker| until_known(&forebay, asker.email));
    let mut wrong = Vec::new();
    for asker in &ACCOUNTS {
        for route in calls() {
            let path = path_of(route, project);
            let status = ask_as(&forebay, route, &path, asker.email);
            let names_more = route.names().any(|name| name != "project" && name != "organisation");
            let fine = match (asker.may(route.needs), asker.knows(route.needs)) {
                (true, _) => !matches!(status, 401 | 403 | 500) && (status != 404 || names_more),
                (false, true) => status == 403,
                (false, false) => status == 404,
            };
            if !fine {
                wrong.push(format!("{} {path} as {}: {status}", route.verb.as_str(), asker.email));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_narrowed_service_account_is_told_what_it_is_and_calls_nothing_else() {
    let forebay = Forebay::start();
    let project = everybody(&forebay);
    let more =
        ["--organisation", "1", "--organisation-role", "owner", "--scopes", "export,engage-read,import,gdpr"];
    make_account(&forebay, "narrowed", &more);
    until_known(&forebay, "narrowed");
    for route in calls().filter(|route| route.needs != Needs::Nobody) {
        let path = path_of(route, project);
        let status = ask_as(&forebay, route, &path, "narrowed");
        let want = if route.path == "/api/app/me" && route.verb == Verb::Get { 200 } else { 403 };
        assert_eq!(status, want, "{} {path}", route.verb.as_str());
    }
}

#[test]
fn nobody_gets_anything_without_signing_in() {
    let forebay = Forebay::start();
    let project = everybody(&forebay);
    let mut visitor = Visitor::new(forebay.addr());
    let csrf = visitor.csrf();
    for route in ROUTES.iter().filter(|route| route.needs != Needs::Nobody) {
        let path = path_of(route, project);
        let status = ask(&mut visitor, route, &path, &csrf);
        let led_to_sign_in = route.verb == Verb::Get && route.face == Face::Page;
        let want = if led_to_sign_in { 303 } else { 401 };
        assert_eq!(status, want, "{} {path}", route.verb.as_str());
    }
}

#[test]
fn nothing_is_changed_without_the_token_of_a_form_or_from_another_site() {
    let forebay = Forebay::start();
    let project = everybody(&forebay);
    let mut owner = Visitor::signed_in(forebay.addr(), "org-owner@x.example");
    let (csrf, other) = (owner.csrf(), Visitor::signed_in(forebay.addr(), "member@x.example").csrf());
    for route in ROUTES.iter().filter(|route| route.verb != Verb::Get) {
        let path = path_of(route, project);
        let ask = |token: &str, headers: &[(&str, &str)]| {
            let mut request = Request::new(route.verb.as_str(), &path).header("X-CSRF-Token", token);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            owner.clone().send(request.body("{}")).status
        };
        for (token, headers) in [
            ("", &[][..]),
            (other.as_str(), &[]),
            (csrf.as_str(), &[("Origin", "https://evil.example")]),
            (csrf.as_str(), &[("Origin", "null")]),
            (csrf.as_str(), &[("Sec-Fetch-Site", "cross-site")]),
            (csrf.as_str(), &[("Sec-Fetch-Site", "same-site"), ("Origin", "http://collector.test")]),
        ] {
            assert_eq!(ask(token, headers), 403, "{} {path} with {headers:?}", route.verb.as_str());
        }
    }
    owner.get("/console/me").expect_status(200);
}
