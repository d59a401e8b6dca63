//! Listening sockets, and the one thread that accepts on them.
//!
//! A load balancer brings few, long connections, so which core gets one matters: the least loaded does.
//!
//! # Invariants
//! * What the kernel has accepted is served: before a listener closes, its queue is emptied.
//! * A connection over the limit is told so; one far over it too, as far as that works without reading.

use crate::{
    collector::Collector,
    connection::{Accepted, Door},
    serve::Phase,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};

/// Sockets that listen, on addresses that are known.
#[derive(Debug)]
pub struct Listeners {
    main: Vec<StdListener>,
    admin: Option<StdListener>,
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = match self.source.kind() {
            io::ErrorKind::AddrInUse => "; stop the program that has it, or choose another port",
            io::ErrorKind::AddrNotAvailable => "; it is not an address of this machine",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            _ => "",
        };
        write!(f, "cannot listen on {}: {}{remedy}", self.address, self.source)
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Listeners {
    /// Binds the configured addresses and starts listening: the kernel takes connections from now on.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn bind(
        listen: &[SocketAddr],
        admin: Option<SocketAddr>,
        backlog: u32,
    ) -> Result<Listeners, ListenError> {
        let bind =
            |address: SocketAddr| bind(address, backlog).map_err(|source| ListenError { address, source });
        let main = listen.iter().map(|&address| bind(address)).collect::<Result<_, _>>()?;
        Ok(Listeners { main, admin: admin.map(bind).transpose()? })
    }

    /// Where senders are listened to; ports that were 0 are known now.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.main.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Where health checks and metrics are answered, if that is a place of its own.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listener| listener.local_addr().ok())
    }
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server gets its port back although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Accepts until the server closes. Runs on a thread of its own.
pub(crate) fn accept(
    collector: &Arc<Collector>,
    listeners: Listeners,
    cores: &[mpsc::UnboundedSender<Accepted>],
    phase: &watch::Receiver<Phase>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let main = listeners.main.into_iter().map(|listener| (listener, Door::Main));
    let all = main.chain(listeners.admin.map(|listener| (listener, Door::Admin)));
    runtime.block_on(async {
        let mut accepting = JoinSet::new();
        for (listener, door) in all {
            let acceptor = Acceptor {
                collector: Arc::clone(collector),
                cores: cores.to_vec(),
                listener: TcpListener::from_std(listener)?,
                door,
            };
            accepting.spawn(acceptor.run(phase.clone()));
        }
        while accepting.join_next().await.is_some() {}
        Ok(())
    })
}

struct Acceptor {
    collector: Arc<Collector>,
    cores: Vec<mpsc::UnboundedSender<Accepted>>,
    listener: TcpListener,
    door: Door,
}

impl Acceptor {
    async fn run(self, mut phase: watch::Receiver<Phase>) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Ok(stream) = stream.into_std() {
                            self.hand_over(stream, peer);
                        }
                    }
                    Err(error) => self.pause_after(&error).await,
                },
                () = closing(&mut phase) => break,
            }
        }
        // What the kernel has taken in would be reset by closing the listener.
        if let Ok(listener) = self.listener.into_std() {
            let hand = Hand { collector: &self.collector, cores: &self.cores, door: self.door };
            while let Ok((stream, peer)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok() {
                    hand.over(stream, peer);
                }
            }
        }
    }

    fn hand_over(&self, stream: StdStream, peer: SocketAddr) {
        Hand { collector: &self.collector, cores: &self.cores, door: self.door }.over(stream, peer);
    }

    /// A sender that resets before we accept is his own affair; a lack of descriptors is waited out, while
    /// the kernel keeps the connections queued.
    async fn pause_after(&self, error: &io::Error) {
        let passing = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
        if !passing.contains(&error.kind()) {
            tracing::warn!(%error, "cannot accept connections; trying again");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn closing(phase: &mut watch::Receiver<Phase>) {
    // An error says that the server was dropped: it closes too.
    drop(phase.wait_for(|phase| matches!(phase, Phase::Closing { .. })).await);
}

/// Where accepted connections go.
struct Hand<'a> {
    collector: &'a Arc<Collector>,
    cores: &'a [mpsc::UnboundedSender<Accepted>],
    door: Door,
}

impl Hand<'_> {
    fn over(&self, stream: StdStream, peer: SocketAddr) {
        let counters = &self.collector.cores;
        let limit = self.collector.config.limits.connections_max;
        let open: usize = counters.iter().map(|core| core.open()).sum();
        // The admin door stays open, or nobody could see what is going on.
        let refused = open >= limit && self.door == Door::Main;
        if open >= limit + limit / 8 + 64 {
            refuse_at_the_door(&stream, self.collector.config.retry_after_s);
            return;
        }
        let least = (0..self.cores.len()).min_by_key(|&core| counters[core].open()).unwrap_or(0);
        counters[least].accepted(refused);
        let accepted = Accepted { stream, peer, door: self.door, refused };
        if self.cores[least].send(accepted).is_err() {
            // Its core is gone: the server is stopping.
            counters[least].closed(false);
        }
    }
}

/// Far too many connections to serve this one at all: it is told so without being read.
fn refuse_at_the_door(stream: &StdStream, retry_after_s: u32) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after_s}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let socket = SockRef::from(stream);
    let _ = socket.send(answer.as_bytes());
    let _ = socket.shutdown(std::net::Shutdown::Write);
}
