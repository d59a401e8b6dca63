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
    let writing = Writing::new();
    for request in 0..requests {
        writing.append(request_of(request, events, text_bytes));
    }
    writing.close()
}

/// A log that is being written.
pub(crate) struct Writing {
    log: Option<Log>,
    runtime: tokio::runtime::Runtime,
    dir: TempDir,
}

impl Writing {
    /// An empty one.
    pub(crate) fn new() -> Writing {
        let dir = TempDir::new().unwrap();
        let (log, _) = Log::open(LogConfig { lanes: 1, ..LogConfig::new(dir.path()) }).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Writing { log: Some(log), runtime, dir }
    }

    /// What has been written.
    pub(crate) fn store(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    /// Appends one request; it is durable afterwards.
    pub(crate) fn append(&self, append: Append) {
        let log = self.log.as_ref().unwrap();
        LocalSet::new().block_on(&self.runtime, async {
            let submitter = log.submitter();
            let pump = tokio::task::spawn_local(submitter.pump());
            let _committed = submitter.submit(LaneId(0), append).unwrap().await.unwrap();
            pump.abort();
        });
    }

    /// Appends events of these names, each on its day or, without one, when it is received.
    pub(crate) fn write(&self, events: &[(&str, Option<&str>)]) {
        let (mut text, mut entries) = (String::new(), Vec::new());
        for (name, day) in events {
            let event = format!(r#"{{"event":"{name}","properties":{{"token":"token"}}}}"#);
            let place = |n: usize| u32::try_from(n).unwrap();
            entries.push(DirectoryEntry {
                offset: place(text.len()),
                len: place(event.len()),
                time_ms: day.map(|day| {
                    let midnight = format!("{day}T00:00:00Z").parse::<jiff::Timestamp>().unwrap();
                    midnight.as_millisecond()
                }),
                ..DirectoryEntry::default()
            });
            text.push_str(&event);
        }
        self.append(appended(text, entries));
    }

    fn close(mut self) -> Sample {
        self.log.take().unwrap().close().unwrap();
        Sample { store: self.store(), _dir: self.dir }
    }
}

fn request_of(request: usize, events: usize, text_bytes: usize) -> Append {
    let (mut text, mut entries) = (String::new(), Vec::new());
    for i in 0..events {
        let event = event_of(request * events + i, text_bytes);
        let (offset, len) = (u32::try_from(text.len()).unwrap(), u32::try_from(event.len()).unwrap());
        entries.push(DirectoryEntry { offset, len, ..DirectoryEntry::default() });
        text.push_str(&event);
    }
    appended(text, entries)
}

fn appended(text: String, events: Vec<DirectoryEntry>) -> Append {
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: ProjectId::new(1),
        token: Bytes::from_static(b"token"),
        meta: Bytes::new(),
        received_at_ms: 1_760_000_000_000,
        client_ip: None,
        text: text.into(),
        events,
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
        let days = days(Some("0000-01-01"), Some("9999-12-31"), Date::MAX).unwrap();
        let query = Query { days, events: None, condition: None, limit, time_in_ms: false };
        Reader::open(&self.store, subject(), query, Arc::new(|_| 0)).unwrap()
    }
}

/// Project 1.
pub(crate) fn subject() -> Subject {
    Subject {
        project: ProjectId::new(1).unwrap(),
        tokens: Vec::new(),
        simplified_ids: false,
        received_since_ms: 0,
    }
}

/// The events' numbers, in the order of the lines.
pub(crate) fn numbers(lines: &[u8]) -> Vec<u64> {
    let line = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap();
    let lines = lines.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    lines.map(|l| line(l)["properties"]["nth"].as_u64().unwrap()).collect()
}
