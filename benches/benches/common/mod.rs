//! What the benchmarks of the log share: a log is written as the server writes it, and no other way.

use forebay_log::{Log, Submitter};
use tokio::task::LocalSet;

/// Runs `work` with a submitter of `log` on a runtime of its own, as one core of the server does.
pub(crate) fn on_a_core<T>(log: &Log, work: impl AsyncFnOnce(&Submitter) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let submitter = log.submitter();
        let pump = tokio::task::spawn_local(submitter.pump());
        let out = work(&submitter).await;
        pump.abort();
        out
    })
}
