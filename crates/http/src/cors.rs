//! CORS: what lets a page's script send, and read the answer.
//!
//! The browser SDK sends with credentials, so the origin is echoed and never `*`. An answer without these
//! headers reads as status 0 in the page, and the SDK then drops the batch it was about: so they stand on
//! every answer, errors included.

use hyper::{
    HeaderMap,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue, VARY,
    },
};

/// Lets scripts of `origin` read the answer that gets these headers.
pub fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

/// What a preflight asked for; put on the answer by [`Preflight::allow`].
#[derive(Debug)]
pub struct Preflight {
    headers: Option<HeaderValue>,
}

impl Preflight {
    /// Reads the request's wishes.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Preflight {
        Preflight { headers: request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned() }
    }

    /// Grants them: every header that was asked for, every method that some endpoint takes.
    pub fn allow(self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, OPTIONS"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        if let Some(asked) = self.headers {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
    }
}
