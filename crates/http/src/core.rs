//! One core: a thread with a runtime, a scanner, a submitter, and the connections it was handed.

use crate::{
    collector::Collector,
    connection::{self, Accepted},
    counters::CoreCounters,
    link::Watch,
    mount::Mount,
    serve::Phase,
};
use forebay_log::Submitter;
use forebay_scan::{Limits, Scanner};
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_local,
    time::{Instant, sleep, timeout_at},
};

/// What the connections of a core share.
pub(crate) struct Core {
    pub(crate) shared: Arc<Collector>,
    pub(crate) submitter: Submitter,
    pub(crate) scanner: RefCell<Scanner>,
    pub(crate) watch: Rc<Watch>,
    pub(crate) counters: Arc<CoreCounters>,
    pub(crate) mounts: Arc<[Arc<dyn Mount>]>,
    /// Connections end after the request they are at, and idle ones at once.
    pub(crate) ending: Cell<bool>,
    /// Connections that live here.
    live: Cell<usize>,
}

impl Core {
    /// Counts a connection in, for as long as the guard lives.
    pub(crate) fn enter(self: &Rc<Self>) -> Live {
        self.live.set(self.live.get() + 1);
        Live { core: Rc::clone(self), cut: false }
    }
}

/// A connection that lives on a core.
pub(crate) struct Live {
    core: Rc<Core>,
    /// We close it because it took too long.
    pub(crate) cut: bool,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.core.live.set(self.core.live.get() - 1);
        self.core.counters.closed(self.cut);
    }
}

/// How long idle connections are still listened to once the listeners are closed: a request that was on its
/// way gets its answer.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Runs a core until the acceptor is gone and its connections are done; returns how many were not.
pub(crate) fn run(
    shared: Arc<Collector>,
    number: usize,
    mounts: Arc<[Arc<dyn Mount>]>,
    incoming: mpsc::UnboundedReceiver<Accepted>,
    phase: watch::Receiver<Phase>,
) -> io::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let limits = &shared.config.limits;
    let scanner = Scanner::new(Limits {
        body_bytes_max: limits.body_bytes_max,
        depth_max: limits.depth_max,
        event_bytes_max: limits.event_bytes_max,
        events_max: limits.events_max,
    });
    let core = Rc::new(Core {
        submitter: shared.log.submitter(),
        scanner: RefCell::new(scanner),
        watch: Watch::new(),
        counters: Arc::clone(&shared.cores[number]),
        mounts,
        ending: Cell::new(false),
        live: Cell::new(0),
        shared,
    });
    Ok(runtime.block_on(attend(core, incoming, phase)))
}

async fn attend(
    core: Rc<Core>,
    mut incoming: mpsc::UnboundedReceiver<Accepted>,
    mut phase: watch::Receiver<Phase>,
) -> usize {
    spawn_local(core.submitter.pump());
    let sweeping = Rc::clone(&core);
    spawn_local(async move {
        let timeouts = sweeping.shared.config.timeouts;
        loop {
            sleep(Watch::period(&timeouts)).await;
            sweeping.watch.sweep(&timeouts);
        }
    });
    let builder = Rc::new(connection::builder(&core.shared.config));
    while let Some(accepted) = incoming.recv().await {
        spawn_local(connection::serve(Rc::clone(&core), Rc::clone(&builder), accepted));
    }
    // The acceptor closed the listeners and is gone.
    let deadline = match *phase.borrow_and_update() {
        Phase::Closing { deadline } => Instant::from_std(deadline),
        Phase::Open => Instant::now(),
    };
    let quiet = async {
        while core.live.get() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let last_words = deadline.min(Instant::now() + LAST_WORDS);
    if timeout_at(last_words, quiet).await.is_err() {
        core.ending.set(true);
        core.watch.wake_all();
        let quiet = async {
            while core.live.get() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout_at(deadline, quiet).await;
    }
    core.live.get()
}
