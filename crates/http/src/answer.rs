//! What is said to a sender, byte for byte where an SDK looks.
//!
//! # Invariants
//! * Success for anything that brings records takes a [`Stored`], which only the log's own proofs make.
//! * `1` and `0` are one byte, without a newline, with a length.
//! * Every answer passes through [`Answer::into_response`], which puts the CORS headers on it.

use crate::{body::Body, cors, stored::Stored};
use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde::Serialize;

/// How the sender of `/track`, `/engage`, `/groups` and lenient `/import` wants his answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// One byte.
    #[default]
    Plain,
    /// JSON with `error` and `status`.
    Verbose,
    /// A transparent image, whatever the outcome.
    Pixel,
    /// A call of this function with what would else be the body.
    Script {
        /// The function, already checked to be harmless.
        callback: Box<str>,
        /// Whether the argument is the verbose object.
        verbose: bool,
    },
}

/// An answer, before it meets the connection it goes out on.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    content_type: Option<&'static HeaderValue>,
    body: Bytes,
    nosniff: bool,
    retry_after_s: Option<u32>,
    allow: Option<&'static str>,
    close: bool,
}

// Made once: a header value is checked byte by byte wherever one is made.
pub(crate) static TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
static JSON: HeaderValue = HeaderValue::from_static("application/json");
static SCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
static PNG: HeaderValue = HeaderValue::from_static("image/png");
const VERBOSE_OK: &[u8] = br#"{"error":null,"status":1}"#;

