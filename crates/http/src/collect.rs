//! `/track`, `/engage`, `/groups`, `/import`: from a request to an answer.
//!
//! Reading the body and waiting for the disk are the only places where a request waits. Everything between
//! them (scan, route, admit, count, hand over) happens in one go, so that a sender who hangs up can only
//! do so before any of his events is counted or after all of them are.
//!
//! # Invariants
//! * Every event is counted as received once and leaves by one verdict.
//! * A request is handed to the log whole or, when there is no room for all of it, not at all.

use crate::{
    answer::{self, Answer, FailedRecord, Style},
    auth::{self, Claim},
    core::Core,
    group::{self, Group, Owner},
    intake::{self, Unread},
    link::Link,
    outcome::Settling,
    stored::{Appends, NotStored},
    verdicts,
};
use bytes::Bytes;
use forebay_log::{Append, Outcome, Refusal};
use forebay_record::{Endpoint, FrameKind};
use forebay_route::{ClientAddress, Owner as Books, Project, Reason, Rule, Tally};
use forebay_scan::{Dialect, Params, Request as ScanRequest, ScanError, Scanned};
use hyper::{
    StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN},
    http::request::Parts,
};
use std::{net::IpAddr, sync::Arc};

/// What is said once everything is durable.
enum Reply {
    Simple(Style),
    Imported(u32),
    ImportFailed { failed: Vec<FailedRecord>, imported: u32 },
}

/// What a request comes to before the disk has its say.
enum Judged {
    Answer(Answer),
    Wait(Appends, Reply),
}

/// Answers a request on a collection endpoint.
pub(crate) async fn collect(
    core: &Core,
    link: &Link,
    peer: IpAddr,
    endpoint: Endpoint,
    parts: &Parts,
    body: Incoming,
) -> Answer {
    let limit = core.shared.config.limits.body_bytes_max;
    let (judged, room) = match intake::read(core, link, &parts.headers, body, limit).await {
        Ok((body, room)) => (judge(core, peer, endpoint, parts, body), room),
        Err(unread) => return refuse_unread(core, endpoint, unread, limit),
    };
    let answer = match judged {
        Judged::Answer(answer) => answer,
        Judged::Wait(appends, reply) => match appends.durable().await {
            Ok(stored) => match reply {
                Reply::Simple(style) => answer::accepted(&style, stored),
                Reply::Imported(count) => answer::imported(count, stored),
                Reply::ImportFailed { failed, imported } => answer::import_failed(&failed, imported, stored),
            },
            Err(error) => not_stored(core, &error),
        },
    };
    drop(room);
    answer
}

/// The answer when a request, or a part of it, could not be made durable.
pub(crate) fn not_stored(core: &Core, error: &NotStored) -> Answer {
    if let NotStored::Owed(_) = error {
        tracing::error!(%error, "a request was not handed over whole; answered 503");
    }
    answer::busy(&error.to_string(), core.shared.config.retry_after_s)
}

/// Counts and answers a request whose body was not read.
pub(crate) fn refuse_unread(core: &Core, endpoint: Endpoint, unread: Unread, limit: usize) -> Answer {
    let retry_after_s = core.shared.config.retry_after_s;
    let (reason, text, whole) = match unread {
        Unread::TooLarge { whole } => {
            (Reason::BodyTooLarge, format!("request exceeds max limit of {limit} bytes"), whole)
        }
        Unread::Shed { shed, whole } => (Reason::Overloaded, shed.to_string(), whole),
        Unread::Slow => (Reason::Interrupted, "the request's body came too slowly".to_owned(), false),
        Unread::Broken => (Reason::Interrupted, "the request's body ended too early".to_owned(), false),
    };
    count_refused(core, endpoint, reason, &text, b"");
    let answer = match reason {
        Reason::BodyTooLarge => answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &text),
        _ => answer::busy(&text, retry_after_s),
    };
    if whole { answer } else { answer.and_close() }
}

