//! One request: which endpoint it is for, and how its answer leaves.
//!
//! # Invariants
//! * Every answer is counted, and carries CORS headers if the request names an origin.
//! * What this future holds every connection holds until it rests, so endpoints that are asked rarely are boxed.

use crate::{
    address, admin,
    answer::{self, Answer},
    body::Body,
    collect,
    connection::{Door, Session},
    cors::{self, Preflight},
    counters::Label,
    intake::{self, Unread},
    link::Stage,
    lookup,
    mount::{BodyError, Context, Mount},
    paths::{self, Target, Verb},
    remote, replay,
};
use forebay_record::Endpoint;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderValue, ORIGIN},
    http::request::Parts,
};
use std::{convert::Infallible, rc::Rc, sync::Arc};

/// What is to be done with a request.
enum Task {
    Collect(Endpoint),
    /// Everything that is asked rarely.
    Rare,
}

/// Answers a request.
pub(crate) async fn answer(
    session: Rc<Session>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (mut parts, body) = request.into_parts();
    session.link.enter(Stage::Working);
    let has_body = !hyper::body::Body::is_end_stream(&body);
    let origin = parts.headers.get(ORIGIN).cloned();
    let task = task(&session, &parts);
    // Collecting reads a body to its end or closes the connection.
    let read_whole = !has_body || matches!(task, Task::Collect(_));
    let mut response = match task {
        Task::Collect(endpoint) => {
            let label = match endpoint {
                Endpoint::Engage => Label::Engage,
                Endpoint::Groups => Label::Groups,
                Endpoint::Import => Label::Import,
                _ => Label::Track,
            };
            let Session { core, link, peer, .. } = &*session;
            let answer = collect::collect(core, link, *peer, endpoint, &parts, body).await;
            core.counters.answered(label, answer.status());
            answer.into_response(std::mem::take(&mut parts.headers), origin)
        }
        Task::Rare => Box::pin(rare(&session, parts, body, origin)).await,
    };
    if session.core.shared.is_draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if !response.body_mut().hold(&session.link) {
        session.link.enter_idle(read_whole);
    }
    Ok(response)
}

fn task(session: &Session, parts: &Parts) -> Task {
    let verb = Verb::of(&parts.method);
    if session.refused || session.door == Door::Admin || !matches!(verb, Verb::Get | Verb::Post) {
        return Task::Rare;
    }
    let path = paths::normalise(parts.uri.path());
    match session.core.shared.config.paths.find(&path) {
        Some(Target::Track) => Task::Collect(Endpoint::Track),
        Some(Target::Engage) => Task::Collect(Endpoint::Engage),
        Some(Target::Groups) => Task::Collect(Endpoint::Groups),
        Some(Target::Import) => Task::Collect(Endpoint::Import),
        _ => Task::Rare,
    }
}

/// Everything but collecting events.
async fn rare(
    session: &Rc<Session>,
    parts: Parts,
    mut body: Incoming,
    origin: Option<HeaderValue>,
) -> Response<Body> {
    let Session { core, link, .. } = &**session;
    let config = &core.shared.config;
    let path = paths::normalise(parts.uri.path()).into_owned();
    let verb = Verb::of(&parts.method);
    if verb == Verb::Options {
        let is_shared = mount_at(session, &path).is_none_or(|mount| mount.place().is_shared());
        return preflight(session, &parts, origin.filter(|_| is_shared));
    }
    let target = config.paths.find(&path).filter(|&target| offered(session, target, &parts.headers));
    if session.refused {
        let why = format!("too many connections: {} are open", core.shared.connections());
        let answer = answer::busy(&why, config.retry_after_s).and_close();
        discard(session, &mut body).await;
        return finish(session, Label::None, answer, parts.headers, origin);
    }
    let Some(target) = target else {
        if let Some(mount) = mount_at(session, &path) {
            return call(session, mount, parts, body, origin).await;
        }
        discard(session, &mut body).await;
        let answer = answer::problem(StatusCode::NOT_FOUND, "there is nothing at this path");
        return finish(session, Label::None, answer, parts.headers, origin);
    };
    let label = label(target);
    if !target.takes(verb) {
        discard(session, &mut body).await;
        let answer = answer::method_not_allowed(target.allow());
        return finish(session, label, answer, parts.headers, origin);
    }
    let answer = match target {
        Target::Record => replay::record(session, &parts, body).await,
        Target::LookupTables => lookup::list(core, &parts).await,
        Target::LookupTable(id) => lookup::replace(core, link, &parts, id, body).await,
        Target::Live => admin::live(),
        Target::Ready => admin::ready(&core.shared),
        Target::Metrics => admin::metrics(&core.shared).await,
        other => {
            discard(session, &mut body).await;
            remote::answer(other)
        }
    };
    finish(session, label, answer, parts.headers, origin)
}

