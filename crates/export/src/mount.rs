//! What programs read over HTTP, as Mixpanel's tools ask for it: the raw export, and what events are called.
//!
//! The export:
//! * 200, `text/plain`, one JSON object a line; nothing found is a body of zero bytes.
//! * gzip whenever `Accept-Encoding` asks for it, whatever the size: some clients write the bytes straight
//!   into a `.gz` file.
//! * 400 with a plain sentence, also where the first events show that `where` does not fit them.
//!
//! Everything is served under both prefixes, `/api/2.0` and `/api/query`, with a slash at the end or without, and never
//! redirected.
//!
//! # Invariants
//! * Nobody reads who has not proven that they may, and nobody more often than [`QueryLimits`] say.
//! * Nothing here waits for the log or the registry on a core: both are read on other threads.

use crate::{
    AddressHash, Census, Condition, ExportError, Names, Query, QueryLimits, Reader, Subject, address_hash,
    limits::{Gate, Turn},
    names,
    notes::Notes,
    query::{self, BadQuery, parameter},
    refused::Refused,
    stream::Stream,
};
use bytes::Bytes;
use forebay_http::{
    AuthError, Body, BodyError, Claim, Collector, Context, Identity, Mount, MountFuture, Proof,
};
use forebay_log::Store;
use forebay_route::ProjectSettings;
use hyper::{
    HeaderMap, Method, Request, Response,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY},
    http::request::Parts,
};
use jiff::civil::Date;
use std::{io, ops::RangeInclusive, sync::Arc, time::Duration};

/// What is asked for under any of these.
const PREFIXES: [&str; 2] = ["/api/2.0/", "/api/query/"];
/// So many records one question about names may count; the next one goes on.
const RECORDS_PER_QUESTION: u64 = 4_000_000;

/// What there is to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Export,
    EventNames,
    /// What Mixpanel has there, and this server has not.
    Other,
}

impl Target {
    fn of(path: &str) -> Option<Target> {
        match PREFIXES.into_iter().find_map(|prefix| path.strip_prefix(prefix))? {
            "export" => Some(Target::Export),
            "events/names" => Some(Target::EventNames),
            _ => Some(Target::Other),
        }
    }
}

/// Serves what is read. Clones share its turns and counts.
#[derive(Clone)]
pub struct ExportMount {
    store: Store,
    gate: Gate,
    census: Census,
    notes: Notes,
    stall_timeout: Duration,
}

impl ExportMount {
    /// Serves the events of `store`, which `collector` takes in.
    #[must_use]
    pub fn new(store: Store, collector: &Collector, limits: QueryLimits) -> ExportMount {
        let gate = Gate::new(limits, Arc::clone(&collector.queries));
        ExportMount {
            census: Census::new(store.clone()),
            store,
            gate,
            notes: Notes::default(),
            stall_timeout: limits.stall_timeout,
        }
    }

    /// The events of a project as a gzip file for `actor`, as the audit names them, whose right to read them was shown
    /// elsewhere: a person who signed in.
    ///
    /// # Errors
    /// Why there is none; what of it is our fault is in the log.
    pub async fn file(
        &self,
        collector: &Arc<Collector>,
        actor: &str,
        project: &ProjectSettings,
        query: Query,
    ) -> Result<Body, NoFile> {
        let now_ms = (collector.clock)();
        let started = async {
            let turn = self.gate.turn(project.id, now_ms).await.map_err(Refused::Exceeded)?;
            self.tell(collector, actor.to_owned(), project, query.to_string()).await;
            self.start(collector, project, query, true, now_ms, turn).await
        };
        started.await.map(Stream::into_body).map_err(|refused| NoFile::of(&refused))
    }

    /// What a project's events are called on these days, and how many there are: for a page, which does not wait for
    /// as much to be counted as a program does. Reads the log: not for a core.
    ///
    /// # Errors
    /// [`CensusError`](crate::CensusError).
    pub fn names(
        &self,
        project: &ProjectSettings,
        days: &RangeInclusive<Date>,
        now_ms: u64,
    ) -> Result<Names, crate::CensusError> {
        self.census.names(&Subject::of(project, now_ms), days, RECORDS_PER_QUESTION / 4, now_ms)
    }

