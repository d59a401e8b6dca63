//! The thread that keeps routing as the registry says: what the command line changes is in force within a
//! second.

use forebay_control::{Poll, Watch};
use forebay_route::{Change, Ledger, Registry};
use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

/// How often the registry is asked. One `PRAGMA` on an open connection each time.
const INTERVAL: Duration = Duration::from_millis(150);

/// The running thread.
pub(crate) struct Watcher {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Starts watching.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start(
        mut watch: Watch,
        registry: Arc<Registry>,
        ledger: Arc<Ledger>,
    ) -> std::io::Result<Watcher> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("registry".to_owned()).spawn(move || {
            let mut failing = false;
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(INTERVAL) {
                match watch.poll() {
                    Ok(poll) => {
                        if std::mem::take(&mut failing) {
                            tracing::info!("the registry can be read again");
                        }
                        apply(poll, &registry, &ledger);
                    }
                    Err(e) => {
                        // Once, not seven times a second. Routing goes on with what it knows.
                        if !std::mem::replace(&mut failing, true) {
                            tracing::error!(
                                error = forebay_control::chain(&e),
                                "the registry cannot be read; changes wait"
                            );
                        }
                    }
                }
            }
        })?;
        Ok(Watcher { stop, thread })
    }

    /// Ends the thread.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that watches the registry had panicked");
        }
    }
}

fn apply(poll: Poll, registry: &Registry, ledger: &Ledger) {
    match poll {
        Poll::Nothing => {}
        Poll::Changes(changes) => {
            for change in changes {
                if let Change::Project(project) = &change {
                    tracing::info!(project = project.id.as_u64(), "project changed");
                    project.tokens.iter().for_each(|token| ledger.token_claimed(token));
                }
                registry.apply(change);
            }
        }
        Poll::Everything(snapshot) => {
            tracing::info!(projects = snapshot.projects.len(), "registry read anew");
            snapshot.projects.iter().flat_map(|p| &p.tokens).for_each(|token| ledger.token_claimed(token));
            registry.replace_all(snapshot.projects, snapshot.accounts);
        }
    }
}
