//! The server to compare with: hyper on one current-thread runtime per core, reading the body, answering `1`.

use std::{convert::Infallible, io, net::SocketAddr, thread, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::mpsc};

/// Serves until the process ends, on as many runtimes as there are cores to run on. `ready` is told the
/// address.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve(listen: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let cores = thread::available_parallelism()?.get();
    let senders: Vec<_> = (0..cores)
        .map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            thread::spawn(move || core(receiver));
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

fn core(mut streams: mpsc::UnboundedReceiver<std::net::TcpStream>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        while let Some(stream) = streams.recv().await {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            // A connection that broke off is the generator's doing.
            tokio::task::spawn_local(async move { drop(serving.await) });
        }
        Ok(())
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        std::hint::black_box(&frame);
    }
    let mut response = Response::new(Full::new(Bytes::from_static(b"1")));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    Ok(response)
}
