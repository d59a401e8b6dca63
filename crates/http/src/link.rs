//! What a connection is doing, and since when: cutting off senders that take too long.
//!
//! Every connection keeps a [`Link`]; a sweep a few times a second looks at all links of its core. So a
//! request costs no timer at all, and ten thousand idle connections cost a walk over ten thousand small
//! structs.
//!
//! # Invariants
//! * A link is only touched by its core's thread.
//! * A connection that is cut is woken, so that it notices.

use crate::{body::GivenUp, config::Timeouts};
use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::atomic::Ordering::Relaxed,
    task::Waker,
    time::{Duration, Instant},
};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing: between two requests.
    Idle,
    /// Sending a request's head.
    Head,
    /// Sending a request's body, since `read_before` bytes had been read.
    Body {
        /// Bytes read on this connection when the body began.
        read_before: u64,
    },
    /// Waiting for us.
    Working,
    /// Answered for the last time; what it still sends is thrown away.
    Lingering,
}

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It was idle for long, or has had its last answer: closed without a word.
    Idle,
    /// It takes too long over a head, or over taking its answer, or what it was sent was given up: closed without a word.
    Slow,
    /// Its body comes too slowly: answered, then closed.
    SlowBody,
}

/// One connection, as the sweep sees it.
#[derive(Debug)]
pub(crate) struct Link {
    watch: Rc<Watch>,
    stage: Cell<Stage>,
    since_ms: Cell<u64>,
    read: Cell<u64>,
    read_at_ms: Cell<u64>,
    write_blocked_since_ms: Cell<Option<u64>>,
    cut: Cell<Option<Cut>>,
    /// Whether the last request was read to its end.
    read_whole: Cell<bool>,
    rests: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Of the stream that is being sent.
    given_up: RefCell<Option<GivenUp>>,
}

/// How long an idle connection keeps what makes its next request start sooner.
const AT_HAND: Duration = Duration::from_secs(1);

/// Longest that a closed connection's leftovers are read.
const LINGER: Duration = Duration::from_secs(2);

impl Link {
    /// Notes what the connection does from now on.
    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.since_ms.set(self.watch.now_ms.get());
        self.read_at_ms.set(self.watch.now_ms.get());
    }

    /// From now on a body is read.
    pub(crate) fn enter_body(&self) {
        self.enter(Stage::Body { read_before: self.read.get() });
    }

    /// From now on the connection waits for its next request; `read_whole` if nothing of the last one is still to
    /// come.
    pub(crate) fn enter_idle(&self, read_whole: bool) {
        self.enter(Stage::Idle);
        self.read_whole.set(read_whole);
    }

    /// From now on a stream is sent, until it ends or is given up.
    pub(crate) fn begin_stream(&self, given_up: Option<GivenUp>) {
        *self.given_up.borrow_mut() = given_up;
    }

    /// The stream has ended. Whether the request was read whole is not known then.
    pub(crate) fn end_stream(&self) {
        *self.given_up.borrow_mut() = None;
        self.enter_idle(false);
    }

    /// Whether the connection has been idle for so long that it should give up all it can.
    pub(crate) fn rests(&self) -> bool {
        self.rests.get() && self.stage.get() == Stage::Idle
    }

    /// There is something to read again.
    pub(crate) fn end_rest(&self) {
        self.rests.set(false);
    }

    /// Notes bytes read.
    pub(crate) fn has_read(&self, bytes: usize) {
        self.read.set(self.read.get() + bytes as u64);
        self.read_at_ms.set(self.watch.now_ms.get());
        if self.stage.get() == Stage::Idle {
            self.enter(Stage::Head);
        }
    }

    /// Notes whether the peer takes what is written.
    pub(crate) fn write_blocked(&self, blocked: bool) {
        if !blocked {
            self.write_blocked_since_ms.set(None);
        } else if self.write_blocked_since_ms.get().is_none() {
            self.write_blocked_since_ms.set(Some(self.watch.now_ms.get()));
        }
    }

    /// Whether the connection is to be closed without a word.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.cut.get(), Some(Cut::Idle | Cut::Slow))
    }

    /// Whether the connection is cut, and why.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.cut.get()
    }

    /// Remembers whom to wake when it is.
    pub(crate) fn attend(&self, waker: &Waker) {
        let mut attending = self.waker.borrow_mut();
        if !attending.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *attending = Some(waker.clone());
        }
    }

    /// Wakes the connection's task.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn is_to_rest(&self) -> bool {
        let idle_ms = self.watch.now_ms.get().saturating_sub(self.since_ms.get());
        self.stage.get() == Stage::Idle
            && self.read_whole.get()
            && self.write_blocked_since_ms.get().is_none()
            && u128::from(idle_ms) > AT_HAND.as_millis()
    }

    fn judge(&self, timeouts: &Timeouts) -> Option<Cut> {
        let now = self.watch.now_ms.get();
        let over = |since: u64, limit: Duration| u128::from(now.saturating_sub(since)) > limit.as_millis();
        if self.write_blocked_since_ms.get().is_some_and(|since| over(since, timeouts.write)) {
            return Some(Cut::Slow);
        }
        // Relaxed: it guards nothing; a sweep later is as good.
        if self.given_up.borrow().as_ref().is_some_and(|given_up| given_up.load(Relaxed)) {
            return Some(Cut::Slow);
        }
        let since = self.since_ms.get();
        match self.stage.get() {
            Stage::Idle => over(since, timeouts.idle).then_some(Cut::Idle),
            Stage::Head => over(since, timeouts.head).then_some(Cut::Slow),
            Stage::Lingering => over(since, LINGER).then_some(Cut::Idle),
            Stage::Working => None,
            Stage::Body { read_before } => {
                let read = self.read.get() - read_before;
                let owed =
                    now.saturating_sub(since).saturating_mul(timeouts.body_bytes_per_second_min) / 1000;
                let slow = over(since, timeouts.body_grace) && read < owed;
                (slow || over(self.read_at_ms.get(), timeouts.body_idle)).then_some(Cut::SlowBody)
            }
        }
    }
}