/// Counts a request that held no readable event: one received, one refused, nobody's.
pub(crate) fn count_refused(core: &Core, endpoint: Endpoint, reason: Reason, detail: &str, sample: &[u8]) {
    let ledger = &core.shared.ledger;
    ledger.nobody().receive(1, sample.len() as u64).reject_rest(reason);
    if tells_something(reason) {
        let now_ms = (core.shared.clock)();
        ledger.refused(Books::Nobody, endpoint, reason, detail, 1, sample, now_ms);
    }
}

/// Whether the reject log should hold it: refusals for load would only push the others out.
fn tells_something(reason: Reason) -> bool {
    !matches!(reason, Reason::Overloaded | Reason::StoreFailed | Reason::Interrupted)
}

fn judge(core: &Core, peer: IpAddr, endpoint: Endpoint, parts: &Parts, body: Bytes) -> Judged {
    let now_ms = (core.shared.clock)();
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let mut scanner = core.scanner.borrow_mut();
    let dialect = match endpoint {
        Endpoint::Engage => Dialect::Engage,
        Endpoint::Groups => Dialect::Groups,
        Endpoint::Import => Dialect::Import { strict: scanner.query(query).strict },
        _ => Dialect::Track,
    };
    let header = |name| parts.headers.get(name).map(HeaderValue::as_bytes);
    let sample = body.clone();
    let request = ScanRequest {
        dialect,
        query,
        content_type: header(CONTENT_TYPE),
        content_encoding: header(CONTENT_ENCODING),
        body,
        now_ms,
    };
    let intent = Intent { core, endpoint, dialect, headers: &parts.headers, peer, now_ms };
    match scanner.scan(request) {
        Ok(scanned) => intent.sort_and_store(&scanned),
        Err(failure) => {
            let sample = if sample.is_empty() { query } else { &sample };
            Judged::Answer(intent.unreadable(&failure.error, failure.params, sample))
        }
    }
}

/// A request that is being judged.
struct Intent<'a> {
    core: &'a Core,
    endpoint: Endpoint,
    dialect: Dialect,
    headers: &'a HeaderMap,
    peer: IpAddr,
    now_ms: u64,
}

