//! From rounds to figures: medians and ranges, and ratios of neighbouring rounds.
//!
//! # Invariants
//! * A ratio compares a round with the round beside it, never one median with another: both saw the same machine.
//! * What was not measured is not there; it is never a 0.

use serde::Serialize;

use super::latency::{Latencies, Quantiles};
pub use super::rounds::Round;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of Forebay and this report.
    pub version: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// Each load's figures, in the order they were asked for.
    pub loads: Vec<LoadReport>,
}

/// The machine, as far as it tells.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Cores that may be used.
    pub cores: usize,
    /// The processor's name.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
}

/// One load on all servers.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// Its name.
    pub load: String,
    /// How events are packed.
    pub form: String,
    /// Events in a request, on average.
    pub events_per_request: f64,
    /// Bytes of an event as JSON, on average.
    pub event_bytes: f64,
    /// Bytes of a request as it is sent, with its head, on average.
    pub request_bytes: f64,
    /// CPU-seconds of simd-json alone (tape and five fields) for a million of these events.
    pub simd_json_cpu_s_per_million_events: Figure,
    /// Each server in each setting.
    pub cases: Vec<Case>,
    /// What idle connections cost, where some were opened.
    pub idle: Vec<Idle>,
    /// What Forebay acknowledged, counted and kept: three times the same.
    pub accounts: Vec<Accounts>,
}

/// One server in one setting.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The server.
    pub server: String,
    /// Connections.
    pub connections: usize,
    /// Projects that events are for.
    pub projects: u64,
    /// Requests a second that were to be sent; absent in a closed loop.
    pub offered_per_s: Option<f64>,
    /// Readers that followed.
    pub followers: usize,
    /// Idle connections beside those of the load.
    pub idle_connections: usize,
    /// What it comes to.
    pub figures: Figures,
    /// Latency over all rounds together.
    pub latency: Quantiles,
    /// For plots: shares of requests, and the latency in µs that they did not exceed.
    pub latency_curve: Vec<(f64, u64)>,
    /// Its rounds, in order.
    pub rounds: Vec<Round>,
}

/// A figure over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

/// What the rounds of a case come to.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(
    missing_docs,
    reason = "the names say it, with units last; what they are taken from is said at `Round`"
)]
pub struct Figures {
    pub requests_per_s: Option<Figure>,
    pub events_per_s: Option<Figure>,
    pub mb_per_s: Option<Figure>,
    pub cpu_s_per_million_events: Option<Figure>,
    pub cpu_us_per_request: Option<Figure>,
    /// Requests a CPU-second serves, as a share of what one serves in the bare server.
    pub of_bare: Option<Figure>,
    /// Events a CPU-second serves, as a share of what simd-json alone parses in one.
    pub of_simd_json: Option<Figure>,
    /// Cost of an event, as a multiple of that without followers.
    pub cpu_of_unfollowed: Option<Figure>,
    /// Requests a second, as a share of those without followers.
    pub rate_of_unfollowed: Option<Figure>,
    pub p50_us: Option<Figure>,
    pub p99_us: Option<Figure>,
    pub p999_us: Option<Figure>,
    /// The 99th percentile, in flushes: how many mean flushes of the same round it lasts.
    pub p99_flushes: Option<Figure>,
    pub flushes_per_s: Option<Figure>,
    pub flush_us: Option<Figure>,
    pub kib_per_flush: Option<Figure>,
    pub events_per_flush: Option<Figure>,
    pub committed_bytes_per_byte: Option<Figure>,
    pub prepared_bytes_per_byte: Option<Figure>,
    pub device_bytes_per_byte: Option<Figure>,
    pub anonymous_mib: Option<Figure>,
    pub resident_mib: Option<Figure>,
    pub followed_mb_per_s: Option<Figure>,
    pub followers_cores: Option<Figure>,
    pub left_over: Option<Figure>,
    pub generator_cores: Option<Figure>,
}

/// What idle connections cost a server.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    /// The server.
    pub server: String,
    /// Connections, each used once.
    pub connections: usize,
    /// Its own memory just after it started.
    pub anonymous_mib_at_start: f64,
    /// Its own memory for each connection.
    pub bytes_per_connection: f64,
}

/// That nothing was lost.
#[derive(Clone, Debug, Serialize)]
pub struct Accounts {
    /// The server.
    pub server: String,
    /// Events in requests that were answered with success.
    pub acknowledged: u64,
    /// Events that it counts as stored.
    pub stored: u64,
    /// Records in its log after it stopped.
    pub on_disk: u64,
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

impl Figure {
    /// Of these values; `None` of nothing.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Figure> {
        let min = values.iter().copied().reduce(f64::min)?;
        let max = values.iter().copied().reduce(f64::max)?;
        Some(Figure { median: median(values.to_vec()), min, max })
    }
}

