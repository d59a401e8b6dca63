//! Somebody who uses the console over its wire: a cookie jar, forms with their token, signing in.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use crate::wire::{Answer, Request, exchange, percent};
use crate::{Forebay, contract};

/// A password for everybody in a test.
pub const PASSWORD: &str = "correct horse battery";

/// A browser of somebody's own.
#[derive(Clone, Debug)]
pub struct Visitor {
    addr: SocketAddr,
    cookies: BTreeMap<String, String>,
}

impl Visitor {
    /// Somebody who has not been here.
    pub fn new(addr: SocketAddr) -> Visitor {
        Visitor { addr, cookies: BTreeMap::new() }
    }

    /// Somebody who has signed in.
    ///
    /// # Panics
    /// If they are not let in.
    #[track_caller]
    pub fn signed_in(addr: SocketAddr, email: &str) -> Visitor {
        let mut visitor = Visitor::new(addr);
        visitor.get("/console/sign-in").expect_status(200);
        let answer = visitor.post("/console/sign-in", &[("email", email), ("password", PASSWORD)]);
        answer.expect_status(303);
        assert!(visitor.cookie("forebay-session").is_some(), "no session: {}", answer.text());
        visitor
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// The names of the cookies it has.
    pub fn cookies(&self) -> impl Iterator<Item = &str> {
        self.cookies.keys().map(String::as_str)
    }

    /// Asks for a page.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path))
    }

    /// Sends a form, with the token that this browser's forms have.
    #[track_caller]
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        self.post_as_is(path, &all)
    }

    /// Sends a form as it is given.
    #[track_caller]
    pub fn post_as_is(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
        let request = Request::post(path, pairs.join("&"));
        self.send(request.header("Content-Type", "application/x-www-form-urlencoded"))
    }

    /// The token of the forms that this browser gets to see.
    #[track_caller]
    pub fn csrf(&mut self) -> String {
        // A page that everybody gets, with a form on it: that of sign-out, or of sign-in.
        let signed_in = self.cookie("forebay-session").is_some();
        let page = self.get(if signed_in { "/console/projects" } else { "/console/sign-in" }).text();
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form with a token");
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// Sends any request with this browser's cookies.
    #[track_caller]
    pub fn send(&mut self, request: Request) -> Answer {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if pairs.is_empty() { request } else { request.header("Cookie", &pairs.join("; ")) };
        let (method, target) = (request.method().to_owned(), request.target().to_owned());
        let answer = exchange(self.addr, &request.close().bytes()).expect("an answer");
        contract::check(self.addr, &method, &target, &answer);
        for set in answer.header_all("set-cookie") {
            let (pair, attributes) = set.split_once(';').unwrap_or((set, ""));
            let (name, value) = pair.split_once('=').expect("a cookie has a name");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

/// Enters a person with [`PASSWORD`], by the command line.
#[track_caller]
pub fn enter(forebay: &Forebay, email: &str, name: &str) {
    let file = forebay.data_dir().join("password");
    fs::write(&file, PASSWORD).expect("a file in the data directory");
    let file = file.to_str().expect("UTF-8");
    forebay.cli(&["person", "create", "--email", email, "--name", name, "--password-file", file]);
}