impl Intent<'_> {
    /// The payload as a whole cannot be read.
    fn unreadable(&self, error: &ScanError, params: &Params, sample: &[u8]) -> Answer {
        let core = self.core;
        let (mut reason, mut text) = (verdicts::of_request(error), error.to_string());
        let answer = match error {
            ScanError::TooLarge { .. } => answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &text),
            ScanError::UnsupportedEncoding => answer::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text),
            _ if self.endpoint != Endpoint::Import => answer::refused(&style(params), &text),
            _ => match self.identify(params) {
                Err(error) => {
                    (reason, text) = (Reason::Unauthorized, error.to_string());
                    answer::problem(StatusCode::UNAUTHORIZED, &text)
                }
                Ok(_) if matches!(error, ScanError::TooManyEvents { .. }) => {
                    answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &text)
                }
                Ok(_) if self.dialect.is_strict() => answer::import_unreadable(&text),
                Ok(_) => answer::refused(&style(params), &text),
            },
        };
        count_refused(core, self.endpoint, reason, &text, sample);
        answer
    }

    fn identify(&self, params: &Params) -> Result<Arc<Project>, auth::AuthError> {
        let claim = Claim {
            authorization: self.headers.get(AUTHORIZATION),
            api_key: params.api_key(),
            project_id: params.project_id(),
        };
        let identity = self.core.shared.identify_at(claim, self.now_ms)?;
        let client = self.core.shared.config.trusted_proxies.client(self.peer, self.headers);
        self.core.shared.note_caller(&identity, self.headers, client, self.now_ms);
        if identity.may_write() { Ok(identity.project) } else { Err(auth::AuthError::NotWriting) }
    }

    fn sort_and_store(&self, scanned: &Scanned<'_>) -> Judged {
        let config = &self.core.shared.config;
        if self.endpoint != Endpoint::Import {
            let groups = group::by_token(scanned, &self.core.shared.registry, config.limits.tokens_max);
            return self.store(scanned, groups);
        }
        match self.identify(scanned.params) {
            Ok(project) => self.store(scanned, group::by_credential(scanned, &project)),
            Err(error) => {
                let text = error.to_string();
                let sample = scanned.records.first().map_or(&[][..], |record| scanned.json(record));
                count_refused(self.core, self.endpoint, Reason::Unauthorized, &text, sample);
                Judged::Answer(answer::problem(StatusCode::UNAUTHORIZED, &text))
            }
        }
    }

    fn store(&self, scanned: &Scanned<'_>, mut groups: Vec<Group>) -> Judged {
        let core = self.core;
        let kept = groups.iter().map(|group| group.keep.len()).sum();
        let mut appends = Appends::of(kept);
        // Room for all of it first: a request stored in part comes back whole, and doubles that part.
        let mut obstacle = None;
        for group in &mut groups {
            if group.keep.is_empty() || self.rule_against(group).is_some() {
                continue;
            }
            match core.shared.admission.admit_route(group.owner.project(), group.keep_bytes) {
                Ok(room) => group.room = Some(room),
                Err(shed) => {
                    obstacle = Some(shed.to_string());
                    break;
                }
            }
        }
        let (mut refused_by_rule, mut taken) = (None, scanned.counts.ignored);
        for group in groups {
            if let Some((reason, text)) = self.rule_against(&group).filter(|_| !group.keep.is_empty()) {
                appends.excuse(group.keep.len());
                refused_by_rule = Some(text);
                self.settle(scanned, group, Fate::Refused(reason, text));
                continue;
            }
            taken += u32::try_from(group.keep.len()).unwrap_or(u32::MAX);
            let fate = match &obstacle {
                Some(_) => Fate::Refused(Reason::Overloaded, ""),
                None => Fate::Store(&mut appends),
            };
            obstacle = self.settle(scanned, group, fate).or(obstacle);
        }
        if let Some(why) = obstacle {
            return Judged::Answer(answer::busy(&why, core.shared.config.retry_after_s));
        }
        let nothing_taken = (taken == 0).then(|| refused_by_rule.unwrap_or_else(|| scanned.refusal()));
        match self.dialect {
            Dialect::Import { strict: true } => match refused_by_rule {
                Some(why) => Judged::Answer(answer::problem(StatusCode::FORBIDDEN, why)),
                None => Judged::Wait(appends, strict_reply(scanned)),
            },
            _ => match nothing_taken {
                Some(why) => Judged::Answer(answer::refused(&style(scanned.params), why)),
                None => Judged::Wait(appends, Reply::Simple(style(scanned.params))),
            },
        }
    }

    /// The rule by which a group's valid records are refused.
    fn rule_against(&self, group: &Group) -> Option<(Reason, &'static str)> {
        match &group.owner {
            Owner::Project(project) if !project.accepts_events => {
                Some((Reason::ProjectDisabled, "the project does not accept events"))
            }
            Owner::Project(project) if !project.allows_origin(|| self.origin()) => {
                Some((Reason::OriginNotAllowed, "the project does not accept events from that origin"))
            }
            Owner::Unknown if self.core.shared.config.strict_tokens => {
                Some((Reason::UnknownToken, "token, it belongs to no project"))
            }
            _ => None,
        }
    }

    /// The page that a browser sends for.
    fn origin(&self) -> Option<&[u8]> {
        self.headers.get(ORIGIN).map(HeaderValue::as_bytes)
    }

    /// Counts a group's records, hands the kept ones to the log, and returns what kept it from doing so.
    fn settle(&self, scanned: &Scanned<'_>, mut group: Group, fate: Fate<'_>) -> Option<String> {
        let shared = &self.core.shared;
        let (ledger, now_ms) = (&shared.ledger, self.now_ms);
        let tally: &Arc<Tally> = match &group.owner {
            Owner::Project(project) => &project.tally,
            Owner::Unknown if !shared.config.strict_tokens => ledger.unclaimed(),
            Owner::Unknown | Owner::Nobody => ledger.nobody(),
        };
        if let Owner::Project(project) = &group.owner {
            project.count_token(&group.token, group.events, now_ms);
        }
        let mut received = tally.receive(group.events, group.bytes);
        received.drop_by_rule(Rule::Ignored, group.ignored);
        for refused in &group.refused {
            received.reject(refused.reason, refused.events);
            let sample = &scanned.text[refused.sample.clone()];
            let (reason, detail, events) = (refused.reason, refused.detail, refused.events);
            ledger.refused(tally.owner(), self.endpoint, reason, detail, events, sample, now_ms);
        }
        let kept = received.left();
        if kept == 0 {
            return None;
        }
        if let Owner::Unknown = group.owner {
            ledger.unknown_token(&group.token, kept, now_ms);
        }
        match fate {
            Fate::Refused(reason, detail) => {
                received.reject(reason, kept);
                if tells_something(reason) {
                    let sample =
                        group.keep.first().map(|e| &scanned.text[e.offset as usize..][..e.len as usize]);
                    let sample = sample.unwrap_or_default();
                    ledger.refused(tally.owner(), self.endpoint, reason, detail, kept, sample, now_ms);
                }
                None
            }
            Fate::Store(appends) => {
                // Without room no fate is to be stored; were it so, the appends would stay owed.
                let room = group.room.take()?;
                let settling = Arc::new(Settling::new(received.hand_over(kept), room));
                let text = group.take_text(&scanned.text);
                self.hand_over(appends, group, text, settling)
            }
        }
    }

    fn hand_over(
        &self,
        appends: &mut Appends,
        group: Group,
        text: Bytes,
        settling: Arc<Settling>,
    ) -> Option<String> {
        let project = group.owner.project();
        let lane = group.owner.lane();
        let kept = project.map_or(ClientAddress::Drop, |project| project.client_address);
        let keeps_ip = kept != ClientAddress::Drop && group.keep.iter().any(|e| e.use_ip);
        let client_ip = keeps_ip
            .then(|| self.core.shared.config.trusted_proxies.client(self.peer, self.headers))
            .and_then(|address| kept.of(address));
        let append = Append {
            kind: FrameKind::Records,
            endpoint: self.endpoint,
            project: project.map(|p| p.id),
            token: group.token,
            meta: Bytes::new(),
            received_at_ms: self.now_ms,
            client_ip,
            text,
            events: group.keep,
            outcome: Some(Arc::clone(&settling) as Arc<dyn Outcome>),
        };
        let refused = appends.submit(&self.core.submitter, lane, append).err()?;
        settling.refused(reason_of(&refused.reason));
        Some(refused.to_string())
    }
}

