//! A thread that reads the log, and the stream of bytes that comes out of it.
//!
//! Reading touches maps that may have to come from disk, so it has a thread of its own and not a place among
//! a core's requests. A bounded channel between the two keeps memory flat: whoever reads slowly slows the
//! thread, whoever goes away ends it.
//!
//! # Invariants
//! * The stream ends without an error only if everything was read and written.

use crate::{ExportError, More, Reader};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use forebay_http::StreamError;
use hyper::body::{Body, Frame};
use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Bytes that are handed over at a time, about.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait to be sent.
const CHUNKS_WAITING: usize = 4;

type Chunk = Result<Bytes, StreamError>;

/// A body whose bytes come from a reading thread.
pub(crate) struct Stream {
    chunks: mpsc::Receiver<Chunk>,
}

impl Stream {
    /// Starts reading; `permit` is given back when the thread ends.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start(reader: Reader, gzip: bool, permit: OwnedSemaphorePermit) -> io::Result<Stream> {
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING);
        std::thread::Builder::new().name("export".to_owned()).spawn(move || {
            let started = Instant::now();
            let mut job = Job { reader, sender, sent: 0 };
            let end = if gzip { job.run_gzip() } else { job.run_plain() };
            job.report(end, started);
            drop(permit);
        })?;
        Ok(Stream { chunks })
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.chunks.poll_recv(context).map(|chunk| chunk.map(|c| c.map(Frame::data)))
    }
}

/// Why the thread ended before everything was written.
enum Ended {
    /// Nobody reads any more.
    Unread,
    Failed(ExportError),
    Gzip(io::Error),
}

struct Job {
    reader: Reader,
    sender: mpsc::Sender<Chunk>,
    sent: u64,
}

impl Job {
    fn run_plain(&mut self) -> Result<(), Ended> {
        loop {
            let mut lines = Vec::with_capacity(CHUNK_BYTES + (CHUNK_BYTES >> 2));
            let more = self.reader.fill(&mut lines, CHUNK_BYTES).map_err(Ended::Failed)?;
            self.send(lines)?;
            if more == More::No {
                return Ok(());
            }
        }
    }

    /// One gzip member over everything; zero bytes stay a valid, empty one.
    fn run_gzip(&mut self) -> Result<(), Ended> {
        let mut encoder = GzEncoder::new(Vec::with_capacity(CHUNK_BYTES), Compression::fast());
        let mut lines = Vec::with_capacity(CHUNK_BYTES * 2);
        loop {
            let more = self.reader.fill(&mut lines, CHUNK_BYTES).map_err(Ended::Failed)?;
            encoder.write_all(&lines).map_err(Ended::Gzip)?;
            lines.clear();
            if more == More::No {
                let rest = encoder.finish().map_err(Ended::Gzip)?;
                return self.send(rest);
            }
            let enough = encoder.get_ref().len() >= CHUNK_BYTES / 4;
            let packed = if enough { std::mem::take(encoder.get_mut()) } else { Vec::new() };
            self.send(packed)?;
        }
    }

    fn send(&mut self, chunk: Vec<u8>) -> Result<(), Ended> {
        if chunk.is_empty() {
            // Nothing matched for a while: is there still somebody waiting?
            return if self.sender.is_closed() { Err(Ended::Unread) } else { Ok(()) };
        }
        self.sent += chunk.len() as u64;
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| Ended::Unread)
    }

    fn report(self, end: Result<(), Ended>, started: Instant) {
        let (events, bytes) = (self.reader.events(), self.sent);
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match end {
            Ok(()) => tracing::info!(events, bytes, took_ms, "export finished"),
            Err(Ended::Unread) => tracing::info!(events, bytes, took_ms, "export not read to its end"),
            Err(Ended::Failed(e)) => {
                tracing::error!(events, bytes, error = %e, cause = ?std::error::Error::source(&e).map(ToString::to_string), "export failed");
                // The reader of a broken stream must not take it for a whole one.
                let _ = self.sender.blocking_send(Err(Box::new(e)));
            }
            Err(Ended::Gzip(e)) => {
                tracing::error!(events, bytes, error = %e, "export could not be compressed");
                let _ = self.sender.blocking_send(Err(Box::new(e)));
            }
        }
    }
}
