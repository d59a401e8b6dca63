//! `GET /api/2.0/export`: the raw export as Mixpanel's tools call it.
//!
//! * 200, `text/plain`, one JSON object a line; nothing found is a body of zero bytes.
//! * gzip whenever `Accept-Encoding` asks for it, whatever the size: some clients write the bytes straight
//!   into a `.gz` file.
//! * 400 with a plain sentence, also where the first events show that `where` does not fit them; 401, 405 and 429 with JSON (`request`, `error`).
//!
//! # Invariants
//! * At most so many exports read at once; the next ones wait a while and then get 429 with `Retry-After`.

use crate::{
    AddressHash, Condition, ExportError, Query, Reader, Subject, address_hash,
    query::{self, BadQuery, parameter},
    stream::Stream,
};
use bytes::Bytes;
use forebay_http::{AuthError, Body, BodyError, Claim, Collector, Context, Mount, MountFuture};
use forebay_log::Store;
use forebay_route::ProjectSettings;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
        VARY, WWW_AUTHENTICATE,
    },
    http::request::Parts,
};
use serde_json::json;
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where it is served. The official tools know no other path.
const PATH: &str = "/api/2.0/export";
/// How long an export waits for its turn. Clients wait much longer for the first byte.
const TURN_WAIT: Duration = Duration::from_secs(20);
/// When to come back after that.
const RETRY_AFTER_S: u32 = 30;

/// Serves the raw export. Clones share its turns.
#[derive(Clone)]
pub struct ExportMount {
    store: Store,
    turns: Arc<Semaphore>,
    turn_wait: Duration,
}

impl ExportMount {
    /// Serves the events of `store`, `concurrent_max` exports at a time.
    #[must_use]
    pub fn new(store: Store, concurrent_max: usize) -> ExportMount {
        let turns = Arc::new(Semaphore::new(concurrent_max.clamp(1, Semaphore::MAX_PERMITS)));
        ExportMount { store, turns, turn_wait: TURN_WAIT }
    }

    /// The events of a project as a gzip file, for a caller whose right to read them was shown elsewhere: a person who
    /// signed in.
    ///
    /// # Errors
    /// Why there is none; what of it is our fault is in the log.
    pub async fn file(
        &self,
        collector: &Collector,
        project: &ProjectSettings,
        query: Query,
    ) -> Result<Body, NoFile> {
        let turn = tokio::time::timeout(self.turn_wait, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(NoFile::of(&Refused::Busy)) };
        let prepared = Prepared::of(collector, project, query, (collector.clock)());
        let started = start(&self.store, prepared, true, turn).await;
        started.map(Body::stream).map_err(|refused| NoFile::of(&refused))
    }
}

/// Why there is no file of events, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoFile {
    /// What was asked for cannot be.
    Invalid(String),
    /// It cannot be had now.
    Unavailable(String),
}

impl NoFile {
    fn of(refused: &Refused) -> NoFile {
        refused.tell();
        match refused {
            Refused::Query(e) => NoFile::Invalid(e.to_string()),
            other => NoFile::Unavailable(other.to_string()),
        }
    }
}

impl Mount for ExportMount {
    fn matches(&self, path: &str) -> bool {
        path == PATH
    }

    fn call(&self, request: Request<Result<Bytes, BodyError>>, context: Context) -> MountFuture {
        let (store, turns, turn_wait) = (self.store.clone(), Arc::clone(&self.turns), self.turn_wait);
        Box::pin(async move {
            // The body of a GET is nothing to wait for.
            let (parts, _) = request.into_parts();
            let prepared = match prepare(&parts, &context) {
                Ok(prepared) => prepared,
                Err(refused) => return refused.answer(&parts),
            };
            let turn = tokio::time::timeout(turn_wait, turns.acquire_owned()).await;
            let Ok(Ok(turn)) = turn else { return Refused::Busy.answer(&parts) };
            let gzip = wants_gzip(&parts.headers);
            match start(&store, prepared, gzip, turn).await {
                Ok(stream) => success(stream, gzip),
                Err(refused) => refused.answer(&parts),
            }
        })
    }
}

/// Everything that is known before the first byte of the log is touched.
struct Prepared {
    subject: Subject,
    query: Query,
    address_hash: AddressHash,
}

fn prepare(parts: &Parts, context: &Context) -> Result<Prepared, Refused> {
    if parts.method != Method::GET {
        return Err(Refused::Method);
    }
    let collector = &context.collector;
    let now_ms = (collector.clock)();
    let query = parts.uri.query().unwrap_or_default();
    let project_id = parameter(query, "project_id");
    let claim = Claim {
        authorization: parts.headers.get(AUTHORIZATION),
        // A key that comes as a parameter never reads.
        api_key: None,
        project_id: project_id.as_deref(),
    };
    let identity = collector.identify(claim).map_err(Refused::Credential)?;
    if !identity.may_read() {
        return Err(Refused::Credential(AuthError::NotReading));
    }
    let query = query::parse(query, query::utc_day(now_ms)).map_err(Refused::Query)?;
    tracing::info!(
        project = identity.project.id.as_u64(), client = %context.client,
        from_date = %query.days.start(), to_date = %query.days.end(), "export"
    );
    Ok(Prepared::of(collector, &identity.project.settings, query, now_ms))
}

impl Prepared {
    fn of(collector: &Collector, project: &ProjectSettings, query: Query, now_ms: u64) -> Prepared {
        let keyring = collector.control.keyring();
        Prepared {
            subject: Subject::of(project, now_ms),
            query,
            address_hash: Arc::new(move |ip| address_hash(|text| keyring.mac(text), ip)),
        }
    }
}

