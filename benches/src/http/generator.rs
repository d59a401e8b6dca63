//! The load: keep-alive connections, on raw sockets, in a closed loop or by a schedule.
//!
//! As little CPU as sockets allow: requests are built beforehand, and an answer that is as long as the last good one of
//! its connection and ends as it must is not taken apart.
//!
//! # Invariants
//! * What the meter reads is read when all connections stand and nothing is under way, before and after: what opening
//!   and closing them costs is no part of a round, and every request of it is.
//! * Every request is answered, refused, broken off or left over, and counted as just one of these.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream as BlockingStream},
    rc::Rc,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::LocalSet,
};

use super::{
    answer::{ANSWER_BYTES_MAX, Come, Wanted, come},
    latency::Latencies,
    pin,
    request::Request,
    schedule::{Arrivals, Due},
    timer::Timer,
};
use crate::events::Numbers;

/// What to send, where, how long.
#[derive(Clone)]
pub struct Traffic {
    /// The server.
    pub addr: SocketAddr,
    /// Connections take them in turn.
    pub requests: Arc<[Request]>,
    /// What the server must answer.
    pub wanted: Wanted,
    /// Requests go to so many projects, drawn at random.
    pub projects: u64,
    /// Connections, over all threads.
    pub connections: usize,
    /// Requests a second, whether they are answered or not; `None` for a closed loop.
    pub rate_per_s: Option<f64>,
    /// How long new requests are sent.
    pub duration: Duration,
    /// Threads that generate.
    pub threads: usize,
    /// The cores they run on; none means any.
    pub cores: Vec<usize>,
    /// Decides projects and arrivals.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Requests answered as they must be.
    pub answered: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of these events as JSON.
    pub json_bytes: u64,
    /// Requests answered with something else.
    pub refused: u64,
    /// Connections that broke, each with a request under way.
    pub broken: u64,
    /// The first wrong answer, or why the first connection broke.
    pub first_wrong: Option<String>,
    /// Requests that were due and that no connection was free for until the end.
    pub left_over: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of every answered request, and of those left over, which waited at least so long.
    pub latencies: Latencies,
}

/// An open loop's queue may be worked off for so long after the last arrival.
const GRACE: Duration = Duration::from_millis(250);
/// Arrivals closer than this are sent together: a wake-up for each would cost more than it tells.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// When a meter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All connections stand, nothing has been sent.
    Before,
    /// Every answer has come, the connections still stand.
    After,
}

/// Runs the traffic to its end, and reads the meter before and after.
///
/// # Errors
/// When a thread cannot be pinned or a connection not be made, or the meter fails.
pub fn run<M>(traffic: &Traffic, meter: impl Fn(When) -> io::Result<M>) -> io::Result<(Outcome, M, M)> {
    let threads = traffic.threads.clamp(1, traffic.connections.max(1));
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let barrier = &barrier;
        let running: Vec<_> = (0..threads)
            .map(|nth| scope.spawn(move || on_one_thread(traffic, nth, threads, barrier)))
            .collect();
        barrier.wait();
        let before = meter(When::Before);
        barrier.wait();
        barrier.wait();
        let after = meter(When::After);
        barrier.wait();
        let mut sum = Outcome::default();
        for thread in running {
            let outcome = thread.join().map_err(|_| io::Error::other("a generator thread panicked"))??;
            sum.add(outcome);
        }
        Ok((sum, before?, after?))
    })
}

impl Outcome {
    fn add(&mut self, other: Outcome) {
        self.answered += other.answered;
        self.events += other.events;
        self.json_bytes += other.json_bytes;
        self.refused += other.refused;
        self.broken += other.broken;
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
        self.left_over += other.left_over;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.latencies.merge(&other.latencies);
    }
}

fn on_one_thread(traffic: &Traffic, nth: usize, threads: usize, barrier: &Barrier) -> io::Result<Outcome> {
    // Every thread comes to every barrier, whatever fails: the others wait for it.
    let connected = Worker::connect(traffic, nth, threads);
    barrier.wait();
    barrier.wait();
    let sent = connected.and_then(|(runtime, worker, streams)| {
        let streams = worker.send(&runtime, streams)?;
        Ok((runtime, worker, streams))
    });
    barrier.wait();
    barrier.wait();
    let (_runtime, worker, streams) = sent?;
    drop(streams);
    Ok(worker.outcome.take())
}

/// A thread's part of the traffic.
struct Worker {
    traffic: Traffic,
    rate_per_s: Option<f64>,
    next_request: Cell<usize>,
    numbers: RefCell<Numbers>,
    until: Cell<Instant>,
    due: RefCell<Due>,
    outcome: RefCell<Outcome>,
}

