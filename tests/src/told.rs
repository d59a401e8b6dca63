//! What people were sent, mails and text messages, for scripts that play those people: JSON over HTTP.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use serde_json::json;

use crate::{gateway::Provider, smtp::Smtp};

/// Tells whoever asks, until the test's process ends: `{"mails":[{"to","text"}…],"texts":[…]}`, in the order they came.
///
/// # Panics
/// If loopback has no port left.
pub fn tell(smtp: Arc<Smtp>, provider: Arc<Provider>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let addr = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            // Whatever is asked for: the head is read to its end, so that the answer is not cut off by a reset.
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let mails =
                smtp.taken().into_iter().map(|mail| json!({ "to": mail.recipient, "text": mail.data }));
            let told = json!({ "mails": mails.collect::<Vec<_>>(), "texts": provider.asked() }).to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", told.len());
            // Whoever asked may have gone.
            let _ = stream.get_mut().write_all((head + &told).as_bytes());
        }
    });
    addr
}
