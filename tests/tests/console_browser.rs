//! The console in Debian's Chromium: every page and flow, at the width of a desk by day and of a phone by night.
//! Pictures of all pages are kept in `target/e2e/console`; axe-core finds nothing that stands in somebody's way.
//!
//! # Invariants
//! * What there is to walk through is read from the console's own list of routes: a page that is added there and not
//!   visited by the walk fails the test.

use std::collections::BTreeSet;
use std::sync::Arc;

use forebay_console::{Face, ROUTES, Verb};
use forebay_tests::gateway::{OK, Provider};
use forebay_tests::smtp::{Manners, Smtp};
use forebay_tests::{Json, Setup, cli, json::quoted, sdk, told};

/// Routes of pages that are no pages to look at, and why. They are asked for all the same.
const NOT_LOOKED_AT: [&str; 6] = [
    // It leads on.
    "/console",
    // Style and script.
    "/console/assets/{version}/{name}",
    // A part of the project's page.
    "/console/projects/{project}/live",
    // Files to be saved.
    "/console/projects/{project}/export/file",
    "/console/organisations/{organisation}/audit/file",
    "/console/me/data/file",
];

/// The route that a method and a path lead to: of those that match, the one with the fewest names.
fn route_of(verb: &str, path: &str) -> Option<&'static str> {
    let matches = |route: &str| {
        let (mut wanted, mut given) = (route.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(part), Some(given)) if part.starts_with('{') && !given.is_empty() || part == given => {}
                _ => return false,
            }
        }
    };
    let found = ROUTES.iter().filter(|route| route.verb.as_str() == verb && matches(route.path));
    found.min_by_key(|route| route.names().count()).map(|route| route.path)
}

/// The routes that stand in a list of `METHOD PATH …`, as `METHOD PATTERN`.
fn routes(list: &[Json], is_wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let lines = list.iter().filter_map(Json::as_str).filter(|line| is_wanted(line));
    let found = lines.filter_map(|line| {
        let mut words = line.split(' ');
        let (verb, path) = (words.next()?, words.next()?);
        Some(format!("{verb} {}", route_of(verb, path)?))
    });
    found.collect()
}

/// The pages that were not looked at, the files and forms that were not asked for, or never with success.
fn left_out(looked: &[Json], asked: &[Json]) -> Vec<String> {
    let looked = routes(looked, |_| true);
    let is_done = |line: &str| line.rsplit(' ').next().and_then(|status| status.parse().ok()) < Some(400);
    let asked = routes(asked, is_done);
    // `/` is the senders' where they connect: only an admin listener leads from it to the console.
    let pages = ROUTES.iter().filter(|route| route.face == Face::Page && route.path != "/");
    let names = pages.map(|route| (route, format!("{} {}", route.verb.as_str(), route.path)));
    let missed = names.filter(|(route, name)| {
        let is_page = route.verb == Verb::Get && !NOT_LOOKED_AT.contains(&route.path);
        if is_page { !looked.contains(name) } else { !asked.contains(name) }
    });
    missed.map(|(_, name)| name).collect()
}

#[test]
fn people_walk_through_every_page_and_flow() {
    let (smtp, provider) = (Arc::new(Smtp::start(Manners::default())), Arc::new(Provider::answering(OK)));
    let settings = format!(
        "[mail]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \"Forebay <forebay@example.com>\"\n\
         [second_factor.gateway]\nurl = \"{}\"\n",
        smtp.addr.port(),
        provider.url()
    );
    let forebay = Setup::new().config(&settings).start();
    let setup = forebay.cli(&["owner", "setup-link", "--json"]).json();
    let pictures = cli::target_dir().join("e2e/console");
    // Those of pages that are gone are not to be taken for this run's.
    let _ = std::fs::remove_dir_all(&pictures);
    let walked = sdk::node(
        "../../console/walk.js",
        &[&format!(
            r#"{{"url":{},"setup":{},"pictures":{},"messages":"http://{}/"}}"#,
            quoted(&forebay.url()),
            quoted(setup.str("code")),
            quoted(pictures.to_str().expect("UTF-8")),
            told::tell(smtp, provider)
        )],
    );
    let list = |key: &str| walked.get(key).and_then(Json::as_array).expect("the script prints lists");
    let complaints = list("complaints").iter().filter_map(Json::as_str).map(str::to_owned);
    let left_out = left_out(list("looked"), list("asked")).into_iter();
    let wrong: Vec<_> =
        complaints.chain(left_out.map(|name| format!("the walk leaves out {name}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_walk_leaves_out_is_found_by_the_list_of_routes() {
    let list =
        |lines: &[&str]| -> Vec<Json> { lines.iter().map(|line| Json::String((*line).to_owned())).collect() };
    let looked = list(&["GET /console/projects", "GET /console/projects/7/keys"]);
    let asked = list(&["POST /console/me/name 303", "POST /console/me/email 400"]);
    let missed = left_out(&looked, &asked);
    let is_missed = |name: &str| missed.iter().any(|one| one == name);
    for (name, want) in [
        ("GET /console/projects", false),
        ("GET /console/projects/{project}/keys", false),
        ("GET /console/projects/{project}", true),
        ("POST /console/me/name", false),
        // Refused is not done.
        ("POST /console/me/email", true),
        ("GET /console/me/data/file", true),
    ] {
        assert_eq!(is_missed(name), want, "{name}");
    }
}
