//! Text messages, by the HTTP interface of whichever provider brings them.
//!
//! # Invariants
//! * Every request ends within [`TIMEOUT`], its answer is read within [`ANSWER_BYTES_MAX`], and no redirect is followed: the
//!   secret goes where it was configured to go.
//! * Neither the secret nor a code is part of an error.

use std::{fmt, fs, io, net::ToSocketAddrs, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use forebay_control::{Sending, chain};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Runtime,
};

use crate::mail::is_this_machine;

/// Of a whole request: a code that comes later is hardly waited for.
const TIMEOUT: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How much of what a provider says goes into the error.
const SAID_CHARS_MAX: usize = 200;

/// How text messages are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where to; empty: no text messages are sent. `{number}`, `{digits}` and `{code}` stand for what they say.
    pub url: String,
    /// `POST`, `PUT` or `GET`; empty: `POST`.
    pub method: String,
    /// Headers such as `Authorization: Bearer {secret}`.
    pub headers: Vec<String>,
    /// The file whose first line `{secret}` stands for.
    pub secret_file: Option<PathBuf>,
    /// What is sent; `{number}`, `{digits}` (the number without its plus), `{code}` and `{secret}` stand for what they say.
    pub body: String,
    /// A further certificate to trust, PEM.
    pub ca_file: Option<PathBuf>,
}

/// Why text messages cannot be sent as configured.
#[derive(Debug)]
pub enum GatewayError {
    /// It is no address.
    Url(String),
    /// It is none of the methods.
    Method(String),
    /// It is no header: the one of this place, from 1.
    Header(usize),
    /// Codes and the secret would go over the network in plain, to this host.
    Plain(String),
    /// A file could not be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be encrypted, or what is sent asks for a secret that is not there.
    Other(String),
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KEY: &str = "second_factor.gateway";
        match self {
            GatewayError::Url(url) => {
                write!(f, "{KEY}.url {url:?} is no address such as https://api.example.com/messages")
            }
            GatewayError::Method(method) => write!(f, "{KEY}.method {method:?} is none of POST, PUT and GET"),
            GatewayError::Header(nth) => {
                write!(
                    f,
                    "header {nth} of {KEY}.headers is none; one looks like Authorization: Bearer {{secret}}"
                )
            }
            GatewayError::Plain(host) => write!(
                f,
                "{KEY}.url would send codes to {host} unencrypted; use https, or a gateway on this machine"
            ),
            GatewayError::File { path, .. } => write!(f, "cannot read {}", path.display()),
            GatewayError::Other(why) => write!(f, "{KEY}: {why}"),
        }
    }
}

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            GatewayError::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Sends text messages.
pub struct Gateway {
    url: String,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
    secret: String,
    /// What stands in the body is encoded as fields of a form are.
    is_form: bool,
    tls: Arc<rustls::ClientConfig>,
    runtime: Runtime,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gateway(..)")
    }
}