/// A transparent pixel, the smallest PNG there is (8-bit grey with alpha).
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x04\0\0\0\xb5\x1c\x0c\x02\
    \0\0\0\x0bIDATx\xdac``\0\0\0\x03\0\x01+\x09M\x84\0\0\0\0IEND\xaeB`\x82";

#[derive(Serialize)]
struct VerboseError<'a> {
    error: &'a str,
    status: u8,
}

impl Style {
    fn answer(&self, error: Option<&str>) -> Answer {
        let verbose = || match error {
            None => Bytes::from_static(VERBOSE_OK),
            Some(error) => json(&VerboseError { error, status: 0 }),
        };
        let plain: &'static [u8] = if error.is_none() { b"1" } else { b"0" };
        match self {
            Style::Plain => Answer::of(&TEXT, Bytes::from_static(plain)),
            Style::Verbose => Answer::of(&JSON, verbose()),
            Style::Pixel => Answer::of(&PNG, Bytes::from_static(PIXEL)),
            Style::Script { callback, verbose: wordy } => {
                let argument = if *wordy { verbose() } else { Bytes::from_static(plain) };
                let mut call = Vec::with_capacity(callback.len() + argument.len() + 3);
                call.extend_from_slice(callback.as_bytes());
                call.push(b'(');
                call.extend_from_slice(&argument);
                call.extend_from_slice(b");");
                Answer { nosniff: true, ..Answer::of(&SCRIPT, call.into()) }
            }
        }
    }
}

/// Success: all that was to be kept is durable.
pub fn accepted(style: &Style, _: Stored) -> Answer {
    style.answer(None)
}

/// The request brought nothing usable. Never a 4xx: two SDKs would send it again for ever.
pub fn refused(style: &Style, why: &str) -> Answer {
    style.answer(Some(why))
}

#[derive(Serialize)]
struct Imported {
    code: u16,
    num_records_imported: u32,
    status: &'static str,
}

/// Success of a strict `/import`.
pub fn imported(count: u32, _: Stored) -> Answer {
    Answer::of(&JSON, json(&Imported { code: 200, num_records_imported: count, status: "OK" }))
}

/// One record that a strict `/import` did not take.
#[derive(Debug, Serialize)]
pub struct FailedRecord {
    /// Its place in the request, from 0.
    pub index: u32,
    /// Its `$insert_id`, where it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub insert_id: String,
    /// The property at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

#[derive(Serialize)]
struct ImportFailed<'a> {
    code: u16,
    error: &'a str,
    #[serde(skip_serializing_if = "<[FailedRecord]>::is_empty")]
    failed_records: &'a [FailedRecord],
    num_records_imported: u32,
    status: &'static str,
}

/// A strict `/import` of which some records were refused; the others are durable.
pub fn import_failed(failed: &[FailedRecord], count: u32, _: Stored) -> Answer {
    import_400("some data points in the request failed validation", failed, count)
}

/// A strict `/import` that cannot be read at all.
pub fn import_unreadable(why: &str) -> Answer {
    import_400(why, &[], 0)
}

fn import_400(error: &str, failed_records: &[FailedRecord], num_records_imported: u32) -> Answer {
    let body = ImportFailed { code: 400, error, failed_records, num_records_imported, status: "Bad Request" };
    Answer { status: StatusCode::BAD_REQUEST, ..Answer::of(&JSON, json(&body)) }
}

#[derive(Serialize)]
struct Problem<'a> {
    code: u16,
    error: &'a str,
    status: &'a str,
}

/// Success of the other storing endpoints: `/record` and lookup tables.
pub fn done(_: Stored) -> Answer {
    Answer::json(r#"{"code":200,"status":"OK"}"#)
}

#[derive(Serialize)]
struct LookupRefused<'a, R> {
    code: u16,
    error: &'a str,
    failed_records: &'a [R],
    status: &'static str,
}

/// A lookup table that is not one, with what is wrong in it.
pub fn lookup_refused<R: Serialize>(error: &str, failed_records: &[R]) -> Answer {
    let body = LookupRefused { code: 400, error, failed_records, status: "Bad Request" };
    Answer { status: StatusCode::BAD_REQUEST, ..Answer::of(&JSON, json(&body)) }
}

/// Any other refusal: JSON with `code`, `error` and `status`, as Mixpanel's are.
pub fn problem(status: StatusCode, error: &str) -> Answer {
    // SDKs know 413 by the name it had when they were written.
    let name = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or("Error"),
    };
    let body = json(&Problem { code: status.as_u16(), error, status: name });
    Answer { status, ..Answer::of(&JSON, body) }
}

/// The body is larger than `limit` bytes.
pub fn too_large(limit: usize) -> Answer {
    problem(StatusCode::PAYLOAD_TOO_LARGE, &format!("request exceeds max limit of {limit} bytes"))
}

/// Not now: the sender should come back after `retry_after_s` seconds. Never 429, which makes one SDK
/// drop its data.
pub fn busy(error: &str, retry_after_s: u32) -> Answer {
    Answer { retry_after_s: Some(retry_after_s), ..problem(StatusCode::SERVICE_UNAVAILABLE, error) }
}

/// The path exists and does not take this method.
pub fn method_not_allowed(allow: &'static str) -> Answer {
    let error = format!("this path takes {allow}");
    Answer { allow: Some(allow), ..problem(StatusCode::METHOD_NOT_ALLOWED, &error) }
}

impl Answer {
    fn of(content_type: &'static HeaderValue, body: Bytes) -> Answer {
        Answer {
            status: StatusCode::OK,
            content_type: Some(content_type),
            body,
            nosniff: false,
            retry_after_s: None,
            allow: None,
            close: false,
        }
    }

    /// 200 with a JSON document.
    #[must_use]
    pub fn json(document: &'static str) -> Answer {
        Answer::of(&JSON, Bytes::from_static(document.as_bytes()))
    }

    /// 200 with a JSON document made for this request.
    #[must_use]
    pub fn json_of(document: &impl Serialize) -> Answer {
        Answer::of(&JSON, json(document))
    }

    /// Text with a status.
    #[must_use]
    pub fn text(status: StatusCode, content_type: &'static HeaderValue, body: impl Into<Bytes>) -> Answer {
        Answer { status, ..Answer::of(content_type, body.into()) }
    }

    /// 204, the answer to OPTIONS.
    #[must_use]
    pub fn no_content(allow: &'static str) -> Answer {
        Answer {
            status: StatusCode::NO_CONTENT,
            content_type: None,
            allow: Some(allow),
            ..Answer::of(&TEXT, Bytes::new())
        }
    }

    /// Makes this the last answer on its connection.
    #[must_use]
    pub fn and_close(self) -> Answer {
        Answer { close: true, ..self }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The response. `recycled` is the request's own header map: emptied and filled again, it saves every
    /// request two allocations, because hyper reads the next request into the map of the last response.
    #[must_use]
    pub fn into_response(self, mut recycled: HeaderMap, origin: Option<HeaderValue>) -> Response<Body> {
        recycled.clear();
        let mut put = |name: HeaderName, value: HeaderValue| drop(recycled.insert(name, value));
        if let Some(content_type) = self.content_type {
            put(header::CONTENT_TYPE, content_type.clone());
        }
        if self.nosniff {
            put(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        if let Some(seconds) = self.retry_after_s {
            put(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            put(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            put(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(origin) = origin {
            cors::allow(&mut recycled, origin);
        }
        let mut response = Response::new(Body::full(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = recycled;
        response
    }
}

fn json(document: &impl Serialize) -> Bytes {
    // Serialising these structs of strings and numbers into memory cannot fail.
    serde_json::to_vec(document).map(Bytes::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        Stored::for_test()
    }

    fn check(answer: &Answer, status: u16, content_type: &'static HeaderValue, body: &str) {
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.content_type, Some(content_type));
        assert_eq!(std::str::from_utf8(&answer.body).unwrap(), body);
    }

    #[test]
    fn answers_are_mixpanels_own_byte_for_byte() {
        let script = |verbose| Style::Script { callback: "mixpanel._jsc[1]".into(), verbose };
        for (style, content_type, yes, no) in [
            (Style::Plain, &TEXT, "1", "0"),
            (Style::Verbose, &JSON, r#"{"error":null,"status":1}"#, r#"{"error":"a \"b\"","status":0}"#),
            (script(false), &SCRIPT, "mixpanel._jsc[1](1);", "mixpanel._jsc[1](0);"),
            (
                script(true),
                &SCRIPT,
                r#"mixpanel._jsc[1]({"error":null,"status":1});"#,
                r#"mixpanel._jsc[1]({"error":"a \"b\"","status":0});"#,
            ),
        ] {
            check(&accepted(&style, stored()), 200, content_type, yes);
            check(&refused(&style, "a \"b\""), 200, content_type, no);
        }
        check(&imported(2, stored()), 200, &JSON, r#"{"code":200,"num_records_imported":2,"status":"OK"}"#);
        let failed = [FailedRecord {
            index: 1,
            insert_id: String::new(),
            field: Some("event".into()),
            message: "missing".into(),
        }];
        check(
            &import_failed(&failed, 3, stored()),
            400,
            &JSON,
            r#"{"code":400,"error":"some data points in the request failed validation","failed_records":[{"index":1,"field":"event","message":"missing"}],"num_records_imported":3,"status":"Bad Request"}"#,
        );
        check(
            &import_unreadable("bad"),
            400,
            &JSON,
            r#"{"code":400,"error":"bad","num_records_imported":0,"status":"Bad Request"}"#,
        );
        check(
            &too_large(10),
            413,
            &JSON,
            r#"{"code":413,"error":"request exceeds max limit of 10 bytes","status":"Request Entity Too Large"}"#,
        );
        check(
            &problem(StatusCode::UNAUTHORIZED, "Invalid credentials"),
            401,
            &JSON,
            r#"{"code":401,"error":"Invalid credentials","status":"Unauthorized"}"#,
        );
    }

    #[test]
    fn the_pixel_is_a_png_of_one_transparent_pixel() {
        let answer = refused(&Style::Pixel, "whatever");
        assert_eq!(answer.content_type, Some(&PNG));
        let (signature, mut rest) = answer.body.split_at(8);
        assert_eq!(signature, b"\x89PNG\r\n\x1a\n");
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let len = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let (content, crc) = rest[4..len + 12].split_at(len + 4);
            let mut computed = flate2::Crc::new();
            computed.update(content);
            assert_eq!(computed.sum().to_be_bytes(), crc);
            kinds.push(content[..4].to_vec());
            rest = &rest[len + 12..];
        }
        assert_eq!(kinds, [b"IHDR", b"IDAT", b"IEND"]);
        assert_eq!(answer.body[16..24], [0, 0, 0, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn a_refusal_for_load_says_when_to_come_back_and_browsers_can_read_it() {
        let response = busy("full", 2)
            .and_close()
            .into_response(HeaderMap::new(), Some(HeaderValue::from_static("https://shop.example")));
        let headers = response.headers();
        assert_eq!(response.status(), 503);
        assert_eq!(headers["retry-after"], "2");
        assert_eq!(headers["connection"], "close");
        assert_eq!(headers["access-control-allow-origin"], "https://shop.example");
        assert_eq!(headers["access-control-expose-headers"], "Retry-After");
    }

    #[test]
    fn headers_of_the_request_never_leak_into_the_answer() {
        let mut request = HeaderMap::new();
        request.insert("cookie", HeaderValue::from_static("secret"));
        request.insert("content-length", HeaderValue::from_static("99"));
        let response = accepted(&Style::Plain, stored()).into_response(request, None);
        assert_eq!(response.headers().len(), 1);
    }
}
