//! Carries what the store's outbox holds to people: mail over SMTP, text messages by a provider's HTTP interface.
//!
//! # Invariants
//! * A thread for each way does it, beside everything else: a mail server that is slow or gone delays other mails, and never
//!   an event, a page or a command.
//! * A message leaves the outbox when somebody has taken it, refused it for good, or its time is over; what became of it
//!   is told there ([`forebay_control::Sending`]).
//! * What a message says is neither logged nor part of an error.

mod courier;
mod disk;
mod gateway;
mod mail;

pub use courier::{Courier, Health};
pub use gateway::{Gateway, GatewayConfig, GatewayError};
pub use mail::{MailConfig, MailConfigError, MailTls, Mailer};
