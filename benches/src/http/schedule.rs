//! The open loop: requests come when they come, whether the server is ready or not.
//!
//! Arrivals are those of many independent senders (a Poisson process, seeded), so that a request may come right behind
//! another. A connection that is free takes the oldest request that is due; while none is free they wait, and their
//! wait counts. A closed loop would send less to a slow server and call its latency low.
//!
//! # Invariants
//! * Every arrival is taken once, in order, or counted as left over at the end.
//! * Connections take turns: all of them are in use, however few requests there are.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use crate::events::Numbers;

/// When requests are due.
#[derive(Clone, Debug)]
pub struct Arrivals {
    numbers: Numbers,
    mean_gap_s: f64,
    next_s: f64,
    until_s: f64,
}

impl Arrivals {
    /// Arrivals at a mean rate for so long.
    #[must_use]
    pub fn new(per_s: f64, duration: Duration, seed: u64) -> Arrivals {
        let mut arrivals = Arrivals {
            numbers: Numbers::new(seed),
            mean_gap_s: 1.0 / per_s.max(f64::MIN_POSITIVE),
            next_s: 0.0,
            until_s: duration.as_secs_f64(),
        };
        arrivals.next_s = arrivals.gap_s();
        arrivals
    }

    /// The time to the next arrival: exponentially distributed.
    fn gap_s(&mut self) -> f64 {
        // From the upper 53 bits: above 0, at most 1.
        let uniform = ((self.numbers.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -uniform.ln() * self.mean_gap_s
    }

    /// When the next request is due, from the start; `None` after the last one.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        (self.next_s < self.until_s).then(|| Duration::from_secs_f64(self.next_s))
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let due = self.next_due()?;
        self.next_s += self.gap_s();
        Some(due)
    }
}

/// Requests that are due, and connections that are free: one of the two is always empty, or about to be.
#[derive(Debug, Default)]
pub struct Due {
    requests: VecDeque<Instant>,
    free: VecDeque<Waker>,
    is_over: bool,
}

impl Due {
    /// A request is due now, or was.
    pub fn push(&mut self, due: Instant) {
        self.requests.push_back(due);
        if let Some(free) = self.free.pop_front() {
            free.wake();
        }
    }

    /// The oldest request for a connection that is free; it waits in turn while there is none. `None` when all is over.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Instant>> {
        match self.requests.pop_front() {
            Some(due) => Poll::Ready(Some(due)),
            None if self.is_over => Poll::Ready(None),
            None => {
                self.free.push_back(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Nothing more is due: connections that are free end, and so do the others when nothing is left.
    pub fn finish(&mut self) {
        self.is_over = true;
        self.free.drain(..).for_each(Waker::wake);
    }

    /// Is nothing waiting?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Takes what nobody has taken.
    pub fn take_left_over(&mut self) -> impl Iterator<Item = Instant> + '_ {
        self.requests.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    #[test]
    fn arrivals_come_at_the_rate_and_in_bursts() {
        let all: Vec<Duration> = Arrivals::new(1000.0, Duration::from_secs(100), 5).collect();
        assert!((98_500..101_500).contains(&all.len()), "{}", all.len());
        assert!(all.is_sorted() && all.last() < Some(&Duration::from_secs(100)));
        // Of exponential gaps 63 % are shorter than the mean: an even beat would have none or all.
        let short = all.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_millis(1)).count();
        let share = short as f64 / all.len() as f64;
        assert!((0.62..0.645).contains(&share), "{share}");
        assert!(all.iter().eq(&Arrivals::new(1000.0, Duration::from_secs(100), 5).collect::<Vec<_>>()));
        assert_eq!(Arrivals::new(0.0, Duration::from_secs(1), 5).count(), 0);
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn requests_are_taken_in_order_and_free_connections_in_turn() {
        let connections: [Arc<Woken>; 2] = Default::default();
        let wakers = connections.clone().map(Waker::from);
        let mut contexts = [Context::from_waker(&wakers[0]), Context::from_waker(&wakers[1])];
        let woken = || connections.each_ref().map(|w| w.0.load(Ordering::Relaxed));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut due = Due::default();
        assert_eq!(due.poll_next(&mut contexts[0]), Poll::Pending);
        assert_eq!(due.poll_next(&mut contexts[1]), Poll::Pending);
        due.push(at(1));
        due.push(at(2));
        due.push(at(3));
        assert_eq!(woken(), [1, 1], "each was told once, the first one first");
        assert_eq!(due.poll_next(&mut contexts[1]), Poll::Ready(Some(at(1))));
        assert_eq!(due.poll_next(&mut contexts[0]), Poll::Ready(Some(at(2))));
        due.finish();
        assert_eq!(due.poll_next(&mut contexts[0]), Poll::Ready(Some(at(3))), "what is due is still sent");
        assert_eq!(due.poll_next(&mut contexts[0]), Poll::Ready(None));
        due.push(at(4));
        assert_eq!(due.take_left_over().collect::<Vec<_>>(), [at(4)]);
    }
}