/// A figure of those rounds that have it.
fn over(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> Option<Figure> {
    Figure::of(&rounds.iter().filter_map(figure).filter(|value| value.is_finite()).collect::<Vec<_>>())
}

/// A ratio of each round to the one beside it.
fn beside(
    rounds: &[Round],
    others: &[Round],
    ratio: impl Fn(&Round, &Round) -> Option<f64>,
) -> Option<Figure> {
    let pairs = rounds.iter().zip(others).filter_map(|(round, other)| ratio(round, other));
    Figure::of(&pairs.filter(|value| value.is_finite()).collect::<Vec<_>>())
}

impl Round {
    fn per_s(&self, count: f64) -> Option<f64> {
        Some(count / self.seconds)
    }

    fn cpu_per_event(&self) -> Option<f64> {
        Some(self.cpu_s? / self.events as f64)
    }

    fn cpu_per_request(&self) -> Option<f64> {
        Some(self.cpu_s? / self.requests as f64)
    }

    /// The mean of something per flush; `None` where there was none.
    fn per_flush(&self, of: f64) -> Option<f64> {
        self.flushes.filter(|flushes| *flushes > 0.0).map(|flushes| of / flushes)
    }

    fn per_byte(&self, bytes: Option<f64>) -> Option<f64> {
        // A server that keeps nothing has no ratio, whatever the device wrote meanwhile.
        self.committed_bytes?;
        Some(bytes? / self.json_bytes as f64)
    }
}

impl Figures {
    /// Of a case's rounds; `bare` and `unfollowed` are the rounds to compare with.
    #[must_use]
    pub fn of(rounds: &[Round], bare: Option<&[Round]>, unfollowed: Option<&[Round]>) -> Figures {
        let over = |figure: &dyn Fn(&Round) -> Option<f64>| over(rounds, figure);
        let us = |of: fn(&Quantiles) -> u64| over(&|r: &Round| Some(of(&r.latency) as f64));
        const MIB: f64 = 1024.0 * 1024.0;
        Figures {
            requests_per_s: over(&|r| r.per_s(r.requests as f64)),
            events_per_s: over(&|r| r.per_s(r.events as f64)),
            mb_per_s: over(&|r| r.per_s(r.json_bytes as f64 / 1e6)),
            cpu_s_per_million_events: over(&|r| Some(r.cpu_per_event()? * 1e6)),
            cpu_us_per_request: over(&|r| Some(r.cpu_per_request()? * 1e6)),
            of_bare: bare.and_then(|bare| {
                beside(rounds, bare, |r, bare| Some(bare.cpu_per_request()? / r.cpu_per_request()?))
            }),
            of_simd_json: over(&|r| {
                (r.simd_json_cpu_s_per_event > 0.0).then_some(r.simd_json_cpu_s_per_event)?;
                Some(r.simd_json_cpu_s_per_event / r.cpu_per_event()?)
            }),
            cpu_of_unfollowed: unfollowed.and_then(|alone| {
                beside(rounds, alone, |r, alone| Some(r.cpu_per_event()? / alone.cpu_per_event()?))
            }),
            rate_of_unfollowed: unfollowed.and_then(|alone| {
                let rate = |r: &Round| r.requests as f64 / r.seconds;
                beside(rounds, alone, |r, alone| Some(rate(r) / rate(alone)))
            }),
            p50_us: us(|q| q.p50_us),
            p99_us: us(|q| q.p99_us),
            p999_us: us(|q| q.p999_us),
            p99_flushes: over(&|r| Some(r.latency.p99_us as f64 / (r.per_flush(r.flush_s?)? * 1e6))),
            flushes_per_s: over(&|r| r.per_s(r.flushes?)),
            flush_us: over(&|r| r.per_flush(r.flush_s? * 1e6)),
            kib_per_flush: over(&|r| r.per_flush(r.committed_bytes? / 1024.0)),
            events_per_flush: over(&|r| r.per_flush(r.events as f64)),
            committed_bytes_per_byte: over(&|r| r.per_byte(r.committed_bytes)),
            prepared_bytes_per_byte: over(&|r| r.per_byte(r.prepared_bytes)),
            device_bytes_per_byte: over(&|r| r.per_byte(r.device_bytes)),
            anonymous_mib: over(&|r| Some(r.anonymous_bytes? / MIB)),
            resident_mib: over(&|r| Some(r.resident_bytes? / MIB)),
            followed_mb_per_s: over(&|r| r.per_s(r.followed_bytes? / 1e6)),
            followers_cores: over(&|r| r.per_s(r.followers_cpu_s?)),
            left_over: over(&|r| (r.left_over > 0).then_some(r.left_over as f64)),
            generator_cores: over(&|r| r.per_s(r.generator_cpu_s)),
        }
    }
}

/// Points of a curve that shows the few slow ones as well as the many fast ones: shares 1 - 10^-x in even steps of x.
#[must_use]
pub fn curve(latencies: &Latencies) -> Vec<(f64, u64)> {
    // No further than there are requests to tell.
    let nines = (latencies.len().max(1) as f64).log10().min(5.0);
    let steps = 40;
    let points = (0..=steps).map(|step| 1.0 - 10_f64.powf(-nines * f64::from(step) / f64::from(steps)));
    points.map(|share| (share, latencies.at(share))).collect()
}

/// A small report, for the tests of what is made of reports.
#[cfg(test)]
pub(crate) fn sample() -> Report {
    let rounds = |cpu_s: f64| {
        let round = |factor: f64| Round {
            seconds: 2.0,
            requests: 1000,
            events: 1000,
            json_bytes: 750_000,
            cpu_s: Some(cpu_s * factor),
            simd_json_cpu_s_per_event: 1.3e-6,
            latency: Quantiles { p50_us: 700, p90_us: 900, p99_us: 1500, p999_us: 3000, max_us: 4000 },
            ..Round::default()
        };
        vec![round(1.0), round(1.5)]
    };
    let case = |server: &str, ours: &[Round], bare: &[Round]| Case {
        server: server.to_owned(),
        connections: 256,
        projects: 1,
        offered_per_s: None,
        followers: 0,
        idle_connections: 0,
        figures: Figures::of(ours, Some(bare), None),
        latency: ours[0].latency,
        latency_curve: vec![(0.0, 300), (0.5, 700), (0.9, 900), (0.99, 1500)],
        rounds: ours.to_vec(),
    };
    let (bare, ours) = (rounds(0.008), rounds(0.01));
    let load = LoadReport {
        load: "single".to_owned(),
        form: "json".to_owned(),
        events_per_request: 1.0,
        event_bytes: 750.0,
        request_bytes: 1000.0,
        simd_json_cpu_s_per_million_events: Figure { median: 1.3, min: 1.2, max: 1.4 },
        cases: vec![case("forebay", &ours, &bare), case("bare hyper", &bare, &bare)],
        idle: Vec::new(),
        accounts: vec![Accounts {
            server: "forebay".to_owned(),
            acknowledged: 1000,
            stored: 1000,
            on_disk: 1000,
        }],
    };
    let machine = Machine { cores: 2, cpu: "A & B <1>".to_owned(), kernel: "6.1".to_owned() };
    Report { version: "0.0.0", machine, loads: vec![load] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(cpu_s: &[f64]) -> Vec<Round> {
        let round = |&cpu_s: &f64| Round {
            seconds: 2.0,
            requests: 1000,
            events: 50_000,
            json_bytes: 37_500_000,
            cpu_s: Some(cpu_s),
            simd_json_cpu_s_per_event: 1e-6,
            latency: Quantiles { p99_us: 900, ..Quantiles::default() },
            flushes: Some(100.0),
            flush_s: Some(0.03),
            committed_bytes: Some(41_250_000.0),
            ..Round::default()
        };
        cpu_s.iter().map(round).collect()
    }

    fn check(figure: Option<Figure>, expected: f64) {
        let got = figure.map(|figure| figure.median);
        assert!(got.is_some_and(|got| (got - expected).abs() < 1e-9), "{got:?}, not {expected}");
    }

    #[test]
    fn ratios_compare_neighbouring_rounds() {
        // The machine was twice as slow in the last round: for both.
        let (bare, ours) = (rounds(&[0.08, 0.08, 0.16]), rounds(&[0.1, 0.1, 0.2]));
        let figures = Figures::of(&ours, Some(&bare), Some(&bare));
        check(figures.of_bare, 0.8);
        check(figures.cpu_of_unfollowed, 1.25);
        check(figures.rate_of_unfollowed, 1.0);
        check(figures.cpu_s_per_million_events, 2.0);
        check(figures.of_simd_json, 0.5);
        check(figures.mb_per_s, 18.75);
        check(figures.p99_flushes, 3.0);
        check(figures.committed_bytes_per_byte, 1.1);
        check(figures.events_per_flush, 500.0);
    }

    #[test]
    fn what_was_not_measured_is_not_there() {
        let unknown =
            Round { cpu_s: None, flushes: None, committed_bytes: None, ..rounds(&[1.0])[0].clone() };
        let figures = Figures::of(&[unknown], None, None);
        let missing =
            [figures.of_bare, figures.cpu_us_per_request, figures.of_simd_json, figures.flushes_per_s];
        assert_eq!(missing, [None; 4]);
        assert!(figures.device_bytes_per_byte.is_none() && figures.requests_per_s.is_some());
        assert_eq!(Figure::of(&[]), None);
    }

    #[test]
    fn medians_of_any_number_of_values() {
        for (values, expected) in
            [(vec![], 0.0), (vec![3.0], 3.0), (vec![1.0, 4.0], 2.5), (vec![9.0, 1.0, 2.0], 2.0)]
        {
            assert!((median(values.clone()) - expected).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn a_curve_rises_and_ends_where_the_requests_do() {
        let mut latencies = Latencies::default();
        (1..=1000).for_each(|us| latencies.add_duration(std::time::Duration::from_micros(us)));
        let curve = curve(&latencies);
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{curve:?}");
        assert!(curve.last().is_some_and(|last| (last.0 - 0.999).abs() < 1e-9 && last.1 == 999), "{curve:?}");
    }
}
