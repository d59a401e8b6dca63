//! One request as handlers see it: who asks, for what, with which fields.

use std::{cell::RefCell, net::IpAddr};

use askama::Template;
use forebay_control::{
    Account, Acting, Control, Organisation, Person, PersonId, ProjectInfo, ProjectRole, Session,
};
use hyper::{HeaderMap, StatusCode};

use crate::{
    answer::Answer,
    form::Fields,
    frame::{Frame, Place},
    refusal::Refusal,
    route::{Handler, Route},
    session,
    site::Site,
    times::Times,
};

/// Somebody who signed in.
pub(crate) struct Signed {
    /// The session.
    pub(crate) session: Session,
    /// The cookie's value.
    pub(crate) secret: String,
    /// Who it is.
    pub(crate) person: Person,
}

/// One request.
pub(crate) struct Visit<'a> {
    pub(crate) site: &'a Site,
    pub(crate) route: &'static Route,
    /// What stands where the route's path has names.
    pub(crate) parts: Vec<(&'static str, String)>,
    /// The path as asked for.
    pub(crate) path: &'a str,
    pub(crate) query: Fields,
    pub(crate) form: Fields,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) client: IpAddr,
    pub(crate) is_secure: bool,
    /// It came where people sign in.
    pub(crate) is_admin: bool,
    /// The host that the request names.
    pub(crate) host: String,
    /// Who asks, if they are known.
    pub(crate) signed: Option<Signed>,
    /// The service account that asks, if one does.
    pub(crate) account: Option<Account>,
    /// What forms are bound to: the session's cookie, or that of a visit.
    pub(crate) cookie: String,
    /// The project that the path names, and what the person is there.
    pub(crate) project: Option<(ProjectInfo, ProjectRole)>,
    /// The organisation that the path names.
    pub(crate) organisation: Option<Organisation>,
    /// Why the form that is shown again was not taken.
    problem: RefCell<Option<(StatusCode, String)>>,
}

impl<'a> Visit<'a> {
    /// A visit of a route, by nobody yet.
    pub(crate) fn new(
        site: &'a Site,
        route: &'static Route,
        parts: &[(&'static str, &str)],
        asked: &'a crate::site::Asked,
        cookie: String,
    ) -> Visit<'a> {
        Visit {
            site,
            route,
            parts: parts.iter().map(|&(name, part)| (name, decoded(part))).collect(),
            path: &asked.path,
            query: Fields::parse(asked.parts.uri.query().unwrap_or_default().as_bytes()),
            form: Fields::default(),
            headers: &asked.parts.headers,
            body: asked.body.as_deref().unwrap_or_default(),
            client: asked.client,
            is_secure: asked.is_secure,
            is_admin: asked.is_admin,
            host: asked.host(),
            signed: None,
            account: None,
            cookie,
            project: None,
            organisation: None,
            problem: RefCell::new(None),
        }
    }

    /// The store.
    pub(crate) fn control(&self) -> &'a Control {
        &self.site.collector.control
    }

    /// Now, in milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        (self.site.collector.clock)()
    }

    /// Who asks.
    pub(crate) fn who(&self) -> Result<&Signed, Refusal> {
        self.signed.as_ref().ok_or(Refusal::Unknown)
    }

    /// The number of who asks; 0, which is nobody's, if they are not known.
    pub(crate) fn who_id(&self) -> PersonId {
        self.signed.as_ref().map_or(PersonId(0), |signed| signed.person.id)
    }

    /// What they do, within what they may.
    pub(crate) fn acting(&self) -> Result<Acting<'a>, Refusal> {
        match &self.account {
            Some(account) => Ok(self.control().acting_account(account)),
            None => Ok(self.control().acting(self.who()?.person.id)),
        }
    }

    /// A part of the path.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.parts.iter().find(|(n, _)| *n == name).map_or("", |(_, part)| part)
    }

    /// A number in the path.
    pub(crate) fn number(&self, name: &str) -> Result<u64, Refusal> {
        plain_number(self.part(name)).ok_or(Refusal::NotFound)
    }

    /// A number in the query, if it is given. One that is there and empty is a program's mistake: it is not taken for none.
    pub(crate) fn query_number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.query.sent(name) else { return Ok(None) };
        // As the store's numbers are, and the description says.
        let number = plain_number(text).filter(|number| *number <= i64::MAX.cast_unsigned());
        let wrong = || Refusal::Invalid(format!("{name} is {text:?}: give a number from 1 on"));
        number.map(Some).ok_or_else(wrong)
    }

    /// The project that the path names.
    pub(crate) fn project(&self) -> Result<&ProjectInfo, Refusal> {
        self.project.as_ref().map(|(info, _)| info).ok_or(Refusal::NotFound)
    }

    /// How times are shown: in the zone of the project that the path names, else in UTC.
    pub(crate) fn times(&self) -> Times {
        Times::in_zone(self.project.as_ref().map_or("UTC", |(info, _)| &info.timezone))
    }

    /// What the person is there.
    pub(crate) fn project_role(&self) -> Result<ProjectRole, Refusal> {
        self.project.as_ref().map(|&(_, role)| role).ok_or(Refusal::NotFound)
    }

    /// The organisation that the path names.
    pub(crate) fn organisation(&self) -> Result<&Organisation, Refusal> {
        self.organisation.as_ref().ok_or(Refusal::NotFound)
    }

    /// What the browser calls itself.
    pub(crate) fn user_agent(&self) -> &str {
        self.headers.get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What the browser was told when people signed in with it before.
    pub(crate) fn device(&self) -> Option<&str> {
        session::Cookie::Browser.read(self.headers, self.is_secure)
    }

    /// What stands around a page.
    pub(crate) fn frame(&self, title: &str, place: Place) -> Frame {
        let csrf = session::csrf(self.control(), &self.cookie);
        let problem = self.problem.borrow().as_ref().map(|(_, text)| text.clone());
        Frame::new(self, title, place, csrf, problem)
    }

    /// A page; with the status of the problem, where a form is shown again.
    pub(crate) fn page(&self, page: &impl Template) -> Answer {
        let status = self.problem.borrow().as_ref().map_or(StatusCode::OK, |(status, _)| *status);
        Answer::page(status, page)
    }

    /// Shows the page of a form again, with why it was not taken, where that can be corrected.
    pub(crate) fn again(&self, refusal: Refusal, page: Handler) -> Result<Answer, Refusal> {
        if !refusal.can_be_corrected() {
            return Err(refusal);
        }
        *self.problem.borrow_mut() = Some((refusal.status(), refusal.text()));
        page(self)
    }

    /// Goes to a path of the console, with a word for what was done: see [`Frame`].
    pub(crate) fn done(&self, path: &str, said: &'static str) -> Answer {
        Answer::see_other(&format!("{path}?said={said}"))
    }

    /// The scheme and host under which this page was asked for.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", if self.is_secure { "https" } else { "http" }, self.host)
    }

    /// Where senders reach this server: as configured, or else as far as can be told from here.
    pub(crate) fn senders_url(&self) -> String {
        self.site.senders_url(&self.origin())
    }
}

/// A part of a path as it was meant.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// A text as a part of a path.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A number from 1 on. A sign is no digit, and 007 no number of anything.
fn plain_number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}