/// The links of one core.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    now_ms: Cell<u64>,
    links: RefCell<Vec<Weak<Link>>>,
}

impl Watch {
    pub(crate) fn new() -> Rc<Watch> {
        Rc::new(Watch { started: Instant::now(), now_ms: Cell::new(0), links: RefCell::default() })
    }

    /// A link for a new connection, idle from now on.
    pub(crate) fn link(self: &Rc<Self>) -> Rc<Link> {
        let now = self.now_ms.get();
        let link = Rc::new(Link {
            watch: Rc::clone(self),
            stage: Cell::new(Stage::Head),
            since_ms: Cell::new(now),
            read: Cell::new(0),
            read_at_ms: Cell::new(now),
            write_blocked_since_ms: Cell::new(None),
            cut: Cell::new(None),
            read_whole: Cell::new(false),
            rests: Cell::new(false),
            waker: RefCell::new(None),
            given_up: RefCell::new(None),
        });
        self.links.borrow_mut().push(Rc::downgrade(&link));
        link
    }

    /// How often to sweep, so that no timeout is missed by more than an eighth or a quarter second.
    pub(crate) fn period(timeouts: &Timeouts) -> Duration {
        let Timeouts { head, body_idle, body_grace, idle, write, body_bytes_per_second_min: _ } = *timeouts;
        let shortest = [head, body_idle, body_grace, idle, write].into_iter().min().unwrap_or(head);
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }

