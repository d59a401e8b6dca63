//! A thread that reads the log, and the stream of bytes that comes out of it.
//!
//! Reading touches maps that may have to come from disk, so it has a thread of its own and not a place among
//! a core's requests. A bounded number of buffers between the two keeps memory flat: whoever reads slowly slows
//! the thread, whoever goes away ends it, and whoever takes nothing for too long is given up.
//!
//! # Invariants
//! * The stream ends without an error only if everything was read and written.
//! * No more than [`BUFFERS_MAX`] buffers are made, and each holds a chunk and one line more at most: they come
//!   back when they have been sent, and are filled again.
//! * The thread waits for nothing but a buffer to come back, and so long at most as [`QueryLimits`](crate::QueryLimits) say;
//!   then its turn is given back, and the connection is cut.

use crate::{ExportError, More, Reader, limits::Turn};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use forebay_http::{QueryCounters, StreamError};
use hyper::body::{Body, Frame};
use std::{
    fmt,
    io::{self, Write},
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Bytes that are handed over at a time, about.
const CHUNK_BYTES: usize = 128 << 10;
/// Buffers that one export has: those that wait, one that is filled, and what the connection is sending.
const BUFFERS_MAX: usize = 8;
/// One that a long line made larger than this is not kept so large.
const BUFFER_BYTES_MAX: usize = 4 * CHUNK_BYTES;

type Chunk = Result<Bytes, StreamError>;

/// A body whose bytes come from a reading thread.
pub(crate) struct Stream {
    chunks: mpsc::Receiver<Chunk>,
    /// Taken from them already.
    first: Option<Chunk>,
    /// Nobody fills it any more, because nobody has taken from it.
    given_up: Arc<AtomicBool>,
}

impl Stream {
    /// Starts reading; `turn` is given back when the thread ends.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start(
        reader: Reader,
        gzip: bool,
        turn: Turn,
        stall_timeout: Duration,
        counters: Arc<QueryCounters>,
    ) -> io::Result<Stream> {
        let (mut job, stream) = Job::new(reader, stall_timeout);
        let given_up = Arc::clone(&stream.given_up);
        std::thread::Builder::new().name("export".to_owned()).spawn(move || {
            let started = Instant::now();
            let end = if gzip { job.run_gzip() } else { job.run_plain() };
            if matches!(end, Err(Ended::Stalled)) {
                counters.stalled.fetch_add(1, Relaxed);
            }
            job.report(end, started, &given_up);
            drop(turn);
        })?;
        Ok(stream)
    }

    /// The body of an answer; its connection is cut when the export is given up.
    pub(crate) fn into_body(self) -> forebay_http::Body {
        let given_up = Arc::clone(&self.given_up);
        forebay_http::Body::stream_until(self, given_up)
    }

    /// Waits until there is something to send, or nothing.
    ///
    /// # Errors
    /// If it broke off before that: then nothing has been sent, and the answer can say why.
    pub(crate) async fn begin(&mut self) -> Result<(), StreamError> {
        self.first = self.chunks.recv().await.map(|chunk| chunk.map(Some)).transpose()?.flatten().map(Ok);
        Ok(())
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first.map(Frame::data)));
        }
        self.chunks.poll_recv(context).map(|chunk| chunk.map(|c| c.map(Frame::data)))
    }
}

/// Why the thread ended before everything was written.
enum Ended {
    /// Nobody reads any more.
    Unread,
    /// Somebody does, and took nothing for too long.
    Stalled,
    Failed(ExportError),
    Gzip(io::Error),
}

/// Buffers that go round: filled here, sent by a core, and back.
struct Buffers {
    back: Receiver<Vec<u8>>,
    give_back: Sender<Vec<u8>>,
    made: usize,
    stall_timeout: Duration,
}

/// What ends the body of an export that was given up.
#[derive(Debug)]
struct GivenUp;

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the export was given up, as its reader took nothing for too long (export.stall_timeout_ms)",
        )
    }
}

impl std::error::Error for GivenUp {}

impl Buffers {
    fn new(stall_timeout: Duration) -> Buffers {
        let (give_back, back) = channel();
        Buffers { back, give_back, made: 0, stall_timeout }
    }

    /// An empty buffer; waits for one where all are on their way, and not for ever.
    fn take(&mut self) -> Result<Vec<u8>, Ended> {
        let mut buffer = match self.back.try_recv() {
            Ok(buffer) => buffer,
            Err(_) if self.made < BUFFERS_MAX => {
                self.made += 1;
                Vec::with_capacity(CHUNK_BYTES + (CHUNK_BYTES >> 3))
            }
            Err(_) => match self.back.recv_timeout(self.stall_timeout) {
                Ok(buffer) => buffer,
                Err(RecvTimeoutError::Timeout) => return Err(Ended::Stalled),
                // Whoever has one gives it back when it is dropped, and this end holds on to the other.
                Err(RecvTimeoutError::Disconnected) => Vec::new(),
            },
        };
        buffer.clear();
        buffer.shrink_to(BUFFER_BYTES_MAX);
        Ok(buffer)
    }

