//! What all requests share, and the way of one of them: route, who asks, whether they may, the handler, the answer.
//!
//! # Invariants
//! * A handler runs only after what its route needs was shown; what it then does goes through `control::Acting`, which
//!   asks again in the transaction that does it.
//! * Nothing is changed for a page of another site: a POST needs a form's token, too.
//! * No secret is written to the log, and no address of a page with its query.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use forebay_control::{Account, AccountError, OrganisationRole, PeopleError, PersonId};
use forebay_export::ExportMount;
use forebay_http::{BodyError, Collector, paths};
use forebay_log::Store;
use hyper::{
    header::{AUTHORIZATION, HOST},
    http::request::Parts,
};

use crate::{
    access,
    answer::Answer,
    api,
    form::Fields,
    half::Halves,
    page,
    refusal::Refusal,
    route::{self, Face, Found, Needs, Route, Verb},
    session::{self, CSRF_FIELD, CSRF_HEADER, Cookie},
    table::ROUTES,
    visit::{Signed, Visit},
};

/// What the console can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsoleConfig {
    /// Where senders reach this server, such as `https://events.example.com`; left out, the host of the page with the port
    /// of the first listener.
    pub public_url: Option<String>,
}

/// What all requests share.
pub(crate) struct Site {
    pub(crate) collector: Arc<Collector>,
    pub(crate) store: Store,
    pub(crate) export: ExportMount,
    pub(crate) config: ConsoleConfig,
    /// The port of the first listener.
    pub(crate) port: u16,
    pub(crate) halves: Halves,
}

/// A request, its body read.
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    pub(crate) path: String,
    pub(crate) body: Result<Bytes, BodyError>,
    pub(crate) client: IpAddr,
    pub(crate) is_secure: bool,
    /// Cookies are taken: it came where people sign in.
    pub(crate) is_admin: bool,
}

impl Asked {
    /// The host that the browser was told: a trusted proxy's word first (others' was taken away before).
    pub(crate) fn host(&self) -> String {
        let text = |name: &str| self.parts.headers.get(name).and_then(|value| value.to_str().ok());
        let forwarded = text("x-forwarded-host").and_then(|hosts| hosts.split(',').next_back());
        let host = forwarded.or_else(|| text(HOST.as_str())).unwrap_or("localhost").trim();
        host.chars().filter(|c| c.is_ascii_graphic()).take(255).collect()
    }
}

impl Site {
    /// Answers a request. Blocks: the store is read and written.
    pub(crate) fn answer(&self, asked: &Asked) -> Answer {
        let verb = Verb::of(&asked.parts.method);
        let path = paths::normalise(&asked.path);
        match route::find(ROUTES, verb, &path) {
            Found::Route(route, parts) => self.answer_route(asked, route, &parts),
            found => {
                let face = if api::is_call(&path) { Face::Call } else { Face::Page };
                let refusal = match found {
                    Found::OtherMethods(methods) => Refusal::Method(methods),
                    _ => Refusal::NotFound,
                };
                self.refuse_outside(asked, face, &refusal)
            }
        }
    }

