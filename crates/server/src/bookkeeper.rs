//! The thread that books: counts, refusals, unknown tokens and last uses go from memory into the registry,
//! once a second.
//!
//! # Invariants
//! * What could not be booked is kept and tried again; memory is bounded by the ledger's limits.
//! * Failing to book never stops the server: accounting waits, events do not.
//! * Merging what was booked comes after booking: where it fails, counts are booked all the same.
//! * Each booking keeps room for more, so that a disk that fills up meanwhile does not keep it from booking.
//! * Counts are booked together with how far they cover the log, and after the last process's books are closed:
//!   whatever ends this process, [`Closing`] counts the rest.

use crate::closing::Closing;
use forebay_control::{Control, Keep, StoreError};
use forebay_log::{Clock, Log};
use forebay_route::Ledger;
use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How often it books.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often old accounting is summed up.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// The running thread. Stopping it books once more.
pub(crate) struct Bookkeeper {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Bookkeeper {
    /// Closes the last process's books, or leaves that for later where it fails, and starts booking.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start(
        control: Arc<Control>,
        ledger: Arc<Ledger>,
        log: Log,
        closing: Closing,
        clock: Clock,
    ) -> std::io::Result<Bookkeeper> {
        let (stop, stopped) = mpsc::channel();
        let closing = Some(closing);
        let mut books = Books { control, ledger, log, closing, clock, next_refusal: 0, failing: false };
        // A full disk must not keep the server from starting.
        let closed = books.close();
        books.report(closed);
        let thread = std::thread::Builder::new().name("bookkeeper".to_owned()).spawn(move || {
            let mut pruned = Instant::now();
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(INTERVAL) {
                books.book();
                if pruned.elapsed() >= PRUNE_INTERVAL {
                    pruned = Instant::now();
                    if let Err(e) = books.control.prune(Keep::default()) {
                        tracing::warn!(
                            error = forebay_control::chain(&e),
                            "old accounting cannot be summed up now"
                        );
                    }
                }
            }
            books.book();
        })?;
        Ok(Bookkeeper { stop, thread })
    }

    /// Books what is left and ends the thread.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the bookkeeping thread had panicked: the last minute's accounting may be short");
        }
    }
}

struct Books {
    control: Arc<Control>,
    ledger: Arc<Ledger>,
    log: Log,
    /// `None` once the last process's books are closed.
    closing: Option<Closing>,
    clock: Clock,
    next_refusal: u64,
    failing: bool,
}

impl Books {
    fn book(&mut self) {
        let booked = self
            .rows()
            .and(self.refusals())
            .and(self.unknown_tokens())
            .and(self.used())
            .and(self.callers())
            .and(self.control.merge_accounting(Keep::default()));
        self.report(booked);
    }

    /// Also takes room for the next time: a disk may be full by then.
    fn report(&mut self, booked: Result<(), StoreError>) {
        if booked.is_ok()
            && let Err(error) = self.control.reserve_room()
        {
            // When it matters, the booking that needs it fails, and is reported.
            tracing::debug!(%error, "no room can be kept for the books");
        }
        match booked {
            Ok(()) if self.failing => tracing::info!("accounting is booked again"),
            // Once, not every second.
            Err(ref e) if !self.failing => {
                tracing::error!(
                    error = forebay_control::chain(e),
                    "accounting cannot be booked; it is kept and tried again"
                );
            }
            _ => {}
        }
        self.failing = booked.is_err();
    }

    fn close(&mut self) -> Result<(), StoreError> {
        let Some(closing) = &mut self.closing else { return Ok(()) };
        let closed = closing.close(&self.control)?;
        self.closing = None;
        if closed.stored > 0 || closed.interrupted > 0 {
            tracing::warn!(
                stored = closed.stored,
                interrupted = closed.interrupted,
                "the last process ended before it booked these events: they are counted now"
            );
        }
        Ok(())
    }

    fn rows(&mut self) -> Result<(), StoreError> {
        self.close()?;
        let mut counted = Vec::new();
        let rows = self.ledger.drain_minute_holding((self.clock)(), || {
            let hold = self.log.hold_outcomes();
            counted.extend_from_slice(hold.told());
            hold
        });
        if rows.is_empty() {
            return Ok(());
        }
        self.control.record_accounting(&rows, &counted).inspect_err(|_| self.ledger.put_back(rows))
    }

    fn refusals(&mut self) -> Result<(), StoreError> {
        let refusals = self.ledger.refusals_since(self.next_refusal);
        let Some(last) = refusals.last() else { return Ok(()) };
        let next = last.number + 1;
        self.control.record_refusals(&refusals)?;
        self.next_refusal = next;
        Ok(())
    }

    fn unknown_tokens(&self) -> Result<(), StoreError> {
        let tokens = self.ledger.drain_unknown_tokens();
        if tokens.is_empty() {
            return Ok(());
        }
        self.control
            .record_unknown_tokens(&tokens)
            .inspect_err(|_| self.ledger.put_back_unknown_tokens(&tokens))
    }

    fn used(&self) -> Result<(), StoreError> {
        let (used, tokens) = (self.ledger.drain_used(), self.ledger.drain_token_uses());
        self.control.record_used(&used, &tokens).inspect_err(|_| {
            self.ledger.put_back_used(used);
            self.ledger.put_back_token_uses(&tokens);
        })
    }

    fn callers(&self) -> Result<(), StoreError> {
        let callers = self.ledger.drain_callers();
        self.control.record_callers(&callers).inspect_err(|_| self.ledger.put_back_callers(callers))
    }
}