    /// A filled one, to be sent; it comes back by itself.
    fn lend(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, give_back: self.give_back.clone() })
    }

    /// One that was taken and not needed.
    fn put_back(&self, buffer: Vec<u8>) {
        // It goes where it is taken from; nothing else has that end.
        let _ = self.give_back.send(buffer);
    }
}

/// A filled buffer that goes back when nobody needs its bytes any more.
struct Lent {
    buffer: Vec<u8>,
    give_back: Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // The export may have ended meanwhile: then it is freed.
        let _ = self.give_back.send(mem::take(&mut self.buffer));
    }
}

struct Job {
    reader: Reader,
    sender: mpsc::Sender<Chunk>,
    buffers: Buffers,
    sent: u64,
}

impl Job {
    /// A job, and what comes out of it. There is room for all buffers and for why it ended, so handing over never waits.
    fn new(reader: Reader, stall_timeout: Duration) -> (Job, Stream) {
        let (sender, chunks) = mpsc::channel(BUFFERS_MAX + 1);
        let job = Job { reader, sender, buffers: Buffers::new(stall_timeout), sent: 0 };
        (job, Stream { chunks, first: None, given_up: Arc::default() })
    }

    fn run_plain(&mut self) -> Result<(), Ended> {
        loop {
            let mut lines = self.buffers.take()?;
            let more = self.reader.fill(&mut lines, CHUNK_BYTES).map_err(Ended::Failed)?;
            self.send(lines)?;
            if more == More::No {
                return Ok(());
            }
        }
    }

    /// One gzip member over everything; zero bytes stay a valid, empty one.
    fn run_gzip(&mut self) -> Result<(), Ended> {
        let mut encoder = GzEncoder::new(self.buffers.take()?, Compression::fast());
        let mut lines = Vec::with_capacity(CHUNK_BYTES + (CHUNK_BYTES >> 3));
        loop {
            let more = self.reader.fill(&mut lines, CHUNK_BYTES).map_err(Ended::Failed)?;
            encoder.write_all(&lines).map_err(Ended::Gzip)?;
            lines.clear();
            lines.shrink_to(BUFFER_BYTES_MAX);
            if more == More::No {
                let rest = encoder.finish().map_err(Ended::Gzip)?;
                return self.send(rest);
            }
            if encoder.get_ref().len() >= CHUNK_BYTES / 4 {
                let packed = mem::replace(encoder.get_mut(), self.buffers.take()?);
                self.send(packed)?;
            } else {
                self.check_wanted()?;
            }
        }
    }

    fn send(&mut self, chunk: Vec<u8>) -> Result<(), Ended> {
        if chunk.is_empty() {
            // Nothing matched for a while.
            self.buffers.put_back(chunk);
            return self.check_wanted();
        }
        self.sent += chunk.len() as u64;
        let chunk = self.buffers.lend(chunk);
        self.sender.try_send(Ok(chunk)).map_err(|_| Ended::Unread)
    }

    /// Is there still somebody waiting?
    fn check_wanted(&self) -> Result<(), Ended> {
        if self.sender.is_closed() { Err(Ended::Unread) } else { Ok(()) }
    }

