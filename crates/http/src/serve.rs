//! The server as a whole: its threads, and how it stops.
//!
//! Stopping goes in steps, so that no request is lost: readiness turns red and answers ask for the
//! connection to be closed; after a while the listeners close, once their queues are empty; requests in
//! flight and those on their way finish; then idle connections end.

use crate::{
    collector::Collector,
    connection::Accepted,
    core, descriptors,
    listener::{self, Listeners},
    mount::Mount,
};
use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};
use tokio::sync::{mpsc, watch};

/// How far the server is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// It accepts connections.
    Open,
    /// It does not; requests in flight may finish until then.
    Closing { deadline: Instant },
}

/// A server that runs. Dropping it stops it without waiting for red readiness to be noticed.
#[derive(Debug)]
pub struct Running {
    collector: Arc<Collector>,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    phase: watch::Sender<Phase>,
    acceptor: Option<JoinHandle<io::Result<()>>>,
    cores: Vec<JoinHandle<io::Result<usize>>>,
}

/// How a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were still busy when time was up.
    pub cut_connections: usize,
}

/// Starts serving: one thread for each core and one that accepts.
///
/// # Errors
/// When a thread cannot be started.
pub fn serve(
    listeners: Listeners,
    collector: Arc<Collector>,
    mounts: Vec<Arc<dyn Mount>>,
) -> io::Result<Running> {
    descriptors::raise(collector.config.limits.connections_max);
    let (phase, watching) = watch::channel(Phase::Open);
    let mounts: Arc<[Arc<dyn Mount>]> = mounts.into();
    let mut running = Running {
        addresses: listeners.addresses(),
        admin_address: listeners.admin_address(),
        collector: Arc::clone(&collector),
        phase,
        acceptor: None,
        cores: Vec::new(),
    };
    let mut senders = Vec::new();
    for number in 0..collector.config.cores {
        let (sender, incoming) = mpsc::unbounded_channel::<Accepted>();
        let (shared, mounts, phase) = (Arc::clone(&collector), Arc::clone(&mounts), watching.clone());
        let thread = thread::Builder::new().name(format!("http-{number}"));
        running.cores.push(thread.spawn(move || core::run(shared, number, mounts, incoming, phase))?);
        senders.push(sender);
    }
    let thread = thread::Builder::new().name("http-accept".to_owned());
    running.acceptor =
        Some(thread.spawn(move || listener::accept(&collector, listeners, &senders, &watching))?);
    Ok(running)
}

impl Running {
    /// Where senders are listened to.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where health checks and metrics are answered, if that is a place of its own.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// What the cores share.
    #[must_use]
    pub fn collector(&self) -> &Arc<Collector> {
        &self.collector
    }

    /// Turns readiness red. Requests are still taken; [`Running::drain`] does this too, and then waits.
    pub fn turn_red(&self) {
        self.collector.set_draining();
    }

    /// Stops: turns readiness red, waits for that to be noticed, closes the listeners, lets requests finish.
    ///
    /// # Errors
    /// When a thread had ended by itself, with why.
    pub fn drain(mut self) -> io::Result<Stopped> {
        self.turn_red();
        thread::sleep(self.collector.config.drain.ready_red);
        self.close()
    }

    fn close(&mut self) -> io::Result<Stopped> {
        self.collector.set_draining();
        let deadline = Instant::now() + self.collector.config.drain.finish;
        let _ = self.phase.send(Phase::Closing { deadline });
        let mut stopped = Stopped { cut_connections: 0 };
        let mut ended = Ok(());
        if let Some(acceptor) = self.acceptor.take() {
            ended = joined(acceptor);
        }
        for core in self.cores.drain(..) {
            match joined(core) {
                Ok(cut) => stopped.cut_connections += cut,
                Err(error) => ended = Err(error),
            }
        }
        ended.map(|()| stopped)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

fn joined<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    thread.join().map_err(|_| io::Error::other(format!("thread {name} panicked")))?
}
