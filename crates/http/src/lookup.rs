//! `/lookup-tables`: listing them, and replacing one.
//!
//! A replacement is all or nothing: the file is checked and made durable beside the current one, a record
//! in the log names it, and only then does the table point to it.

use crate::{
    answer::{self, Answer},
    auth::{AuthError, Claim, Identity},
    collect::{count_refused, not_stored, reason_of, refuse_unread},
    core::Core,
    intake::{self, Unfinished},
    link::{Link, Stage},
    outcome::Settling,
    stored::Appends,
};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use forebay_control::{FailedRecord, LookupError, LookupFile};
use forebay_log::{Append, Outcome};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind};
use forebay_route::{Project, Reason, Received};
use forebay_scan::Params;
use hyper::{StatusCode, body::Incoming, header::AUTHORIZATION, http::request::Parts};
use serde::Serialize;
use std::{io::Read, sync::Arc};
use tokio::task::spawn_blocking;

#[derive(Serialize)]
struct Listed {
    id: String,
    name: String,
}

#[derive(Serialize)]
struct Listing {
    code: u16,
    status: &'static str,
    results: Vec<Listed>,
}

/// What the log says of a replacement.
#[derive(Serialize)]
struct Replaced<'a> {
    lookup_table_id: &'a str,
    #[serde(flatten)]
    file: &'a LookupFile,
}

/// Answers `GET /lookup-tables`.
pub(crate) async fn list(core: &Core, parts: &Parts) -> Answer {
    let project = match reader(core, parts) {
        Ok(identity) => identity.project.id,
        Err(error) => return answer::problem(StatusCode::UNAUTHORIZED, &error.to_string()),
    };
    let control = Arc::clone(&core.shared.control);
    match spawn_blocking(move || control.list_lookup_tables(project)).await {
        Ok(Ok(tables)) => {
            let results = tables.into_iter().map(|table| Listed { id: table.id, name: table.name }).collect();
            Answer::json_of(&Listing { code: 200, status: "OK", results })
        }
        Ok(Err(error)) => failed(core, &error),
        Err(panicked) => answer::busy(&panicked.to_string(), core.shared.config.retry_after_s),
    }
}

/// Answers `PUT /lookup-tables/{id}`.
pub(crate) async fn replace(core: &Core, link: &Link, parts: &Parts, id: &str, mut body: Incoming) -> Answer {
    let limit = core.shared.config.limits.lookup_bytes_max;
    let project = match reader(core, parts) {
        Ok(identity) => identity.project,
        Err(error) => {
            let text = error.to_string();
            count_refused(core, Endpoint::LookupTables, Reason::Unauthorized, &text, b"");
            link.enter_body();
            let discard_max = core.shared.config.limits.discard_bytes_max;
            let whole = intake::discard(link, &mut body, discard_max).await;
            link.enter(Stage::Working);
            let answer = answer::problem(StatusCode::UNAUTHORIZED, &text);
            return if whole { answer } else { answer.and_close() };
        }
    };
    let (body, _room) = match intake::read(core, link, &parts.headers, body, limit).await {
        Ok(read) => read,
        Err(unread) => return refuse_unread(core, Endpoint::LookupTables, unread, limit),
    };
    let bytes = body.len() as u64;
    let (control, table, project_id) = (Arc::clone(&core.shared.control), id.to_owned(), project.id);
    let writing = spawn_blocking(move || {
        let csv = inflate(body, limit)?;
        control.write_lookup_file(project_id, &table, &csv)
    });
    let unfinished = Unfinished::begin(core);
    let written = writing.await;
    unfinished.done();
    let received = project.tally.receive(1, bytes);
    let file = match written {
        Ok(Ok(file)) => file,
        Ok(Err(error)) => return refuse(core, received, &error),
        Err(panicked) => {
            received.reject_rest(Reason::StoreFailed);
            return answer::busy(&panicked.to_string(), core.shared.config.retry_after_s);
        }
    };
    name_in_log(core, &project, id, file, received).await
}

