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

static TRUE: HeaderValue = HeaderValue::from_static("true");
static RETRY_AFTER: HeaderValue = HeaderValue::from_static("Retry-After");
static ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// Lets scripts of `origin` read the answer that gets these headers.
pub fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE.clone());
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, RETRY_AFTER.clone());
    headers.append(VARY, ORIGIN.clone());
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
        let mut asked = request.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
        let Some(first) = asked.next() else { return Preflight { headers: None } };
        // A list may come in several headers: it is granted whole, in one.
        let whole = asked.fold(first.as_bytes().to_vec(), |mut list, more| {
            list.extend_from_slice(b", ");
            list.extend_from_slice(more.as_bytes());
            list
        });
        Preflight { headers: HeaderValue::from_bytes(&whole).ok() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_asked_for_is_granted() {
        for (asked, want) in
            [(&[][..], None), (&["authorization"], Some("authorization")), (&["a, b", "c"], Some("a, b, c"))]
        {
            let mut request = HeaderMap::new();
            for list in asked {
                request.append(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(list));
            }
            let mut answer = HeaderMap::new();
            Preflight::of(&request).allow(&mut answer);
            let got = answer.get(ACCESS_CONTROL_ALLOW_HEADERS).map(|list| list.to_str().expect("ASCII"));
            assert_eq!(got, want, "{asked:?}");
        }
    }
}
