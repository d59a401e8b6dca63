//! The socket as hyper reads and writes it: with the link's book-keeping, what was read before hyper came,
//! and a close that lets the last answer arrive.

use crate::link::{Link, Stage};
use bytes::{Buf, Bytes};
use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A connection's socket.
pub(crate) struct Io {
    stream: TcpStream,
    /// Read together with the PROXY header, or before a rest; empty for nearly every connection.
    first: Bytes,
    link: Rc<Link>,
    closing: Closing,
    /// How much more is thrown away after the last answer.
    discard_left: usize,
}

#[derive(PartialEq)]
enum Closing {
    No,
    /// Our side is shut; the peer's bytes are thrown away until it closes too.
    Lingering,
}

impl Io {
    pub(crate) fn new(stream: TcpStream, first: Bytes, link: Rc<Link>, discard_bytes_max: usize) -> Io {
        Io { stream, first, link, closing: Closing::No, discard_left: discard_bytes_max }
    }

    /// Ready once there is something to read, if only the end.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.first.is_empty() {
            return Poll::Ready(());
        }
        // An error is there to be read too.
        self.stream.poll_read_ready(cx).map(drop)
    }

    /// Takes back bytes that were read too early.
    pub(crate) fn read_again(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.first = [bytes, std::mem::take(&mut self.first)].concat().into();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let len = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..len]);
            self.first.advance(len);
            self.link.has_read(len);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.link.has_read(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.link.write_blocked(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.link.write_blocked(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Shuts our side, then reads until the peer closes, within bounds: closing a socket with unread bytes
    /// resets the connection, and a reset throws the peer's copy of our last answer away.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing == Closing::No {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.closing = Closing::Lingering;
            self.link.enter(Stage::Lingering);
        }
        let mut scratch = [std::mem::MaybeUninit::uninit(); 4096];
        while self.discard_left > 0 {
            let mut buf = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if buf.filled().is_empty() => break,
                Ok(()) => self.discard_left = self.discard_left.saturating_sub(buf.filled().len()),
                // Already reset: nothing left to protect.
                Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
