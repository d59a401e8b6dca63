//! One connection, from the PROXY header to the close.
//!
//! hyper's state and buffers, some ten kilobytes, exist from the first byte of a request until the connection has
//! been idle for a while: an idle connection is a socket, its link and a small task.
//!
//! # Invariants
//! * hyper is taken away only between two requests, when everything before has been read and answered whole; bytes
//!   that it had read beyond that are read again by its successor.

use crate::{
    config::{HttpConfig, ProxyProtocol},
    core::Core,
    io::Io,
    link::{Cut, Link},
    proxy_protocol::{self, Proxied},
    request,
};
use bytes::{Bytes, BytesMut};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// Which listener a connection came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// For senders.
    Main,
    /// For health checks and metrics.
    Admin,
}

/// A connection on its way from the acceptor to a core.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) door: Door,
    /// There are too many: it is told so.
    pub(crate) refused: bool,
}

/// What the requests of a connection share.
pub(crate) struct Session {
    pub(crate) core: Rc<Core>,
    pub(crate) link: Rc<Link>,
    /// Who connected: the socket's peer, or whom the PROXY header names.
    pub(crate) peer: IpAddr,
    /// The socket's peer is on this machine and speaks for itself.
    pub(crate) is_local: bool,
    pub(crate) door: Door,
    pub(crate) refused: bool,
}

/// How hyper serves connections here.
pub(crate) fn builder(config: &HttpConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // A sender may shut his side once he has sent (`nc`, some PHP): he still gets his answer.
        .half_close(true)
        // The link's sweep does this without a timer for each request.
        .header_read_timeout(None)
        .max_buf_size(config.limits.head_bytes_max.max(16 << 10));
    builder
}

/// Serves a connection until it is closed.
pub(crate) async fn serve(core: Rc<Core>, builder: Rc<http1::Builder>, accepted: Accepted) {
    let mut live = core.enter();
    let link = core.watch.link();
    let Ok(mut stream) = TcpStream::from_std(accepted.stream) else { return };
    // Answers are small and written whole: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let config = &core.shared.config;
    let socket_peer = accepted.peer.ip().to_canonical();
    let mut first = Bytes::new();
    let mut proxied = None;
    if config.proxy_protocol == ProxyProtocol::V1V2
        && accepted.door == Door::Main
        && config.trusted_proxies.contains(socket_peer)
    {
        match read_header(&mut stream, config.timeouts.head).await {
            Some((header, rest)) => (proxied, first) = (header.source, rest),
            None => return,
        }
    }
    let session = Rc::new(Session {
        link: Rc::clone(&link),
        peer: proxied.map_or(socket_peer, |source| source.ip().to_canonical()),
        is_local: socket_peer.is_loopback() && proxied.is_none(),
        door: accepted.door,
        refused: accepted.refused,
        core: Rc::clone(&core),
    });
    let mut io = Io::new(stream, first, Rc::clone(&link), config.limits.discard_bytes_max);
    loop {
        poll_fn(|cx| {
            link.attend(cx.waker());
            if link.is_over() || core.ending.get() { Poll::Ready(()) } else { io.poll_readable(cx) }
        })
        .await;
        link.end_rest();
        let session = Rc::clone(&session);
        let service = service_fn(move |request| request::answer(Rc::clone(&session), request));
        let mut connection = Box::new(builder.serve_connection(TokioIo::new(io), service));
        let mut told_to_end = false;
        let then = poll_fn(|cx| {
            link.attend(cx.waker());
            live.cut = matches!(link.cut(), Some(Cut::Slow | Cut::SlowBody));
            if link.is_over() {
                return Poll::Ready(Then::End);
            }
            if link.rests() {
                return Poll::Ready(Then::Rest);
            }
            let mut serving = Pin::new(&mut *connection);
            if core.ending.get() && !told_to_end {
                told_to_end = true;
                serving.as_mut().graceful_shutdown();
            }
            serving.poll(cx).map(|ended| {
                if let Err(error) = ended {
                    tracing::trace!(%error, "a connection ended early");
                }
                Then::End
            })
        });
        match then.await {
            Then::End => return,
            Then::Rest => {
                let parts = connection.into_parts();
                io = parts.io.into_inner();
                io.read_again(parts.read_buf);
            }
        }
    }
}

/// What a connection does after having served.
enum Then {
    End,
    /// Waits for the next request, which may be long in coming.
    Rest,
}

/// Reads the PROXY header, and what came with it; `None` closes the connection.
async fn read_header(stream: &mut TcpStream, patience: Duration) -> Option<(Proxied, Bytes)> {
    let mut bytes = BytesMut::with_capacity(512);
    let reading = async {
        loop {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return None;
            }
            match proxy_protocol::parse(&bytes) {
                Ok(Some(header)) => return Some(header),
                Ok(None) => bytes.reserve(512),
                Err(error) => {
                    tracing::debug!(%error, "a connection from a trusted network was closed");
                    return None;
                }
            }
        }
    };
    let header = timeout(patience, reading).await.ok()??;
    Some((header, bytes.split_off(header.len).freeze()))
}
