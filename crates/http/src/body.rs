//! The body of an answer: bytes at hand, or a stream.

use crate::link::Link;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::{
    error::Error,
    fmt,
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
};

/// What can go wrong while a body streams. It ends the connection, so that a cut answer never looks whole.
pub type StreamError = Box<dyn Error + Send + Sync>;

type Stream = Pin<Box<dyn HttpBody<Data = Bytes, Error = StreamError>>>;

/// The body of an answer. Stays on the core that made it.
pub struct Body(Kind);

enum Kind {
    Full(Bytes),
    Stream(Stream, Option<GivenUp>, Option<Streaming>),
}

/// Set, from whichever thread, when a stream is given up and its connection is to be cut.
pub(crate) type GivenUp = Arc<AtomicBool>;

/// While this lives its connection is busy, however long the stream pauses.
struct Streaming(Rc<Link>);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.end_stream();
    }
}

impl Body {
    /// Bytes at hand: sent with their length.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        Body(Kind::Full(bytes.into()))
    }

    /// No bytes.
    #[must_use]
    pub fn empty() -> Body {
        Body::full(Bytes::new())
    }

    /// A stream: sent chunked unless it knows its size.
    pub fn stream(stream: impl HttpBody<Data = Bytes, Error = StreamError> + 'static) -> Body {
        Body(Kind::Stream(Box::pin(stream), None, None))
    }

    /// A stream whose connection is cut once `given_up` is set, be it that the peer takes nothing of what it was sent, so
    /// that the stream is never asked again.
    pub fn stream_until(
        stream: impl HttpBody<Data = Bytes, Error = StreamError> + 'static,
        given_up: Arc<AtomicBool>,
    ) -> Body {
        Body(Kind::Stream(Box::pin(stream), Some(given_up), None))
    }

    /// Keeps the connection busy until the stream ends; says whether there is one.
    pub(crate) fn hold(&mut self, link: &Rc<Link>) -> bool {
        match &mut self.0 {
            Kind::Full(_) => false,
            Kind::Stream(_, given_up, streaming) => {
                link.begin_stream(given_up.take());
                *streaming = Some(Streaming(Rc::clone(link)));
                true
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Stream(..) => f.write_str("Body(stream)"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.0 {
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Stream(stream, ..) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Stream(stream, ..) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(stream, ..) => stream.size_hint(),
        }
    }
}
