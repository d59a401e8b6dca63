//! Mail over SMTP.
//!
//! # Invariants
//! * Where encryption is asked for, nothing is sent without: a server that does not offer it is refused.
//! * The password goes over an encrypted connection, or to this machine itself; [`Mailer::new`] refuses anything else.
//! * Every step of a conversation ends within [`TIMEOUT`].

use std::{fmt, fs, io, net::IpAddr, path::PathBuf, time::Duration};

use forebay_control::{Sending, chain};
use lettre::{
    Address, Message, SmtpTransport, Transport,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};

/// Of each step: connecting, each command, its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How a connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MailTls {
    /// It begins in plain and is encrypted before anything is said (port 587).
    #[default]
    StartTls,
    /// It is encrypted from the first byte (port 465).
    Tls,
    /// Not at all: for a mail server on this machine or in a network of one's own.
    None,
}

/// How mail is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailConfig {
    /// The mail server. Empty: no mail is sent.
    pub host: String,
    /// Its port; left out, the usual one of how it is encrypted.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// Further certificates to trust, PEM; for a mail server with a certificate of one's own.
    pub ca_file: Option<PathBuf>,
    /// Who signs in to it; empty: nobody.
    pub user: String,
    /// The file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// The sender's address, such as `Forebay <forebay@example.com>`.
    pub from: String,
}

/// Why mail cannot be sent as configured.
#[derive(Debug)]
pub enum MailConfigError {
    /// The sender is no address.
    From(String),
    /// A file could not be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The password would go over the network in plain.
    PlainPassword(String),
    /// Nothing can be encrypted.
    Tls(String),
}

impl fmt::Display for MailConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MailConfigError::From(from) => {
                write!(f, "mail.from {from:?} is no address; one looks like Forebay <forebay@example.com>")
            }
            MailConfigError::File { path, .. } => write!(f, "cannot read {}", path.display()),
            MailConfigError::PlainPassword(host) => write!(
                f,
                "mail.password_file would go to {host} unencrypted; set mail.tls to \"starttls\" or \"tls\", or use a mail \
                 server on this machine"
            ),
            MailConfigError::Tls(why) => write!(f, "mail cannot be sent encrypted: {why}"),
        }
    }
}

impl std::error::Error for MailConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MailConfigError::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Sends mail.
pub struct Mailer {
    transport: SmtpTransport,
    from: Mailbox,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mailer {
    /// One that sends as configured.
    ///
    /// # Errors
    /// [`MailConfigError`].
    pub fn new(config: &MailConfig) -> Result<Mailer, MailConfigError> {
        let from: Mailbox = config.from.parse().map_err(|_| MailConfigError::From(config.from.clone()))?;
        let tls = match config.tls {
            MailTls::StartTls => Tls::Required(parameters(config)?),
            MailTls::Tls => Tls::Wrapper(parameters(config)?),
            MailTls::None => Tls::None,
        };
        let port = config.port.unwrap_or(match config.tls {
            MailTls::StartTls => 587,
            MailTls::Tls => 465,
            MailTls::None => 25,
        });
        let mut builder =
            SmtpTransport::builder_dangerous(&config.host).port(port).tls(tls).timeout(Some(TIMEOUT));
        if !config.user.is_empty() {
            if config.tls == MailTls::None && !is_this_machine(&config.host) {
                return Err(MailConfigError::PlainPassword(config.host.clone()));
            }
            let password = config.password_file.as_ref().map(first_line).transpose()?.unwrap_or_default();
            builder = builder.credentials(Credentials::new(config.user.clone(), password));
        }
        Ok(Mailer { transport: builder.build(), from })
    }

    /// Hands a mail over to the mail server.
    pub fn send(&self, recipient: &str, subject: &str, text: &str) -> Sending {
        let address: Address = match recipient.parse() {
            Ok(address) => address,
            Err(error) => {
                return Sending::Refused(format!("{recipient} is no address to send mail to: {error}"));
            }
        };
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(subject)
            // Told to nobody's out-of-office, and answered by none (RFC 3834).
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_owned());
        let message = match message {
            Ok(message) => message,
            Err(error) => return Sending::Refused(format!("it cannot be written as a mail: {error}")),
        };
        match self.transport.send(&message) {
            Ok(_) => Sending::Sent,
            Err(error) => {
                let why = chain(&error);
                let is_final = error.status().is_some_and(|code| is_final(u16::from(code)));
                if is_final { Sending::Refused(why) } else { Sending::Later(why) }
            }
        }
    }
}

/// Whether a mail server that says so will say so again. Where it will not let this server sign in, somebody will see
/// to that (RFC 4954, 6), and the mail waits.
fn is_final(code: u16) -> bool {
    (500..600).contains(&code) && !matches!(code, 530 | 534 | 535 | 538)
}

/// That nobody wrote it by hand.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<AutoSubmitted, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(AutoSubmitted::name(), "auto-generated".to_owned())
    }
}

fn parameters(config: &MailConfig) -> Result<TlsParameters, MailConfigError> {
    let mut parameters =
        TlsParameters::builder(config.host.clone()).certificate_store(CertificateStore::Default);
    if let Some(path) = &config.ca_file {
        let pem = fs::read(path).map_err(|source| MailConfigError::File { path: path.clone(), source })?;
        let certificate = Certificate::from_pem(&pem)
            .map_err(|error| MailConfigError::Tls(format!("{}: {}", path.display(), chain(&error))))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build_rustls().map_err(|error| MailConfigError::Tls(chain(&error)))
}

pub(crate) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn first_line(path: &PathBuf) -> Result<String, MailConfigError> {
    let text =
        fs::read_to_string(path).map_err(|source| MailConfigError::File { path: path.clone(), source })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
