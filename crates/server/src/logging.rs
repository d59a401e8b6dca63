//! Log lines on stderr: text for a terminal, JSON for programs.
//!
//! Nothing logs a credential, and nothing above `trace` logs what is in an event.

use crate::config::{Config, LogFormat};
use std::io::{IsTerminal as _, stderr};
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. A second call changes nothing.
pub(crate) fn start(config: &Config) {
    let filter = config.log_level.parse().unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = stderr().is_terminal();
    let json = match config.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(terminal);
    // Fails only if a logger is installed already, as in a test that starts several servers.
    let _ = if json { logging.json().flatten_event(true).try_init() } else { logging.try_init() };
}
