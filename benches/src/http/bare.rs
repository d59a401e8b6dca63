//! Servers to compare with: hyper on one current-thread runtime per core, reading the body, answering `1`.
//!
//! The plain one is what HTTP costs before anything is done with an event; the parsing one also validates the events
//! with simd-json and finds the five fields in each, and keeps nothing either.

use std::{
    cell::RefCell,
    convert::Infallible,
    io::{self, Read},
    net::SocketAddr,
    thread,
    time::Duration,
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Buf, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::mpsc};

use super::parse::{Fields, Parser};

/// Serves until the process ends, on as many runtimes as there are cores to run on. `ready` is told the address.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve(listen: SocketAddr, parses: bool, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    super::limits::raise_descriptors();
    let cores = thread::available_parallelism()?.get();
    let senders: Vec<_> = (0..cores)
        .map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            thread::spawn(move || core(receiver, parses));
            sender
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(listen).await?;
        ready(listener.local_addr()?);
        for sender in senders.iter().cycle() {
            match listener.accept().await {
                Ok((stream, _)) => {
                    stream.set_nodelay(true)?;
                    // A core that is gone took the process with it: nothing to tell.
                    let _ = sender.send(stream.into_std()?);
                }
                // Out of file descriptors, most likely: some will come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        Ok(())
    })
}

fn core(mut streams: mpsc::UnboundedReceiver<std::net::TcpStream>, parses: bool) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        while let Some(stream) = streams.recv().await {
            let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
            // A connection that broke off is the generator's doing.
            if parses {
                let serving = http1::Builder::new().serve_connection(stream, service_fn(answer_parsed));
                tokio::task::spawn_local(async move { drop(serving.await) });
            } else {
                let serving = http1::Builder::new().serve_connection(stream, service_fn(answer));
                tokio::task::spawn_local(async move { drop(serving.await) });
            }
        }
        Ok(())
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        std::hint::black_box(&frame);
    }
    Ok(one())
}

fn one() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"1")));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    response
}

thread_local! {
    static PARSING: RefCell<(Parser, Vec<u8>)> = RefCell::default();
}

async fn answer_parsed(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let gzipped = request.headers().contains_key(header::CONTENT_ENCODING);
    let mut response = one();
    let events = match request.into_body().collect().await {
        Ok(body) => parse(body.aggregate(), gzipped),
        Err(_) => None,
    };
    if events.is_none() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

/// What was found is not used, and is not to be left out for that.
fn seen(fields: Fields<'_>) {
    std::hint::black_box(fields);
}

/// Parses a body of any form; `None` where it is none. As much as the generator sends: it trusts the sender.
fn parse(mut body: impl Buf, gzipped: bool) -> Option<usize> {
    PARSING.with_borrow_mut(|(parser, text)| {
        text.clear();
        if gzipped {
            GzDecoder::new(body.reader()).read_to_end(text).ok()?;
            return parser.events(text, seen);
        }
        let whole = body.copy_to_bytes(body.remaining());
        if let Some(value) = whole.strip_prefix(b"data=") {
            text.extend(percent_encoding::percent_decode(value));
            if !text.starts_with(b"[") && !text.starts_with(b"{") {
                let len = base64_simd::STANDARD.decode_inplace(text).ok()?.len();
                text.truncate(len);
            }
            return parser.events(text, seen);
        }
        parser.events(&whole, seen)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        load::{Form, Load},
        request::{Destination, requests},
    };

    #[test]
    fn the_parsing_one_understands_every_form_that_is_sent() {
        for form in [Form::Json, Form::Form, Form::Base64, Form::Gzip] {
            for request in requests(Load::Events(3), form, &Destination::projects(1), 1).iter().take(3) {
                assert_eq!(parse(request.body(), form == Form::Gzip), Some(3), "{form}");
            }
        }
        assert_eq!(parse(&b"nonsense"[..], false), None);
    }
}