impl Worker {
    fn connect(
        traffic: &Traffic,
        nth: usize,
        threads: usize,
    ) -> io::Result<(Runtime, Rc<Worker>, Vec<TcpStream>)> {
        if let Some(&core) = traffic.cores.get(nth % traffic.cores.len().max(1)) {
            pin(&[core])?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let streams = {
            let _context = runtime.enter();
            let mine = (nth..traffic.connections).step_by(threads);
            let stream = |nth| {
                let stream = connect(traffic.addr, nth)?;
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)
            };
            mine.map(stream).collect::<io::Result<Vec<_>>>()?
        };
        let share = streams.len() as f64 / traffic.connections.max(1) as f64;
        let seed = traffic.seed.wrapping_add(nth as u64);
        let worker = Worker {
            rate_per_s: traffic.rate_per_s.map(|rate| rate * share),
            next_request: Cell::new(nth * traffic.requests.len() / threads),
            numbers: RefCell::new(Numbers::new(seed)),
            until: Cell::new(Instant::now()),
            due: RefCell::default(),
            outcome: RefCell::default(),
            traffic: traffic.clone(),
        };
        Ok((runtime, Rc::new(worker), streams))
    }

    /// Sends until the time is over and every answer is there; gives back the connections, still open.
    fn send(self: &Rc<Worker>, runtime: &Runtime, streams: Vec<TcpStream>) -> io::Result<Vec<TcpStream>> {
        LocalSet::new().block_on(runtime, async {
            let started = Instant::now();
            self.until.set(started + self.traffic.duration);
            let tasks: Vec<_> = streams
                .into_iter()
                .map(|mut stream| {
                    let worker = Rc::clone(self);
                    tokio::task::spawn_local(async move {
                        if let Err(error) = worker.one_connection(&mut stream).await {
                            let mut outcome = worker.outcome.borrow_mut();
                            outcome.broken += 1;
                            outcome.first_wrong.get_or_insert_with(|| format!("a connection broke: {error}"));
                        }
                        stream
                    })
                })
                .collect();
            if let Some(rate) = self.rate_per_s {
                self.schedule(started, rate).await?;
            }
            let mut streams = Vec::with_capacity(tasks.len());
            for task in tasks {
                streams.push(task.await.map_err(io::Error::other)?);
            }
            self.outcome.borrow_mut().elapsed = started.elapsed();
            Ok(streams)
        })
    }

    /// Says when requests are due, until the last one.
    async fn schedule(&self, started: Instant, rate_per_s: f64) -> io::Result<()> {
        let timer = Timer::new()?;
        let seed = self.numbers.borrow_mut().next_u64();
        let mut arrivals = Arrivals::new(rate_per_s, self.traffic.duration, seed);
        while let Some(next) = arrivals.next_due() {
            let wait = next.saturating_sub(started.elapsed());
            if !wait.is_zero() {
                timer.sleep(wait.max(SLEEP_MIN)).await?;
            }
            let now = started.elapsed();
            while arrivals.next_due().is_some_and(|due| due <= now)
                && let Some(due) = arrivals.next()
            {
                self.due.borrow_mut().push(started + due);
            }
            // Where the generator is behind, the connections get their turn nonetheless.
            tokio::task::yield_now().await;
        }
        let until = Instant::now() + GRACE;
        while !self.due.borrow().is_empty() && Instant::now() < until {
            timer.sleep(Duration::from_millis(1)).await?;
        }
        let (now, mut due, mut outcome) = (Instant::now(), self.due.borrow_mut(), self.outcome.borrow_mut());
        for due in due.take_left_over() {
            outcome.left_over += 1;
            outcome.latencies.add(due, now);
        }
        due.finish();
        Ok(())
    }

    /// When the next request of a connection that is free is due, as soon as it is.
    async fn next_due(&self) -> Option<Instant> {
        if self.rate_per_s.is_some() {
            return poll_fn(|context| self.due.borrow_mut().poll_next(context)).await;
        }
        let now = Instant::now();
        (now < self.until.get()).then_some(now)
    }