/// What is to become of a group's valid records.
enum Fate<'a> {
    /// Stored, in the room that the group has.
    Store(&'a mut Appends),
    /// Refused, with the words for it.
    Refused(Reason, &'static str),
}

/// The ledger's name for what the log refuses.
pub(crate) fn reason_of(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Full => Reason::Overloaded,
        Refusal::Unable(_) | Refusal::Closed => Reason::StoreFailed,
        Refusal::Malformed(what) => {
            tracing::error!(what, "the log refused an append as malformed; answered 503");
            Reason::Other
        }
    }
}

fn style(params: &Params) -> Style {
    if params.img {
        return Style::Pixel;
    }
    match params.callback() {
        Some(callback) => Style::Script { callback: callback.into(), verbose: params.verbose },
        None if params.verbose => Style::Verbose,
        None => Style::Plain,
    }
}

fn strict_reply(scanned: &Scanned<'_>) -> Reply {
    let imported = scanned.counts.valid();
    if scanned.counts.invalid() == 0 {
        return Reply::Imported(imported);
    }
    let failed = scanned.failed().map(|record| FailedRecord {
        index: u32::try_from(record.index).unwrap_or(u32::MAX),
        insert_id: record.insert_id.map(|id| id.into_owned()).unwrap_or_default(),
        field: record.field.map(|field| field.into_owned()),
        message: record.message.into_owned(),
    });
    Reply::ImportFailed { failed: failed.collect(), imported }
}
