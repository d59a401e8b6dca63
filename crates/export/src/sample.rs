//! Small stores for tests.

use crate::{Query, Reader, Subject, days};
use bytes::Bytes;
use forebay_log::{Append, Log, LogConfig, Store};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, ProjectId};
use jiff::civil::Date;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::LocalSet;

/// A log, written and closed.
pub(crate) struct Sample {
    pub(crate) store: Store,
    _dir: TempDir,
}

/// Requests for project 1, each so many events with so long a text in each.
pub(crate) fn stored(requests: usize, events: usize, text_bytes: usize) -> Sample {
    let dir = TempDir::new().unwrap();
    let (log, _) = Log::open(LogConfig { lanes: 1, ..LogConfig::new(dir.path()) }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let submitter = log.submitter();
        let pump = tokio::task::spawn_local(submitter.pump());
        for request in 0..requests {
            let append = request_of(request, events, text_bytes);
            let _committed = submitter.submit(LaneId(0), append).unwrap().await.unwrap();
        }
        pump.abort();
    });
    log.close().unwrap();
    Sample { store: Store::open(dir.path()).unwrap(), _dir: dir }
}

fn request_of(request: usize, events: usize, text_bytes: usize) -> Append {
    let (mut text, mut entries) = (String::new(), Vec::new());
    for i in 0..events {
        let event = event_of(request * events + i, text_bytes);
        let (offset, len) = (u32::try_from(text.len()).unwrap(), u32::try_from(event.len()).unwrap());
        entries.push(DirectoryEntry { offset, len, ..DirectoryEntry::default() });
        text.push_str(&event);
    }
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: ProjectId::new(1),
        token: Bytes::from_static(b"token"),
        meta: Bytes::new(),
        received_at_ms: 1_760_000_000_000,
        client_ip: None,
        text: text.into(),
        events: entries,
        outcome: None,
    }
}

fn event_of(nth: usize, text_bytes: usize) -> String {
    let text = "x".repeat(text_bytes);
    format!(
        r#"{{"event":"e","properties":{{"token":"token","distinct_id":"d","nth":{nth},"text":"{text}"}}}}"#
    )
}

impl Sample {
    /// Reads all of it.
    pub(crate) fn reader(&self, limit: Option<u64>) -> Reader {
        let subject = Subject {
            project: ProjectId::new(1).unwrap(),
            tokens: Vec::new(),
            simplified_ids: false,
            received_since_ms: 0,
        };
        let days = days(Some("0000-01-01"), Some("9999-12-31"), Date::MAX).unwrap();
        let query = Query { days, events: None, condition: None, limit, time_in_ms: false };
        Reader::open(&self.store, subject, query, Arc::new(|_| 0)).unwrap()
    }
}

/// The events' numbers, in the order of the lines.
pub(crate) fn numbers(lines: &[u8]) -> Vec<u64> {
    let line = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap();
    let lines = lines.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    lines.map(|l| line(l)["properties"]["nth"].as_u64().unwrap()).collect()
}
