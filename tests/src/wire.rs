//! Raw HTTP/1.1 on a socket: what goes out is given byte for byte, what comes back is taken apart.
//!
//! # Invariants
//! * Nothing is added to a request that the test did not write, save by [`Request`], whose rules are few.
//! * Every wait has a limit: a test fails, it never hangs.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crate::PATIENCE;

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request with `Host` only, and no body.
    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("Host".to_owned(), "collector.test".to_owned())],
            body: Vec::new(),
        }
    }

    /// Its method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path and query it is for.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// A GET.
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// A POST of `body`, without a content type.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", target).body(body)
    }

    /// Adds a header, as often as it is called.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds Basic credentials.
    pub fn basic(self, user: &str, password: &str) -> Request {
        let pair = base64(format!("{user}:{password}"));
        self.header("Authorization", &format!("Basic {pair}"))
    }

    /// Asks the server to close after its answer.
    pub fn close(self) -> Request {
        self.header("Connection", "close")
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// The bytes to send. `Content-Length` is added where there is a body or a method that has one, unless the
    /// test framed the body itself.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            // Header values are bytes: a test may write Latin-1 letters as chars.
            out.extend_from_slice(format!("{name}: ").as_bytes());
            out.extend(value.chars().map(|c| u8::try_from(u32::from(c)).expect("a Latin-1 header value")));
            out.extend_from_slice(b"\r\n");
        }
        let framed = |name: &str| {
            ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
        };
        let bodiless = ["GET", "HEAD", "OPTIONS"].contains(&self.method.to_ascii_uppercase().as_str());
        if !self.headers.iter().any(|(name, _)| framed(name)) && (!self.body.is_empty() || !bodiless) {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

/// An answer, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, unchunked and gunzipped.
    pub body: Vec<u8>,
}

impl Answer {
    /// All values of a header joined with `, `, if it is there.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.header_all(name);
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The values of a header, one for each time it is there.
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The body as text, with U+FFFD for what is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none: with the whole answer.
    #[track_caller]
    pub fn json(&self) -> crate::Json {
        crate::Json::read(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Checks status and body.
    ///
    /// # Panics
    /// With the whole answer, if one is another.
    #[track_caller]
    pub fn expect(&self, status: u16, body: &str) -> &Answer {
        assert!(
            self.status == status && self.body == body.as_bytes(),
            "want {status} {body:?}, got {self:?}"
        );
        self
    }

    /// Checks the status alone.
    ///
    /// # Panics
    /// With the whole answer, if it is another.
    #[track_caller]
    pub fn expect_status(&self, status: u16) -> &Answer {
        assert!(self.status == status, "want status {status}, got {self:?}");
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        write!(f, "HTTP {} {:?} with {} bytes {body:?}", self.status, self.headers, self.body.len())
    }
}

/// A connection that can carry many requests, one after the other or several at once.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// As connecting fails.
    pub fn try_open(addr: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { reader: BufReader::new(stream) })
    }

    /// Connects.
    ///
    /// # Panics
    /// If nobody answers.
    #[track_caller]
    pub fn open(addr: SocketAddr) -> Connection {
        Connection::try_open(addr).unwrap_or_else(|e| panic!("connecting to {addr}: {e}"))
    }

    /// The socket, to set options or to close it.
    pub fn socket(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As writing fails.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads one answer to a request that was no HEAD. `None` when the server closed instead of answering.
    ///
    /// # Errors
    /// As reading fails, or when the answer breaks off or is no HTTP.
    pub fn read(&mut self) -> io::Result<Option<Answer>> {
        loop {
            let answer = self.read_one()?;
            match answer {
                Some(Answer { status: 100..=199, .. }) => {} // an interim answer: the real one follows
                other => return Ok(other),
            }
        }
    }

    /// Sends one request and reads its answer on this connection.
    ///
    /// # Errors
    /// As sending and reading fail; a server that closed instead of answering is an error too.
    pub fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.send(&request.bytes())?;
        self.read()?
            .ok_or_else(|| io::Error::new(ErrorKind::ConnectionAborted, "closed instead of answering"))
    }

    fn read_one(&mut self) -> io::Result<Option<Answer>> {
        let Some(first) = self.line()? else { return Ok(None) };
        let broken = |what: &str| io::Error::new(ErrorKind::InvalidData, format!("{what}: {first:?}"));
        let status = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| broken("no HTTP answer"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?.ok_or_else(|| broken("the headers break off"))?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        answer.body = self.body(&answer)?;
        if answer.header("content-encoding").as_deref() == Some("gzip") {
            answer.body = gunzip(&answer.body)?;
        }
        Ok(Some(answer))
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if matches!(answer.status, 100..=199 | 204 | 304) {
            return Ok(body);
        }
        if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            self.chunks(&mut body)?;
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().map_err(|_| io::Error::other("a bad Content-Length"))?;
            body.resize(length, 0);
            self.reader.read_exact(&mut body)?;
        } else {
            self.reader.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        let broken = || io::Error::new(ErrorKind::UnexpectedEof, "the chunked body breaks off");
        loop {
            let line = self.line()?.ok_or_else(broken)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).map_err(|_| broken())?;
            let start = body.len();
            body.resize(start + length, 0);
            self.reader.read_exact(&mut body[start..])?;
            self.line()?.ok_or_else(broken)?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    /// The next line without its end; `None` where the stream ends first.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return if line.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line.into_iter().map(char::from).collect()))
    }
}

/// Sends `bytes` on a connection of their own and reads one answer, reading while it sends: a large body may be
/// refused before it is through.
///
/// # Errors
/// As connecting and reading fail, or when the server closes without an answer.
pub fn exchange(addr: SocketAddr, bytes: &[u8]) -> io::Result<Answer> {
    let mut connection = Connection::try_open(addr)?;
    let mut writer = connection.socket().try_clone()?;
    thread::scope(|scope| {
        // A failing write is no error by itself: the answer to read decides.
        scope.spawn(move || writer.write_all(bytes));
        let answer = connection.read();
        // Frees the writer if the server stopped reading; what is not through by now never will be.
        let _ = connection.socket().shutdown(std::net::Shutdown::Both);
        answer?.ok_or_else(|| io::Error::new(ErrorKind::ConnectionAborted, "closed instead of answering"))
    })
}

/// Standard base64 with padding.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64_simd::STANDARD.encode_to_string(bytes.as_ref())
}

/// Percent-encodes all but letters, digits and `-._~`.
pub fn percent(text: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    for byte in text.as_ref() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Compresses.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

/// Decompresses, all members.
///
/// # Errors
/// If it is no whole gzip.
pub fn gunzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}
