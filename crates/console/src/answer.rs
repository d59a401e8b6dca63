//! What a handler answers with, and the headers that stand on every answer.
//!
//! # Invariants
//! * Nothing is kept by a browser or a proxy, but the files of the pages' look.
//! * No page runs a script or a style that is not a file of ours, is framed, or tells another site where it was left
//!   from.

use std::fmt;

use askama::Template;
use bytes::Bytes;
use forebay_export::Query;
use forebay_http::Body;
use forebay_route::ProjectSettings;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
        REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
};

use crate::stream::AuditFile;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Everything is a file of this server; nothing is framed, and forms go nowhere else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'",
);
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// An answer.
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    export: Option<Export>,
    audit: Option<AuditFile>,
}

/// Events that are the body of an answer: they are streamed, and not made where pages are.
pub(crate) struct Export {
    /// Who fetches them, as the audit names them.
    pub(crate) actor: String,
    pub(crate) project: ProjectSettings,
    pub(crate) query: Query,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No header and no body: there may be a secret in them.
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    fn of(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(
            PERMISSIONS_POLICY,
            HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        );
        headers.insert(VARY, HeaderValue::from_static("Cookie, Authorization"));
        Answer { status, headers, body: body.into(), export: None, audit: None }
    }

    /// A page. One that cannot be rendered is a plain sentence, and told to the log.
    pub(crate) fn page(status: StatusCode, page: &impl Template) -> Answer {
        match page.render() {
            Ok(html) => Answer::of(status, HTML, html),
            Err(error) => {
                tracing::error!(%error, "a page could not be rendered");
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                let sentence = "This page could not be made. The server's log says why.\n";
                Answer::of(StatusCode::INTERNAL_SERVER_ERROR, text, sentence)
            }
        }
    }

    /// A document of an API.
    pub(crate) fn json(status: StatusCode, document: &serde_json::Value) -> Answer {
        Answer::of(status, JSON, document.to_string())
    }

    /// A file to be saved under a name of plain letters.
    pub(crate) fn download(content_type: &'static str, name: &str, body: impl Into<Bytes>) -> Answer {
        let mut answer = Answer::of(StatusCode::OK, HeaderValue::from_static(content_type), body);
        let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
        if let Ok(disposition) = disposition {
            answer.headers.insert(hyper::header::CONTENT_DISPOSITION, disposition);
        }
        answer
    }

    /// With events in the place of its body.
    pub(crate) fn and_export(mut self, export: Export) -> Answer {
        self.export = Some(export);
        self
    }

    /// With a part of the audit log in the place of its body.
    pub(crate) fn and_audit(mut self, file: AuditFile) -> Answer {
        self.audit = Some(file);
        self
    }

    /// The part of the audit log that is its body, if it is.
    pub(crate) fn take_audit(&mut self) -> Option<AuditFile> {
        self.audit.take()
    }

    /// The events that are its body, if they are.
    pub(crate) fn take_export(&mut self) -> Option<Export> {
        self.export.take()
    }

    /// A file of the pages' look, which changes with the program only: its address holds its version.
    pub(crate) fn asset(content_type: &'static str, body: &'static [u8]) -> Answer {
        let content_type = HeaderValue::from_static(content_type);
        let mut answer = Answer::of(StatusCode::OK, content_type, Bytes::from_static(body));
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        answer.headers.remove(VARY);
        answer
    }

    /// Go there and ask again with GET.
    pub(crate) fn see_other(path: &str) -> Answer {
        let mut answer = Answer::of(StatusCode::SEE_OTHER, HTML, Bytes::new());
        // A path that no header can carry leads home.
        let location =
            HeaderValue::try_from(path).unwrap_or_else(|_| HeaderValue::from_static("/console/projects"));
        answer.headers.insert(LOCATION, location);
        answer
    }

    /// With a cookie.
    pub(crate) fn and_cookie(mut self, cookie: &str) -> Answer {
        match HeaderValue::try_from(cookie) {
            Ok(value) => drop(self.headers.append(SET_COOKIE, value)),
            Err(error) => tracing::error!(%error, "a cookie could not be set"),
        }
        self
    }

    /// With the methods that are taken.
    pub(crate) fn and_allow(mut self, methods: &str) -> Answer {
        if let Ok(value) = HeaderValue::try_from(methods) {
            self.headers.insert(ALLOW, value);
        }
        self
    }

    /// With when to come back.
    pub(crate) fn and_retry_after(mut self, seconds: u64) -> Answer {
        self.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// With how to say who one is.
    pub(crate) fn and_ask_for_credentials(mut self) -> Answer {
        let value = HeaderValue::from_static("Basic realm=\"forebay\", charset=\"UTF-8\"");
        self.headers.insert(WWW_AUTHENTICATE, value);
        self
    }

    /// What is sent.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::full(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
