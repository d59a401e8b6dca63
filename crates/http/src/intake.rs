//! Reads a request's body: admitted, bounded, timed.
//!
//! # Invariants
//! * No byte is kept that was not admitted first.
//! * A refused body is read on and thrown away, within bounds, so that its sender gets to read why.
//! * A request that is given up while its body comes in is counted, whoever gave it up.

use crate::{
    core::Core,
    link::{Cut, Link, Stage},
};
use bytes::Bytes;
use forebay_route::{Permit, Reason, Shed};
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming},
    header::EXPECT,
};
use std::{future::poll_fn, pin::Pin, task::Poll};

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is over the limit.
    TooLarge {
        /// It was read to its end, so that the connection can go on.
        whole: bool,
    },
    /// There is no room for it.
    Shed {
        /// What is full.
        shed: Shed,
        /// It was read to its end, so that the connection can go on.
        whole: bool,
    },
    /// It comes too slowly.
    Slow,
    /// The connection or its framing broke.
    Broken,
}

/// Bytes admitted at a time for a body that does not say how long it is.
const STEP: usize = 64 << 10;

/// Reads a body of at most `limit` bytes. What it takes of the server's bytes in flight is given back when
/// the permit is dropped.
pub(crate) async fn read(
    core: &Core,
    link: &Link,
    headers: &HeaderMap,
    mut body: Incoming,
    limit: usize,
) -> Result<(Bytes, Option<Permit>), Unread> {
    if body.is_end_stream() {
        link.enter(Stage::Working);
        return Ok((Bytes::new(), None));
    }
    link.enter_body();
    let unfinished = Unfinished::begin(core);
    let declared = body.size_hint().exact();
    let wanted = declared.unwrap_or(STEP as u64);
    let read = if wanted > limit as u64 && declared.is_some() {
        Err(Refusal::TooLarge)
    } else {
        match core.shared.admission.admit(wanted) {
            Ok(permit) => gather(link, &mut body, limit, permit, declared).await,
            Err(shed) => Err(Refusal::Shed(shed)),
        }
    };
    let read = match read {
        Ok((bytes, permit)) => Ok((bytes, Some(permit))),
        Err(Refusal::Slow) => Err(Unread::Slow),
        Err(Refusal::Broken) => Err(Unread::Broken),
        Err(refusal) => {
            // A sender that waits for `100 Continue` has not sent its body, and is not asked to.
            let whole = !headers.contains_key(EXPECT)
                && discard(link, &mut body, core.shared.config.limits.discard_bytes_max).await;
            Err(match refusal {
                Refusal::Shed(shed) => Unread::Shed { shed, whole },
                _ => Unread::TooLarge { whole },
            })
        }
    };
    link.enter(Stage::Working);
    unfinished.done();
    read
}

enum Refusal {
    TooLarge,
    Shed(Shed),
    Slow,
    Broken,
}

async fn gather(
    link: &Link,
    body: &mut Incoming,
    limit: usize,
    mut permit: Permit,
    declared: Option<u64>,
) -> Result<(Bytes, Permit), Refusal> {
    let Some(first) = next(link, body).await? else { return Ok((Bytes::new(), permit)) };
    if body.is_end_stream() || declared == Some(first.len() as u64) {
        if first.len() > limit {
            return Err(Refusal::TooLarge);
        }
        if first.len() as u64 > permit.bytes() {
            permit.grow(first.len() as u64 - permit.bytes()).map_err(Refusal::Shed)?;
        }
        return Ok((first, permit));
    }
    let expected = declared.and_then(|d| usize::try_from(d).ok()).unwrap_or(STEP).min(limit);
    let mut gathered = Vec::with_capacity(expected.max(first.len()));
    let mut piece = first;
    loop {
        let len = gathered.len() + piece.len();
        if len > limit {
            return Err(Refusal::TooLarge);
        }
        while len as u64 > permit.bytes() {
            permit.grow(STEP as u64).map_err(Refusal::Shed)?;
        }
        gathered.extend_from_slice(&piece);
        match next(link, body).await? {
            Some(more) => piece = more,
            None => break,
        }
    }
    permit.shrink_to(gathered.len() as u64);
    Ok((gathered.into(), permit))
}

/// The next piece of a body; trailers are no piece.
async fn next(link: &Link, body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    loop {
        let frame = poll_fn(|cx| {
            if link.cut() == Some(Cut::SlowBody) {
                return Poll::Ready(Err(Refusal::Slow));
            }
            Pin::new(&mut *body).poll_frame(cx).map(Ok)
        });
        match frame.await?.map(|frame| frame.map(Frame::into_data)) {
            None => return Ok(None),
            Some(Ok(Ok(piece))) => return Ok(Some(piece)),
            Some(Ok(Err(_trailers))) => {}
            Some(Err(_)) => return Err(Refusal::Broken),
        }
    }
}

/// Throws a body away; says whether it ended within `limit` bytes and in time.
pub(crate) async fn discard(link: &Link, body: &mut Incoming, limit: usize) -> bool {
    if body.size_hint().lower() > limit as u64 {
        return false;
    }
    let mut left = limit;
    loop {
        match next(link, body).await {
            Ok(None) => return true,
            Ok(Some(piece)) if piece.len() <= left => left -= piece.len(),
            _ => return false,
        }
    }
}

/// Counts a request whose future is dropped at work that has not counted it yet: the sender hung up.
#[must_use]
pub(crate) struct Unfinished<'a> {
    core: &'a Core,
    done: bool,
}

impl<'a> Unfinished<'a> {
    pub(crate) fn begin(core: &'a Core) -> Unfinished<'a> {
        Unfinished { core, done: false }
    }

    /// The work is done; from here on the request is counted by what became of it.
    pub(crate) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.core.shared.ledger.nobody().receive(1, 0).reject_rest(Reason::Interrupted);
        }
    }
}
