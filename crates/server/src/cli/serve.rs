//! `forebay serve`: run the collector until a signal says stop.

use super::{Common, Done, Failure, flag};
use crate::{Server, report};
use serde_json::json;
use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// Run the collector
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where senders connect; port 0 takes a free one; may be repeated [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
    /// Where health checks and metrics are answered, instead of to loopback peers of --listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// Refuse events whose token belongs to no project, instead of keeping them unclaimed
    #[arg(long)]
    strict_tokens: bool,
    /// Any other setting, for example log.lanes=4; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE, for example log.lanes=4")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Serve {
    pub(crate) fn run(self, common: &Common) -> Done {
        let mut flags: Vec<_> = self.set.into_iter().map(|(key, value)| flag(&key, "--set", value)).collect();
        if !self.listen.is_empty() {
            flags.push(flag("listen", "--listen", self.listen.join(",")));
        }
        flags.extend(self.admin_listen.map(|addr| flag("admin_listen", "--admin-listen", addr)));
        if self.strict_tokens {
            flags.push(flag("strict_tokens", "--strict-tokens", "true"));
        }
        let config = common.config(flags)?;
        crate::logging::start(&config);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Before the server starts: a signal during recovery must not be lost.
        let (mut terminate, mut interrupt) = {
            let _context = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let running = Server::start(config, forebay_log::system_clock())?;
        report::write(running.report());
        if common.json {
            print_ready(running.addr(), running.admin_addr(), &running.data_dir().display().to_string())?;
        }
        let name = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        });
        let first = Instant::now();
        tracing::info!(signal = name, "stopping: no new connections, requests under way are finished");
        let stopped = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&stopped);
        let second = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                    if is_impatient(first.elapsed()) {
                        break;
                    }
                }
            });
            if !done.load(Ordering::Relaxed) {
                eprintln!("error: a second signal: exiting at once; what was acknowledged is on disk");
                std::process::exit(130);
            }
        });
        let ended = running.stop();
        stopped.store(true, Ordering::Relaxed);
        drop(second);
        ended.map_err(|e| Failure::of(&e))?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// One wish to stop may arrive as several signals: `timeout` tells the process and then its group, a terminal
/// tells the group while a supervisor passes on its own.
const ONE_WISH: Duration = Duration::from_millis(500);

/// Does a signal so long after the first one say that the stop takes too long?
fn is_impatient(after_first: Duration) -> bool {
    after_first >= ONE_WISH
}

/// The one line on stdout that programs wait for.
fn print_ready(addr: SocketAddr, admin: Option<SocketAddr>, data_dir: &str) -> Done {
    let mut line = json!({ "listening": format!("http://{addr}"), "data_dir": data_dir });
    if let Some(admin) = admin {
        line["admin"] = format!("http://{admin}").into();
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_come_together_are_one_wish() {
        for (after_ms, impatient) in [(0, false), (20, false), (499, false), (500, true), (9000, true)] {
            assert_eq!(is_impatient(Duration::from_millis(after_ms)), impatient, "{after_ms} ms");
        }
    }
}
