//! `/record`: session replay batches, stored as they are.
//!
//! The body is gzip without saying so, or JSON; nothing looks into it. The query string, which names the
//! replay and the place of this batch in it, is kept beside it.

use crate::{
    answer::{self, Answer},
    auth::{AuthError, Claim},
    collect::{count_refused, not_stored, reason_of, refuse_unread},
    connection::Session,
    intake,
    link::Stage,
    outcome::Settling,
    stored::Appends,
};
use bytes::Bytes;
use forebay_log::{Append, Outcome};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind};
use forebay_route::{ClientAddress, Project, Reason};
use forebay_scan::Params;
use hyper::{
    StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, HeaderValue, ORIGIN},
    http::request::Parts,
};
use std::{net::IpAddr, sync::Arc};

/// Answers a `/record` request.
pub(crate) async fn record(session: &Session, parts: &Parts, mut body: Incoming) -> Answer {
    let Session { core, link, .. } = session;
    let config = &core.shared.config;
    let query = parts.uri.query().unwrap_or_default();
    let params = Params::of_query(query.as_bytes());
    let claim = Claim {
        authorization: parts.headers.get(AUTHORIZATION),
        api_key: params.api_key(),
        project_id: params.project_id(),
    };
    let identified = core.shared.identify(claim).and_then(|identity| match identity.may_write() {
        true => Ok(identity.project),
        false => Err(AuthError::NotWriting),
    });
    let project = match identified {
        Ok(project) => project,
        Err(error) => {
            let text = error.to_string();
            count_refused(core, Endpoint::Record, Reason::Unauthorized, &text, query.as_bytes());
            link.enter_body();
            let whole = intake::discard(link, &mut body, config.limits.discard_bytes_max).await;
            link.enter(Stage::Working);
            let answer = answer::problem(StatusCode::UNAUTHORIZED, &text);
            return if whole { answer } else { answer.and_close() };
        }
    };
    let limit = config.limits.record_bytes_max;
    let (body, _room) = match intake::read(core, link, &parts.headers, body, limit).await {
        Ok(read) => read,
        Err(unread) => return refuse_unread(core, Endpoint::Record, unread, limit),
    };
    let mut received = project.tally.receive(1, body.len() as u64);
    if !project.accepts_events {
        received.reject(Reason::ProjectDisabled, 1);
        return answer::problem(StatusCode::FORBIDDEN, "the project does not accept events");
    }
    if !project.allows_origin(|| parts.headers.get(ORIGIN).map(HeaderValue::as_bytes)) {
        received.reject(Reason::OriginNotAllowed, 1);
        return answer::problem(StatusCode::FORBIDDEN, "the project does not accept events from that origin");
    }
    let room = match core.shared.admission.admit_route(Some(&project), body.len() as u64) {
        Ok(room) => room,
        Err(shed) => {
            received.reject(Reason::Overloaded, 1);
            return answer::busy(&shed.to_string(), config.retry_after_s);
        }
    };
    let settling = Arc::new(Settling::new(received.hand_over(1), room));
    let kept = project.client_address;
    let client = (kept != ClientAddress::Drop && params.ip)
        .then(|| config.trusted_proxies.client(session.peer, &parts.headers))
        .and_then(|address| kept.of(address));
    let append = append(&project, query, body, client, (core.shared.clock)(), Arc::clone(&settling));
    let mut appends = Appends::of(1);
    if let Err(refused) = appends.submit(&core.submitter, project.lane, append) {
        settling.refused(reason_of(&refused.reason));
        return answer::busy(&refused.to_string(), config.retry_after_s);
    }
    match appends.durable().await {
        Ok(stored) => answer::done(stored),
        Err(error) => not_stored(core, &error),
    }
}

fn append(
    project: &Project,
    query: &str,
    body: Bytes,
    client_ip: Option<IpAddr>,
    now_ms: u64,
    settling: Arc<Settling>,
) -> Append {
    let whole = DirectoryEntry {
        len: u32::try_from(body.len()).unwrap_or(u32::MAX),
        use_ip: client_ip.is_some(),
        ..DirectoryEntry::default()
    };
    Append {
        kind: FrameKind::Replay,
        endpoint: Endpoint::Record,
        project: Some(project.id),
        token: Bytes::copy_from_slice(project.token()),
        meta: Bytes::copy_from_slice(query.as_bytes()),
        received_at_ms: now_ms,
        client_ip,
        text: body,
        events: vec![whole],
        outcome: Some(settling as Arc<dyn Outcome>),
    }
}