/// Stores the record that names the file, then makes the file the table's.
async fn name_in_log(
    core: &Core,
    project: &Arc<Project>,
    id: &str,
    file: LookupFile,
    mut received: Received,
) -> Answer {
    let retry_after_s = core.shared.config.retry_after_s;
    let text = serde_json::to_vec(&Replaced { lookup_table_id: id, file: &file }).unwrap_or_default();
    let room = match core.shared.admission.admit_route(Some(project), text.len() as u64) {
        Ok(room) => room,
        Err(shed) => {
            received.reject_rest(Reason::Overloaded);
            return answer::busy(&shed.to_string(), retry_after_s);
        }
    };
    let settling = Arc::new(Settling::new(received.hand_over(1), room));
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let append = Append {
        kind: FrameKind::Lookup,
        endpoint: Endpoint::LookupTables,
        project: Some(project.id),
        token: Bytes::copy_from_slice(project.token()),
        meta: Bytes::new(),
        received_at_ms: (core.shared.clock)(),
        client_ip: None,
        text: text.into(),
        events: vec![DirectoryEntry { len, ..DirectoryEntry::default() }],
        outcome: Some(Arc::clone(&settling) as Arc<dyn Outcome>),
    };
    let mut appends = Appends::of(1);
    if let Err(refused) = appends.submit(&core.submitter, project.lane, append) {
        settling.refused(reason_of(&refused.reason));
        return answer::busy(&refused.to_string(), retry_after_s);
    }
    let stored = match appends.durable().await {
        Ok(stored) => stored,
        Err(error) => return not_stored(core, &error),
    };
    let (control, table, project_id) = (Arc::clone(&core.shared.control), id.to_owned(), project.id);
    match spawn_blocking(move || control.use_lookup_file(project_id, &table, &file)).await {
        Ok(Ok(_)) => answer::done(stored),
        Ok(Err(error)) => failed(core, &error),
        Err(panicked) => answer::busy(&panicked.to_string(), retry_after_s),
    }
}

fn reader(core: &Core, parts: &Parts) -> Result<Identity, AuthError> {
    let params = Params::of_query(parts.uri.query().unwrap_or_default().as_bytes());
    let claim = Claim {
        authorization: parts.headers.get(AUTHORIZATION),
        api_key: None,
        project_id: params.project_id(),
    };
    let identity = core.shared.identify(claim)?;
    match (identity.is_secret(), identity.may_write()) {
        (false, _) => Err(AuthError::NotReading),
        (true, false) => Err(AuthError::NotWriting),
        (true, true) => Ok(identity),
    }
}

/// The file, unpacked if it is gzip: told by its first bytes, as headers are lost on the way.
fn inflate(body: Bytes, limit: usize) -> Result<Bytes, LookupError> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body);
    }
    let mut csv = Vec::new();
    let reader = MultiGzDecoder::new(&body[..]);
    let fault =
        |message: String| LookupError::Invalid { failed_records: vec![FailedRecord { index: 0, message }] };
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut csv)
        .map_err(|error| fault(format!("the gzip data cannot be unpacked: {error}")))?;
    if csv.len() > limit {
        return Err(LookupError::TooLarge { bytes: csv.len() as u64, limit: limit as u64 });
    }
    Ok(csv.into())
}

fn refuse(core: &Core, received: Received, error: &LookupError) -> Answer {
    received.reject_rest(match error {
        LookupError::TooLarge { .. } => Reason::BodyTooLarge,
        LookupError::Store(_) => Reason::StoreFailed,
        LookupError::Invalid { .. } => Reason::Malformed,
        _ => Reason::Other,
    });
    failed(core, error)
}

fn failed(core: &Core, error: &LookupError) -> Answer {
    match error {
        LookupError::IdInvalid { .. } | LookupError::NotFound { .. } | LookupError::Project(_) => {
            answer::problem(StatusCode::NOT_FOUND, &error.to_string())
        }
        LookupError::TooLarge { limit, .. } => {
            answer::too_large(usize::try_from(*limit).unwrap_or(usize::MAX))
        }
        LookupError::Invalid { failed_records } => answer::lookup_refused(&error.to_string(), failed_records),
        LookupError::NameInvalid { .. } | LookupError::IdTaken { .. } | LookupError::NameTaken { .. } => {
            answer::problem(StatusCode::BAD_REQUEST, &error.to_string())
        }
        LookupError::Store(_) => answer::busy(&error.to_string(), core.shared.config.retry_after_s),
    }
}