    fn answer_route(&self, asked: &Asked, route: &'static Route, parts: &[(&'static str, &str)]) -> Answer {
        let cookie = match self.cookie(asked) {
            Ok(cookie) => cookie,
            Err(refusal) => return self.refuse_outside(asked, route.face, &refusal),
        };
        let mut visit = Visit::new(self, route, parts, asked, cookie.value.clone());
        visit.signed = cookie.signed;
        if route.face == Face::Call && route.needs != Needs::Nobody && visit.signed.is_none() {
            visit.account = match self.account(asked) {
                Ok(account) => account,
                Err(refusal) => return refuse(&visit, &refusal),
            };
        }
        let answer = match self.handle(&mut visit, asked) {
            Ok(answer) => answer,
            Err(refusal) => refuse(&visit, &refusal),
        };
        // A new visitor gets a cookie for the token of the form they see.
        match cookie.is_new && route.face == Face::Page && route.path != crate::assets::PATH {
            true => answer.and_cookie(&Cookie::Visit.set(&cookie.value, asked.is_secure)),
            false => answer,
        }
    }

    fn handle(&self, visit: &mut Visit<'_>, asked: &Asked) -> Result<Answer, Refusal> {
        if let Err(error) = &asked.body {
            return Err(Refusal::Body(*error));
        }
        if visit.route.verb != Verb::Get {
            let by_cookie = visit.route.face == Face::Page || visit.signed.is_some();
            if visit.route.face == Face::Page {
                visit.form = Fields::parse(visit.body);
            }
            if by_cookie {
                self.check_form(visit)?;
            } else if !session::is_same_origin(visit.headers, &visit.host) {
                // Else another site could sign its visitors in, as somebody it chose, or act by a name and secret that a
                // browser keeps.
                return Err(Refusal::ForeignPage);
            }
        }
        access::check(visit)?;
        let answer = (visit.route.handler)(visit)?;
        if visit.route.verb == Verb::Get && visit.route.face == Face::Page {
            note_usage(visit);
        }
        Ok(answer)
    }

    /// Demands that a request that changes something was sent by a page of this server, for this browser.
    fn check_form(&self, visit: &Visit<'_>) -> Result<(), Refusal> {
        if !session::is_same_origin(visit.headers, &visit.host) {
            return Err(Refusal::ForeignPage);
        }
        let header = visit.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        let token = header.unwrap_or_else(|| visit.form.raw(CSRF_FIELD));
        let right = session::is_csrf(visit.control(), &visit.cookie, token);
        if right { Ok(()) } else { Err(Refusal::Stale) }
    }

    /// What recognises the browser: its session's cookie, that of a visit, or one made now.
    fn cookie(&self, asked: &Asked) -> Result<Recognised, Refusal> {
        let (control, headers) = (&self.collector.control, &asked.parts.headers);
        let secret = Cookie::Session.read(headers, asked.is_secure).filter(|_| asked.is_admin);
        if let Some(secret) = secret
            && let Some(session) = control.session(secret)?
        {
            let person = control.host().person(session.person)?;
            let signed = Signed { session, secret: secret.to_owned(), person };
            return Ok(Recognised { value: secret.to_owned(), is_new: false, signed: Some(signed) });
        }
        let (value, is_new) = match Cookie::Visit.read(headers, asked.is_secure) {
            Some(value) => (value.to_owned(), false),
            None => (session::random_word()?, true),
        };
        Ok(Recognised { value, is_new, signed: None })
    }

    /// The service account that a call says it is from.
    fn account(&self, asked: &Asked) -> Result<Option<Account>, Refusal> {
        let Some(header) = asked.parts.headers.get(AUTHORIZATION) else { return Ok(None) };
        let known = self.collector.service_account(header).map_err(|_| Refusal::Unknown)?;
        // By its name, whose secret was compared just now: one that was deleted since is nobody's.
        match self.collector.control.host().service_account(&known.username) {
            Ok(account) => Ok(Some(account)),
            Err(PeopleError::Account(AccountError::NotFound { .. })) => Err(Refusal::Unknown),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses what no route is for.
    fn refuse_outside(&self, asked: &Asked, face: Face, refusal: &Refusal) -> Answer {
        const fn outside(face: Face) -> Route {
            Route::new(Verb::Get, "", Needs::Nobody, face, "What no route is for", |_| Err(Refusal::NotFound))
        }
        static OUTSIDE: Route = outside(Face::Page);
        static OUTSIDE_CALL: Route = outside(Face::Call);
        let route = if face == Face::Call { &OUTSIDE_CALL } else { &OUTSIDE };
        let cookie = self.cookie(asked).ok();
        let value = cookie.as_ref().map(|cookie| cookie.value.clone()).unwrap_or_default();
        let mut visit = Visit::new(self, route, &[], asked, value);
        visit.signed = cookie.and_then(|cookie| cookie.signed);
        refuse(&visit, refusal)
    }

    /// Whether somebody looks after the server: an owner of its first organisation.
    pub(crate) fn is_operator(&self, visit: &Visit<'_>) -> bool {
        let first = self.collector.control.first_organisation().ok().flatten();
        if let Some(account) = &visit.account {
            let is_owner = account.organisation_role == OrganisationRole::Owner && account.scopes.is_none();
            return is_owner && Some(account.organisation) == first;
        }
        let Some(signed) = &visit.signed else { return false };
        signed
            .person
            .organisations
            .iter()
            .any(|membership| Some(membership.id) == first && membership.role == OrganisationRole::Owner)
    }

    /// Where senders reach this server, for a page at `origin`.
    pub(crate) fn senders_url(&self, origin: &str) -> String {
        if let Some(url) = &self.config.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        if self.collector.config.admin_listen.is_none() {
            return origin.to_owned();
        }
        // The page came by the admin listener: the same machine, another port.
        let (scheme, authority) = origin.split_once("://").unwrap_or(("http", origin));
        let end = if authority.ends_with(']') { None } else { authority.rfind(':') };
        let host = end.map_or(authority, |end| &authority[..end]);
        format!("{scheme}://{host}:{}", self.port)
    }

    /// How a person stands in `created_by` and the audit, as people read it.
    pub(crate) fn name_of(&self, actor: &str) -> String {
        if let Some(name) = actor.strip_prefix("service_account:") {
            return format!("service account {name}");
        }
        let Some(id) = actor.strip_prefix("person:").and_then(|id| id.parse().ok()) else {
            return actor.to_owned();
        };
        match self.collector.control.host().person(PersonId(id)) {
            Ok(person) => person.name,
            Err(_) => format!("somebody who left (person {id})"),
        }
    }
}

/// Notes which page was opened, for those who want that. By its route: no name of anything is in it.
fn note_usage(visit: &Visit<'_>) {
    if visit.route.path.ends_with("/live") {
        return; // Asked every few seconds, by a script.
    }
    let Ok(acting) = visit.acting() else { return };
    if let Err(error) = acting.note_usage(visit.who_id(), visit.route.path) {
        tracing::warn!(error = forebay_control::chain(&error), "that a page was opened could not be noted");
    }
}

/// Who a browser is.
struct Recognised {
    value: String,
    is_new: bool,
    signed: Option<Signed>,
}

/// A refusal as the route's kind of caller takes it.
fn refuse(visit: &Visit<'_>, refusal: &Refusal) -> Answer {
    if let Refusal::Failed(why) = refusal {
        tracing::error!(route = visit.route.path, why, "a request of the console failed");
    }
    let answer = match visit.route.face {
        Face::Call => api::refused(refusal),
        Face::Page => page::refused(visit, refusal),
    };
    match refusal {
        Refusal::Method(methods) => answer.and_allow(methods),
        Refusal::Throttled(seconds) | Refusal::Spent(_, seconds) => answer.and_retry_after(*seconds),
        Refusal::Busy | Refusal::Body(BodyError::Busy) => answer.and_retry_after(2),
        Refusal::Unavailable(_) => answer.and_retry_after(1),
        _ => answer,
    }
}
