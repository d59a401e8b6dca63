//! Hands requests to a log in this process and waits for what becomes of them, on one thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use forebay_log::{Append, Committed, Log, Pending, Refusal, StoreError, Submitter};
use forebay_record::LaneId;

/// An append is answered long before this, however slow the disk. Else it never will be.
const PATIENCE: Duration = Duration::from_secs(100);

/// One core's worth of requests.
pub struct Sender {
    submitter: Submitter,
    pump: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

impl Sender {
    /// A sender for the calling thread.
    pub fn new(log: &Log) -> Sender {
        let submitter = log.submitter();
        let pump = Box::pin(submitter.pump());
        Sender { submitter, pump, waker: Waker::from(Arc::new(Unpark(thread::current()))) }
    }

    /// Hands an append over.
    ///
    /// # Errors
    /// Why the log does not take it in.
    pub fn submit(&self, lane: LaneId, append: Append) -> Result<Pending, Refusal> {
        self.submitter.submit(lane, append).map_err(|refused| refused.reason)
    }

    /// Waits for what becomes of it.
    ///
    /// # Errors
    /// When it could not be stored.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub fn wait(&mut self, mut pending: Pending) -> Result<Committed, StoreError> {
        let mut context = Context::from_waker(&self.waker);
        let until = Instant::now() + PATIENCE;
        loop {
            let _ = self.pump.as_mut().poll(&mut context);
            if let Poll::Ready(result) = Pin::new(&mut pending).poll(&mut context) {
                return result;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "an append had no answer within {PATIENCE:?}");
            thread::park_timeout(left);
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}
