//! What is sent: whole requests, built beforehand, as the SDKs send them.
//!
//! # Invariants
//! * A request's bytes are head and body; its length header fits, also after another token was put in.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::{
    load::{Form, Kind, Load},
    token::{TOKEN_LEN, token, token_text},
};
use crate::events::{self, Numbers};

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Events in it.
    pub events: u64,
    /// Bytes of its events as JSON, whatever form they are sent in.
    pub json_bytes: u64,
    /// Where its project's token stands, each time in plain.
    tokens: Vec<usize>,
    /// Where base64 of `token:` stands.
    basic: Option<usize>,
}

/// Which parts of a load's requests exist at once: more bytes than the caches keep, as from real senders.
const EVENTS_AT_ONCE: usize = 12_000;
const REQUESTS_MAX: usize = 2048;
/// Where a token cannot be put in at sending time, there are requests of so many projects.
const REQUESTS_OF_PROJECTS: usize = 8192;
/// From so many events on a request goes to `/import`, as importers send it.
const IMPORT_EVENTS: usize = 101;
/// What browsers escape in a form's value.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where requests go, beside the address.
#[derive(Clone, Debug)]
pub struct Destination {
    /// To so many projects, drawn at random.
    pub projects: u64,
    /// The path, instead of the one that the API has for such requests.
    pub path: Option<String>,
    /// The token, instead of those of [`token`].
    pub token: Option<String>,
}

impl Destination {
    /// A server with so many projects of ours.
    #[must_use]
    pub fn projects(projects: u64) -> Destination {
        Destination { projects, path: None, token: None }
    }
}

/// The requests of a load, in the order they are to be sent.
#[must_use]
pub fn requests(load: Load, form: Form, to: &Destination, seed: u64) -> Vec<Request> {
    let projects = to.projects;
    let kinds = load.kinds(form);
    let weights: usize = kinds.iter().map(|kind| kind.weight).sum();
    let events: usize = kinds.iter().map(|kind| kind.events * kind.weight).sum();
    let fixed = projects > 1 && kinds.iter().any(|kind| !takes_tokens(kind.form));
    let most = if fixed { REQUESTS_OF_PROJECTS } else { REQUESTS_MAX };
    // Whole turns of all kinds, so that the mix is exact.
    let turns = (EVENTS_AT_ONCE / events.max(1)).clamp(1, most / weights.max(1));
    let turns = if load == Load::Mix { turns.max(4) } else { turns.max(4 / weights) };
    let mut numbers = Numbers::new(seed);
    let mut all = Vec::with_capacity(turns * weights);
    for _ in 0..turns {
        for kind in &kinds {
            for _ in 0..kind.weight {
                all.push(request(*kind, to, numbers.below(projects), numbers.next_u64()));
            }
        }
    }
    // Fisher and Yates: kinds come in no order.
    for last in (1..all.len()).rev() {
        let other = usize::try_from(numbers.below(last as u64 + 1)).unwrap_or(0);
        all.swap(last, other);
    }
    all
}

/// Can another project's token be put into a request of this form when it is sent?
fn takes_tokens(form: Form) -> bool {
    matches!(form, Form::Json | Form::Form)
}

/// The JSON of such requests before it is packed, a few megabytes of it.
#[must_use]
pub fn texts(load: Load, seed: u64) -> Vec<String> {
    let json = |request: Request| String::from_utf8_lossy(request.body()).into_owned();
    let kinds = load.kinds(Form::Json);
    let mut numbers = Numbers::new(seed);
    let turns =
        (EVENTS_AT_ONCE / 2 / kinds.iter().map(|kind| kind.events * kind.weight).sum::<usize>()).max(1);
    let all = (0..turns).flat_map(|_| kinds.iter().flat_map(|kind| std::iter::repeat_n(*kind, kind.weight)));
    let to = Destination::projects(1);
    all.map(|kind| json(request(Kind { form: Form::Json, ..kind }, &to, 0, numbers.next_u64()))).collect()
}

fn request(kind: Kind, to: &Destination, project: u64, seed: u64) -> Request {
    let text = to.token.clone().unwrap_or_else(|| token_text(project));
    let json = events::batch(&text, kind.events, seed);
    let (content, body) = match kind.form {
        Form::Json => ("Content-Type: application/json\r\n", json.clone().into_bytes()),
        Form::Form => {
            (FORM, [b"data=", percent_encode(json.as_bytes(), VALUE).to_string().as_bytes()].concat())
        }
        Form::Base64 => {
            let base64 = base64_simd::STANDARD.encode_to_string(&json);
            (FORM, [b"data=", percent_encode(base64.as_bytes(), VALUE).to_string().as_bytes()].concat())
        }
        Form::Gzip => ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", gzip(json.as_bytes())),
    };
    let import = kind.events >= IMPORT_EVENTS && matches!(kind.form, Form::Json | Form::Gzip);
    let authorization =
        if import { format!("Authorization: Basic {}\r\n", basic(text.as_bytes())) } else { String::new() };
    let (target, sender) = match (import, kind.form) {
        (true, _) => ("/import?strict=0", IMPORTER),
        (false, Form::Json | Form::Gzip) => ("/track/?ip=1", PHONE),
        (false, _) => ("/track/?ip=1", BROWSER),
    };
    let target = to.path.as_deref().unwrap_or(target);
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: events.shop.example\r\n{sender}{content}{authorization}Content-Length: \
         {}\r\n\r\n",
        body.len()
    );
    let basic = authorization.find("Basic ").and_then(|at| Some(head.find(&authorization)? + at + 6));
    let bytes = [head.as_bytes(), &body].concat();
    let tokens = if takes_tokens(kind.form) { find_all(&bytes, text.as_bytes()) } else { Vec::new() };
    let events = kind.events as u64;
    Request { bytes, events, json_bytes: json.len() as u64, tokens, basic }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const PHONE: &str = "User-Agent: Mixpanel/4.3.0 CFNetwork/1490.0.4 Darwin/23.2.0\r\nAccept: */*\r\n\
                     Accept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n";