    async fn answer(
        &self,
        parts: &Parts,
        context: &Context,
        target: Target,
    ) -> Result<Response<Body>, Refused> {
        let collector = &context.collector;
        let identity = identify(parts, collector)?;
        let project = &identity.project.settings;
        let now_ms = (collector.clock)();
        collector.note_caller(&identity, &parts.headers, context.client, now_ms);
        let (asked, today) = (parts.uri.query().unwrap_or_default(), query::utc_day(now_ms));
        match target {
            Target::Export => {
                let query = query::parse(asked, today).map_err(Refused::Export)?;
                tracing::info!(
                    project = project.id.as_u64(), client = %context.client,
                    from_date = %query.days.start(), to_date = %query.days.end(), "export"
                );
                let turn = self.gate.turn(project.id, now_ms).await.map_err(Refused::Exceeded)?;
                let (actor, detail) = (actor(&identity), query.to_string());
                if let Some(detail) = self.notes.worth_telling(&actor, project.id, &detail, today) {
                    self.tell(collector, actor, project, detail).await;
                }
                let gzip = wants_gzip(&parts.headers);
                Ok(success(self.start(collector, project, query, gzip, now_ms, turn).await?, gzip))
            }
            Target::EventNames => {
                let query = names::parse(asked, today).map_err(Refused::Query)?;
                let turn = self.gate.turn(project.id, now_ms).await.map_err(Refused::Exceeded)?;
                let (census, subject, days) =
                    (self.census.clone(), Subject::of(project, now_ms), query.days.clone());
                let counting = tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    census.names(&subject, &days, RECORDS_PER_QUESTION, now_ms)
                });
                let names = counting.await.map_err(|e| Refused::Thread(io::Error::other(e)))?;
                Ok(names::answer(&query, &names.map_err(Refused::Census)?))
            }
            Target::Other => Err(Refused::NotOffered),
        }
    }

    /// Tells the audit, before anything is read. An audit that cannot be written keeps nobody from their data: the log says
    /// so then.
    async fn tell(
        &self,
        collector: &Arc<Collector>,
        actor: String,
        project: &ProjectSettings,
        detail: String,
    ) {
        let (control, project) = (Arc::clone(&collector.control), project.id);
        let told = tokio::task::spawn_blocking(move || control.note_export(&actor, project, &detail));
        let failed = match told.await {
            Ok(told) => told.err().map(|e| e.to_string()),
            Err(panicked) => Some(panicked.to_string()),
        };
        if let Some(error) = failed {
            tracing::error!(project = project.as_u64(), error, "an export could not be entered in the audit");
        }
    }

    async fn start(
        &self,
        collector: &Collector,
        project: &ProjectSettings,
        query: Query,
        gzip: bool,
        now_ms: u64,
        turn: Turn,
    ) -> Result<Stream, Refused> {
        let keyring = collector.control.keyring();
        let hash: AddressHash = Arc::new(move |ip| address_hash(|text| keyring.mac(text), ip));
        let (store, subject) = (self.store.clone(), Subject::of(project, now_ms));
        let can_fault = query.condition.as_ref().is_some_and(Condition::can_fault);
        // Opening lists directories.
        let opened = tokio::task::spawn_blocking(move || Reader::open(&store, subject, query, hash));
        let reader = match opened.await {
            Ok(opened) => opened.map_err(Refused::Unreadable)?,
            Err(e) => return Err(Refused::Thread(io::Error::other(e))),
        };
        let mut stream =
            Stream::start(reader, gzip, turn, self.stall_timeout, Arc::clone(&collector.queries))
                .map_err(Refused::Thread)?;
        if can_fault {
            // A condition that fits the events badly nearly always shows with the first ones: then it can still be said.
            stream.begin().await.map_err(|broken| match broken.downcast::<ExportError>() {
                Ok(error) if matches!(*error, ExportError::Condition { .. }) => {
                    Refused::Export(BadQuery(error.to_string()))
                }
                Ok(error) => Refused::Unreadable(*error),
                Err(other) => Refused::Thread(io::Error::other(other)),
            })?;
        }
        Ok(stream)
    }
}

/// Who asks, and whether they may.
fn identify(parts: &Parts, collector: &Collector) -> Result<Identity, Refused> {
    if parts.method != Method::GET {
        return Err(Refused::Method);
    }
    let project_id = parameter(parts.uri.query().unwrap_or_default(), "project_id");
    let claim = Claim {
        authorization: parts.headers.get(AUTHORIZATION),
        // A key that comes as a parameter never reads.
        api_key: None,
        project_id: project_id.as_deref(),
    };
    let identity = collector.identify(claim).map_err(Refused::Credential)?;
    if identity.may_read() { Ok(identity) } else { Err(Refused::Credential(AuthError::NotReading)) }
}

/// How the audit names who asks.
fn actor(identity: &Identity) -> String {
    match &identity.proof {
        Proof::ServiceAccount(account, _) => format!("service_account:{}", account.username),
        // There is one secret that reads, and for a while the one before it.
        Proof::ApiSecret(_) | Proof::ApiKey(_) | Proof::Token => {
            format!("api_secret:{}", identity.project.id)
        }
    }
}

/// Why there is no file of events, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoFile {
    /// What was asked for cannot be.
    Invalid(String),
    /// It cannot be had now, but perhaps in so many seconds.
    Unavailable(String, u64),
}

impl NoFile {
    fn of(refused: &Refused) -> NoFile {
        refused.tell();
        match refused {
            Refused::Export(e) => NoFile::Invalid(e.to_string()),
            other => NoFile::Unavailable(other.to_string(), other.retry_after_s().unwrap_or(30)),
        }
    }
}

impl Mount for ExportMount {
    fn matches(&self, path: &str) -> bool {
        Target::of(path).is_some()
    }

    fn call(&self, request: Request<Result<Bytes, BodyError>>, context: Context) -> MountFuture {
        let mount = self.clone();
        Box::pin(async move {
            // The body of a GET is nothing to wait for.
            let (parts, _) = request.into_parts();
            let path = forebay_http::paths::normalise(parts.uri.path());
            let answered = match Target::of(&path) {
                Some(Target::Other) | None => Err(Refused::NotOffered),
                Some(target) => mount.answer(&parts, &context, target).await,
            };
            answered.unwrap_or_else(|refused| refused.answer(&parts))
        })
    }
}

fn success(stream: Stream, gzip: bool) -> Response<Body> {
    let mut answer = Response::new(stream.into_body());
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
    fn both_prefixes_lead_to_everything_there_is() {
        for (path, target) in [
            ("/api/2.0/export", Some(Target::Export)),
            ("/api/query/export", Some(Target::Export)),
            ("/api/2.0/events/names", Some(Target::EventNames)),
            ("/api/query/events/names", Some(Target::EventNames)),
            ("/api/2.0/events", Some(Target::Other)),
            ("/api/query/jql", Some(Target::Other)),
            ("/api/2.0", None),
            ("/api/3.0/export", None),
            ("/export", None),
        ] {
            assert_eq!(Target::of(path), target, "{path}");
        }
    }
}
