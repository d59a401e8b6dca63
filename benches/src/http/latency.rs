//! How long answers took: every one counted, in a histogram with three significant digits.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::{Duration, Instant};

/// The latencies of a round, in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// What longer latencies are counted as: two minutes.
const MAX_US: u64 = 120_000_000;

/// The latencies that this share of requests did not exceed, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Half of them.
    pub p50_us: u64,
    /// Nine of ten.
    pub p90_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1000.
    pub p999_us: u64,
    /// All.
    pub max_us: u64,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(
            Histogram::new_with_bounds(1, MAX_US, 3).expect("bounds in order and three digits are taken"),
        )
    }
}

impl Latencies {
    /// Counts one answer. `due` is when its request was to be sent, which in an open loop may be long before it was: a
    /// request that waited for a server that could not keep up waited all the same.
    pub fn add(&mut self, due: Instant, answered: Instant) {
        self.add_duration(answered.saturating_duration_since(due));
    }

    /// Counts one latency.
    pub fn add_duration(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(MAX_US).max(1));
    }

    /// Counts all of `other` too.
    pub fn merge(&mut self, other: &Latencies) {
        // Both have the same bounds, so nothing can be out of them.
        let _ = self.0.add(&other.0);
    }

    /// How many were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Was none counted?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency that this share did not exceed, in microseconds.
    #[must_use]
    pub fn at(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The usual ones.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50_us: self.at(0.5),
            p90_us: self.at(0.9),
            p99_us: self.at(0.99),
            p999_us: self.at(0.999),
            max_us: self.0.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut latencies = Latencies::default();
        (1..=10_000).for_each(|us| latencies.add_duration(Duration::from_micros(us)));
        for (share, exact) in [(0.01, 100.0), (0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let got = latencies.at(share) as f64;
            assert!((got - exact).abs() / exact < 0.001, "{share}: {got}");
        }
        let quantiles = latencies.quantiles();
        assert!(quantiles.p50_us <= quantiles.p90_us && quantiles.p999_us <= quantiles.max_us);
        assert_eq!(latencies.len(), 10_000);
    }

    #[test]
    fn a_request_sent_late_has_waited_since_it_was_due() {
        let due = Instant::now();
        let (sent, answered) = (due + Duration::from_millis(70), due + Duration::from_millis(71));
        let mut latencies = Latencies::default();
        latencies.add(due, answered);
        assert!(
            (70_900..71_100).contains(&latencies.at(1.0)),
            "{} of 1 ms after {sent:?}",
            latencies.at(1.0)
        );
        // A clock that stood still, and one that went on for years, are counted too.
        latencies.add(answered, due);
        latencies.add_duration(Duration::from_secs(1 << 40));
        assert_eq!(latencies.len(), 3);
    }

    #[test]
    fn merging_counts_both() {
        let (mut a, mut b) = (Latencies::default(), Latencies::default());
        a.add_duration(Duration::from_micros(10));
        b.add_duration(Duration::from_micros(1000));
        a.merge(&b);
        assert_eq!((a.len(), a.at(0.5), a.at(1.0)), (2, 10, 1000));
    }
}
