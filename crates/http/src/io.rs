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

/// What is written in one go is put together first if it is no longer than this, as nearly every answer is: for a head
/// and a body apart the kernel does more (`writev`), for bytes in one place less (`send`).
const TOGETHER_BYTES_MAX: usize = 1024;

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
        let len = bufs.iter().map(|buf| buf.len()).sum();
        let written = if len <= TOGETHER_BYTES_MAX {
            let mut together = [0; TOGETHER_BYTES_MAX];
            let mut left = &mut together[..];
            for buf in bufs {
                let (here, behind) = left.split_at_mut(buf.len());
                here.copy_from_slice(buf);
                left = behind;
            }
            Pin::new(&mut self.stream).poll_write(cx, &together[..len])
        } else {
            Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Watch;
    use std::{future::poll_fn, io::IoSlice};
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    #[test]
    fn what_is_put_together_arrives_as_it_was_apart() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut io = Io::new(stream, Bytes::new(), Watch::new().link(), 0);
            let bytes: Vec<u8> = (0..=255).cycle().take(2 * TOGETHER_BYTES_MAX).collect();
            for (whole, first) in [(1, 1), (300, 299), (TOGETHER_BYTES_MAX, 0), (TOGETHER_BYTES_MAX + 1, 7)] {
                let (head, body) = bytes[..whole].split_at(first);
                let bufs = [IoSlice::new(head), IoSlice::new(body)];
                let written = poll_fn(|cx| Pin::new(&mut io).poll_write_vectored(cx, &bufs)).await.unwrap();
                assert_eq!(written, whole, "an empty socket takes that much at once");
                let mut read = vec![0; whole];
                peer.read_exact(&mut read).await.unwrap();
                assert_eq!(read, bytes[..whole]);
            }
        });
    }
}