async fn start(
    store: &Store,
    prepared: Prepared,
    gzip: bool,
    turn: OwnedSemaphorePermit,
) -> Result<Stream, Refused> {
    let store = store.clone();
    let can_fault = prepared.query.condition.as_ref().is_some_and(Condition::can_fault);
    // Opening lists directories.
    let opened = tokio::task::spawn_blocking(move || {
        Reader::open(&store, prepared.subject, prepared.query, prepared.address_hash)
    });
    let reader = match opened.await {
        Ok(opened) => opened.map_err(Refused::Unreadable)?,
        Err(e) => return Err(Refused::Thread(io::Error::other(e))),
    };
    let mut stream = Stream::start(reader, gzip, turn).map_err(Refused::Thread)?;
    if can_fault {
        // A condition that fits the events badly nearly always shows with the first ones: then it can still be said.
        stream.begin().await.map_err(|broken| match broken.downcast::<ExportError>() {
            Ok(error) if matches!(*error, ExportError::Condition { .. }) => {
                Refused::Query(BadQuery(error.to_string()))
            }
            Ok(error) => Refused::Unreadable(*error),
            Err(other) => Refused::Thread(io::Error::other(other)),
        })?;
    }
    Ok(stream)
}

fn success(stream: Stream, gzip: bool) -> Response<Body> {
    let mut answer = Response::new(Body::stream(stream));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if gzip {
        // In lower case: one client compares the text.
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// Does the caller take gzip? `gzip;q=0` is a no.
fn wants_gzip(headers: &HeaderMap) -> bool {
    let codings =
        headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let mut wanted = false;
    for coding in codings {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") || name == "*" {
            let refused = parts
                .any(|p| p.replace(' ', "").to_ascii_lowercase().strip_prefix("q=").is_some_and(is_zero));
            wanted |= !refused;
        }
    }
    wanted
}

fn is_zero(quality: &str) -> bool {
    quality.parse::<f32>().is_ok_and(|q| q == 0.0)
}

/// Why there is no export.
#[derive(Debug)]
enum Refused {
    Method,
    Credential(AuthError),
    Query(BadQuery),
    Busy,
    Unreadable(ExportError),
    Thread(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Method => f.write_str("the export takes GET"),
            Refused::Credential(e) => e.fmt(f),
            Refused::Query(e) => e.fmt(f),
            Refused::Busy => write!(f, "too many exports are running; try again in {RETRY_AFTER_S} seconds"),
            Refused::Unreadable(_) | Refused::Thread(_) => f.write_str("the store cannot be read now"),
        }
    }
}

impl Refused {
    /// Tells the log, if it is our fault.
    fn tell(&self) {
        if let Refused::Unreadable(e) = self {
            tracing::error!(error = %e, cause = ?std::error::Error::source(e).map(ToString::to_string), "export failed");
        }
        if let Refused::Thread(e) = self {
            tracing::error!(error = %e, "export failed");
        }
    }

    fn answer(self, parts: &Parts) -> Response<Body> {
        self.tell();
        let text = self.to_string();
        let mut answer = if let Refused::Query(_) = self {
            plain(text)
        } else {
            let target = parts.uri.path_and_query().map_or(PATH, |p| p.as_str());
            as_json(&json!({ "request": target, "error": text }))
        };
        *answer.status_mut() = match self {
            Refused::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refused::Credential(_) => StatusCode::UNAUTHORIZED,
            Refused::Query(_) => StatusCode::BAD_REQUEST,
            Refused::Busy => StatusCode::TOO_MANY_REQUESTS,
            Refused::Unreadable(_) | Refused::Thread(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let headers = answer.headers_mut();
        match self {
            Refused::Method => drop(headers.insert(ALLOW, HeaderValue::from_static("GET, OPTIONS"))),
            Refused::Credential(_) => {
                headers.insert(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"forebay\", charset=\"UTF-8\""),
                );
            }
            Refused::Busy | Refused::Unreadable(_) | Refused::Thread(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            }
            Refused::Query(_) => {}
        }
        answer
    }
}

fn plain(text: String) -> Response<Body> {
    let mut answer = Response::new(Body::full(text));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn as_json(value: &serde_json::Value) -> Response<Body> {
    let mut answer = Response::new(Body::full(value.to_string()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_ask_for_it() {
        for (value, wanted) in [
            ("gzip", true),
            ("GZIP", true),
            ("deflate, gzip;q=0.5", true),
            ("*", true),
            ("gzip; q=0", false),
            ("gzip;q=0.000, br", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(wants_gzip(&headers), wanted, "{value}");
        }
        assert!(!wants_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_refusal_has_the_form_that_clients_read() {
        let request = Request::get("/api/2.0/export?from_date=x").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        for (refused, status, content_type) in [
            (Refused::Method, 405, "application/json"),
            (Refused::Credential(AuthError::Missing), 401, "application/json"),
            (
                Refused::Query(BadQuery("to_date cannot be later than today".into())),
                400,
                "text/plain; charset=utf-8",
            ),
            (Refused::Busy, 429, "application/json"),
            (Refused::Thread(io::Error::other("x")), 503, "application/json"),
        ] {
            let answer = refused.answer(&parts);
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers()[CONTENT_TYPE], content_type);
            assert_eq!(answer.headers().contains_key(RETRY_AFTER), status == 429 || status == 503);
        }
    }
}