    async fn one_connection(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        let mut own = Vec::new();
        let (mut usual_len, wanted) = (0, self.traffic.wanted);
        while let Some(due) = self.next_due().await {
            let nth = self.next_request.get();
            self.next_request.set(nth.wrapping_add(1));
            let request = &self.traffic.requests[nth % self.traffic.requests.len()];
            let bytes = if self.traffic.projects > 1 && request.takes_token() {
                let project = self.numbers.borrow_mut().below(self.traffic.projects);
                request.for_project(project, &mut own);
                &own
            } else {
                &request.bytes
            };
            stream.write_all(bytes).await?;
            let mut len = stream.read(&mut answer).await?;
            let usual = len == usual_len
                && wanted == Wanted::One
                && answer.starts_with(b"HTTP/1.1 200")
                && answer[..len].ends_with(b"\r\n\r\n1");
            let (mut is_good, mut keeps) = (true, true);
            if !usual {
                let (status, kept);
                (len, status, kept) = whole_answer(stream, &mut answer, len).await?;
                is_good = wanted.is(status, &answer[..len]);
                keeps = kept;
            }
            let mut outcome = self.outcome.borrow_mut();
            if is_good {
                usual_len = len;
                outcome.answered += 1;
                outcome.events += request.events;
                outcome.json_bytes += request.json_bytes;
                outcome.latencies.add(due, Instant::now());
            } else {
                outcome.refused += 1;
                outcome.first_wrong.get_or_insert_with(|| on_one_line(&answer[..len]));
            }
            drop(outcome);
            if !keeps {
                *stream = TcpStream::from_std(connect_again(self.traffic.addr)?)?;
            }
        }
        Ok(())
    }
}

/// The beginning of an answer, for a message.
fn on_one_line(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(&answer[..answer.len().min(400)]);
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads on until the answer, of which `len` bytes are there, is whole: its length, its status, and whether the
/// connection stays.
async fn whole_answer(
    stream: &mut TcpStream,
    answer: &mut [u8],
    mut len: usize,
) -> io::Result<(usize, u16, bool)> {
    loop {
        if len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed it without an answer",
            ));
        }
        match come(&answer[..len]) {
            Come::Whole { status, keeps } => return Ok((len, status, keeps)),
            Come::Nonsense => return Err(io::Error::other("no HTTP answer, or one of more than 4 KiB")),
            Come::Part => {}
        }
        let rest = answer.get_mut(len..).filter(|rest| !rest.is_empty());
        let rest = rest.ok_or_else(|| io::Error::other("an answer of more than 4 KiB"))?;
        len += match stream.read(rest).await? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended within an answer")),
            more => more,
        };
    }
}

fn connect_again(addr: SocketAddr) -> io::Result<BlockingStream> {
    let stream = connect(addr, 0)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Connections from one address to one server: it has some 28,000 ports.
const PORTS: usize = 20_000;

/// The `nth` connection to a server.
fn connect(addr: SocketAddr, nth: usize) -> io::Result<BlockingStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if nth >= PORTS && addr.ip().is_loopback() && addr.is_ipv4() {
        // The whole of 127/8 is ours. Not for the first ones: looking for a free port to bind takes the kernel a
        // millisecond when thousands are taken, and none when it connects without.
        let host = u8::try_from(1 + nth / PORTS).unwrap_or(u8::MAX);
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into())?;
    }
    socket.connect(&addr.into())?;
    socket.set_tcp_nodelay(true)?;
    // Closed by a reset, it does not keep its port for a minute: thousands of connections every other second would use
    // all of them up.
    socket.set_linger(Some(Duration::ZERO))?;
    Ok(socket.into())
}

/// Opens so many connections, each of which has been used for one request, and leaves them open.
///
/// # Errors
/// When one cannot be made, or is not answered as it must be.
pub fn idle(traffic: &Traffic, count: usize) -> io::Result<Vec<BlockingStream>> {
    let request = traffic.requests.iter().min_by_key(|request| request.bytes.len());
    let request = request.ok_or_else(|| io::Error::other("there are no requests"))?;
    let asked = |nth| {
        // Behind those that the load itself makes.
        let mut stream = connect(traffic.addr, traffic.connections + nth)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(&request.bytes)?;
        Ok(stream)
    };
    let mut streams = Vec::with_capacity(count);
    // Many at a time: they share a flush, as one by one they would not.
    for first in (0..count).step_by(IDLE_AT_ONCE) {
        let some = (first..count.min(first + IDLE_AT_ONCE)).map(asked).collect::<io::Result<Vec<_>>>()?;
        for mut stream in some {
            answered(&mut stream, traffic.wanted)?;
            streams.push(stream);
        }
    }
    Ok(streams)
}

/// Idle connections that are opened together.
const IDLE_AT_ONCE: usize = 256;

/// Reads an answer, which must be what it must.
fn answered(stream: &mut BlockingStream, wanted: Wanted) -> io::Result<()> {
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let mut len = 0;
    loop {
        match stream.read(&mut answer[len..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => len += more,
        }
        match come(&answer[..len]) {
            Come::Part => {}
            Come::Whole { status, keeps: true } if wanted.is(status, &answer[..len]) => return Ok(()),
            _ => return Err(io::Error::other(format!("it answered {}", on_one_line(&answer[..len])))),
        }
    }
}
