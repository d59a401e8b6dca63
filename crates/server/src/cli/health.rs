//! `forebay health`: for a container's health check.

use super::{Common, Done, Failure};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, Uri, body::Bytes, header::HOST};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::net::TcpStream;

/// Ask a running server whether it can store
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// What to ask [default: /health/ready at the configured address]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How long to wait for the answer
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    timeout_ms: u64,
}

/// A health answer is a few words; more is not read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

impl Health {
    pub(crate) fn run(&self, common: &Common) -> Done {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => {
                let http = common.config(Vec::new())?.http;
                let listen = http.admin_listen.or(http.listen.first().copied());
                let listen =
                    listen.ok_or_else(|| Failure::Usage("no address to ask: give --url".to_owned()))?;
                format!("http://{}/health/ready", reachable(listen))
            }
        };
        let uri: Uri = url.parse().map_err(|e| Failure::Usage(format!("--url {url:?} is not a URL: {e}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async {
            let limit = Duration::from_millis(self.timeout_ms);
            tokio::time::timeout(limit, ask(&uri)).await.unwrap_or_else(|_| {
                Err(Failure::Failed(format!("no answer from {url} within {} ms", self.timeout_ms)))
            })
        });
        let (status, text) = answer?;
        let mut out = common.out();
        if out.json {
            out.value(&json!({ "url": url, "status": status, "answer": text.trim() }))?;
        } else {
            out.line(&format!("{status} {}", text.trim()))?;
        }
        out.done()?;
        if (200..300).contains(&status) { Ok(()) } else { Err(Failure::Found) }
    }
}

/// Where a server that listens at `listen` is reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(uri: &Uri) -> Result<(u16, String), Failure> {
    let authority = match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) => authority,
        _ => return Err(Failure::Usage(format!("--url {uri} must start with http:// and name a host"))),
    };
    let unreachable = |e: &dyn std::fmt::Display| {
        let text = format!(
            "no server answers at {authority}: {e}; does it run, and listen there (--url, --config)?"
        );
        Failure::Failed(text)
    };
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80)));
    let stream = stream.await.map_err(|e| unreachable(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
    let request = Request::get(uri.path_and_query().map_or("/", |p| p.as_str()))
        .header(HOST, authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|e| Failure::of(&e))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|e| unreachable(&e))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|e| unreachable(&e))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::select! {
        answer = exchange => answer,
        ended = connection => Err(unreachable(&format_args!("the connection ended early: {ended:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_address_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:81", "[::1]:81"), ("10.1.2.3:82", "10.1.2.3:82")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