    /// Moves the core's idea of the time on and cuts whoever takes too long.
    pub(crate) fn sweep(&self, timeouts: &Timeouts) {
        self.advance(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX), timeouts);
    }

    fn advance(&self, now_ms: u64, timeouts: &Timeouts) {
        self.now_ms.set(now_ms);
        self.links.borrow_mut().retain(|link| {
            let Some(link) = link.upgrade() else { return false };
            if !link.is_over()
                && let Some(cut) = link.judge(timeouts)
                && link.cut.replace(Some(cut)) != Some(cut)
            {
                link.wake();
            }
            if link.is_to_rest() && !link.rests.replace(true) {
                link.wake();
            }
            true
        });
    }

    /// Wakes every connection, to notice that the server is closing.
    pub(crate) fn wake_all(&self) {
        // Collected first: a wake-up may end a connection and with it a borrow of this list.
        let links: Vec<_> = self.links.borrow().iter().filter_map(Weak::upgrade).collect();
        links.iter().for_each(|link| link.wake());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        head: Duration::from_secs(5),
        body_idle: Duration::from_secs(3),
        body_grace: Duration::from_secs(10),
        body_bytes_per_second_min: 100,
        idle: Duration::from_secs(60),
        write: Duration::from_secs(20),
    };

    /// Each step: the second it happens in, and what.
    fn check(steps: &[(u64, &str)], end_s: u64, want: Option<Cut>) {
        let watch = Watch::new();
        let link = watch.link();
        for &(second, what) in steps {
            watch.advance(second * 1000, &TIMEOUTS);
            match what {
                "idle" => link.enter(Stage::Idle),
                "body" => link.enter_body(),
                "work" => link.enter(Stage::Working),
                "blocked" => link.write_blocked(true),
                "written" => link.write_blocked(false),
                bytes => link.has_read(bytes.parse().unwrap()),
            }
        }
        watch.advance(end_s * 1000, &TIMEOUTS);
        assert_eq!(link.cut(), want, "{steps:?} at {end_s} s");
    }

    #[test]
    fn each_stage_has_its_own_patience() {
        check(&[], 5, None);
        check(&[], 6, Some(Cut::Slow));
        check(&[(0, "idle")], 60, None);
        check(&[(0, "idle")], 61, Some(Cut::Idle));
        check(&[(0, "idle"), (50, "1")], 55, None);
        check(&[(0, "idle"), (50, "1"), (53, "1")], 56, Some(Cut::Slow));
        check(&[(0, "work")], 100_000, None);
        check(&[(0, "work"), (1, "blocked")], 22, Some(Cut::Slow));
        check(&[(0, "work"), (1, "blocked"), (5, "written")], 100, None);
    }

    #[test]
    fn a_connection_whose_stream_is_given_up_is_cut_whatever_it_takes_and_none_after_it() {
        let watch = Watch::new();
        let link = watch.link();
        let given_up = GivenUp::default();
        link.enter(Stage::Working);
        link.begin_stream(Some(GivenUp::clone(&given_up)));
        watch.advance(1000, &TIMEOUTS);
        assert_eq!(link.cut(), None);
        given_up.store(true, Relaxed);
        link.write_blocked(false);
        watch.advance(1001, &TIMEOUTS);
        assert_eq!(link.cut(), Some(Cut::Slow));
        // A flag of a stream that has ended says nothing.
        let next = watch.link();
        next.begin_stream(Some(given_up));
        next.end_stream();
        watch.advance(1002, &TIMEOUTS);
        assert_eq!(next.cut(), None);
    }

    #[test]
    fn only_a_connection_whose_last_request_was_read_whole_rests() {
        for (read_whole, want) in [(true, true), (false, false)] {
            let watch = Watch::new();
            let link = watch.link();
            watch.advance(1500, &TIMEOUTS);
            assert!(!link.rests(), "it has sent nothing yet, and is not idle");
            link.enter_idle(read_whole);
            watch.advance(2500, &TIMEOUTS);
            assert!(!link.rests(), "a second is not yet over");
            watch.advance(2501, &TIMEOUTS);
            assert_eq!(link.rests(), want);
            link.has_read(1);
            assert!(!link.rests(), "a request is coming");
        }
    }

    #[test]
    fn a_slow_body_is_cut_by_silence_or_by_its_rate() {
        check(&[(0, "body")], 3, None);
        check(&[(0, "body")], 4, Some(Cut::SlowBody));
        let trickle = [(0, "body"), (2, "1"), (4, "1"), (6, "1"), (8, "1"), (10, "1")];
        check(&trickle, 10, None);
        check(&trickle, 11, Some(Cut::SlowBody));
        let enough = [(0, "body"), (2, "500"), (5, "500"), (8, "500"), (11, "500")];
        check(&enough, 13, None);
    }

    #[test]
    fn links_of_closed_connections_are_forgotten() {
        let watch = Watch::new();
        let kept = watch.link();
        drop(watch.link());
        watch.advance(1, &TIMEOUTS);
        assert_eq!(watch.links.borrow().len(), 1);
        drop(kept);
    }
}