/// The mount that a path belongs to, if it is reached by this connection's door.
fn mount_at<'s>(session: &'s Session, path: &str) -> Option<&'s Arc<dyn Mount>> {
    let Session { core, door, .. } = session;
    let has_admin_listener = core.shared.config.admin_listen.is_some();
    let is_here = |mount: &Arc<dyn Mount>| mount.place().is_at(*door == Door::Admin, has_admin_listener);
    core.mounts.iter().find(|mount| mount.matches(path) && is_here(mount))
}

/// Hands a request to a mount, with as much of a body as it takes.
async fn call(
    session: &Session,
    mount: &Arc<dyn Mount>,
    mut parts: Parts,
    body: Incoming,
    origin: Option<HeaderValue>,
) -> Response<Body> {
    let Session { core, link, .. } = session;
    let config = &core.shared.config;
    let read = intake::read(core, link, &parts.headers, body, mount.body_bytes_max()).await;
    // The permit is held until the answer: the body lies in memory as long.
    let (body, whole, _room) = match read {
        Ok((body, room)) => (Ok(body), true, room),
        Err(Unread::TooLarge { whole }) => (Err(BodyError::TooLarge), whole, None),
        Err(Unread::Shed { whole, .. }) => (Err(BodyError::Busy), whole, None),
        Err(Unread::Slow | Unread::Broken) => (Err(BodyError::Broken), false, None),
    };
    let trusted = config.trusted_proxies.contains(session.peer);
    let context = Context {
        collector: core.shared.clone(),
        client: config.trusted_proxies.client(session.peer, &parts.headers),
        is_secure: trusted && address::was_encrypted(&parts.headers),
        is_admin: session.door == Door::Admin || config.admin_listen.is_none(),
    };
    // What only a trusted proxy may say, a mount is not to hear from anybody else.
    if !trusted {
        parts.headers.remove(address::X_FORWARDED_HOST);
    }
    let mut response = mount.call(Request::from_parts(parts, body), context).await;
    if let Some(origin) = origin.filter(|_| mount.place().is_shared()) {
        cors::allow(response.headers_mut(), origin);
    }
    if !whole {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    core.counters.answered(Label::Mounted, response.status());
    response
}

/// Whether an endpoint is offered to this peer: health and metrics only on the admin listener or, without
/// one, to programs on this machine that speak for themselves.
fn offered(session: &Session, target: Target<'_>, headers: &HeaderMap) -> bool {
    let admin = matches!(target, Target::Live | Target::Ready | Target::Metrics);
    match session.door {
        Door::Admin => admin,
        Door::Main if !admin => true,
        Door::Main => {
            session.core.shared.config.admin_listen.is_none()
                && session.is_local
                && !address::was_forwarded(headers)
        }
    }
}

fn preflight(session: &Session, parts: &Parts, origin: Option<HeaderValue>) -> Response<Body> {
    let wishes = Preflight::of(&parts.headers);
    let asked = origin.is_some();
    let answer = Answer::no_content("GET, POST, PUT, OPTIONS");
    session.core.counters.answered(Label::Preflight, answer.status());
    let mut response = answer.into_response(HeaderMap::new(), origin);
    if asked {
        wishes.allow(response.headers_mut());
    }
    response
}

fn finish(
    session: &Session,
    label: Label,
    answer: Answer,
    recycled: HeaderMap,
    origin: Option<HeaderValue>,
) -> Response<Body> {
    session.core.counters.answered(label, answer.status());
    answer.into_response(recycled, origin)
}

/// Reads a body that nobody wants, so that the connection can go on.
async fn discard(session: &Session, body: &mut Incoming) {
    if !hyper::body::Body::is_end_stream(body) {
        session.link.enter_body();
        intake::discard(&session.link, body, session.core.shared.config.limits.discard_bytes_max).await;
        session.link.enter(Stage::Working);
    }
}

fn label(target: Target<'_>) -> Label {
    match target {
        Target::Track => Label::Track,
        Target::Engage => Label::Engage,
        Target::Groups => Label::Groups,
        Target::Import => Label::Import,
        Target::Record => Label::Record,
        Target::Settings => Label::Settings,
        Target::Flags | Target::FlagDefinitions | Target::FirstTimeEvent => Label::Flags,
        Target::LookupTables | Target::LookupTable(_) => Label::LookupTables,
        Target::Decide => Label::Decide,
        Target::Root => Label::Root,
        Target::Live | Target::Ready | Target::Metrics => Label::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection;

    fn two<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    fn three<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_holds_little() {
        // hyper keeps room for one request's future in every connection until it rests.
        assert!(two(answer) <= 1280, "{} bytes for a request", two(answer));
        assert!(three(connection::serve) <= 1280, "{} bytes for a connection", three(connection::serve));
    }
}
