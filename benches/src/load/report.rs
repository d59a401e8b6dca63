//! From rounds to figures: medians, ratios of neighbouring rounds, a table.

use std::fmt::Write;

use serde::Serialize;

/// One server's figures in one round.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// Requests answered per second.
    pub requests_per_s: f64,
    /// Microseconds of the server's CPU per request.
    pub cpu_us: f64,
    /// The CPU the server had, in cores.
    pub cores: f64,
    /// Median latency in microseconds.
    pub p50_us: u64,
    /// Of one request in a hundred, at least.
    pub p99_us: u64,
    /// Flushes per second; 0 where the server has none.
    pub flushes_per_s: f64,
    /// Stored bytes per flush; 0 where the server has none.
    pub bytes_per_flush: f64,
    /// Requests that were not answered with 200, and connections that broke.
    pub failed: u64,
}

/// One server under one load.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The server.
    pub server: String,
    /// Events in a request.
    pub events: usize,
    /// Bytes in a request, header included.
    pub request_bytes: usize,
    /// Connections.
    pub connections: usize,
    /// Its rounds, in order.
    pub rounds: Vec<Round>,
    /// Anonymous memory at the end, in KiB.
    pub anonymous_kib: u64,
}

impl Case {
    /// The median of one figure over the rounds.
    #[must_use]
    pub fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    fn range(&self, figure: impl Fn(&Round) -> f64) -> (f64, f64) {
        let values = self.rounds.iter().map(figure);
        values.fold((f64::INFINITY, 0.0), |(least, most), v| (least.min(v), most.max(v)))
    }
}

/// The median; 0 of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// How many requests a second of CPU serves, as a share of what the server beside it served with one: the
/// median over pairs of neighbouring rounds.
#[must_use]
pub fn ratio(case: &Case, beside: &Case) -> f64 {
    median(case.rounds.iter().zip(&beside.rounds).map(|(a, b)| b.cpu_us / a.cpu_us).collect())
}

/// A table for people, in Markdown: each load's cases, the first of which the others are compared with.
#[must_use]
pub fn table(loads: &[Vec<Case>]) -> String {
    let mut out = String::from(
        "| events a request | server | requests/s | events/s | MB/s | CPU-µs a request | a event | requests \
         per CPU-s ÷ the first's | p50 / p99 ms | flushes/s | KiB a flush | anonymous MiB | failed |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for cases in loads {
        let Some(first) = cases.first() else { continue };
        for case in cases {
            let rate = case.median(|r| r.requests_per_s);
            let (least, most) = case.range(|r| r.requests_per_s);
            let cpu = case.median(|r| r.cpu_us);
            let failed: u64 = case.rounds.iter().map(|r| r.failed).sum();
            let _ = writeln!(
                out,
                "| {} | {} | {:.0} [{:.0}..{:.0}] | {:.0} | {:.0} | {:.2} | {:.3} | {:.2} | {:.2} / {:.2} | {:.0} \
                 | {:.0} | {:.1} | {} |",
                case.events,
                case.server,
                rate,
                least,
                most,
                rate * case.events as f64,
                rate * case.request_bytes as f64 / 1e6,
                cpu,
                cpu / case.events as f64,
                ratio(case, first),
                case.median(|r| r.p50_us as f64) / 1e3,
                case.median(|r| r.p99_us as f64) / 1e3,
                case.median(|r| r.flushes_per_s),
                case.median(|r| r.bytes_per_flush) / 1024.0,
                case.anonymous_kib as f64 / 1024.0,
                failed,
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(server: &str, cpu: &[f64]) -> Case {
        let rounds = cpu.iter().map(|&cpu_us| Round { cpu_us, requests_per_s: 10.0, ..Round::default() });
        Case {
            server: server.to_owned(),
            events: 50,
            request_bytes: 1000,
            connections: 1,
            rounds: rounds.collect(),
            anonymous_kib: 1024,
        }
    }

    #[test]
    fn ratios_compare_neighbouring_rounds() {
        // The machine was twice as slow in the last round: for both.
        let (bare, forebay) = (case("bare", &[8.0, 8.0, 16.0]), case("forebay", &[10.0, 10.0, 20.0]));
        assert!((ratio(&forebay, &bare) - 0.8).abs() < 1e-9);
        let text = table(&[vec![bare, forebay]]);
        assert!(text.lines().count() == 4 && text.contains("| 0.80 |"), "{text}");
    }

    #[test]
    fn medians_of_any_number_of_values() {
        for (values, expected) in
            [(vec![], 0.0), (vec![3.0], 3.0), (vec![1.0, 4.0], 2.5), (vec![9.0, 1.0, 2.0], 2.0)]
        {
            assert!((median(values.clone()) - expected).abs() < 1e-9, "{values:?}");
        }
    }
}
