//! A file that is read while it is sent: the audit log, to its end, however long it is.
//!
//! # Invariants
//! * A thousand entries are in memory at a time, and the next are read when those were taken. A turn is held while they are
//!   read, and none while somebody takes their time to receive them.
//! * Who asked is asked for their role again with each read; where that, or a read, fails, the connection is cut, so that
//!   half a file never looks whole.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use forebay_control::{AuditFilter, PersonId, chain};
use forebay_http::StreamError;
use hyper::body::{Body, Frame};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::site::Site;

/// Which part of the audit, for whom.
pub(crate) struct AuditFile {
    pub(crate) person: PersonId,
    pub(crate) filter: AuditFilter,
}

/// Some lines, and where it goes on.
type Read = Result<(Bytes, Option<u64>), StreamError>;
/// A read under way, and what it is of.
type Reading = Pin<Box<dyn Future<Output = (AuditFile, Read)>>>;

/// The file on its way.
pub(crate) struct AuditStream {
    site: Arc<Site>,
    turns: Arc<Semaphore>,
    /// What is to be read next; `None`: nothing is left.
    next: Option<AuditFile>,
    reading: Option<Reading>,
}

impl AuditStream {
    pub(crate) fn new(site: Arc<Site>, turns: Arc<Semaphore>, file: AuditFile) -> AuditStream {
        AuditStream { site, turns, next: Some(file), reading: None }
    }

    fn read(&self, file: AuditFile) -> Reading {
        let (site, turns) = (Arc::clone(&self.site), Arc::clone(&self.turns));
        Box::pin(async move {
            let person = file.person;
            let filter = file.filter.clone();
            let reading = async {
                let turn = turns.acquire_owned().await.map_err(|closed| closed.to_string())?;
                let read = spawn_blocking(move || {
                    let lines = lines(&site, person, &filter);
                    drop(turn);
                    lines
                });
                read.await.map_err(|panicked| panicked.to_string())?
            };
            (file, reading.await.map_err(StreamError::from))
        })
    }
}

/// Some entries, a line each.
fn lines(site: &Site, person: PersonId, filter: &AuditFilter) -> Result<(Bytes, Option<u64>), String> {
    let page = site.collector.control.acting(person).audit(filter).map_err(|error| chain(&error))?;
    let mut lines = Vec::new();
    for entry in &page.entries {
        serde_json::to_writer(&mut lines, entry).map_err(|error| error.to_string())?;
        lines.push(b'\n');
    }
    Ok((lines.into(), page.next))
}

impl Body for AuditStream {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let (mut file, read) = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                let (lines, before) = match read {
                    Ok(read) => read,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                };
                if before.is_some() {
                    file.filter.before = before;
                    self.next = Some(file);
                }
                if !lines.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(lines))));
                }
            }
            let Some(file) = self.next.take() else { return Poll::Ready(None) };
            self.reading = Some(self.read(file));
        }
    }
}
