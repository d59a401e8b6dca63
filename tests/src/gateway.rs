//! A provider of text messages that answers each request alike, and remembers what was asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

/// An answer that says that all is well.
pub const OK: &str = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";

/// A running one. It ends with the test's process.
#[derive(Debug)]
pub struct Provider {
    /// Where it listens.
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    /// Starts one that takes its time before each answer.
    ///
    /// # Panics
    /// If loopback has no port left.
    pub fn start(answer: &'static str, silent: Duration) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let provider = Provider { addr: listener.local_addr().expect("it is bound"), asked: Arc::default() };
        let asked = Arc::clone(&provider.asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let asked = Arc::clone(&asked);
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.expect("a connection"));
                    let (mut text, mut length) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        if stream.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().expect("a number");
                        }
                        text.push_str(&line);
                        if line == "\r\n" {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).expect("the whole body");
                    text.push_str(&String::from_utf8(body).expect("UTF-8"));
                    asked.lock().expect("no conversation panicked").push(text);
                    std::thread::sleep(silent);
                    // Whoever asked may have gone.
                    let _ = stream.get_mut().write_all(answer.as_bytes());
                });
            }
        });
        provider
    }

    /// Starts one that answers at once.
    pub fn answering(answer: &'static str) -> Provider {
        Provider::start(answer, Duration::ZERO)
    }

    /// The requests, as they came.
    ///
    /// # Panics
    /// If a conversation did.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no conversation panicked").clone()
    }

    /// Where messages are asked for.
    pub fn url(&self) -> String {
        format!("http://{}/messages", self.addr)
    }
}