impl Gateway {
    /// One that sends as configured.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub fn new(config: &GatewayConfig) -> Result<Gateway, GatewayError> {
        let secret = config.secret_file.as_ref().map(first_line).transpose()?.unwrap_or_default();
        let filled = [config.url.as_str(), config.body.as_str()];
        let asks = filled.into_iter().chain(config.headers.iter().map(String::as_str));
        if secret.is_empty() && asks.into_iter().any(|text| text.contains("{secret}")) {
            let why = "{secret} is asked for, and secret_file is not set or its first line is empty";
            return Err(GatewayError::Other(why.to_owned()));
        }
        let method = match config.method.as_str() {
            "" | "POST" => Method::POST,
            "PUT" => Method::PUT,
            "GET" => Method::GET,
            other => return Err(GatewayError::Method(other.to_owned())),
        };
        let mut headers = Vec::with_capacity(config.headers.len());
        for (at, text) in config.headers.iter().enumerate() {
            headers.push(header(text, &secret).ok_or(GatewayError::Header(at + 1))?);
        }
        let is_form = headers.iter().any(|(name, value)| {
            name == CONTENT_TYPE && value.to_str().is_ok_and(|text| text.contains("x-www-form-urlencoded"))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let gateway = Gateway {
            method,
            headers,
            is_form,
            body: config.body.clone(),
            url: config.url.clone(),
            tls: Arc::new(tls(config)?),
            runtime: runtime.map_err(|error| GatewayError::Other(error.to_string()))?,
            secret,
        };
        // As it will be for a message.
        match target(&gateway.filled(&gateway.url, "+491700000000", "123456", true)) {
            Some(uri) => {
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
                match uri.scheme_str() == Some("https") || is_this_machine(host) {
                    true => Ok(gateway),
                    false => Err(GatewayError::Plain(host.to_owned())),
                }
            }
            None => Err(GatewayError::Url(config.url.clone())),
        }
    }

    /// Hands a code for a number over to the provider.
    pub fn send(&self, number: &str, code: &str) -> Sending {
        let asking = async {
            match tokio::time::timeout(TIMEOUT, self.ask(number, code)).await {
                Ok(answered) => answered,
                Err(_) => Err(format!("no answer within {} seconds", TIMEOUT.as_secs())),
            }
        };
        match self.runtime.block_on(asking) {
            Ok((status, _)) if status.is_success() => Sending::Sent,
            Ok((status, said)) => {
                let why =
                    format!("the gateway answered {status}: {}", self.without_secrets(&said, number, code));
                let may_change =
                    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
                        || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                if status.is_client_error() && !may_change {
                    Sending::Refused(why)
                } else {
                    Sending::Later(why)
                }
            }
            Err(why) => Sending::Later(why),
        }
    }

    async fn ask(&self, number: &str, code: &str) -> Result<(StatusCode, String), String> {
        let uri = target(&self.filled(&self.url, number, code, true)).ok_or("the address is none")?;
        let body = self.filled(&self.body, number, code, self.is_form);
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let stream = connect(&host, port).await?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(self.method.clone()).uri(path);
        request = request.header(HOST, uri.authority().map_or("", |authority| authority.as_str()));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
        if is_https {
            let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
            let stream = connector.connect(name, stream).await;
            converse(stream.map_err(|error| format!("no encrypted connection: {error}"))?, request).await
        } else {
            converse(stream, request).await
        }
    }

    /// A text with what its places stand for.
    fn filled(&self, text: &str, number: &str, code: &str, encoded: bool) -> String {
        let encode = |value: &str| match encoded {
            true => utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
            false => value.to_owned(),
        };
        text.replace("{number}", &encode(number))
            .replace("{digits}", number.trim_start_matches('+'))
            .replace("{code}", code)
            .replace("{secret}", &encode(&self.secret))
    }

    fn without_secrets(&self, said: &str, number: &str, code: &str) -> String {
        let mut said = said.replace(number.trim_start_matches('+'), "(number)").replace(code, "(code)");
        if !self.secret.is_empty() {
            said = said.replace(&self.secret, "(secret)");
        }
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS_MAX).collect()
    }
}

/// Connects to the first address of a host that takes the connection.
async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let failed = |error: io::Error| format!("no connection to {host}:{port}: {error}");
    let asked = (host.to_owned(), port);
    // The system's resolver blocks, so it is asked on another thread: its time counts, too.
    let addresses = tokio::task::spawn_blocking(move || asked.to_socket_addrs().map(Vec::from_iter)).await;
    let addresses = addresses.map_err(|error| error.to_string())?.map_err(failed)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    // Ends with the request: the sender is dropped with this function.
    let driver = tokio::spawn(connection);
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        // The status is what counts.
        let said =
            body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        Ok((status, said))
    };
    let answered = answered.await;
    driver.abort();
    answered
}

fn target(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    (is_http && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

fn header(text: &str, secret: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    let mut value = HeaderValue::try_from(value.trim().replace("{secret}", secret)).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::try_from(name.trim()).ok()?, value))
}

fn first_line(path: &PathBuf) -> Result<String, GatewayError> {
    let text =
        fs::read_to_string(path).map_err(|source| GatewayError::File { path: path.clone(), source })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What is trusted: the system's certificates, and one more if there is one.
fn tls(config: &GatewayConfig) -> Result<rustls::ClientConfig, GatewayError> {
    let mut roots = rustls::RootCertStore::empty();
    if config.url.starts_with("https://") {
        // One that cannot be read is not trusted, and that is all.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &config.ca_file {
            let pem = fs::read(path).map_err(|source| GatewayError::File { path: path.clone(), source })?;
            let certificate = CertificateDer::from_pem_slice(&pem).ok();
            let added = certificate.and_then(|certificate| roots.add(certificate).ok());
            added.ok_or_else(|| GatewayError::Other(format!("{} holds no certificate", path.display())))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| GatewayError::Other(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
