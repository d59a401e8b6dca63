//! The load: keep-alive connections, each sending its next request when the last one is answered.
//!
//! As little CPU as raw sockets allow: requests are built beforehand, an answer is compared in length and
//! status with the first one of its connection and only taken apart when it differs.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::LocalSet,
};

use super::pin;

/// What to send, where, how long.
#[derive(Clone)]
pub struct Load {
    /// The server.
    pub addr: SocketAddr,
    /// Whole requests, header and body; connections take them in turn.
    pub requests: Vec<Vec<u8>>,
    /// Connections, over all threads.
    pub connections: usize,
    /// The cores to generate on, one thread each; none means one thread anywhere.
    pub cores: Vec<usize>,
    /// How long.
    pub duration: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Requests answered with 200.
    pub answered: u64,
    /// Requests answered with something else.
    pub refused: u64,
    /// Connections that broke.
    pub broken: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of every answered request.
    pub latency: Latency,
}

/// Counts of latencies, in steps of at most 1/16.
#[derive(Clone, Debug)]
pub struct Latency {
    buckets: Vec<u64>,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { buckets: vec![0; 64 * 16] }
    }
}

impl Latency {
    fn add(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        let power = us.ilog2();
        let step = if power >= 4 { (us >> (power - 4)) & 15 } else { (us << (4 - power)) & 15 };
        let bucket = power as usize * 16 + usize::try_from(step).unwrap_or(15);
        self.buckets[bucket] += 1;
    }

    fn merge(&mut self, other: &Latency) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(a, b)| *a += b);
    }

    /// The latency that this share of requests did not exceed, in microseconds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let total: u64 = self.buckets.iter().sum();
        let mut left = share * total as f64;
        for (i, &count) in self.buckets.iter().enumerate() {
            left -= count as f64;
            if left <= 0.0 && count > 0 {
                let (power, step) = (i / 16, i % 16);
                return ((16 + step as u64) << power) / 16;
            }
        }
        0
    }
}

/// Runs the load to its end.
///
/// # Errors
/// When a thread cannot be pinned or no connection can be made.
pub fn run(load: &Load) -> io::Result<Outcome> {
    let threads = load.cores.len().max(1);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|t| {
                let connections = load.connections / threads + usize::from(t < load.connections % threads);
                let core = load.cores.get(t).copied();
                scope.spawn(move || on_one_thread(load, connections, core))
            })
            .collect();
        let mut sum = Outcome::default();
        for thread in running {
            let outcome = thread.join().map_err(|_| io::Error::other("a generator thread panicked"))??;
            sum.answered += outcome.answered;
            sum.refused += outcome.refused;
            sum.broken += outcome.broken;
            sum.elapsed = sum.elapsed.max(outcome.elapsed);
            sum.latency.merge(&outcome.latency);
        }
        Ok(sum)
    })
}

fn on_one_thread(load: &Load, connections: usize, core: Option<usize>) -> io::Result<Outcome> {
    if let Some(core) = core {
        pin(&[core])?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut streams = Vec::with_capacity(connections);
        for i in 0..connections {
            streams.push(connect(load.addr, i).await?);
        }
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let started = Instant::now();
        let until = started + load.duration;
        let requests: Rc<[Vec<u8>]> = load.requests.clone().into();
        let tasks: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(i, stream)| {
                let (requests, outcome) = (requests.clone(), outcome.clone());
                tokio::task::spawn_local(async move {
                    if one_connection(stream, &requests, i, until, &outcome).await.is_err() {
                        outcome.borrow_mut().broken += 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.map_err(io::Error::other)?;
        }
        let mut outcome = outcome.take();
        outcome.elapsed = started.elapsed();
        Ok(outcome)
    })
}

async fn connect(addr: SocketAddr, nth: usize) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if addr.ip().is_loopback() && addr.is_ipv4() {
        // Many connections from few ports each: the whole of 127/8 is ours.
        let host = u8::try_from(1 + nth / 8192).unwrap_or(u8::MAX);
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0)))?;
    }
    let stream = socket.connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn one_connection(
    mut stream: TcpStream,
    requests: &[Vec<u8>],
    first: usize,
    until: Instant,
    outcome: &RefCell<Outcome>,
) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    let mut usual_len = 0;
    let mut sent = Instant::now();
    for request in requests.iter().cycle().skip(first % requests.len()) {
        if sent >= until {
            break;
        }
        stream.write_all(request).await?;
        let mut len = stream.read(&mut buffer).await?;
        if len != usual_len || !buffer.starts_with(b"HTTP/1.1 200") {
            len = whole_answer(&mut stream, &mut buffer, len).await?;
        }
        let answered = Instant::now();
        let mut outcome = outcome.borrow_mut();
        if buffer.starts_with(b"HTTP/1.1 200") {
            usual_len = len;
            outcome.answered += 1;
            outcome.latency.add(answered - sent);
        } else {
            outcome.refused += 1;
        }
        sent = answered;
    }
    Ok(())
}

/// Reads on until the answer in `buffer`, of which `len` bytes are there, is whole.
async fn whole_answer(stream: &mut TcpStream, buffer: &mut [u8], mut len: usize) -> io::Result<usize> {
    loop {
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&buffer[..len]).to_ascii_lowercase();
        if let Some(head) = text.find("\r\n\r\n") {
            let body =
                text[..head].lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
            if len >= head + 4 + body.unwrap_or(0) {
                return Ok(len);
            }
        }
        let more = stream.read(
            buffer
                .get_mut(len..)
                .filter(|b| !b.is_empty())
                .ok_or_else(|| io::Error::other("an answer of more than 4 KiB"))?,
        );
        len += match more.await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => n,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_sixteenth() {
        let mut latency = Latency::default();
        (1..=10_000).for_each(|us| latency.add(Duration::from_micros(us)));
        for (share, exact) in [(0.01, 100.0), (0.5, 5_000.0), (0.99, 9_900.0)] {
            let got = latency.quantile(share) as f64;
            assert!((got - exact).abs() / exact < 1.0 / 16.0, "{share}: {got}");
        }
    }
}