const IMPORTER: &str = "User-Agent: python-requests/2.32.3\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n";
const BROWSER: &str = "Connection: keep-alive\r\nsec-ch-ua-platform: \"macOS\"\r\n\
    User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/140.0.0.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nAccept: */*\r\n\
    Origin: https://shop.example.com\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n\
    Referer: https://shop.example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // A vector takes all.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

fn basic(token: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string([token, b":"].concat())
}

fn find_all(text: &[u8], what: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&text[from..], what) {
        found.push(from + at);
        from += at + what.len();
    }
    found
}

impl Request {
    /// Can it be sent for another project than it was made for?
    #[must_use]
    pub fn takes_token(&self) -> bool {
        !self.tokens.is_empty() || self.basic.is_some()
    }

    /// Writes this request with the token of `project` to `out`, replacing what is there.
    pub fn for_project(&self, project: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        let token = token(project);
        for &at in &self.tokens {
            out[at..at + TOKEN_LEN].copy_from_slice(&token);
        }
        if let Some(at) = self.basic {
            let text = basic(&token);
            out[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
    }

    /// Its body, as packed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let end = memchr::memmem::find(&self.bytes, b"\r\n\r\n").map_or(self.bytes.len(), |at| at + 4);
        &self.bytes[end..]
    }
}

/// What a load's requests are like, on average.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Means {
    pub(crate) events: f64,
    pub(crate) event_bytes: f64,
    pub(crate) request_bytes: f64,
}

impl Means {
    pub(crate) fn of(requests: &[Request]) -> Means {
        let sum = |of: fn(&Request) -> u64| requests.iter().map(of).sum::<u64>() as f64;
        let (count, events) = (requests.len().max(1) as f64, sum(|request| request.events));
        Means {
            events: events / count,
            event_bytes: sum(|request| request.json_bytes) / events.max(1.0),
            request_bytes: sum(|request| request.bytes.len() as u64) / count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [Form; 4] = [Form::Json, Form::Form, Form::Base64, Form::Gzip];

    fn check(load: Load, form: Form) {
        for (nth, request) in requests(load, form, &Destination::projects(5), 1).iter().take(50).enumerate() {
            let text = String::from_utf8_lossy(&request.bytes);
            let length =
                text.split("Content-Length: ").nth(1).and_then(|t| t.split("\r\n").next()?.parse().ok());
            assert_eq!(length, Some(request.body().len()), "{load} {form}");
            assert!(request.events > 0 && request.json_bytes > 500 * request.events);
            let mut other = Vec::new();
            request.for_project(99, &mut other);
            assert_eq!(other.len(), request.bytes.len());
            let text = String::from_utf8_lossy(&other);
            let (token, basic) = (token_text(99), basic(&token(99)));
            let found = text.matches(&token).count() + text.matches(&basic).count();
            assert_eq!(
                found,
                request.tokens.len() + usize::from(request.basic.is_some()),
                "{load} {form} {nth}"
            );
            assert!(request.tokens.is_empty() || request.tokens.len() as u64 == request.events);
        }
    }

    #[test]
    fn every_load_in_every_form_is_whole_also_with_another_token() {
        for load in [Load::Events(1), Load::Events(3), Load::Events(150)] {
            FORMS.into_iter().for_each(|form| check(load, form));
        }
        check(Load::Mix, Form::Json);
    }

    #[test]
    fn the_mix_is_exact_and_the_seed_decides_it() {
        let all = requests(Load::Mix, Form::Json, &Destination::projects(1), 9);
        let batches = all.iter().filter(|request| request.events == 50).count();
        assert_eq!(batches * 100, all.len() * 14, "of {}", all.len());
        let again = requests(Load::Mix, Form::Json, &Destination::projects(1), 9);
        assert!(all.iter().zip(&again).all(|(a, b)| a.bytes == b.bytes));
    }

    #[test]
    fn packed_forms_spread_over_many_projects() {
        let all = requests(Load::Events(1), Form::Base64, &Destination::projects(1_000_000), 9);
        let distinct: std::collections::HashSet<_> = all.iter().map(|request| request.body()).collect();
        assert!(all.len() > 4000 && distinct.len() == all.len() && !all[0].takes_token());
    }
}
