//! Messages to people: what carries them, as configured.

use crate::{ServerError, config::Config};
use forebay_control::Channels;
use forebay_http::Collector;
use forebay_notify::{Courier, Gateway, Mailer};
use std::sync::Arc;

/// Starts what carries messages, and tells the store what is carried: the command line, too, puts none into the outbox
/// that nobody would take out.
///
/// # Errors
/// What is configured and cannot be.
pub(crate) fn start(config: &Config, collector: &Arc<Collector>) -> Result<Courier, ServerError> {
    let (mailer, gateway) = (mailer(config)?, gateway(config)?);
    let (mail, text) = (mailer.is_some(), gateway.is_some());
    let channels = Channels { mail, text, console_url: config.console_url.clone() };
    let told = collector.control.set_channels(&channels);
    told.map_err(ServerError::of("note which messages are sent"))?;
    let watched = Arc::clone(collector);
    let health = Box::new(move || watched.ready().err().filter(|_| !watched.is_draining()));
    Courier::start(&collector.control, mailer, gateway, health).map_err(ServerError::of("start a thread"))
}

/// What sends mail, if it is configured.
pub(crate) fn mailer(config: &Config) -> Result<Option<Mailer>, ServerError> {
    if config.mail.host.is_empty() {
        return Ok(None);
    }
    Mailer::new(&config.mail).map(Some).map_err(ServerError::of("send mail as configured"))
}

/// What sends text messages, if it is configured.
pub(crate) fn gateway(config: &Config) -> Result<Option<Gateway>, ServerError> {
    if config.gateway.url.is_empty() {
        return Ok(None);
    }
    Gateway::new(&config.gateway).map(Some).map_err(ServerError::of("send text messages as configured"))
}
