//! Every form as it is served, before any script has touched it: it leads to a route that is there, by that route's method,
//! carries the token that it is bound to the session by, and has a button that sends it.

use forebay_console::{Face, ROUTES, Verb};
use forebay_tests::console::{PASSWORD, Visitor, enter};
use forebay_tests::{Forebay, Request};

const OWNER: &str = "ada@example.com";

/// What stands between the quotes of an attribute in the first tag of `text`.
fn attribute<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let tag = &text[..text.find('>')?];
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// Whether a route has that pattern's shape and method.
fn is_route(verb: Verb, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    ROUTES.iter().filter(|route| route.verb == verb && route.face == Face::Page).any(|route| {
        let (wanted, given) = (route.path.split('/'), path.split('/'));
        wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(part, given)| part.starts_with('{') || part == given)
    })
}

/// What is wrong with the forms of a page, and how many there are.
fn judge(page: &str) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    let forms: Vec<_> =
        page.split("<form ").skip(1).map(|rest| rest.split("</form>").next().unwrap_or(rest)).collect();
    for form in &forms {
        // As a tag again, so that its first attribute is found, too.
        let tag = format!("<form {form}");
        let (method, action) =
            (attribute(&tag, "method").unwrap_or("get"), attribute(&tag, "action").unwrap_or_default());
        let verb = if method == "post" { Verb::Post } else { Verb::Get };
        if !is_route(verb, action) {
            wrong.push(format!("{method} {action} leads nowhere"));
        }
        if verb == Verb::Post && !form.contains("name=\"csrf\" value=\"") {
            wrong.push(format!("{action} is not bound to the session"));
        }
        let sends = |button: &str| {
            let tag = &button[..button.find('>').unwrap_or(button.len())];
            tag.contains("type=\"submit\"") && !tag.contains("disabled") && !tag.contains("hidden")
        };
        if !form.split("<button ").skip(1).any(sends) {
            wrong.push(format!("{action} cannot be sent"));
        }
    }
    (forms.len(), wrong)
}

#[test]
fn every_form_can_be_sent_as_it_is_served_without_any_script() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop").id.to_string();
    enter(&forebay, OWNER, "Ada");
    enter(&forebay, "bob@example.com", "Bob");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", OWNER]);
    forebay.cli(&["organisation", "set-role", "1", "bob@example.com", "member"]);
    forebay.cli(&["project", "add-token", &project, "brought"]);
    let grant = ["service-account", "create", "--project", &project, "--username"];
    forebay.cli(&[&grant[..], &["etl"]].concat());
    // Something is there in each list that has a form in its lines.
    let other = forebay.create_project("Other").id.to_string();
    forebay.cli(&["service-account", "create", "--username", "elsewhere", "--project", &other]);
    forebay.cli(&["project", "delete", &other]);
    forebay.cli(&["project", "reset-secret", &project, "--grace", "24h"]);
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    ada.post("/console/organisations/1/invitations", &[("email", "new@example.com"), ("role", "member")]);
    ada.post("/console/me/data/gdpr", &[("typed", OWNER), ("days", "7"), ("current", PASSWORD)])
        .expect_status(200);
    let (mut forms, mut wrong) = (0, Vec::new());
    let mut look = |visitor: &mut Visitor, path: &str| {
        let answer = visitor.send(Request::get(path));
        if answer.header("content-type").unwrap_or_default().starts_with("text/html") {
            let (found, of_page) = judge(&answer.text());
            forms += found;
            wrong.extend(of_page.into_iter().map(|what| format!("{path}: {what}")));
        }
    };
    for route in ROUTES.iter().filter(|route| route.verb == Verb::Get && route.face == Face::Page) {
        let named = [
            ("{project}", project.as_str()),
            ("{organisation}", "1"),
            ("{person}", "2"),
            ("{account}", "etl"),
        ];
        let path = named.iter().fold(route.path.to_owned(), |path, (name, value)| path.replace(name, value));
        look(&mut ada, &format!("{path}?token=brought"));
        look(&mut Visitor::new(forebay.addr()), &path);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(forms > 60, "there are more forms than {forms}");
}

#[test]
fn a_form_that_only_a_script_could_send_is_found() {
    let good = "<form method=\"post\" action=\"/console/me/name\"><input type=\"hidden\" name=\"csrf\" value=\"x\"><button type=\"submit\">Save</button></form>";
    assert_eq!(judge(good), (1, vec![]));
    for (from, to, says) in [
        ("/console/me/name", "/console/me/nom", "leads nowhere"),
        ("\"post\"", "\"get\"", "leads nowhere"),
        ("name=\"csrf\"", "name=\"token\"", "is not bound"),
        ("\"submit\"", "\"button\"", "cannot be sent"),
        ("\"submit\">", "\"submit\" hidden>", "cannot be sent"),
    ] {
        let (_, wrong) = judge(&good.replace(from, to));
        assert!(wrong.len() == 1 && wrong[0].contains(says), "{says}: {wrong:?}");
    }
}
