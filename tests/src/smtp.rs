//! A mail server that takes one conversation at a time and does as it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// How it behaves.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// What it says to recipients, instead of that they are well.
    pub to_recipient: Option<&'static str>,
    /// What it says to the first so many, only.
    pub first: Option<usize>,
    /// What it says to whoever signs in.
    pub to_sign_in: Option<&'static str>,
    /// It offers no encryption, and signing in.
    pub offers: &'static [&'static str],
    /// It says nothing at all for so long.
    pub silent: Duration,
    /// It encrypts, from the first byte or when asked to.
    pub tls: Option<(Arc<rustls::ServerConfig>, bool)>,
}

/// What it took: who signed in, to whom, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What somebody signed in with, as it was sent.
    pub signed_in: Option<String>,
    /// Whom it is for.
    pub recipient: String,
    /// Headers and text.
    pub data: String,
    /// Whether it came encrypted.
    pub encrypted: bool,
}

/// A running one. It ends with the test's process.
#[derive(Debug)]
pub struct Smtp {
    /// Where it listens.
    pub addr: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    recipients: Arc<Mutex<usize>>,
}

impl Smtp {
    /// Starts one.
    ///
    /// # Panics
    /// If loopback has no port left.
    pub fn start(manners: Manners) -> Smtp {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let smtp = Smtp {
            addr: listener.local_addr().expect("it is bound"),
            taken: Arc::default(),
            recipients: Arc::default(),
        };
        let (taken, recipients) = (Arc::clone(&smtp.taken), Arc::clone(&smtp.recipients));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (manners, taken, recipients) =
                    (manners.clone(), Arc::clone(&taken), Arc::clone(&recipients));
                // A client that hangs up in the middle is part of some tests.
                std::thread::spawn(move || {
                    drop(converse(stream.expect("a connection"), &manners, &taken, &recipients))
                });
            }
        });
        smtp
    }

    /// The mails it took.
    ///
    /// # Panics
    /// If a conversation did.
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("no conversation panicked").clone()
    }

    /// How often a recipient was named.
    ///
    /// # Panics
    /// If a conversation did.
    pub fn asked(&self) -> usize {
        *self.recipients.lock().expect("no conversation panicked")
    }
}

trait Conversation: Read + Write {}
impl<T: Read + Write> Conversation for T {}

fn converse(
    stream: TcpStream,
    manners: &Manners,
    taken: &Mutex<Vec<Taken>>,
    recipients: &Mutex<usize>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    std::thread::sleep(manners.silent);
    let encrypt = |stream: TcpStream, config: &Arc<rustls::ServerConfig>| {
        let connection = rustls::ServerConnection::new(Arc::clone(config)).expect("a configuration");
        rustls::StreamOwned::new(connection, stream)
    };
    match &manners.tls {
        Some((config, true)) => talk(encrypt(stream, config), manners, taken, recipients, true).map(drop),
        Some((config, false)) => match talk(stream, manners, taken, recipients, false)? {
            Some(stream) => talk(encrypt(stream, config), manners, taken, recipients, true).map(drop),
            None => Ok(()),
        },
        None => talk(stream, manners, taken, recipients, false).map(drop),
    }
}

/// Talks until the end, or until encryption is asked for.
fn talk<S: Conversation>(
    stream: S,
    manners: &Manners,
    taken: &Mutex<Vec<Taken>>,
    recipients: &Mutex<usize>,
    encrypted: bool,
) -> std::io::Result<Option<S>> {
    let mut stream = BufReader::new(stream);
    let mut mail = Taken { encrypted, ..Taken::default() };
    // After STARTTLS the client speaks first.
    let began_encrypted =
        encrypted && manners.tls.as_ref().is_some_and(|(_, from_the_first)| !from_the_first);
    if !began_encrypted {
        stream.get_mut().write_all(b"220 test\r\n")?;
    }
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let word = line.trim_end().to_owned();
        let verb = word.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => {
                let mut text = "250-test\r\n".to_owned();
                manners.offers.iter().for_each(|offer| text.push_str(&format!("250-{offer}\r\n")));
                text.push_str("250 8BITMIME\r\n");
                stream.get_mut().write_all(text.as_bytes())?;
                continue;
            }
            "STAR" => {
                stream.get_mut().write_all(b"220 go ahead\r\n")?;
                return Ok(Some(stream.into_inner()));
            }
            "AUTH" => {
                mail.signed_in = word.split(' ').nth(2).map(str::to_owned);
                manners.to_sign_in.unwrap_or("235 welcome")
            }
            "RCPT" => {
                let mut count = recipients.lock().expect("no conversation panicked");
                *count += 1;
                mail.recipient = word[8..].trim_matches(['<', '>']).to_owned();
                let is_within = manners.first.is_none_or(|first| *count <= first);
                manners.to_recipient.filter(|_| is_within).unwrap_or("250 ok")
            }
            "DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n")?;
                mail.data.clear();
                loop {
                    line.clear();
                    if stream.read_line(&mut line)? == 0 {
                        return Ok(None);
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    mail.data.push_str(&line);
                }
                taken.lock().expect("no conversation panicked").push(mail.clone());
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        stream.get_mut().write_all(format!("{answer}\r\n").as_bytes())?;
    }
}
