//! Why a query is not answered, in the form that clients read.
//!
//! * The export's own mistakes are 400 with a plain sentence, as clients match on its text; other queries' are JSON.
//! * 401, 404, 405, 429 and 503 are JSON: `request`, `error`.

use crate::{CensusError, ExportError, limits::Exceeded, query::BadQuery};
use forebay_http::{AuthError, Body};
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    http::request::Parts,
};
use serde_json::json;
use std::{fmt, io};

/// When to come back where the store cannot be read.
const UNREADABLE_RETRY_AFTER_S: u64 = 30;
/// When to come back where something is still being counted.
const COUNTING_RETRY_AFTER_S: u64 = 1;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Refused {
    /// One of Mixpanel's queries that there is not here.
    NotOffered,
    /// Another method than GET.
    Method,
    /// Nobody, or somebody who may not.
    Credential(AuthError),
    /// What is asked for cannot be; of the export.
    Export(BadQuery),
    /// Likewise, of another query.
    Query(BadQuery),
    /// There are too many queries.
    Exceeded(Exceeded),
    /// The log could not be read.
    Unreadable(ExportError),
    /// The names could not be counted, or not yet.
    Census(CensusError),
    /// The system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotOffered => f.write_str(
                "this server does not offer this query: it has export and events/names, under /api/2.0 and /api/query",
            ),
            Refused::Method => f.write_str("this path takes GET"),
            Refused::Credential(e) => e.fmt(f),
            Refused::Export(e) | Refused::Query(e) => e.fmt(f),
            Refused::Exceeded(e) => e.fmt(f),
            Refused::Census(e @ CensusError::Counting { .. }) => e.fmt(f),
            Refused::Unreadable(_) | Refused::Thread(_) | Refused::Census(CensusError::Read(_)) => {
                f.write_str("the store cannot be read now: try again later; the server's log says why")
            }
        }
    }
}

impl Refused {
    /// Tells the log, if it is our fault.
    pub(crate) fn tell(&self) {
        let error: &dyn std::error::Error = match self {
            Refused::Unreadable(e) => e,
            Refused::Census(e @ CensusError::Read(_)) => e,
            Refused::Thread(e) => e,
            _ => return,
        };
        tracing::error!(%error, cause = ?error.source().map(ToString::to_string), "a query failed");
    }

    /// As an answer to a request.
    pub(crate) fn answer(&self, parts: &Parts) -> Response<Body> {
        self.tell();
        let text = self.to_string();
        let mut answer = if let Refused::Export(_) = self {
            with_type("text/plain; charset=utf-8", text)
        } else {
            let target = parts.uri.path_and_query().map_or("", |p| p.as_str());
            with_type("application/json", json!({ "request": target, "error": text }).to_string())
        };
        *answer.status_mut() = match self {
            Refused::NotOffered => StatusCode::NOT_FOUND,
            Refused::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refused::Credential(_) => StatusCode::UNAUTHORIZED,
            Refused::Export(_) | Refused::Query(_) => StatusCode::BAD_REQUEST,
            Refused::Exceeded(_) => StatusCode::TOO_MANY_REQUESTS,
            Refused::Unreadable(_) | Refused::Thread(_) | Refused::Census(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let headers = answer.headers_mut();
        if let Refused::Method = self {
            headers.insert(ALLOW, HeaderValue::from_static("GET, OPTIONS"));
        }
        if let Refused::Credential(_) = self {
            let basic = HeaderValue::from_static("Basic realm=\"forebay\", charset=\"UTF-8\"");
            headers.insert(WWW_AUTHENTICATE, basic);
        }
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }

    /// When to come back, where that can help.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        match self {
            Refused::NotOffered
            | Refused::Method
            | Refused::Credential(_)
            | Refused::Export(_)
            | Refused::Query(_) => None,
            Refused::Exceeded(e) => Some(e.retry_after_s()),
            Refused::Census(CensusError::Counting { .. }) => Some(COUNTING_RETRY_AFTER_S),
            Refused::Unreadable(_) | Refused::Thread(_) | Refused::Census(_) => {
                Some(UNREADABLE_RETRY_AFTER_S)
            }
        }
    }
}

/// A whole answer.
pub(crate) fn with_type(content_type: &'static str, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::full(text));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    #[test]
    fn a_refusal_has_the_form_that_clients_read() {
        let request = Request::get("/api/2.0/export?from_date=x").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let bad = || BadQuery("to_date cannot be later than today".into());
        for (refused, status, content_type, retry_after) in [
            (Refused::NotOffered, 404, "application/json", None),
            (Refused::Method, 405, "application/json", None),
            (Refused::Credential(AuthError::Missing), 401, "application/json", None),
            (Refused::Export(bad()), 400, "text/plain; charset=utf-8", None),
            (Refused::Query(bad()), 400, "application/json", None),
            (Refused::Exceeded(Exceeded::Turns), 429, "application/json", Some("30")),
            (Refused::Census(CensusError::Counting { counted: 1 }), 503, "application/json", Some("1")),
            (Refused::Thread(io::Error::other("x")), 503, "application/json", Some("30")),
        ] {
            let answer = refused.answer(&parts);
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers()[CONTENT_TYPE], content_type);
            let header = answer.headers().get(RETRY_AFTER).map(|v| v.to_str().unwrap());
            assert_eq!(header, retry_after);
        }
    }
}