    fn report(self, end: Result<(), Ended>, started: Instant, given_up: &AtomicBool) {
        let (events, bytes) = (self.reader.events(), self.sent);
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match end {
            Ok(()) => tracing::info!(events, bytes, took_ms, "export finished"),
            Err(Ended::Unread) => tracing::info!(events, bytes, took_ms, "export not read to its end"),
            Err(Ended::Stalled) => {
                tracing::warn!(
                    events,
                    bytes,
                    took_ms,
                    "export given up: its reader took nothing for too long"
                );
                // Also where the reader goes on before the connection is cut: half of it never looks whole.
                let _ = self.sender.try_send(Err(Box::new(GivenUp)));
                given_up.store(true, Relaxed);
            }
            // The caller's to mend, and for the first events the answer says so.
            Err(Ended::Failed(e @ ExportError::Condition { .. })) => {
                tracing::warn!(events, bytes, error = %e, "export broken off");
                let _ = self.sender.try_send(Err(Box::new(e)));
            }
            Err(Ended::Failed(e)) => {
                tracing::error!(events, bytes, error = %e, cause = ?std::error::Error::source(&e).map(ToString::to_string), "export failed");
                // The reader of a broken stream must not take it for a whole one.
                let _ = self.sender.try_send(Err(Box::new(e)));
            }
            Err(Ended::Gzip(e)) => {
                tracing::error!(events, bytes, error = %e, "export could not be compressed");
                let _ = self.sender.try_send(Err(Box::new(e)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        QueryLimits,
        limits::Gate,
        sample::{numbers, stored, subject},
    };
    use std::{collections::VecDeque, io::Read as _};

    const REQUESTS: usize = 40;
    const EVENTS: usize = 400;
    const FOREVER: Duration = Duration::from_secs(3600);

    /// Exports a store of some MiB to somebody who keeps the last `kept` chunks; returns the bytes and the buffers made.
    fn run(gzip: bool, kept: usize) -> (Vec<u8>, usize) {
        let sample = stored(REQUESTS, EVENTS, 700);
        let (mut job, Stream { mut chunks, .. }) = Job::new(sample.reader(None), FOREVER);
        let thread = std::thread::spawn(move || {
            let end = if gzip { job.run_gzip() } else { job.run_plain() };
            assert!(end.is_ok());
            job.buffers.made
        });
        let (mut bytes, mut held) = (Vec::new(), VecDeque::new());
        while let Some(chunk) = chunks.blocking_recv() {
            let chunk = chunk.unwrap();
            assert!(chunk.len() < CHUNK_BYTES + 2000, "{} bytes in a chunk", chunk.len());
            bytes.extend_from_slice(&chunk);
            held.push_back(chunk);
            if held.len() > kept {
                held.pop_front();
            }
        }
        drop(held);
        (bytes, thread.join().unwrap())
    }

    #[test]
    fn an_export_of_any_size_makes_a_few_buffers_and_no_more() {
        let expected: Vec<u64> = (0..(REQUESTS * EVENTS) as u64).collect();
        for kept in [0, BUFFERS_MAX - 2] {
            let (lines, made) = run(false, kept);
            assert!(lines.len() > 2 * BUFFERS_MAX * CHUNK_BYTES, "more than fits into them: {}", lines.len());
            assert!(made <= BUFFERS_MAX, "{made} buffers");
            assert_eq!(numbers(&lines), expected);
        }
        let (packed, made) = run(true, 0);
        assert!(made <= BUFFERS_MAX, "{made} buffers");
        let mut lines = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut lines).unwrap();
        assert_eq!(numbers(&lines), expected);
    }

    #[test]
    fn whoever_goes_away_while_all_buffers_are_out_ends_the_export() {
        let sample = stored(REQUESTS, EVENTS, 700);
        let (mut job, Stream { mut chunks, .. }) = Job::new(sample.reader(None), FOREVER);
        let thread = std::thread::spawn(move || matches!(job.run_plain(), Err(Ended::Unread)));
        let held: Vec<_> = (0..BUFFERS_MAX).map(|_| chunks.blocking_recv().unwrap()).collect();
        drop((chunks, held));
        assert!(thread.join().unwrap());
    }

    #[test]
    fn an_export_whose_reader_takes_nothing_is_given_up_and_gives_its_turn_back() {
        for gzip in [false, true] {
            // Packed well, it takes more of them to fill the buffers.
            let sample = stored(if gzip { 8 * REQUESTS } else { REQUESTS }, EVENTS, 700);
            let (mut job, mut stream) = Job::new(sample.reader(None), Duration::ZERO);
            let end = if gzip { job.run_gzip() } else { job.run_plain() };
            assert!(matches!(end, Err(Ended::Stalled)), "gzip: {gzip}");
            let given_up = Arc::clone(&stream.given_up);
            job.report(end, Instant::now(), &given_up);
            assert!(given_up.load(Relaxed), "the connection is told");
            let mut chunks: Vec<_> = std::iter::from_fn(|| stream.chunks.blocking_recv()).collect();
            let last = chunks.pop().unwrap();
            assert!(last.is_err(), "who goes on reading does not take it for whole");
            assert!(chunks.len() <= BUFFERS_MAX && chunks.iter().all(Result::is_ok), "{}", chunks.len());
        }
        let limits = QueryLimits { concurrent_max: 2, project_concurrent_max: 1, ..QueryLimits::default() };
        let counters = Arc::new(QueryCounters::default());
        let gate = Gate::new(limits, Arc::clone(&counters));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let turn = runtime.block_on(gate.turn(subject().project, 1_760_000_000_000)).ok().unwrap();
        let sample = stored(REQUESTS, EVENTS, 700);
        let stalled = Arc::clone(&counters);
        let stream = Stream::start(sample.reader(None), false, turn, Duration::ZERO, stalled).unwrap();
        while counters.running.load(Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(counters.stalled.load(Relaxed), 1);
        drop(stream);
    }
}
